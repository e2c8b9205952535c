/* SPDX-License-Identifier: ISC */
/* The texts of notices: what a file may be, and what its variables become. */
#include "master/notice_template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "common/util.h"

#define HEAD "failure_template = <<EOF\nFrom: a <b@c>\nSubject: s\n"
#define GOOD HEAD "\ntext\nEOF\n"

static struct notice_templates *
read_text(const char *text, int *line, char *why)
{
	return notice_templates_read(text, strlen(text), line, why, 200);
}

static const struct {
	const char *text;
	int line;
	const char *words;
} bad_cases[] = {
	{ "bounce = <<EOF\n", 1, "no template; there are" },
	{ "\n# c\nfailure_template\n", 3, "write = <<WORD" },
	{ "failure_template = text\n", 1, "write = <<WORD" },
	{ "failure_template = <<\n", 1, "write = <<WORD" },
	{ GOOD GOOD, 7, "a second time" },
	{ HEAD "\ntext\n", 1, "no line EOF ends" },
	{ HEAD, 1, "no line EOF ends" },
	{ HEAD "\ntext", 1, "no line EOF ends" },
	{ HEAD "\n", 1, "no line EOF ends" },
	{ "failure_template = <<EOF\nSubject: s\n\ntext\nEOF\n", 3,
	    "needs From and Subject" },
	{ HEAD "EOF\n", 4, "without text" },
	{ HEAD "Reply-To: x\n\ntext\nEOF\n", 4, "no field of a template" },
	{ HEAD "no colon\n\ntext\nEOF\n", 4, "no field; an empty line" },
	{ HEAD "Charset: latin1\n\ntext\nEOF\n", 4, "us-ascii or utf-8" },
	{ HEAD "\ntext $nothing\nEOF\n", 5, "$nothing: no variable" },
	{ HEAD "\n$delay_years\nEOF\n", 5, "no variable" },
	{ HEAD "\n$ 5\nEOF\n", 5, "no variable" },
	{ HEAD "\n${myhostname\nEOF\n", 5, "no variable" },
	{ HEAD "\nB\xc3\xa4r\nEOF\n", 5, "no ASCII" },
	{ "failure_template = <<EOF\nFrom: B\xc3\xa4r <a@b>\n", 2, "no ASCII" },
	{ HEAD "Charset: utf-8\n\nB\xe4r\nEOF\n", 6, "no UTF-8" },
	{ HEAD "\n\x01\nEOF\n", 5, "control" },
	{ HEAD "\na\rb\nEOF\n", 5, "control" },
	{ HEAD "Postmaster-Subject:\n\nx\nEOF\n", 4, "is empty" },
};

Test(notice_template, mistakes_are_told_with_their_line)
{
	char why[200];
	int line;

	for (size_t i = 0; i < NELEM(bad_cases); i++) {
		cr_expect_null(read_text(bad_cases[i].text, &line, why),
		    "case %zu", i);
		cr_expect_eq(line, bad_cases[i].line, "case %zu: line %d: %s",
		    i, line, why);
		cr_expect_not_null(strstr(why, bad_cases[i].words),
		    "case %zu: %s", i, why);
	}
	cr_expect_null(notice_templates_read("a\0b", 3, &line, why, 200));
}

Test(notice_template, too_long_is_refused)
{
	static char text[NOTICE_TEMPLATE_MAX + 2];
	char why[200];
	int line;

	memset(text, '#', sizeof(text) - 1);
	cr_expect_null(read_text(text, &line, why));
	text[NOTICE_TEMPLATE_MAX] = '\0';
	notice_templates_free(read_text(text, &line, why));
	cr_expect_eq(line, 0, "%s", why);
}

static const struct notice_values values = { .myhostname = "mx.example.org",
	.queue_id = "4F1A09",
	.sender = "b\xc3\xa4r\r\n@x",
	.delay_s = 3 * 3600 + 59,
	.delay_warning_time_s = 3600,
	.maximal_queue_lifetime_s = 5 * 86400,
	.bounce_queue_lifetime_s = 2 * 604800 };

Test(notice_template, variables_stand_for_values)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "$myhostname.", "mx.example.org." },
		{ "${myhostname}x $queue_id", "mx.example.orgx 4F1A09" },
		{ "$delay_hours $delay_minutes $delay_seconds", "3 180 10859" },
		{ "$maximal_queue_lifetime_days", "5" },
		{ "$bounce_queue_lifetime_weeks", "2" },
		{ "$delay_warning_time_minutes", "60" },
		{ "$delay, $delay_warning_time", "3 hours, 1 hour" },
		{ "${maximal_queue_lifetime}s", "5 dayss" },
		{ "$bounce_queue_lifetime", "14 days" },
		{ "$$5 $$myhostname", "$5 $myhostname" },
		{ "<$sender>", "<b??r??@x>" },
	};
	char out[64];

	for (size_t i = 0; i < NELEM(cases); i++) {
		cr_expect_eq(notice_template_expand(cases[i].text, &values, out,
				 sizeof(out)),
		    strlen(cases[i].want));
		cr_expect_str_eq(out, cases[i].want);
	}
	cr_expect_eq(notice_template_expand("$myhostname", &values, out, 6),
	    14);
	cr_expect_str_eq(out, "mx.ex", "cut short, and ended");
}

Test(notice_template, a_time_is_never_rounded_to_nothing)
{
	static const struct {
		int64_t seconds;
		const char *want;
	} cases[] = { { 0, "0 seconds" }, { 1, "1 second" }, { 60, "1 minute" },
		{ 119, "119 seconds" }, { 1800, "30 minutes" },
		{ 5400, "90 minutes" }, { 86399, "23 hours" },
		{ 86400, "1 day" }, { 129600, "36 hours" },
		{ 172801, "2 days" } };
	struct notice_values v = values;
	char out[64];

	for (size_t i = 0; i < NELEM(cases); i++) {
		v.delay_s = cases[i].seconds;
		(void)notice_template_expand("$delay", &v, out, sizeof(out));
		cr_expect_str_eq(out, cases[i].want, "%s", out);
	}
}

Test(notice_template, one_of_a_file_takes_the_place_of_the_built_in_one)
{
	struct notice_templates *templates;
	char why[200];
	int line;

	templates = read_text("# c\r\nfailure_template=<<END\r\nFrom: a@b\r\n"
			      "Subject: Oh\r\nCharset: UTF-8\r\n\r\n"
			      "B\xc3\xa4r\r\n\r\nEOF\r\nEND\r\n",
	    &line, why);
	cr_assert_not_null(templates, "%d: %s", line, why);
	cr_expect_str_eq(templates->of[0].subject, "Oh");
	cr_expect_str_eq(templates->of[0].postmaster_subject, "Oh");
	cr_expect_str_eq(templates->of[0].body, "B\xc3\xa4r\n\nEOF\n");
	cr_expect(templates->of[0].utf8);
	cr_expect_not(templates->of[1].utf8);
	cr_expect_not_null(strstr(templates->of[1].body, "$delay."));
	notice_templates_free(templates);
	/* The last line need not end. */
	templates = read_text(HEAD "\ntext\nEOF", &line, why);
	cr_assert_not_null(templates, "%d: %s", line, why);
	cr_expect_str_eq(templates->of[0].body, "text\n");
	notice_templates_free(templates);
}

Test(notice_template, the_file_shows_what_is_built_in)
{
	static const char builtin[] =
#include "master/notice_template.def"
	    ;
	static char file[NOTICE_TEMPLATE_MAX], plain[NOTICE_TEMPLATE_MAX];
	char *line, *rest = file;
	FILE *f = fopen("conf/bounce.template", "r");

	cr_assert_not_null(f);
	file[fread(file, 1, sizeof(file) - 1, f)] = '\0';
	(void)fclose(f);
	while ((line = strsep(&rest, "\n")) != NULL && rest != NULL) {
		if (line[0] == '#')
			continue;
		(void)strlcat(plain, line, sizeof(plain));
		(void)strlcat(plain, "\n", sizeof(plain));
	}
	cr_expect_str_eq(plain, builtin);
}
