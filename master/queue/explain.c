/* SPDX-License-Identifier: ISC */
/* See explain.h. */
#include "master/queue/explain.h"

#include <sys/socket.h>

#include <arpa/inet.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/duration.h"
#include "common/log.h"
#include "common/util.h"
#include "master/explain.h"
#include "master/queue/agents.h"
#include "master/queue/limit_report.h"
#include "master/queue/limits.h"
#include "master/queue/pause.h"
#include "master/queue/queue_internal.h"
#include "master/queue/route.h"
#include "master/queue/summary.h"
#include "master/queue/tell.h"
#include "master/queue/top.h"

/* A question that waits for its plan. */
struct explain {
	TAILQ_ENTRY(explain) entry;
	uint64_t request;
	uint32_t resolve_id;
	uint32_t asks;
	uint32_t generation; /* of the configuration that it was asked by */
	int64_t asked_ms;    /* when, last */
	const char *recipient;
	const char *sender;
	const char *via;
	char text[];
};

/* What is to be said, gathered. */
struct explanation {
	struct json_out out;
	const struct transport *config;
	uint32_t index; /* of the transport */
	const char *next_hop;
	const struct schedule_destination *destination; /* NULL: none now */
	enum security security;
	uint32_t variant;
	struct limit_user foreseen; /* while there is no destination */
	unsigned nwhys;
	const char *verdict; /* "now", "wait" or "fail" */
	char whys[8][QUEUE_REPLY_SIZE + 96];
	char domain[STORE_DOMAIN_SIZE];
	char text[20000];
};

static void explain_why(struct explanation *e, const char *verdict,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The gravest verdict stands. */
static void
explain_why(struct explanation *e, const char *verdict, const char *fmt, ...)
{
	va_list ap;

	if (strcmp(e->verdict, "fail") != 0)
		e->verdict = verdict;
	if (e->nwhys == NELEM(e->whys))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(e->whys[e->nwhys], sizeof(e->whys[0]), fmt, ap);
	va_end(ap);
	e->nwhys++;
}

static const struct schedule_destination *
explain_find(struct queue *q, const struct explanation *e)
{
	return schedule_find_destination(q->schedule, e->index, e->next_hop,
	    e->variant);
}

/* Where it goes; false where it goes nowhere. */
static bool
explain_begin(struct queue *q, struct explanation *e, const char *recipient,
    const char *sender, const char *via)
{
	const char *why, *dsn;

	e->verdict = "now";
	json_out_begin(&e->out, e->text, sizeof(e->text));
	json_out_string(&e->out, "recipient", recipient);
	store_address_domain(recipient, e->domain);
	json_out_string(&e->out, "domain", e->domain);
	e->config = explain_route(&e->out, q->config, via, e->domain);
	if (e->config == NULL && via[0] != '\0') {
		explain_why(e, "fail", "%s", EXPLAIN_NO_TRANSPORT);
		return false;
	}
	if (e->config == NULL ||
	    route_transport(q, via, e->domain, &e->next_hop, &e->index) ==
		NULL) {
		explain_why(e, "wait", "%s", EXPLAIN_NO_ROUTE);
		return false;
	}
	e->security = security_of(e->config, 0, sender);
	why = security_refuse(e->config, e->security, true, &dsn);
	if (why != NULL)
		explain_why(e, "fail", "%s: %s", dsn, why);
	e->variant = target_variant(e->security,
	    limits_variant(q, route_of(q, via, e->domain)));
	e->destination = explain_find(q, e);
	limits_foresee(q, e->config->name,
	    limits_variant(q, route_of(q, via, e->domain)), &e->foreseen);
	return why == NULL;
}

static void
explain_address(struct queue *q, struct explanation *e,
    const struct plan_address *a)
{
	const struct server *server;
	char text[INET6_ADDRSTRLEN] = "";
	char host[MSG_HOST_SIZE];
	size_t i;

	json_out_object(&e->out, NULL);
	if (a->family == AF_UNIX) {
		json_out_string(&e->out, "path", e->config->next_hop.path);
		json_out_close(&e->out);
		return;
	}
	(void)strlcpy(host, a->host, sizeof(host));
	(void)inet_ntop(a->family, a->addr, text, sizeof(text));
	json_out_string(&e->out, "address", text);
	json_out_number(&e->out, "port", a->port);
	json_out_string(&e->out, "host", host);
	if (e->config->next_hop.kind == NEXT_HOP_MX)
		json_out_number(&e->out, "preference", a->preference);
	json_out_string(&e->out, "tls",
	    e->config->tls_wrappermode
		? "implicit"
		: explain_tls_level(security_level(e->config, e->security)));
	server = config_server(q->config, host, a->family, a->addr);
	if (server != NULL) {
		json_out_list(&e->out, "discard_ehlo_keywords");
		for (i = 0; i < server->discard_ehlo_keywords.count; i++)
			json_out_string(&e->out, NULL,
			    server->discard_ehlo_keywords.words[i]);
		json_out_close(&e->out);
	}
	json_out_close(&e->out);
}

static void
explain_plan(struct queue *q, struct explanation *e, const struct plan *plan,
    const char *from)
{
	uint32_t i;

	json_out_object(&e->out, "plan");
	json_out_string(&e->out, "from", from);
	json_out_list(&e->out, "addresses");
	for (i = 0; i < plan->count; i++)
		explain_address(q, e, &plan->addresses[i]);
	json_out_close(&e->out);
	json_out_close(&e->out);
}

static void
explain_no_plan(struct explanation *e, const struct outcome *outcome,
    const char *reply)
{
	json_out_object(&e->out, "plan");
	json_out_string(&e->out, "from", "resolver");
	json_out_string(&e->out, "error", reply);
	json_out_string(&e->out, "dsn", outcome->dsn);
	json_out_close(&e->out);
	explain_why(e, outcome->status == OUTCOME_FAILED ? "fail" : "wait",
	    "%s: %s", outcome->dsn, reply);
}

static const struct limit_user *
explain_limit_user(const struct explanation *e)
{
	return e->destination != NULL ? &e->destination->limited : &e->foreseen;
}

/* Rates that are used up, and numbers of sessions that are reached. */
static void
explain_limits(struct queue *q, struct explanation *e)
{
	const struct schedule_destination *d = e->destination;
	enum limit_act act =
	    d != NULL && d->sessions > 0 ? LIMIT_SEND : LIMIT_CONNECT;
	char why[LIMIT_REPORT_SIZE];
	enum limit_slot slot;

	for (slot = LIMIT_TRANSPORT; slot < LIMIT_SLOT_COUNT; slot++)
		if (limit_report_why(q, explain_limit_user(e), slot, act,
			e->next_hop, why))
			explain_why(e, "wait", "%s", why);
}

/* Why its turn has not come, by what is known of its destination. */
static void
explain_waits(struct queue *q, struct explanation *e)
{
	const struct schedule_destination *d = e->destination;
	const struct target *t = d != NULL ? d->data : NULL;
	const struct pause *pause = pause_of(q, e->index, e->next_hop);
	char left[DURATION_SIZE];
	int64_t left_ms;

	explain_limits(q, e);
	if (pause != NULL)
		explain_why(e, "wait", "paused by an operator: %s%s%s",
		    pause_kind_name(pause->kind),
		    pause->name[0] != '\0' ? " " : " mail", pause->name);
	if (agents_workers(q) >= (uint32_t)q->config->process_limit)
		explain_why(e, "wait", "process_limit: all %d workers are busy",
		    q->config->process_limit);
	if (d == NULL)
		return;
	left_ms = d->blocked_until_ms - time_monotonic_ms();
	if (left_ms > 0)
		explain_why(e, "wait",
		    "the destination rests for %s more after %u failure%s "
		    "in a row, then one session probes it; new mail does so "
		    "before: %s",
		    duration_format((left_ms + 999) / 1000, left), d->failed,
		    d->failed == 1 ? "" : "s", t != NULL ? t->reply : "");
	if (d->sessions >= d->feedback.concurrency)
		explain_why(e, "wait",
		    "it has %u of the %u sessions that it may have now: the "
		    "mail waits for its turn in one of them",
		    d->sessions, d->feedback.concurrency);
	if (t != NULL && t->waits_for_login)
		explain_why(e, "wait",
		    "the secret to log in with is not there "
		    "yet");
}

/* Of a destination of which nothing is in memory. */
static void
explain_stored(struct queue *q, struct explanation *e)
{
	int64_t waiting =
	    summary_waiting_for(q, e->index, e->variant, e->next_hop);

	if (waiting != -1)
		json_out_number(&e->out, "waiting", waiting);
	summary_reply_out(q, &e->out, e->index, e->variant, e->next_hop);
}

static void
explain_destination(struct queue *q, struct explanation *e)
{
	const struct schedule_domain *domain =
	    schedule_find_domain(q->schedule, e->domain);
	int64_t waiting;
	uint32_t n = 0;

	json_out_object(&e->out, "destination");
	json_out_string(&e->out, "next_hop", e->next_hop);
	json_out_bool(&e->out, "known", e->destination != NULL);
	if (e->destination != NULL)
		top_destination_out(q, &e->out, e->destination);
	else
		explain_stored(q, e);
	limit_report_list(q, &e->out, explain_limit_user(e), e->next_hop);
	waiting = summary_waiting_of_domain(q, e->domain);
	/* Where too many domains wait, one may have no number of its own. */
	if (waiting <= 0 &&
	    store_count_waiting(q->store, e->domain, EXPLAIN_COUNT_MAX, &n) ==
		0)
		waiting = n;
	json_out_number(&e->out, "domain_waiting", waiting);
	if (n == EXPLAIN_COUNT_MAX)
		json_out_bool(&e->out, "domain_waiting_more", true);
	json_out_number(&e->out, "domain_in_memory",
	    domain != NULL ? domain->loaded : 0);
	json_out_close(&e->out);
	explain_waits(q, e);
}

/* What each host said in the last attempt that failed. */
static void
explain_tried(struct explanation *e)
{
	const struct target *t =
	    e->destination != NULL ? e->destination->data : NULL;
	const char *relay, *reply;
	size_t at = 0;

	if (t == NULL || t->tried == NULL)
		return;
	json_out_object(&e->out, "tried");
	json_out_number(&e->out, "seconds_ago",
	    (time_real_ms() - hosts_tried_time(t->tried)) / 1000);
	json_out_list(&e->out, "hosts");
	while ((relay = hosts_tried_next(t->tried, &at, &reply)) != NULL) {
		json_out_object(&e->out, NULL);
		json_out_string(&e->out, "host", relay);
		json_out_string(&e->out, "reply", reply);
		json_out_close(&e->out);
	}
	json_out_close(&e->out);
	json_out_close(&e->out);
}

static void
explain_end(struct queue *q, struct explanation *e, uint64_t request)
{
	unsigned i;

	if (e->config != NULL) {
		explain_destination(q, e);
		explain_tried(e);
	}
	json_out_string(&e->out, "verdict", e->verdict);
	json_out_list(&e->out, "why");
	for (i = 0; i < e->nwhys; i++)
		json_out_string(&e->out, NULL, e->whys[i]);
	json_out_close(&e->out);
	json_out_bool(&e->out, "done", true);
	(void)json_out_end(&e->out);
	tell(q, request, e->text, true);
}

/* A plan that needs no question, or is kept; the caller's to release. */
static struct plan *
explain_plan_at_hand(const struct explanation *e, const char **from)
{
	const struct target *t =
	    e->destination != NULL ? e->destination->data : NULL;

	*from = "configuration";
	if (e->config->next_hop.kind == NEXT_HOP_UNIX ||
	    e->config->next_hop.kind == NEXT_HOP_ADDRESS)
		return target_own_plan(&e->config->next_hop);
	*from = "kept";
	if (t != NULL && t->plan != NULL &&
	    t->plan_until_ms > time_monotonic_ms())
		return plan_hold(t->plan);
	return NULL;
}

static void
explain_drop(struct queue *q, struct explain *x)
{
	TAILQ_REMOVE(&q->explains, x, entry);
	q->nexplains--;
	free(x);
}

static void
explain_question(struct queue *q, struct explain *x)
{
	const struct transport *config;
	char domain[STORE_DOMAIN_SIZE];
	const char *next_hop;
	uint32_t index;

	x->asks++;
	x->asked_ms = time_monotonic_ms();
	x->generation = q->generation;
	store_address_domain(x->recipient, domain);
	if (route_transport(q, x->via, domain, &next_hop, &index) == NULL)
		return;
	config = q->transports[index].config;
	target_question(q, config, domain, false, x->resolve_id);
}

static char *
explain_keep(char **at, const char *text)
{
	size_t size = strlen(text) + 1;
	char *kept = memcpy(*at, text, size);

	*at += size;
	return kept;
}

static void
explain_wait(struct queue *q, const struct ask *ask)
{
	struct explain *x;
	char *at;

	x = q->nexplains < EXPLAINS_MAX
	    ? calloc(1,
		  sizeof(*x) + strlen(ask->name) + strlen(ask->sender) +
		      strlen(ask->via) + 3)
	    : NULL;
	if (x == NULL) {
		tell_refused(q, ask->request, 451, "4.3.2",
		    "too many questions wait for the resolver: try again");
		return;
	}
	at = x->text;
	x->request = ask->request;
	x->recipient = explain_keep(&at, ask->name);
	x->sender = explain_keep(&at, ask->sender);
	x->via = explain_keep(&at, ask->via);
	x->resolve_id = ++q->last_resolve;
	if (x->resolve_id == 0)
		x->resolve_id = ++q->last_resolve;
	TAILQ_INSERT_TAIL(&q->explains, x, entry);
	q->nexplains++;
	explain_question(q, x);
}

void
explain_ask(struct queue *q, const struct ask *ask)
{
	static struct explanation e;
	struct plan *plan;
	const char *from;

	memset(&e, 0, offsetof(struct explanation, text));
	if (!explain_begin(q, &e, ask->name, ask->sender, ask->via)) {
		explain_end(q, &e, ask->request);
		return;
	}
	plan = explain_plan_at_hand(&e, &from);
	if (plan == NULL) {
		explain_wait(q, ask);
		return;
	}
	explain_plan(q, &e, plan, from);
	plan_release(plan);
	explain_end(q, &e, ask->request);
}

/* The answer, or why there is none. */
static void
explain_take_plan(struct queue *q, struct explanation *e,
    const struct message *m)
{
	const struct msg_resolved *answer = m->payload;
	struct outcome outcome = answer->outcome;
	char reply[QUEUE_REPLY_SIZE];
	struct plan *plan = NULL;

	if (outcome.status == OUTCOME_DELIVERED &&
	    target_plan_ok(q, e->config, m))
		plan = plan_new(answer->count);
	if (plan != NULL) {
		memcpy(plan->addresses, m->tail, m->tail_len);
		explain_plan(q, e, plan, "resolver");
		plan_release(plan);
		return;
	}
	session_text(m, reply);
	if (outcome.status == OUTCOME_DELIVERED)
		settle_outcome(&outcome, OUTCOME_DEFERRED, STEP_RESOLVE,
		    "4.3.0");
	explain_no_plan(e, &outcome, reply);
}

static void
explain_ask_once_more(struct queue *q, struct explain *x)
{
	if (x->asks < EXPLAIN_ASKS_MAX) {
		explain_question(q, x);
		return;
	}
	tell_refused(q, x->request, 451, "4.4.3",
	    "the resolver gave no answer that can be used");
	explain_drop(q, x);
}

bool
explain_resolved(struct queue *q, const struct message *m)
{
	static struct explanation e;
	const struct msg_resolved *answer = m->payload;
	struct explain *x;

	TAILQ_FOREACH(x, &q->explains, entry)
		if (x->resolve_id == answer->id)
			break;
	if (x == NULL)
		return false;
	if (x->generation != q->generation) {
		explain_ask_once_more(q, x);
		return true;
	}
	memset(&e, 0, offsetof(struct explanation, text));
	/* The configuration may have changed meanwhile. */
	if (explain_begin(q, &e, x->recipient, x->sender, x->via))
		explain_take_plan(q, &e, m);
	explain_end(q, &e, x->request);
	explain_drop(q, x);
	return true;
}

void
explain_ask_again(struct queue *q)
{
	struct explain *x, *next;

	for (x = TAILQ_FIRST(&q->explains); x != NULL; x = next) {
		next = TAILQ_NEXT(x, entry);
		explain_ask_once_more(q, x);
	}
}

void
explain_sweep(struct queue *q, int64_t late_ms)
{
	struct explain *x, *next;

	for (x = TAILQ_FIRST(&q->explains); x != NULL; x = next) {
		next = TAILQ_NEXT(x, entry);
		if (x->asked_ms <= late_ms)
			explain_ask_once_more(q, x);
	}
}

void
explain_cancel(struct queue *q, uint64_t request)
{
	struct explain *x;

	TAILQ_FOREACH(x, &q->explains, entry)
		if (x->request == request)
			break;
	if (x != NULL)
		explain_drop(q, x);
}

void
explain_cancel_all(struct queue *q)
{
	while (!TAILQ_EMPTY(&q->explains))
		explain_drop(q, TAILQ_FIRST(&q->explains));
}
