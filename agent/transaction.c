/* SPDX-License-Identifier: ISC */
/*
 * One job over a session that is up: MAIL, RCPT, DATA, the message, and an
 * outcome for each recipient.  With PIPELINING everything up to DATA leaves in
 * one batch (RFC 2920, 3.1), without it one command at a time.  With CHUNKING
 * BDAT takes the place of DATA; what is small goes into a flight (flight.c).
 */
#include <string.h>

#include "agent/session_internal.h"

#define CHUNK_FRAME_MAX 64 /* BDAT and its number, and a last line end */
#define CHUNKS_AHEAD    16 /* of one message, without a reply */

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

void
transaction_forget(struct session *s)
{
	s->trans.active = false;
	s->trans.begun = false;
	s->ops->close_body(s->arg);
}

static void
give_back(struct session *s)
{
	struct msg_job_ref ref = { s->trans.job };

	session_report(s, MSG_AGAIN, &ref, "");
}

static void
finish(struct session *s)
{
	if (s->trans.again)
		give_back(s);
	if (s->needs_rset)
		s->flight.window = 1;
	transaction_forget(s);
	transaction_next(s);
}

void
transaction_abandon(struct session *s)
{
	bool behind = s->flight.departed;

	flight_abandon(s);
	if (!s->trans.active)
		return;
	if (s->trans.begun && (behind || s->trans.again)) {
		give_back(s); /* nothing was done for it */
		transaction_forget(s);
		return;
	}
	if (!s->trans.begun) { /* another worker can have it as it is */
		transaction_forget(s);
		return;
	}
	/* Whoever has the whole message may have kept it (RFC 1047). */
	s->verdict.outcome.in_doubt = s->state == STATE_FINAL;
	settle_all(s);
	transaction_forget(s);
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

	if (t->size == 0 || t->wire_octets > 0)
		return t->wire_octets;
	if (s->ops->read_body(s->arg, &last, 1, t->size - 1) != 1)
		return t->size;
	t->wire_octets = last == '\n' ? t->size : t->size + 2;
	return t->wire_octets;
}

enum command_error
transaction_write_mail(struct session *s)
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

/* Not when it is known that nobody is there to get the message.  BDAT asks for
 * nothing, so it waits until that is known. */
static bool
ask_for_data(struct session *s)
{
	struct transaction *t = &s->trans;
	size_t from = s->out.len;

	if (!t->bdat && (t->unanswered > 0 || t->accepted > 0)) {
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
		if (transaction_write_mail(s) != COMMAND_OK)
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
	else if (t->accepted > 0)
		transaction_fill_body(s);
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
	t->bdat = capabilities_offer(&s->caps, CAPABILITY_CHUNKING);
	t->chunks = 0;
	t->behind_failure = t->again = false;
	t->envelope_len = (uint32_t)m->tail_len;
	t->wire_octets = 0;
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
	transaction_forget(s);
	if (!s->flight.by_data)
		session_enter(s,
		    s->flight.count > 0 ? STATE_GATHER : STATE_READY);
}

static void
refuse_sender(struct session *s)
{
	refuse_job(s, "5.1.7", "sender cannot be sent");
	s->needs_rset = false;
}

static void
begin_mail(struct session *s)
{
	struct msg_job_ref begun = { s->trans.job };

	session_report(s, MSG_BEGUN, &begun, "");
	s->trans.begun = true;
	s->mails++;
	s->needs_rset = true; /* until it ends well */
	session_enter(s, STATE_MAIL);
	transaction_fill(s);
	if (s->expected > 0)
		return;
	refuse_sender(s);
}

static void
begin_clean(struct session *s)
{
	if (flight_fit(s) == FLIGHT_FITS)
		flight_join(s);
	else
		begin_mail(s);
}

/* With nothing on the wire. */
static void
begin_job(struct session *s)
{
	size_t from = s->out.len;

	/* A line begun unasked must not end as the answer to our MAIL. */
	if (s->expected == 0 && reply_is_partial(&s->reply)) {
		session_meet_unsolicited(s);
		return;
	}
	if (!s->needs_rset) {
		begin_clean(s);
		return;
	}
	session_enter(s, STATE_RSET);
	(void)command_write_word(&s->out, COMMAND_RSET); /* out is empty */
	session_wrote(s, from);
}

void
transaction_next(struct session *s)
{
	session_enter(s, STATE_READY);
	if (session_mails_left(s) == 0 || s->quit_asked)
		session_say_quit(s);
	else if (s->trans.active)
		begin_job(s);
}

/* False where it has its outcome by what the server offers. */
static bool
may_be_sent(struct session *s)
{
	const struct transaction *t = &s->trans;

	if ((t->flags & SUBMIT_8BIT) &&
	    !capabilities_offer(&s->caps, CAPABILITY_EIGHTBITMIME)) {
		/* RFC 6152, 3 */
		refuse_job(s, "5.6.3",
		    "message has 8-bit octets, and the server does not offer 8BITMIME");
		return false;
	}
	if (s->caps.size_limit > 0 && t->size + 2 > s->caps.size_limit &&
	    octets_on_the_wire(s) > s->caps.size_limit) {
		/* RFC 1870, 6.1 */
		refuse_job(s, "5.3.4",
		    "message is larger than the size that the server offers");
		return false;
	}
	return true;
}

void
transaction_begin(struct session *s)
{
	if (!take_job(s, s->message))
		s->is_misled = true;
	else if (!may_be_sent(s))
		return;
	else if (s->flight.count == 0)
		begin_job(s);
	else if (flight_fit(s) == FLIGHT_FITS)
		flight_join(s);
	else /* it waits for the end of this flight */
		flight_depart(s);
}

/* Its commands leave with the end of the message before it (RFC 2920, 3.1). */
void
transaction_begin_behind(struct session *s)
{
	struct transaction *t = &s->trans;
	struct msg_job_ref begun;

	if (!take_job(s, s->message)) {
		s->is_misled = true;
		return;
	}
	if (!may_be_sent(s))
		return;
	begun.job = t->job;
	session_report(s, MSG_BEGUN, &begun, "");
	t->begun = true;
	s->mails++;
	flight_fill_behind(s);
}

/* What it went with is answered: its own replies are next. */
void
transaction_go_on(struct session *s)
{
	bool failed = s->needs_rset;

	s->trans.behind_failure = failed;
	s->needs_rset = true; /* until it ends well */
	session_enter(s, STATE_MAIL);
	if (s->trans.fill != FILL_MAIL)
		return;
	refuse_sender(s);
	s->needs_rset = failed;
	transaction_next(s);
}

void
transaction_take_rset(struct session *s)
{
	if (s->reply.code != 250)
		session_fail_by_reply(s, FAREWELL_QUIT);
	else
		begin_clean(s);
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
		s->trans.again =
		    s->trans.behind_failure && s->reply.code == 503;
		if (!s->trans.again)
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

bool
transaction_judge_rcpt(struct session *s, bool any)
{
	struct outcome *o = &s->verdict.outcome;

	if (!session_judge_reply(s))
		return false;
	if (is_too_many(&s->reply)) {
		o->status = OUTCOME_DEFERRED;
		o->again = any;
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
transaction_take_rcpt(struct session *s)
{
	struct transaction *t = &s->trans;
	uint32_t rcpt;

	if (t->unanswered == 0) { /* waiting for room, not for a reply */
		session_fail_by_reply(s, FAREWELL_NONE);
		return;
	}
	rcpt = next_answered(t);
	if (t->again || (t->rcpts[rcpt] & RCPT_DONE)) { /* MAIL was refused */
		transaction_advance(s);
		return;
	}
	if (s->reply.code / 100 == 2) {
		t->rcpts[rcpt] |= RCPT_ACCEPTED;
		t->accepted++;
		transaction_advance(s);
		return;
	}
	if (!transaction_judge_rcpt(s, t->accepted > 0)) {
		session_fail(s, FAREWELL_NONE);
		return;
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
	if (s->reply.code == 354 && t->again) { /* of which envelope? */
		session_judge(s, "4.5.0",
		    "protocol error: MAIL was refused, DATA accepted");
		session_fail(s, FAREWELL_NONE);
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

/* What was sent is answered, and what was announced is sent. */
void
transaction_take_abort(struct session *s)
{
	if (s->expected == 0 && s->out.len == 0)
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

static void
fail_reading(struct session *s)
{
	session_judge(s, "4.3.0", "the message cannot be read");
	session_fail(s, FAREWELL_NONE);
}

/* As much of the message as out holds, as it is (RFC 3030, 2). */
static void
fill_chunk(struct session *s)
{
	struct transaction *t = &s->trans;
	struct msg_job_ref ref = { t->job };
	uint64_t left = octets_on_the_wire(s) - t->body_at;
	size_t n = s->out.size - CHUNK_FRAME_MAX;
	bool last = left <= n;
	bool cut = last && t->wire_octets > t->size; /* no end of its line */
	size_t from_body;

	n = last ? (size_t)left : n - 2;
	from_body = cut ? n - 2 : n;
	(void)command_write_bdat(&s->out, n, last); /* out is empty */
	session_wrote(s, 0);
	if (s->ops->read_body(s->arg, s->out.octets + s->out.len, from_body,
		t->body_at) != (ssize_t)from_body) {
		fail_reading(s);
		return;
	}
	if (cut)
		memcpy(s->out.octets + s->out.len + from_body, "\r\n", 2);
	if (last)
		session_report(s, MSG_COMMITTING, &ref, "");
	else
		t->chunks++;
	s->out.len += n;
	t->body_at += n;
	t->body_ended = last;
}

static void
await_final(struct session *s)
{
	struct transaction *t = &s->trans;

	s->expected += is_lmtp(s) ? t->accepted : 1;
	if (t->bdat)
		s->expected--; /* counted as a command */
	t->answer_at = 0;
	session_enter(s, STATE_FINAL);
}

void
transaction_fill_body(struct session *s)
{
	struct transaction *t = &s->trans;
	uint64_t left = t->size - t->body_at;
	size_t n = sizeof(t->chunk), used;

	if (t->body_ended) {
		await_final(s);
		return;
	}
	session_enter(s, STATE_BODY);
	if (t->bdat) {
		if (t->chunks == 0 ||
		    (t->chunks < CHUNKS_AHEAD &&
			capabilities_offer(&s->caps, CAPABILITY_PIPELINING)))
			fill_chunk(s);
		return;
	}
	if (n > left)
		n = (size_t)left;
	if (n > 0 &&
	    s->ops->read_body(s->arg, t->chunk, n, t->body_at) != (ssize_t)n) {
		fail_reading(s);
		return;
	}
	/* out is empty and twice as large as a chunk: all is taken. */
	s->out.len += body_encode(&t->encoder, t->chunk, n, &used,
	    s->out.octets + s->out.len, s->out.size - s->out.len);
	t->body_at += used;
	if (t->body_at < t->size)
		return;
	end_body(s);
	if (capabilities_offer(&s->caps, CAPABILITY_PIPELINING) &&
	    t->nrcpt <= FLIGHT_RCPTS_MAX)
		flight_end_by_data(s);
}

/*
 * The reply to a chunk with others behind it.  After a refusal none follows,
 * but what was announced is sent (RFC 3030, 2); where that was the last one, an
 * LMTP server's replies to it cannot be counted.
 */
static void
take_chunk(struct session *s)
{
	struct transaction *t = &s->trans;

	t->chunks--;
	if (s->reply.code / 100 == 2) {
		session_enter(s, s->state);
		if (s->out.len == 0 && !t->body_ended)
			transaction_fill_body(s);
		return;
	}
	if (!session_judge_reply(s)) {
		session_fail(s, FAREWELL_NONE);
		return;
	}
	settle_accepted(s);
	if (t->body_ended && is_lmtp(s)) {
		session_fail(s, FAREWELL_NONE);
		return;
	}
	session_enter(s, STATE_ABORT);
	transaction_take_abort(s);
}

/*
 * A refusal in the middle of the message is the remote's last word (S-123):
 * what we would send now might be read as commands.
 */
void
transaction_take_early(struct session *s)
{
	if (s->trans.chunks > 0 && s->reply.code != 421) {
		take_chunk(s);
		return;
	}
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

	if (t->chunks > 0 && s->reply.code != 421) {
		take_chunk(s);
		return;
	}
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
