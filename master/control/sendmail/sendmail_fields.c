/* SPDX-License-Identifier: ISC */
/*
 * Fields of the message that sendmail sends: those that it adds, and those that came,
 * with whole addresses and in lines that any server takes.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/date.h"
#include "common/utf8.h"
#include "common/util.h"
#include "master/control/sendmail/sendmail.h"

enum {
	LINE_MAX_OCTETS = 998, /* RFC 5322, 2.1.1, without the line end */
	LINE_WITH_WORDS = 76,  /* that has an encoded-word (RFC 2047, 2) */
};

static void
write_date(time_t now, char date[DATE_MAIL_SIZE])
{
	struct tm tm;

	date_write_mail(now,
	    localtime_r(&now, &tm) != NULL ? (int32_t)tm.tm_gmtoff : 0, date);
}

/* Names (RFC 5322, 3.2.5; RFC 2047, 5). */

/* How many octets the character at c has; the text is UTF-8. */
static size_t
char_size(const char *c)
{
	size_t n = 1;

	while (((uint8_t)c[n] & 0xc0) == 0x80)
		n++;
	return n;
}

static bool
is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9');
}

/* A name as encoded-words, each whole characters, as many to a line as it takes;
 * the column after it. */
static size_t
write_words(FILE *out, size_t column, const char *name)
{
	static const char open[] = "=?UTF-8?Q?", close[] = "?=";
	size_t n, i, size;
	bool in_word = false;

	for (; *name != '\0'; name += n) {
		n = char_size(name);
		size = is_plain(*name) ? 1 : 3 * n;
		if (in_word &&
		    column + size + strlen(close) > LINE_WITH_WORDS) {
			fprintf(out, "%s\n ", close);
			column = 1;
			in_word = false;
		}
		if (!in_word) {
			fputs(open, out);
			column += strlen(open);
			in_word = true;
		}
		for (i = 0; i < n; i++)
			if (is_plain(name[i]))
				fputc(name[i], out);
			else
				fprintf(out, "=%02X", (uint8_t)name[i]);
		column += size;
	}
	fputs(close, out);
	return column + strlen(close);
}

static size_t
write_quoted(FILE *out, size_t column, const char *name)
{
	size_t n = 2;

	fputc('"', out);
	for (; *name != '\0'; name++, n++) {
		if (*name == '"' || *name == '\\') {
			fputc('\\', out);
			n++;
		}
		fputc(*name, out);
	}
	fputc('"', out);
	return column + n;
}

/* What no name has, and octets of no known character set, become "?". */
static bool
clean_name(char *name)
{
	bool is_utf8 = utf8_is_valid(name, strlen(name)), is_ascii = true;

	for (; *name != '\0'; name++) {
		if ((uint8_t)*name < ' ' || *name == 0x7f ||
		    ((uint8_t)*name >= 0x80 && !is_utf8))
			*name = '?';
		is_ascii = is_ascii && (uint8_t)*name < 0x80;
	}
	return is_ascii;
}

/* The name; the column after it, the same where there is none. */
static size_t
write_phrase(FILE *out, size_t column, const char *text)
{
	char *name = strdup(text);

	if (name == NULL || name[0] == '\0') {
		free(name);
		return column; /* a name is no reason to fail */
	}
	if (clean_name(name) &&
	    column + 2 * strlen(name) + 2 <= LINE_WITH_WORDS)
		column = write_quoted(out, column, name);
	else
		column = write_words(out, column, name);
	free(name);
	return column;
}

/* Fields of our own. */

/* An address in brackets, in a line of its own where a name leaves it no room; over
 * a whole line it is folded before its "@". */
static void
write_address(FILE *out, size_t column, bool has_name, const char *address)
{
	size_t n = strlen(address) + 2;
	size_t local = (size_t)(strrchr(address, '@') - address);

	if (has_name && column + 1 + n > LINE_WITH_WORDS) {
		fputs("\n ", out);
		column = 1;
	} else if (has_name) {
		fputc(' ', out);
		column++;
	}
	if (column + n > LINE_MAX_OCTETS)
		fprintf(out, "<%.*s\n %s>\n", (int)local, address,
		    address + local);
	else
		fprintf(out, "<%s>\n", address);
}

static void
write_from(FILE *out, const struct sendmail *s, const char *prefix)
{
	const char *name = s->full_name;
	size_t start = strlen(prefix) + strlen("From: "), column;

	fprintf(out, "%sFrom: ", prefix);
	if (s->sender[0] == '\0') {
		fprintf(out, "MAILER-DAEMON@%s\n", s->origin);
		return;
	}
	if (name == NULL)
		name = getenv("NAME");
	column = write_phrase(out, start, name != NULL ? name : "");
	write_address(out, column, column > start, s->sender);
}

void
sendmail_fields_add_missing(const struct sendmail *s,
    const struct sendmail_seen *seen, time_t now, FILE *out)
{
	const char *prefix = seen->resent ? "Resent-" : "";
	int kind = seen->resent ? 1 : 0;
	char date[DATE_MAIL_SIZE];

	write_date(now, date);
	if (!seen->date[kind])
		fprintf(out, "%sDate: %s\n", prefix, date);
	if (!seen->from[kind])
		write_from(out, s, prefix);
	if (!seen->message_id[kind])
		fprintf(out, "%sMessage-ID: <%llx.%08x%08x@%s>\n", prefix,
		    (unsigned long long)now, arc4random(), arc4random(),
		    s->origin);
}

/* Clause and order of RFC 5321, 4.4. */
void
sendmail_fields_received(const struct sendmail *s, time_t now, FILE *out)
{
	char date[DATE_MAIL_SIZE];

	write_date(now, date);
	fprintf(out, "Received: by %s (postern, from userid %u);\n\t%s\n",
	    s->origin, (unsigned)getuid(), date);
}

/* Fields that came. */

static bool
is_white(char c)
{
	return c == ' ' || c == '\t';
}

/* Where a line of n octets, which is too long, may be folded: before white space that
 * has something in front of it and after it; 0: nowhere. */
static size_t
fold_at(const char *line, size_t n)
{
	size_t first = 0, at, best = 0;

	while (n > 0 && is_white(line[n - 1]))
		n--;
	while (first < n && is_white(line[first]))
		first++;
	for (at = first + 1; at < n; at++) {
		if (best > 0 && at > LINE_MAX_OCTETS)
			break;
		if (is_white(line[at]) && !is_white(line[at - 1]))
			best = at;
	}
	return n > LINE_MAX_OCTETS ? best : 0;
}

/* RFC 5322, 2.2.3: a line end before white space is none of the value. */
static void
write_folded(FILE *out, const char *text, size_t n)
{
	const char *end;
	size_t len, at;

	for (; n > 0; text += len, n -= len) {
		end = memchr(text, '\n', n);
		len = end != NULL ? (size_t)(end - text) : n;
		at = len > LINE_MAX_OCTETS ? fold_at(text, len) : 0;
		if (at > 0)
			len = at;
		else if (end != NULL)
			len++; /* with its line end */
		(void)fwrite(text, 1, len, out);
		if (at > 0)
			fputc('\n', out);
	}
}

static bool
has_addresses(const struct header_field *f)
{
	static const char *const names[] = { "From", "Sender", "Reply-To", "To",
		"Cc", "Disposition-Notification-To", "Errors-To",
		"Mail-Followup-To", "Return-Receipt-To", "Resent-From",
		"Resent-Sender", "Resent-Reply-To", "Resent-To", "Resent-Cc" };

	for (size_t i = 0; i < NELEM(names); i++)
		if (header_field_is(f, names[i]))
			return true;
	return false;
}

/* Octets in the line that text ends, where it began at a column. */
static size_t
column_after(size_t column, const char *text, size_t n)
{
	const char *end = memrchr(text, '\n', n);

	return end != NULL ? (size_t)(text + n - end) - 1 : column + n;
}

/* Octets of the text up to its first line end, without white space at that. */
static size_t
line_text(const char *text, size_t n)
{
	const char *end = memchr(text, '\n', n);

	n = end != NULL ? (size_t)(end - text) : n;
	while (n > 0 && is_white(text[n - 1]))
		n--;
	return n;
}

/* One address as it came, and its domain; the column after it. */
static size_t
write_member(FILE *out, size_t column, const char *text, size_t n, size_t end,
    const char *origin)
{
	size_t extra = origin != NULL ? strlen(origin) + 1 : 0;
	size_t first = line_text(text, n);

	if (first > 0 && column + first + extra > LINE_MAX_OCTETS) {
		fputs(is_white(text[0]) ? "\n" : "\n\t", out);
		column = is_white(text[0]) ? 0 : 1;
	}
	if (origin == NULL)
		end = n;
	(void)fwrite(text, 1, end, out);
	if (origin != NULL)
		fprintf(out, "@%s", origin);
	column = column_after(column, text, end) + extra;
	(void)fwrite(text + end, 1, n - end, out);
	return column_after(column, text + end, n - end);
}

/* A line that would be too long ends before an address. */
static void
write_addresses(FILE *out, const struct sendmail *s,
    const struct header_field *f)
{
	struct mailbox_list list = { .in = f->value, .n = f->value_len };
	char address[MAILBOX_SIZE];
	size_t column = (size_t)(f->value - f->start), at;
	enum mailbox_event event;
	bool lacks;

	(void)fwrite(f->start, 1, column, out);
	do {
		at = list.at;
		event = mailbox_next(&list, address);
		lacks = event == MAILBOX_ADDRESS &&
		    sendmail_recipients_lack_domain(address);
		column = write_member(out, column, f->value + at, list.at - at,
		    list.end - at, lacks ? s->origin : NULL);
	} while (event != MAILBOX_END);
}

int
sendmail_fields_copy(const struct sendmail *s, const struct header_field *field,
    FILE *out)
{
	char *text = NULL;
	size_t n = 0;
	FILE *whole;
	int ret = -1;

	if (!has_addresses(field)) {
		write_folded(out, field->start, field->size);
		return 0;
	}
	whole = open_memstream(&text, &n);
	if (whole == NULL)
		return -1;
	write_addresses(whole, s, field);
	if (fclose(whole) == 0) {
		write_folded(out, text, n);
		ret = 0;
	}
	free(text);
	return ret;
}
