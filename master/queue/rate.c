/* SPDX-License-Identifier: ISC */
/*
 * Token buckets in whole numbers.
 */
#include "master/queue/rate.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum {
	RATE_WORD_MAX = 16
};

static const struct {
	const char *word;
	enum rate_unit unit;
} units[] = {
	{ "message", RATE_MESSAGES },
	{ "messages", RATE_MESSAGES },
	{ "recipient", RATE_RECIPIENTS },
	{ "recipients", RATE_RECIPIENTS },
	{ "connection", RATE_CONNECTIONS },
	{ "connections", RATE_CONNECTIONS },
	{ "octet", RATE_OCTETS },
	{ "octets", RATE_OCTETS },
};

static const struct {
	const char *word;
	int64_t ms;
} periods[] = {
	{ "s", 1000 },
	{ "second", 1000 },
	{ "m", 60000 },
	{ "minute", 60000 },
	{ "h", 3600000 },
	{ "hour", 3600000 },
};

static const char *
skip_blanks(const char *at)
{
	return at + strspn(at, " \t");
}

/* NULL where there is none, or it is too large. */
static const char *
read_number(const char *at, int64_t *out)
{
	int64_t value = 0;

	if (*at < '0' || *at > '9')
		return NULL;
	for (; *at >= '0' && *at <= '9'; at++) {
		value = value * 10 + (*at - '0');
		if (value > RATE_AMOUNT_MAX)
			return NULL;
	}
	if (*at == 'k' || *at == 'm')
		value *= *at++ == 'k' ? 1024 : 1024 * 1024;
	if (value < 1 || value > RATE_AMOUNT_MAX)
		return NULL;
	*out = value;
	return at;
}

/* A word of small letters; its end, or NULL. */
static const char *
read_word(const char *at, char word[static RATE_WORD_MAX])
{
	size_t n = strspn(at, "abcdefghijklmnopqrstuvwxyz");

	if (n == 0 || n >= RATE_WORD_MAX)
		return NULL;
	memcpy(word, at, n);
	word[n] = '\0';
	return at + n;
}

static bool
find_unit(const char *word, enum rate_unit *out)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(units[i].word, word) != 0)
			continue;
		*out = units[i].unit;
		return true;
	}
	return false;
}

static bool
find_period(const char *word, int64_t *out)
{
	for (size_t i = 0; i < sizeof(periods) / sizeof(periods[0]); i++) {
		if (strcmp(periods[i].word, word) != 0)
			continue;
		*out = periods[i].ms;
		return true;
	}
	return false;
}

/* What stands behind the period: nothing, or "burst N". */
static const char *
read_burst(const char *at, struct rate *rate)
{
	char word[RATE_WORD_MAX];

	rate->burst = rate->amount * 1000 / rate->period_ms;
	if (rate->burst < 1)
		rate->burst = 1;
	at = skip_blanks(at);
	if (*at == '\0')
		return NULL;
	at = read_word(at, word);
	if (at == NULL || strcmp(word, "burst") != 0)
		return "behind the period only \"burst NUMBER\" may stand";
	at = read_number(skip_blanks(at), &rate->burst);
	if (at == NULL || *skip_blanks(at) != '\0')
		return "burst needs a number of at least 1";
	return NULL;
}

const char *
rate_parse(const char *word, struct rate *rate)
{
	char name[RATE_WORD_MAX];
	const char *at;

	memset(rate, 0, sizeof(*rate));
	at = read_number(skip_blanks(word), &rate->amount);
	if (at == NULL)
		return "begin with a number of at least 1";
	at = read_word(skip_blanks(at), name);
	if (at == NULL || !find_unit(name, &rate->unit))
		return "write messages, recipients, connections or octets "
		       "behind the number";
	at = skip_blanks(at);
	if (*at != '/')
		return "write /second, /minute or /hour behind what is counted";
	at = read_word(skip_blanks(at + 1), name);
	if (at == NULL || !find_period(name, &rate->period_ms))
		return "the period is second, minute or hour";
	return read_burst(at, rate);
}

char *
rate_format(const struct rate *rate, char out[static RATE_TEXT_SIZE])
{
	static const char *const names[RATE_UNIT_COUNT] = {
		[RATE_MESSAGES] = "message",
		[RATE_RECIPIENTS] = "recipient",
		[RATE_CONNECTIONS] = "connection",
		[RATE_OCTETS] = "octet",
	};

	(void)snprintf(out, RATE_TEXT_SIZE,
	    "%" PRId64 " %s%s/%s burst %" PRId64, rate->amount,
	    names[rate->unit], rate->amount == 1 ? "" : "s",
	    rate->period_ms == 1000        ? "second"
		: rate->period_ms == 60000 ? "minute"
					   : "hour",
	    rate->burst);
	return out;
}

bool
rate_same(const struct rate *a, const struct rate *b)
{
	return a->unit == b->unit && a->amount == b->amount &&
	    a->period_ms == b->period_ms && a->burst == b->burst;
}

void
rate_init(struct rate_bucket *bucket, const struct rate *rate, int64_t now_ms)
{
	bucket->level = rate->burst * rate->period_ms;
	bucket->filled_ms = now_ms;
}

/* So long that no bucket, however deep in debt, is not full behind it; the
 * product with the amount stays below 2^63. */
static int64_t
fill_ms(const struct rate_bucket *bucket, const struct rate *rate)
{
	int64_t missing = rate->burst * rate->period_ms - bucket->level;

	return (missing + rate->amount - 1) / rate->amount;
}

static void
rate_fill(struct rate_bucket *bucket, const struct rate *rate, int64_t now_ms)
{
	int64_t passed_ms = now_ms - bucket->filled_ms;

	if (passed_ms <= 0)
		return;
	bucket->filled_ms = now_ms;
	if (passed_ms >= fill_ms(bucket, rate))
		bucket->level = rate->burst * rate->period_ms;
	else
		bucket->level += passed_ms * rate->amount;
}

int64_t
rate_wait_ms(struct rate_bucket *bucket, const struct rate *rate, int64_t need,
    int64_t now_ms)
{
	int64_t missing;

	rate_fill(bucket, rate, now_ms);
	if (need > rate->burst)
		need = rate->burst;
	missing = need * rate->period_ms - bucket->level;
	if (missing <= 0)
		return 0;
	return (missing + rate->amount - 1) / rate->amount;
}

/* A debt is bounded, as nothing is counted that is larger than an amount may
 * be: twice that, so that no number of messages overflows a level. */
void
rate_take(struct rate_bucket *bucket, const struct rate *rate, int64_t count)
{
	const int64_t least = -2 * RATE_AMOUNT_MAX * rate->period_ms;

	if (count > RATE_AMOUNT_MAX)
		count = RATE_AMOUNT_MAX;
	bucket->level -= count * rate->period_ms;
	if (bucket->level < least)
		bucket->level = least;
}

int64_t
rate_cost_us(const struct rate *rate, int64_t count)
{
	int64_t missing;

	if (count > RATE_AMOUNT_MAX)
		count = RATE_AMOUNT_MAX;
	missing = count * rate->period_ms;
	return missing / rate->amount * 1000 +
	    missing % rate->amount * 1000 / rate->amount;
}

void
rate_set_left(struct rate_bucket *bucket, const struct rate *rate,
    int64_t left_us, int64_t now_ms)
{
	int64_t full = rate->burst * rate->period_ms;
	int64_t most_ms =
	    (full + 2 * RATE_AMOUNT_MAX * rate->period_ms) / rate->amount;
	int64_t left_ms = left_us / 1000;

	if (left_ms > most_ms)
		left_ms = most_ms;
	bucket->level = full - left_ms * rate->amount -
	    left_us % 1000 * rate->amount / 1000;
	bucket->filled_ms = now_ms;
}
