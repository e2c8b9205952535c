/* SPDX-License-Identifier: ISC */
/* See mime_field.h. */
#include "agent/message/mime_field.h"

#include <string.h>
#include <strings.h>

#include "common/util.h"

/* A word of a field's body: a token, a quoted string without its quotes, or
 * one character of syntax. */
struct word {
	size_t len; /* 0 behind the last */
	bool quoted;
	char text[MIME_BOUNDARY_MAX + 2]; /* cut off where it is longer */
};

struct field {
	const uint8_t *at;
	const uint8_t *end;
};

static bool
is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* RFC 5322, 3.2.2: comments, which nest. */
static void
skip_comment(struct field *f)
{
	unsigned int depth = 0;

	for (; f->at < f->end; f->at++) {
		if (*f->at == '\\' && f->at + 1 < f->end)
			f->at++;
		else if (*f->at == '(')
			depth++;
		else if (*f->at == ')' && --depth == 0) {
			f->at++;
			return;
		}
	}
}

static void
skip_space(struct field *f)
{
	while (f->at < f->end) {
		if (is_space(*f->at))
			f->at++;
		else if (*f->at == '(')
			skip_comment(f);
		else
			return;
	}
}

static void
add(struct word *w, uint8_t c)
{
	if (w->len < sizeof(w->text))
		w->text[w->len++] = (char)c;
}

static void
take_quoted(struct field *f, struct word *w)
{
	w->quoted = true;
	for (f->at++; f->at < f->end && *f->at != '"'; f->at++) {
		if (*f->at == '\\' && f->at + 1 < f->end)
			f->at++;
		if (*f->at != '\r' && *f->at != '\n') /* it was folded */
			add(w, *f->at);
	}
	if (f->at < f->end)
		f->at++;
}

/* RFC 2045, 5.1 */
static bool
is_special(uint8_t c)
{
	return c != '\0' && strchr("()<>@,;:\\\"/[]?=", c) != NULL;
}

/* False behind the last one. */
static bool
next_word(struct field *f, struct word *w)
{
	w->len = 0;
	w->quoted = false;
	skip_space(f);
	if (f->at == f->end)
		return false;
	if (*f->at == '"') {
		take_quoted(f, w);
		return true;
	}
	if (is_special(*f->at)) {
		add(w, *f->at++);
		return true;
	}
	while (f->at < f->end && !is_space(*f->at) && !is_special(*f->at))
		add(w, *f->at++);
	return true;
}

/* A parameter's value.  Lenient towards those who leave the quotes away where
 * RFC 2045, 5.1, wants them, as about a boundary with a "=" in it. */
static void
take_value(struct field *f, struct word *w)
{
	w->len = 0;
	skip_space(f);
	if (f->at < f->end && *f->at == '"') {
		take_quoted(f, w);
		return;
	}
	while (f->at < f->end && !is_space(*f->at) && *f->at != ';')
		add(w, *f->at++);
}

static bool
is_word(const struct word *w, const char *text)
{
	return w->len == strlen(text) &&
	    strncasecmp(w->text, text, w->len) == 0;
}

/* RFC 5322, 3.6.8: any printable but the colon; white space before that is
 * obsolete, and seen. */
enum mime_field
mime_field_find(const uint8_t *line, size_t n)
{
	static const struct {
		const char *name;
		enum mime_field field;
	} names[] = {
		{ "Content-Type", MIME_FIELD_TYPE },
		{ "Content-Transfer-Encoding", MIME_FIELD_ENCODING },
		{ "MIME-Version", MIME_FIELD_VERSION },
		{ "DKIM-Signature", MIME_FIELD_SIGNATURE },
		{ "ARC-Message-Signature", MIME_FIELD_SIGNATURE },
	};
	size_t len = 0, i, colon;

	while (
	    len < n && line[len] > ' ' && line[len] != ':' && line[len] < 0x7f)
		len++;
	for (colon = len;
	     colon < n && (line[colon] == ' ' || line[colon] == '\t');)
		colon++;
	if (len == 0 || colon == n || line[colon] != ':')
		return MIME_FIELD_NONE;
	for (i = 0; i < NELEM(names); i++)
		if (strlen(names[i].name) == len &&
		    strncasecmp(names[i].name, (const char *)line, len) == 0)
			return names[i].field;
	return MIME_FIELD_OTHER;
}

/* Behind the colon. */
static struct field
body_of(const uint8_t *field, size_t n)
{
	const uint8_t *colon = memchr(field, ':', n);
	struct field f = { field + n, field + n };

	if (colon != NULL)
		f.at = colon + 1;
	return f;
}

static enum mime_kind
kind_of(const struct word *type, const struct word *subtype)
{
	/* RFC 6532, 3.7; RFC 6533, 4.4 and 6. */
	static const char *const encodable[] = { "global", "global-headers",
		"global-delivery-status", "global-disposition-notification" };

	if (is_word(type, "text"))
		return MIME_TEXT;
	if (is_word(type, "multipart")) {
		if (is_word(subtype, "signed"))
			return MIME_SIGNED;
		return is_word(subtype, "digest") ? MIME_DIGEST
						  : MIME_MULTIPART;
	}
	if (!is_word(type, "message"))
		return MIME_OTHER;
	if (is_word(subtype, "rfc822"))
		return MIME_MESSAGE;
	for (size_t i = 0; i < NELEM(encodable); i++)
		if (is_word(subtype, encodable[i]))
			return MIME_OTHER;
	return MIME_RESTRICTED;
}

/* RFC 2046, 5.1.1: no space at its end, and not too long to be one. */
static void
take_boundary(struct mime_type *type, const struct word *w)
{
	if (w->len == 0 || w->len > MIME_BOUNDARY_MAX ||
	    w->text[w->len - 1] == ' ')
		return;
	memcpy(type->boundary, w->text, w->len);
	type->boundary[w->len] = '\0';
	type->boundary_len = w->len;
}

/* "; name = value", again and again; what makes no sense is skipped. */
static void
take_parameters(struct mime_type *type, struct field *f)
{
	struct word w, value;

	while (next_word(f, &w)) {
		if (w.quoted || !is_word(&w, "boundary"))
			continue;
		if (!next_word(f, &value) || !is_word(&value, "="))
			continue;
		take_value(f, &value);
		if (type->boundary_len == 0)
			take_boundary(type, &value);
	}
}

void
mime_field_type(struct mime_type *type, const uint8_t *field, size_t n)
{
	struct field f = body_of(field, n);
	struct word first, slash, second;

	memset(type, 0, sizeof(*type));
	type->kind = MIME_OTHER;
	if (!next_word(&f, &first) || !next_word(&f, &slash) ||
	    !is_word(&slash, "/") || !next_word(&f, &second))
		return;
	type->kind = kind_of(&first, &second);
	take_parameters(type, &f);
}

enum mime_encoding
mime_field_encoding(const uint8_t *field, size_t n)
{
	struct field f = body_of(field, n);
	struct word w;

	if (!next_word(&f, &w) || is_word(&w, "7bit"))
		return MIME_7BIT;
	if (is_word(&w, "8bit"))
		return MIME_8BIT;
	return is_word(&w, "binary") ? MIME_BINARY : MIME_ENCODED;
}
