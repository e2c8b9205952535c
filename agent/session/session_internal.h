/* SPDX-License-Identifier: ISC */
/* Between session.c and the files of a session's parts. */
#ifndef POSTERN_AGENT_SESSION_SESSION_INTERNAL_H
#define POSTERN_AGENT_SESSION_SESSION_INTERNAL_H

#include <string.h>

#include "agent/session/session.h"

/* What is known of a recipient. */
#define RCPT_ASKED    (1u << 0) /* and not answered yet */
#define RCPT_ACCEPTED (1u << 1) /* and waiting for the final reply */
#define RCPT_DONE     (1u << 2) /* the queue has its outcome */
#define RCPT_OVER     (1u << 3) /* one too many for the server's LIMITS */

#define SESSION_HIDDEN "<hidden>" /* in the place of a secret */

/* How a connection that failed is left. */
enum farewell {
	FAREWELL_NONE,
	FAREWELL_QUIT,
	FAREWELL_QUIT_NO_WAIT, /* after 421 */
};

/*
 * The connection is over for the reason in s->verdict.  What is left of the
 * transaction gets it as its outcome.
 */
void session_end_fail(struct session *s, enum farewell farewell);

/* Fail by the reply in hand. */
void session_end_fail_by_reply(struct session *s, enum farewell farewell);

/* A reply that answers nothing we sent. */
void session_end_meet_unsolicited(struct session *s);

/* Say QUIT, and wait for its reply. */
void session_end_quit(struct session *s);

/* EHLO was refused in a way that HELO may not be: learnt, for another attempt. */
void session_end_learn_helo(struct session *s);

/* BDAT was refused as a command by a server that offers CHUNKING.  What follows
 * it may be read as commands: the connection is cut, and the next one goes by
 * DATA. */
void session_data_give_up_bdat(struct session *s);
bool session_data_refuses_bdat(const struct session *s);

/* 421 came while more was on the wire: no further command from here on, but its
 * replies are read, for a server that goes on all the same. */
void session_end_take_goodbye(struct session *s);

/* All that was on the wire then is answered: QUIT, and no waiting. */
void session_end_obey_goodbye(struct session *s);

/* Of session_state.c: go into a state, and start its timer afresh. */
void session_state_enter(struct session *s, enum session_state state);

/* Of the state: its step, and what it waits for, for words to people. */
uint8_t session_state_step(const struct session *s);
const char *session_state_waiting(const struct session *s);

/* Of session_report.c: to the queue. */
void session_report(struct session *s, enum msg_type type, const void *payload,
    const char *text);

/* For the dialogue: octets that we sent, a line of the remote. */
void session_report_sent(struct session *s, const uint8_t *octets, size_t n);
void session_report_heard(struct session *s, const uint8_t *line, size_t n);

/* Of session_command.c: account for one command just written at out[from], and
 * show it. */
void session_command_written(struct session *s, size_t from);

/* Write a command that is one word, and account for it. */
void session_command_word(struct session *s, enum command_word word);

/* Of session_judge.c: a verdict of our own; dsn's class decides between deferred
 * and failed. */
void session_judge(struct session *s, const char *dsn, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The verdict is about this host: the next one may take what it has not. */
void session_judge_host(struct session *s, const char *dsn, const char *fmt,
    ...) __attribute__((format(printf, 3, 4)));

/*
 * The reply's verdict: by its class, or deferred as a protocol error where the
 * class means nothing here.  True in the first case.
 */
bool session_judge_reply(struct session *s);

/* A path of the envelope, which is one string after the other: its parameters, and
 * the path after these. */
static inline const char *
session_path_parameters(const char *path)
{
	return path + strlen(path) + 1;
}

static inline const char *
session_path_next(const char *path)
{
	path = session_path_parameters(path);
	return path + strlen(path) + 1;
}

/* Of session_outcome.c: one recipient, all, or all that were accepted, get s->verdict. */
void session_outcome_settle(struct session *s, uint32_t rcpt);
void session_outcome_settle_all(struct session *s);
void session_outcome_settle_accepted(struct session *s);

/* The same in a flight. */
void session_outcome_flight(struct session *s, struct flight_job *j,
    uint32_t rcpt);
void session_outcome_flight_all(struct session *s, struct flight_job *j);
void session_outcome_flight_accepted(struct session *s, struct flight_job *j);

/*
 * A connection that has delivered refuses the next message before it has
 * anything of it: that is not about the message, so the queue gets it back,
 * once, and another connection takes it.
 */
bool session_outcome_is_spent(const struct session *s, bool returned);
void session_outcome_give_back(struct session *s, uint64_t job, bool spent,
    bool in_doubt);

/* With all outcomes of a job there, see whether the session takes it to another
 * host. */
void session_outcome_leave(struct session *s, const struct job_tally *tally);

/* The connection is over: every recipient without an outcome gets s->verdict, in
 * flights too. */
void session_outcome_abandon(struct session *s);

/* The job is in other hands, or over. */
void session_outcome_forget(struct session *s);

/* Of session_login.c: */
void session_login_take(struct session *s);

/* Wipe what LOGIN brought. */
void session_login_forget(struct session *s);

/* Another response takes the place of the last one, and a server may yet repeat
 * that. */
void session_login_keep_told(struct session_login *l);

/* Where a login was denied by 535 the verdict stays that one, whatever ends the
 * connection while another mechanism is tried. */
void session_login_keep_denial(struct session *s);

/* A copy of a text without the secret; good until the next. */
const char *session_login_hide(struct session *s, const char *text);

static inline bool
session_is_lmtp(const struct session *s)
{
	return s->conf.protocol == SESSION_LMTP;
}

/* The handlers; session_table.def says when.  Of session_end.c: */
void session_end_conclude(struct session *s);
void session_end_meet_goodbye(struct session *s);
void session_end_meet_bad_reply(struct session *s);
void session_end_meet_tls_failure(struct session *s);
void session_end_meet_close(struct session *s);
void session_end_meet_timeout(struct session *s);
void session_end_take_quit(struct session *s);

/* Of session_setup.c: */
void session_setup_ask_first_address(struct session *s);
void session_setup_ask_anew(struct session *s);
void session_setup_take_address(struct session *s);
void session_setup_end_early(struct session *s);
void session_setup_take_dialed(struct session *s);
void session_setup_take_dial_failed(struct session *s);
void session_setup_begin_connection(struct session *s);
void session_setup_take_greeting(struct session *s);
void session_setup_take_hello(struct session *s);
void session_setup_take_helo(struct session *s);
void session_setup_take_starttls(struct session *s);
void session_setup_begin_in_tls(struct session *s);

/* EHLO or LHLO, whose reply is taken in that state; what it says, all of it, is
 * what the server offers. */
void session_setup_say_hello(struct session *s, enum session_state state);
void session_setup_learn(struct session *s);

/* Of session_auth.c: */
void session_auth_take_reply(struct session *s);
void session_auth_meet_unsolicited(struct session *s);

/* Log in, if we have a login; then the session is up. */
void session_auth_begin(struct session *s);

/* A line of the server for the dialogue, while we log in. */
void session_auth_show_line(struct session *s);

/* Of session_job.c: */
void session_job_begin(struct session *s);
void session_job_drop(struct session *s);
void session_job_take_rset(struct session *s);

/* The queue is to know that the job is begun, once. */
void session_job_report_begun(struct session *s);

/* MAIL and what may go with it, into out, or all the way to its reply. */
void session_job_write_mail(struct session *s);
void session_job_begin_mail(struct session *s);

/* The same, where what the server offers has changed. */
void session_job_begin_anew(struct session *s);

/* What is on the wire is over: the job that waits, another, or QUIT. */
void session_job_next(struct session *s);

/* Of session_xclient.c: */
bool session_xclient_applies(
    const struct session *s); /* there is something to tell */
void session_xclient_begin(struct session *s);
void session_xclient_take_forward(struct session *s);
void session_xclient_take_reply(struct session *s);
void session_xclient_take_hello(struct session *s);

/* Of session_vrfy.c: */
void session_vrfy_begin(struct session *s);
void session_vrfy_take_reply(struct session *s);

/* Of session_offer.c: what becomes of the job in hand. */
enum offer_answer {
	OFFER_SUITS,
	OFFER_REFUSES,   /* for the reason in s->verdict */
	OFFER_ELSEWHERE, /* goes back: another connection takes it */
};

enum offer_answer session_offer_suits(struct session *s);

/* The server offers what flights need. */
bool session_offer_has_flights(const struct session *s);

/* Of session_envelope.c: */
void session_envelope_take_mail(struct session *s);
void session_envelope_take_rcpt(struct session *s);
void session_envelope_take_goodbye(struct session *s);
void session_envelope_fill(struct session *s);
void session_envelope_advance(struct session *s);

/* Of session_data.c: */
void session_data_take_reply(struct session *s);
void session_data_take_early(struct session *s);
void session_data_take_final(struct session *s);
void session_data_take_abort(struct session *s);
void session_data_fill(struct session *s);

/* The job has its outcomes, or goes back: on to the next. */
void session_job_finish(struct session *s);

/* With the parameters that the server offers; RCPT for write_path. */
enum command_error session_envelope_write_mail(struct session *s);
enum command_error session_envelope_write_rcpt(struct session *s);

/* The verdict of a RCPT that was not accepted, as session_judge_reply(); any:
 * others were, so that "too many" means another transaction. */
bool session_envelope_judge_rcpt(struct session *s, bool any);

/* How many MAILs the server still lets us send (RFC 9422, 4.1). */
uint32_t session_limits_mails_left(const struct session *s);

/*
 * Of session_limits.c: puts off the recipients that are over what the server takes.
 * False, and nothing is done, where this session can have none of the job's.
 */
bool session_limits_choose(struct session *s);

/* Flights (session_flight.c). */
enum flight_fit {
	FLIGHT_FITS,
	FLIGHT_FULL,  /* not into this one */
	FLIGHT_NEVER, /* it goes alone */
};

enum flight_fit session_flight_fit(const struct session *s);
void session_flight_join(struct session *s);
void session_flight_depart(struct session *s);
void session_flight_quit(struct session *s);
void session_flight_take_rset(struct session *s);
void session_flight_take_mail(struct session *s);
void session_flight_take_rcpt(struct session *s);
void session_flight_take_goodbye(struct session *s);
void session_flight_take_final(struct session *s);

#endif
