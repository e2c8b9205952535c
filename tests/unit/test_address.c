/* SPDX-License-Identifier: ISC */
#include "common/address.h"

#include <string.h>

#include <criterion/criterion.h>

#define COUNT(a)  (sizeof(a) / sizeof((a)[0]))
#define L32       "abcdefghijklmnopqrstuvwxyz012345"
#define L63       L32 "abcdefghijklmnopqrstuvwxyz01234"
#define STR(s)    s, sizeof(s) - 1
#define L320      L32 L32 L32 L32 L32 L32 L32 L32 L32 L32
#define L960      L320 L320 L320
#define LONG_NAME L63 "." L63 "." L63

struct row {
	const char *in;
	size_t n;
	enum address_error want;
	const char *path;
	const char *domain;
	enum address_domain_kind kind;
};

/* Both as sender and as recipient. */
static const struct row rows[] = {
	{ STR("ana@example.org"), ADDRESS_OK, "ana@example.org", "example.org",
	    ADDRESS_DOMAIN_NAME },
	{ STR("<Ana.B@Example.ORG>"), ADDRESS_OK, "Ana.B@Example.ORG",
	    "example.org", ADDRESS_DOMAIN_NAME },
	{ STR("a!#$%&'*+-/=?^_`{|}~b@x"), ADDRESS_OK, "a!#$%&'*+-/=?^_`{|}~b@x",
	    "x", ADDRESS_DOMAIN_NAME },
	{ STR("\"a b@c\\\"\"@x.example"), ADDRESS_OK, "\"a b@c\\\"\"@x.example",
	    "x.example", ADDRESS_DOMAIN_NAME },
	{ STR("\"\"@x"), ADDRESS_OK, "\"\"@x", "x", ADDRESS_DOMAIN_NAME },
	{ STR("<@one.example,@[192.0.2.1]:ana@x>"), ADDRESS_OK, "ana@x", "x",
	    ADDRESS_DOMAIN_NAME }, /* S-077 */
	{ STR("@one.example:ana@x"), ADDRESS_OK, "ana@x", "x",
	    ADDRESS_DOMAIN_NAME },
	{ STR("a@" L63 ".x"), ADDRESS_OK, "a@" L63 ".x", L63 ".x",
	    ADDRESS_DOMAIN_NAME }, /* S-079 */
	{ STR("a@x-1.y"), ADDRESS_OK, "a@x-1.y", "x-1.y", ADDRESS_DOMAIN_NAME },
	{ STR(L32 L32 "@x"), ADDRESS_OK, L32 L32 "@x", "x",
	    ADDRESS_DOMAIN_NAME }, /* S-080 */
	{ STR(L32 "abcdefghijklmnopqrstuvwxyz0123@" LONG_NAME), ADDRESS_OK,
	    L32 "abcdefghijklmnopqrstuvwxyz0123@" LONG_NAME, LONG_NAME,
	    ADDRESS_DOMAIN_NAME }, /* 254 octets */
	{ STR("a@[127.0.0.1]"), ADDRESS_OK, "a@[127.0.0.1]", "[127.0.0.1]",
	    ADDRESS_DOMAIN_IPV4 }, /* S-082 */
	{ STR("a@[IPv6:2001:DB8::1]"), ADDRESS_OK, "a@[IPv6:2001:DB8::1]",
	    "[ipv6:2001:db8::1]", ADDRESS_DOMAIN_IPV6 },
	{ STR("a@127.0.0.1"), ADDRESS_OK, "a@127.0.0.1", "127.0.0.1",
	    ADDRESS_DOMAIN_NAME },

	{ STR("a\r@x"), ADDRESS_CONTROL, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("a@x\n"), ADDRESS_CONTROL, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("a\0@x"), ADDRESS_CONTROL, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("\"a\x7f\"@x"), ADDRESS_CONTROL, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("\"a\\\t\"@x"), ADDRESS_CONTROL, "", "", ADDRESS_DOMAIN_NONE },
	/* RFC 6531, 3.3; domains become A-labels. */
	{ STR("\xc3\xa4@x"), ADDRESS_OK, "\xc3\xa4@x", "x",
	    ADDRESS_DOMAIN_NAME },
	{ STR("<\xd0\xb4.a@B\xc3\xbc"
	      "cher.Example>"),
	    ADDRESS_OK, "\xd0\xb4.a@xn--bcher-kva.example",
	    "xn--bcher-kva.example", ADDRESS_DOMAIN_NAME },
	{ STR("a@stra\xc3\x9f"
	      "e.x"),
	    ADDRESS_OK, "a@xn--strae-oqa.x", "xn--strae-oqa.x",
	    ADDRESS_DOMAIN_NAME },
	{ STR("\"\xc3\xa4 \"@x"), ADDRESS_OK, "\"\xc3\xa4 \"@x", "x",
	    ADDRESS_DOMAIN_NAME },
	{ STR("\xff@x"), ADDRESS_NOT_UTF8, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("\xc3@x"), ADDRESS_NOT_UTF8, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("\xed\xa0\x80@x"), ADDRESS_NOT_UTF8, "", "",
	    ADDRESS_DOMAIN_NONE },
	{ STR("\xc0\x80@x"), ADDRESS_NOT_UTF8, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("\xc2\x85@x"), ADDRESS_CONTROL, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("a@\xe2\x80\x8e.x"), ADDRESS_IDN, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("a@\xc3\xa4 b"), ADDRESS_IDN, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("a@\xc3\xa4..b"), ADDRESS_LABEL_EMPTY, "", "",
	    ADDRESS_DOMAIN_NONE },
	{ STR("a@\xc3\xa4\n"), ADDRESS_CONTROL, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("<a@x"), ADDRESS_BRACKETS, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("<"), ADDRESS_BRACKETS, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("a@x>"), ADDRESS_BRACKETS, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("<a@x> SIZE=1"), ADDRESS_BRACKETS, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("a>b@x"), ADDRESS_BRACKETS, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("<\"a\\\">\"b>@x"), ADDRESS_BRACKETS, "", "",
	    ADDRESS_DOMAIN_NONE },
	{ STR("\"a>b\"@x"), ADDRESS_OK, "\"a>b\"@x", "x", ADDRESS_DOMAIN_NAME },
	{ STR("<\"a\\\">b\"@x>"), ADDRESS_OK, "\"a\\\">b\"@x", "x",
	    ADDRESS_DOMAIN_NAME },
	{ STR("<<a@x>"), ADDRESS_LOCAL, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("@one.example"), ADDRESS_NO_LOCAL, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("@one,two:a@x"), ADDRESS_ROUTE, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("@-one:a@x"), ADDRESS_ROUTE, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("@one,:a@x"), ADDRESS_ROUTE, "", "", ADDRESS_DOMAIN_NONE },
	/* In use, and no dot-strings. */
	{ STR(".a@x"), ADDRESS_OK, "\".a\"@x", "x", ADDRESS_DOMAIN_NAME },
	{ STR("a.@x"), ADDRESS_OK, "\"a.\"@x", "x", ADDRESS_DOMAIN_NAME },
	{ STR("<a..b@x>"), ADDRESS_OK, "\"a..b\"@x", "x", ADDRESS_DOMAIN_NAME },
	{ STR(".@x"), ADDRESS_OK, "\".\"@x", "x", ADDRESS_DOMAIN_NAME },
	{ STR("\xc3\xa4.@x"), ADDRESS_OK, "\"\xc3\xa4.\"@x", "x",
	    ADDRESS_DOMAIN_NAME },
	{ STR("\"a..b\"@x"), ADDRESS_OK, "\"a..b\"@x", "x",
	    ADDRESS_DOMAIN_NAME },
	{ STR("a b@x"), ADDRESS_LOCAL, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("\"a@x"), ADDRESS_LOCAL, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("\"a\\"), ADDRESS_LOCAL, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("\"a\"b@x"), ADDRESS_LOCAL, "", "", ADDRESS_DOMAIN_NONE },
	/* S-080 */
	{ STR(L32 L32 "a@x"), ADDRESS_OK, L32 L32 "a@x", "x",
	    ADDRESS_DOMAIN_NAME },
	{ STR(L32 L32 "@" LONG_NAME), ADDRESS_OK, L32 L32 "@" LONG_NAME,
	    LONG_NAME, ADDRESS_DOMAIN_NAME },
	{ STR(L960 L32 "abcdef@x"), ADDRESS_OK, L960 L32 "abcdef@x", "x",
	    ADDRESS_DOMAIN_NAME }, /* 1000 octets */
	{ STR(L960 L32 "abcdefg@x"), ADDRESS_TOO_LONG, "", "",
	    ADDRESS_DOMAIN_NONE },
	{ STR(L960 L32 "abc.@x"), ADDRESS_OK, "\"" L960 L32 "abc.\"@x", "x",
	    ADDRESS_DOMAIN_NAME },
	{ STR(L960 L32 "abcde.@x"), ADDRESS_TOO_LONG, "", "",
	    ADDRESS_DOMAIN_NONE }, /* with its quotes */
	{ STR("a@" LONG_NAME "." L63), ADDRESS_DOMAIN_TOO_LONG, "", "",
	    ADDRESS_DOMAIN_NONE },
	{ STR("ana"), ADDRESS_NO_DOMAIN, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("ana@"), ADDRESS_NO_DOMAIN, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("a@x y"), ADDRESS_DOMAIN, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("a@x@y"), ADDRESS_DOMAIN, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("root@web_1.Internal"), ADDRESS_OK, "root@web_1.Internal",
	    "web_1.internal", ADDRESS_DOMAIN_NAME },
	{ STR("a@_x"), ADDRESS_OK, "a@_x", "_x", ADDRESS_DOMAIN_NAME },
	{ STR("a@x..y"), ADDRESS_LABEL_EMPTY, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("a@.x"), ADDRESS_LABEL_EMPTY, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("<a@x.y.>"), ADDRESS_OK, "a@x.y", "x.y", ADDRESS_DOMAIN_NAME },
	{ STR("a@\xc3\xa4.x."), ADDRESS_OK, "a@xn--4ca.x", "xn--4ca.x",
	    ADDRESS_DOMAIN_NAME },
	{ STR("a@x.."), ADDRESS_LABEL_EMPTY, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("a@."), ADDRESS_LABEL_EMPTY, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("a@" L63 "a"), ADDRESS_LABEL_TOO_LONG, "", "",
	    ADDRESS_DOMAIN_NONE },
	{ STR("a@-x"), ADDRESS_LABEL_HYPHEN, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("a@x-.y"), ADDRESS_LABEL_HYPHEN, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("a@[]"), ADDRESS_LITERAL, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("a@["), ADDRESS_LITERAL, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("a@[127.0.0.256]"), ADDRESS_LITERAL, "", "",
	    ADDRESS_DOMAIN_NONE },
	{ STR("a@[2001:db8::1]"), ADDRESS_LITERAL, "", "",
	    ADDRESS_DOMAIN_NONE },
	{ STR("a@[IPv6:]"), ADDRESS_LITERAL, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("a@[IPv6:127.0.0.1]"), ADDRESS_LITERAL, "", "",
	    ADDRESS_DOMAIN_NONE },
	{ STR("a@[x400:c=de]"), ADDRESS_LITERAL, "", "", ADDRESS_DOMAIN_NONE },
	{ STR("a@[127.0.0.1]x"), ADDRESS_DOMAIN, "", "", ADDRESS_DOMAIN_NONE },
};

static void
check(const struct row *row, const struct address *addr, enum address_error got)
{
	cr_expect_eq(got, row->want, "%s: %s, want %s", row->in,
	    address_error_text(got), address_error_text(row->want));
	cr_expect_str_eq(addr->path, row->path);
	cr_expect_str_eq(addr->domain, row->domain, "%s", row->in);
	cr_expect_eq(addr->kind, row->kind, "%s", row->in);
	if (addr->kind != ADDRESS_DOMAIN_NONE)
		cr_expect_eq(addr->path[addr->local_len], '@');
}

Test(address, paths_follow_the_grammar)
{
	struct address addr;

	for (size_t i = 0; i < COUNT(rows); i++) {
		check(&rows[i], &addr,
		    address_parse_forward_path(&addr, rows[i].in, rows[i].n));
		check(&rows[i], &addr,
		    address_parse_reverse_path(&addr, rows[i].in, rows[i].n));
	}
}

Test(address, only_a_reverse_path_may_be_empty)
{
	struct address addr;

	cr_expect_eq(address_parse_reverse_path(&addr, "", 0), ADDRESS_OK);
	cr_expect_eq(address_parse_reverse_path(&addr, "<>", 2), ADDRESS_OK);
	cr_expect_eq(addr.kind, ADDRESS_DOMAIN_NONE);
	cr_expect_eq(address_parse_forward_path(&addr, "", 0), ADDRESS_EMPTY);
	cr_expect_eq(address_parse_forward_path(&addr, "<>", 2), ADDRESS_EMPTY);
}

Test(address, only_a_forward_path_may_be_postmaster_alone)
{
	struct address addr;

	cr_expect_eq(address_parse_forward_path(&addr, "<PostMaster>", 12),
	    ADDRESS_OK);
	cr_expect_str_eq(addr.path, "PostMaster");
	cr_expect_eq(addr.kind, ADDRESS_DOMAIN_NONE);
	cr_expect_eq(address_parse_reverse_path(&addr, "postmaster", 10),
	    ADDRESS_NO_DOMAIN);
	cr_expect_eq(address_parse_forward_path(&addr, "postmasters", 11),
	    ADDRESS_NO_DOMAIN);
}

Test(address, host_names_are_names_and_no_addresses)
{
	static const struct {
		const char *name;
		bool want;
	} names[] = {
		{ "mx.example.org", true },
		{ "localhost", true },
		{ L63 ".example", true },
		{ "1.example", true },
		{ "xn--bcher-kva.example", true },
		{ "", false },
		{ "127.0.0.1", false },
		{ "::1", false },
		{ "[127.0.0.1]", false },
		{ "mx.example.org.", false },
		{ "a..b", false },
		{ "-a", false },
		{ "mail_relay", false },
		{ "_a.b_", false },
		{ "a b", false },
		{ L63 "a.example", false },
		{ LONG_NAME "." L63, false },
	};

	for (size_t i = 0; i < COUNT(names); i++) {
		cr_expect_eq(address_domain_is_host_name(names[i].name),
		    names[i].want, "%s", names[i].name);
		cr_expect_eq(address_domain_is_dns_name(names[i].name),
		    names[i].want || strchr(names[i].name, '_') != NULL, "%s",
		    names[i].name);
	}
}

Test(address, hosts_that_a_certificate_can_name)
{
	cr_expect(address_is_host("mx.example"));
	cr_expect(address_is_host("192.0.2.1"));
	cr_expect(address_is_host("2001:db8::1"));
	cr_expect(!address_is_host(""));
	cr_expect(!address_is_host("mx_1.example"));
	cr_expect(!address_is_host("[192.0.2.1]"));
	cr_expect(!address_is_host("/run/lmtp"));
}

Test(address, every_error_has_a_sentence)
{
	for (int i = 0; i <= ADDRESS_ERROR_COUNT; i++)
		cr_expect(
		    strlen(address_error_text((enum address_error)i)) > 10);
}
