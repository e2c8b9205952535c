/* SPDX-License-Identifier: ISC */
/*
 * Whatever servers and clients said, a notice is lines of ASCII that mail bears,
 * and its boundary stands where its writer put it; and so for a template.
 *
 * Input: strings, each ended by NUL: address, ORCPT, ENVID, reply, relay, dsn,
 * then a template.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "master/queue/notice_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static char text[1 << 20];
static size_t len;

static int
put(void *arg, const char *octets, size_t n)
{
	(void)arg;
	if (n > sizeof(text) - 1 - len)
		return -1;
	memcpy(text + len, octets, n);
	len += n;
	return 0;
}

static const char *
next(const uint8_t **at, const uint8_t *end)
{
	const uint8_t *start = *at;
	const uint8_t *nul = memchr(start, '\0', (size_t)(end - start));

	if (nul == NULL)
		return "";
	*at = nul + 1;
	return (const char *)start;
}

static void
expect_sound(bool utf8)
{
	size_t column = 0, boundaries = 0, i;

	for (i = 0; i < len; i++) {
		assert(text[i] != '\0');
		assert(utf8 || (text[i] & 0x80) == 0);
		assert(text[i] != '\n' || (i > 0 && text[i - 1] == '\r'));
		assert(text[i] != '\r' || text[i + 1] == '\n');
		if (column == 0 && strncmp(text + i, "--B", 3) == 0)
			boundaries++;
		column = text[i] == '\n' ? 0 : column + 1;
		assert(column < 1000);
	}
	assert(utf8_is_valid(text, len));
	assert(boundaries == 4);
}

static void
write_notice(struct notice_about *n, const struct notice_recipient *r)
{
	struct notice_writer w = { .put = put };

	len = 0;
	notice_write_head(&w, n);
	notice_write_reason(&w, n, r);
	notice_write_status(&w, n);
	notice_write_recipient(&w, n, r);
	notice_write_returned(&w, n, false, n->utf8, NOTICE_7BIT);
	notice_write_end(&w, n);
	assert(!w.failed);
	text[len] = '\0';
	expect_sound(n->utf8);
}

/* A word of parameters, which holds no space. */
static void
make_word(char *out, size_t size, const char *name, const char *value)
{
	(void)strlcpy(out, name, size);
	(void)strlcat(out, value, size);
	for (out += strlen(name); *out != '\0'; out++)
		if (*out == ' ')
			*out = '_';
}

static void
check_templates(const char *in, size_t n)
{
	struct notice_values values = { "h", "Q", "s", 1, 2, 3, 4 };
	struct notice_templates *templates;
	static char out[4096];
	char why[200];
	int line;

	templates = notice_templates_read(in, n, &line, why, sizeof(why));
	assert(templates != NULL || line >= 0);
	for (int i = 0; templates != NULL && i < NOTICE_TEMPLATE_COUNT; i++) {
		assert(templates->of[i].from != NULL);
		(void)notice_template_expand(templates->of[i].body, &values,
		    out, sizeof(out));
		assert(strlen(out) < sizeof(out));
	}
	notice_templates_free(templates);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct notice_template template = { .from = "a@b",
		.subject = "s",
		.postmaster_subject = "p",
		.body = "$myhostname\n" };
	const uint8_t *at = data, *end = data + n;
	char orcpt[600], envid[200];
	struct notice_about about = { .template = &template,
		.values = { .myhostname = "h", .queue_id = "Q", .sender = "" },
		.to = "a@b",
		.parameters = envid,
		.boundary = "B" };
	struct notice_recipient r = { .notice = NOTICE_FAILED,
		.parameters = orcpt,
		.code = 550 };

	r.address = next(&at, end);
	make_word(orcpt, sizeof(orcpt), "ORCPT=", next(&at, end));
	make_word(envid, sizeof(envid), "ENVID=", next(&at, end));
	r.reply = next(&at, end);
	r.relay = next(&at, end);
	r.dsn = next(&at, end);
	if (strlen(r.address) > 256 || strlen(r.relay) > 343)
		return 0; /* what no store row has */
	write_notice(&about, &r);
	about.utf8 = true;
	write_notice(&about, &r);
	check_templates((const char *)at, (size_t)(end - at));
	return 0;
}
