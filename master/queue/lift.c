/* SPDX-License-Identifier: ISC */
/* See lift.h. */
#include "master/queue/lift.h"

#include "master/queue/queue_internal.h"
#include "master/queue/route.h"

void
lift_recipient(struct queue *q, const char *via, const char *domain)
{
	struct schedule_domain *d = schedule_find_domain(q->schedule, domain);
	const struct queue_transport *transport;
	const char *next_hop;
	uint32_t index;

	if (d != NULL)
		schedule_lift_domain(q->schedule, d);
	transport = route_transport(q, via, domain, &next_hop, &index);
	if (transport != NULL)
		schedule_lift(q->schedule, index, next_hop);
}
