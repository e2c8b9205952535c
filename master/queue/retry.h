/* SPDX-License-Identifier: ISC */
/*
 * When what was deferred is tried again: by a list of times, or by a wait that
 * doubles.  Pure.
 */
#ifndef MASTER_QUEUE_RETRY_H
#define MASTER_QUEUE_RETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	RETRY_JITTER = 12, /* percent, where no route says another */
};

/* "90", "90s", "15m", "4h" or "2d", at least a second, at most 100 days. */
bool retry_parse(const char *word, int64_t *ms);

/* The wait after so many attempts (at least one) by a list, whose last repeats.
 * -1 where it is empty. */
int64_t retry_step_ms(char *const *words, size_t count, uint32_t attempts);

/* The wait after so many attempts on a server that may be back in a moment: 1 s,
 * then twice as long each time, up to the most. */
int64_t retry_brief_ms(uint32_t attempts, int64_t most_ms);

/* The chance of an attempt of a message: the same for all of its recipients, so
 * that what was tried together is so again (RFC 5321, 4.5.4.1). */
uint32_t retry_chance(uint64_t message, uint32_t attempts);

/* Shorter by at most so many percent, by chance. */
int64_t retry_vary_ms(int64_t ms, unsigned percent, uint32_t chance);

#endif
