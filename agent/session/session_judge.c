/* SPDX-License-Identifier: ISC */
/*
 * Verdicts: what is decided about the mail in hand, by us or by a reply, and why.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/session/session_internal.h"

void
session_judge(struct session *s, const char *dsn, const char *fmt, ...)
{
	struct verdict *v = &s->verdict;
	va_list ap;

	memset(&v->outcome, 0, sizeof(v->outcome));
	v->outcome.status = dsn[0] == '5' ? OUTCOME_FAILED : OUTCOME_DEFERRED;
	v->outcome.step = session_state_step(s);
	strlcpy(v->outcome.dsn, dsn, sizeof(v->outcome.dsn));
	va_start(ap, fmt);
	(void)vsnprintf(v->text, sizeof(v->text), fmt, ap); /* may be cut */
	va_end(ap);
}

void
session_judge_host(struct session *s, const char *dsn, const char *fmt, ...)
{
	char text[SESSION_TEXT_SIZE];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap); /* may be cut */
	va_end(ap);
	session_judge(s, dsn, "%s", text);
	s->verdict.outcome.again = OUTCOME_AGAIN_ELSEWHERE;
}

/* A command out of sequence is about how we talk with this server, whatever the
 * message (RFC 5321, 4.2.2). */
static bool
is_refusal(const struct session *s)
{
	return s->reply.code / 100 == 5 &&
	    (s->reply.code != 503 || session_state_step(s) < STEP_MAIL ||
		session_state_step(s) == STEP_VRFY);
}

static bool
is_of_transaction(uint8_t step)
{
	return step >= STEP_MAIL && step <= STEP_FINAL;
}

bool
session_judge_reply(struct session *s)
{
	const struct reply *r = &s->reply;
	struct outcome *o = &s->verdict.outcome;
	char report[SESSION_TEXT_SIZE / 2];
	unsigned int class = r->code / 100;

	if (class == 3 ||
	    (class == 2 && session_state_step(s) != STEP_FINAL &&
		session_state_step(s) != STEP_VRFY)) {
		reply_write_report(r, report, sizeof(report));
		session_judge_host(s, "4.5.0",
		    "protocol error: unexpected reply %u where we wait for %s: %s",
		    r->code, session_state_waiting(s), report);
		o->code = (uint16_t)r->code;
		return false;
	}
	memset(o, 0, sizeof(*o));
	o->status = class == 2 ? OUTCOME_DELIVERED
	    : is_refusal(s)    ? OUTCOME_FAILED
			       : OUTCOME_DEFERRED;
	o->step = session_state_step(s);
	o->code = (uint16_t)r->code;
	/* RFC 5321, 3.8: 421 may come at any time, whatever became of what was
	 * sent.  Dovecot says it in the place of the reply to a message that it
	 * has saved, where it is stopped just then. */
	o->in_doubt = r->code == 421 && o->step == STEP_FINAL;
	if (o->status == OUTCOME_DEFERRED && is_of_transaction(o->step) &&
	    (!o->in_doubt || !session_is_lmtp(s)))
		o->again = OUTCOME_AGAIN_ELSEWHERE;
	(void)snprintf(o->dsn, sizeof(o->dsn), "%u.%u.%u",
	    o->status == OUTCOME_DEFERRED ? 4 : class % 10,
	    r->enhanced.subject % 1000, r->enhanced.detail % 1000);
	reply_write_report(r, s->verdict.text, sizeof(s->verdict.text));
	return true;
}
