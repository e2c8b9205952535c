/* SPDX-License-Identifier: ISC */
/* See count.h. */
#include "master/queue/count.h"

#include <sys/wait.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/metrics.h"
#include "common/util.h"
#include "master/queue/event.h"
#include "master/queue/notice_policy.h"
#include "master/queue/pause.h"
#include "master/queue/queue_internal.h"
#include "master/queue/route.h"

enum {
	COUNT_AGES_MAX = 2000, /* messages looked at in one sweep */
};

/* The walk through the messages of the store, some at a time. */
struct count_ages {
	uint64_t after;
	int64_t now_ms;
	int64_t oldest_ms; /* 0: none seen */
	uint64_t buckets[METRICS_BOUNDS_AGE + 1];
	uint64_t sum_s;
};

void
count_take(void *ctx, struct channel *from, const struct message *m)
{
	struct queue *q = ctx;

	(void)from;
	q->metrics = metrics_map(m->fd, true);
	fd_close(m->fd);
	if (q->metrics == NULL)
		log_line(LOG_ERROR, "nothing is counted: %s", strerror(errno));
	else
		q->ages = calloc(1, sizeof(*q->ages));
}

/* What the store and the scheduler have, as it is now. */
static void
count_gauges(struct queue *q)
{
	uint64_t counts[STORE_STATE_COUNT];
	unsigned i;

	store_count_states(q->store, counts);
	for (i = 0; i < STORE_STATE_COUNT; i++)
		metrics_set(q->metrics, METRIC_RECIPIENTS, i, counts[i]);
	metrics_set(q->metrics, METRIC_MESSAGES, 0,
	    store_count_messages(q->store));
	metrics_set(q->metrics, METRIC_SESSIONS_OPEN, 0, q->nsessions);
	metrics_set(q->metrics, METRIC_IN_MEMORY, 0,
	    schedule_active(q->schedule));
}

void
count_open(struct queue *q)
{
	if (q->metrics == NULL)
		q->metrics = metrics_private();
	if (q->metrics == NULL)
		fatal("out of memory");
	count_sweep(q);
}

void
count_clear(struct queue *q)
{
	free(q->ages);
	q->ages = NULL; /* the table is the process's to its end */
}

/* The store's order is that of arrival, but for a clock that was set. */
static int
count_age(int64_t created_ms, bool waits, void *arg)
{
	struct count_ages *ages = arg;
	int64_t age_s = (ages->now_ms - created_ms) / 1000;

	if (!waits)
		return 0;
	if (ages->oldest_ms == 0 || created_ms < ages->oldest_ms)
		ages->oldest_ms = created_ms;
	if (age_s < 0)
		age_s = 0;
	ages->buckets[metrics_bucket(&metrics_descs[METRIC_AGE], age_s)]++;
	ages->sum_s += (uint64_t)age_s;
	return 0;
}

static void
count_ages(struct queue *q)
{
	struct count_ages *ages = q->ages;

	if (ages->after == 0) {
		memset(ages, 0, sizeof(*ages));
		ages->now_ms = time_real_ms();
	}
	if (store_walk_ages(q->store, &ages->after, COUNT_AGES_MAX, count_age,
		ages) == -1) {
		ages->after = 0;
		return;
	}
	if (ages->after != 0)
		return; /* the next sweep goes on */
	metrics_set_buckets(q->metrics, METRIC_AGE, ages->buckets, ages->sum_s);
	metrics_set(q->metrics, METRIC_OLDEST, 0,
	    (uint64_t)ages->oldest_ms / 1000);
}

void
count_sweep(struct queue *q)
{
	const struct config *c = q->config;
	uint64_t left;

	metrics_set(q->metrics, METRIC_SESSIONS_LIMIT, 0,
	    (uint64_t)c->process_limit);
	metrics_set(q->metrics, METRIC_IN_MEMORY_LIMIT, 0,
	    (uint64_t)c->qmgr_recipient_active_limit);
	metrics_set(q->metrics, METRIC_DISK_LEAST, 0, c->queue_minfree);
	metrics_set(q->metrics, METRIC_BLOCKED, 0,
	    schedule_blocked(q->schedule));
	metrics_set(q->metrics, METRIC_PAUSES, 0, q->pauses->n);
	if (q->ages == NULL)
		return;
	if (store_free_octets(q->store, &left) == 0)
		metrics_set(q->metrics, METRIC_DISK_FREE, 0, left);
	count_gauges(q);
	if (store_count_kept(q->store, &left) == 0)
		metrics_set(q->metrics, METRIC_KEPT, 0, left);
	count_ages(q);
}

/* Groups. */

const char *
count_transport(const struct queue *q, const struct target *t)
{
	return q->transports[t->destination->transport].name;
}

/* As limits are shared: servers that are tried first, of one group; else the
 * route that the domain has. */
static const char *
count_group_name(const struct queue *q, const struct target *t)
{
	const struct transport *config =
	    q->transports[t->destination->transport].config;
	const struct config_mx_group *group;
	const struct plan *plan = t->plan;
	const struct route *route;
	uint32_t i;

	for (i = 0;
	     plan != NULL && q->config->nmx_groups > 0 && i < plan->count &&
	     plan->addresses[i].preference == plan->addresses[0].preference;
	     i++) {
		group = config_mx_group(q->config, plan->addresses[i].host);
		if (group != NULL)
			return group->name;
	}
	if (config == NULL || config->next_hop.kind != NEXT_HOP_MX)
		return "";
	route = route_of(q, "", t->destination->next_hop);
	return route != NULL ? route->domain : "";
}

void
count_group(struct queue *q, struct target *t)
{
	t->group = metrics_group(q->metrics, count_transport(q, t),
	    count_group_name(q, t));
}

/* Events. */

static void
count_outcome(struct queue *q, const struct event *event)
{
	struct metrics_table *m = q->metrics;
	const struct outcome *o = &event->outcome;
	unsigned i;

	if (o->status > OUTCOME_FAILED)
		return;
	metrics_add(m, METRIC_OUTCOMES, event->group, o->status, 1);
	metrics_add(m, METRIC_REPLIES, 0, metrics_label_code(o->code), 1);
	metrics_add(m, METRIC_DSN, 0, metrics_label_dsn(o->dsn), 1);
	if (o->status != OUTCOME_DELIVERED)
		metrics_add(m, METRIC_STEPS, 0, o->step, 1);
	else
		metrics_observe(m, METRIC_DELAY, event->group, 0,
		    event_total_ms(event));
	if (o->in_doubt && o->status != OUTCOME_DELIVERED)
		metrics_add(m, METRIC_DOUBTS, 0, 0, 1);
	for (i = 0; i < METRICS_LABELS_STAGE; i++)
		metrics_observe(m, METRIC_STAGES, 0, i, event->delays_ms[i]);
}

void
count_event(struct queue *q, const struct event *event)
{
	enum {
		SOURCE_CLIENT,
		SOURCE_NOTICE
	};

	switch (event->kind) {
	case EVENT_ACCEPTED:
		metrics_add(q->metrics, METRIC_ACCEPTED, 0, SOURCE_CLIENT, 1);
		break;
	case EVENT_OUTCOME:
		count_outcome(q, event);
		break;
	case EVENT_NOTICE:
		metrics_add(q->metrics, METRIC_ACCEPTED, 0, SOURCE_NOTICE, 1);
		metrics_add(q->metrics, METRIC_NOTICES, 0, event->notice_class,
		    1);
		break;
	case EVENT_KEPT:
		metrics_add(q->metrics, METRIC_NOTICES, 0, NOTICE_CLASSES, 1);
		break;
	case EVENT_ACTIVE:
	case EVENT_EXPIRED:
	case EVENT_REMOVED:
	case EVENT_CHANGED:
	case EVENT_KINDS:
		break;
	}
}

/* What is no event. */

void
count_commit(struct queue *q, uint32_t changes, int64_t us)
{
	if (changes == 0)
		return;
	metrics_observe(q->metrics, METRIC_COMMITS, 0, 0, us);
	metrics_observe(q->metrics, METRIC_CHANGES, 0, 0, changes);
	count_gauges(q);
}

void
count_store_error(struct queue *q)
{
	metrics_add(q->metrics, METRIC_STORE_ERRORS, 0, 0, 1);
}

void
count_refused(struct queue *q, unsigned code)
{
	static const unsigned codes[] = { 451, 452, 554 };
	unsigned i;

	for (i = 0; i < NELEM(codes) && codes[i] != code; i++)
		continue;
	metrics_add(q->metrics, METRIC_REFUSED, 0, i, 1);
}

void
count_session(struct queue *q, const struct session *s)
{
	const struct transport *config = session_config(s);

	metrics_add(q->metrics, METRIC_SESSIONS, 0,
	    session_protocol(config) == SESSION_LMTP ? 1 : 0, 1);
	metrics_set(q->metrics, METRIC_SESSIONS_OPEN, 0, q->nsessions);
}

/* In the order of the labels: none, then each version without and with. */
void
count_established(const struct session *s)
{
	static const char *const versions[] = { "TLSv1.2", "TLSv1.3" };
	struct metrics_table *m = s->queue->metrics;
	unsigned label = 0, i;

	if (s->tls.on) {
		for (i = 0; i < NELEM(versions); i++)
			if (strcmp(s->tls.version, versions[i]) == 0)
				break;
		label = 1 + 2 * i + (s->tls.verified != 0);
	}
	metrics_add(m, METRIC_TLS, 0, label, 1);
	if (s->tls.on && s->tls.resumed)
		metrics_add(m, METRIC_TLS_RESUMED, 0, 0, 1);
}

void
count_session_failure(struct queue *q, const struct outcome *outcome)
{
	metrics_add(q->metrics, METRIC_SESSION_FAILURES, 0,
	    outcome->step < STEP_COUNT ? outcome->step : STEP_CONNECT, 1);
}

void
count_worker_gone(struct queue *q, int status)
{
	static const int signals[] = { SIGSYS, SIGSEGV, SIGABRT, SIGBUS,
		SIGKILL };
	enum {
		BY_STATUS = NELEM(signals) + 1,
		UNFORKED
	};
	unsigned label = UNFORKED;

	if (status != -1 && WIFSIGNALED(status)) {
		for (label = 0; label < NELEM(signals); label++)
			if (signals[label] == WTERMSIG(status))
				break;
	} else if (status != -1) {
		if (WEXITSTATUS(status) <= WORKER_ALONE)
			return;
		label = BY_STATUS;
	}
	metrics_add(q->metrics, METRIC_DEATHS, 0, label, 1);
}
