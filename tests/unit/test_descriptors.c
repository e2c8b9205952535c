/* SPDX-License-Identifier: ISC */
/* How many sessions there can be with so many descriptors. */
#include "master/descriptors.h"

#include <criterion/criterion.h>

#include "common/util.h"

static const struct {
	uint64_t limit;
	uint32_t bodies;
	uint32_t half_jobs;
	uint32_t sessions;
} rows[] = {
	{ 0, 0, 0, 1 },
	{ 64, 8, 8, 1 },
	{ 256, 32, 32, 48 },
	{ 1024, 128, 128, 288 },
	{ 20000, 2500, 1024, 6956 },
	{ 524288, 4096, 1024, 257504 },
	{ UINT64_MAX, 4096, 1024, UINT32_MAX },
};

Test(descriptors, each_has_its_share)
{
	for (size_t i = 0; i < NELEM(rows); i++) {
		cr_expect_eq(descriptors_bodies(rows[i].limit), rows[i].bodies,
		    "row %zu", i);
		cr_expect_eq(descriptors_half_jobs(rows[i].limit),
		    rows[i].half_jobs, "row %zu", i);
		cr_expect_eq(descriptors_sessions(rows[i].limit),
		    rows[i].sessions, "row %zu: %u", i,
		    descriptors_sessions(rows[i].limit));
	}
}

Test(descriptors, all_shares_together_are_no_more_than_there_are)
{
	for (uint64_t n = 100; n < 100000; n++)
		cr_assert_leq(2 * (uint64_t)descriptors_bodies(n) +
			descriptors_half_jobs(n) +
			2 * (uint64_t)descriptors_sessions(n),
		    n, "%llu", (unsigned long long)n);
}

Test(descriptors, what_is_wanted_is_enough_and_one_less_is_not)
{
	for (uint32_t sessions = 2; sessions <= 10000; sessions++) {
		uint64_t limit = descriptors_wanted(sessions);

		cr_assert_geq(descriptors_sessions(limit), sessions);
		cr_assert_lt(descriptors_sessions(limit - 1), sessions);
	}
}
