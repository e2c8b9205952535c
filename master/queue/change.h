/* SPDX-License-Identifier: ISC */
/*
 * A change for the next commit, and the news that follow it.
 *
 * It is the first member of what the change is about, and the owner of that makes
 * it.  From group_add() until committed(), refuse() or give_up() is called the
 * group has it.
 */
#ifndef MASTER_QUEUE_CHANGE_H
#define MASTER_QUEUE_CHANGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct queue;
struct change;

/* Those that are NULL have nothing to do, or are never so. */
struct change_ops {
	/* How many rows it touches, about; NULL: one. */
	uint32_t (*rows)(const struct change *c);
	/* Its part of the transaction.  0, or -1 with errno, and then nothing of
	 * the transaction holds. */
	int (*apply)(struct queue *q, struct change *c);
	/* It is on disk: tells its news, and frees what is not needed more. */
	void (*committed)(struct queue *q, struct change *c);
	/* Whether it is new mail, which its client can be asked to keep. */
	bool (*is_refusable)(const struct change *c);
	/* It will not be on disk, for this errno; frees it too. */
	void (*refuse)(struct queue *q, struct change *c, int error);
	/* Whether there is nothing to wait for while the store fails. */
	bool (*is_given_up)(const struct change *c);
	/* As committed(), but it is not on disk. */
	void (*give_up)(struct queue *q, struct change *c);
	/* The process ends, and it is not on disk; frees it. */
	void (*clear)(struct change *c);
};

struct change {
	STAILQ_ENTRY(change) entry;
	const struct change_ops *ops;
	uint32_t rows;
	bool is_written; /* on disk, and its news are about to be told */
};

STAILQ_HEAD(changes, change);

#endif
