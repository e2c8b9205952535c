/* SPDX-License-Identifier: ISC */
/*
 * How many sessions a destination may have, as its answers teach us.
 *
 * Each success adds a part of a session, each session that failed takes one away;
 * only whole ones count, and either starts the other's sum anew, so that one
 * answer among many does not move the number up and down (hysteresis).  A
 * destination is dead once so many whole rounds (cohorts) of sessions failed
 * with no success between: one failure is one part of as many as may be open,
 * so that with more than one a single failure is not its death.  Then one
 * session at a time probes it, and the first success begins anew.  Pure.
 */
#ifndef MASTER_QUEUE_FEEDBACK_H
#define MASTER_QUEUE_FEEDBACK_H

#include <stdbool.h>
#include <stdint.h>

enum {
	FEEDBACK_ONE = 1 << 16 /* a whole session, in sums */
};

/* What an amount is divided by: sessions, as they are now. */
enum feedback_by {
	FEEDBACK_BY_ONE,
	FEEDBACK_BY_CONCURRENCY,
	FEEDBACK_BY_SQRT,
};

struct feedback_amount {
	uint32_t amount; /* of FEEDBACK_ONE */
	enum feedback_by by;
};

struct feedback_rules {
	uint32_t initial;
	uint32_t limit;
	struct feedback_amount positive;
	struct feedback_amount negative;
	uint32_t failed_cohorts; /* 0: never dead */
};

struct feedback {
	uint32_t concurrency;
	uint32_t gained; /* parts of a session since the number last changed */
	uint32_t lost;
	uint32_t cohorts; /* that failed, of FEEDBACK_ONE */
	bool dead;
};

/* "1", "0.25", "1/concurrency" or "0.5/sqrt_concurrency"; NULL, or what is wrong
 * with it. */
const char *feedback_parse(const char *word, struct feedback_amount *out);

void feedback_init(struct feedback *feedback,
    const struct feedback_rules *rules);

void feedback_success(struct feedback *feedback,
    const struct feedback_rules *rules);

/* True: it is dead now, or was before. */
bool feedback_failure(struct feedback *feedback,
    const struct feedback_rules *rules);

/* The same of one failure that counts for all, since to repeat it does harm. */
bool feedback_harm(struct feedback *feedback,
    const struct feedback_rules *rules);

#endif
