/* SPDX-License-Identifier: ISC */
/* What happened in each second of the last minute.  Pure. */
#ifndef MASTER_QUEUE_RATES_H
#define MASTER_QUEUE_RATES_H

#include <stdint.h>

enum rate_kind {
	RATE_ACCEPTED,  /* messages */
	RATE_DELIVERED, /* recipients, as all below */
	RATE_DEFERRED,
	RATE_FAILED,
	RATE_KINDS,
};

enum {
	RATES_SECONDS = 64, /* a power of two above 60, for the one that runs */
};

/* Zeroed to begin with. */
struct rates {
	int64_t second; /* the last one that is counted */
	uint32_t counts[RATES_SECONDS][RATE_KINDS];
};

void rates_add(struct rates *rates, enum rate_kind kind, uint32_t n,
    int64_t now_ms);

/* The sum over so many whole seconds before this one, at most 60. */
uint64_t rates_sum(struct rates *rates, enum rate_kind kind, uint32_t seconds,
    int64_t now_ms);

/* The same of one kind in little room, by tens of seconds, for what there may be
 * very many of.  Zeroed to begin with. */
enum {
	MINUTE_TENS = 8, /* a power of two above 6, for the one that runs */
};

struct minute {
	int64_t ten;
	uint32_t counts[MINUTE_TENS];
};

void minute_add(struct minute *minute, uint32_t n, int64_t now_ms);

/* Of the last minute, give or take ten seconds. */
uint64_t minute_sum(struct minute *minute, int64_t now_ms);

#endif
