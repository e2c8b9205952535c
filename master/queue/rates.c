/* SPDX-License-Identifier: ISC */
/* See rates.h. */
#include "master/queue/rates.h"

#include <string.h>

/* Seconds in which nothing was counted are empty. */
static void
rates_turn(struct rates *rates, int64_t now_ms)
{
	int64_t second = now_ms / 1000;

	if (second - rates->second >= RATES_SECONDS) {
		memset(rates->counts, 0, sizeof(rates->counts));
		rates->second = second;
	}
	while (rates->second < second) {
		rates->second++;
		memset(rates->counts[rates->second % RATES_SECONDS], 0,
		    sizeof(rates->counts[0]));
	}
}

void
rates_add(struct rates *rates, enum rate_kind kind, uint32_t n, int64_t now_ms)
{
	rates_turn(rates, now_ms);
	rates->counts[rates->second % RATES_SECONDS][kind] += n;
}

uint64_t
rates_sum(struct rates *rates, enum rate_kind kind, uint32_t seconds,
    int64_t now_ms)
{
	uint64_t sum = 0;
	int64_t i;

	rates_turn(rates, now_ms);
	for (i = 1; i <= seconds && i < RATES_SECONDS && i <= rates->second;
	     i++)
		sum += rates->counts[(rates->second - i) % RATES_SECONDS][kind];
	return sum;
}

static void
minute_turn(struct minute *minute, int64_t now_ms)
{
	int64_t ten = now_ms / 10000;

	if (ten - minute->ten >= MINUTE_TENS) {
		memset(minute->counts, 0, sizeof(minute->counts));
		minute->ten = ten;
	}
	while (minute->ten < ten) {
		minute->ten++;
		minute->counts[minute->ten % MINUTE_TENS] = 0;
	}
}

void
minute_add(struct minute *minute, uint32_t n, int64_t now_ms)
{
	minute_turn(minute, now_ms);
	minute->counts[minute->ten % MINUTE_TENS] += n;
}

uint64_t
minute_sum(struct minute *minute, int64_t now_ms)
{
	uint64_t sum = 0;
	int64_t i;

	minute_turn(minute, now_ms);
	for (i = 0; i < 6 && i <= minute->ten; i++)
		sum += minute->counts[(minute->ten - i) % MINUTE_TENS];
	return sum;
}
