/* SPDX-License-Identifier: ISC */
/*
 * What an operator has stopped: all, a transport, or a destination.  Mail is
 * taken as ever and stays in the store; sessions finish what they have in hand.
 * It is kept in the store, so it holds over restarts.
 */
#ifndef MASTER_QUEUE_PAUSE_H
#define MASTER_QUEUE_PAUSE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/message.h"
#include "master/queue/ask.h"
#include "master/queue/schedule.h"

enum {
	PAUSES_MAX = 256,
	PAUSE_LOOK_MS = 5000, /* a stopped domain is looked through again */
};

struct pause {
	enum pause_kind kind;
	int64_t since_ms; /* real */
	char name[MSG_HOST_SIZE];
};

struct pauses {
	uint32_t n;
	uint32_t generation; /* grows with each change */
	struct pause list[PAUSES_MAX];
};

/* Reads them from the store; ends the process where that fails. */
void pause_open(struct queue *q);

/* The pause that holds a destination; NULL: none. */
const struct pause *pause_of(const struct queue *q, uint32_t transport,
    const char *next_hop);

/* Destinations are stopped, or not any more; after a change of either. */
void pause_apply(struct queue *q);

/* A due row of a source is left in the store, for its destination is stopped;
 * and whether some were, and it may be so no more. */
void pause_leave(struct queue *q, struct schedule_source *source);
bool pause_is_over(const struct queue *q, const struct schedule_source *source);

/*
 * pause_rest - after a look at a source's due rows.
 *
 * Where all were seen and none may be loaded, they are not read at every turn:
 * the more there are, the later again.
 */
void pause_rest(struct queue *q, struct schedule_source *source);

const char *pause_kind_name(enum pause_kind kind);

void pause_ask(struct queue *q, const struct ask *ask);
void pause_ask_resume(struct queue *q, const struct ask *ask);
void pause_ask_list(struct queue *q, const struct ask *ask);

#endif
