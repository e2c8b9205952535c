/* SPDX-License-Identifier: ISC */
/* What goes on: rates, the busiest destinations, live sessions. */
#ifndef MASTER_QUEUE_TOP_H
#define MASTER_QUEUE_TOP_H

#include "common/json_out.h"
#include "master/queue/ask.h"

struct schedule_destination;

enum {
	TOP_ROWS_MAX = 100,
};

void top_ask(struct queue *q, const struct ask *ask);

/* Members that say how a destination does; explain.c has them too. */
void top_destination_out(const struct queue *q, struct json_out *out,
    const struct schedule_destination *d);

/* The same of one of which nothing is in memory, as far as that is known: how many
 * wait, its last reply, and whether it is paused. */
struct census_row;
void top_stored_out(const struct queue *q, struct json_out *out,
    const struct census_row *row);

#endif
