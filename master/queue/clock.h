/* SPDX-License-Identifier: ISC */
/*
 * A wall clock that is set while mail waits: by how much, and what that means
 * for the age of a message.  Pure.
 */
#ifndef MASTER_QUEUE_CLOCK_H
#define MASTER_QUEUE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

enum {
	CLOCK_STEP_MS = 2000, /* less is a clock that is slewed */
};

/* Zeroed: not watched yet. */
struct clock {
	bool watched;
	int64_t offset_ms;  /* of the wall clock to the monotonic one */
	int64_t before_ms;  /* what it said before it was last set forward */
	int64_t forward_ms; /* by how much it was, less what was taken back */
};

/* By how much the clock was set since the last call; 0: not at all. */
int64_t clock_watch(struct clock *clock, int64_t real_ms, int64_t monotonic_ms);

/*
 * clock_age_ms - how long a message of that time has waited.
 *
 * That the clock was set forward meanwhile makes it no older.
 */
int64_t clock_age_ms(const struct clock *clock, int64_t created_ms,
    int64_t now_ms);

#endif
