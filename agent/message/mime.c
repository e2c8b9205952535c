/* SPDX-License-Identifier: ISC */
/*
 * The message is walked line by line, in pieces of bounded length: headers,
 * parts and boundaries are told apart the same way in both passes, so that a
 * part has the same number in both.
 */
#include "agent/message/mime.h"

#include <stddef.h>
#include <string.h>

#include "agent/message/mime_internal.h"

#define LINE_LENGTH_MAX 998 /* RFC 5322, 2.1.1 */

/* A line, or part of one; ended: CRLF stood behind it. */
struct piece {
	const uint8_t *octets;
	size_t len;
	bool begins;
	bool ended;
};

static void
put(struct mime *m, const void *octets, size_t n)
{
	if (!m->writing)
		return;
	memcpy(m->out + m->out_len, octets, n);
	m->out_len += n;
}

static void
put_text(struct mime *m, const char *text)
{
	put(m, text, strlen(text));
}

static void
put_piece(struct mime *m, const struct piece *p)
{
	put(m, p->octets, p->len);
	if (p->ended)
		put_text(m, "\r\n");
}

/* Headers. */

static void
begin_entity(struct mime *m)
{
	m->place = MIME_IN_HEADER;
	m->field = MIME_FIELD_NONE;
	m->field_len = 0;
	m->is_dropped = m->has_version = m->has_type = false;
	m->is_message = m->entity == 0;
	m->declared = MIME_7BIT;
	memset(&m->type, 0, sizeof(m->type));
	m->type.kind = MIME_TEXT; /* RFC 2045, 5.2 */
	if (m->depth > 0 && m->levels[m->depth - 1].kind == MIME_DIGEST)
		m->type.kind = MIME_MESSAGE; /* RFC 2046, 5.1.5 */
}

static void
begin_next_entity(struct mime *m)
{
	if (m->entity + 1 == MIME_ENTITIES_MAX) {
		mime_plan_fail(m, MIME_TOO_MANY);
		return;
	}
	m->entity++;
	begin_entity(m);
}

static void
end_field(struct mime *m)
{
	switch (m->field) {
	case MIME_FIELD_TYPE:
		m->has_type = true;
		mime_field_type(&m->type, m->field_octets, m->field_len);
		break;
	case MIME_FIELD_ENCODING:
		m->declared =
		    mime_field_encoding(m->field_octets, m->field_len);
		break;
	case MIME_FIELD_VERSION:
		m->has_version = true;
		break;
	case MIME_FIELD_SIGNATURE:
		m->is_signed = m->is_signed || m->entity == 0;
		break;
	case MIME_FIELD_NONE:
	case MIME_FIELD_OTHER:
		break;
	}
	m->field = MIME_FIELD_NONE;
	m->field_len = 0;
}

static void
gather_field(struct mime *m, const struct piece *p)
{
	if (m->field != MIME_FIELD_TYPE && m->field != MIME_FIELD_ENCODING)
		return;
	if (p->len + 1 > sizeof(m->field_octets) - m->field_len) {
		mime_plan_fail(m, MIME_FIELD_TOO_LONG);
		return;
	}
	memcpy(m->field_octets + m->field_len, p->octets, p->len);
	m->field_len += p->len;
	if (p->ended)
		m->field_octets[m->field_len++] = '\n';
}

/* What the plan adds, at the end of the header. */
static void
put_fields(struct mime *m)
{
	static const char *const labels[] = {
		[MIME_RELABEL] = NULL,
		[MIME_TO_QP] = "quoted-printable",
		[MIME_TO_BASE64] = "base64",
	};
	enum mime_plan plan = mime_plan_of(m);
	const char *label;

	if (plan == MIME_KEEP)
		return;
	label = labels[plan];
	if (label == NULL)
		label = m->target == MIME_TO_8BIT ? "8bit" : "7bit";
	/* RFC 2045, 4: of each message, one within another included. */
	if (m->is_message && !m->has_version)
		put_text(m, "MIME-Version: 1.0\r\n");
	/* RFC 1428, 3: nobody said which. */
	if (m->entity == 0 && !m->has_type)
		put_text(m,
		    "Content-Type: text/plain; charset=unknown-8bit\r\n");
	put_text(m, "Content-Transfer-Encoding: ");
	put_text(m, label);
	put_text(m, "\r\n");
}

static void
begin_leaf(struct mime *m)
{
	m->place = MIME_IN_LEAF;
	m->octets = m->high = 0;
	m->line = 0;
	m->is_binary = m->is_long = m->owes_line = false;
	memset(&m->encoder, 0, sizeof(m->encoder));
}

static void
begin_multipart(struct mime *m)
{
	struct mime_level *level;

	if (m->type.boundary_len == 0) {
		mime_plan_fail(m, MIME_NO_BOUNDARY);
		return;
	}
	if (m->depth == MIME_DEPTH_MAX) {
		mime_plan_fail(m, MIME_TOO_DEEP);
		return;
	}
	level = &m->levels[m->depth++];
	level->kind = m->type.kind;
	level->boundary_len = m->type.boundary_len;
	memcpy(level->boundary, m->type.boundary, sizeof(level->boundary));
	m->place = MIME_BETWEEN;
}

static bool
is_composite(const struct mime *m)
{
	return m->type.kind == MIME_MULTIPART || m->type.kind == MIME_DIGEST ||
	    m->type.kind == MIME_SIGNED || m->type.kind == MIME_MESSAGE;
}

/* RFC 2045, 6.4: what is made of parts is never encoded itself; what says that
 * it is, is taken for a whole. */
static void
end_header(struct mime *m)
{
	end_field(m);
	if (is_composite(m) && m->declared == MIME_ENCODED)
		m->type.kind = MIME_OTHER;
	if (is_composite(m) && mime_plan_is_declared_beyond(m) &&
	    !mime_plan_is_signed(m))
		mime_plan_decide(m, MIME_RELABEL);
	put_fields(m);
	if (!is_composite(m))
		begin_leaf(m);
	else if (m->type.kind != MIME_MESSAGE)
		begin_multipart(m);
}

static void
begin_content(struct mime *m)
{
	if (m->place != MIME_IN_HEADER)
		return;
	begin_next_entity(m); /* a message in the message */
	m->is_message = true;
	m->type.kind = MIME_TEXT;
}

static bool
is_no_line(uint8_t c)
{
	return c == '\0' || c == '\r' || c == '\n';
}

static bool
is_beyond_header(const struct mime *m, uint8_t c)
{
	return is_no_line(c) || (c > 0x7f && m->target == MIME_TO_7BIT);
}

static void
check_header(struct mime *m, const struct piece *p)
{
	for (size_t i = 0; i < p->len; i++)
		if (is_beyond_header(m, p->octets[i]))
			mime_plan_fail(m,
			    is_no_line(p->octets[i]) ? MIME_HEADER_NO_LINE
						     : MIME_HEADER_NOT_ASCII);
}

static void
take_field(struct mime *m, const struct piece *p)
{
	check_header(m, p);
	gather_field(m, p);
	if (!m->is_dropped)
		put_piece(m, p);
}

/* False where the piece is no field: the header ended without saying so. */
static bool
take_header(struct mime *m, const struct piece *p)
{
	enum mime_field field;

	if (!p->begins ||
	    (m->field != MIME_FIELD_NONE && p->len > 0 &&
		(p->octets[0] == ' ' || p->octets[0] == '\t'))) {
		take_field(m, p);
		return true;
	}
	if (p->len == 0 && p->ended) {
		end_header(m);
		put_text(m, "\r\n");
		begin_content(m);
		return true;
	}
	field = mime_field_find(p->octets, p->len);
	if (field == MIME_FIELD_NONE)
		return false;
	end_field(m);
	m->field = field;
	m->is_dropped = m->writing && field == MIME_FIELD_ENCODING &&
	    mime_plan_of(m) != MIME_KEEP;
	take_field(m, p);
	return true;
}

/* Content. */

static void
count(struct mime *m, const struct piece *p)
{
	m->octets += p->len;
	for (size_t i = 0; i < p->len; i++) {
		uint8_t c = p->octets[i];

		if (c > 0x7f)
			m->high++;
		else if (c == '\0' || c == '\r' || c == '\n')
			m->is_binary = true;
	}
	m->line += (uint32_t)p->len;
	if (m->line > LINE_LENGTH_MAX)
		m->is_long = true;
	if (p->ended)
		m->line = 0;
}

/* A line end may belong to a boundary behind it (RFC 2046, 5.1.1). */
static void
pay_line(struct mime *m)
{
	if (m->owes_line)
		m->out_len += transfer_encoding_base64(&m->encoder,
		    (const uint8_t *)"\r\n", 2, m->out + m->out_len);
	m->owes_line = false;
}

static void
take_leaf(struct mime *m, const struct piece *p)
{
	if (!m->writing) {
		count(m, p);
		return;
	}
	switch (mime_plan_of(m)) {
	case MIME_KEEP:
	case MIME_RELABEL:
		put_piece(m, p);
		break;
	case MIME_TO_QP:
		m->out_len += transfer_encoding_quoted_printable(&m->encoder,
		    p->octets, p->len, p->ended, m->out + m->out_len);
		break;
	case MIME_TO_BASE64:
		pay_line(m);
		m->out_len += transfer_encoding_base64(&m->encoder, p->octets,
		    p->len, m->out + m->out_len);
		m->owes_line = p->ended;
		break;
	}
}

/* RFC 2046, 5.1.1: it is to be ignored, so a "?" does no harm there. */
static void
take_between(struct mime *m, const struct piece *p)
{
	for (size_t i = 0; i < p->len; i++) {
		bool beyond = is_beyond_header(m, p->octets[i]);

		put(m, beyond ? "?" : (const char *)&p->octets[i], 1);
		m->is_changed = m->is_changed || beyond;
	}
	if (p->ended)
		put_text(m, "\r\n");
}

static void
end_leaf(struct mime *m)
{
	if (m->place != MIME_IN_LEAF)
		return;
	mime_plan_decide_leaf(m);
	if (m->writing && mime_plan_of(m) == MIME_TO_BASE64)
		m->out_len += transfer_encoding_base64_end(&m->encoder,
		    m->out + m->out_len);
}

/* Boundaries. */

/* Whether a line is that boundary, and whether it is the last of its kind. */
static bool
is_boundary(const struct mime_level *level, const struct piece *p, bool *last)
{
	size_t at = level->boundary_len + 2;

	if (p->len < at ||
	    memcmp(p->octets + 2, level->boundary, level->boundary_len) != 0)
		return false;
	*last = p->len >= at + 2 && memcmp(p->octets + at, "--", 2) == 0;
	if (*last)
		at += 2;
	for (; at < p->len; at++) /* transport padding */
		if (p->octets[at] != ' ' && p->octets[at] != '\t')
			return false;
	return true;
}

/* The innermost first: who left out an end has ended all the same. */
static bool
take_boundary(struct mime *m, const struct piece *p)
{
	bool last = false;
	uint32_t i = m->depth;

	if (!p->begins || p->len < 2 || memcmp(p->octets, "--", 2) != 0)
		return false;
	while (i > 0 && !is_boundary(&m->levels[i - 1], p, &last))
		i--;
	if (i == 0)
		return false;
	if (m->place == MIME_IN_HEADER)
		end_header(m);
	end_leaf(m);
	put_piece(m, p);
	m->depth = last ? i - 1 : i;
	m->place = MIME_BETWEEN;
	if (!last)
		begin_next_entity(m);
	return true;
}

static void
take_piece(struct mime *m, const struct piece *p)
{
	if (take_boundary(m, p))
		return;
	while (m->place == MIME_IN_HEADER && m->error == MIME_OK) {
		if (take_header(m, p))
			return;
		end_header(m);
		if (mime_plan_of(m) != MIME_KEEP)
			put_text(m, "\r\n");
		begin_content(m);
	}
	if (m->place == MIME_IN_LEAF)
		take_leaf(m, p);
	else
		take_between(m, p);
}

/* What has been gathered of a line; a CR may yet be half of its end. */
static void
take_gathered(struct mime *m, bool ended)
{
	struct piece p = { m->line_octets, m->line_len, !m->within_line,
		ended };
	bool held = !ended && p.len > 1 && p.octets[p.len - 1] == '\r';

	if (ended)
		p.len -= 2;
	else if (held)
		p.len--;
	take_piece(m, &p);
	m->within_line = !ended;
	m->line_len = 0;
	if (held)
		m->line_octets[m->line_len++] = '\r';
}

static void
gather(struct mime *m, const uint8_t *in, size_t n, size_t *used)
{
	size_t room = sizeof(m->line_octets) - m->line_len;
	const uint8_t *lf;

	if (n > room)
		n = room;
	lf = memchr(in, '\n', n);
	if (lf != NULL)
		n = (size_t)(lf - in) + 1;
	memcpy(m->line_octets + m->line_len, in, n);
	m->line_len += n;
	*used += n;
	if (m->line_len >= 2 &&
	    memcmp(m->line_octets + m->line_len - 2, "\r\n", 2) == 0)
		take_gathered(m, true);
	else if (m->line_len == sizeof(m->line_octets))
		take_gathered(m, false);
}

void
mime_plan(struct mime *m, enum mime_target target)
{
	memset(m, 0, sizeof(*m));
	m->target = target;
	begin_entity(m);
}

void
mime_write(struct mime *m)
{
	enum mime_target target = m->target;

	memset(m, 0, offsetof(struct mime, plan));
	m->target = target;
	m->writing = true;
	begin_entity(m);
}

size_t
mime_convert(struct mime *m, const uint8_t *in, size_t n, size_t *used,
    uint8_t *out, size_t size)
{
	m->out = out;
	m->out_len = 0;
	*used = 0;
	while (*used < n && m->error == MIME_OK &&
	    (!m->writing || size - m->out_len >= MIME_ROOM_MIN))
		gather(m, in + *used, n - *used, used);
	m->out = NULL;
	return m->out_len;
}

size_t
mime_end(struct mime *m, uint8_t *out)
{
	struct piece rest = { m->line_octets, m->line_len, !m->within_line,
		false };

	m->out = out;
	m->out_len = 0;
	if (rest.len > 0) {
		take_piece(m, &rest);
		m->within_line = true;
	}
	if (m->place == MIME_IN_HEADER && m->error == MIME_OK) {
		if (m->within_line && mime_plan_of(m) != MIME_KEEP)
			put_text(m, "\r\n");
		end_header(m);
	}
	if (m->place == MIME_IN_LEAF && m->writing)
		pay_line(m);
	end_leaf(m);
	m->out = NULL;
	return m->out_len;
}

bool
mime_breaks_signature(const struct mime *m)
{
	return m->is_signed && m->is_changed;
}

const char *
mime_error_text(enum mime_error error)
{
	static const char *const texts[MIME_ERRORS] = {
		[MIME_OK] = "it can be converted",
		[MIME_HEADER_NOT_ASCII] = "a header field is not of ASCII",
		[MIME_HEADER_NO_LINE] =
		    "a line of its header holds NUL, or does not end in CRLF",
		[MIME_IS_SIGNED] = "a part is signed",
		[MIME_IS_ENCODED] =
		    "a part is not encoded as it says that it is",
		[MIME_IS_RESTRICTED] =
		    "a part is of a type that is never encoded",
		[MIME_NO_BOUNDARY] = "a multipart names no boundary",
		[MIME_FIELD_TOO_LONG] = "a header field is too long",
		[MIME_TOO_DEEP] = "its parts are nested too deep",
		[MIME_TOO_MANY] = "it has too many parts",
		[MIME_BREAKS_DKIM] =
		    "its DKIM signature would not hold (convert_unsigned)",
	};

	return texts[error];
}
