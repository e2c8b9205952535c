/* SPDX-License-Identifier: ISC */
/*
 * What a transport logs in with.  The master has it, a worker of the transport
 * gets it; between the two it is here: asked for when a session is to start,
 * renewed before it ends, and once where a server refused it.
 *
 * Until a login went well a destination has one session at a time: servers lock
 * accounts that fail too often.
 */
#include "master/queue/queue_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/auth.h"
#include "common/log.h"
#include "common/util.h"
#include "master/secret_text.h"

enum {
	LOGIN_RENEW_LATER_MS =
	    60 * 1000,          /* after that failed, while it holds */
	LOGIN_LOST_MS = 10000,  /* after auth_token_timeout */
	LOGIN_LOST_MAX = 3,
	LOGIN_TAIL_SIZE = 8960, /* of messages.def */
};

struct login {
	char *secret; /* NULL: none is here */
	size_t len;
	uint32_t serial;
	bool asked;   /* the master is to answer */
	uint32_t lost;    /* answers in a row that did not come */
	int64_t asked_ms; /* CLOCK_MONOTONIC */
	bool refused; /* no session may start with it */
	bool renewed; /* for a refusal, and no login went well since */
	bool stale;   /* to be asked for again before the next session */
	bool proven;
	int64_t renew_ms; /* CLOCK_MONOTONIC */
	int64_t until_ms;
};

static struct login *
login_of(struct queue *q, uint32_t transport)
{
	struct queue_transport *t = &q->transports[transport];

	if (t->login == NULL)
		t->login = calloc(1, sizeof(*t->login));
	return t->login;
}

static void
login_wipe(struct login *l)
{
	if (l->secret != NULL)
		freezero(l->secret, l->len + 1);
	l->secret = NULL;
	l->len = 0;
	l->serial = 0;
}

void
login_free(struct login *l)
{
	if (l == NULL)
		return;
	login_wipe(l);
	free(l);
}

/* Those of a transport that wait may look again. */
static void
login_release(struct queue *q, uint32_t transport)
{
	struct schedule_destination *d;
	struct target *t;

	for (d = schedule_first_destination(q->schedule); d != NULL;
	     d = TAILQ_NEXT(d, entry)) {
		t = d->data;
		if (t == NULL || d->transport != transport ||
		    !t->waits_for_login)
			continue;
		t->waits_for_login = false;
		schedule_pause(q->schedule, d, false);
	}
	queue_pump_soon(q);
}

void
login_forget_all(struct queue *q)
{
	uint32_t i;

	for (i = 0; i < q->ntransports; i++) {
		if (q->transports[i].login == NULL)
			continue;
		login_wipe(q->transports[i].login);
		memset(q->transports[i].login, 0, sizeof(struct login));
		login_release(q, i);
	}
}

static void
login_ask(struct queue *q, uint32_t transport, struct login *l)
{
	struct msg_secret_ask ask;

	if (l->asked || q->role.parent == NULL)
		return;
	memset(&ask, 0, sizeof(ask));
	ask.generation = q->generation;
	ask.transport = q->transports[transport].index;
	ask.serial = l->serial;
	l->asked = true;
	l->asked_ms = time_monotonic_ms();
	l->stale = false;
	(void)channel_send(q->role.parent, MSG_SECRET_ASK, &ask, NULL, 0, -1);
}

/* Whether it is there and good, as far as we know; asks for it where not. */
static bool
login_has_secret(struct queue *q, uint32_t transport, struct login *l)
{
	int64_t now_ms = time_monotonic_ms();
	bool good = l->secret != NULL && !l->refused && !l->stale &&
	    now_ms < l->until_ms;

	if (!good || now_ms >= l->renew_ms)
		login_ask(q, transport, l);
	return good;
}

bool
login_ready(struct queue *q, struct target *t)
{
	struct schedule_destination *d = t->destination;
	const struct transport *config = q->transports[d->transport].config;
	struct login *l;

	if (!config_wants_login(config))
		return true;
	l = login_of(q, d->transport);
	if (l == NULL)
		return false;
	if ((config_secret(config) == AUTH_SECRET_NOTHING ||
		login_has_secret(q, d->transport, l)) &&
	    (l->proven || d->sessions == 0))
		return true;
	t->waits_for_login = true;
	schedule_pause(q->schedule, d, true);
	return false;
}

int
login_introduce(struct session *s, const struct transport *config)
{
	struct queue *q = s->queue;
	uint32_t transport = s->target->destination->transport;
	const struct login *l = q->transports[transport].login;
	struct msg_login msg;
	char tail[LOGIN_TAIL_SIZE];
	size_t len = 0;
	int ret = -1;

	if (!config_wants_login(config) || l == NULL)
		return 0;
	memset(&msg, 0, sizeof(msg));
	msg.mechanisms = config_mechanisms(config);
	msg.secret = (uint8_t)config_secret(config);
	msg.in_clear =
	    config->auth_in_clear || config->next_hop.kind == NEXT_HOP_UNIX;
	if (message_tail_add(tail, sizeof(tail), &len, config->auth_user) &&
	    message_tail_add(tail, sizeof(tail), &len, config->auth_authzid) &&
	    message_tail_add(tail, sizeof(tail), &len,
		l->secret != NULL ? l->secret : ""))
		ret = channel_send(s->channel, MSG_LOGIN, &msg, tail, len, -1);
	explicit_bzero(tail, len);
	return ret;
}

/* Sessions tell how it went. */

void
login_succeeded(struct session *s)
{
	uint32_t transport = s->target->destination->transport;
	struct login *l = s->queue->transports[transport].login;

	if (l == NULL || l->proven)
		return;
	l->proven = true;
	l->renewed = false;
	login_release(s->queue, transport);
}

void
login_session_ended(struct session *s)
{
	struct target *t = s->target;

	if (!t->waits_for_login)
		return;
	t->waits_for_login = false;
	schedule_pause(s->queue->schedule, t->destination, false);
}

static const char *
login_advice(const struct transport *config, const struct outcome *outcome)
{
	if (outcome->code / 100 == 4)
		return "the server expects it to go better later";
	if (outcome->code == 0) /* our own words say what is to be done */
		return "see tls_security_level and auth_mechanisms";
	if (config->auth_password_file[0] != '\0')
		return "check auth_user and auth_password_file";
	if (config->auth_token_file[0] != '\0')
		return "check auth_user and auth_token_file";
	if (config->auth_token_command.count > 0)
		return "check auth_user and what auth_token_command gives";
	return "check auth_mechanisms and auth_user";
}

bool
login_failed(struct session *s, const struct outcome *outcome,
    const char *reply)
{
	const struct transport *config = session_config(s);
	struct target *t = s->target;
	uint32_t transport = t->destination->transport;
	struct login *l = s->queue->transports[transport].login;

	if (config == NULL || l == NULL)
		return false;
	log_line(LOG_WARN,
	    "transport %s: login%s%s at %s failed: %s: its mail is deferred; "
	    "%s",
	    config->name, config->auth_user[0] != '\0' ? " as " : "",
	    config->auth_user, s->relay, reply, login_advice(config, outcome));
	if (outcome->code != 535)
		return false;
	l->proven = false;
	l->stale = true;
	if (l->renewed || l->secret == NULL)
		return false;
	l->renewed = true;
	l->refused = true;
	t->login_refused = true;
	settle_outcome(&t->outcome, OUTCOME_DEFERRED, STEP_AUTH, "4.7.8");
	t->outcome.code = outcome->code;
	(void)strlcpy(t->outcome.dsn, outcome->dsn, sizeof(t->outcome.dsn));
	target_set_why(t, reply, s->relay);
	login_ask(s->queue, transport, l);
	return true;
}

/* What the master says. */

/* Nothing new: who was refused, or has nothing to log in with, is deferred. */
static void
login_defer(struct queue *q, uint32_t transport, bool all, const char *why)
{
	struct schedule_destination *d;
	struct outcome outcome;
	struct target *t;
	char reply[QUEUE_REPLY_SIZE], relay[MSG_RELAY_SIZE];

	for (d = schedule_first_destination(q->schedule); d != NULL;
	     d = TAILQ_NEXT(d, entry)) {
		t = d->data;
		if (t == NULL || d->transport != transport ||
		    !(t->login_refused || (all && t->waits_for_login)))
			continue;
		settle_outcome(&outcome, OUTCOME_DEFERRED, STEP_AUTH, "4.7.0");
		(void)snprintf(reply, sizeof(reply), "login: %s", why);
		relay[0] = '\0';
		if (t->login_refused) {
			outcome = t->outcome;
			(void)strlcpy(reply, t->reply, sizeof(reply));
			(void)strlcpy(relay, t->relay, sizeof(relay));
		}
		t->login_refused = false;
		target_refuse(q, t, &outcome, reply, relay);
	}
}

/* The slot of what the master speaks of; -1: of another configuration. */
static int
login_slot(const struct queue *q, const struct msg_secret *msg)
{
	uint32_t i;

	if (msg->generation != q->generation)
		return -1;
	for (i = 0; i < q->ntransports; i++)
		if (q->transports[i].config != NULL &&
		    q->transports[i].index == msg->transport &&
		    q->transports[i].login != NULL)
			return (int)i;
	return -1;
}

/* For how long the queue may rely on it, from now. */
static void
login_set_times(struct login *l, const struct msg_secret *msg, uint32_t for_s)
{
	int64_t for_ms = (int64_t)for_s * 1000;
	int64_t since_ms = time_monotonic_ms() - msg->age_ms;

	l->renew_ms = l->until_ms = INT64_MAX;
	if (msg->command == 0 || for_s == 0)
		return;
	/* In the last quarter, and five minutes at most, before its end. */
	l->until_ms = since_ms + for_ms;
	l->renew_ms =
	    l->until_ms - (for_ms / 4 < 300 * 1000 ? for_ms / 4 : 300 * 1000);
}

/* A transport cannot log in: that is said once, not for each of its mails. */
static void
login_lacks(struct queue *q, uint32_t transport, struct login *l,
    const char *why)
{
	const struct transport *config = q->transports[transport].config;
	bool holds = l->secret != NULL && !l->refused &&
	    time_monotonic_ms() < l->until_ms;

	l->asked = false;
	l->lost = 0;
	l->renew_ms = time_monotonic_ms() + LOGIN_RENEW_LATER_MS;
	log_line(LOG_WARN, "transport %s: %s: %s", config->name, why,
	    holds ? "the former one goes on while it holds"
		  : "its mail is deferred until that is mended");
	l->refused = false;
	l->stale = !holds;
	login_defer(q, transport, !holds, why);
	login_release(q, transport);
}

/* A question that was lost is asked again; who waits for it hears at last that
 * there is no answer. */
void
login_sweep(struct queue *q)
{
	int64_t now_ms = time_monotonic_ms();
	struct login *l;
	uint32_t i;

	for (i = 0; i < q->ntransports; i++) {
		l = q->transports[i].login;
		if (l == NULL || !l->asked || q->transports[i].config == NULL ||
		    now_ms < l->asked_ms + LOGIN_LOST_MS +
			    q->transports[i].config->auth_token_timeout *
				INT64_C(1000))
			continue;
		l->asked = false;
		if (++l->lost < LOGIN_LOST_MAX)
			login_ask(q, i, l);
		else
			login_lacks(q, i, l,
			    "the master does not answer what is asked of its "
			    "secret");
	}
}

static void
login_take(struct queue *q, uint32_t transport, const struct msg_secret *msg,
    char *octets, size_t n)
{
	struct login *l = q->transports[transport].login;
	struct secret_text text;
	const char *why;
	bool same;

	why = secret_text_read(octets, n, msg->command != 0, &text);
	if (why != NULL) {
		char line[256];

		(void)snprintf(line, sizeof(line), "%s: %s",
		    msg->command != 0 ? "auth_token_command" : "the secret",
		    why);
		login_lacks(q, transport, l, line);
		return;
	}
	same = l->secret != NULL && l->len == text.len &&
	    memcmp(l->secret, octets, text.len) == 0;
	login_wipe(l);
	l->secret = malloc(text.len + 1);
	if (l->secret == NULL) {
		login_lacks(q, transport, l, "no memory");
		return;
	}
	memcpy(l->secret, octets, text.len);
	l->secret[text.len] = '\0';
	l->len = text.len;
	l->serial = msg->serial;
	l->asked = false;
	l->lost = 0;
	login_set_times(l, msg, text.for_s);
	/* What was refused a moment ago is not shown again at once. */
	if (l->refused && same)
		login_defer(q, transport, false, "");
	l->refused = false;
	login_release(q, transport);
}

void
login_secret(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_secret *msg = m->payload;
	char octets[SECRET_TEXT_MAX + 1];
	struct queue *q = ctx;
	int slot = login_slot(q, msg);
	ssize_t n;

	(void)from;
	if (slot != -1) {
		n = pread(m->fd, octets, sizeof(octets), 0);
		if (n == -1)
			login_lacks(q, (uint32_t)slot,
			    q->transports[slot].login, strerror(errno));
		else
			login_take(q, (uint32_t)slot, msg, octets, (size_t)n);
		explicit_bzero(octets, sizeof(octets));
	}
	fd_close(m->fd);
}

void
login_no_secret(void *ctx, struct channel *from, const struct message *m)
{
	struct queue *q = ctx;
	int slot = login_slot(q, m->payload);
	char why[QUEUE_REPLY_SIZE];

	(void)from;
	if (slot == -1)
		return;
	session_text(m, why);
	login_lacks(q, (uint32_t)slot, q->transports[slot].login, why);
}
