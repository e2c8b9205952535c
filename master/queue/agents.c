/* SPDX-License-Identifier: ISC */
/* See agents.h. */
#include "master/queue/agents.h"

#include <sys/queue.h>

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/util.h"
#include "master/queue/peers.h"
#include "master/queue/queue_internal.h"

enum {
	AGENTS_BUCKETS = 256,
	AGENTS_LOOK_MS = 1000,
	AGENTS_RELEASE_MS = 3000, /* for a worker to end by itself */
	AGENTS_KILL_MS = 5000,    /* for its agent to say that it is gone */
	AGENTS_RENEW_MS = 10000,  /* for the master to send another agent */
	AGENTS_HOLD_MS = 60000,   /* and for who waits for that */
	AGENTS_MAX = 8,           /* no more of them for their age alone */
};

struct agent {
	TAILQ_ENTRY(agent) entry;
	struct channel *channel;
	uint64_t serial;
	uint32_t pid; /* as the master knows it */
	uint32_t workers;
	uint32_t forked;    /* all of its workers */
	int64_t asked_ms;   /* when another was asked for; 0: not */
	int64_t spoiled_ms; /* since when one of them knows too much; 0: none */
	bool ending;        /* the master was asked to end it */
};

struct worker_ref {
	LIST_ENTRY(worker_ref) hash;
	TAILQ_ENTRY(worker_ref) entry; /* of those that should be gone */
	struct agent *agent;
	uint32_t session;
	int64_t due_ms; /* to be gone by then, CLOCK_MONOTONIC; 0: it works */
	bool killed;
};

struct agents {
	TAILQ_HEAD(, agent) all;
	struct agent *current; /* NULL: none */
	struct event *timer;
	uint32_t nagents;
	uint64_t last_serial;
	uint32_t workers;
	TAILQ_HEAD(, worker_ref) due;
	LIST_HEAD(, worker_ref) by_session[AGENTS_BUCKETS];
};

static void agents_look(evutil_socket_t fd, short what, void *arg);

int
agents_init(struct queue *q)
{
	struct agents *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return -1;
	a->timer = evtimer_new(q->role.base, agents_look, q);
	if (a->timer == NULL) {
		free(a);
		return -1;
	}
	TAILQ_INIT(&a->all);
	TAILQ_INIT(&a->due);
	q->agents = a;
	return 0;
}

static void
agents_arm(struct agents *a)
{
	const struct timeval tv = { .tv_sec = AGENTS_LOOK_MS / 1000 };

	if (!TAILQ_EMPTY(&a->due) && !evtimer_pending(a->timer, NULL))
		(void)evtimer_add(a->timer, &tv); /* or the next one does */
}

static void
agents_set_due(struct agents *a, struct worker_ref *w, int64_t ms)
{
	if (w->due_ms == 0)
		TAILQ_INSERT_TAIL(&a->due, w, entry);
	w->due_ms = time_monotonic_ms() + ms;
	agents_arm(a);
}

static void
agents_forget_worker(struct agents *a, struct worker_ref *w)
{
	LIST_REMOVE(w, hash);
	if (w->due_ms != 0)
		TAILQ_REMOVE(&a->due, w, entry);
	w->agent->workers--;
	a->workers--;
	free(w);
}

/* Its session may be alive yet: the reference then is void, not gone. */
static void
agents_lose_worker(struct agents *a, struct worker_ref *w)
{
	if (w->due_ms != 0)
		agents_forget_worker(a, w);
	else {
		w->agent->workers--;
		a->workers--;
		w->agent = NULL;
		LIST_REMOVE(w, hash);
	}
}

static void
agents_free(struct agents *a, struct agent *agent)
{
	struct worker_ref *w, *next;

	for (size_t i = 0; i < AGENTS_BUCKETS && agent->workers > 0; i++)
		for (w = LIST_FIRST(&a->by_session[i]); w != NULL; w = next) {
			next = LIST_NEXT(w, hash);
			if (w->agent == agent)
				agents_lose_worker(a, w);
		}
	TAILQ_REMOVE(&a->all, agent, entry);
	a->nagents--;
	if (a->current == agent)
		a->current = NULL;
	free(agent);
}

/* One of those before, once its last worker is gone, waits for nothing but the
 * end of our channel.  The master sees to it that it does end. */
static void
agents_dismiss(struct queue *q, struct agent *agent)
{
	struct msg_renew msg = { .pid = agent->pid };

	if (agent == q->agents->current || agent->workers > 0)
		return;
	channel_close(agent->channel);
	if (q->role.parent != NULL)
		(void)channel_send(q->role.parent, MSG_DISMISSED, &msg, NULL, 0,
		    -1);
	agents_free(q->agents, agent);
}

void
agents_clear(struct queue *q)
{
	struct agents *a = q->agents;
	struct agent *agent;

	if (a == NULL)
		return;
	while ((agent = TAILQ_FIRST(&a->all)) != NULL) {
		channel_close(agent->channel);
		agents_free(a, agent);
	}
	event_free(a->timer);
	free(a);
	q->agents = NULL;
}

int
agents_take(struct queue *q, int fd, uint32_t pid)
{
	struct agents *a = q->agents;
	struct agent *agent = calloc(1, sizeof(*agent));
	struct agent *before = a->current;

	if (agent == NULL) {
		fd_close(fd);
		role_lose_peer(&q->role, ROLE_AGENT);
		return -1;
	}
	agent->channel = role_take_peer(&q->role, fd, ROLE_AGENT, agent);
	if (agent->channel == NULL) {
		free(agent);
		return -1;
	}
	agent->pid = pid;
	agent->serial = ++a->last_serial;
	TAILQ_INSERT_TAIL(&a->all, agent, entry);
	a->nagents++;
	a->current = agent;
	if (before != NULL)
		agents_dismiss(q, before);
	return 0;
}

void
agents_closed(struct queue *q, struct channel *channel, const char *why)
{
	struct agent *agent = channel_arg(channel);

	if (why != NULL)
		peers_fault(q, ROLE_AGENT, agent->pid, why);
	agents_free(q->agents, agent);
}

bool
agents_can_fork(const struct queue *q)
{
	return q->agents->current != NULL;
}

/* Asked again where nothing came of it. */
static void
agents_renew(struct queue *q, struct agent *agent)
{
	struct msg_renew msg = { .pid = agent->pid };
	int64_t now_ms = time_monotonic_ms();

	if (agent != q->agents->current || q->role.parent == NULL ||
	    (agent->asked_ms != 0 &&
		now_ms < agent->asked_ms + AGENTS_RENEW_MS))
		return;
	agent->asked_ms = now_ms;
	(void)channel_send(q->role.parent, MSG_RENEW, &msg, NULL, 0, -1);
}

static void
agents_spoil_agent(struct queue *q, struct agent *agent)
{
	if (agent->spoiled_ms == 0)
		agent->spoiled_ms = time_monotonic_ms();
	agents_renew(q, agent);
}

void
agents_spoil(struct queue *q, const struct worker_ref *w)
{
	if (w != NULL && w->agent != NULL)
		agents_spoil_agent(q, w->agent);
}

void
agents_spoil_channel(struct queue *q, const struct channel *from)
{
	agents_spoil_agent(q, channel_arg(from));
}

uint64_t
agents_serial(const struct worker_ref *w)
{
	return w != NULL && w->agent != NULL ? w->agent->serial : 0;
}

bool
agents_must_wait(struct queue *q, uint64_t serial)
{
	struct agent *agent = q->agents->current;

	if (serial == 0 || agent == NULL || agent->serial != serial ||
	    agent->spoiled_ms == 0)
		return false;
	agents_renew(q, agent);
	/* Where none comes, mail goes out all the same. */
	return time_monotonic_ms() < agent->spoiled_ms + AGENTS_HOLD_MS;
}

/* Whether its workers all had the same layout for long enough. */
static bool
agents_is_old(const struct queue *q, const struct agent *agent)
{
	uint32_t most = (uint32_t)q->config->max_use;

	return most > 0 && agent->forked >= most &&
	    q->agents->nagents < AGENTS_MAX;
}

struct worker_ref *
agents_fork(struct queue *q, uint32_t session, int line_fd, int fd)
{
	struct agents *a = q->agents;
	struct msg_fork msg = { .session = session };
	struct worker_ref *w;

	if (a->current == NULL)
		return NULL;
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return NULL;
	w->agent = a->current;
	w->session = session;
	w->agent->workers++;
	w->agent->forked++;
	a->workers++;
	if (agents_is_old(q, w->agent))
		agents_renew(q, w->agent);
	LIST_INSERT_HEAD(&a->by_session[session % AGENTS_BUCKETS], w, hash);
	/* Where the agent is gone, the pair's other end ends with it. */
	(void)channel_send(w->agent->channel, MSG_LINE, &msg, NULL, 0, line_fd);
	(void)channel_send(w->agent->channel, MSG_FORK, &msg, NULL, 0, fd);
	return w;
}

static void
agents_send_kill(struct agents *a, struct worker_ref *w)
{
	struct msg_fork msg = { .session = w->session };

	w->killed = true;
	(void)channel_send(w->agent->channel, MSG_KILL, &msg, NULL, 0, -1);
	agents_set_due(a, w, AGENTS_KILL_MS);
}

void
agents_release(struct queue *q, struct worker_ref *w)
{
	if (w != NULL && w->agent != NULL)
		agents_set_due(q->agents, w, AGENTS_RELEASE_MS);
	else
		free(w); /* it has gone before its session */
}

void
agents_kill(struct queue *q, struct worker_ref *w)
{
	if (w != NULL && w->agent != NULL)
		agents_send_kill(q->agents, w);
	else
		free(w);
}

/* No other can end its workers but who can end it. */
static void
agents_end(struct queue *q, struct agent *agent, const char *why)
{
	if (agent->ending)
		return;
	agent->ending = true;
	peers_fault(q, ROLE_AGENT, agent->pid, why);
	if (agent == q->agents->current)
		q->agents->current = NULL; /* the master sends another */
}

void
agents_fault(struct queue *q, const struct channel *from, const char *why)
{
	agents_end(q, channel_arg(from), why);
}

static void
agents_look(evutil_socket_t fd, short what, void *arg)
{
	struct queue *q = arg;
	struct agents *a = q->agents;
	int64_t now_ms = time_monotonic_ms();
	struct worker_ref *w;

	(void)fd;
	(void)what;
	TAILQ_FOREACH(w, &a->due, entry) {
		if (now_ms < w->due_ms)
			continue;
		if (w->killed) {
			/* It is stopped, or it lies. */
			agents_end(q, w->agent,
			    "it does not end a worker that it is to end");
			continue;
		}
		log_line(LOG_ERROR,
		    "session %u: worker: does not end: it is killed",
		    w->session);
		agents_send_kill(a, w);
	}
	agents_arm(a);
}

bool
agents_worker_gone(struct queue *q, const struct channel *from,
    uint32_t session)
{
	struct agents *a = q->agents;
	struct agent *agent = channel_arg(from);
	struct worker_ref *w;

	LIST_FOREACH(w, &a->by_session[session % AGENTS_BUCKETS], hash)
		if (w->session == session && w->agent == agent)
			break;
	if (w == NULL)
		return false;
	agents_lose_worker(a, w);
	agents_dismiss(q, agent);
	return true;
}

uint32_t
agents_workers(const struct queue *q)
{
	return q->agents->workers;
}
