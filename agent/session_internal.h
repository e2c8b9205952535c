/* SPDX-License-Identifier: ISC */
/* Between session.c, transaction.c and flight.c. */
#ifndef POSTERN_AGENT_SESSION_INTERNAL_H
#define POSTERN_AGENT_SESSION_INTERNAL_H

#include "agent/session.h"

/* What is known of a recipient. */
#define RCPT_ASKED    (1u << 0) /* and not answered yet */
#define RCPT_ACCEPTED (1u << 1) /* and waiting for the final reply */
#define RCPT_DONE     (1u << 2) /* the queue has its outcome */

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

/* Say QUIT, and wait for its reply. */
void session_say_quit(struct session *s);

/* A line of our own for the dialogue. */
void session_show(struct session *s, const char *line);

void session_report(struct session *s, enum msg_type type, const void *payload,
    const char *text);

/* The handlers of transaction.c; session_table.def says when. */
void transaction_begin(struct session *s);
void transaction_begin_behind(struct session *s);
void transaction_go_on(struct session *s);
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

/* The job is in other hands, or over. */
void transaction_forget(struct session *s);

/* What is on the wire is over: the job that waits, another, or QUIT. */
void transaction_next(struct session *s);

enum command_error transaction_write_mail(struct session *s);

/* The verdict of a RCPT that was not accepted, as session_judge_reply(); any:
 * others were, so that "too many" means another transaction. */
bool transaction_judge_rcpt(struct session *s, bool any);

/* How many MAILs the server still lets us send (RFC 9422, 4.1). */
uint32_t session_mails_left(const struct session *s);

/* Flights (flight.c). */
enum flight_fit {
	FLIGHT_FITS,
	FLIGHT_FULL,  /* not into this one */
	FLIGHT_NEVER, /* it goes alone */
};

bool flight_takes(const struct session *s);
enum flight_fit flight_fit(const struct session *s);
void flight_join(struct session *s);
void flight_depart(struct session *s);
void flight_quit(struct session *s);

/* The end of the message is in out: the next job may go with it. */
void flight_end_by_data(struct session *s);
void flight_take_early(struct session *s);
void flight_await_final(struct session *s);
void flight_fill_behind(struct session *s);
void flight_take_mail(struct session *s);
void flight_take_rcpt(struct session *s);
void flight_take_final(struct session *s);
void flight_abandon(struct session *s);
bool flight_is_cut(const struct session *s);

#endif
