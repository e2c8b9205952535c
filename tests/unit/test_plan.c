/* SPDX-License-Identifier: ISC */
/* A destination's plan: what is tried, in which order, and what never is. */
#include "master/resolver/plan.h"

#include <sys/socket.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "common/util.h"

static struct plan plan;
static struct plan_address out[PLAN_ADDRESSES_MAX];

/* Numbers as a test wrote them down, then the last one for ever. */
static const uint32_t *script;
static size_t nscript;

static uint32_t
scripted(uint32_t n)
{
	uint32_t r = nscript > 0 ? script[0] : 0;

	if (nscript > 1) {
		script++;
		nscript--;
	}
	return r % n;
}

static void
use_script(const uint32_t *numbers, size_t n)
{
	script = numbers;
	nscript = n;
}

static void
set_up(void)
{
	memset(&plan, 0, sizeof(plan));
	use_script(NULL, 0);
}

TestSuite(plan, .init = set_up);

/* The rdata of an MX record; its length. */
static size_t
rdata_of(uint16_t preference, const char *name, uint8_t *rdata)
{
	size_t at = 2, len;

	rdata[0] = (uint8_t)(preference >> 8);
	rdata[1] = (uint8_t)preference;
	while (*name != '\0') {
		len = strcspn(name, ".");
		rdata[at++] = (uint8_t)len;
		memcpy(rdata + at, name, len);
		at += len;
		name += len + (name[len] == '.');
	}
	rdata[at++] = 0;
	return at;
}

static void
add_mx(uint16_t preference, const char *name)
{
	uint8_t rdata[512];
	size_t len = rdata_of(preference, name, rdata);

	plan_add_mx(&plan, rdata, len, scripted);
}

static void
add(size_t host, const char *text)
{
	uint8_t octets[16];
	int family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;

	cr_assert_eq(inet_pton(family, text, octets), 1, "%s", text);
	plan_add_address(&plan, host, family, octets, 25);
}

/* The hosts as "a b c". */
static const char *
hosts(void)
{
	static char text[PLAN_HOSTS_MAX * MSG_HOST_SIZE];
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < plan.nhosts; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
		    i > 0 ? " " : "", plan.hosts[i].name);
	return text;
}

/* The addresses in the order to try, as "192.0.2.1 2001:db8::1". */
static const char *
order(unsigned prefer, size_t max)
{
	static char text[PLAN_ADDRESSES_MAX * 64];
	char word[INET6_ADDRSTRLEN];
	size_t len = 0, n;

	text[0] = '\0';
	n = plan_finish(&plan, prefer, out, max, scripted);
	cr_assert_leq(n, max);
	for (size_t i = 0; i < n; i++) {
		cr_assert_not_null(
		    inet_ntop(out[i].family, out[i].addr, word, sizeof(word)));
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
		    i > 0 ? " " : "", word);
	}
	return text;
}

Test(plan, hosts_come_by_preference)
{
	add_mx(20, "b.example");
	add_mx(0, "z.example");
	add_mx(65535, "d.example");
	add_mx(10, "a.example");
	add_mx(30, "c.example");
	cr_expect_str_eq(hosts(),
	    "z.example a.example b.example c.example d.example");
	cr_expect_not(plan.null_mx);
}

Test(plan, equal_hosts_come_as_chance_has_it)
{
	static const uint32_t numbers[] = { 30, 10, 20, 5 };

	use_script(numbers, NELEM(numbers));
	add_mx(10, "a.example");
	add_mx(10, "b.example");
	add_mx(10, "c.example");
	add_mx(5, "first.example");
	cr_expect_str_eq(hosts(),
	    "first.example b.example c.example a.example");
}

Test(plan, of_too_many_hosts_the_most_preferred_stay)
{
	char name[32], want[PLAN_HOSTS_MAX * 16] = "";
	size_t len = 0;

	for (unsigned i = 0; i < 3 * PLAN_HOSTS_MAX; i++) { /* worst first */
		(void)snprintf(name, sizeof(name), "h%u.example",
		    3 * PLAN_HOSTS_MAX - i);
		add_mx((uint16_t)(3 * PLAN_HOSTS_MAX - i), name);
	}
	add_mx(1000, "last.example");
	for (unsigned i = 1; i <= PLAN_HOSTS_MAX; i++)
		len += (size_t)snprintf(want + len, sizeof(want) - len,
		    "%sh%u.example", i > 1 ? " " : "", i);
	cr_expect_eq(plan.nhosts, PLAN_HOSTS_MAX);
	cr_expect_str_eq(hosts(), want);
}

Test(plan, a_null_mx_says_no_mail)
{
	add_mx(0, "");
	cr_expect(plan.null_mx);
	cr_expect_eq(plan.nhosts, 0);
}

/* What a name server may send instead of a name. */
static const struct {
	const char *octets;
	size_t n;
	const char *why;
} lies[] = {
	{ "", 0, "nothing" },
	{ "\0", 1, "half a preference" },
	{ "\0\12", 2, "no name" },
	{ "\0\12\1a", 4, "no end" },
	{ "\0\12\5a\0", 5, "a label beyond the end" },
	{ "\0\12\1a\0x", 6, "octets behind the end" },
	{ "\0\12\300\14", 4, "a pointer" },
	{ "\0\12\100a\0", 5, "a label of 64" },
	{ "\0\12\3a b\0", 7, "a space" },
	{ "\0\12\3a\r\n\0", 7, "a line end" },
	{ "\0\12\3a\0b\0", 7, "a NUL" },
	{ "\0\12\3a.b\0", 7, "a dot inside a label" },
};

Test(plan, a_name_that_is_none_is_left_out)
{
	for (size_t i = 0; i < NELEM(lies); i++) {
		plan_add_mx(&plan, (const uint8_t *)lies[i].octets, lies[i].n,
		    scripted);
		cr_expect_eq(plan.nhosts, 0, "%s", lies[i].why);
		cr_expect_not(plan.null_mx, "%s", lies[i].why);
		plan.nhosts = 0;
	}
}

Test(plan, a_name_that_many_a_real_host_has_is_taken)
{
	add_mx(10, "my_host-.example");
	cr_expect_str_eq(hosts(), "my_host-.example");
}

Test(plan, a_name_of_the_longest_kind_is_taken)
{
	char name[300] = "";
	uint8_t rdata[512];
	size_t len;

	for (int i = 0; i < 3; i++)
		strcat(name,
		    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		    "aaaaaaaaaaaaaaaa.");
	strcat(name,
	    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	    "bbbbb"); /* 253 octets */
	cr_assert_eq(strlen(name), 253);
	add_mx(1, name);
	cr_expect_str_eq(hosts(), name);
	strcat(name, ".toolong");
	plan.nhosts = 0;
	len = rdata_of(1, name, rdata);
	plan_add_mx(&plan, rdata, len, scripted);
	cr_expect_eq(plan.nhosts, 0);
}

Test(plan, a_host_stands_for_itself_without_mx)
{
	plan_add_host(&plan, "mail.example");
	add(0, "192.0.2.1");
	cr_expect_str_eq(hosts(), "mail.example");
	cr_expect_str_eq(order(0, 10), "192.0.2.1");
	cr_expect_str_eq(out[0].host, "mail.example");
	cr_expect_eq(out[0].port, 25);
}

Test(plan, a_family_that_is_preferred_comes_first)
{
	plan_add_host(&plan, "h.example");
	add(0, "192.0.2.1");
	add(0, "2001:db8::1");
	add(0, "192.0.2.2");
	add(0, "2001:db8::2");
	/* scripted() says 0: each step swaps the last with the first */
	cr_expect_str_eq(order(4, 10),
	    "192.0.2.2 192.0.2.1 2001:db8::2 2001:db8::1");
	order(6, 10);
	cr_expect_eq(out[0].family, AF_INET6);
	cr_expect_eq(out[1].family, AF_INET6);
	cr_expect_eq(out[2].family, AF_INET);
	cr_expect_eq(out[3].family, AF_INET);
}

Test(plan, a_hosts_addresses_come_as_chance_has_it)
{
	static const uint32_t stay[] = { 2, 1 }, turn[] = { 0, 1 };

	plan_add_host(&plan, "h.example");
	add(0, "192.0.2.1");
	add(0, "192.0.2.2");
	add(0, "192.0.2.3");
	use_script(stay, NELEM(stay));
	cr_expect_str_eq(order(0, 10), "192.0.2.1 192.0.2.2 192.0.2.3");
	use_script(turn, NELEM(turn));
	cr_expect_str_eq(order(0, 10), "192.0.2.3 192.0.2.2 192.0.2.1");
}

Test(plan, hosts_do_not_mix_and_the_most_is_kept_to)
{
	static const uint32_t stay[] = { 1 };

	use_script(stay, NELEM(stay));
	add_mx(20, "b.example");
	add_mx(10, "a.example");
	add(1, "192.0.2.3"); /* of b, the second */
	add(1, "192.0.2.4");
	add(0, "192.0.2.1");
	add(0, "192.0.2.2");
	cr_expect_str_eq(order(0, 10),
	    "192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4");
	cr_expect_eq(out[0].preference, 10);
	cr_expect_eq(out[3].preference, 20);
	cr_expect_str_eq(out[3].host, "b.example");
	cr_expect_str_eq(order(0, 3), "192.0.2.1 192.0.2.2 192.0.2.3");
	cr_expect_str_eq(order(0, 0), "");
}

Test(plan, of_too_many_addresses_each_family_has_its_share)
{
	char text[64];

	plan_add_host(&plan, "h.example");
	for (unsigned i = 1; i <= 100; i++) {
		(void)snprintf(text, sizeof(text), "192.0.2.%u", i);
		add(0, text);
	}
	add(0, "2001:db8::1");
	cr_expect_eq(plan.hosts[0].naddresses, PLAN_HOST_ADDRESSES_MAX + 1);
	order(6, PLAN_ADDRESSES_MAX);
	cr_expect_eq(out[0].family, AF_INET6);
}

/* Loops to ourselves. */

static struct plan_address ours[2];

static struct plan_self
self_of(const char *hostname)
{
	cr_assert(plan_parse_literal("192.0.2.99", true, &ours[0]));
	cr_assert(plan_parse_literal("2001:db8::99", true, &ours[1]));
	return (struct plan_self){ hostname, ours, NELEM(ours) };
}

static const struct {
	const char *address; /* of the host of preference 20 */
	const char *hostname;
	bool loopback;
	bool loop;
} loops[] = {
	{ "192.0.2.1", "me.example", false, false },
	{ "192.0.2.99", "me.example", false, true },
	{ "192.0.2.99", "me.example", true, true },
	{ "2001:db8::99", "", false, true },
	{ "2001:db8::98", "", false, false }, { "127.0.0.1", "", false, true },
	{ "127.0.0.1", "", true, false },
	{ "127.255.255.254", "", false, true },
	{ "128.0.0.1", "", false, false }, { "0.0.0.0", "", false, true },
	{ "::1", "", false, true }, { "::1", "", true, false },
	{ "::", "", false, true }, { "::2", "", false, false },
	{ "::ffff:127.0.0.1", "", false, true },
	{ "::ffff:192.0.2.1", "", false, false },
	{ "::ffff:192.0.2.99", "", false, true },
	{ "192.0.2.1", "B.Example", false, true }, /* its name */
};

Test(plan, what_is_ourselves_goes_and_all_that_is_no_better)
{
	for (size_t i = 0; i < NELEM(loops); i++) {
		struct plan_self self = self_of(loops[i].hostname);

		memset(&plan, 0, sizeof(plan));
		add_mx(10, "a.example");
		add_mx(20, "b.example");
		add_mx(20, "b2.example");
		add_mx(30, "c.example");
		for (size_t h = 0; h < 4; h++)
			add(h,
			    strcmp(plan.hosts[h].name, "b.example") == 0
				? loops[i].address
				: "192.0.2.50");
		plan_drop_loops(&plan, &self, loops[i].loopback);
		cr_expect_eq(plan.had_loop, loops[i].loop, "row %zu, %s", i,
		    loops[i].address);
		cr_expect_eq(plan.nhosts, loops[i].loop ? 1 : 4, "row %zu, %s",
		    i, loops[i].address);
	}
}

Test(plan, where_the_best_is_ourselves_nothing_stays)
{
	struct plan_self self = self_of("");

	add_mx(10, "a.example");
	add_mx(20, "b.example");
	add(0, "192.0.2.99");
	add(1, "192.0.2.1");
	plan_drop_loops(&plan, &self, false);
	cr_expect_eq(plan.nhosts, 0);
	cr_expect(plan.had_loop);
}

static const struct {
	const char *text;
	int family; /* 0: no literal */
	const char *address;
} literals[] = {
	{ "[192.0.2.1]", AF_INET, "192.0.2.1" },
	{ "192.0.2.1", AF_INET, "192.0.2.1" },
	{ "[IPv6:2001:db8::1]", AF_INET6, "2001:db8::1" },
	{ "[ipv6:2001:DB8::1]", AF_INET6, "2001:db8::1" },
	{ "2001:db8::1", AF_INET6, "2001:db8::1" },
	{ "[IPv6:::ffff:192.0.2.1]", AF_INET6, "::ffff:192.0.2.1" },
	{ "[IPv6:192.0.2.1]", 0, NULL },
	{ "[]", 0, NULL },
	{ "[", 0, NULL },
	{ "]", 0, NULL },
	{ "", 0, NULL },
	{ "[192.0.2.1", 0, NULL },
	{ "192.0.2.1]", 0, NULL },
	{ "[[192.0.2.1]]", 0, NULL },
	{ "[192.0.2]", 0, NULL },
	{ "[192.0.2.256]", 0, NULL },
	{ "[192.0.2.01]", 0, NULL },
	{ "[IPv6:]", 0, NULL },
	{ "[IPv6:2001:db8::1%eth0]", 0, NULL },
	{ "[x:y]", 0, NULL },
	{ "example.org", 0, NULL },
};

Test(plan, literals_are_told_from_names)
{
	char word[INET6_ADDRSTRLEN], longer[2 * MSG_HOST_SIZE];
	struct plan_address a;

	for (size_t i = 0; i < NELEM(literals); i++) {
		/* a recipient's domain without brackets is a name */
		cr_expect_eq(plan_parse_literal(literals[i].text, false, &a),
		    literals[i].family != 0 && literals[i].text[0] == '[', "%s",
		    literals[i].text);
		memset(&a, 0xff, sizeof(a));
		cr_expect_eq(plan_parse_literal(literals[i].text, true, &a),
		    literals[i].family != 0, "%s", literals[i].text);
		if (literals[i].family == 0)
			continue;
		cr_expect_eq(a.family, literals[i].family);
		cr_assert_not_null(
		    inet_ntop(a.family, a.addr, word, sizeof(word)));
		cr_expect_str_eq(word, literals[i].address, "%s",
		    literals[i].text);
	}
	memset(longer, '1', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	cr_expect_not(plan_parse_literal(longer, true, &a));
}
