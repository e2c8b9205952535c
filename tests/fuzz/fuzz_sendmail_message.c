/* SPDX-License-Identifier: ISC */
/*
 * The message that sendmail makes of its input: lines that all read alike, fields of
 * ours before and after, those that may not leave gone, all others as they were but
 * for line ends and the domains of addresses, the body as it was, and the recipients
 * of the fields that name them, no more.
 */
#include "master/control/sendmail/sendmail.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/control/sendmail/header_field.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char *const not_to_leave[] = { "Bcc", "Resent-Bcc", "Return-Path",
	"Content-Length" };
static const char *const sent[] = { "To", "Cc", "Bcc" };
static const char *const resent[] = { "Resent-To", "Resent-Cc", "Resent-Bcc" };

static bool
is_one_of(const struct header_field *f, const char *const *names, size_t n)
{
	for (; n > 0; n--)
		if (header_field_is(f, *names++))
			return true;
	return false;
}

static bool
is_resent(const struct header_field *f)
{
	return f->name_len > 7 && strncasecmp(f->start, "Resent-", 7) == 0;
}

static size_t
count_addresses(const struct header_field *f)
{
	struct mailbox_list list = { .in = f->value, .n = f->value_len };
	char address[MAILBOX_SIZE];
	size_t count = 0;

	while (mailbox_next(&list, address) != MAILBOX_END)
		count++;
	return count;
}

/* Where the header begins; an mbox's first lines are none of it. */
static size_t
begin_of(const char *in, size_t n)
{
	const char *end, *at = in;
	size_t left;

	while ((left = (size_t)(in + n - at)) >= 5) {
		if (memcmp(at, "From ", 5) != 0 &&
		    (left < 6 || memcmp(at, ">From ", 6) != 0))
			break;
		end = memchr(at, '\n', left);
		if (end == NULL)
			return n;
		at = end + 1;
	}
	return (size_t)(at - in);
}

static bool
is_fold(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

/* The same octets, but for white space, and domains that were added. */
static void
expect_same_field(const struct header_field *f, const struct header_field *g)
{
	static const char added[] = "@example.org";
	size_t i = 0, k = 0;

	while (k < g->size) {
		if (is_fold(g->start[k])) {
			k++;
		} else if (i < f->size && is_fold(f->start[i])) {
			i++;
		} else if (i < f->size && f->start[i] == g->start[k]) {
			i++;
			k++;
		} else {
			assert(g->size - k >= strlen(added));
			assert(memcmp(g->start + k, added, strlen(added)) == 0);
			k += strlen(added);
		}
	}
	while (i < f->size && is_fold(f->start[i]))
		i++;
	assert(i == f->size);
}

static void
add_field(struct sendmail *s, const struct header_field *f)
{
	assert(sendmail_recipients_add(s, "x", f->value, f->value_len) == 0);
}

static void
clear(struct sendmail *s)
{
	while (s->rcpts.n > 0)
		free(s->rcpts.words[--s->rcpts.n]);
	free(s->rcpts.words);
	s->rcpts = (struct sendmail_list){ 0 };
}

/* Who reads the field that goes finds those whom we found in the one that came. */
static void
expect_same_addresses(const struct sendmail *s, const struct header_field *f,
    const struct header_field *g)
{
	struct sendmail came = *s, goes = *s;

	came.rcpts = goes.rcpts = (struct sendmail_list){ 0 };
	(void)strlcpy(goes.origin, "elsewhere.test", sizeof(goes.origin));
	add_field(&came, f);
	add_field(&goes, g);
	assert(came.rcpts.n == goes.rcpts.n);
	for (size_t i = 0; i < came.rcpts.n; i++)
		assert(strcmp(came.rcpts.words[i], goes.rcpts.words[i]) == 0);
	clear(&came);
	clear(&goes);
}

/* The fields of what came are in what goes, in their order. */
static void
check(const struct sendmail *s, const char *in, size_t n, const char *out,
    size_t len)
{
	size_t at = begin_of(in, n), to = 0, rcpts = 0, all = 0;
	struct header_field f, g;
	bool again = false, dated = false, named = false, known = false;

	while (header_field_next(in, n, &at, &f))
		again = again || is_resent(&f);
	assert(memchr(out, '\r', len) == NULL);
	assert(header_field_next(out, len, &to, &g));
	assert(header_field_is(&g, "Received"));
	for (at = begin_of(in, n); header_field_next(in, n, &at, &f);) {
		if (is_one_of(&f, again ? resent : sent, 3))
			rcpts += count_addresses(&f);
		if (is_one_of(&f, not_to_leave, 4))
			continue;
		assert(header_field_next(out, len, &to, &g));
		expect_same_field(&f, &g);
		if (s->of_message && is_one_of(&f, again ? resent : sent, 3))
			expect_same_addresses(s, &f, &g);
	}
	assert(s->rcpts.n == (s->of_message ? rcpts : 0));
	/* And the body is its end. */
	assert(len >= n - at);
	assert(memcmp(out + len - (n - at), in + at, n - at) == 0);
	for (to = 0; header_field_next(out, len, &to, &g); all++) {
		assert(!is_one_of(&g, not_to_leave, 4));
		dated = dated ||
		    header_field_is(&g, again ? "Resent-Date" : "Date");
		named = named ||
		    header_field_is(&g, again ? "Resent-From" : "From");
		known = known ||
		    header_field_is(&g,
			again ? "Resent-Message-ID" : "Message-ID");
	}
	assert(all >= 4 && dated && named && known);
}

/* The lines of the input, as they are read; not an octet more is there. */
static char *
read_lines(const uint8_t *data, size_t n, bool dots, size_t *len)
{
	char *lines = NULL, *exact;
	FILE *from = fmemopen((void *)(uintptr_t)data, n, "r");
	FILE *to = open_memstream(&lines, len);

	assert(from != NULL && to != NULL);
	sendmail_message_read(from, to, dots);
	fclose(from);
	assert(fclose(to) == 0);
	assert(*len == 0 || lines[*len - 1] == '\n');
	exact = malloc(*len > 0 ? *len : 1);
	assert(exact != NULL);
	memcpy(exact, lines, *len);
	free(lines);
	return exact;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sendmail s = { .sender = "ana@example.org",
		.origin = "example.org",
		.full_name = "Ana" };
	char *out = NULL, *in;
	size_t len = 0;
	FILE *stream;
	int status;

	if (n < 2 || n > 65536)
		return 0;
	s.of_message = data[0] & 1;
	in = read_lines(data + 1, n - 1, data[0] & 2, &n);
	stream = open_memstream(&out, &len);
	assert(stream != NULL);
	status = sendmail_message_write(&s, 1, in, n, stream);
	assert(fclose(stream) == 0);
	assert(status == 0 || status == EXIT_DATA_ERROR);
	if (status == 0)
		check(&s, in, n, out, len);
	clear(&s);
	free(out);
	free(in);
	return 0;
}
