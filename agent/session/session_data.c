/* SPDX-License-Identifier: ISC */
/*
 * The message itself, from the reply to DATA, or the first BDAT, to the final
 * reply (RFC 5321, 4.1.1.4; RFC 3030, 2).
 */
#include <string.h>

#include "agent/session/session_internal.h"

#define CHUNK_FRAME_MAX 64 /* BDAT and its number, and a last line end */
#define CHUNKS_AHEAD    16 /* of one message, without a reply */

/*
 * DATA went ahead, was let in, and nobody is left to get the message: end it
 * at once, empty (RFC 2920, 3.1).  An LMTP server owes no reply then, so that
 * connection cannot be kept in step, and is cut.
 */
static void
abort_data(struct session *s)
{
	static const uint8_t dot[] = ".\r\n";

	memcpy(s->out.octets + s->out.len, dot, 3);
	s->out.len += 3;
	transcript_note(s->transcript, TRANSCRIPT_END);
	if (session_is_lmtp(s)) {
		session_judge_host(s, "4.5.0",
		    "protocol error: DATA was accepted without a recipient");
		session_end_fail(s, FAREWELL_QUIT);
		return;
	}
	s->expected++;
	session_state_enter(s, STATE_ABORT);
}

void
session_data_take_reply(struct session *s)
{
	struct transaction *t = &s->trans;

	if (s->out.len > 0) { /* DATA has not even left */
		session_end_meet_unsolicited(s);
		return;
	}
	if (s->reply.code == 354) {
		if (t->accepted > 0)
			session_data_fill(s);
		else
			abort_data(s);
		return;
	}
	if (!session_judge_reply(s)) {
		session_end_fail(s, FAREWELL_NONE);
		return;
	}
	session_outcome_settle_accepted(s);
	session_job_finish(s);
}

/* What was sent is answered, and what was announced is sent. */
void
session_data_take_abort(struct session *s)
{
	if (s->expected == 0 && s->out.len == 0)
		session_job_finish(s);
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
	session_report_sent(s, (const uint8_t *)".", 1);
	transcript_note(s->transcript, TRANSCRIPT_END);
	s->out.len += body_end(&t->encoder, s->out.octets + s->out.len);
	t->body_ended = true;
}

static void
fail_reading(struct session *s)
{
	session_judge(s, "4.3.0", "the message cannot be read");
	session_end_fail(s, FAREWELL_NONE);
}

/* As much of the message as out holds, as it is (RFC 3030, 2). */
static void
fill_chunk(struct session *s)
{
	struct transaction *t = &s->trans;
	struct msg_job_ref ref = { t->job };
	uint64_t left = session_content_octets(s) - t->body_at;
	size_t n = s->out.size - CHUNK_FRAME_MAX;
	bool last = left <= n;
	bool cut = last &&
	    session_content_octets(s) > t->content_octets; /* no line end */
	size_t from_body;

	n = last ? (size_t)left : n - 2;
	from_body = cut ? n - 2 : n;
	(void)smtp_command_write_bdat(&s->out, n, last); /* out is empty */
	session_command_written(s, 0);
	if (session_content_read(s, s->out.octets + s->out.len, from_body) !=
	    (ssize_t)from_body) {
		fail_reading(s);
		return;
	}
	if (cut)
		memcpy(s->out.octets + s->out.len + from_body, "\r\n", 2);
	if (last)
		session_report(s, MSG_COMMITTING, &ref, "");
	else
		t->chunks++;
	transcript_note_number(s->transcript, TRANSCRIPT_BODY, n);
	s->out.len += n;
	t->body_ended = last;
}

static void
await_final(struct session *s)
{
	struct transaction *t = &s->trans;

	s->expected += session_is_lmtp(s) ? t->accepted : 1;
	if (t->bdat)
		s->expected--; /* counted as a command */
	t->answer_at = 0;
	session_state_enter(s, STATE_FINAL);
}

void
session_data_fill(struct session *s)
{
	struct transaction *t = &s->trans;
	uint64_t left = t->content_octets - t->body_at;
	size_t n = sizeof(t->chunk), used;

	if (t->body_ended) {
		await_final(s);
		return;
	}
	session_state_enter(s, STATE_BODY);
	if (t->bdat) {
		if (t->chunks == 0 ||
		    (t->chunks < CHUNKS_AHEAD &&
			ehlo_offers(&s->caps, CAPABILITY_PIPELINING)))
			fill_chunk(s);
		return;
	}
	if (n > left)
		n = (size_t)left;
	if (n > 0 && session_content_read(s, t->chunk, n) != (ssize_t)n) {
		fail_reading(s);
		return;
	}
	/* out is empty and twice as large as a chunk: all is taken. */
	s->out.len += body_encode(&t->encoder, t->chunk, n, &used,
	    s->out.octets + s->out.len, s->out.size - s->out.len);
	if (used > 0)
		transcript_note_number(s->transcript, TRANSCRIPT_BODY, used);
	if (t->body_at < t->content_octets)
		return;
	end_body(s);
}

/* A code that says the command itself is not known or not expected. */
bool
session_data_refuses_bdat(const struct session *s)
{
	unsigned int code = s->reply.code;

	return code == 500 || (code >= 502 && code <= 504);
}

void
session_data_give_up_bdat(struct session *s)
{
	(void)session_judge_reply(s); /* it is a refusal */
	s->verdict.outcome.status = OUTCOME_DEFERRED;
	s->verdict.outcome.dsn[0] = '4';
	s->verdict.outcome.again = OUTCOME_AGAIN_ANEW;
	s->anew = true;
	s->avoid |= AVOID_CHUNKING;
	if (s->conf.learns)
		s->learnt |= AVOID_CHUNKING;
	session_end_fail(s, FAREWELL_NONE);
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

	if (session_data_refuses_bdat(s)) {
		session_data_give_up_bdat(s);
		return;
	}
	t->chunks--;
	if (s->reply.code / 100 == 2) {
		session_state_enter(s, s->state);
		if (s->out.len == 0 && !t->body_ended)
			session_data_fill(s);
		return;
	}
	if (!session_judge_reply(s)) {
		session_end_fail(s, FAREWELL_NONE);
		return;
	}
	session_outcome_settle_accepted(s);
	if (t->body_ended && session_is_lmtp(s)) {
		session_end_fail(s, FAREWELL_NONE);
		return;
	}
	session_state_enter(s, STATE_ABORT);
	session_data_take_abort(s);
}

/*
 * A refusal in the middle of the message is the remote's last word (S-123):
 * what we would send now might be read as commands.
 */
void
session_data_take_early(struct session *s)
{
	if (s->trans.chunks > 0 && s->reply.code != 421) {
		take_chunk(s);
		return;
	}
	s->out.len = 0;
	session_end_fail_by_reply(s, FAREWELL_NONE);
}

static void
take_final_lmtp(struct session *s)
{
	struct transaction *t = &s->trans;

	while (!(t->rcpts[t->answer_at] & RCPT_ACCEPTED))
		t->answer_at++;
	session_outcome_settle(s, t->answer_at++);
}

void
session_data_take_final(struct session *s)
{
	struct transaction *t = &s->trans;
	bool refused;

	if (t->chunks > 0 && s->reply.code != 421) {
		take_chunk(s);
		return;
	}
	refused = t->bdat && session_data_refuses_bdat(s);
	/* In LMTP it may be about one recipient of several. */
	if (refused && t->answer_at == 0 &&
	    (t->accepted == 1 || !session_is_lmtp(s))) {
		session_data_give_up_bdat(s);
		return;
	}
	if (!session_judge_reply(s)) {
		session_end_fail(s, FAREWELL_NONE);
		return;
	}
	if (refused) {
		s->verdict.outcome.status = OUTCOME_DEFERRED;
		s->verdict.outcome.dsn[0] = '4';
	}
	if (t->answer_at == 0)
		s->needs_rset = false;
	if (s->verdict.outcome.status != OUTCOME_DELIVERED)
		s->needs_rset = true;
	if (session_is_lmtp(s))
		take_final_lmtp(s);
	else
		session_outcome_settle_accepted(s);
	if (s->reply.code == 421)
		session_end_fail(s, FAREWELL_QUIT_NO_WAIT);
	else if (t->accepted == 0)
		session_job_finish(s);
	else
		session_state_enter(s, STATE_FINAL); /* the timer anew */
}
