/* SPDX-License-Identifier: ISC */
/* Where the service manager is, and how often it wants to hear of us. */
#include "master/notify.h"

#include <stddef.h>
#include <string.h>

#include <criterion/criterion.h>

#include "common/util.h"

Test(notify, an_address_is_a_path_or_an_abstract_name)
{
	static const struct {
		const char *text;
		socklen_t extra; /* behind the family; 0: refused */
	} cases[] = {
		{ "/run/systemd/notify", 20 },
		{ "@/org/a", 7 },
		{ "@x", 2 },
		{ "", 0 },
		{ "/", 0 },
		{ "@", 0 },
		{ "run/notify", 0 },
		{ "vsock:2:1234", 0 },
	};
	struct sockaddr_un un;
	socklen_t len;

	for (size_t i = 0; i < NELEM(cases); i++) {
		len = notify_address(cases[i].text, &un);
		if (cases[i].extra == 0) {
			cr_expect_eq(len, 0, "%s", cases[i].text);
			continue;
		}
		cr_expect_eq(len,
		    offsetof(struct sockaddr_un, sun_path) + cases[i].extra,
		    "%s", cases[i].text);
		cr_expect_eq(un.sun_path[0],
		    cases[i].text[0] == '@' ? '\0' : '/');
		cr_expect_eq(memcmp(un.sun_path + 1, cases[i].text + 1,
				 strlen(cases[i].text) - 1),
		    0);
	}
}

Test(notify, an_address_that_does_not_fit_is_refused)
{
	char text[200];
	struct sockaddr_un un;

	memset(text, 'a', sizeof(text));
	text[0] = '/';
	text[108] = '\0';
	cr_expect_eq(notify_address(text, &un), 0);
	text[107] = '\0';
	cr_expect_gt(notify_address(text, &un), 0);
}

Test(notify, the_watchdog_is_fed_at_half_of_its_time)
{
	static const struct {
		const char *usec, *pid;
		int64_t ms;
	} cases[] = {
		{ "30000000", "42", 15000 },
		{ "30000000", NULL, 15000 },
		{ "30000000", "41", 0 },
		{ "30000000", "x", 0 },
		{ NULL, "42", 0 },
		{ "0", "42", 0 },
		{ "", NULL, 0 },
		{ "1", NULL, 1 },
		{ "-5", NULL, 0 },
	};

	for (size_t i = 0; i < NELEM(cases); i++)
		cr_expect_eq(
		    notify_watchdog_ms(cases[i].usec, cases[i].pid, 42),
		    cases[i].ms, "case %zu", i);
}
