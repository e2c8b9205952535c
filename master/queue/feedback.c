/* SPDX-License-Identifier: ISC */
/*
 * Sums of parts of sessions, in fixed point.
 */
#include "master/queue/feedback.h"

#include <stddef.h>
#include <string.h>

static const struct {
	const char *word;
	enum feedback_by by;
} divisors[] = {
	{ "", FEEDBACK_BY_ONE },
	{ "/concurrency", FEEDBACK_BY_CONCURRENCY },
	{ "/sqrt_concurrency", FEEDBACK_BY_SQRT },
};

/* Reads "0.125" of at most 1 and six digits behind the dot. */
static const char *
read_amount(const char *word, uint32_t *amount)
{
	uint64_t millionths = 0;
	uint32_t unit = 1000000;
	const char *at = word;

	if (*at != '0' && *at != '1')
		return NULL;
	millionths = (uint64_t)(*at++ - '0') * unit;
	if (*at == '.') {
		for (at++; *at >= '0' && *at <= '9' && unit > 1; at++) {
			unit /= 10;
			millionths += (uint64_t)(*at - '0') * unit;
		}
		if (at[-1] == '.')
			return NULL;
	}
	if (millionths > 1000000)
		return NULL;
	*amount = (uint32_t)((millionths * FEEDBACK_ONE + 500000) / 1000000);
	return at;
}

const char *
feedback_parse(const char *word, struct feedback_amount *out)
{
	const char *rest = read_amount(word, &out->amount);
	size_t i;

	for (i = 0; rest != NULL && i < sizeof(divisors) / sizeof(divisors[0]);
	     i++) {
		if (strcmp(rest, divisors[i].word) != 0)
			continue;
		out->by = divisors[i].by;
		return NULL;
	}
	return "write 0 to 1, and /concurrency or /sqrt_concurrency behind it "
	       "where meant";
}

static uint32_t
sqrt_fixed(uint32_t n)
{
	uint64_t square = (uint64_t)n << 32; /* the root has 16 bits behind */
	uint64_t root = 0;
	uint64_t bit;

	for (bit = UINT64_C(1) << 31; bit > 0; bit >>= 1)
		if ((root + bit) * (root + bit) <= square)
			root += bit;
	return (uint32_t)root;
}

static uint32_t
amount_now(const struct feedback_amount *amount, uint32_t concurrency)
{
	switch (amount->by) {
	case FEEDBACK_BY_ONE:
		break;
	case FEEDBACK_BY_CONCURRENCY:
		/* Rounded up: n parts of an nth are a whole one. */
		return (amount->amount + concurrency - 1) / concurrency;
	case FEEDBACK_BY_SQRT:
		return (uint32_t)(((uint64_t)amount->amount << 16) /
		    sqrt_fixed(concurrency));
	}
	return amount->amount;
}

void
feedback_init(struct feedback *feedback, const struct feedback_rules *rules)
{
	memset(feedback, 0, sizeof(*feedback));
	feedback->concurrency = rules->initial;
}

void
feedback_success(struct feedback *feedback, const struct feedback_rules *rules)
{
	if (feedback->dead) {
		feedback_init(feedback, rules);
		return;
	}
	feedback->cohorts = 0;
	feedback->lost = 0;
	if (feedback->concurrency >= rules->limit) {
		/* A limit may have come down with a new configuration. */
		feedback->concurrency = rules->limit;
		feedback->gained = 0;
		return;
	}
	feedback->gained += amount_now(&rules->positive, feedback->concurrency);
	if (feedback->gained < FEEDBACK_ONE)
		return;
	feedback->gained = 0;
	feedback->concurrency++;
}

/*
 * The first failure of a sequence takes the session, and those that follow are
 * already paid for: to shrink late would open more sessions in vain.
 */
static void
feedback_shrink(struct feedback *feedback, const struct feedback_rules *rules)
{
	uint32_t part = amount_now(&rules->negative, feedback->concurrency);

	feedback->gained = 0;
	if (part == 0)
		return;
	if (feedback->lost == 0 && feedback->concurrency > 1)
		feedback->concurrency--;
	feedback->lost += part;
	if (feedback->lost >= FEEDBACK_ONE)
		feedback->lost = 0;
}

bool
feedback_failure(struct feedback *feedback, const struct feedback_rules *rules)
{
	if (feedback->dead)
		return true;
	feedback->cohorts +=
	    (FEEDBACK_ONE + feedback->concurrency - 1) / feedback->concurrency;
	feedback_shrink(feedback, rules);
	if (rules->failed_cohorts == 0 ||
	    feedback->cohorts / FEEDBACK_ONE < rules->failed_cohorts)
		return false;
	feedback->dead = true;
	feedback->concurrency = 1;
	return true;
}

bool
feedback_harm(struct feedback *feedback, const struct feedback_rules *rules)
{
	feedback->concurrency = 1;
	feedback->gained = feedback->lost = 0;
	if (rules->failed_cohorts > 0)
		feedback->dead = true;
	return feedback->dead;
}
