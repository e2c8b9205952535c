/* SPDX-License-Identifier: ISC */
/*
 * Rates: so many messages, recipients, connections or octets in a second, a
 * minute or an hour, and how many of them at once (token buckets).
 *
 * Pure; times are milliseconds of one clock of the caller's.
 */
#ifndef MASTER_QUEUE_RATE_H
#define MASTER_QUEUE_RATE_H

#include <stdbool.h>
#include <stdint.h>

#define RATE_AMOUNT_MAX INT64_C(100000000000)

enum rate_unit {
	RATE_MESSAGES,
	RATE_RECIPIENTS,
	RATE_CONNECTIONS,
	RATE_OCTETS,
	RATE_UNIT_COUNT
};

struct rate {
	enum rate_unit unit;
	int64_t amount;
	int64_t period_ms;
	int64_t burst; /* so many at once after a rest */
};

/* A token is worth period_ms: so whole numbers fall to each millisecond. */
struct rate_bucket {
	int64_t level;
	int64_t filled_ms; /* the level is of that time */
};

/*
 * rate_parse - read "100 messages/minute burst 20" or "1m octets/s".
 *
 * A number may have k or m behind it (1,024).  Without a burst it is what one
 * second brings, and at least 1.  NULL, or what is wrong with it.
 */
const char *rate_parse(const char *word, struct rate *rate);

/* In the words that it is read from, its burst included; returns out. */
#define RATE_TEXT_SIZE 80
char *rate_format(const struct rate *rate, char out[static RATE_TEXT_SIZE]);

bool rate_same(const struct rate *a, const struct rate *b);

/* A full bucket. */
void rate_init(struct rate_bucket *bucket, const struct rate *rate,
    int64_t now_ms);

/* How long until so many are there, 0 at once.  What is more than the burst
 * waits for a full bucket alone. */
int64_t rate_wait_ms(struct rate_bucket *bucket, const struct rate *rate,
    int64_t need, int64_t now_ms);

/* Takes so many, below nothing where they are not there. */
void rate_take(struct rate_bucket *bucket, const struct rate *rate,
    int64_t count);

/* How long an empty bucket takes for so many, microseconds. */
int64_t rate_cost_us(const struct rate *rate, int64_t count);

/* As full as it is if that is how long it takes to be full, microseconds. */
void rate_set_left(struct rate_bucket *bucket, const struct rate *rate,
    int64_t left_us, int64_t now_ms);

#endif
