/* SPDX-License-Identifier: ISC */
/* See pause.h. */
#include "master/queue/pause.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/log.h"
#include "common/util.h"
#include "master/queue/queue_internal.h"
#include "master/queue/tell.h"

const char *
pause_kind_name(enum pause_kind kind)
{
	static const char *const names[] = { [PAUSE_ALL] = "all",
		[PAUSE_TRANSPORT] = "transport",
		[PAUSE_DESTINATION] = "destination" };

	return kind < PAUSE_ANY ? names[kind] : "kind?";
}

static int
pause_add(struct pauses *pauses, enum pause_kind kind, const char *name,
    int64_t since_ms)
{
	struct pause *p;

	if (pauses->n == PAUSES_MAX) {
		errno = ENOSPC;
		return -1;
	}
	p = &pauses->list[pauses->n++];
	p->kind = kind;
	p->since_ms = since_ms;
	(void)strlcpy(p->name, name, sizeof(p->name));
	return 0;
}

static int
pause_load(uint32_t kind, const char *name, int64_t since_ms, void *arg)
{
	if (kind >= PAUSE_ANY)
		return 0; /* of a later posternd */
	return pause_add(arg, (enum pause_kind)kind, name, since_ms);
}

void
pause_open(struct queue *q)
{
	q->pauses = calloc(1, sizeof(*q->pauses));
	if (q->pauses == NULL)
		fatal("out of memory");
	if (store_list_pauses(q->store, pause_load, q->pauses) == -1)
		fatal("what is paused cannot be read: %s",
		    store_error(q->store));
	if (q->pauses->n > 0)
		log_line(LOG_WARN,
		    "%u pauses hold mail back: see postern status",
		    q->pauses->n);
}

static bool
pause_covers(const struct queue *q, const struct pause *p, uint32_t transport,
    const char *next_hop)
{
	const struct queue_transport *t = &q->transports[transport];

	if (p->kind == PAUSE_ALL)
		return true;
	if (p->kind == PAUSE_TRANSPORT)
		return strcmp(p->name, t->name) == 0;
	if (t->config != NULL && t->config->next_hop.kind != NEXT_HOP_MX)
		return strcasecmp(p->name, t->config->server) == 0;
	return strcasecmp(p->name, next_hop) == 0;
}

const struct pause *
pause_of(const struct queue *q, uint32_t transport, const char *next_hop)
{
	uint32_t i;

	for (i = 0; i < q->pauses->n; i++)
		if (pause_covers(q, &q->pauses->list[i], transport, next_hop))
			return &q->pauses->list[i];
	return NULL;
}

/* What waits there is the store's again. */
static void
pause_unload(struct queue *q, struct schedule_destination *d)
{
	struct schedule_recipients recipients =
	    TAILQ_HEAD_INITIALIZER(recipients);

	schedule_suspend(q->schedule, d, &recipients);
	schedule_put_back(q->schedule, &recipients);
}

/* Sessions take nothing new: what they have sent they finish. */
static void
pause_quit_sessions(struct queue *q)
{
	struct session *s;

	TAILQ_FOREACH(s, &q->sessions, entry)
		if (s->target->destination->stopped)
			session_quit(s);
}

void
pause_apply(struct queue *q)
{
	struct schedule_destination *d;
	bool was, is;

	for (d = schedule_first_destination(q->schedule); d != NULL;
	     d = TAILQ_NEXT(d, entry)) {
		was = d->stopped;
		is = pause_of(q, d->transport, d->next_hop) != NULL;
		if (is != was)
			schedule_stop(q->schedule, d, is);
		if (is && !was)
			pause_unload(q, d);
	}
	pause_quit_sessions(q);
	schedule_end_rests(
	    q->schedule); /* what is still stopped is left again */
	q->scan_again = true;
	queue_pump_soon(q);
}

static struct pause *
pause_find(struct queue *q, enum pause_kind kind, const char *name)
{
	uint32_t i;

	for (i = 0; i < q->pauses->n; i++)
		if (q->pauses->list[i].kind == kind &&
		    strcasecmp(q->pauses->list[i].name, name) == 0)
			return &q->pauses->list[i];
	return NULL;
}

/*
 * Whether any mail goes there; if not, why holds what to say instead.
 *
 * The queue's listings show a transport with a server under the transport's own name.
 * As a domain that name would be one of the route for all, and the pause would stop
 * nothing.
 */
static bool
pause_is_destination(const struct queue *q, const char *name, char *why,
    size_t size)
{
	const struct transport *t, *named = config_transport(q->config, name);
	const struct route *route = config_route_of(q->config, name);
	size_t i;

	for (i = 0; i < q->config->ntransports; i++)
		if (strcasecmp(q->config->transports[i].server, name) == 0)
			return true;
	if (named != NULL &&
	    (route == NULL || strcmp(route->domain, "*") == 0)) {
		(void)snprintf(why, size,
		    "%s is a transport: use postern pause --transport %s", name,
		    named->name);
		return false;
	}
	t = config_route(q->config, name);
	if (t != NULL && t->next_hop.kind == NEXT_HOP_MX)
		return true;
	if (t == NULL)
		(void)snprintf(why, size, "no route leads there");
	else
		(void)snprintf(why, size,
		    "mail for %s uses transport %s: use postern pause "
		    "--transport %s, or --destination %s, which also pauses "
		    "other mail to that server",
		    name, t->name, t->name, t->server);
	return false;
}

/* Whether a route to all is the only thing that leads there, and no mail does. */
static bool
pause_is_unheard_of(const struct queue *q, const struct ask *ask)
{
	const struct route *route;
	uint32_t n = 0;
	size_t i;

	if (ask->kind != PAUSE_DESTINATION)
		return false;
	for (i = 0; i < q->config->ntransports; i++)
		if (strcasecmp(q->config->transports[i].server, ask->name) == 0)
			return false;
	route = config_route_of(q->config, ask->name);
	return route != NULL && strcmp(route->domain, "*") == 0 &&
	    store_count_waiting(q->store, ask->name, 1, &n) == 0 && n == 0;
}

static void
pause_tell_end(struct queue *q, const struct ask *ask, uint32_t changed,
    bool unheard_of)
{
	struct json_out out;
	char text[128];

	json_out_begin(&out, text, sizeof(text));
	json_out_number(&out, "changed", changed);
	if (unheard_of)
		json_out_string(&out, "unknown", "destination");
	json_out_bool(&out, "done", true);
	(void)json_out_end(&out);
	tell(q, ask->request, text, true);
}

static void
pause_log(const struct ask *ask, const char *what, const struct pause *p)
{
	char name[2 * MSG_HOST_SIZE];

	(void)log_escape(name, sizeof(name), p->name, strlen(p->name));
	log_line(LOG_INFO, "%s: uid=%u %s%s%s", what, ask->uid,
	    pause_kind_name(p->kind), name[0] != '\0' ? " " : "", name);
}

/* With the names that there are, as far as they fit. */
static const char *
pause_no_transport(const struct queue *q, const char *name, char *why,
    size_t size)
{
	size_t i;

	(void)snprintf(why, size,
	    "no such transport is in the configuration: %s; there are", name);
	for (i = 0; i < q->config->ntransports; i++) {
		(void)strlcat(why, i > 0 ? ", " : " ", size);
		(void)strlcat(why, q->config->transports[i].name, size);
	}
	return why;
}

/* Why it cannot be paused; NULL: it can. */
static const char *
pause_refuse(struct queue *q, const struct ask *ask, char *why, size_t size)
{
	if (ask->kind >= PAUSE_ANY || strlen(ask->name) >= MSG_HOST_SIZE)
		return "say what: all, a transport or a destination";
	if (ask->kind == PAUSE_TRANSPORT &&
	    config_transport(q->config, ask->name) == NULL)
		return pause_no_transport(q, ask->name, why, size);
	if (ask->kind == PAUSE_DESTINATION &&
	    !pause_is_destination(q, ask->name, why, size))
		return why;
	if (q->pauses->n == PAUSES_MAX)
		return "too many pauses: resume something first";
	return NULL;
}

void
pause_ask(struct queue *q, const struct ask *ask)
{
	char text[512];
	const char *why = pause_refuse(q, ask, text, sizeof(text));
	int64_t now_ms = time_real_ms();

	if (why != NULL) {
		tell_refused(q, ask->request, 550, "5.5.4", why);
		return;
	}
	if (pause_find(q, ask->kind, ask->name) != NULL) {
		pause_tell_end(q, ask, 0, false);
		return;
	}
	if (store_set_pause(q->store, ask->kind, ask->name, now_ms) == -1) {
		tell_refused(q, ask->request, 451, "4.3.0",
		    "the queue cannot be written");
		return;
	}
	(void)pause_add(q->pauses, ask->kind, ask->name, now_ms);
	pause_log(ask, "pause", &q->pauses->list[q->pauses->n - 1]);
	pause_apply(q);
	pause_tell_end(q, ask, 1, pause_is_unheard_of(q, ask));
}

static bool
pause_is_meant(const struct pause *p, const struct ask *ask)
{
	if (ask->kind == PAUSE_ALL)
		return true;
	return (ask->kind == PAUSE_ANY || ask->kind == p->kind) &&
	    strcasecmp(p->name, ask->name) == 0;
}

/* What was named is not paused: what is, as far as it fits. */
static void
pause_tell_none(struct queue *q, const struct ask *ask)
{
	char why[400];
	uint32_t i;

	(void)snprintf(why, sizeof(why), "%s is not paused; %s", ask->name,
	    q->pauses->n > 0 ? "paused: " : "nothing is");
	for (i = 0; i < q->pauses->n; i++) {
		const struct pause *p = &q->pauses->list[i];

		(void)strlcat(why, i > 0 ? ", " : "", sizeof(why));
		(void)strlcat(why, pause_kind_name(p->kind), sizeof(why));
		(void)strlcat(why, p->name[0] != '\0' ? " " : "", sizeof(why));
		(void)strlcat(why, p->name, sizeof(why));
	}
	tell_refused(q, ask->request, 550, "5.5.4", why);
}

void
pause_ask_resume(struct queue *q, const struct ask *ask)
{
	struct pauses *all = q->pauses;
	uint32_t i, changed = 0;

	for (i = all->n; i > 0; i--) {
		struct pause *p = &all->list[i - 1];

		if (!pause_is_meant(p, ask))
			continue;
		if (store_set_pause(q->store, p->kind, p->name, 0) == -1) {
			log_line(LOG_ERROR, "the queue's store: %s",
			    store_error(q->store));
			break;
		}
		pause_log(ask, "resume", p);
		*p = all->list[--all->n];
		changed++;
	}
	if (changed > 0)
		pause_apply(q);
	if (i > 0)
		tell_refused(q, ask->request, 451, "4.3.0",
		    "the queue cannot be written");
	else if (changed == 0 && ask->kind != PAUSE_ALL)
		pause_tell_none(q, ask);
	else
		pause_tell_end(q, ask, changed, false);
}

void
pause_ask_list(struct queue *q, const struct ask *ask)
{
	const struct pause *p;
	struct json_out out;
	char text[1024];
	uint32_t i;

	for (i = 0; i < q->pauses->n; i++) {
		p = &q->pauses->list[i];
		json_out_begin(&out, text, sizeof(text));
		json_out_string(&out, "paused", pause_kind_name(p->kind));
		json_out_string(&out, "name", p->name);
		json_out_number(&out, "since_ms", p->since_ms);
		(void)json_out_end(&out);
		tell(q, ask->request, text, false);
	}
	tell(q, ask->request, "{\"done\":true}", true);
}
