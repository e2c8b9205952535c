/* SPDX-License-Identifier: ISC */
/*
 * The addresses of a session: the worker asks for the next one, is told what it
 * is, and gets its socket from the dialer, until one works or none is left.
 */
#include "master/queue/queue_internal.h"

#include <sys/socket.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"

static void
dial_relay(const struct transport *config, const struct plan_address *address,
    char out[static MSG_RELAY_SIZE])
{
	char text[INET6_ADDRSTRLEN] = "";

	if (address->family == AF_UNIX) {
		(void)snprintf(out, MSG_RELAY_SIZE, "localhost[%s]",
		    config->next_hop.path);
		return;
	}
	(void)inet_ntop(address->family, address->addr, text, sizeof(text));
	(void)snprintf(out, MSG_RELAY_SIZE, "%s[%s]:%u", address->host, text,
	    address->port);
}

static void
dial_announce(struct session *s, const struct transport *config,
    const struct plan_address *address)
{
	struct msg_address msg;
	const char *name =
	    config->tls_name[0] != '\0' ? config->tls_name : address->host;

	memset(&msg, 0, sizeof(msg));
	dial_relay(config, address, s->relay);
	(void)strlcpy(msg.host, address->host, sizeof(msg.host));
	(void)strlcpy(msg.tls_name, name, sizeof(msg.tls_name));
	(void)strlcpy(msg.relay, s->relay, sizeof(msg.relay));
	(void)channel_send(s->channel, MSG_ADDRESS, &msg, NULL, 0, -1);
}

static void
dial_ask(struct session *s)
{
	struct queue *q = s->queue;

	s->dialing = true;
	if (q->dialer != NULL)
		(void)channel_send(q->dialer, MSG_DIAL, &s->dial, NULL, 0,
		    channel_fd(s->channel));
}

static void
dial_address(struct session *s, const struct transport *config,
    const struct plan_address *address)
{
	const char *source = address->family == AF_INET ? config->bind_address
							: config->bind_address6;

	memset(&s->dial, 0, sizeof(s->dial));
	s->dial.family = address->family;
	s->dial.port = address->port;
	memcpy(s->dial.addr, address->addr, sizeof(s->dial.addr));
	if (address->family == AF_UNIX)
		(void)strlcpy(s->dial.path, config->next_hop.path,
		    sizeof(s->dial.path));
	else if (source[0] != '\0' &&
	    inet_pton(address->family, source, s->dial.source) == 1)
		s->dial.has_source = 1;
	dial_announce(s, config, address);
	dial_ask(s);
}

/* A new dialer: those who had no answer yet ask again. */
void
dial_again(struct queue *q)
{
	struct session *s;

	TAILQ_FOREACH(s, &q->sessions, entry)
		if (s->dialing)
			dial_ask(s);
}

/* Of several addresses, one that may do better another time decides. */
static void
dial_note_failure(struct session *s, const struct message *m)
{
	const struct msg_next *msg = m->payload;

	if (s->has_failure && s->failure.status == OUTCOME_DEFERRED &&
	    msg->outcome.status != OUTCOME_DEFERRED)
		return;
	s->has_failure = true;
	s->failure = msg->outcome;
	if (s->failure.status != OUTCOME_FAILED)
		s->failure.status = OUTCOME_DEFERRED;
	s->failure.dsn[sizeof(s->failure.dsn) - 1] = '\0';
	session_text(m, s->failure_reply);
}

static void
dial_give_up(struct session *s)
{
	if (!s->has_failure) {
		settle_outcome(&s->failure, OUTCOME_DEFERRED, STEP_CONNECT,
		    "4.4.1");
		(void)strlcpy(s->failure_reply, "no address to connect to",
		    sizeof(s->failure_reply));
	}
	session_end(s, &s->failure, s->failure_reply, false);
	session_quit(s);
}

void
dial_next(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_next *msg = m->payload;
	struct session *s = channel_arg(from);
	const struct transport *config = session_config(s);

	(void)ctx;
	if (s->up || s->closed) {
		session_fault(s, "asked for an address behind SESSION_UP");
		return;
	}
	s->dialing = false;
	if (msg->has_failure && !msg->again) {
		dial_note_failure(s, m);
		s->tls = msg->tls;
		log_line(LOG_INFO, "session %u: %s: %s", s->number,
		    s->relay[0] != '\0' ? s->relay : "none", s->failure_reply);
	}
	if (msg->again && s->next_address > 0)
		s->next_address--;
	if (config == NULL || s->quitting ||
	    s->next_address >= s->plan->count) {
		dial_give_up(s);
		return;
	}
	dial_address(s, config, &s->plan->addresses[s->next_address++]);
}
