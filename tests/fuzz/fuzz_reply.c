/* SPDX-License-Identifier: ISC */
/*
 * Replies, in three ways that must agree: all octets at once, one at a time, and
 * each reply by a parser that never saw another one, so that no code, enhanced code
 * or text of an earlier reply is left in it.  And with LF for CRLF they say the same.
 */
#include "agent/smtp/reply.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum {
	IN_MAX = 65536,
	EVENTS_MAX = 4096,
};

/* What a reader of replies was told. */
struct record {
	size_t n;
	enum reply_error error;
	struct {
		enum reply_event event;
		unsigned int code;
		uint32_t text; /* a hash of its text, and its enhanced code */
		size_t ends;   /* octets of the input by then */
	} events[EVENTS_MAX];
};

static uint32_t
hash(uint32_t seed, const void *octets, size_t n)
{
	const uint8_t *c = octets;

	for (; n > 0; n--)
		seed = (seed ^ *c++) * 16777619U;
	return seed;
}

static uint32_t
hash_of(const struct reply *r)
{
	const unsigned int numbers[] = { r->enhanced.class, r->enhanced.subject,
		r->enhanced.detail };

	return hash(hash(2166136261U, numbers, sizeof(numbers)), r->text,
	    r->text_len);
}

static void
check(const struct reply *r, enum reply_event event)
{
	char report[64];
	size_t len;

	assert((event == REPLY_BAD) == (r->error != REPLY_OK));
	if (event == REPLY_BAD)
		return;
	assert(event == REPLY_MORE || (r->code >= 200 && r->code <= 599));
	assert(r->enhanced.class == 0 || r->enhanced.class == r->code / 100);
	len = reply_write_report(r, report, sizeof(report));
	assert(len < sizeof(report) && report[len] == '\0');
}

static void
read_all(const uint8_t *in, size_t n, size_t piece, struct record *record)
{
	static struct reply r;
	enum reply_event event;
	size_t used, at = 0;

	record->n = 0;
	record->error = REPLY_OK;
	reply_init(&r);
	while (at < n) {
		size_t some = n - at < piece ? n - at : piece;

		event = reply_feed(&r, in + at, some, &used);
		assert(used > 0 && used <= some);
		assert(event != REPLY_MORE || used == some);
		check(&r, event);
		at += used;
		if (event == REPLY_BAD) {
			record->error = r.error;
			return;
		}
		if (event == REPLY_MORE || record->n == EVENTS_MAX)
			continue;
		record->events[record->n].event = event;
		record->events[record->n].code = r.code;
		record->events[record->n].text = hash_of(&r);
		record->events[record->n++].ends = at;
	}
}

static void
compare(const struct record *a, const struct record *b, int same_octets)
{
	assert(a->n == b->n && a->error == b->error);
	for (size_t i = 0; i < a->n; i++) {
		assert(a->events[i].event == b->events[i].event);
		assert(a->events[i].code == b->events[i].code);
		assert(a->events[i].text == b->events[i].text);
		assert(!same_octets || a->events[i].ends == b->events[i].ends);
	}
}

/* Each reply alone. */
static void
read_apart(const uint8_t *in, const struct record *whole)
{
	static struct record alone;
	size_t begins = 0;

	for (size_t i = 0; i < whole->n; i++) {
		if (whole->events[i].event != REPLY_READY)
			continue;
		read_all(in + begins, whole->events[i].ends - begins, IN_MAX,
		    &alone);
		assert(alone.n > 0 && alone.error == REPLY_OK);
		assert(alone.events[alone.n - 1].event == REPLY_READY);
		assert(alone.events[alone.n - 1].code == whole->events[i].code);
		assert(alone.events[alone.n - 1].text == whole->events[i].text);
		begins = whole->events[i].ends;
	}
}

/* Its lines, with that at their ends. */
static size_t
write_lines(const uint8_t *in, size_t n, const char *end, uint8_t *out)
{
	size_t len = 0;

	for (; n > 0; n--, in++) {
		if (*in == '\r')
			continue;
		if (*in != '\n') {
			out[len++] = *in;
			continue;
		}
		memcpy(out + len, end, strlen(end));
		len += strlen(end);
	}
	return len;
}

/* RFC 5321, 2.3.8, knows CRLF alone; some servers do not. */
static void
read_by_lines(const uint8_t *in, size_t n)
{
	static uint8_t by_crlf[2 * IN_MAX], by_lf[IN_MAX];
	static struct record a, b;

	read_all(by_crlf, write_lines(in, n, "\r\n", by_crlf), IN_MAX, &a);
	read_all(by_lf, write_lines(in, n, "\n", by_lf), IN_MAX, &b);
	/* A CR counts as an octet of its line. */
	if (a.error == REPLY_LINE_TOO_LONG || a.error == REPLY_TOO_LONG)
		return;
	compare(&a, &b, 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct record whole, pieces;

	if (n == 0 || n > IN_MAX)
		return 0;
	read_all(data, n, n, &whole);
	read_all(data, n, 1, &pieces);
	compare(&whole, &pieces, 1);
	read_all(data, n, 2 + data[n - 1] % 7, &pieces);
	compare(&whole, &pieces, 1);
	read_apart(data, &whole);
	read_by_lines(data, n);
	return 0;
}
