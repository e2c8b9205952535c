/* SPDX-License-Identifier: ISC */
/*
 * What is in the queue, counted under names: how many recipients in which state,
 * and how old those are that wait.  A table in memory, filled by one walk through
 * the store (summary.h); no I/O, no clock.
 */
#ifndef MASTER_QUEUE_CENSUS_H
#define MASTER_QUEUE_CENSUS_H

#include <stdbool.h>
#include <stdint.h>

#include "master/queue/store.h"

enum {
	CENSUS_ROWS_MAX = 100000, /* names; the rest is counted without one */
	CENSUS_AGES = 10,         /* the buckets of qshape(1) */
	CENSUS_NAME_SIZE = 512,   /* a longer name is cut */
	CENSUS_REPLY_SIZE = 256,
};

#define CENSUS_NO_TRANSPORT (UINT32_MAX - 1) /* no way leads anywhere */
#define CENSUS_OF_DOMAIN    UINT32_MAX /* a domain's row, whatever its way */

struct census;

/* The last reply of those that are counted. */
struct census_reply {
	int64_t time_ms; /* real */
	char text[CENSUS_REPLY_SIZE];
};

struct census_row {
	struct census_row *next; /* of its bucket */
	uint32_t transport;
	uint32_t variant;
	uint32_t states[STORE_STATE_COUNT];
	uint32_t ages[CENSUS_AGES]; /* of all of them */
	uint32_t total;
	int64_t oldest_ms;          /* real; when it was taken over */
	struct census_reply *reply; /* NULL: none has one */
	char name[];
};

/* NULL with errno.  now_ms: real, from which ages count. */
struct census *census_new(int64_t now_ms);
void census_free(struct census *census);

/* The upper ends of the buckets in minutes; the last has none (0). */
extern const uint32_t census_age_minutes[CENSUS_AGES];

/* The bucket of what was taken over then. */
uint32_t census_age(const struct census *census, int64_t created_ms);

/*
 * census_add - count a recipient under a name of a transport (an index of the
 * caller's) and variant.
 *
 * With reply, that of the latest attempt is kept.  Where there are too many names
 * already, or no memory, it is one of the others: the sums are right all the same.
 */
void census_add(struct census *census, uint32_t transport, uint32_t variant,
    const char *name, int64_t created_ms,
    const struct store_recipient *recipient, const char *reply);

/* NULL: nothing of it is in the queue, or it is one of the others. */
const struct census_row *census_find(const struct census *census,
    uint32_t transport, uint32_t variant, const char *name);

/* Those that have no name any more; its total is 0 where there are none. */
const struct census_row *census_others(const struct census *census);

/* All of the names, in no order, until the next census_add(). */
const struct census_row *census_next(const struct census *census,
    uint32_t *placep);

uint32_t census_count(const struct census *census);

/* Waits for a session: queued or deferred. */
uint32_t census_waiting(const struct census_row *row);

/*
 * census_largest - at most limit rows into out, those with most first, and under
 * the same number by name.  How many.
 */
uint32_t census_largest(const struct census *census,
    const struct census_row **out, uint32_t limit);

/*
 * census_reason - a reply as a name that many share: what differs between two
 * messages (addresses, ids of theirs) is left out.
 */
void census_reason(const char *dsn, const char *reply,
    char out[static CENSUS_NAME_SIZE]);

#endif
