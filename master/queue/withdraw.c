/* SPDX-License-Identifier: ISC */
/*
 * What an operator asks of the active set: to give a recipient up, and to
 * forget why a destination is to wait.
 */
#include "master/queue/schedule.h"

#include <stddef.h>
#include <string.h>

#include "master/queue/schedule_internal.h"

bool
schedule_withdraw(struct schedule *schedule, uint64_t id, uint32_t index)
{
	struct schedule_recipient *recipient;
	struct schedule_destination *destination;
	struct schedule_group *group;

	recipient = schedule_find_recipient(schedule, id, index);
	if (recipient == NULL)
		return true;
	group = recipient->group;
	if (group == NULL)
		return false;
	TAILQ_REMOVE(&group->recipients, recipient, entry);
	group->len--;
	destination = group->lane->destination;
	if (group->len == 0)
		schedule_drop_group(group);
	schedule_forget(schedule, recipient);
	schedule_review(schedule, destination);
	return true;
}

void
schedule_wish(struct schedule *schedule, uint64_t id, uint32_t index,
    uint8_t verb, uint32_t uid)
{
	struct schedule_recipient *recipient;

	recipient = schedule_find_recipient(schedule, id, index);
	if (recipient == NULL)
		return;
	recipient->wish = verb;
	recipient->wish_uid = uid;
}

void
schedule_lift(struct schedule *schedule, uint32_t transport,
    const char *next_hop)
{
	struct schedule_destination *destination;
	struct schedule_destination_bucket *bucket;

	bucket = &schedule->by_next_hop[schedule_hash(next_hop, transport)];
	LIST_FOREACH(destination, bucket, hash)
		if (destination->transport == transport &&
		    strcmp(destination->next_hop, next_hop) == 0)
			schedule_block(schedule, destination, 0);
}

void
schedule_stop(struct schedule *schedule,
    struct schedule_destination *destination, bool stopped)
{
	destination->stopped = stopped;
	schedule_review(schedule, destination);
}

void
schedule_lift_domain(struct schedule *schedule, struct schedule_domain *domain)
{
	struct schedule_source *source;

	LIST_FOREACH(source, &domain->sources, of_domain)
		if (heap_holds(&source->rest))
			schedule_wake_source(schedule, source);
}

void
schedule_end_rests(struct schedule *schedule)
{
	struct heap_node *node;

	schedule->changes++;
	while ((node = heap_first(&schedule->resting)) != NULL)
		schedule_wake_source(schedule,
		    (struct schedule_source *)(void *)((char *)node -
			offsetof(struct schedule_source, rest)));
}
