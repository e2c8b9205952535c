/* SPDX-License-Identifier: ISC */
/* See notice_field.h. */
#include "master/queue/notice_field.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/unitext.h"
#include "common/utf8.h"

enum {
	FIELD_FOLD_AT = 76,
	FIELD_LINE_MAX = 900,   /* RFC 5321, 4.5.3.1.6, with room */
	FIELD_VALUE_SIZE = 512, /* ORCPT and ENVID, decoded */
};

void
field_octets(struct notice_writer *w, const char *octets, size_t n)
{
	if (n == 0 || w->failed)
		return;
	w->failed = w->put(w->arg, octets, n) == -1;
	w->column += n;
}

void
field_put(struct notice_writer *w, const char *text)
{
	field_octets(w, text, strlen(text));
}

/* Where no word follows that it would part. */
static void
flush_space(struct notice_writer *w)
{
	if (w->spaced)
		field_put(w, " ");
	w->spaced = false;
}

void
field_begin(struct notice_writer *w, const char *name)
{
	w->spaced = false;
	w->column = 0;
	field_put(w, name);
}

void
field_end(struct notice_writer *w)
{
	flush_space(w);
	field_put(w, "\r\n");
	w->column = 0;
}

static void
fold(struct notice_writer *w)
{
	field_put(w, "\r\n");
	w->column = 0;
}

/* One octet that others chose, as ASCII. */
static void
put_octet(struct notice_writer *w, uint8_t octet)
{
	char text[8];

	if (octet >= ' ' && octet < 0x7f) {
		text[0] = (char)octet;
		text[1] = '\0';
	} else {
		(void)snprintf(text, sizeof(text), "\\x%02X", octet);
	}
	if (w->column + strlen(text) > FIELD_LINE_MAX) {
		fold(w);
		field_put(w, " ");
	}
	field_put(w, text);
}

/* Its octets up to the next space, as they are written. */
static size_t
word_span(const char *text)
{
	size_t n = 0, i;

	for (i = 0; text[i] != '\0' && text[i] != ' '; i++)
		n += text[i] > ' ' && text[i] < 0x7f ? 1 : 4;
	return n;
}

/* One space of many, before a word: in this line, or at the next one's begin. */
static void
put_space(struct notice_writer *w, const char *word)
{
	if (w->column > 1 && w->column + 1 + word_span(word) > FIELD_FOLD_AT)
		fold(w);
	flush_space(w);
}

void
field_text(struct notice_writer *w, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == ' ') {
			w->spaced = true;
			continue;
		}
		if (w->spaced)
			put_space(w, text);
		put_octet(w, (uint8_t)*text);
	}
}

/* Space by space, and not folded: where another number of them is another
 * value (RFC 3461, 6.3). */
static void
put_exact(struct notice_writer *w, const char *text)
{
	flush_space(w);
	for (; *text != '\0'; text++)
		put_octet(w, (uint8_t)*text);
}

static int
hex_digit(char c)
{
	const char *digits = "0123456789ABCDEF";
	const char *at = c != '\0' ? strchr(digits, c) : NULL;

	return at != NULL ? (int)(at - digits) : -1;
}

/* How many octets out has, which ends with a NUL; what does not fit is left
 * out, and NUL is never one of them. */
static size_t
xtext_decode(const char *value, size_t n, char out[static FIELD_VALUE_SIZE])
{
	size_t len = 0, i;
	int high, low;
	char c;

	for (i = 0; i < n && len < FIELD_VALUE_SIZE - 1; i++) {
		c = value[i];
		if (c == '+' && n - i > 2) {
			high = hex_digit(value[i + 1]);
			low = hex_digit(value[i + 2]);
			if (high != -1 && low != -1) {
				c = (char)(high << 4 | low);
				i += 2;
			}
		}
		out[len++] = c != '\0' ? c : '?';
	}
	out[len] = '\0';
	return len;
}

void
field_xtext(struct notice_writer *w, const char *value, size_t n)
{
	char out[FIELD_VALUE_SIZE];

	(void)xtext_decode(value, n, out);
	put_exact(w, out);
}

static bool
is_ascii(const char *text)
{
	for (; *text != '\0'; text++)
		if ((*text & 0x80) != 0)
			return false;
	return true;
}

/* UTF-8 may stand as it is, but for controls. */
static bool
is_plain_utf8(const char *text)
{
	const char *c;

	for (c = text; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return false;
	return utf8_is_valid(text, (size_t)(c - text));
}

void
field_address(struct notice_writer *w, const char *address, bool utf8)
{
	char ascii[4 * FIELD_VALUE_SIZE];

	if (is_ascii(address))
		put_exact(w, address);
	else if (utf8 && is_plain_utf8(address))
		field_put(w, address);
	else
		put_exact(w,
		    unitext_encode(address, ascii, sizeof(ascii)) ? ascii
								  : address);
}

void
field_typed_address(struct notice_writer *w, const char *address, bool utf8)
{
	field_put(w, is_ascii(address) ? "rfc822; " : "utf-8; ");
	field_address(w, address, utf8);
}

/* The character of an EmbeddedUnicodeChar (RFC 6533, 3) as UTF-8.  How many
 * octets; 0: it stands for none. */
static size_t
put_character(uint32_t code, char out[static 4])
{
	if (code < 0x80) {
		out[0] = (char)code;
		return code > ' ' && code < 0x7f ? 1 : 0;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (char)(0xe0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3f));
		out[2] = (char)(0x80 | (code & 0x3f));
		return code < 0xd800 || code > 0xdfff ? 3 : 0;
	}
	out[0] = (char)(0xf0 | code >> 18);
	out[1] = (char)(0x80 | (code >> 12 & 0x3f));
	out[2] = (char)(0x80 | (code >> 6 & 0x3f));
	out[3] = (char)(0x80 | (code & 0x3f));
	return code <= 0x10ffff ? 4 : 0;
}

/* False where it is none of those that unitext_encode() writes. */
static bool
unitext_decode(const char *text, char out[static FIELD_VALUE_SIZE])
{
	size_t len = 0, n;
	uint32_t code;

	while (*text != '\0' && len < FIELD_VALUE_SIZE - 4) {
		if (strncmp(text, "\\x{", 3) != 0) {
			out[len++] = *text++;
			continue;
		}
		code = 0;
		text += 3;
		for (n = 0; n < 6 && hex_digit(text[n]) != -1; n++)
			code = code << 4 | (uint32_t)hex_digit(text[n]);
		if (n < 2 || text[n] != '}')
			return false;
		text += n + 1;
		n = put_character(code, out + len);
		if (n == 0)
			return false;
		len += n;
	}
	out[len] = '\0';
	return *text == '\0' && is_plain_utf8(out);
}

/* Only an address of type utf-8 is other than it was written: RFC 6533, 3. */
void
field_original_address(struct notice_writer *w, const char *value, size_t n,
    bool utf8)
{
	char text[FIELD_VALUE_SIZE], decoded[FIELD_VALUE_SIZE];
	const char *address;

	(void)xtext_decode(value, n, text);
	address = strchr(text, ';');
	if (address == NULL || strncasecmp(text, "utf-8;", 6) != 0) {
		put_exact(w, text);
		return;
	}
	address++;
	if (utf8 && unitext_decode(address, decoded))
		address = decoded;
	field_put(w, "utf-8; ");
	field_address(w, address, utf8);
}

void
field_mta(struct notice_writer *w, const char *relay)
{
	char name[FIELD_VALUE_SIZE];
	size_t n = strcspn(relay, "[");
	size_t digits = strspn(relay, "0123456789.");

	/* One without a name is a literal (RFC 3461, 9.3). */
	if (relay[n] == '[' && (n == 0 || digits == n)) {
		relay += n;
		n = strcspn(relay, "]") + 1;
	}
	if (n >= sizeof(name))
		n = sizeof(name) - 1;
	(void)strlcpy(name, relay, n + 1);
	field_put(w, "dns; ");
	field_text(w, name);
}
