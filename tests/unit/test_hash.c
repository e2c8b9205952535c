/* SPDX-License-Identifier: ISC */
/* Nobody can choose names that meet in one bucket. */
#include "common/hash.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "common/util.h"
#include "master/queue/schedule_internal.h"

enum {
	HASH_NAMES = 300,
};

/* By another implementation, with a key of zeros: of 5 in eight octets, and the name. */
Test(hash, it_is_siphash)
{
	static const char name[] = "mail.example.org";

	cr_expect_eq(hash_octets(name, strlen(name), 5), 0x44f473a456c4c40d);
	cr_expect_eq(hash_octets(name, 9, 5), 0xbbedde957597beeb);
	cr_expect_neq(hash_octets(name, 9, 6), hash_octets(name, 9, 5));
}

/* As with what was foreseen by a process with another key. */
Test(hash, names_that_were_chosen_to_meet_do_not)
{
	static char names[HASH_NAMES][32];
	static unsigned met[SCHEDULE_BUCKETS];
	unsigned most = 0, number = 0;
	size_t i;

	for (i = 0; i < HASH_NAMES;) {
		(void)snprintf(names[i], sizeof(names[i]), "h%x.example",
		    number++);
		i += schedule_hash(names[i], 0) == 7;
	}
	cr_assert_eq(hash_draw_key(), 0);
	for (i = 0; i < HASH_NAMES; i++) {
		unsigned *n = &met[schedule_hash(names[i], 0)];

		if (++*n > most)
			most = *n;
	}
	cr_expect_lt(most, 10, "%u of %d in one bucket", most, HASH_NAMES);
}
