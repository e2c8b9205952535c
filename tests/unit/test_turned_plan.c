/* SPDX-License-Identifier: ISC */
/* In which order the sessions of a destination try its addresses. */
#include <sys/socket.h>

#include <criterion/criterion.h>
#include <string.h>

#include "common/util.h"
#include "master/queue/queue_internal.h"

/* Preference, host and address as one letter each; a capital is IPv6. */
static struct plan *
plan_of(const char *words)
{
	struct plan *plan = plan_new((uint32_t)strlen(words) / 3);
	struct plan_address *a;

	cr_assert_not_null(plan);
	for (uint32_t i = 0; i < plan->count; i++, words += 3) {
		a = &plan->addresses[i];
		a->preference = (uint16_t)(words[0] - '0');
		a->host[0] = words[1];
		a->addr[0] = (uint8_t)words[2];
		a->family = words[2] < 'a' ? AF_INET6 : AF_INET;
	}
	return plan;
}

static const struct {
	const char *plan;
	uint32_t turn;
	const char *want; /* the addresses */
} cases[] = {
	{ "1aa", 0, "a" },
	{ "1aa", 7, "a" },
	{ "1aa2bb", 1, "ab" },
	{ "1aa1bb", 0, "ab" },
	{ "1aa1bb", 1, "ba" },
	{ "1aa1bb", 2, "ab" },
	{ "1aa1bb1cc2dd", 1, "bcad" },
	{ "1aa1bb1cc2dd2ee", 2, "cabde" },
	{ "1aa2bb2cc", 3, "acb" },
	{ "1aa1ab1bc", 0, "abc" },
	{ "1aa1ab1bc", 1, "cba" },
	{ "1aa1ab1bc", 2, "abc" },
	{ "1aA1aB1ac1ad", 1, "BAdc" },
	{ "1aA1aB1ac1bd", 1, "dBAc" },
	{ "1aa1ab1ac", UINT32_MAX, "abc" },
};

Test(turned_plan, hosts_of_one_preference_take_turns)
{
	struct plan *plan, *turned;
	char got[16];

	for (size_t i = 0; i < NELEM(cases); i++) {
		plan = plan_of(cases[i].plan);
		turned = plan_turned(plan, cases[i].turn);
		cr_assert_not_null(turned);
		cr_expect_eq(turned->count, plan->count);
		memset(got, 0, sizeof(got));
		for (uint32_t n = 0; n < turned->count; n++)
			got[n] = (char)turned->addresses[n].addr[0];
		cr_expect_str_eq(got, cases[i].want, "%s at turn %u: %s",
		    cases[i].plan, cases[i].turn, got);
		plan_release(plan);
		plan_release(turned);
	}
}
