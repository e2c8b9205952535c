/* SPDX-License-Identifier: ISC */
/* What the session tells the queue: its reports, and the dialogue for a client that
 * asked to see it.  No secret of the login is in either. */
#include <string.h>

#include "agent/session/session_internal.h"

void
session_report(struct session *s, enum msg_type type, const void *payload,
    const char *text)
{
	if (s->login.wanted)
		text = session_login_hide(s, text);
	s->ops->report(s->arg, type, payload, text, strlen(text));
}

/* Whose transaction a line belongs to: the job in hand, or that of a flight
 * whose replies come next; 0: none.  Clients see their own alone. */
static uint64_t
job_of_line(const struct session *s)
{
	const struct flight *f = &s->flight;

	if (s->trans.active)
		return s->trans.job;
	return f->departed && f->at < f->count ? f->jobs[f->at].job : 0;
}

/* A line for whoever watches; the octets are a stranger's, or our own. */
static void
show(struct session *s, bool from_remote, const uint8_t *line, size_t n)
{
	struct msg_dialogue dialogue = { 0 };
	char text[SESSION_TEXT_SIZE];

	if (!s->conf.verbose)
		return;
	dialogue.job = job_of_line(s);
	dialogue.from_remote = from_remote;
	(void)reply_write_sanitized(text, sizeof(text), line, n);
	session_report(s, MSG_DIALOGUE, &dialogue, text);
}

void
session_report_sent(struct session *s, const uint8_t *octets, size_t n)
{
	show(s, false, octets, n);
}

void
session_report_heard(struct session *s, const uint8_t *line, size_t n)
{
	show(s, true, line, n);
}
