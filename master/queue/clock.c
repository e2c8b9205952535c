/* SPDX-License-Identifier: ISC */
/* See clock.h. */
#include "master/queue/clock.h"

int64_t
clock_watch(struct clock *clock, int64_t real_ms, int64_t monotonic_ms)
{
	int64_t offset_ms = real_ms - monotonic_ms;
	int64_t step_ms = offset_ms - clock->offset_ms;

	clock->offset_ms = offset_ms;
	if (!clock->watched) {
		clock->watched = true;
		return 0;
	}
	if (step_ms > -CLOCK_STEP_MS && step_ms < CLOCK_STEP_MS)
		return 0;
	if (step_ms > 0)
		clock->before_ms = real_ms - step_ms;
	clock->forward_ms += step_ms;
	if (clock->forward_ms < 0)
		clock->forward_ms = 0;
	return step_ms;
}

int64_t
clock_age_ms(const struct clock *clock, int64_t created_ms, int64_t now_ms)
{
	if (created_ms <= clock->before_ms)
		return now_ms - created_ms - clock->forward_ms;
	return now_ms - created_ms;
}
