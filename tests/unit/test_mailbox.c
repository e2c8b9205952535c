/* SPDX-License-Identifier: ISC */
#include "master/control/sendmail/mailbox.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/util.h"
#include "master/control/sendmail/header_field.h"

/* want: addresses with a space between them; "!" is a BAD. */
static const struct {
	const char *in;
	const char *want;
} lists[] = {
	{ "", "" },
	{ " \t\r\n ", "" },
	{ ",,;", "" },
	{ "a@b", "a@b" },
	{ "root", "root" },
	{ "a@b,c@d", "a@b c@d" },
	{ "a@b , c@d,", "a@b c@d" },
	{ "<a@b>", "a@b" },
	{ "Ana <a@b>, B <c@d>", "a@b c@d" },
	{ "\"Last, First\" <a@b>", "a@b" },
	{ "\"a b\"@c", "\"a b\"@c" },
	{ "\"a\\\"b\"@c", "\"a\\\"b\"@c" },
	{ "a @ b . c", "a@b.c" },
	{ "a (comment) @b (another (in it))", "a@b" },
	{ "(x\\)y) a@b", "a@b" },
	{ "a@[192.0.2.1]", "a@[192.0.2.1]" },
	{ "<@x,@y:a@b>", "a@b" },
	{ "undisclosed-recipients:;", "" },
	{ "team: a@b, c@d; e@f", "a@b c@d e@f" },
	{ "team: Ana <a@b>;, c@d", "a@b c@d" },
	{ "a@b\r\n\t, c@d\r\n", "a@b c@d" },
	{ "Two Words", "!" },
	{ "Two Words, a@b", "! a@b" },
	{ "<>", "!" },
	{ "a@b <c@d> e", "!" },
	{ "<a@b> <c@d>", "!" },
	{ "<a@b> c", "!" },
	{ "<a b@c>", "!" },
	{ "a>b@c", "!" },
	/* Brackets that nothing opened or closed, or that are double. */
	{ "<a@b", "a@b" },
	{ "<a@b, c@d", "a@b c@d" },
	{ "a@b>, c@d", "a@b c@d" },
	{ "<<a@b>>, c@d", "a@b c@d" },
	{ "Ana) <a@b>, c@d", "a@b c@d" },
	{ "Ana (x <a@b>, B (y) <c@d>", "a@b c@d" },
	{ "Ana] <a@b>, [x <c@d>, e@[192.0.2.1]", "a@b c@d e@[192.0.2.1]" },
	{ "[list, x] Ana <a@b>", "a@b" },
	{ "O\"Ana <a@b>, c@d", "a@b c@d" },
	{ "Ana\1\2 <a@b>", "a@b" },
	/* ISO-2022-JP, whose octets look like specials: "(),<>\"\\". */
	{ "\x1b$B$(%,\"<>(\\)\x1b(B <a@b>, c@d", "a@b c@d" },
	{ "\"\x1b$B\"\\\"\"\x1b(B, x\" <a@b>, c@d", "a@b c@d" },
	{ "(\x1b$B)(((\x1b(J) a@b", "a@b" },
	{ "\x1b$(D<<\x1b$@>>\x1b(I,,\x1b(B <a@b>", "a@b" },
	{ "\x1b$)C\x0e<,\x0f <a@b>", "a@b" },
	{ "\x1b$B<,\r\n <a@b>, c@d", "a@b c@d" },
	{ "\x1b$B<,\x1b(B", "!" },
	{ "\x1b$B<,\x1b(B@b", "!" },
	{ "\x1b", "!" },
	{ "\"open", "!" },
	{ "a (open", "!" },
	{ "a)b", "!" },
	{ "a\1b@c", "!" },
	{ "a@[192.0.2.1", "!" },
	{ "a@b]", "!" },
	{ "<x:a@b>", "!" },
	{ "\"a\\\nb\"@c", "!" },
};

Test(mailbox, lists_are_read)
{
	struct mailbox_list list = { 0 };
	char out[MAILBOX_SIZE], got[256];
	enum mailbox_event event;
	size_t i;

	for (i = 0; i < NELEM(lists); i++) {
		list = (struct mailbox_list){ .in = lists[i].in,
			.n = strlen(lists[i].in) };
		got[0] = '\0';
		while ((event = mailbox_next(&list, out)) != MAILBOX_END) {
			if (got[0] != '\0')
				(void)strlcat(got, " ", sizeof(got));
			(void)strlcat(got, event == MAILBOX_BAD ? "!" : out,
			    sizeof(got));
		}
		cr_expect_str_eq(got, lists[i].want, "%s: %s", lists[i].in,
		    got);
		cr_expect_eq(list.at, list.n, "%s", lists[i].in);
	}
}

Test(mailbox, too_long_is_none)
{
	static char in[3 * MAILBOX_SIZE];
	struct mailbox_list list = { .in = in, .n = sizeof(in) };
	char out[MAILBOX_SIZE];

	memset(in, 'a', sizeof(in));
	memcpy(in + sizeof(in) - 4, ",b@c", 4);
	cr_expect_eq(mailbox_next(&list, out), MAILBOX_BAD);
	cr_expect_eq(mailbox_next(&list, out), MAILBOX_ADDRESS);
	cr_expect_str_eq(out, "b@c");
	cr_expect_eq(mailbox_next(&list, out), MAILBOX_END);
}

Test(mailbox, a_name_is_of_any_length)
{
	static char in[3 * MAILBOX_SIZE];
	struct mailbox_list list = { .in = in, .n = sizeof(in) };
	char out[MAILBOX_SIZE];

	memset(in, 'a', sizeof(in));
	in[100] = '"';
	in[sizeof(in) - 100] = '"';
	memcpy(in + sizeof(in) - 5, "<b@c>", 5);
	cr_expect_eq(mailbox_next(&list, out), MAILBOX_ADDRESS);
	cr_expect_str_eq(out, "b@c");
	cr_expect_eq(mailbox_next(&list, out), MAILBOX_END);
}

/* Where its domain goes, if it has none. */
Test(mailbox, the_end_of_an_address_is_known)
{
	static const char in[] = "ana (x), B <b > , \"c d\" (y);";
	static const char *const rest[] = { " (x), ", " > , ", " (y);" };
	struct mailbox_list list = { .in = in, .n = strlen(in) };
	char out[MAILBOX_SIZE];

	for (size_t i = 0; i < NELEM(rest); i++) {
		cr_assert_eq(mailbox_next(&list, out), MAILBOX_ADDRESS);
		cr_expect_eq(strncmp(in + list.end, rest[i], strlen(rest[i])),
		    0, "%s", in + list.end);
	}
}

Test(header_field, fields_up_to_the_end_of_the_header)
{
	static const char in[] = "From: a\nTo : b\r\n\tc\r\nX:\n\nno: field\n";
	struct header_field f;
	size_t at = 0;

	cr_assert(header_field_next(in, strlen(in), &at, &f));
	cr_expect(header_field_is(&f, "from") && f.value_len == 3);
	cr_assert(header_field_next(in, strlen(in), &at, &f));
	cr_expect(header_field_is(&f, "TO"));
	cr_expect_eq(f.value_len, strlen(" b\r\n\tc\r\n"));
	cr_assert(header_field_next(in, strlen(in), &at, &f));
	cr_expect(header_field_is(&f, "x") && !header_field_is(&f, "xy"));
	cr_expect_not(header_field_next(in, strlen(in), &at, &f));
	cr_expect_str_eq(in + at, "\nno: field\n");
}

Test(header_field, what_is_none)
{
	static const char *const in[] = { "", "\n", "\r\nA: b\n", "hello\n",
		": x\n", "two words: x\n", " folded: x\n", "From me@x Mon\n" };
	struct header_field f;
	size_t at = 0, i;

	for (i = 0; i < NELEM(in); i++)
		cr_expect_not(header_field_next(in[i], strlen(in[i]), &at, &f),
		    "%s", in[i]);
}
