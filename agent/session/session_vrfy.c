/* SPDX-License-Identifier: ISC */
/*
 * A job without a message: whether the server knows its recipients, asked by
 * VRFY, one after the other (RFC 5321, 3.5).  Its reply is the outcome: 250, 251
 * and 252 are yes, for all that a server will say.  Or whether a session comes up
 * at all, as the transport demands it: nothing is asked then.
 */
#include <string.h>

#include "agent/session/session_internal.h"

/* Ask about the next whose answer is open; the job is done behind the last. */
static void
ask_next(struct session *s)
{
	struct transaction *t = &s->trans;
	size_t from = s->out.len;

	for (; t->write_at < t->nrcpt; t->write_at++) {
		if (!(t->rcpts[t->write_at] & RCPT_DONE)) {
			if (smtp_command_write_vrfy(&s->out, t->write_path,
				t->smtputf8) == COMMAND_OK) {
				session_command_written(s, from);
				session_state_enter(s, STATE_VERIFY);
				return;
			}
			session_judge(s, "5.1.3", "recipient cannot be sent");
			session_outcome_settle(s, t->write_at);
		}
		t->write_path = session_path_next(t->write_path);
	}
	session_job_finish(s);
}

/* Greeting, EHLO, TLS and login are done. */
static void
settle_handshake(struct session *s)
{
	session_judge(s, "2.0.0", "the session is up");
	s->verdict.outcome.status = OUTCOME_DELIVERED;
	session_outcome_settle_all(s);
	session_job_finish(s);
}

void
session_vrfy_begin(struct session *s)
{
	struct msg_job_ref begun = { s->trans.job };

	session_report(s, MSG_BEGUN, &begun, "");
	s->trans.begun = true;
	s->needs_rset = false; /* no transaction is open */
	session_state_enter(s, STATE_VERIFY);
	if (s->trans.flags & SUBMIT_HANDSHAKE)
		settle_handshake(s);
	else
		ask_next(s);
}

void
session_vrfy_take_reply(struct session *s)
{
	struct transaction *t = &s->trans;

	if (!session_judge_reply(s)) {
		session_end_fail(s, FAREWELL_QUIT);
		return;
	}
	/* That the command is not there says nothing of the recipient. */
	if (s->reply.code / 10 == 50) {
		s->verdict.outcome.status = OUTCOME_DEFERRED;
		s->verdict.outcome.dsn[0] = '4';
	}
	session_outcome_settle(s, t->write_at++);
	t->write_path = session_path_next(t->write_path);
	ask_next(s);
}
