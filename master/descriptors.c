/* SPDX-License-Identifier: ISC */
/* See descriptors.h. */
#include "master/descriptors.h"

enum {
	BODIES_MAX = 4096,
	HALF_JOBS_MAX = 1024,
	SHARE = 8, /* each of these has an eighth at most */
	A_SESSION = 2, /* its worker's channel, and the dialer's line to it */
	/* The store, the log, channels, and what is on its way for a moment. */
	BESIDES = 64,
};

static uint32_t
share(uint64_t limit, uint32_t most)
{
	return limit / SHARE < most ? (uint32_t)(limit / SHARE) : most;
}

uint32_t
descriptors_bodies(uint64_t limit)
{
	return share(limit, BODIES_MAX);
}

uint32_t
descriptors_half_jobs(uint64_t limit)
{
	return share(limit, HALF_JOBS_MAX);
}

uint32_t
descriptors_sessions(uint64_t limit)
{
	uint64_t used = BESIDES + descriptors_half_jobs(limit) +
	    2 * (uint64_t)descriptors_bodies(limit);
	uint64_t n = limit > used ? (limit - used) / A_SESSION : 0;

	if (n == 0)
		return 1;
	return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

/* The share of sessions grows with the limit, so it can be looked for by halves. */
uint64_t
descriptors_wanted(uint32_t sessions)
{
	uint64_t low = 1, high = UINT64_C(1) << 40, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (descriptors_sessions(middle) >= sessions)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}
