/* SPDX-License-Identifier: ISC */
/*
 * What servers were seen not to bear, by address, for a while: EHLO, or commands
 * that come before the reply to the last one.  Bounded: the oldest goes first.
 */
#ifndef MASTER_QUEUE_LEARNT_H
#define MASTER_QUEUE_LEARNT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/message.h"

#define LEARNT_MAX 256

/* One server. */
struct learnt {
	struct msg_dial dial; /* family, port, addr and path count */
	uint32_t avoid;       /* AVOID_* bits; 0: nothing stands here */
	int64_t until_ms;     /* CLOCK_MONOTONIC */
};

/* What is known of the server that dial leads to: AVOID_* bits. */
uint32_t learnt_of(const struct learnt *table, const struct msg_dial *dial,
    int64_t now_ms);

/* True where that is news. */
bool learnt_add(struct learnt *table, const struct msg_dial *dial,
    uint32_t avoid, int64_t now_ms, int64_t keep_ms);

/* The next one whose time is over, taken out of the table; 0 where none is. */
uint32_t learnt_forget(struct learnt *table, struct msg_dial *dial,
    int64_t now_ms);

#endif
