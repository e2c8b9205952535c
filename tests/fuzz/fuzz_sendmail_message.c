/* SPDX-License-Identifier: ISC */
/*
 * The message that sendmail makes of its input: fields of ours in front and behind,
 * those that may not leave gone, all others and the body as they were, and the
 * recipients of the fields that name them, no more.
 */
#include "master/control/sendmail.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/control/header_field.h"

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

/* Where the header begins; an mbox's first line is none of it. */
static size_t
begin_of(const char *in, size_t n)
{
	const char *end = memchr(in, '\n', n);

	if (n < 5 || memcmp(in, "From ", 5) != 0)
		return 0;
	return end != NULL ? (size_t)(end - in) + 1 : n;
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
	assert(header_field_next(out, len, &to, &g));
	assert(header_field_is(&g, "Received"));
	for (at = begin_of(in, n); header_field_next(in, n, &at, &f);) {
		if (is_one_of(&f, again ? resent : sent, 3))
			rcpts += count_addresses(&f);
		if (is_one_of(&f, not_to_leave, 4))
			continue;
		assert(len - to >= f.size);
		assert(memcmp(out + to, f.start, f.size) == 0);
		to += f.size;
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

	if (n < 1 || n > 65536)
		return 0;
	s.of_message = data[0] & 1;
	n--;
	in = malloc(n > 0 ? n : 1); /* not an octet more is there */
	stream = open_memstream(&out, &len);
	assert(in != NULL && stream != NULL);
	memcpy(in, data + 1, n);
	status = sendmail_write(&s, 1, in, n, stream);
	assert(fclose(stream) == 0);
	assert(status == 0 || status == EXIT_DATA_ERROR);
	if (status == 0)
		check(&s, in, n, out, len);
	while (s.rcpts.n > 0)
		free(s.rcpts.words[--s.rcpts.n]);
	free(s.rcpts.words);
	free(out);
	free(in);
	return 0;
}
