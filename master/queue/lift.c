/* SPDX-License-Identifier: ISC */
/* See lift.h. */
#include "master/queue/lift.h"

#include "master/queue/queue_internal.h"

void
lift_recipient(struct queue *q, const char *via, const char *domain)
{
	struct schedule_domain *d = schedule_find_domain(q->schedule, domain);
	const struct queue_transport *transport;
	const char *next_hop;
	uint32_t index;

	if (d != NULL)
		d->blocked_until_ms = 0;
	transport = queue_route(q, via, domain, &next_hop, &index);
	if (transport != NULL)
		schedule_lift(q->schedule, index, next_hop);
	q->wake_seen_ms = 0; /* what was to be waited for is to be seen anew */
}
