/* SPDX-License-Identifier: ISC */
/*
 * Whether all roles live, and what the service manager hears of it.
 *
 * A role that does not answer PING for daemon_timeout is killed, and so started
 * again.  The time is counted by our own turns: a machine that stood still has
 * not left anybody waiting.  WATCHDOG=1 says that this goes on, so that the
 * service manager need watch nobody but us.
 */
#include "master/master_internal.h"

#include <sys/queue.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"
#include "master/layers.h"
#include "master/load.h"
#include "master/notify.h"

enum {
	WATCH_SHARE = 4, /* turns in a daemon_timeout */
	WATCH_LEAST_MS = 50,
	WATCH_MOST_MS = 15000,
	/* How long a start or a stop may go on beyond what it was promised. */
	WATCH_EXTEND_MS = 2 * WATCH_MOST_MS,
	WATCH_START_MAX_MS = 30 * 60 * 1000,
};

static int64_t
limit_ms(const struct master *m)
{
	return (int64_t)m->load->config->daemon_timeout * 1000;
}

static int64_t
turn_ms(const struct master *m)
{
	int64_t ms = limit_ms(m) / WATCH_SHARE;

	if (ms == 0 || ms > WATCH_MOST_MS)
		ms = WATCH_MOST_MS;
	if (m->watch.watchdog_ms > 0 && m->watch.watchdog_ms < ms)
		ms = m->watch.watchdog_ms;
	return ms > WATCH_LEAST_MS ? ms : WATCH_LEAST_MS;
}

static void
arm_timer(struct master *m)
{
	int64_t ms = turn_ms(m);
	struct timeval tv = { .tv_sec = ms / 1000,
		.tv_usec = ms % 1000 * 1000 };

	if (event_add(m->watch.timer, &tv) == -1)
		log_line(LOG_ERROR, "no memory: nobody is watched");
}

static void
ping(struct servant *s)
{
	struct msg_ping p = { .serial = ++s->pinged };

	s->silent_ms = 0;
	if (s->channel != NULL)
		(void)channel_send(s->channel, MSG_PING, &p, NULL, 0, -1);
}

void
watch_ask(struct servant *s)
{
	/* One that is silent does not gain time by this. */
	int64_t silent_ms = s->ponged != s->pinged ? s->silent_ms : 0;

	ping(s);
	s->silent_ms = silent_ms;
	s->asked = s->pinged;
}

/* Whether it is being ended, and has not gone yet. */
static bool
look_at(struct servant *s, int64_t passed_ms)
{
	struct master *m = s->master;

	if (s->pid == -1 || !s->ready)
		return false; /* it starts, or waits to */
	if (s->ponged == s->pinged) {
		s->hung = false;
		ping(s);
		return false;
	}
	/* While a thread of it is held, it is not told to us as ended. */
	if (s->hung || layers_is_dead(s->pid))
		servant_expect_end(s);
	s->silent_ms += passed_ms;
	if (s->hung || limit_ms(m) == 0 || s->silent_ms < limit_ms(m))
		return s->hung;
	log_line(LOG_ERROR,
	    "the %s [%d] has not answered for %d s (daemon_timeout): killed",
	    role_name(s->desc->role), (int)s->pid,
	    m->load->config->daemon_timeout);
	s->hung = true;
	servant_kill(s);
	return true;
}

static void
say_status(struct master *m)
{
	const struct msg_pong *q = &m->watch.queue;
	char text[sizeof(m->watch.said)];

	(void)snprintf(text, sizeof(text),
	    "%" PRIu32 " sessions, %" PRIu32 " clients; recipients: %" PRIu64
	    " queued, %" PRIu64 " active, %" PRIu64 " deferred, %" PRIu64
	    " failed, %" PRIu64 " held",
	    q->sessions, m->watch.clients + m->watch.askers,
	    q->counts[RECIPIENT_QUEUED], q->counts[RECIPIENT_ACTIVE],
	    q->counts[RECIPIENT_DEFERRED], q->counts[RECIPIENT_FAILED],
	    q->counts[RECIPIENT_HELD]);
	if (strcmp(text, m->watch.said) == 0)
		return;
	memcpy(m->watch.said, text, sizeof(text));
	notify_send("STATUS=%s", text);
}

/* A queue that is large, or is brought up to date, opens slowly. */
static void
extend_start(const struct master *m, int64_t now_ms)
{
	if (now_ms - m->watch.started_ms < WATCH_START_MAX_MS)
		notify_send("EXTEND_TIMEOUT_USEC=%d\nSTATUS=starting",
		    WATCH_EXTEND_MS * 1000);
}

static void
on_watch(evutil_socket_t fd, short what, void *arg)
{
	struct master *m = arg;
	int64_t now_ms = time_monotonic_ms(), passed_ms;
	struct servant *s;
	bool hung = false;

	(void)fd;
	(void)what;
	passed_ms = now_ms - m->watch.turned_ms;
	if (passed_ms > turn_ms(m))
		passed_ms = turn_ms(m); /* it was we who stood still */
	m->watch.turned_ms = now_ms;
	TAILQ_FOREACH(s, &m->servants, entry)
		hung = look_at(s, passed_ms) || hung;
	if (!m->watch.is_up)
		extend_start(m, now_ms);
	else if (!m->stopping)
		say_status(m);
	if (m->watch.watchdog_ms > 0 && !hung)
		notify_send("WATCHDOG=1");
	arm_timer(m);
}

void
watch_open(struct master *m)
{
	m->watch.started_ms = m->watch.turned_ms = time_monotonic_ms();
	m->watch.timer = evtimer_new(m->role.base, on_watch, m);
	if (m->watch.timer == NULL)
		fatal("no memory");
	if (m->options->client_fd != -1)
		return; /* somebody's own, who has not asked for a daemon */
	notify_open();
	if (notify_is_open())
		m->watch.watchdog_ms =
		    notify_watchdog_ms(getenv("WATCHDOG_USEC"),
			getenv("WATCHDOG_PID"), (int)getpid());
	arm_timer(m);
}

void
watch_close(struct master *m)
{
	event_free(m->watch.timer);
	notify_close();
}

void
watch_ready(struct master *m)
{
	const struct servant *s;

	if (m->watch.is_up || m->stopping)
		return;
	TAILQ_FOREACH(s, &m->servants, entry) {
		if (!s->ready)
			return;
	}
	m->watch.is_up = true;
	if (heir_is_up(m))
		return; /* the service manager listens to the old one yet */
	notify_send("READY=1\nSTATUS=ready");
}

void
watch_reloading(const struct master *m)
{
	struct timespec now;

	if (!m->watch.is_up)
		return;
	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* it cannot fail */
	notify_send("RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=reloading",
	    (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

void
watch_reloaded(struct master *m, bool good)
{
	m->watch.said[0] = '\0';
	if (m->watch.is_up)
		notify_send("READY=1\nSTATUS=%s",
		    good ? "reloaded"
			 : "reload refused: the former configuration goes on");
	arm_timer(m); /* daemon_timeout may be another */
}

void
watch_upgrade_failed(struct master *m)
{
	m->watch.said[0] = '\0';
	notify_send("STATUS=upgrade failed: the old generation goes on");
}

void
watch_has_all(struct master *m)
{
	(void)m;
	notify_send("READY=1\nSTATUS=generation %u has taken over", m->era);
}

void
watch_stopping(const struct master *m)
{
	int64_t ms =
	    (int64_t)m->load->config->stop_timeout * 1000 + WATCH_EXTEND_MS;

	notify_send("STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRId64
		    "\nSTATUS=stopping: sessions finish their message",
	    ms * 1000);
}

void
watch_pong(void *ctx, struct channel *from, const struct message *msg)
{
	const struct msg_pong *pong = msg->payload;
	struct servant *s = channel_arg(from);
	struct master *m = ctx;

	if (pong->serial != s->pinged)
		return; /* an answer to nothing */
	s->ponged = pong->serial;
	reload_look(m);
	if (s->retired)
		return;
	if (s->desc->role == ROLE_QUEUE)
		m->watch.queue = *pong;
	else if (s->desc->role == ROLE_INTAKE)
		m->watch.clients = pong->clients;
	else if (s->desc->role == ROLE_CONTROL)
		m->watch.askers = pong->clients;
}
