/* SPDX-License-Identifier: ISC */
/*
 * Routes, for the scheduler.
 */
#include "master/queue/route.h"

#include <stdio.h>

#include "master/queue/queue_internal.h"
#include "master/queue/retry.h"

const struct route *
route_of(const struct queue *q, const char *via, const char *domain)
{
	return via[0] == '\0' ? config_route_of(q->config, domain) : NULL;
}

const struct queue_transport *
route_transport(struct queue *q, const char *via, const char *domain,
    const char **hopp, uint32_t *indexp)
{
	const struct transport *transport;
	uint32_t i;

	transport = via[0] != '\0' ? config_transport(q->config, via)
				   : config_route(q->config, domain);
	if (transport == NULL)
		return NULL;
	/* An address without a domain has no MX. */
	if (transport->next_hop.kind == NEXT_HOP_MX && domain[0] == '\0')
		return NULL;
	*hopp =
	    transport->next_hop.kind == NEXT_HOP_MX ? domain : transport->name;
	for (i = 0; i < q->ntransports; i++)
		if (q->transports[i].config == transport) {
			*indexp = i;
			return &q->transports[i];
		}
	return NULL;
}

void
route_why_not(const struct queue *q, const char *via, const char *domain,
    char why[static ROUTE_WHY_SIZE])
{
	const struct transport *transport;

	transport = via[0] != '\0' ? config_transport(q->config, via)
				   : config_route(q->config, domain);
	if (transport != NULL)
		(void)snprintf(why, ROUTE_WHY_SIZE,
		    "an address without a domain has no MX, and transport %s "
		    "has no server",
		    transport->name);
	else if (via[0] != '\0')
		(void)snprintf(why, ROUTE_WHY_SIZE,
		    "the configuration has no transport %s", via);
	else
		(void)snprintf(why, ROUTE_WHY_SIZE,
		    "the configuration has no route for %s", domain);
}

const char *
route_via(const struct store_envelope *envelope,
    const struct store_recipient *recipient)
{
	return recipient->via[0] != '\0' ? recipient->via : envelope->via;
}

static const struct route *
route_of_recipient(const struct queue *q, const char *via,
    const char *recipient)
{
	char domain[STORE_DOMAIN_SIZE];

	store_address_domain(recipient, domain);
	return route_of(q, via, domain);
}

/* Whether its operator chose the times. */
static bool
route_has_schedule(const struct route *route)
{
	return route != NULL && route->retry_schedule.count > 0;
}

/* Without chance. */
static int64_t
route_wait_ms(const struct queue *q, const struct route *route,
    uint32_t attempts)
{
	int64_t ms = -1;

	if (route != NULL)
		ms = retry_step_ms(route->retry_schedule.words,
		    route->retry_schedule.count, attempts);
	return ms != -1 ? ms : schedule_retry_ms(&q->limits, attempts, 0);
}

int64_t
route_longest_wait_ms(const struct queue *q)
{
	int64_t longest = q->limits.maximal_backoff_ms;
	int64_t ms;
	size_t i;

	for (i = 0; i < q->config->nroutes; i++) {
		ms = route_wait_ms(q, &q->config->routes[i], UINT32_MAX);
		if (ms > longest)
			longest = ms;
	}
	return longest;
}

int64_t
route_retry_ms(const struct queue *q, uint64_t message, const char *via,
    const char *recipient, uint32_t attempts, bool brief)
{
	const struct route *route = route_of_recipient(q, via, recipient);
	int64_t brief_ms =
	    retry_brief_ms(attempts, q->limits.minimal_backoff_ms);
	int64_t ms = retry_vary_ms(route_wait_ms(q, route, attempts),
	    route != NULL ? (unsigned)route->retry_jitter : RETRY_JITTER,
	    retry_chance(message, attempts));

	return brief && !route_has_schedule(route) && ms > brief_ms ? brief_ms
								    : ms;
}

int64_t
route_lifetime_ms(const struct queue *q, const char *via, const char *recipient)
{
	const struct route *route = route_of_recipient(q, via, recipient);

	return 1000 *
	    (int64_t)(route != NULL ? route->maximal_queue_lifetime
				    : q->config->maximal_queue_lifetime);
}

int64_t
route_least_lifetime_ms(const struct queue *q)
{
	int least = q->config->maximal_queue_lifetime;
	size_t i;

	if (q->config->bounce_queue_lifetime < least)
		least = q->config->bounce_queue_lifetime;
	for (i = 0; i < q->config->nroutes; i++)
		if (q->config->routes[i].maximal_queue_lifetime < least)
			least = q->config->routes[i].maximal_queue_lifetime;
	return (int64_t)least * 1000;
}

int64_t
route_block_ms(void *ctx, const struct schedule_destination *destination)
{
	const struct queue *q = ctx;
	const struct transport *config =
	    q->transports[destination->transport].config;
	const struct route *route = NULL;

	/* Several routes may lead to a server of the configuration. */
	if (config != NULL && config->next_hop.kind == NEXT_HOP_MX)
		route = route_of(q, "", destination->next_hop);
	return route_wait_ms(q, route, 1);
}
