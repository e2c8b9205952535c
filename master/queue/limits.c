/* SPDX-License-Identifier: ISC */
/*
 * From the blocks of the configuration to limits of destinations.
 */
#include "master/queue/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/util.h"
#include "master/queue/count.h"
#include "master/queue/queue_internal.h"
#include "master/queue/rates_kept.h"

struct named_limit {
	LIST_ENTRY(named_limit) entry;
	enum limits_kind kind;
	uint32_t number; /* never given twice */
	bool configured;
	struct limit *limit;
	char name[];
};

static struct named_limit *
limits_find(const struct queue *q, enum limits_kind kind, const char *name)
{
	struct named_limit *named;

	LIST_FOREACH(named, &q->named_limits, entry)
		if (named->kind == kind && strcmp(named->name, name) == 0)
			return named;
	return NULL;
}

/* Under a name its rates are kept; without memory they are not. */
static void
limits_keep(struct queue *q, struct limit *limit, const char *of,
    const char *name, const char *next_hop)
{
	if (asprintf(&limit->name, "%s %.255s%s%.255s", of, name,
		next_hop[0] != '\0' ? " " : "", next_hop) == -1)
		limit->name = NULL;
	else
		rates_kept_restore(q, limit);
}

static struct named_limit *
limits_make(struct queue *q, enum limits_kind kind, const char *name)
{
	struct named_limit *named;
	size_t size = strlen(name) + 1;

	named = calloc(1, sizeof(*named) + size);
	if (named == NULL)
		return NULL;
	named->limit = schedule_limit_new(q->schedule);
	if (named->limit == NULL) {
		free(named);
		return NULL;
	}
	named->kind = kind;
	/* Above what security_of() says, in a destination's variant. */
	named->number = ++q->last_limit;
	memcpy(named->name, name, size);
	LIST_INSERT_HEAD(&q->named_limits, named, entry);
	return named;
}

static size_t
limits_rates(const struct config_list *list, struct rate rates[LIMIT_RATES_MAX])
{
	size_t n = 0;
	size_t i;

	for (i = 0; i < list->count && n < LIMIT_RATES_MAX; i++)
		if (rate_parse(list->words[i], &rates[n]) == NULL)
			n++; /* the configuration was checked */
	return n;
}

static void
limits_use(struct queue *q, enum limits_kind kind, const char *name,
    const struct config_list *list, int sessions)
{
	static const char *const kinds[] = {
		[LIMITS_TRANSPORT] = "transport",
		[LIMITS_ROUTE] = "route",
		[LIMITS_GROUP] = "mx_group",
	};
	struct rate rates[LIMIT_RATES_MAX];
	struct named_limit *named;
	bool is_new;

	if (list->count == 0 && sessions == 0)
		return;
	named = limits_find(q, kind, name);
	is_new = named == NULL;
	if (is_new)
		named = limits_make(q, kind, name);
	if (named == NULL) {
		log_line(LOG_ERROR,
		    "out of memory: %s has no limit until the "
		    "next reload",
		    name);
		return;
	}
	named->configured = true;
	schedule_limit_change(q->schedule, named->limit, rates,
	    limits_rates(list, rates), (uint32_t)sessions, time_monotonic_ms());
	if (is_new)
		limits_keep(q, named->limit, kinds[kind], name, "");
}

/* No destination has it any more. */
static void
limits_drop(struct queue *q, struct named_limit *named)
{
	LIST_REMOVE(named, entry);
	schedule_limit_free(q->schedule, named->limit);
	free(named);
}

static struct limit *
limits_named(const struct queue *q, enum limits_kind kind, const char *name)
{
	const struct named_limit *named = limits_find(q, kind, name);

	return named != NULL && named->configured ? named->limit : NULL;
}

uint32_t
limits_variant(const struct queue *q, const struct route *route)
{
	const struct named_limit *named;

	if (route == NULL || route->rate.count == 0)
		return 0;
	named = limits_find(q, LIMITS_ROUTE, route->domain);
	return named != NULL ? named->number : 0;
}

static struct limit *
limits_of_route(const struct queue *q, uint32_t number)
{
	const struct named_limit *named;

	LIST_FOREACH(named, &q->named_limits, entry)
		if (number != 0 && named->number == number && named->configured)
			return named->limit;
	return NULL;
}

const char *
limits_name(const struct queue *q, const struct limit *limit)
{
	const struct named_limit *named;

	LIST_FOREACH(named, &q->named_limits, entry)
		if (named->limit == limit)
			return named->name;
	return NULL;
}

void
limits_foresee(const struct queue *q, const char *transport, uint32_t route,
    struct limit_user *user)
{
	enum limit_slot slot;

	memset(user, 0, sizeof(*user));
	user->limits[LIMIT_TRANSPORT] =
	    limits_named(q, LIMITS_TRANSPORT, transport);
	user->limits[LIMIT_ROUTE] = limits_of_route(q, route);
	for (slot = LIMIT_TRANSPORT; slot < LIMIT_SLOT_COUNT; slot++)
		user->count += user->limits[slot] != NULL;
}

/* A destination's own. */
static void
limits_attach_own(struct queue *q, struct target *t,
    const struct transport *config)
{
	struct schedule_destination *d = t->destination;
	const struct config_list *list = &config->destination_rate;
	const struct config_destination *block = NULL;
	struct rate rates[LIMIT_RATES_MAX];
	struct limit *limit = d->limited.limits[LIMIT_DESTINATION];
	bool is_new = limit == NULL;
	int sessions = 0;

	if (config->next_hop.kind == NEXT_HOP_MX)
		block = config_destination(q->config, d->next_hop);
	if (block != NULL && block->rate.count > 0)
		list = &block->rate;
	if (block != NULL)
		sessions = block->destination_concurrency_limit;
	if (list->count == 0 && sessions == 0) {
		schedule_set_limit(q->schedule, d, LIMIT_DESTINATION, NULL);
		return;
	}
	if (is_new)
		limit = schedule_limit_new(q->schedule);
	if (limit == NULL) {
		log_line(LOG_ERROR, "out of memory: %s has no limit",
		    d->next_hop);
		return;
	}
	limit->goes = true;
	schedule_limit_change(q->schedule, limit, rates,
	    limits_rates(list, rates), (uint32_t)sessions, time_monotonic_ms());
	if (is_new)
		limits_keep(q, limit, "destination", config->name, d->next_hop);
	schedule_set_limit(q->schedule, d, LIMIT_DESTINATION, limit);
}

void
limits_attach(struct queue *q, struct target *t)
{
	struct schedule_destination *d = t->destination;
	const struct transport *config = q->transports[d->transport].config;
	enum limit_slot slot;

	if (config == NULL) { /* nothing goes there */
		for (slot = LIMIT_TRANSPORT; slot < LIMIT_SLOT_COUNT; slot++)
			schedule_set_limit(q->schedule, d, slot, NULL);
		return;
	}
	schedule_set_limit(q->schedule, d, LIMIT_TRANSPORT,
	    limits_named(q, LIMITS_TRANSPORT, config->name));
	schedule_set_limit(q->schedule, d, LIMIT_ROUTE,
	    limits_of_route(q, target_route(t)));
	limits_attach_own(q, t, config);
	limits_attach_group(q, t);
}

/* By the servers that are tried first: all of one preference. */
void
limits_attach_group(struct queue *q, struct target *t)
{
	const struct config_mx_group *group = NULL;
	const struct plan *plan = t->plan;
	uint32_t i;

	for (i = 0; plan != NULL && q->config->nmx_groups > 0 &&
	     group == NULL && i < plan->count &&
	     plan->addresses[i].preference == plan->addresses[0].preference;
	     i++)
		group = config_mx_group(q->config, plan->addresses[i].host);
	schedule_set_limit(q->schedule, t->destination, LIMIT_GROUP,
	    group != NULL ? limits_named(q, LIMITS_GROUP, group->name) : NULL);
	count_group(q, t);
}

static void
limits_attach_all(struct queue *q)
{
	struct schedule_destination *d;

	for (d = schedule_first_destination(q->schedule); d != NULL;
	     d = TAILQ_NEXT(d, entry))
		if (d->data != NULL)
			limits_attach(q, d->data);
}

void
limits_configure(struct queue *q)
{
	const struct config *c = q->config;
	struct named_limit *named, *next;
	size_t i;

	LIST_FOREACH(named, &q->named_limits, entry)
		named->configured = false;
	for (i = 0; i < c->ntransports; i++)
		limits_use(q, LIMITS_TRANSPORT, c->transports[i].name,
		    &c->transports[i].rate, 0);
	for (i = 0; i < c->nroutes; i++)
		limits_use(q, LIMITS_ROUTE, c->routes[i].domain,
		    &c->routes[i].rate, 0);
	for (i = 0; i < c->nmx_groups; i++)
		limits_use(q, LIMITS_GROUP, c->mx_groups[i].name,
		    &c->mx_groups[i].rate, c->mx_groups[i].concurrency_limit);
	limits_attach_all(q);
	for (named = LIST_FIRST(&q->named_limits); named != NULL;
	     named = next) {
		next = LIST_NEXT(named, entry);
		if (!named->configured)
			limits_drop(q, named);
	}
}

/* The limits themselves go with the schedule. */
void
limits_clear(struct queue *q)
{
	struct named_limit *named;

	while ((named = LIST_FIRST(&q->named_limits)) != NULL) {
		LIST_REMOVE(named, entry);
		free(named);
	}
}
