/* SPDX-License-Identifier: ISC */
/*
 * Telling a server that trusts us who handed a message in: XFORWARD before each
 * message, for its log; XCLIENT once in a session, which then speaks for that
 * client alone (Postfix's XFORWARD_README and XCLIENT_README).  A server that
 * offers neither gets the message without.
 */
#include <string.h>

#include "agent/session/session_internal.h"

/* What the server takes of it, by the way that the configuration wants. */
static uint32_t
taken(const struct session *s)
{
	if (s->conf.client == SESSION_CLIENT_XFORWARD &&
	    ehlo_offers(&s->caps, CAPABILITY_XFORWARD))
		return s->caps.xforward;
	if (s->conf.client == SESSION_CLIENT_XCLIENT &&
	    ehlo_offers(&s->caps, CAPABILITY_XCLIENT))
		return s->caps.xclient;
	return 0;
}

static bool
has_more(const struct session *s, const char *at)
{
	uint32_t bits = taken(s);
	struct parameter_word word;

	while (bits != 0 && parameters_next(&at, &word))
		if (word.parameter != PARAMETER_COUNT &&
		    (bits >> word.parameter & 1) != 0)
			return true;
	return false;
}

bool
session_xclient_applies(const struct session *s)
{
	return has_more(s, session_path_parameters(s->trans.envelope));
}

/* One line of as many words as it holds; false behind the last. */
static bool
write_line(struct session *s, enum command_client verb)
{
	struct transaction *t = &s->trans;
	size_t from = s->out.len;

	if (!smtp_command_write_client(&s->out, verb, &t->client_at, taken(s)))
		return false;
	session_command_written(s, from);
	t->client_unanswered++;
	return true;
}

static void
forward(struct session *s)
{
	bool batch = ehlo_offers(&s->caps, CAPABILITY_PIPELINING);

	while (batch || s->expected == 0)
		if (!write_line(s, COMMAND_XFORWARD))
			break;
	if (batch)
		session_job_write_mail(s);
	session_state_enter(s, STATE_XFORWARD);
}

void
session_xclient_begin(struct session *s)
{
	struct transaction *t = &s->trans;
	size_t noted = transcript_len(s->transcript);

	t->client_at = session_path_parameters(t->envelope);
	t->client_unanswered = 0;
	session_job_report_begun(s);
	if (s->conf.client == SESSION_CLIENT_XFORWARD) {
		forward(s);
		return;
	}
	s->quit_asked = true; /* who comes next is somebody else */
	session_state_enter(s, STATE_XCLIENT);
	if (write_line(s, COMMAND_XCLIENT) && !has_more(s, t->client_at))
		return;
	s->out.len = 0; /* what was written does not leave */
	s->expected = 0;
	transcript_take_back(s->transcript, noted);
	session_judge(s, "4.3.0", "what XCLIENT is to tell fits into no line");
	session_end_fail(s, FAREWELL_QUIT);
}

/* It is for the server's log: a refusal of it is none of the message. */
void
session_xclient_take_forward(struct session *s)
{
	struct transaction *t = &s->trans;

	t->client_unanswered--;
	if (s->expected == 0 && write_line(s, COMMAND_XFORWARD))
		return;
	if (t->client_unanswered > 0)
		session_state_enter(s, STATE_XFORWARD);
	else if (s->expected > 0)
		session_state_enter(s, STATE_MAIL);
	else
		session_job_begin_mail(s);
}

void
session_xclient_take_reply(struct session *s)
{
	char report[SESSION_TEXT_SIZE / 2];

	if (s->reply.code == 220) {
		session_setup_say_hello(s, STATE_XCLIENT_HELLO);
		return;
	}
	reply_write_report(&s->reply, report, sizeof(report));
	session_judge(s, "4.7.0", "XCLIENT was refused: %s", report);
	s->verdict.outcome.code = (uint16_t)s->reply.code;
	session_end_fail(s, FAREWELL_QUIT);
}

/* What it offers that client may be more, or less. */
void
session_xclient_take_hello(struct session *s)
{
	if (s->reply.code != 250) {
		(void)session_judge_reply(s);
		s->verdict.outcome.status = OUTCOME_DEFERRED;
		s->verdict.outcome.dsn[0] = '4';
		session_end_fail(s, FAREWELL_QUIT);
		return;
	}
	session_setup_learn(s);
	session_job_begin_anew(s);
}
