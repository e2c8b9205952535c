/* SPDX-License-Identifier: ISC */
/*
 * What becomes of each recipient of a job, in hand or in a flight: an outcome, or
 * its job goes back to the queue.  And all at once, where the connection is over.
 */
#include <string.h>

#include "agent/session/session_internal.h"

/* OUTCOME_OFFERS_*: what the queue need not tell a sender itself. */
static uint8_t
offer_bits(const struct session *s)
{
	uint8_t bits = 0;

	if (ehlo_offers(&s->caps, CAPABILITY_DSN))
		bits |= OUTCOME_OFFERS_DSN;
	if (ehlo_offers(&s->caps, CAPABILITY_DELIVERBY))
		bits |= OUTCOME_OFFERS_DELIVERBY;
	return bits;
}

/* How a job is going. */
static void
count(struct job_tally *tally, const struct outcome *outcome)
{
	bool elsewhere = outcome->again == OUTCOME_AGAIN_ELSEWHERE ||
	    outcome->again == OUTCOME_AGAIN_ANEW;

	tally->delivered += outcome->status == OUTCOME_DELIVERED;
	tally->elsewhere += elsewhere;
	tally->lacking += elsewhere && outcome->status == OUTCOME_FAILED;
}

void
session_outcome_settle(struct session *s, uint32_t rcpt)
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
	count(&t->tally, &outcome.outcome);
	session_report(s, MSG_OUTCOME, &outcome, s->verdict.text);
}

void
session_outcome_settle_all(struct session *s)
{
	for (uint32_t i = 0; i < s->trans.nrcpt; i++)
		session_outcome_settle(s, i);
}

void
session_outcome_settle_accepted(struct session *s)
{
	for (uint32_t i = 0; i < s->trans.nrcpt; i++)
		if (s->trans.rcpts[i] & RCPT_ACCEPTED)
			session_outcome_settle(s, i);
}

void
session_outcome_forget(struct session *s)
{
	s->trans.active = false;
	s->trans.begun = false;
	s->ops->close_body(s->arg);
}

bool
session_outcome_is_spent(const struct session *s, bool returned)
{
	return s->delivered > 0 && !returned;
}

void
session_outcome_give_back(struct session *s, uint64_t job, bool spent,
    bool in_doubt)
{
	struct msg_again again = { job, spent, in_doubt };

	if (spent) {
		s->spent = true;
		s->limit = s->delivered;
	}
	session_report(s, MSG_AGAIN, &again, "");
}

/* A recipient that is put off while others of its message are accepted stays
 * with this host, and is tried again later. */
void
session_outcome_leave(struct session *s, const struct job_tally *tally)
{
	if ((tally->lacking > 0 ||
		(tally->elsewhere > 0 && tally->delivered == 0)) &&
	    (s->address.more || s->anew))
		s->leaving = true;
}

/* Of a flight. */

void
session_outcome_flight(struct session *s, struct flight_job *j, uint32_t rcpt)
{
	uint8_t *what = &s->flight.rcpts[j->rcpts + rcpt];
	struct msg_outcome outcome = { 0 };

	if (*what & RCPT_DONE)
		return;
	*what |= RCPT_DONE;
	outcome.job = j->job;
	outcome.rcpt = rcpt;
	outcome.outcome = s->verdict.outcome;
	outcome.outcome.offers = offer_bits(s);
	count(&j->tally, &outcome.outcome);
	session_report(s, MSG_OUTCOME, &outcome, s->verdict.text);
}

void
session_outcome_flight_all(struct session *s, struct flight_job *j)
{
	for (uint32_t i = 0; i < j->nrcpt; i++)
		session_outcome_flight(s, j, i);
}

void
session_outcome_flight_accepted(struct session *s, struct flight_job *j)
{
	for (uint32_t i = 0; i < j->nrcpt; i++)
		if (s->flight.rcpts[j->rcpts + i] & RCPT_ACCEPTED)
			session_outcome_flight(s, j, i);
}

/* The connection is over. */

/* A remote that said 421 and then closed took nothing of what followed; where
 * the connection broke, or it went on, its replies may be lost. */
static bool
said_goodbye(const struct session *s)
{
	return s->goodbye ? s->closed && !s->went_on
			  : s->verdict.outcome.code == 421;
}

/* The connection was spent before anything of the flight's rest was answered. */
static bool
flight_ended_spent(const struct session *s, const struct flight_job *j)
{
	return s->hung_up &&
	    (s->state == STATE_FLIGHT_RSET || s->state == STATE_FLIGHT_MAIL) &&
	    session_outcome_is_spent(s, j->returned);
}

/* One message of a flight whose connection is over; sent: octets of the flight.
 * Its last octet sent, it has perhaps arrived (RFC 1047). */
static void
abandon_flight_job(struct session *s, struct flight_job *j, bool is_head,
    size_t sent)
{
	struct outcome *o = &s->verdict.outcome;
	const uint8_t again = o->again;
	bool doubt = sent >= j->ends && !said_goodbye(s);

	if ((!is_head && (sent <= j->begins || said_goodbye(s))) ||
	    (j->spent && j->accepted == 0)) {
		session_outcome_give_back(s, j->job, j->spent,
		    doubt && j->unsure);
		return;
	}
	if (flight_ended_spent(s, j)) {
		session_outcome_give_back(s, j->job, true, doubt);
		return;
	}
	/* The head alone was refused, where the session goes on anew. */
	o->in_doubt = doubt && (!is_head || again != OUTCOME_AGAIN_ANEW);
	if (o->in_doubt)
		o->again = OUTCOME_AGAIN_NOT;
	session_outcome_flight_all(s, j);
	o->in_doubt = 0;
	o->again = again;
	session_outcome_leave(s, &j->tally);
}

/* The connection is over, for the reason in s->verdict. */
static void
abandon_flight(struct session *s)
{
	struct flight *f = &s->flight;
	size_t sent = f->octets - s->out.len;

	for (uint32_t i = f->at; f->departed && i < f->count; i++)
		abandon_flight_job(s, &f->jobs[i], i == f->at, sent);
	f->count = 0;
	f->departed = false;
}

/* Whether the remote ended a spent connection before it had more of the job in
 * hand than its first command. */
static bool
job_ended_spent(const struct session *s)
{
	return s->hung_up && session_outcome_is_spent(s, s->trans.returned) &&
	    (s->state == STATE_MAIL || s->state == STATE_XFORWARD);
}

void
session_outcome_abandon(struct session *s)
{
	struct outcome *o = &s->verdict.outcome;

	abandon_flight(s);
	if (!s->trans.active)
		return;
	if (s->trans.begun && (s->trans.again || job_ended_spent(s))) {
		session_outcome_give_back(s, s->trans.job, true, false);
		session_outcome_forget(s);
		return;
	}
	if (!s->trans.begun) { /* another worker can have it as it is */
		session_outcome_forget(s);
		return;
	}
	/* Whoever has the whole message may have kept it (RFC 1047). */
	if (s->state == STATE_FINAL && o->again != OUTCOME_AGAIN_ANEW) {
		o->in_doubt = 1;
		o->again = OUTCOME_AGAIN_NOT;
	}
	session_outcome_settle_all(s);
	session_outcome_leave(s, &s->trans.tally);
	session_outcome_forget(s);
}
