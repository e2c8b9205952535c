/* SPDX-License-Identifier: ISC */
/*
 * Flights: several whole messages on the wire before the first is answered, by
 * PIPELINING and CHUNKING (RFC 2920, RFC 3030).  Jobs are gathered in out, leave
 * together, and their replies are matched to them in order.  RSET leaves before
 * each but the first: what became of the one before decides nothing for it, and
 * nobody of that one's recipients gets it (RFC 3030, 2).
 *
 * Every octet is accounted: whoever's last one has left may have the message,
 * and of whom none has left nothing has begun.
 */
#include <string.h>

#include "agent/session/session_internal.h"

/* RSET; BDAT, its number, LAST; and MAIL but for its path and parameters. */
#define FLIGHT_FRAME_MAX 200
#define FLIGHT_RCPT_MAX  16 /* RCPT but for its path and parameters */
#define FLIGHT_DELAY_MAX 24 /* NOTIFY, where it is not among these */

static struct flight_job *
head(struct session *s)
{
	return &s->flight.jobs[s->flight.at];
}

/* Gathering. */

/* More than its commands will take, for certain. */
static size_t
commands_room(const struct session *s)
{
	const struct transaction *t = &s->trans;

	return t->envelope_len + FLIGHT_FRAME_MAX +
	    t->nrcpt *
	    (FLIGHT_RCPT_MAX + (t->wants_delay ? FLIGHT_DELAY_MAX : 0));
}

enum flight_fit
session_flight_fit(const struct session *s)
{
	const struct flight *f = &s->flight;
	const struct transaction *t = &s->trans;
	uint64_t need = t->size + 2 + commands_room(s);

	if (!session_offer_has_flights(s) || f->window == 0 ||
	    t->is_converted || (t->flags & SUBMIT_VERIFY) ||
	    session_xclient_applies(s) || t->nrcpt > FLIGHT_RCPTS_MAX ||
	    need > s->out.size)
		return FLIGHT_NEVER;
	if (f->count > 0 &&
	    (need > s->out.size - s->out.len ||
		t->nrcpt > FLIGHT_RCPTS_MAX - f->nrcpt))
		return FLIGHT_FULL;
	return FLIGHT_FITS;
}

static void
ask_for_rcpt(struct session *s, struct flight_job *j, uint32_t rcpt)
{
	uint8_t *what = &s->flight.rcpts[j->rcpts + rcpt];
	size_t from = s->out.len;

	if (*what & RCPT_DONE) /* without asking */
		return;
	if (session_envelope_write_rcpt(s) == COMMAND_OK) {
		session_command_written(s, from);
		*what |= RCPT_ASKED;
		j->unanswered++;
	} else {
		session_judge(s, "5.1.3", "recipient cannot be sent");
		session_outcome_flight(s, j, rcpt);
	}
}

/* MAIL, RCPTs and BDAT; false where nothing of it can be sent. */
static bool
write_commands(struct session *s, struct flight_job *j, uint64_t octets)
{
	size_t from = s->out.len;
	uint32_t before = s->expected;

	if (s->flight.count > 0) {
		session_command_word(s, COMMAND_RSET); /* there is room */
		from = s->out.len;
	}
	if (session_envelope_write_mail(s) != COMMAND_OK) {
		session_judge(s, "5.1.7", "sender cannot be sent");
		s->expected = before;
		return false;
	}
	session_command_written(s, from);
	for (uint32_t i = 0; i < j->nrcpt; i++) {
		ask_for_rcpt(s, j, i);
		s->trans.write_path = session_path_next(s->trans.write_path);
	}
	from = s->out.len;
	(void)smtp_command_write_bdat(&s->out, octets,
	    true); /* there is room */
	session_command_written(s, from);
	if (j->unanswered > 0)
		return true;
	s->expected = before; /* nobody left to send it to */
	return false;
}

/*
 * The body goes where its commands cannot reach, and up to them when they are
 * there: it is read once, and its descriptor is free for the next.
 */
static bool
write_job(struct session *s, struct flight_job *j)
{
	struct transaction *t = &s->trans;
	size_t at = s->out.len + commands_room(s);
	uint8_t *body = s->out.octets + at;
	size_t n = (size_t)t->size;

	if (n > 0 && s->ops->read_body(s->arg, body, n, 0) != (ssize_t)n) {
		session_judge(s, "4.3.0", "the message cannot be read");
		return false;
	}
	if (n > 0 && body[n - 1] != '\n' &&
	    t->body != COMMAND_BODY_BINARYMIME) {
		memcpy(body + n, "\r\n", 2);
		n += 2;
	}
	t->wire_octets = n;
	if (!write_commands(s, j, n))
		return false;
	memmove(s->out.octets + s->out.len, body, n);
	s->out.len += n;
	transcript_note_number(s->transcript, TRANSCRIPT_BODY, n);
	return true;
}

/* The job in s->trans joins; where it cannot be sent it has its outcome. */
void
session_flight_join(struct session *s)
{
	struct flight *f = &s->flight;
	struct transaction *t = &s->trans;
	struct flight_job *j = &f->jobs[f->count];
	size_t from = s->out.len;
	size_t noted = transcript_len(s->transcript);

	if (f->count == 0)
		f->nrcpt = 0;
	memset(j, 0, sizeof(*j));
	j->job = t->job;
	j->rcpts = f->nrcpt;
	j->nrcpt = t->nrcpt;
	j->returned = t->returned;
	j->tally = t->tally; /* of those who are done */
	j->begins = (uint32_t)from;
	memcpy(&f->rcpts[j->rcpts], t->rcpts, j->nrcpt); /* some are done */
	if (write_job(s, j)) {
		j->ends = (uint32_t)s->out.len;
		f->nrcpt += j->nrcpt;
		f->count++;
		s->mails++;
	} else {
		s->out.len = from;
		transcript_take_back(s->transcript, noted);
		s->verdict.outcome.step = STEP_MAIL;
		session_outcome_flight_all(s, j);
		session_outcome_leave(s, &j->tally);
	}
	session_outcome_forget(s);
	if (f->count == 0) {
		session_job_next(s);
		return;
	}
	session_state_enter(s, STATE_GATHER);
	if (f->count >= f->window || session_limits_mails_left(s) == 0 ||
	    s->leaving)
		session_flight_depart(s);
}

/* The window's mails are there, or all that the queue has sent ahead. */
void
session_flight_depart(struct session *s)
{
	struct flight *f = &s->flight;
	struct msg_job_ref last;

	if (f->count == 0 || f->departed)
		return;
	last.job = f->jobs[f->count - 1].job;
	session_report(s, MSG_COMMITTING, &last, "");
	f->octets = s->out.len;
	f->at = 0;
	f->disturbed = false;
	f->departed = true;
	session_state_enter(s, STATE_FLIGHT_MAIL);
}

void
session_flight_quit(struct session *s)
{
	s->quit_asked = true;
	session_flight_depart(s);
}

/* Replies. */

/*
 * One message at once after any failure, and RSET before it (RFC 3030, 2).
 * Twice as many after a whole flight that went well.
 */
static void
arrive(struct session *s)
{
	struct flight *f = &s->flight;

	s->needs_rset = f->disturbed;
	if (f->disturbed)
		f->window = 1;
	else if (f->count >= f->window && f->window < FLIGHT_JOBS_MAX)
		f->window *= 2;
	f->count = 0;
	f->departed = false;
	session_job_next(s);
}

static void
next_job(struct session *s)
{
	struct flight *f = &s->flight;
	const struct flight_job *j = head(s);

	if (j->tally.delivered > 0)
		s->delivered++;
	session_outcome_leave(s, &j->tally);
	if (++f->at < f->count)
		session_state_enter(s, STATE_FLIGHT_RSET);
	else
		arrive(s);
}

void
session_flight_take_rset(struct session *s)
{
	char report[SESSION_TEXT_SIZE / 2];

	/* Behind a MAIL that was refused there is nothing to reset: a server
	 * that has had enough may refuse that, too. */
	if (s->reply.code == 250 || s->flight.jobs[s->flight.at - 1].refused) {
		session_state_enter(s, STATE_FLIGHT_MAIL);
		return;
	}
	reply_write_report(&s->reply, report, sizeof(report));
	session_judge_host(s, "4.5.0", "protocol error: RSET was refused: %s",
	    report);
	session_end_fail(s, FAREWELL_NONE);
}

/* A refusal for now; or one of what is out of sequence, by a server that has just
 * said that it has had enough, and stays. */
static bool
is_enough(struct session *s, const struct flight_job *j)
{
	bool again = s->flight.at > 0 && j[-1].spent;

	return session_outcome_is_spent(s, j->returned) &&
	    (s->reply.code / 100 == 4 || (again && s->reply.code == 503));
}

void
session_flight_take_mail(struct session *s)
{
	struct flight *f = &s->flight;
	struct flight_job *j = head(s);

	if (s->reply.code / 100 != 2) {
		if (!session_judge_reply(s)) {
			session_end_fail(s, FAREWELL_NONE);
			return;
		}
		j->refused = true;
		j->unsure = s->reply.code == 503;
		j->spent = is_enough(s, j);
		if (!j->spent && !j->unsure)
			session_outcome_flight_all(s, j);
		f->disturbed = true;
	}
	session_state_enter(s, STATE_FLIGHT_RCPT);
}

static uint32_t
next_answered(struct session *s, struct flight_job *j)
{
	uint8_t *rcpts = &s->flight.rcpts[j->rcpts];

	while (!(rcpts[j->answer_at] & RCPT_ASKED))
		j->answer_at++;
	j->unanswered--;
	return j->answer_at++;
}

static void
await_final(struct session *s, struct flight_job *j)
{
	/* One reply for each recipient (RFC 2033, 4.2); one that says nobody
	 * is there, where none is, or that there was no MAIL (Dovecot). */
	if (session_is_lmtp(s) && j->accepted > 1 && !j->refused)
		s->expected += j->accepted - 1;
	j->answer_at = 0;
	session_state_enter(s, STATE_FLIGHT_FINAL);
}

void
session_flight_take_rcpt(struct session *s)
{
	struct flight_job *j = head(s);
	uint32_t rcpt = next_answered(s, j);

	if (s->reply.code / 100 == 2) {
		s->flight.rcpts[j->rcpts + rcpt] |= RCPT_ACCEPTED;
		j->accepted++;
	} else if (!j->refused) {
		if (!session_envelope_judge_rcpt(s, j->accepted > 0)) {
			session_end_fail(s, FAREWELL_NONE);
			return;
		}
		session_outcome_flight(s, j, rcpt);
	}
	if (j->unanswered == 0)
		await_final(s, j);
	else
		session_state_enter(s, STATE_FLIGHT_RCPT);
}

/*
 * Nobody was there to get it.  A server that takes it all the same, after it
 * has refused MAIL, took it under an envelope that we do not know.
 */
static void
end_unwanted(struct session *s, struct flight_job *j)
{
	char report[SESSION_TEXT_SIZE / 2];

	s->flight.disturbed = true;
	if (j->refused && j->accepted > 0 && s->reply.code / 100 == 2) {
		reply_write_report(&s->reply, report, sizeof(report));
		session_judge(s, "4.5.0",
		    "protocol error: MAIL was refused, the message taken: %s",
		    report);
		session_end_fail(s, FAREWELL_QUIT);
		return;
	}
	if (j->unsure && !j->spent)
		session_outcome_flight_all(s, j);
	if (s->reply.code == 421)
		session_end_take_goodbye(s);
	if (j->spent)
		session_outcome_give_back(s, j->job, true, false);
	next_job(s);
}

static void
settle_next_accepted(struct session *s, struct flight_job *j)
{
	while (!(s->flight.rcpts[j->rcpts + j->answer_at] & RCPT_ACCEPTED))
		j->answer_at++;
	session_outcome_flight(s, j, j->answer_at++);
	j->accepted--;
}

/*
 * BDAT is refused as a command.  An LMTP server may have meant all recipients or
 * the first: what comes next cannot be told apart, so that the others may have
 * the message.
 */
static void
end_refused(struct session *s, struct flight_job *j)
{
	char report[SESSION_TEXT_SIZE / 2];

	if (session_is_lmtp(s) && j->accepted > 1) {
		reply_write_report(&s->reply, report, sizeof(report));
		session_judge_host(s, "4.5.0",
		    "protocol error: a refusal of one recipient, or of all: %s",
		    report);
		session_end_fail(s, FAREWELL_NONE);
		return;
	}
	session_data_give_up_bdat(s);
}

/* A message is accepted of which the last octet has not left. */
static bool
is_ahead(const struct session *s, const struct flight_job *j)
{
	return s->reply.code / 100 == 2 &&
	    s->flight.octets - s->out.len < j->ends;
}

void
session_flight_take_final(struct session *s)
{
	struct flight_job *j = head(s);

	if (j->refused || j->accepted == 0) {
		end_unwanted(s, j);
		return;
	}
	if (session_data_refuses_bdat(s) && j->answer_at == 0) {
		end_refused(s, j);
		return;
	}
	if (is_ahead(s, j)) {
		session_end_meet_unsolicited(s);
		return;
	}
	if (!session_judge_reply(s)) {
		session_end_fail(s, FAREWELL_NONE);
		return;
	}
	if (s->verdict.outcome.status != OUTCOME_DELIVERED)
		s->flight.disturbed = true;
	if (session_is_lmtp(s)) {
		settle_next_accepted(s, j);
	} else {
		session_outcome_flight_accepted(s, j);
		j->accepted = 0;
	}
	if (s->reply.code == 421)
		session_end_take_goodbye(s);
	if (j->accepted == 0)
		next_job(s);
	else
		session_state_enter(s, STATE_FLIGHT_FINAL); /* the timer anew */
}

void
session_flight_take_goodbye(struct session *s)
{
	session_end_take_goodbye(s);
	if (s->state == STATE_FLIGHT_RSET)
		session_state_enter(s, STATE_FLIGHT_MAIL);
	else if (s->state == STATE_FLIGHT_MAIL)
		session_flight_take_mail(s);
	else
		session_flight_take_rcpt(s);
}
