/* SPDX-License-Identifier: ISC */
/*
 * The reply parser.  A line is gathered whole before it is judged, so that
 * one octet at a time gives what one segment gives.
 */
#include "agent/smtp/reply.h"

#include <stdio.h>
#include <string.h>

#include "common/digits.h"

static const char *const error_texts[] = {
	[REPLY_OK] = "reply is fine",
	[REPLY_SYNTAX] = "line of the reply has no valid code",
	[REPLY_BARE_LF] = "line of the reply ends in LF without CR",
	[REPLY_CODE_RANGE] = "code of the reply is not between 200 and 599",
	[REPLY_CODE_CHANGED] = "lines of one reply have different codes",
	[REPLY_LINE_TOO_LONG] = "line of the reply is too long",
	[REPLY_TOO_MANY_LINES] = "reply has too many lines",
	[REPLY_TOO_LONG] = "reply is too long",
};

const char *
reply_error_text(enum reply_error error)
{
	return error_texts[error];
}

void
reply_init(struct reply *reply)
{
	reply->code = 0;
	memset(&reply->enhanced, 0, sizeof(reply->enhanced));
	reply->error = REPLY_OK;
	reply->loose = false;
	reply->lines = 0;
	reply->done = false;
	reply->line_done = false;
	reply->cut = false;
	reply->octets = 0;
	reply->line_len = 0;
	reply->text_len = 0;
}

bool
reply_is_partial(const struct reply *reply)
{
	return !reply->done && reply->octets > 0;
}

static bool
is_letter(uint8_t c)
{
	return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

const uint8_t *
reply_line_text(const struct reply *reply, size_t *len)
{
	size_t at = reply->line_len > 3 && is_letter(reply->line[3]) ? 3 : 4;

	*len = reply->line_len > at ? reply->line_len - at : 0;
	return reply->line + (*len > 0 ? at : 0);
}

/* 1*3DIGIT of RFC 3463, 2; the number of octets, 0 when there are none. */
static size_t
read_number(const uint8_t *in, size_t n, unsigned int *number)
{
	size_t i;

	*number = 0;
	for (i = 0; i < n && i < 3 && digits_is((char)in[i]); i++)
		*number = *number * 10 + (unsigned int)(in[i] - '0');
	return i;
}

/*
 * The length of the enhanced code that text starts with, or 0.  One of
 * another class than the reply's own is text (RFC 2034, 4).
 */
static size_t
read_enhanced(const uint8_t *text, size_t n, unsigned int class,
    unsigned int *subject, unsigned int *detail)
{
	size_t at = 2;
	size_t len;

	if (n < 5 || text[0] != '0' + class || text[1] != '.')
		return 0;
	len = read_number(text + at, n - at, subject);
	at += len;
	if (len == 0 || at == n || text[at++] != '.')
		return 0;
	len = read_number(text + at, n - at, detail);
	at += len;
	if (len == 0 || (at < n && text[at] != ' '))
		return 0;
	return at;
}

static void
append_text(struct reply *reply, const uint8_t *in, size_t n)
{
	size_t room = sizeof(reply->text) - reply->text_len;

	if (n > room) {
		n = room;
		reply->cut = true;
	}
	memcpy(reply->text + reply->text_len, in, n);
	reply->text_len += n;
}

static void
keep_line_text(struct reply *reply)
{
	unsigned int class = reply->code / 100;
	unsigned int subject, detail;
	const uint8_t *text;
	size_t n, len;

	text = reply_line_text(reply, &n);
	len = read_enhanced(text, n, class, &subject, &detail);
	if (len > 0 && reply->enhanced.class == 0) {
		reply->enhanced.class = class;
		reply->enhanced.subject = subject;
		reply->enhanced.detail = detail;
	} else if (len > 0 && reply->enhanced.subject == subject &&
	    reply->enhanced.detail == detail) {
		len += len < n; /* the space behind it */
		text += len;
		n -= len;
	}
	if (n > 0 && reply->text_len > 0)
		append_text(reply, (const uint8_t *)" ", 1);
	append_text(reply, text, n);
}

static enum reply_error
judge_line(struct reply *reply)
{
	const uint8_t *line = reply->line;
	unsigned int code;

	if (reply->line_len < 3 || read_number(line, 3, &code) != 3)
		return REPLY_SYNTAX;
	if (reply->line_len > 3 && line[3] != ' ' && line[3] != '-') {
		if (reply->strict || !is_letter(line[3]))
			return REPLY_SYNTAX;
		reply->loose = true;
	}
	if (code < 200 || code > 599)
		return REPLY_CODE_RANGE;
	if (reply->lines > 0 && code != reply->code)
		return REPLY_CODE_CHANGED;
	if (++reply->lines > REPLY_LINES_MAX)
		return REPLY_TOO_MANY_LINES;
	reply->code = code;
	return REPLY_OK;
}

static enum reply_event
end_line(struct reply *reply)
{
	reply->line_len--; /* LF */
	if (reply->line_len > 0 && reply->line[reply->line_len - 1] == '\r')
		reply->line_len--;
	else if (reply->strict)
		reply->error = REPLY_BARE_LF;
	else
		reply->loose = true;
	if (reply->error == REPLY_OK)
		reply->error = judge_line(reply);
	if (reply->error != REPLY_OK)
		return REPLY_BAD;
	keep_line_text(reply);
	reply->line_done = true;
	reply->done = reply->line_len == 3 || reply->line[3] != '-';
	return reply->done ? REPLY_READY : REPLY_LINE;
}

static bool
line_is_whole(const struct reply *reply)
{
	return reply->line_len > 0 && reply->line[reply->line_len - 1] == '\n';
}

/* Octets of the line up to and with the next LF, or all there are. */
static size_t
take(struct reply *reply, const uint8_t *in, size_t n, size_t line_max)
{
	const uint8_t *lf;

	if (n > line_max - reply->line_len)
		n = line_max - reply->line_len;
	lf = memchr(in, '\n', n);
	if (lf != NULL)
		n = (size_t)(lf - in) + 1;
	memcpy(reply->line + reply->line_len, in, n);
	reply->line_len += n;
	reply->octets += n;
	return n;
}

static size_t
line_max(const struct reply *reply)
{
	/* The first four octets always fit, so the code is known by then. */
	if (reply->line_len >= 4 && memcmp(reply->line, "334", 3) == 0)
		return REPLY_LINE_334_MAX;
	return REPLY_LINE_MAX;
}

enum reply_event
reply_feed(struct reply *reply, const uint8_t *in, size_t n, size_t *used)
{
	*used = 0;
	if (reply->done)
		reply_init(reply);
	if (reply->line_done)
		reply->line_len = 0;
	reply->line_done = false;
	while (*used < n) {
		*used += take(reply, in + *used, n - *used, line_max(reply));
		if (reply->octets > REPLY_OCTETS_MAX) {
			reply->error = REPLY_TOO_LONG;
			return REPLY_BAD;
		}
		if (line_is_whole(reply))
			return end_line(reply);
		if (reply->line_len == line_max(reply)) {
			reply->error = REPLY_LINE_TOO_LONG;
			return REPLY_BAD;
		}
	}
	return REPLY_MORE;
}

size_t
reply_write_sanitized(char *out, size_t size, const uint8_t *in, size_t n)
{
	static const char digits[] = DIGITS_HEX;
	size_t len = 0;

	if (size == 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (in[i] >= 0x20 && in[i] < 0x7f) {
			if (size - len < 2)
				break;
			out[len++] = (char)in[i];
			continue;
		}
		if (size - len < 5)
			break;
		out[len++] = '\\';
		out[len++] = 'x';
		out[len++] = digits[in[i] >> 4];
		out[len++] = digits[in[i] & 15];
	}
	out[len] = '\0';
	return len;
}

size_t
reply_write_report(const struct reply *reply, char *out, size_t size)
{
	char code[16];
	int len;

	if (size == 0)
		return 0;
	len = snprintf(code, sizeof(code), "%03u%s", reply->code % 1000,
	    reply->text_len > 0 ? " " : "");
	if ((size_t)len >= size)
		len = (int)size - 1;
	memcpy(out, code, (size_t)len);
	return (size_t)len +
	    reply_write_sanitized(out + len, size - (size_t)len, reply->text,
		reply->text_len);
}
