/* SPDX-License-Identifier: ISC */
#include "master/server_match.h"

#include <sys/socket.h>

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <string.h>

#define NELEM(a) (sizeof(a) / sizeof((a)[0]))

/* A label of 63 octets, and its dot. */
#define LABEL "a123456789b123456789c123456789d123456789e123456789f123456789abc."

static const struct {
	const char *word;
	const char *name; /* as it is written again; NULL: refused */
} parse_cases[] = {
	{ "MX.Example.Net", "mx.example.net" },
	{ ".Example.net", ".example.net" },
	{ "localhost", "localhost" },
	{ LABEL LABEL LABEL
	    "a123456789b123456789c123456789d123456789e123456789f",
	    LABEL LABEL LABEL
	    "a123456789b123456789c123456789d123456789e123456789f" },
	{ "192.0.2.1", "192.0.2.1" },
	{ "192.0.2.1/32", "192.0.2.1" },
	{ "[192.0.2.1]", "192.0.2.1" },
	{ "192.0.2.0/24", "192.0.2.0/24" },
	{ "[192.0.2.0/24]", "192.0.2.0/24" },
	{ "[192.0.2.0]/24", "192.0.2.0/24" },
	{ "0.0.0.0/0", "0.0.0.0/0" },
	{ "192.0.2.128/25", "192.0.2.128/25" },
	{ "2001:DB8::/32", "2001:db8::/32" },
	{ "[2001:db8::]/32", "2001:db8::/32" },
	{ "[2001:db8:0::/32]", "2001:db8::/32" },
	{ "[IPv6:2001:db8::1]", "2001:db8::1" },
	{ "::/0", "::/0" },
	{ "::1/128", "::1" },
	{ "", NULL },
	{ ".", NULL },
	{ "*", NULL },
	{ "a..b", NULL },
	{ "..a", NULL },
	{ "a.", NULL },
	{ "a_b", "a_b" },
	{ "a b", NULL },
	{ "host:25", NULL },
	{ "unix:/run/x", NULL },
	{ "mx.example.net/24", NULL },
	{ LABEL LABEL LABEL LABEL "a", NULL },
	{ "192.0.2.1/24", NULL },
	{ "192.0.2.0/33", NULL },
	{ "192.0.2.0/", NULL },
	{ "192.0.2.0/-1", NULL },
	{ "192.0.2.0/+8", NULL },
	{ "192.0.2.0/24x", NULL },
	{ "192.0.2.0/0000", NULL },
	{ "192.0.2.0/24/24", NULL },
	{ "192.0.2", NULL },
	{ "192.0.2.256", NULL },
	{ "2001:db8::1/32", NULL },
	{ "2001:db8::/129", NULL },
	{ "2001:db8::/4294967328", NULL },
	{ "[192.0.2.1", NULL },
	{ "192.0.2.1]", NULL },
	{ "[192.0.2.]1", NULL },
	{ "[192.0.2.0/2]4", NULL },
	{ "[[192.0.2.1]]", NULL },
	{ "[]", NULL },
	{ "[mx.example.net]", NULL },
	{ "[IPv6:192.0.2.1]", NULL },
	{ "fe80::1%eth0", NULL },
};

Test(server_match, what_is_a_title_is_written_in_one_way)
{
	struct server_match match;
	const char *wrong;

	for (size_t i = 0; i < NELEM(parse_cases); i++) {
		wrong = server_match_parse(parse_cases[i].word, &match);
		cr_expect_eq(wrong == NULL, parse_cases[i].name != NULL,
		    "%s: %s", parse_cases[i].word, wrong);
		if (wrong == NULL)
			cr_expect_str_eq(match.name, parse_cases[i].name);
	}
}

static const struct {
	const char *title, *host, *address;
	bool fits;
} fit_cases[] = {
	{ "mx.example.net", "MX.example.NET", "192.0.2.1", true },
	{ "mx.example.net", "a.mx.example.net", "192.0.2.1", false },
	{ "mx.example.net", "example.net", "192.0.2.1", false },
	{ ".example.net", "mx.EXAMPLE.net", "192.0.2.1", true },
	{ ".example.net", "a.b.example.net", "::1", true },
	{ ".example.net", "example.net", "192.0.2.1", false },
	{ ".example.net", ".example.net", "192.0.2.1", false },
	{ ".example.net", "notexample.net", "192.0.2.1", false },
	{ ".net", "", "192.0.2.1", false },
	{ "192.0.2.1", "a", "192.0.2.1", true },
	{ "192.0.2.1", "192.0.2.1", "192.0.2.2", false },
	{ "192.0.2.0/24", "a", "192.0.2.255", true },
	{ "192.0.2.0/24", "a", "192.0.3.0", false },
	{ "192.0.2.128/25", "a", "192.0.2.127", false },
	{ "192.0.2.128/25", "a", "192.0.2.128", true },
	{ "192.0.2.128/31", "a", "192.0.2.129", true },
	{ "192.0.2.128/31", "a", "192.0.2.130", false },
	{ "128.0.0.0/1", "a", "255.0.0.1", true },
	{ "128.0.0.0/1", "a", "127.0.0.1", false },
	{ "0.0.0.0/0", "a", "255.255.255.255", true },
	{ "0.0.0.0/0", "a", "::1", false },
	{ "::/0", "a", "127.0.0.1", false },
	{ "2001:db8::/33", "a", "2001:db8:7fff::1", true },
	{ "2001:db8::/33", "a", "2001:db8:8000::1", false },
	{ "::1", "a", "::1", true },
	{ "::1", "a", "::2", false },
};

Test(server_match, a_server_fits_or_it_does_not)
{
	struct server_match match;
	uint8_t addr[16] = { 0 };
	int family;

	for (size_t i = 0; i < NELEM(fit_cases); i++) {
		family = strchr(fit_cases[i].address, ':') != NULL ? AF_INET6
								   : AF_INET;
		cr_assert_eq(inet_pton(family, fit_cases[i].address, addr), 1);
		cr_assert_null(server_match_parse(fit_cases[i].title, &match));
		cr_expect_eq(server_match_weigh(&match, fit_cases[i].host,
				 family, addr) > 0,
		    fit_cases[i].fits, "%s: %s[%s]", fit_cases[i].title,
		    fit_cases[i].host, fit_cases[i].address);
		cr_expect_eq(server_match_weigh(&match, fit_cases[i].host,
				 AF_UNIX, addr),
		    0);
	}
}

Test(server_match, the_longer_match_weighs_more)
{
	static const char *const titles[] = { "0.0.0.0/0", "192.0.0.0/8",
		"192.0.2.0/24", "192.0.2.1", ".net", ".example.net",
		".b.example.net", "a.b.example.net" };
	struct server_match match;
	unsigned weight, before = 0;
	uint8_t addr[16];

	cr_assert_eq(inet_pton(AF_INET, "192.0.2.1", addr), 1);
	for (size_t i = 0; i < NELEM(titles); i++) {
		cr_assert_null(server_match_parse(titles[i], &match));
		weight = server_match_weigh(&match, "a.b.example.net", AF_INET,
		    addr);
		cr_expect_gt(weight, before, "%s", titles[i]);
		before = weight;
	}
}
