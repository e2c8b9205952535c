/* SPDX-License-Identifier: ISC */
/*
 * What servers were seen not to bear, by destination and address, for a while:
 * EHLO, BDAT, or commands that come before the reply to the last one.  One lost
 * connection proves nothing: it takes two failures of a kind, with no success
 * between them.  Bounded: the oldest goes first.
 */
#ifndef MASTER_QUEUE_LEARNT_H
#define MASTER_QUEUE_LEARNT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/message.h"

#define LEARNT_MAX 256

/* Whose server: what one destination met is not held against another's. */
struct learnt_key {
	uint32_t transport;
	uint64_t next_hop;    /* a hash of it */
	struct msg_dial dial; /* family, port, addr and path count */
};

/* One server. */
struct learnt {
	struct learnt_key key;
	uint32_t avoid;   /* AVOID_* and SEEN_* bits */
	uint32_t seen;    /* once so far; both 0: nothing stands here */
	int64_t until_ms; /* CLOCK_MONOTONIC */
};

struct learnt_key learnt_key(uint32_t transport, const char *next_hop,
    const struct msg_dial *dial);

/* Whether two lead to the same server. */
bool learnt_is_same(const struct msg_dial *a, const struct msg_dial *b);

/* What is to be avoided there: AVOID_* bits. */
uint32_t learnt_of(const struct learnt *table, const struct learnt_key *key,
    int64_t now_ms);

/* Failures of these kinds; which of them are avoided from now on, and were not
 * before.  SEEN_* bits count at once. */
uint32_t learnt_add(struct learnt *table, const struct learnt_key *key,
    uint32_t bits, int64_t now_ms, int64_t keep_ms);

/* Successes: what was seen of these kinds once does not count. */
void learnt_confirm(struct learnt *table, const struct learnt_key *key,
    uint32_t bits);

/* The next one whose time is over; 0 where none is.  It is tried again from now
 * on, and one more failure is enough. */
uint32_t learnt_forget(struct learnt *table, struct learnt_key *key,
    int64_t now_ms, int64_t keep_ms);

#endif
