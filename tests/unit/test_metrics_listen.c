/* SPDX-License-Identifier: ISC */
/* Where metrics may be told. */
#include "master/metrics_listen.h"

#include <criterion/criterion.h>

#include "common/util.h"

static const struct {
	const char *text;
	bool good;
	bool loopback;
} cases[] = {
	{ "127.0.0.1:9154", true, true },
	{ "127.9.9.9:1", true, true },
	{ "[::1]:65535", true, true },
	{ "0.0.0.0:9154", true, false },
	{ "192.0.2.1:9154", true, false },
	{ "[::]:9154", true, false },
	{ "[::ffff:127.0.0.1]:9154", true, false },
	{ "localhost:9154", false, false },
	{ "127.0.0.1", false, false },
	{ "127.0.0.1:", false, false },
	{ "127.0.0.1:0", false, false },
	{ "127.0.0.1:65536", false, false },
	{ ":9154", false, false },
	{ "[127.0.0.1]:9154", false, false },
	{ "::1:9154", false, false },
	{ "[::1:9154", false, false },
	{ "[]:9154", false, false },
	{ "[1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1]:1", false,
	    false },
};

Test(metrics_listen, an_address_is_a_number_and_has_a_port)
{
	struct sockaddr_storage to;
	const char *why;
	socklen_t len;
	bool loopback;
	size_t i;

	for (i = 0; i < NELEM(cases); i++) {
		loopback = false;
		why = metrics_listen_parse(cases[i].text, &to, &len, &loopback);
		cr_expect_eq(why == NULL, cases[i].good, "%s: %s",
		    cases[i].text, why != NULL ? why : "");
		cr_expect_eq(loopback, cases[i].loopback, "%s", cases[i].text);
	}
}
