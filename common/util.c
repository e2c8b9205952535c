/* SPDX-License-Identifier: ISC */
/* Clocks, as every role wants them. */
#include "common/util.h"

#include <time.h>

static int64_t
clock_ms(clockid_t id)
{
	struct timespec ts = { 0 };

	(void)clock_gettime(id, &ts); /* fails for no clock that we name */
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t
time_monotonic_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

int64_t
time_monotonic_us(void)
{
	struct timespec ts = { 0 };

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* as above */
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t
time_real_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}
