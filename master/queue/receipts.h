/* SPDX-License-Identifier: ISC */
/*
 * Which jobs of the intake are on disk, in memory that outlives the queue: the
 * master keeps it, and gives it to each queue in turn, to nobody else.
 *
 * A job is noted before its commit, and marked after it, before its client is
 * answered.  A queue that starts again looks in the store what became of those
 * that were not marked.  So an intake whose question got no answer can ask the
 * next queue, and a message that is on disk is never refused.
 *
 * Bounded: a job takes the place of the one that came RECEIPTS_MAX earlier.
 * More than that are never unanswered, for an intake that reads no answers is
 * not read itself (peers.c).
 */
#ifndef MASTER_QUEUE_RECEIPTS_H
#define MASTER_QUEUE_RECEIPTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/message.h"
#include "common/role.h"

enum {
	RECEIPTS_MAX = 1 << 15,
};

struct receipts;
struct store;

/* The memory behind fd, which stays the caller's; NULL with errno. */
struct receipts *receipts_map(int fd);

/* The jobs are those of this intake: of another there is none. */
void receipts_of_intake(struct receipts *rs, uint32_t pid);

/* Before the commit, and after it.  rs may be NULL. */
void receipts_note(struct receipts *rs, uint64_t request, uint64_t id,
    int64_t created_ms);
void receipts_mark(struct receipts *rs, uint64_t request);

/*
 * receipts_settle - after a start: what is noted was committed, or was not.
 *
 * Before the store gives out another id.  store NULL: it outlived nothing.
 */
void receipts_settle(struct receipts *rs, struct store *store);

/* Whether that job was committed, and as which message. */
bool receipts_find(const struct receipts *rs, uint64_t request, uint64_t *idp);

/* RECEIPTS and SUBMIT_ASK: handlers of the queue's table. */
void receipts_take(void *ctx, struct channel *from, const struct message *m);
void receipts_asked(void *ctx, struct channel *from, const struct message *m);

#endif
