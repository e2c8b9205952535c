/* SPDX-License-Identifier: ISC */
/*
 * The jobs that a session is given, one transaction each: held against what the
 * server offers (offer.c), begun, alone or in a flight, and ended, with an
 * outcome for each recipient.
 */
#include <string.h>

#include "agent/session_internal.h"

/* Outcomes. */

void
job_settle(struct session *s, uint32_t rcpt)
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
	outcome.outcome.offers = offer_bits(s);
	outcome.outcome.broke_signature = t->breaks_signature;
	job_tally(&t->tally, &outcome.outcome);
	session_report(s, MSG_OUTCOME, &outcome, s->verdict.text);
}

void
job_settle_all(struct session *s)
{
	for (uint32_t i = 0; i < s->trans.nrcpt; i++)
		job_settle(s, i);
}

void
job_settle_accepted(struct session *s)
{
	for (uint32_t i = 0; i < s->trans.nrcpt; i++)
		if (s->trans.rcpts[i] & RCPT_ACCEPTED)
			job_settle(s, i);
}

void
job_forget(struct session *s)
{
	s->trans.active = false;
	s->trans.begun = false;
	s->ops->close_body(s->arg);
}

bool
job_is_spent(const struct session *s, bool returned)
{
	return s->delivered > 0 && !returned;
}

void
job_give_back(struct session *s, uint64_t job, bool spent, bool in_doubt)
{
	struct msg_again again = { job, spent, in_doubt };

	if (spent) {
		s->spent = true;
		s->limit = s->delivered;
	}
	session_report(s, MSG_AGAIN, &again, "");
}

void
job_tally(struct job_tally *tally, const struct outcome *outcome)
{
	bool elsewhere = outcome->again == OUTCOME_AGAIN_ELSEWHERE ||
	    outcome->again == OUTCOME_AGAIN_ANEW;

	tally->delivered += outcome->status == OUTCOME_DELIVERED;
	tally->elsewhere += elsewhere;
	tally->lacking += elsewhere && outcome->status == OUTCOME_FAILED;
}

/* A recipient that is put off while others of its message are accepted stays
 * with this host, and is tried again later. */
void
job_leave(struct session *s, const struct job_tally *tally)
{
	if ((tally->lacking > 0 ||
		(tally->elsewhere > 0 && tally->delivered == 0)) &&
	    (s->address.more || s->anew))
		s->leaving = true;
}

void
job_finish(struct session *s)
{
	struct transaction *t = &s->trans;

	if (t->again)
		job_give_back(s, t->job, true, false);
	if (t->tally.delivered > 0) {
		s->delivered++;
		if (t->bdat && s->flight.window == 0)
			s->flight.window = 1;
	}
	if (s->needs_rset && s->flight.window > 1)
		s->flight.window = 1;
	job_leave(s, &t->tally);
	job_forget(s);
	job_next(s);
}

/* Whether the remote ended a spent connection before it had more of the job in
 * hand than its first command. */
static bool
ended_spent(const struct session *s)
{
	return s->hung_up && job_is_spent(s, s->trans.returned) &&
	    (s->state == STATE_MAIL || s->state == STATE_XFORWARD);
}

void
job_abandon(struct session *s)
{
	struct outcome *o = &s->verdict.outcome;

	flight_abandon(s);
	if (!s->trans.active)
		return;
	if (s->trans.begun && (s->trans.again || ended_spent(s))) {
		job_give_back(s, s->trans.job, true, false);
		job_forget(s);
		return;
	}
	if (!s->trans.begun) { /* another worker can have it as it is */
		job_forget(s);
		return;
	}
	/* Whoever has the whole message may have kept it (RFC 1047). */
	if (s->state == STATE_FINAL && o->again != OUTCOME_AGAIN_ANEW) {
		o->in_doubt = 1;
		o->again = OUTCOME_AGAIN_NOT;
	}
	job_settle_all(s);
	job_leave(s, &s->trans.tally);
	job_forget(s);
}

/* A job comes in. */

uint64_t
job_octets(struct session *s)
{
	struct transaction *t = &s->trans;
	uint8_t last = '\n';

	if (t->body == COMMAND_BODY_BINARYMIME)
		return t->size; /* as they are */
	if (t->size == 0 || t->wire_octets > 0)
		return t->wire_octets;
	if (s->ops->read_body(s->arg, &last, 1, t->size - 1) != 1)
		return t->size;
	t->wire_octets = last == '\n' ? t->size : t->size + 2;
	return t->wire_octets;
}

/* As it came: how it goes is chosen by what the server offers. */
static void
choose_nothing(struct session *s)
{
	struct transaction *t = &s->trans;

	t->bdat = capabilities_offer(&s->caps, CAPABILITY_CHUNKING);
	t->is_converted = t->breaks_signature = false;
	t->content_octets = t->size;
	t->body = COMMAND_BODY_NONE;
	t->smtputf8 = false;
	t->wire_octets = 0;
	t->body_at = 0;
}

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
	if (strings != 2 * (job->nrcpt + 1) || at != m->tail_len)
		return false;
	memcpy(t->envelope, m->tail, m->tail_len);
	memset(t->rcpts, 0, job->nrcpt);
	t->job = job->job;
	t->size = job->size;
	t->flags = job->flags;
	t->protocol = job->protocol;
	t->nrcpt = job->nrcpt;
	t->accepted = t->unanswered = t->write_at = t->answer_at = 0;
	memset(&t->tally, 0, sizeof(t->tally));
	t->returned = job->returned != 0;
	t->again = false;
	t->write_path = envelope_next_path(t->envelope);
	t->fill = FILL_MAIL;
	t->data_asked = t->body_ended = t->begun = false;
	t->chunks = 0;
	t->envelope_len = (uint32_t)m->tail_len;
	choose_nothing(s);
	memset(&t->encoder, 0, sizeof(t->encoder));
	t->active = true;
	return true;
}

void
job_refuse_as_judged(struct session *s)
{
	s->verdict.outcome.step = STEP_MAIL;
	job_settle_all(s);
	job_leave(s, &s->trans.tally);
	job_forget(s);
	if (s->flight.count == 0) {
		job_next(s);
		return;
	}
	session_state_enter(s, STATE_GATHER);
	if (s->leaving)
		flight_depart(s);
}

void
job_refuse(struct session *s, const char *dsn, const char *why)
{
	session_judge(s, dsn, "%s", why);
	job_refuse_as_judged(s);
}

static void
refuse_sender(struct session *s)
{
	job_refuse(s, "5.1.7", "sender cannot be sent");
	s->needs_rset = false;
}

void
job_report_begun(struct session *s)
{
	struct msg_job_ref begun = { s->trans.job };

	if (!s->trans.begun)
		session_report(s, MSG_BEGUN, &begun, "");
	s->trans.begun = true;
}

void
job_write_mail(struct session *s)
{
	s->mails++;
	s->needs_rset = true; /* until it ends well */
	envelope_fill(s);
}

void
job_begin_mail(struct session *s)
{
	job_report_begun(s);
	session_state_enter(s, STATE_MAIL);
	job_write_mail(s);
	if (s->expected > 0)
		return;
	refuse_sender(s);
}

static void
begin_clean(struct session *s)
{
	if (s->trans.flags & SUBMIT_VERIFY)
		verify_begin(s);
	else if (xclient_applies(s))
		xclient_begin(s);
	else if (flight_fit(s) == FLIGHT_FITS)
		flight_join(s);
	else
		job_begin_mail(s);
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
	session_state_enter(s, STATE_RSET);
	(void)command_write_word(&s->out, COMMAND_RSET); /* out is empty */
	session_command_written(s, from);
}

void
job_next(struct session *s)
{
	session_state_enter(s, STATE_READY);
	if (s->goodbye)
		session_obey_goodbye(s);
	else if (session_mails_left(s) == 0 || s->quit_asked || s->leaving ||
	    s->spent)
		session_say_quit(s);
	else if (s->trans.active)
		begin_job(s);
}

void
job_begin(struct session *s)
{
	if (!take_job(s, s->message))
		s->is_misled = true;
	else if (!offer_suits(s))
		return;
	else if (s->flight.count == 0)
		begin_job(s);
	else if (flight_fit(s) == FLIGHT_FITS)
		flight_join(s);
	else /* it waits for the end of this flight */
		flight_depart(s);
}

/* One that the queue sent before it knew that the session left its host: it
 * is sent again. */
void
job_drop(struct session *s)
{
	s->is_misled = !s->was_up;
	s->ops->close_body(s->arg);
}

void
job_begin_anew(struct session *s)
{
	choose_nothing(s);
	if (offer_suits(s))
		job_begin_mail(s);
}

void
job_take_rset(struct session *s)
{
	if (s->reply.code != 250)
		session_fail_by_reply(s, FAREWELL_QUIT);
	else
		begin_clean(s);
}
