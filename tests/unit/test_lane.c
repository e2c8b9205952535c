/* SPDX-License-Identifier: ISC */
/* Who is one sender, and whose turn it is. */
#include "master/queue/lane.h"

#include <criterion/criterion.h>

static uint32_t
lane(const char *sender)
{
	return lane_of(1000, sender, "");
}

Test(lane, a_run_is_one_sender)
{
	static const char *const same[][2] = {
		{ "bounces-1-ann=b.example@lists.example",
		    "bounces-2-joe=c.example@lists.example" },
		{ "news+17@a.example", "news+18@a.example" },
		{ "msg4711@a.example", "msg4712@a.example" },
		{ "SRS0=x=y@f.example", "SRS0=z=a@f.example" },
		{ "a@b.example", "a@B.EXAMPLE" },
		{ "", "" },
	};
	static const char *const other[][2] = {
		{ "ann@a.example", "bob@a.example" },
		{ "ann@a.example", "ann@b.example" },
		{ "ann@a.example", "" },
	};
	size_t i;

	for (i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		cr_expect_eq(lane(same[i][0]), lane(same[i][1]), "%s",
		    same[i][0]);
	for (i = 0; i < sizeof(other) / sizeof(other[0]); i++)
		cr_expect_neq(lane(other[i][0]), lane(other[i][1]), "%s",
		    other[i][1]);
	cr_expect_neq(lane_of(1, "a@b", ""), lane_of(2, "a@b", ""));
}

Test(lane, a_priority_is_a_class)
{
	static const struct {
		const char *parameters;
		enum lane_class want;
	} cases[] = {
		{ "", LANE_NORMAL },
		{ "RET=HDRS", LANE_NORMAL },
		{ "MT-PRIORITY=0", LANE_NORMAL },
		{ "MT-PRIORITY=1", LANE_HIGH },
		{ "RET=HDRS MT-PRIORITY=9 ENVID=x", LANE_HIGH },
		{ "MT-PRIORITY=-1", LANE_LOW },
		{ "MT-PRIORITY=-9", LANE_LOW },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_eq(lane_class(lane_of(1, "a@b", cases[i].parameters)),
		    cases[i].want, "%s", cases[i].parameters);
	cr_expect_eq(lane_class(0), LANE_NORMAL, "as in an older queue");
	cr_expect_eq(lane_class(UINT32_MAX), LANE_NORMAL);
}

Test(lane, classes_have_turns_by_their_weight)
{
	uint32_t left[LANE_CLASS_COUNT] = { 0 };
	uint32_t all = (1U << LANE_CLASS_COUNT) - 1;
	uint32_t turns[LANE_CLASS_COUNT] = { 0 };
	uint32_t i;

	cr_expect_eq(lane_turn(left, all), LANE_HIGH, "high first");
	left[LANE_HIGH] = left[LANE_NORMAL] = left[LANE_LOW] = 0;
	for (i = 0; i < 210; i++)
		turns[lane_turn(left, all)]++;
	cr_expect_eq(turns[LANE_HIGH], 160);
	cr_expect_eq(turns[LANE_NORMAL], 40);
	cr_expect_eq(turns[LANE_LOW], 10);
	for (i = 0; i < 9; i++)
		cr_expect_eq(lane_turn(left, 1U << LANE_LOW), LANE_LOW,
		    "alone it has them all");
}
