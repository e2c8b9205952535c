/* SPDX-License-Identifier: ISC */
/*
 * What becomes of a job by what the server offers: it goes as it is, or
 * converted, or without some recipients, or not at all.
 */
#include <string.h>

#include "agent/session/session_internal.h"
#include "agent/smtp/extension.h"

static bool
is_ascii(const char *text, size_t n)
{
	char all = 0;

	for (size_t i = 0; i < n; i++)
		all |= text[i];
	return ((unsigned char)all & 0x80) == 0;
}

/* This server can never take it; another host of the destination may. */
static void
refuse_for_lack(struct session *s, const char *dsn, const char *why)
{
	session_judge_host(s, dsn, "%s", why);
}

/* Who cannot be named to this server; the others get the message. */
static void
refuse_utf8_recipients(struct session *s)
{
	struct transaction *t = &s->trans;
	const char *path = session_path_next(t->envelope);

	session_judge_host(s, "5.6.7",
	    "recipient needs SMTPUTF8, which the server does not offer");
	s->verdict.outcome.step = STEP_MAIL;
	for (uint32_t i = 0; i < t->nrcpt; i++) {
		if (!is_ascii(path, strlen(path)))
			session_outcome_settle(s, i);
		path = session_path_next(path);
	}
}

static bool
has_recipients(const struct transaction *t)
{
	for (uint32_t i = 0; i < t->nrcpt; i++)
		if (!(t->rcpts[i] & RCPT_DONE))
			return true;
	return false;
}

/* RFC 6531, 3.2: without the extension nothing of it is sent. */
static bool
choose_smtputf8(struct session *s)
{
	struct transaction *t = &s->trans;

	if (!(t->flags & SUBMIT_SMTPUTF8) &&
	    is_ascii(t->envelope, t->envelope_len))
		return true;
	if (ehlo_offers(&s->caps, CAPABILITY_SMTPUTF8)) {
		t->smtputf8 = true;
		return true;
	}
	if (t->flags & SUBMIT_SMTPUTF8) {
		refuse_for_lack(s, "5.6.9",
		    "a header field needs SMTPUTF8, which the server does not offer");
		return false;
	}
	if (!is_ascii(t->envelope, strlen(t->envelope))) {
		refuse_for_lack(s, "5.6.7",
		    "sender needs SMTPUTF8, which the server does not offer");
		return false;
	}
	refuse_utf8_recipients(s);
	return has_recipients(t);
}

/* What the server takes no octets of, it gets converted, or not at all. */
static bool
convert_body(struct session *s, enum mime_target target, const char *lacks)
{
	enum mime_error why;
	bool is_read;

	if (s->conf.eight_bit != SESSION_CONVERT &&
	    s->conf.eight_bit != SESSION_CONVERT_UNSIGNED) {
		refuse_for_lack(s, "5.6.3", lacks);
		return false;
	}
	why = session_content_convert(s, target, &is_read);
	if (is_read && why == MIME_OK)
		return true;
	if (is_read)
		session_judge_host(s, "5.6.3",
		    "%s, and it cannot be converted: %s", lacks,
		    mime_error_text(why));
	else
		session_judge(s, "4.3.0", "the message cannot be read");
	return false;
}

/* RFC 3030, 3: by BDAT, and no octet of it changed. */
static bool
choose_binary(struct session *s)
{
	struct transaction *t = &s->trans;

	if (ehlo_offers(&s->caps, CAPABILITY_BINARYMIME)) {
		t->body = COMMAND_BODY_BINARYMIME;
		return true;
	}
	if (!ehlo_offers(&s->caps, CAPABILITY_EIGHTBITMIME))
		return convert_body(s, MIME_TO_7BIT,
		    "message is binary, and the server offers neither BINARYMIME nor 8BITMIME");
	t->body = COMMAND_BODY_8BITMIME;
	return convert_body(s, MIME_TO_8BIT,
	    "message is binary, and the server does not offer BINARYMIME");
}

/* False where the job has its outcome. */
static bool
choose_body(struct session *s)
{
	struct transaction *t = &s->trans;

	if ((t->flags & SUBMIT_BINARY) != 0)
		return choose_binary(s);
	if ((t->flags & SUBMIT_8BIT) == 0)
		return true;
	if (ehlo_offers(&s->caps, CAPABILITY_EIGHTBITMIME)) {
		t->body = COMMAND_BODY_8BITMIME;
		return true;
	}
	/* RFC 6152, 3 */
	return s->conf.eight_bit == SESSION_SEND_ANYWAY ||
	    convert_body(s, MIME_TO_7BIT,
		"message has 8-bit octets, and the server does not offer 8BITMIME");
}

enum offer_answer
session_offer_suits(struct session *s)
{
	struct transaction *t = &s->trans;
	const char *parameters = session_path_parameters(t->envelope);
	const struct extension_refusal *refusal;

	if (t->protocol != s->conf.protocol) {
		session_judge(s, "4.5.0", "%s",
		    session_is_lmtp(s)
			? "protocol error: a job for SMTP on a session of LMTP"
			: "protocol error: a job for LMTP on a session of SMTP");
		return OFFER_REFUSES;
	}
	if (!choose_smtputf8(s) || !choose_body(s))
		return OFFER_REFUSES;
	if (s->caps.size_limit > 0 &&
	    t->content_octets + 2 > s->caps.size_limit &&
	    session_content_octets(s) > s->caps.size_limit) {
		/* RFC 1870, 4 */
		refuse_for_lack(s, "5.3.4",
		    "message is larger than the size that the server offers");
		return OFFER_REFUSES;
	}
	refusal = extension_refuse(&s->caps, parameters);
	if (refusal != NULL) {
		refuse_for_lack(s, refusal->dsn, refusal->why);
		return OFFER_REFUSES;
	}
	t->wants_delay = extension_wants_delay(&s->caps, parameters);
	if ((t->flags & SUBMIT_VERIFY) || session_limits_choose(s))
		return OFFER_SUITS;
	return OFFER_ELSEWHERE;
}

bool
session_offer_has_flights(const struct session *s)
{
	return ehlo_offers(&s->caps, CAPABILITY_PIPELINING) &&
	    ehlo_offers(&s->caps, CAPABILITY_CHUNKING);
}
