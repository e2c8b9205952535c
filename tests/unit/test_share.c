/* SPDX-License-Identifier: ISC */
/* What each user, and each address, has of the intake. */
#include "master/clients/clients.h"

#include <sys/socket.h>

#include <criterion/criterion.h>

static struct clients cs;

Test(share, a_user_an_address_and_another_are_three)
{
	struct share_key user = { .family = AF_UNIX, .uid = 7 };
	struct share_key address = { .family = AF_INET, .addr = { 192, 0, 2 } };
	struct share_key other = { .family = AF_INET6, .addr = { 192, 0, 2 } };
	struct share *one, *two, *three;

	one = share_join(&cs, &user, 2);
	two = share_join(&cs, &address, 2);
	three = share_join(&cs, &other, 2);
	cr_assert(one != NULL && two != NULL && three != NULL);
	cr_expect(one != two && two != three && one != three);
	cr_expect_eq(share_join(&cs, &user, 2), one);
	cr_expect_null(share_join(&cs, &user, 2), "it has two");
	share_leave(one);
	cr_expect_eq(share_join(&cs, &user, 2), one);
}

Test(share, nobody_fills_memory_for_all)
{
	struct share_key key = { .family = AF_UNIX };
	struct config config = { .message_size_limit = 100 };
	struct share *share[6];

	cs.config = &config;
	for (uint32_t i = 0; i < 6; i++) {
		key.uid = i;
		share[i] = share_join(&cs, &key, 1);
		cr_assert_not_null(share[i]);
	}
	share_hold(&cs, share[0], 799);
	cr_expect(share_has_room(&cs, share[0]));
	share_hold(&cs, share[0], 1);
	cr_expect_not(share_has_room(&cs, share[0]), "8 messages of its own");
	cr_expect(share_has_room(&cs, share[1]));
	for (int i = 1; i < 5; i++)
		share_hold(&cs, share[i], 600);
	cr_expect_not(share_has_room(&cs, share[5]), "32 messages of all");
	share_release(&cs, share[0], 800);
	cr_expect(share_has_room(&cs, share[5]));
	cr_expect(share_has_room(&cs, share[0]));
}

Test(share, each_has_half_of_what_others_leave)
{
	unsigned used = 0, of_one;

	for (unsigned i = 0; i < 5; i++) {
		for (of_one = 0; share_is_fair(of_one, used, 1000); of_one++)
			used++;
		cr_expect_geq(of_one, 1000u >> (i + 1), "%u: %u", i, of_one);
		cr_expect_leq(of_one, (1000u >> (i + 1)) + 1);
	}
	cr_expect_lt(used, 1000);
	cr_expect_not(share_is_fair(0, 1000, 1000));
}
