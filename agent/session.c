/* SPDX-License-Identifier: ISC */
/*
 * The session's table: its states, what its events do, and how it ends.  How it
 * comes up is in initiation.c; what it is given to deliver in job.c; MAIL and
 * RCPT in envelope.c, the message in data.c, several at once in flight.c.
 */
#include "agent/session.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/session_internal.h"
#include "common/util.h"

static const struct state_desc {
	uint8_t step;
	uint8_t timer; /* TIMER_COUNT: none */
	const char *waiting;
} states[] = {
#define STATE(name, step, timer, waiting)                                      \
	[STATE_##name] = { step, timer, waiting },
#include "agent/session_states.def"
#undef STATE
};

void
session_init(struct session *s, const struct session_ops *ops, void *arg)
{
	s->ops = ops;
	s->arg = arg;
	s->out.octets = s->out_octets;
	s->out.size = sizeof(s->out_octets);
}

bool
session_wants_message(const struct session *s)
{
	return s->state <= STATE_GATHER ||
	    (s->state == STATE_TAIL && !s->trans.active && !s->quit_asked &&
		session_mails_left(s) > 0);
}

bool
session_is_connected(const struct session *s)
{
	return s->state >= STATE_GREETING && s->state <= STATE_QUIT &&
	    s->state != STATE_TLS;
}

bool
session_is_lmtp(const struct session *s)
{
	return s->conf.protocol == SESSION_LMTP;
}

bool
session_is_over(const struct session *s)
{
	return s->state == STATE_OVER;
}

void
session_hide_secrets(struct session *s)
{
	auth_hide_noted(s);
}

unsigned
session_timer(const struct session *s)
{
	return states[s->state].timer;
}

void
session_enter(struct session *s, enum session_state state)
{
	uint8_t timer = states[state].timer;

	s->state = state;
	s->ops->set_timer(s->arg,
	    timer == TIMER_COUNT ? 0 : s->conf.timer_ms[timer]);
}

void
session_report(struct session *s, enum msg_type type, const void *payload,
    const char *text)
{
	if (s->login.wanted)
		text = auth_hide(s, text);
	s->ops->report(s->arg, type, payload, text, strlen(text));
}

/* A line for whoever watches; the octets are a stranger's, or our own. */
static void
show(struct session *s, bool from_remote, const uint8_t *line, size_t n)
{
	struct msg_dialogue dialogue = { 0 };
	char text[SESSION_TEXT_SIZE];

	if (!s->conf.verbose)
		return;
	dialogue.from_remote = from_remote;
	(void)reply_write_sanitized(text, sizeof(text), line, n);
	session_report(s, MSG_DIALOGUE, &dialogue, text);
}

void
session_show(struct session *s, const char *line)
{
	show(s, false, (const uint8_t *)line, strlen(line));
}

void
session_show_remote(struct session *s, const uint8_t *line, size_t n)
{
	show(s, true, line, n);
}

void
session_wrote(struct session *s, size_t from)
{
	s->expected++;
	transcript_note_octets(s->transcript, TRANSCRIPT_SENT,
	    s->out.octets + from, s->out.len - from);
	show(s, false, s->out.octets + from, s->out.len - from - 2);
}

void
session_write_word(struct session *s, enum command_word word)
{
	size_t from = s->out.len;

	if (command_write_word(&s->out, word) == COMMAND_OK)
		session_wrote(s, from);
}

/* Verdicts. */

void
session_judge(struct session *s, const char *dsn, const char *fmt, ...)
{
	struct verdict *v = &s->verdict;
	va_list ap;

	memset(&v->outcome, 0, sizeof(v->outcome));
	v->outcome.status = dsn[0] == '5' ? OUTCOME_FAILED : OUTCOME_DEFERRED;
	v->outcome.step = states[s->state].step;
	strlcpy(v->outcome.dsn, dsn, sizeof(v->outcome.dsn));
	va_start(ap, fmt);
	(void)vsnprintf(v->text, sizeof(v->text), fmt, ap); /* may be cut */
	va_end(ap);
}

bool
session_judge_reply(struct session *s)
{
	const struct reply *r = &s->reply;
	struct outcome *o = &s->verdict.outcome;
	char report[SESSION_TEXT_SIZE / 2];
	unsigned int class = r->code / 100;

	if (class == 3 ||
	    (class == 2 && states[s->state].step != STEP_FINAL &&
		states[s->state].step != STEP_VRFY)) {
		reply_write_report(r, report, sizeof(report));
		session_judge(s, "4.5.0",
		    "protocol error: unexpected reply %u where we wait for %s: %s",
		    r->code, states[s->state].waiting, report);
		o->code = (uint16_t)r->code;
		return false;
	}
	memset(o, 0, sizeof(*o));
	o->status = class == 2 ? OUTCOME_DELIVERED
	    : class == 5       ? OUTCOME_FAILED
			       : OUTCOME_DEFERRED;
	o->step = states[s->state].step;
	o->code = (uint16_t)r->code;
	(void)snprintf(o->dsn, sizeof(o->dsn), "%u.%u.%u", class % 10,
	    r->enhanced.subject % 1000, r->enhanced.detail % 1000);
	reply_write_report(r, s->verdict.text, sizeof(s->verdict.text));
	return true;
}

/* The end of a connection. */

/*
 * At the level "may", a server whose TLS does not work is worth a second
 * connection without it; an injection, or 421, is not.
 */
static bool
is_worth_clear(const struct session *s)
{
	const struct outcome *o = &s->failure.outcome;

	if (s->conf.tls_level != TLS_MAY || !s->conf.tls_fallback ||
	    s->conf.implicit_tls || s->in_clear)
		return false;
	return o->step == STEP_TLS ||
	    (o->step == STEP_STARTTLS && o->code >= 400 && o->code != 421);
}

static void
ask_next_address(struct session *s)
{
	struct msg_next next = { 0 };

	next.has_failure = 1;
	s->in_clear = is_worth_clear(s);
	next.again = s->in_clear || s->learnt != 0;
	next.learnt = s->learnt;
	s->learnt = 0;
	next.outcome = s->failure.outcome;
	s->ops->get_tls_info(s->arg, &next.tls);
	session_enter(s, STATE_DIAL);
	session_report(s, MSG_NEXT, &next, s->failure.text);
}

static void
tell_closed(struct session *s)
{
	struct msg_closed closed = { 0 };

	closed.failed = s->has_failure;
	closed.learnt = s->learnt;
	closed.outcome = s->failure.outcome;
	if (!s->has_failure)
		strlcpy(closed.outcome.dsn, "2.0.0",
		    sizeof(closed.outcome.dsn));
	session_enter(s, STATE_OVER);
	session_report(s, MSG_CLOSED, &closed, s->failure.text);
}

static void
conclude(struct session *s)
{
	bool over = s->up || s->cap_is_over;

	if (!over)
		ask_next_address(s);
	s->ops->hang_up(s->arg);
	s->out.len = 0;
	s->expected = 0;
	s->greeted = false;
	s->in_tls = false;
	capabilities_clear(&s->caps);
	reply_init(&s->reply);
	if (over)
		tell_closed(s);
}

void
session_fail(struct session *s, enum farewell farewell)
{
	size_t from = s->out.len;

	s->failure = s->verdict;
	s->has_failure = true;
	if (flight_is_cut(s))
		farewell = FAREWELL_NONE;
	job_abandon(s);
	if (farewell != FAREWELL_NONE)
		session_write_word(s, COMMAND_QUIT);
	else
		s->out.len = 0; /* no end of a message may slip out */
	if (farewell == FAREWELL_QUIT && s->out.len > from)
		session_enter(s, STATE_QUIT);
	else
		conclude(s);
}

void
session_fail_by_reply(struct session *s, enum farewell farewell)
{
	(void)session_judge_reply(s); /* either way it is the verdict */
	session_fail(s, farewell);
}

/* Events that are much the same in every state. */

static void
meet_goodbye(struct session *s)
{
	session_fail_by_reply(s, FAREWELL_QUIT_NO_WAIT);
}

static void
meet_bad_reply(struct session *s)
{
	session_judge(s, "4.5.0", "protocol error: %s, waiting for %s",
	    reply_error_text(s->reply.error), states[s->state].waiting);
	session_fail(s, FAREWELL_NONE);
}

void
session_meet_unsolicited(struct session *s)
{
	char report[SESSION_TEXT_SIZE / 2];

	reply_write_report(&s->reply, report, sizeof(report));
	session_judge(s, "4.5.0",
	    "protocol error: a reply came before its command: %s", report);
	session_fail(s, FAREWELL_QUIT);
}

static void
meet_tls_failure(struct session *s)
{
	session_judge(s, "4.7.5", "TLS handshake failed: %s", s->cause);
	session_fail(s, FAREWELL_NONE);
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
	if (closed && s->state == STATE_HELLO && !s->in_tls &&
	    s->conf.protocol == SESSION_SMTP && s->conf.tls_level <= TLS_MAY &&
	    !s->login.wanted)
		s->learnt = AVOID_EHLO;
	/* One that answered a batch before has other troubles. */
	if (s->expected > 1 && s->mails == 1 &&
	    (s->state == STATE_MAIL || s->state == STATE_FLIGHT_MAIL))
		s->learnt = AVOID_PIPELINING;
}

static void
meet_close(struct session *s)
{
	learn(s, true);
	if (s->cause != NULL)
		session_judge(s, "4.4.2",
		    "connection lost while waiting for %s: %s",
		    states[s->state].waiting, s->cause);
	else
		session_judge(s, "4.4.2",
		    "connection closed by the remote while waiting for %s",
		    states[s->state].waiting);
	session_fail(s, FAREWELL_NONE);
}

static void
meet_timeout(struct session *s)
{
	const char *dsn = s->state <= STATE_CONNECT ? "4.4.1" : "4.4.2";

	learn(s, false);
	if (s->cap_is_over)
		session_judge(s, dsn,
		    "the session's time is up, while waiting for %s",
		    states[s->state].waiting);
	else
		session_judge(s, dsn, "timed out while waiting for %s",
		    states[s->state].waiting);
	session_fail(s, FAREWELL_NONE);
}

uint32_t
session_mails_left(const struct session *s)
{
	uint32_t limit = s->caps.mail_limit;

	if (limit == 0)
		return UINT32_MAX;
	return s->mails < limit ? limit - s->mails : 0;
}

static void
go_on(struct session *s)
{
	(void)s; /* nothing was waiting for room */
}

void
session_say_quit(struct session *s)
{
	session_enter(s, STATE_QUIT);
	session_write_word(s, COMMAND_QUIT);
}

/* Replies to what was pipelined before QUIT come first. */
static void
take_quit(struct session *s)
{
	if (s->expected == 0)
		conclude(s);
}

/* The table, and the events. */

typedef void handler(struct session *s);

static handler *const table[STATE_COUNT][EVENT_COUNT] = {
#define ON(state, event, handler) [STATE_##state][EVENT_##event] = handler,
#define ANY(event, handler)
#include "agent/session_table.def"
#undef ON
#undef ANY
};

static handler *const any_state[EVENT_COUNT] = {
#define ON(state, event, handler)
#define ANY(event, handler) [EVENT_##event] = handler,
#include "agent/session_table.def"
#undef ON
#undef ANY
};

static bool
handle(struct session *s, enum session_event event)
{
	handler *h = table[s->state][event];

	if (h == NULL)
		h = any_state[event];
	if (h == NULL)
		return false;
	h(s);
	return true;
}

bool
session_message(struct session *s, const struct message *m)
{
	static const struct {
		enum msg_type type;
		enum session_event event;
	} events[] = {
		{ MSG_SESSION, EVENT_BEGIN },
		{ MSG_LOGIN, EVENT_LOGIN },
		{ MSG_ADDRESS, EVENT_ADDRESS },
		{ MSG_DIALED, EVENT_DIALED },
		{ MSG_DIAL_FAILED, EVENT_DIAL_FAILED },
		{ MSG_JOB, EVENT_JOB },
		{ MSG_QUIT, EVENT_QUIT },
	};
	bool ok = false;

	s->message = m;
	for (size_t i = 0; i < NELEM(events); i++)
		if (events[i].type == m->type)
			ok = handle(s, events[i].event);
	s->message = NULL;
	return ok && !s->is_misled;
}

static void
show_line(struct session *s)
{
	if (s->state == STATE_AUTH)
		auth_show_line(s);
	else
		show(s, true, s->reply.line, s->reply.line_len);
}

/* One line of a reply: the dialogue, and the keywords of EHLO. */
static void
take_line(struct session *s)
{
	const uint8_t *text;
	size_t n;

	show_line(s);
	if ((s->state != STATE_HELLO && s->state != STATE_XCLIENT_HELLO) ||
	    s->reply.code != 250)
		return;
	text = reply_line_text(&s->reply, &n);
	capabilities_add_line(&s->caps, text, n);
}

/*
 * A whole reply.  Where octets stand behind the last one that was asked for,
 * the remote answered a command that it cannot have seen (S-074); it may be
 * saying goodbye, and then that counts.
 */
static void
take_reply(struct session *s, const uint8_t *rest, size_t n)
{
	bool ahead;

	if (s->expected > 0)
		s->expected--;
	ahead =
	    s->expected == 0 && n > 0 && (n < 3 || memcmp(rest, "421", 3) != 0);
	s->leftover = n;
	(void)handle(s, s->reply.code == 421 ? EVENT_GOODBYE : EVENT_REPLY);
	s->leftover = 0;
	if (ahead && session_is_connected(s) && s->state != STATE_READY &&
	    s->state != STATE_BODY && s->state != STATE_QUIT)
		(void)handle(s, EVENT_UNSOLICITED);
}

void
session_octets(struct session *s, const uint8_t *in, size_t n)
{
	enum reply_event event;
	size_t used;

	while (n > 0 && session_is_connected(s)) {
		event = reply_feed(&s->reply, in, n, &used);
		in += used;
		n -= used;
		switch (event) {
		case REPLY_MORE:
			break;
		case REPLY_LINE:
			take_line(s);
			break;
		case REPLY_READY:
			take_line(s);
			take_reply(s, in, n);
			break;
		case REPLY_BAD:
			show_line(s);
			(void)handle(s, EVENT_BAD_REPLY);
			return;
		}
	}
}

void
session_gathered(struct session *s)
{
	(void)handle(s, EVENT_GATHERED);
}

void
session_connected(struct session *s)
{
	(void)handle(s, EVENT_CONNECTED);
}

void
session_connect_failed(struct session *s, const char *why)
{
	session_judge(s, "4.4.1", "cannot connect: %s", why);
	session_fail(s, FAREWELL_NONE);
}

void
session_tls_up(struct session *s)
{
	(void)handle(s, EVENT_TLS_UP);
}

void
session_tls_failed(struct session *s, const char *why)
{
	s->cause = why;
	(void)handle(s, EVENT_TLS_FAILED);
	s->cause = NULL;
}

void
session_flushed(struct session *s)
{
	(void)handle(s, EVENT_FLUSHED);
}

void
session_timeout(struct session *s, bool cap)
{
	s->cap_is_over = cap;
	(void)handle(s, EVENT_TIMEOUT);
}

void
session_closed(struct session *s, const char *why)
{
	s->cause = why;
	(void)handle(s, EVENT_CLOSED);
	s->cause = NULL;
}
