/* SPDX-License-Identifier: ISC */
/*
 * The jobs that a session is given, one transaction each: held against what the
 * server offers (session_offer.c), begun, alone or in a flight, and ended, with an
 * outcome for each recipient.
 */
#include <string.h>

#include "agent/session/session_internal.h"

void
session_job_finish(struct session *s)
{
	struct transaction *t = &s->trans;

	if (t->again)
		session_outcome_give_back(s, t->job, true, false);
	if (t->tally.delivered > 0) {
		s->delivered++;
		if (t->bdat && s->flight.window == 0)
			s->flight.window = 1;
	}
	if (s->needs_rset && s->flight.window > 1)
		s->flight.window = 1;
	session_outcome_leave(s, &t->tally);
	session_outcome_forget(s);
	session_job_next(s);
}

/* As it came: how it goes is chosen by what the server offers. */
static void
choose_nothing(struct session *s)
{
	struct transaction *t = &s->trans;

	t->bdat = ehlo_offers(&s->caps, CAPABILITY_CHUNKING);
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
	t->write_path = session_path_next(t->envelope);
	t->fill = FILL_MAIL;
	t->data_asked = t->body_ended = t->begun = false;
	t->chunks = 0;
	t->envelope_len = (uint32_t)m->tail_len;
	choose_nothing(s);
	memset(&t->encoder, 0, sizeof(t->encoder));
	t->active = true;
	return true;
}

/* Everybody of the job in hand has the verdict in s->verdict, and nothing of it was
 * sent. */
static void
refuse_as_judged(struct session *s)
{
	s->verdict.outcome.step = STEP_MAIL;
	session_outcome_settle_all(s);
	session_outcome_leave(s, &s->trans.tally);
	session_outcome_forget(s);
	if (s->flight.count == 0) {
		session_job_next(s);
		return;
	}
	session_state_enter(s, STATE_GATHER);
	if (s->leaving)
		session_flight_depart(s);
}

static void
refuse_sender(struct session *s)
{
	session_judge(s, "5.1.7", "sender cannot be sent");
	refuse_as_judged(s);
	s->needs_rset = false;
}

void
session_job_report_begun(struct session *s)
{
	struct msg_job_ref begun = { s->trans.job };

	if (!s->trans.begun)
		session_report(s, MSG_BEGUN, &begun, "");
	s->trans.begun = true;
}

void
session_job_write_mail(struct session *s)
{
	s->mails++;
	s->needs_rset = true; /* until it ends well */
	session_envelope_fill(s);
}

void
session_job_begin_mail(struct session *s)
{
	session_job_report_begun(s);
	session_state_enter(s, STATE_MAIL);
	session_job_write_mail(s);
	if (s->expected > 0)
		return;
	refuse_sender(s);
}

static void
begin_clean(struct session *s)
{
	if (s->trans.flags & SUBMIT_VERIFY)
		session_vrfy_begin(s);
	else if (session_xclient_applies(s))
		session_xclient_begin(s);
	else if (session_flight_fit(s) == FLIGHT_FITS)
		session_flight_join(s);
	else
		session_job_begin_mail(s);
}

/* With nothing on the wire. */
static void
begin_job(struct session *s)
{
	size_t from = s->out.len;

	/* A line begun unasked must not end as the answer to our MAIL. */
	if (s->expected == 0 && reply_is_partial(&s->reply)) {
		session_end_meet_unsolicited(s);
		return;
	}
	if (!s->needs_rset) {
		begin_clean(s);
		return;
	}
	session_state_enter(s, STATE_RSET);
	(void)smtp_command_write_word(&s->out, COMMAND_RSET); /* out is empty */
	session_command_written(s, from);
}

void
session_job_next(struct session *s)
{
	session_state_enter(s, STATE_READY);
	if (s->goodbye)
		session_end_obey_goodbye(s);
	else if (session_limits_mails_left(s) == 0 || s->quit_asked ||
	    s->leaving || s->spent)
		session_end_quit(s);
	else if (s->trans.active)
		begin_job(s);
}

/* The job goes back as it came: the queue knows of nothing that was begun. */
static void
leave_to_another(struct session *s)
{
	session_outcome_forget(s);
	s->quit_asked = true;
	if (s->flight.count > 0)
		session_flight_depart(s);
	else
		session_end_quit(s);
}

/* False where it has its outcome by what the server offers, or goes back. */
static bool
suits(struct session *s)
{
	switch (session_offer_suits(s)) {
	case OFFER_SUITS:
		return true;
	case OFFER_REFUSES:
		refuse_as_judged(s);
		break;
	case OFFER_ELSEWHERE:
		leave_to_another(s);
		break;
	}
	return false;
}

void
session_job_begin(struct session *s)
{
	if (!take_job(s, s->message))
		s->is_misled = true;
	else if (!suits(s))
		return;
	else if (s->flight.count == 0)
		begin_job(s);
	else if (session_flight_fit(s) == FLIGHT_FITS)
		session_flight_join(s);
	else /* it waits for the end of this flight */
		session_flight_depart(s);
}

/* One that the queue sent before it knew that the session left its host: it
 * is sent again. */
void
session_job_drop(struct session *s)
{
	s->is_misled = !s->was_up;
	s->ops->close_body(s->arg);
}

void
session_job_begin_anew(struct session *s)
{
	choose_nothing(s);
	if (suits(s))
		session_job_begin_mail(s);
}

void
session_job_take_rset(struct session *s)
{
	if (s->reply.code != 250)
		session_end_fail_by_reply(s, FAREWELL_QUIT);
	else
		begin_clean(s);
}
