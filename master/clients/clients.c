/* SPDX-License-Identifier: ISC */
/* See clients.h: who is connected, and when a role that serves them ends. */
#include "master/clients/clients.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"
#include "master/clients/answer.h"
#include "common/closer.h"
#include "master/clients/value.h"
#include "master/config_fd.h"

/* How long a stop waits for the queue's last answers. */
#define DRAIN_MS 2000
/* How long whoever was told that we stop may take to read it, and how often is
 * looked whether it did. */
#define LAST_WORDS_MS      1000
#define LAST_WORDS_TICK_MS 50
/* How often who is turned away is logged. */
#define TURNED_AWAY_MS 10000

bool
clients_are_ending(const struct clients *cs)
{
	return cs->role.phase == PHASE_DRAINING || cs->leaving;
}

void
clients_stop_if_done(struct clients *cs)
{
	/* Not at once: who calls is in the middle of something. */
	if (cs->role.phase == PHASE_DRAINING && cs->unanswered == 0 &&
	    cs->nothers == 0)
		event_active(cs->drain_timer, EV_TIMEOUT, 0);
}

void
clients_lose(struct clients *cs, struct client *c)
{
	share_leave(*client_share(c));
	cs->nclients--;
}

void
clients_on_gone(void *ctx, struct client *c)
{
	struct clients *cs = ctx;

	request_cancel_all(cs, c);
	clients_lose(cs, c);
	if (cs->one_client)
		role_stop(&cs->role);
}

/* Who connects again and again does not fill the log. */
static void
log_turned_away(struct clients *cs, const struct client *c, const char *what)
{
	int64_t now_ms = time_monotonic_ms();

	cs->nturned_away++;
	if (cs->turned_away_ms == 0 ||
	    now_ms - cs->turned_away_ms >= TURNED_AWAY_MS) {
		log_line(LOG_WARN,
		    "uid %u has too many %s: %u more are turned away",
		    client_uid(c), what, cs->nturned_away);
		cs->turned_away_ms = now_ms;
		cs->nturned_away = 0;
	}
}

static void
turn_away(struct clients *cs, struct client *c)
{
	char what[64];

	(void)snprintf(what, sizeof(what),
	    "of the %u connections that there are", cs->nclients);
	log_turned_away(cs, c, what);
	client_close(c);
}

/* Each of them takes a descriptor of ours for as long as its user likes. */
static void
log_choked(struct clients *cs, const struct client *c)
{
	log_turned_away(cs, c,
	    "descriptors that do not close (FUSE, or sockets that linger)");
}

void
clients_check_choked(struct clients *cs, struct client *c)
{
	if (!closer_is_choked(client_uid(c)))
		return;
	log_choked(cs, c);
	request_tell(c,
	    answer_refused("", 421, "4.7.0",
		"too many of your user's descriptors do not close: the "
		"connection is closed"));
	client_end(c);
}

static bool
has_place(const struct clients *cs, const struct share *share, uid_t uid)
{
	if (uid == 0 || cs->one_client)
		return cs->nclients < CLIENTS_MAX;
	/* It is counted in both, once it has joined. */
	return share_is_fair(share->nclients - 1, cs->nclients,
	    CLIENTS_MAX - CLIENTS_OF_ROOT);
}

void
clients_take(struct clients *cs, int fd, enum listener_kind kind)
{
	struct share_key key = { .family = AF_UNIX };
	struct client *c;

	c = client_new(cs->role.base, fd, kind, cs->handlers, cs);
	if (c == NULL) {
		log_line(LOG_ERROR, "a client: %s", strerror(errno));
		return;
	}
	if (closer_is_choked(client_uid(c))) {
		log_choked(cs, c);
		client_close(c);
		return;
	}
	key.uid = client_uid(c);
	*client_share(c) = share_join(cs, &key, CLIENTS_MAX);
	if (*client_share(c) == NULL) {
		turn_away(cs, c);
		return;
	}
	if (!has_place(cs, *client_share(c), client_uid(c))) {
		share_leave(*client_share(c));
		turn_away(cs, c);
		return;
	}
	cs->nclients++;
	if (kind == LISTENER_JOB)
		log_line(LOG_DEBUG, "connect: uid=%u pid=%d", client_uid(c),
		    (int)client_pid(c));
}

void
clients_take_only(struct clients *cs, int fd, enum listener_kind kind)
{
	cs->one_client = true;
	clients_take(cs, fd, kind);
}

/* Everybody who waits, or is in the middle of something; and nobody is read any
 * more. */
static void
dismiss(struct clients *cs)
{
	struct client *c;

	if (cs->dismissed)
		return;
	cs->dismissed = true;
	cs->over_ms = time_monotonic_ms() + LAST_WORDS_MS;
	if (cs->nothers + cs->unanswered > 0)
		log_line(LOG_WARN,
		    "%u jobs or questions and %u sessions of LMTP or SMTP did "
		    "not end in time: they are told that posternd stops",
		    cs->unanswered, cs->nothers);
	if (cs->dismiss_others != NULL)
		cs->dismiss_others(cs);
	request_dismiss_all(cs);
	for (c = client_next(NULL); c != NULL; c = client_next(c))
		client_pause(c, true);
}

/* Whether something that was said is not read yet. */
static bool
is_unread(const struct clients *cs)
{
	const struct client *c;

	for (c = client_next(NULL); c != NULL; c = client_next(c))
		if (client_backlog(c) > 0)
			return true;
	return cs->nothers > 0;
}

static void
on_drain_timer(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval tick = { .tv_usec = LAST_WORDS_TICK_MS * 1000 };
	struct clients *cs = arg;

	(void)fd;
	(void)what;
	dismiss(cs);
	if (time_monotonic_ms() >= cs->over_ms || !is_unread(cs))
		role_stop(&cs->role);
	else
		event_add(cs->drain_timer, &tick);
}

void
clients_end(struct clients *cs)
{
	struct client *c;

	if (cs->role.phase != PHASE_DRAINING && cs->role.parent != NULL)
		return; /* another one of us comes */
	dismiss(cs);
	/* With what it sent and we did not read, its kernel would tell it of a
	 * reset before our words. */
	while ((c = client_next(NULL)) != NULL)
		client_close(c);
}

/* Jobs and questions that the queue has already seen get their answer. */
void
clients_drain(struct clients *cs)
{
	struct timeval wait = { DRAIN_MS / 1000, 0 };

	/* Half of it is the queue's, for what is on its way out. */
	if (cs->nothers + cs->unanswered > 0 &&
	    cs->config->stop_timeout / 2 > wait.tv_sec)
		wait.tv_sec = cs->config->stop_timeout / 2;
	event_add(cs->drain_timer, &wait);
	request_dismiss_watchers(cs);
	clients_stop_if_done(cs);
}

void
clients_on_config(void *ctx, struct channel *from, const struct message *m)
{
	struct clients *cs = ctx;
	struct config *config;

	(void)from;
	config = config_from_fd(m);
	if (config != NULL) {
		config_free(cs->config);
		cs->config = config;
	}
}

void
clients_on_queue(struct clients *cs, int fd)
{
	if (cs->queue != NULL) {
		channel_close(cs->queue);
		request_fail_all(cs);
	}
	cs->queue = role_take_peer(&cs->role, fd, ROLE_QUEUE, NULL);
	request_ask_all(cs);
	request_release_all(cs); /* nothing waits for this one */
}

static void
clients_closed(void *ctx, struct channel *ch, const char *why)
{
	struct clients *cs = ctx;

	(void)why;
	if (ch != cs->queue)
		return;
	cs->queue = NULL; /* the master sends another */
	request_fail_all(cs);
	request_release_all(cs);
}

static void
clients_drained(void *ctx, struct channel *ch)
{
	struct clients *cs = ctx;

	if (ch == cs->queue)
		request_release_all(cs);
}

static void
clients_vital(void *ctx, struct msg_pong *pong)
{
	const struct clients *cs = ctx;

	pong->clients = cs->nclients;
}

void
clients_init(struct clients *cs, unsigned self, int parent_fd,
    const struct handler *handlers, size_t nhandlers,
    const struct client_handlers *client_handlers)
{
	RB_INIT(&cs->requests);
	cs->handlers = client_handlers;
	role_init(&cs->role, self, parent_fd, handlers, nhandlers, cs,
	    clients_closed);
	cs->role.vital = clients_vital;
	cs->role.drained = clients_drained;
	cs->drain_timer = evtimer_new(cs->role.base, on_drain_timer, cs);
	if (cs->drain_timer == NULL || leave_init(cs) == -1)
		fatal("no memory");
	value_init();
}
