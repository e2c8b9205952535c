/* SPDX-License-Identifier: ISC */
#include "master/queue/destination_facts.h"

#include <criterion/criterion.h>

Test(destination_facts, twice_the_same_number_is_a_limit)
{
	struct destination_facts f = { 0 };

	cr_expect_not(destination_facts_note_end(&f, 5, 100, 1000));
	cr_expect_eq(destination_facts_limit(&f, 100), 0);
	cr_expect_not(destination_facts_note_end(&f, 7, 200, 1000));
	cr_expect_not(destination_facts_note_end(&f, 0, 250, 1000)); /* idle */
	cr_expect(destination_facts_note_end(&f, 7, 300, 1000));
	cr_expect_not(destination_facts_note_end(&f, 7, 400, 1000));
	cr_expect_eq(destination_facts_limit(&f, 1399), 7);
	cr_expect_eq(destination_facts_limit(&f, 1400), 0);
	cr_expect_not(destination_facts_note_end(&f, 7, 1500, 0));
}

Test(destination_facts, bdat_is_known_of_one_server_for_a_while)
{
	struct destination_facts f = { 0 };
	struct msg_dial a = { .family = 2, .port = 25 }, b = { .family = 2 };

	cr_expect_not(destination_facts_has_chunking(&f, &b, 0));
	destination_facts_note_chunking(&f, &a, 100, 1000);
	cr_expect(destination_facts_has_chunking(&f, &a, 1099));
	cr_expect_not(destination_facts_has_chunking(&f, &b, 1099));
	cr_expect_not(destination_facts_has_chunking(&f, &a, 1100));
	destination_facts_note_chunking(&f, &a, 100, 1000);
	destination_facts_forget_chunking(&f);
	cr_expect_not(destination_facts_has_chunking(&f, &a, 200));
}
