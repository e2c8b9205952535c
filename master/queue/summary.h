/* SPDX-License-Identifier: ISC */
/*
 * What is in the queue, in numbers: as on disk, not as in memory.
 *
 * An operator's SUMMARY is an action (action.h) that walks through what he
 * selects, in turns, and tells the largest rows.  TOP and EXPLAIN ask how much
 * waits for a destination: one walk through all of the queue answers all of them
 * that wait for it, and those that come soon after it.  How soon that is depends on
 * how long it took: walks take a tenth of our time at most, however often they
 * are asked for.
 */
#ifndef MASTER_QUEUE_SUMMARY_H
#define MASTER_QUEUE_SUMMARY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/json_out.h"
#include "common/message.h"
#include "master/queue/store.h"

struct action;
struct queue;
struct schedule_destination;
struct summary;

enum {
	SUMMARY_ROWS_MAX = 1000, /* that are told */
	SUMMARY_SHARE = 10,      /* walks for TOP and EXPLAIN: of our time */
	SUMMARY_ASKS_MAX = 64,   /* questions that wait for one */
	SUMMARY_TELL_MS = 1000,
};

void summary_open(struct queue *q);
void summary_clear(struct queue *q);

/* For ACT_SUMMARY: a recipient that fits; and the end of the walk. */
void summary_take(struct action *a, const struct store_envelope *envelope,
    const struct store_recipient *recipient);
void summary_end(struct queue *q, struct action *a);
/* Between two turns: how far it is, to those who wait. */
void summary_progress(struct queue *q, const struct action *a);

/*
 * summary_wait - whether a question (ASK) has to wait for a walk.
 *
 * True: it is kept, and asked again by ask_answer() once what is counted is known.
 */
bool summary_wait(struct queue *q, const struct message *m);
/* One of those whose walk has ended; true: another turn is to answer more. */
bool summary_answer(struct queue *q);
void summary_cancel(struct queue *q, uint64_t request);
void summary_cancel_all(struct queue *q);

/* By the last walk, with what waits in memory alone (transient.h): recipients that
 * wait for a destination, and -1 where nothing is known. */
int64_t summary_waiting(const struct queue *q,
    const struct schedule_destination *destination);
/* The same, of one of which there is nothing in memory; of a domain. */
int64_t summary_waiting_for(const struct queue *q, uint32_t transport,
    uint32_t variant, const char *next_hop);
int64_t summary_waiting_of_domain(const struct queue *q, const char *domain);

/* Members: the last reply of what waits for a destination, and when it came. */
void summary_reply_out(const struct queue *q, struct json_out *out,
    uint32_t transport, uint32_t variant, const char *next_hop);

/* The census of the last walk, NULL: there was none. */
const struct census *summary_census(const struct queue *q);

#endif
