/* SPDX-License-Identifier: ISC */
/* Between session.c and transaction.c. */
#ifndef POSTERN_AGENT_SESSION_INTERNAL_H
#define POSTERN_AGENT_SESSION_INTERNAL_H

#include "agent/session.h"

/* How a connection that failed is left. */
enum farewell {
	FAREWELL_NONE,
	FAREWELL_QUIT,
	FAREWELL_QUIT_NO_WAIT, /* after 421 */
};

/* Go into a state, and start its timer afresh. */
void session_enter(struct session *s, enum session_state state);

/*
 * The connection is over for the reason in s->verdict.  What is left of the
 * transaction gets it as its outcome.
 */
void session_fail(struct session *s, enum farewell farewell);

/* A verdict of our own; dsn's class decides between deferred and failed. */
void session_judge(struct session *s, const char *dsn, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * The reply's verdict: by its class, or deferred as a protocol error where the
 * class means nothing here.  True in the first case.
 */
bool session_judge_reply(struct session *s);

/* Fail by the reply in hand. */
void session_fail_by_reply(struct session *s, enum farewell farewell);

/* A reply that answers nothing we sent. */
void session_meet_unsolicited(struct session *s);

/* Account for one command just written at out[from], and show it. */
void session_wrote(struct session *s, size_t from);

/* A line of our own for the dialogue. */
void session_show(struct session *s, const char *line);

void session_report(struct session *s, enum msg_type type, const void *payload,
    const char *text);

/* The handlers of transaction.c; session_table.def says when. */
void transaction_begin(struct session *s);
void transaction_take_rset(struct session *s);
void transaction_take_mail(struct session *s);
void transaction_take_rcpt(struct session *s);
void transaction_take_data(struct session *s);
void transaction_take_early(struct session *s);
void transaction_take_final(struct session *s);
void transaction_take_abort(struct session *s);
void transaction_fill(struct session *s);
void transaction_advance(struct session *s);
void transaction_fill_body(struct session *s);

/* Every recipient without an outcome gets s->verdict, and the job is done. */
void transaction_abandon(struct session *s);

#endif
