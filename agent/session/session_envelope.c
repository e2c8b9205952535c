/* SPDX-License-Identifier: ISC */
/*
 * The envelope of one job: MAIL, RCPT, DATA, and the replies to them.
 * With PIPELINING everything up to DATA leaves in one batch (RFC 2920, 3.1),
 * without it one command at a time.  With CHUNKING BDAT takes the place of DATA.
 */
#include <string.h>

#include "agent/session/session_internal.h"
#include "agent/smtp/extension.h"

/* The batch. */

/* A bounce goes in a session that did not insist on it: where it can, it still
 * says what the message that it tells of said (RFC 8689, 5). */
static bool
asks_for_tls(const struct session *s)
{
	const struct transaction *t = &s->trans;

	return (t->flags & SUBMIT_REQUIRETLS) != 0 &&
	    (s->conf.require_tls ||
		(t->envelope[0] == '\0' &&
		    ehlo_offers(&s->caps, CAPABILITY_REQUIRETLS)));
}

enum command_error
session_envelope_write_mail(struct session *s)
{
	struct transaction *t = &s->trans;
	struct command_mail mail = { 0 };

	mail.has_size = ehlo_offers(&s->caps, CAPABILITY_SIZE);
	if (mail.has_size)
		mail.size = session_content_octets(s);
	mail.body = t->body;
	mail.smtputf8 = t->smtputf8;
	mail.require_tls = asks_for_tls(s);
	mail.parameters = session_path_parameters(t->envelope);
	mail.offered = s->parameters;
	return smtp_command_write_mail(&s->out, t->envelope, &mail);
}

enum command_error
session_envelope_write_rcpt(struct session *s)
{
	const char *path = s->trans.write_path;
	const char *parameters = session_path_parameters(path);
	char more[PARAMETERS_RCPT_SIZE];

	if (s->trans.wants_delay) {
		extension_add_delay(more, parameters);
		parameters = more;
	}
	return smtp_command_write_rcpt(&s->out, path, parameters,
	    s->parameters);
}

/* On to the next; true. */
static bool
skip_rcpt(struct session *s)
{
	struct transaction *t = &s->trans;

	t->write_at++;
	t->write_path = session_path_next(t->write_path);
	if (t->write_at == t->nrcpt)
		t->fill = FILL_DATA;
	return true;
}

/* False where the buffer has no room. */
static bool
ask_for_rcpt(struct session *s)
{
	struct transaction *t = &s->trans;
	size_t from = s->out.len;
	uint32_t rcpt = t->write_at;

	if (t->rcpts[rcpt] & RCPT_DONE) /* without asking */
		return skip_rcpt(s);
	switch (session_envelope_write_rcpt(s)) {
	case COMMAND_OK:
		session_command_written(s, from);
		t->rcpts[rcpt] |= RCPT_ASKED;
		t->unanswered++;
		break;
	case COMMAND_NO_ROOM:
		return false;
	case COMMAND_TOO_LONG:
	case COMMAND_BAD_OCTET:
		session_judge(s, "5.1.3", "recipient cannot be sent");
		session_outcome_settle(s, rcpt);
		break;
	}
	return skip_rcpt(s);
}

/* Not when it is known that nobody is there to get the message.  BDAT asks for
 * nothing, so it waits until that is known. */
static bool
ask_for_data(struct session *s)
{
	struct transaction *t = &s->trans;
	size_t from = s->out.len;

	if (!t->bdat && (t->unanswered > 0 || t->accepted > 0)) {
		if (smtp_command_write_word(&s->out, COMMAND_DATA) !=
		    COMMAND_OK)
			return false;
		session_command_written(s, from);
		t->data_asked = true;
	}
	t->fill = FILL_NOTHING;
	return true;
}

static bool
write_next(struct session *s)
{
	size_t from = s->out.len;

	switch (s->trans.fill) {
	case FILL_MAIL:
		if (session_envelope_write_mail(s) != COMMAND_OK)
			return false;
		session_command_written(s, from);
		s->trans.fill = FILL_RCPT;
		return true;
	case FILL_RCPT:
		return ask_for_rcpt(s);
	case FILL_DATA:
		return ask_for_data(s);
	case FILL_NOTHING:
		break;
	}
	return false;
}

void
session_envelope_fill(struct session *s)
{
	bool batch = ehlo_offers(&s->caps, CAPABILITY_PIPELINING);

	while (batch || s->expected == 0)
		if (!write_next(s))
			return;
}

/* After a reply: write what may be written now, and wait for the next. */
void
session_envelope_advance(struct session *s)
{
	struct transaction *t = &s->trans;

	session_envelope_fill(s);
	if (t->unanswered > 0 || t->fill != FILL_NOTHING)
		session_state_enter(s, STATE_RCPT);
	else if (t->data_asked)
		session_state_enter(s, STATE_DATA);
	else if (t->accepted > 0)
		session_data_fill(s);
	else
		session_job_finish(s);
}

/* Replies to the batch. */

void
session_envelope_take_mail(struct session *s)
{
	struct transaction *t = &s->trans;

	if (s->reply.code / 100 != 2) {
		if (!session_judge_reply(s)) {
			session_end_fail(s, FAREWELL_NONE);
			return;
		}
		t->again = s->reply.code / 100 == 4 &&
		    session_outcome_is_spent(s, t->returned);
		if (!t->again)
			session_outcome_settle_all(s);
		/* What is out already is answered still (S-110). */
		t->fill = FILL_NOTHING;
	}
	session_envelope_advance(s);
}

/*
 * RFC 5321, 4.5.3.1.10, says 452, and that 552 is to be taken for it.  But 552
 * mostly says that a mailbox is full, or that the message is too large or not
 * wanted: it means too many recipients where its enhanced code says so (RFC
 * 3463, 3.6), or where it has none and recipients were accepted before it.
 */
static bool
is_too_many(const struct reply *reply, bool any)
{
	if (reply->code == 552 && reply->enhanced.class == 5)
		return reply->enhanced.subject == 5 &&
		    reply->enhanced.detail == 3;
	return reply->code == 452 || (reply->code == 552 && any);
}

bool
session_envelope_judge_rcpt(struct session *s, bool any)
{
	struct outcome *o = &s->verdict.outcome;

	if (!session_judge_reply(s))
		return false;
	if (is_too_many(&s->reply, any)) {
		o->status = OUTCOME_DEFERRED;
		o->again = any ? OUTCOME_AGAIN_HERE : OUTCOME_AGAIN_ELSEWHERE;
		if (o->dsn[0] == '5')
			o->dsn[0] = '4';
	}
	return true;
}

static uint32_t
next_answered(struct transaction *t)
{
	while (!(t->rcpts[t->answer_at] & RCPT_ASKED))
		t->answer_at++;
	t->rcpts[t->answer_at] &= (uint8_t)~RCPT_ASKED;
	t->unanswered--;
	return t->answer_at++;
}

void
session_envelope_take_rcpt(struct session *s)
{
	struct transaction *t = &s->trans;
	uint32_t rcpt;

	if (t->unanswered == 0) { /* waiting for room, not for a reply */
		session_end_fail_by_reply(s, FAREWELL_NONE);
		return;
	}
	rcpt = next_answered(t);
	if (t->again || (t->rcpts[rcpt] & RCPT_DONE)) { /* MAIL was refused */
		session_envelope_advance(s);
		return;
	}
	if (s->reply.code / 100 == 2) {
		t->rcpts[rcpt] |= RCPT_ACCEPTED;
		t->accepted++;
		session_envelope_advance(s);
		return;
	}
	if (!session_envelope_judge_rcpt(s, t->accepted > 0)) {
		session_end_fail(s, FAREWELL_NONE);
		return;
	}
	session_outcome_settle(s, rcpt);
	session_envelope_advance(s);
}

/*
 * 421 to one RCPT of a batch that ends in DATA.  A server that closes sends
 * nothing more; one that goes on has the message for those that it accepted.
 * Without DATA on the wire no further command may be sent.
 */
void
session_envelope_take_goodbye(struct session *s)
{
	struct transaction *t = &s->trans;

	if (t->unanswered == 0 || !t->data_asked ||
	    (t->accepted == 0 && t->unanswered == 1)) {
		session_end_meet_goodbye(s);
		return;
	}
	session_end_take_goodbye(s);
	session_envelope_take_rcpt(s);
}
