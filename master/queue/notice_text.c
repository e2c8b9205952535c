/* SPDX-License-Identifier: ISC */
/*
 * See notice_text.h.  Here are the parts of a notice; how a field is written is
 * in notice_field.c.
 */
#include "master/queue/notice_text.h"

#include <stdio.h>
#include <string.h>

#include "common/date.h"
#include "common/parameters.h"
#include "master/queue/notice_field.h"
#include "master/queue/reason.h"

enum {
	NOTICE_EXPANDED_SIZE = 2 * NOTICE_TEMPLATE_MAX,
	NOTICE_FOLD_AT = 76,
};

static void
put_date(struct notice_writer *w, const char *name, int64_t ms)
{
	char date[DATE_MAIL_SIZE];

	date_write_mail(ms / 1000, 0, date);
	field_put(w, name);
	field_put(w, ": ");
	field_put(w, date);
	field_put(w, "\r\n");
}

/* The octets of a template, whose lines end in LF. */
static void
put_template(struct notice_writer *w, const struct notice_about *n,
    const char *text)
{
	static char out[NOTICE_EXPANDED_SIZE];
	const char *line = out;
	size_t len;

	(void)notice_template_expand(text, &n->values, out, sizeof(out));
	while (*line != '\0') {
		len = strcspn(line, "\n");
		field_octets(w, line, len);
		field_put(w, "\r\n");
		line += len + (line[len] == '\n' ? 1 : 0);
	}
}

static void
put_field_template(struct notice_writer *w, const struct notice_about *n,
    const char *name, const char *text)
{
	char out[NOTICE_TEMPLATE_LINE * 2];

	(void)notice_template_expand(text, &n->values, out, sizeof(out));
	field_begin(w, name);
	field_text(w, out);
	field_end(w);
}

static void
put_boundary(struct notice_writer *w, const struct notice_about *n,
    const char *behind)
{
	field_put(w, "\r\n--");
	field_put(w, n->boundary);
	field_put(w, behind);
	field_put(w, "\r\n");
}

static const char *
encoding_name(bool is_8bit)
{
	return is_8bit ? "8bit" : "7bit";
}

static void
put_type(struct notice_writer *w, const char *description, const char *type,
    const char *encoding)
{
	field_put(w, "Content-Description: ");
	field_put(w, description);
	field_put(w, "\r\nContent-Type: ");
	field_put(w, type);
	field_put(w, "\r\nContent-Transfer-Encoding: ");
	field_put(w, encoding);
	field_put(w, "\r\n\r\n");
}

void
notice_write_head(struct notice_writer *w, const struct notice_about *n)
{
	const struct notice_template *t = n->template;
	bool utf8 = n->utf8 || t->utf8;

	put_date(w, "Date", n->now_ms);
	put_field_template(w, n, "From: ", t->from);
	put_field_template(w, n,
	    "Subject: ", n->to_postmaster ? t->postmaster_subject : t->subject);
	field_begin(w, "To: <");
	field_address(w, n->to, n->utf8);
	field_put(w, ">");
	field_end(w);
	field_put(w, "Message-ID: <");
	field_put(w, n->boundary);
	field_put(w, "@");
	field_put(w, n->values.myhostname);
	/* RFC 3834, 3.1.7 */
	field_put(w,
	    ">\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
	    "Content-Type: multipart/report; report-type=delivery-status;\r\n"
	    "\tboundary=\"");
	field_put(w, n->boundary);
	field_put(w, "\"\r\nContent-Transfer-Encoding: ");
	field_put(w, encoding_name(n->is_8bit));
	field_put(w, "\r\n\r\nThis is a MIME message.\r\n");
	put_boundary(w, n, "");
	put_type(w, "Notification",
	    utf8 ? "text/plain; charset=utf-8" : "text/plain; charset=us-ascii",
	    encoding_name(utf8));
	put_template(w, n, t->body);
}

static const char *
reason_verb(const struct notice_recipient *r)
{
	switch (r->notice & NOTICE_KIND) {
	case NOTICE_DELIVERED:
		return "delivered: ";
	case NOTICE_RELAYED:
		return "relayed, and its end is not told: ";
	default:
		return "";
	}
}

/* What happened, in the words of whoever said it; of what is ours alone, who it
 * was about. */
static void
put_reason(struct notice_writer *w, const struct notice_recipient *r)
{
	char reply[REASON_SIZE], text[REASON_SIZE];
	struct outcome outcome = { .code = (uint16_t)r->code };
	bool success = notice_class(r->notice) == NOTICE_SUCCESS;
	const char *quote;

	outcome.step = (uint8_t)reason_take(reply, sizeof(reply),
	    (unsigned)r->code, r->reply);
	outcome.status = OUTCOME_FAILED;
	quote = reason_quote((unsigned)r->code, reply);
	reason_tell(text, sizeof(text), &outcome, r->relay, reply);
	field_text(w, text[0] != '\0' ? text : "no attempt was made");
	if (quote != NULL || success || r->relay[0] == '\0')
		return;
	field_text(w, " (host ");
	field_text(w, r->relay);
	field_text(w, ")");
}

/* For people: "<ana@example.org>: host mx.example.org[192.0.2.1]:25 said: ..." */
void
notice_write_reason(struct notice_writer *w, const struct notice_about *n,
    const struct notice_recipient *r)
{
	field_begin(w, "<");
	field_address(w, r->address, n->utf8);
	field_put(w, ">:");
	field_text(w, " ");
	field_text(w, reason_verb(r));
	put_reason(w, r);
	if (r->in_doubt && notice_class(r->notice) != NOTICE_SUCCESS)
		field_text(w, " (perhaps it was delivered all the same)");
	field_end(w);
}

/* Original-Envelope-Id, as the sender wrote it (RFC 3461, 6.3). */
static void
put_envelope_id(struct notice_writer *w, const char *parameters)
{
	struct parameter_word word;

	while (parameters_next(&parameters, &word)) {
		if (word.parameter != PARAMETER_ENVID)
			continue;
		field_begin(w, "Original-Envelope-Id: ");
		field_xtext(w, word.value, word.value_len);
		field_end(w);
	}
}

void
notice_write_status(struct notice_writer *w, const struct notice_about *n)
{
	put_boundary(w, n, "");
	put_type(w, "Delivery report",
	    n->utf8 ? "message/global-delivery-status"
		    : "message/delivery-status",
	    encoding_name(n->utf8));
	put_envelope_id(w, n->parameters);
	field_begin(w,
	    n->mta_is_name ? "Reporting-MTA: dns; "
			   : "Reporting-MTA: x-local-hostname; ");
	field_text(w, n->values.myhostname);
	field_end(w);
	put_date(w, "Arrival-Date", n->created_ms);
	field_begin(w, "X-Postern-Queue-ID: ");
	field_text(w, n->values.queue_id);
	field_end(w);
	if (n->values.sender[0] == '\0')
		return;
	field_begin(w, "X-Postern-Sender: ");
	field_typed_address(w, n->values.sender, n->utf8);
	field_end(w);
}

static void
put_original_recipient(struct notice_writer *w, const char *parameters,
    bool utf8)
{
	struct parameter_word word;

	while (parameters_next(&parameters, &word)) {
		if (word.parameter != PARAMETER_ORCPT)
			continue;
		field_begin(w, "Original-Recipient: ");
		field_original_address(w, word.value, word.value_len, utf8);
		field_end(w);
	}
}

static const char *
action_of(uint32_t notice)
{
	switch (notice & NOTICE_KIND) {
	case NOTICE_DELAYED:
	case NOTICE_LATE:
		return "delayed";
	case NOTICE_DELIVERED:
		return "delivered";
	case NOTICE_RELAYED:
		return "relayed";
	default:
		return "failed";
	}
}

/* RFC 3464, 2.3.4: without leading zeros, and of its action's class. */
static const char *
status_of(const struct notice_recipient *r)
{
	unsigned a, b, c;
	char again[24];
	bool sound;

	if ((r->notice & NOTICE_KIND) == NOTICE_LATE)
		return "4.4.7"; /* RFC 2852, 4.1.3 */
	sound = sscanf(r->dsn, "%1u.%3u.%3u", &a, &b, &c) == 3 &&
	    snprintf(again, sizeof(again), "%u.%u.%u", a, b, c) > 0 &&
	    strcmp(again, r->dsn) == 0;
	switch (notice_class(r->notice)) {
	case NOTICE_SUCCESS:
		return sound && a == 2 ? r->dsn : "2.0.0";
	case NOTICE_DELAY:
		return sound && a == 4 ? r->dsn : "4.0.0";
	case NOTICE_FAILURE:
	case NOTICE_CLASSES:
		break;
	}
	return sound && a != 2 ? r->dsn : "5.0.0";
}

/* RFC 3464, 2.3.5: where there is the one, the other is what it said. */
static void
put_diagnostic(struct notice_writer *w, const struct notice_recipient *r)
{
	char text[REASON_SIZE];
	const char *reply;

	(void)reason_take(text, sizeof(text), (unsigned)r->code, r->reply);
	reply = reason_quote((unsigned)r->code, text);
	if (reply != NULL && r->relay[0] != '\0') {
		field_begin(w, "Remote-MTA: ");
		field_mta(w, r->relay);
		field_end(w);
	}
	if (reply == NULL && text[0] == '\0')
		return;
	field_begin(w,
	    reply != NULL ? "Diagnostic-Code: smtp; "
			  : "Diagnostic-Code: X-Postern; ");
	field_text(w, reply != NULL ? reply : text);
	field_end(w);
}

void
notice_write_recipient(struct notice_writer *w, const struct notice_about *n,
    const struct notice_recipient *r)
{
	enum notice_class class = notice_class(r->notice);

	field_put(w, "\r\n");
	put_original_recipient(w, r->parameters, n->utf8);
	field_begin(w, "Final-Recipient: ");
	field_typed_address(w, r->address, n->utf8);
	field_end(w);
	field_put(w, "Action: ");
	field_put(w, action_of(r->notice));
	field_put(w, "\r\nStatus: ");
	field_put(w, status_of(r));
	field_put(w, "\r\n");
	put_diagnostic(w, r);
	if (r->last_ms != 0)
		put_date(w, "Last-Attempt-Date", r->last_ms);
	if (class != NOTICE_SUCCESS) { /* else whoever has it now has its log */
		field_put(w, "Final-Log-ID: ");
		field_put(w, n->values.queue_id);
		field_put(w, "\r\n");
	}
	if (class == NOTICE_DELAY)
		put_date(w, "Will-Retry-Until", r->until_ms);
}

void
notice_write_returned(struct notice_writer *w, const struct notice_about *n,
    bool whole, bool utf8, enum notice_encoding encoding)
{
	static const char *const encodings[] = { "7bit", "8bit", "base64" };
	const char *type = whole ? "message/rfc822" : "text/rfc822-headers";

	if (utf8)
		type = whole ? "message/global" : "message/global-headers";
	put_boundary(w, n, "");
	put_type(w, whole ? "Message" : "Message header", type,
	    encodings[encoding]);
}

static void
put_base64(struct notice_writer *w, const uint8_t *in, size_t n)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char out[NOTICE_FOLD_AT + 2];
	size_t len = 0, i;
	uint32_t bits;

	for (i = 0; i < n; i += 3) {
		bits = (uint32_t)in[i] << 16;
		bits |= i + 1 < n ? (uint32_t)in[i + 1] << 8 : 0;
		bits |= i + 2 < n ? in[i + 2] : 0;
		out[len++] = digits[bits >> 18];
		out[len++] = digits[bits >> 12 & 63];
		out[len++] = i + 1 < n ? digits[bits >> 6 & 63] : '=';
		out[len++] = i + 2 < n ? digits[bits & 63] : '=';
	}
	out[len++] = '\r';
	out[len++] = '\n';
	field_octets(w, out, len);
}

void
notice_write_content(struct notice_writer *w, const uint8_t *octets, size_t n,
    enum notice_encoding encoding)
{
	size_t line;

	if (encoding != NOTICE_BASE64) {
		field_octets(w, (const char *)octets, n);
		return;
	}
	for (; n > 0; octets += line, n -= line) {
		line = n < NOTICE_PIECE ? n : NOTICE_PIECE;
		put_base64(w, octets, line);
	}
}

void
notice_write_end(struct notice_writer *w, const struct notice_about *n)
{
	put_boundary(w, n, "--");
}

size_t
notice_header_span(const uint8_t *octets, size_t n, bool *has_8bit)
{
	const uint8_t *end;
	size_t at = 0, i;
	uint8_t all = 0;

	while ((end = memmem(octets + at, n - at, "\r\n", 2)) != NULL &&
	    end != octets + at)
		at = (size_t)(end + 2 - octets);
	for (i = 0; i < at; i++)
		all |= octets[i];
	*has_8bit = (all & 0x80) != 0;
	return at;
}

void
notice_header_clean(uint8_t *octets, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (octets[i] == '\r' && i + 1 < n && octets[i + 1] == '\n')
			i++;
		else if (octets[i] == '\0' || octets[i] == '\r' ||
		    octets[i] == '\n')
			octets[i] = ' ';
	}
}
