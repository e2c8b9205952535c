/* SPDX-License-Identifier: ISC */
#include "master/secret_text.h"

#include <string.h>

#include <criterion/criterion.h>

#define TEXT(s) s, sizeof(s) - 1

static const struct {
	const char *text;
	size_t n;
	bool command;
	const char *why;
	size_t len;
	uint32_t for_s;
} rows[] = {
	{ TEXT("pencil"), false, NULL, 6, 0 },
	{ TEXT("pencil\n"), false, NULL, 6, 0 },
	{ TEXT("pencil\r\n"), false, NULL, 6, 0 },
	{ TEXT("pencil\r"), false, NULL, 7, 0 },
	{ TEXT("pencil\n\n"), false, NULL, 7, 0 },
	{ TEXT(" two\nlines "), false, NULL, 11, 0 },
	{ TEXT(""), false, "it is empty", 0, 0 },
	{ TEXT("\n"), false, "it is empty", 0, 0 },
	{ TEXT("\r\n"), false, "it is empty", 0, 0 },
	{ TEXT("pen\0cil"), false, "it holds a NUL", 0, 0 },
	{ TEXT("pencil\0"), false, "it holds a NUL", 0, 0 },
	{ TEXT("tok"), true, NULL, 3, 0 },
	{ TEXT("tok\n"), true, NULL, 3, 0 },
	{ TEXT("tok\n3600"), true, NULL, 3, 3600 },
	{ TEXT("tok\r\n3600\r\n"), true, NULL, 3, 3600 },
	{ TEXT("tok\n999999999\n"), true, NULL, 3, 999999999 },
	{ TEXT("tok\n\n"), true, "its second line is no number of seconds", 3,
	    0 },
	{ TEXT("tok\n0\n"), true, "its second line is no number of seconds", 3,
	    0 },
	{ TEXT("tok\n-1\n"), true, "its second line is no number of seconds", 3,
	    0 },
	{ TEXT("tok\n60\n60\n"), true,
	    "its second line is no number of seconds", 3, 0 },
	{ TEXT("tok\n9999999999\n"), true,
	    "its second line is no number of seconds", 3, 0 },
	{ TEXT("\n3600\n"), true, "it is empty", 0, 0 },
	{ TEXT("to\0k\n"), true, "it holds a NUL", 0, 0 },
};

Test(secret_text, a_file_is_the_secret_and_a_command_may_say_how_long)
{
	struct secret_text text;
	const char *why;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		why = secret_text_read(rows[i].text, rows[i].n, rows[i].command,
		    &text);
		if (rows[i].why == NULL)
			cr_expect_null(why, "row %zu: %s", i, why);
		else
			cr_expect(why != NULL && strcmp(why, rows[i].why) == 0,
			    "row %zu: %s", i, why != NULL ? why : "taken");
		if (why != NULL)
			continue;
		cr_expect_eq(text.len, rows[i].len, "row %zu", i);
		cr_expect_eq(text.for_s, rows[i].for_s, "row %zu", i);
	}
}

Test(secret_text, it_has_a_bound)
{
	static char octets[SECRET_TEXT_MAX + 1];
	struct secret_text text;

	memset(octets, 'x', sizeof(octets));
	cr_expect_null(secret_text_read(octets, AUTH_SECRET_MAX, false, &text));
	octets[AUTH_SECRET_MAX] = '\n';
	cr_expect_null(
	    secret_text_read(octets, AUTH_SECRET_MAX + 1, false, &text));
	cr_expect_eq(text.len, AUTH_SECRET_MAX);
	octets[AUTH_SECRET_MAX] = 'x';
	for (size_t n = AUTH_SECRET_MAX + 1; n <= sizeof(octets); n++) {
		cr_expect_not_null(secret_text_read(octets, n, false, &text));
		cr_expect_not_null(secret_text_read(octets, n, true, &text));
	}
}
