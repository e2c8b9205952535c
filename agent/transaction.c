/* SPDX-License-Identifier: ISC */
/*
 * One job over a session that is up: MAIL, RCPT, DATA, the message, and an
 * outcome for each recipient.  With PIPELINING everything up to DATA leaves in
 * one batch (RFC 2920, 3.1), without it one command at a time.
 */
#include <string.h>

#include "agent/session_internal.h"

/* What is known of a recipient. */
#define RCPT_ASKED    (1u << 0) /* and not answered yet */
#define RCPT_ACCEPTED (1u << 1) /* and waiting for the final reply */
#define RCPT_DONE     (1u << 2) /* the queue has its outcome */

static bool
is_lmtp(const struct session *s)
{
	return s->conf.protocol == SESSION_LMTP;
}

/* Outcomes. */

static void
settle(struct session *s, uint32_t rcpt)
{
	struct transaction *t = &s->trans;
	struct msg_outcome outcome = { 0 };

	if (t->rcpts[rcpt] & RCPT_DONE)
		return;
	t->rcpts[rcpt] |= RCPT_DONE;
	if (t->rcpts[rcpt] & RCPT_ACCEPTED)
		t->accepted--;
	outcome.job = t->job;
	outcome.rcpt = rcpt;
	outcome.outcome = s->verdict.outcome;
	session_report(s, MSG_OUTCOME, &outcome, s->verdict.text);
}

static void
settle_all(struct session *s)
{
	for (uint32_t i = 0; i < s->trans.nrcpt; i++)
		settle(s, i);
}

static void
settle_accepted(struct session *s)
{
	for (uint32_t i = 0; i < s->trans.nrcpt; i++)
		if (s->trans.rcpts[i] & RCPT_ACCEPTED)
			settle(s, i);
}

static void
forget_job(struct session *s)
{
	s->trans.active = false;
	s->trans.begun = false;
	s->ops->close_body(s->arg);
}

static void
finish(struct session *s)
{
	forget_job(s);
	session_enter(s, STATE_READY);
}

void
transaction_abandon(struct session *s)
{
	if (!s->trans.active)
		return;
	if (!s->trans.begun) { /* another worker can have it as it is */
		forget_job(s);
		return;
	}
	/* Whoever has the whole message may have kept it (RFC 1047). */
	s->verdict.outcome.in_doubt = s->state == STATE_FINAL;
	settle_all(s);
	forget_job(s);
}

/* The batch. */

static void
skip_path(struct transaction *t)
{
	t->write_path += strlen(t->write_path) + 1;
}

/* RFC 1870, 3: what goes between 354 and the dot, without added dots. */
static uint64_t
octets_on_the_wire(struct session *s)
{
	struct transaction *t = &s->trans;
	uint8_t last = '\n';

	if (t->size > 0 &&
	    s->ops->read_body(s->arg, &last, 1, t->size - 1) != 1)
		return t->size;
	return last == '\n' ? t->size : t->size + 2;
}

static enum command_error
write_mail(struct session *s)
{
	struct transaction *t = &s->trans;
	struct command_mail mail = { 0 };

	mail.has_size = capabilities_offer(&s->caps, CAPABILITY_SIZE);
	if (mail.has_size)
		mail.size = octets_on_the_wire(s);
	mail.eight_bit = (t->flags & SUBMIT_8BIT) &&
	    capabilities_offer(&s->caps, CAPABILITY_EIGHTBITMIME);
	return command_write_mail(&s->out, t->envelope, &mail);
}

/* False where the buffer has no room. */
static bool
ask_for_rcpt(struct session *s)
{
	struct transaction *t = &s->trans;
	size_t from = s->out.len;
	uint32_t rcpt = t->write_at;

	switch (command_write_rcpt(&s->out, t->write_path)) {
	case COMMAND_OK:
		session_wrote(s, from);
		t->rcpts[rcpt] |= RCPT_ASKED;
		t->unanswered++;
		break;
	case COMMAND_NO_ROOM:
		return false;
	case COMMAND_TOO_LONG:
	case COMMAND_BAD_OCTET:
		session_judge(s, "5.1.3", "recipient cannot be sent");
		settle(s, rcpt);
		break;
	}
	t->write_at++;
	skip_path(t);
	if (t->write_at == t->nrcpt)
		t->fill = FILL_DATA;
	return true;
}

/* Not when it is known that nobody is there to get the message. */
static bool
ask_for_data(struct session *s)
{
	struct transaction *t = &s->trans;
	size_t from = s->out.len;

	if (t->unanswered > 0 || t->accepted > 0) {
		if (command_write_word(&s->out, COMMAND_DATA) != COMMAND_OK)
			return false;
		session_wrote(s, from);
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
		if (write_mail(s) != COMMAND_OK)
			return false;
		session_wrote(s, from);
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
transaction_fill(struct session *s)
{
	bool batch = capabilities_offer(&s->caps, CAPABILITY_PIPELINING);

	while (batch || s->expected == 0)
		if (!write_next(s))
			return;
}

/* After a reply: write what may be written now, and wait for the next. */
void
transaction_advance(struct session *s)
{
	struct transaction *t = &s->trans;

	transaction_fill(s);
	if (t->unanswered > 0 || t->fill != FILL_NOTHING)
		session_enter(s, STATE_RCPT);
	else if (t->data_asked)
		session_enter(s, STATE_DATA);
	else
		finish(s);
}

/* A job comes in. */

static bool
take_job(struct session *s, const struct message *m)
{
	const struct msg_job *job = m->payload;
	struct transaction *t = &s->trans;
	size_t at = 0;
	uint32_t strings = 0;

	if (m->tail_len > sizeof(t->envelope) || job->nrcpt == 0 ||
	    job->nrcpt >= SESSION_RCPTS_MAX)
		return false;
	while (message_tail_next(m, &at) != NULL)
		strings++;
	if (strings != job->nrcpt + 1 || at != m->tail_len)
		return false;
	memcpy(t->envelope, m->tail, m->tail_len);
	memset(t->rcpts, 0, job->nrcpt);
	t->job = job->job;
	t->size = job->size;
	t->flags = job->flags;
	t->nrcpt = job->nrcpt;
	t->accepted = t->unanswered = t->write_at = t->answer_at = 0;
	t->write_path = t->envelope;
	skip_path(t); /* the reverse-path */
	t->fill = FILL_MAIL;
	t->data_asked = t->body_ended = t->begun = false;
	t->body_at = 0;
	memset(&t->encoder, 0, sizeof(t->encoder));
	t->active = true;
	return true;
}

static void
refuse_job(struct session *s, const char *dsn, const char *why)
{
	session_judge(s, dsn, "%s", why);
	s->verdict.outcome.step = STEP_MAIL;
	settle_all(s);
	finish(s);
}

static void
begin_mail(struct session *s)
{
	struct msg_job_ref begun = { s->trans.job };

	session_report(s, MSG_BEGUN, &begun, "");
	s->trans.begun = true;
	s->needs_rset = true; /* until it ends well */
	session_enter(s, STATE_MAIL);
	transaction_fill(s);
	if (s->expected > 0)
		return;
	refuse_job(s, "5.1.7", "sender cannot be sent");
	s->needs_rset = false;
}

void
transaction_begin(struct session *s)
{
	struct transaction *t = &s->trans;
	size_t from = s->out.len;

	if (!take_job(s, s->message)) {
		s->is_misled = true;
		return;
	}
	if ((t->flags & SUBMIT_8BIT) &&
	    !capabilities_offer(&s->caps, CAPABILITY_EIGHTBITMIME)) {
		/* RFC 6152, 3 */
		refuse_job(s, "5.6.3",
		    "message has 8-bit octets, and the server does not offer 8BITMIME");
	} else if (s->caps.size_limit > 0 &&
	    octets_on_the_wire(s) > s->caps.size_limit) {
		/* RFC 1870, 6.1 */
		refuse_job(s, "5.3.4",
		    "message is larger than the size that the server offers");
	} else if (s->needs_rset) {
		session_enter(s, STATE_RSET);
		(void)command_write_word(&s->out,
		    COMMAND_RSET); /* out is empty */
		session_wrote(s, from);
	} else {
		begin_mail(s);
	}
}

void
transaction_take_rset(struct session *s)
{
	if (s->reply.code != 250)
		session_fail_by_reply(s, FAREWELL_QUIT);
	else
		begin_mail(s);
}

/* Replies to the batch. */

void
transaction_take_mail(struct session *s)
{
	if (s->reply.code / 100 != 2) {
		if (!session_judge_reply(s)) {
			session_fail(s, FAREWELL_NONE);
			return;
		}
		settle_all(s);
		/* What is out already is answered still (S-110). */
		s->trans.fill = FILL_NOTHING;
	}
	transaction_advance(s);
}

/*
 * RFC 5321, 4.5.3.1.10, says 452, and that 552 is to be taken for it.  It
 * still is a refusal by size where it says so (RFC 1870, 6.4).
 */
static bool
is_too_many(const struct reply *reply)
{
	if (reply->code == 552 && reply->enhanced.class == 5 &&
	    ((reply->enhanced.subject == 3 && reply->enhanced.detail == 4) ||
		(reply->enhanced.subject == 2 && reply->enhanced.detail == 3)))
		return false;
	return reply->code == 452 || reply->code == 552;
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
transaction_take_rcpt(struct session *s)
{
	struct transaction *t = &s->trans;
	uint32_t rcpt;

	if (t->unanswered == 0) { /* waiting for room, not for a reply */
		session_fail_by_reply(s, FAREWELL_NONE);
		return;
	}
	rcpt = next_answered(t);
	if (t->rcpts[rcpt] & RCPT_DONE) { /* MAIL was refused */
		transaction_advance(s);
		return;
	}
	if (s->reply.code / 100 == 2) {
		t->rcpts[rcpt] |= RCPT_ACCEPTED;
		t->accepted++;
		transaction_advance(s);
		return;
	}
	if (!session_judge_reply(s)) {
		session_fail(s, FAREWELL_NONE);
		return;
	}
	if (is_too_many(&s->reply)) {
		s->verdict.outcome.status = OUTCOME_DEFERRED;
		s->verdict.outcome.again = t->accepted > 0;
		if (s->verdict.outcome.dsn[0] == '5')
			s->verdict.outcome.dsn[0] = '4';
	}
	settle(s, rcpt);
	transaction_advance(s);
}

/*
 * DATA went ahead, was let in, and nobody is left to get the message: end it
 * at once, empty (RFC 2920, 3.1).  An LMTP server owes no reply then, so that
 * connection cannot be kept in step.
 */
static void
abort_data(struct session *s)
{
	static const uint8_t dot[] = ".\r\n";

	memcpy(s->out.octets + s->out.len, dot, 3);
	s->out.len += 3;
	if (is_lmtp(s)) {
		session_judge(s, "4.5.0",
		    "protocol error: DATA was accepted without a recipient");
		session_fail(s, FAREWELL_QUIT);
		return;
	}
	s->expected++;
	session_enter(s, STATE_ABORT);
}

void
transaction_take_data(struct session *s)
{
	struct transaction *t = &s->trans;

	if (s->out.len > 0) { /* DATA has not even left */
		session_meet_unsolicited(s);
		return;
	}
	if (s->reply.code == 354) {
		if (t->accepted > 0)
			transaction_fill_body(s);
		else
			abort_data(s);
		return;
	}
	if (!session_judge_reply(s)) {
		session_fail(s, FAREWELL_NONE);
		return;
	}
	settle_accepted(s);
	finish(s);
}

void
transaction_take_abort(struct session *s)
{
	finish(s);
}

/* The message. */

/*
 * The octets are all in out: the queue is told before they may leave, so that
 * it knows of every message that may have arrived.
 */
static void
end_body(struct session *s)
{
	struct transaction *t = &s->trans;
	struct msg_job_ref ref = { t->job };

	session_report(s, MSG_COMMITTING, &ref, "");
	session_show(s, ".");
	s->out.len += body_end(&t->encoder, s->out.octets + s->out.len);
	t->body_ended = true;
}

void
transaction_fill_body(struct session *s)
{
	struct transaction *t = &s->trans;
	uint64_t left = t->size - t->body_at;
	size_t n = sizeof(t->chunk), used;

	if (t->body_ended) {
		s->expected += is_lmtp(s) ? t->accepted : 1;
		t->answer_at = 0;
		session_enter(s, STATE_FINAL);
		return;
	}
	session_enter(s, STATE_BODY);
	if (n > left)
		n = (size_t)left;
	if (n > 0 &&
	    s->ops->read_body(s->arg, t->chunk, n, t->body_at) != (ssize_t)n) {
		session_judge(s, "4.3.0", "the message cannot be read");
		session_fail(s, FAREWELL_NONE);
		return;
	}
	/* out is empty and twice as large as a chunk: all is taken. */
	s->out.len += body_encode(&t->encoder, t->chunk, n, &used,
	    s->out.octets + s->out.len, s->out.size - s->out.len);
	t->body_at += used;
	if (t->body_at == t->size)
		end_body(s);
}

/*
 * A refusal in the middle of the message is the remote's last word (S-123):
 * what we would send now might be read as commands.
 */
void
transaction_take_early(struct session *s)
{
	s->out.len = 0;
	session_fail_by_reply(s, FAREWELL_NONE);
}

static void
take_final_lmtp(struct session *s)
{
	struct transaction *t = &s->trans;

	while (!(t->rcpts[t->answer_at] & RCPT_ACCEPTED))
		t->answer_at++;
	settle(s, t->answer_at++);
}

void
transaction_take_final(struct session *s)
{
	struct transaction *t = &s->trans;

	if (!session_judge_reply(s)) {
		session_fail(s, FAREWELL_NONE);
		return;
	}
	if (t->answer_at == 0)
		s->needs_rset = false;
	if (s->verdict.outcome.status != OUTCOME_DELIVERED)
		s->needs_rset = true;
	if (is_lmtp(s))
		take_final_lmtp(s);
	else
		settle_accepted(s);
	if (s->reply.code == 421)
		session_fail(s, FAREWELL_QUIT_NO_WAIT);
	else if (t->accepted == 0)
		finish(s);
	else
		session_enter(s, STATE_FINAL); /* the timer anew */
}
