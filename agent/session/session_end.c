/* SPDX-License-Identifier: ISC */
/*
 * Verdicts, and how a connection ends: by a failure, which what is left of the
 * transaction gets as its outcome, or by QUIT.  Then comes the next address, or
 * nothing.
 */
#include <string.h>

#include "agent/session/session_internal.h"

/* The end of a connection. */

/* At the level "may" a connection may go without TLS where it does not work. */
static bool
may_go_in_clear(const struct session *s)
{
	return s->conf.tls_level == TLS_MAY && s->conf.tls_fallback &&
	    !s->conf.implicit_tls && !s->in_clear;
}

/*
 * A server whose TLS does not work is worth a second connection without it; an
 * injection, or 421, is not.
 */
static bool
is_worth_clear(const struct session *s)
{
	const struct outcome *o = &s->failure.outcome;

	return may_go_in_clear(s) &&
	    (o->step == STEP_TLS || s->goes_clear ||
		(o->step == STEP_STARTTLS && o->code >= 400 && o->code != 421));
}

static void
ask_next_address(struct session *s)
{
	struct msg_next next = { 0 };
	bool was_up = s->up;

	session_outcome_forget(s); /* one that waited: it is sent again */
	next.has_failure = s->has_failure;
	s->in_clear =
	    (s->in_clear && s->anew) || (s->has_failure && is_worth_clear(s));
	next.again = s->anew && !s->goes_clear ? NEXT_AGAIN_BY_DATA
	    : s->in_clear                      ? NEXT_AGAIN_IN_CLEAR
					       : NEXT_AGAIN_NOT;
	next.learnt = s->learnt;
	s->learnt = 0;
	if (next.again == NEXT_AGAIN_NOT)
		s->avoid = 0;
	if (s->has_failure)
		next.outcome = s->failure.outcome;
	s->ops->get_tls_info(s->arg, &next.tls);
	s->closed = s->went_on = false;
	s->goes_clear = s->anew = s->leaving = s->up = s->hung_up = s->goodbye =
	    false;
	s->quit_asked = false;
	session_state_enter(s, STATE_DIAL);
	s->nasked++;
	session_report(s, MSG_NEXT, &next,
	    s->has_failure ? s->failure.text : "");
	s->was_up = s->was_up || was_up;
	if (was_up)
		session_login_forget(
		    s); /* another LOGIN comes before the address */
}

static void
tell_closed(struct session *s)
{
	struct msg_closed closed = { 0 };

	closed.failed = s->has_failure && !s->spent;
	closed.learnt = s->learnt;
	closed.spent = s->spent;
	closed.limit = s->limit;
	closed.outcome = s->failure.outcome;
	if (!s->has_failure)
		strlcpy(closed.outcome.dsn, "2.0.0",
		    sizeof(closed.outcome.dsn));
	session_state_enter(s, STATE_OVER);
	session_report(s, MSG_CLOSED, &closed, s->failure.text);
}

void
session_end_conclude(struct session *s)
{
	bool over = (s->up && !s->leaving) || s->cap_is_over;

	if (!over)
		ask_next_address(s);
	s->ops->hang_up(s->arg);
	s->out.len = 0;
	s->expected = 0;
	s->greeted = false;
	s->in_tls = false;
	ehlo_clear(&s->caps);
	reply_init(&s->reply);
	if (over)
		tell_closed(s);
}

/* A host that came up, and went before it was asked about any message: the next
 * one may have what waits. */
static bool
went_unasked(const struct session *s)
{
	return s->state == STATE_READY && s->mails == 0 && s->address.more;
}

/* Whatever is sent now would be taken for octets of a message. */
static bool
is_flight_cut(const struct session *s)
{
	return s->flight.count > 0 && s->out.len > 0;
}

void
session_end_fail(struct session *s, enum farewell farewell)
{
	size_t from = s->out.len;

	if (s->state == STATE_AUTH)
		session_login_keep_denial(s);
	s->leaving = s->leaving || went_unasked(s);
	s->failure = s->verdict;
	/* Of the jobs alone: */
	s->failure.outcome.again = OUTCOME_AGAIN_NOT;
	s->failure.outcome.in_doubt = 0;
	s->has_failure = true;
	if (is_flight_cut(s))
		farewell = FAREWELL_NONE;
	session_outcome_abandon(s);
	/* It had enough before any message: another host may take them. */
	if (s->up && s->mails == 0 && s->address.more)
		s->leaving = true;
	if (farewell != FAREWELL_NONE)
		session_command_word(s, COMMAND_QUIT);
	else
		s->out.len = 0; /* no end of a message may slip out */
	if (farewell == FAREWELL_QUIT && s->out.len > from)
		session_state_enter(s, STATE_QUIT);
	else
		session_end_conclude(s);
}

void
session_end_fail_by_reply(struct session *s, enum farewell farewell)
{
	(void)session_judge_reply(s); /* either way it is the verdict */
	session_end_fail(s, farewell);
}

/* Events that are much the same in every state. */

/* Nothing was in hand, and all before went well: no failure of anybody. */
static bool
was_idle(const struct session *s)
{
	return s->state == STATE_READY && s->delivered > 0 && !s->trans.active;
}

void
session_end_meet_goodbye(struct session *s)
{
	s->hung_up = true;
	s->spent = s->spent || was_idle(s);
	session_end_fail_by_reply(s, FAREWELL_QUIT_NO_WAIT);
}

void
session_end_take_goodbye(struct session *s)
{
	if (s->goodbye)
		return;
	s->hung_up = s->goodbye = true;
	(void)session_judge_reply(s); /* either way it is the verdict */
	s->farewell = s->verdict;
}

void
session_end_obey_goodbye(struct session *s)
{
	s->verdict = s->farewell;
	session_end_fail(s, FAREWELL_QUIT_NO_WAIT);
}

void
session_end_meet_bad_reply(struct session *s)
{
	session_judge_host(s, "4.5.0", "protocol error: %s, waiting for %s",
	    reply_error_text(s->reply.error), session_state_waiting(s));
	session_end_fail(s, FAREWELL_NONE);
}

void
session_end_meet_unsolicited(struct session *s)
{
	char report[SESSION_TEXT_SIZE / 2];

	reply_write_report(&s->reply, report, sizeof(report));
	session_judge_host(s, "4.5.0",
	    "protocol error: a reply came before its command: %s", report);
	session_end_fail(s, FAREWELL_QUIT);
}

void
session_end_meet_tls_failure(struct session *s)
{
	/* RFC 8689, 4.2.1: who demands it hears at once. */
	session_judge(s, s->conf.require_tls ? "5.7.10" : "4.7.5",
	    "TLS handshake failed: %s", s->cause);
	session_end_fail(s, FAREWELL_NONE);
}

/*
 * A server that hangs up over EHLO may bear HELO, where no TLS is needed; one
 * that takes a batch of commands and answers none of it, one command at a time.
 */
static void
learn(struct session *s, bool closed)
{
	bool silent = !reply_is_partial(&s->reply);

	if (!s->conf.learns || !silent || s->cap_is_over)
		return;
	if (closed && s->state == STATE_HELLO)
		session_end_learn_helo(s);
	/* One that answered a batch before has other troubles. */
	if (s->expected > 1 && s->mails == 1 &&
	    (s->state == STATE_MAIL || s->state == STATE_FLIGHT_MAIL))
		s->learnt |= AVOID_PIPELINING;
}

void
session_end_learn_helo(struct session *s)
{
	if (s->conf.learns && !s->in_tls && s->conf.protocol == SESSION_SMTP &&
	    s->conf.tls_level <= TLS_MAY && !s->login.wanted)
		s->learnt |= AVOID_EHLO;
}

/*
 * With TLS 1.3 a server may refuse us after the handshake: it hangs up before it
 * has taken anything.  As after a failed handshake another connection goes in
 * clear, where policy lets it.
 */
static bool
broke_in_tls(const struct session *s)
{
	return s->in_tls && may_go_in_clear(s) && !s->login.wanted &&
	    !s->cap_is_over &&
	    (s->state == STATE_HELLO ||
		(s->state == STATE_MAIL && s->mails == 1));
}

void
session_end_meet_close(struct session *s)
{
	s->hung_up = true;
	s->closed = s->cause == NULL;
	s->spent = s->spent || was_idle(s);
	if (s->goodbye) { /* as it said */
		s->verdict = s->farewell;
		session_end_fail(s, FAREWELL_NONE);
		return;
	}
	learn(s, true);
	if (s->cause != NULL)
		session_judge_host(s, "4.4.2",
		    "connection lost while waiting for %s: %s",
		    session_state_waiting(s), s->cause);
	else
		session_judge_host(s, "4.4.2",
		    "connection closed by the remote while waiting for %s",
		    session_state_waiting(s));
	s->goes_clear = broke_in_tls(s);
	s->anew = s->anew || s->goes_clear;
	if (s->goes_clear)
		s->verdict.outcome.again = OUTCOME_AGAIN_ANEW;
	session_end_fail(s, FAREWELL_NONE);
}

void
session_end_meet_timeout(struct session *s)
{
	const char *dsn = s->state <= STATE_CONNECT ? "4.4.1" : "4.4.2";

	if (s->goodbye) {
		s->verdict = s->farewell;
		session_end_fail(s, FAREWELL_NONE);
		return;
	}
	learn(s, false);
	if (s->cap_is_over)
		session_judge(s, dsn,
		    "the session's time is up, while waiting for %s",
		    session_state_waiting(s));
	else
		session_judge_host(s, dsn, "timed out while waiting for %s",
		    session_state_waiting(s));
	session_end_fail(s, FAREWELL_NONE);
}

void
session_end_quit(struct session *s)
{
	session_state_enter(s, STATE_QUIT);
	session_command_word(s, COMMAND_QUIT);
}

/* Replies to what was pipelined before QUIT come first. */
void
session_end_take_quit(struct session *s)
{
	if (s->expected == 0)
		session_end_conclude(s);
}
