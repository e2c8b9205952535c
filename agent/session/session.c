/* SPDX-License-Identifier: ISC */
/*
 * The session's table: what its events do in which state.  How it comes up is in
 * session_setup.c; what it is given to deliver in session_job.c; MAIL and RCPT in
 * session_envelope.c, the message in session_data.c, several at once in
 * session_flight.c; and its end in session_end.c.
 */
#include "agent/session/session.h"

#include <stdio.h>
#include <string.h>

#include "agent/session/session_internal.h"
#include "common/util.h"

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
	return s->state <= STATE_GATHER;
}

bool
session_is_dialing(const struct session *s)
{
	return s->state == STATE_DIAL && s->is_addressed;
}

bool
session_takes_answer(const struct session *s, const struct message *m)
{
	const struct msg_dial_failed *failed = m->payload;
	const struct msg_dialed *dialed = m->payload;

	return session_is_dialing(s) &&
	    s->address.number ==
	    (m->type == MSG_DIALED ? dialed->number : failed->number);
}

bool
session_is_connected(const struct session *s)
{
	return s->state >= STATE_GREETING && s->state <= STATE_QUIT &&
	    s->state != STATE_TLS;
}

bool
session_is_over(const struct session *s)
{
	return s->state == STATE_OVER;
}

static void
go_on(struct session *s)
{
	(void)s; /* nothing was waiting for room */
}

/* The table, and the events. */

typedef void handler(struct session *s);

static handler *const table[STATE_COUNT][EVENT_COUNT] = {
#define ON(state, event, handler) [STATE_##state][EVENT_##event] = handler,
#define ANY(event, handler)
#include "agent/session/session_table.def"
#undef ON
#undef ANY
};

static handler *const any_state[EVENT_COUNT] = {
#define ON(state, event, handler)
#define ANY(event, handler) [EVENT_##event] = handler,
#include "agent/session/session_table.def"
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
		session_auth_show_line(s);
	else
		session_report_heard(s, s->reply.line, s->reply.line_len);
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
	ehlo_add_line(&s->caps, text, n);
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
	s->went_on = s->goodbye;
	if (s->reply.loose)
		s->learnt |= SEEN_LOOSE_REPLY;
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
		/* Before a handshake nothing is overlooked. */
		s->reply.strict = s->state == STATE_STARTTLS;
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
	session_end_fail(s, FAREWELL_NONE);
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
