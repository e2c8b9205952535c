/* SPDX-License-Identifier: ISC */
/*
 * What an operator asks of the active set: to give a recipient up, and to
 * forget why a destination is to wait.
 */
#include "master/queue/schedule.h"

#include <stddef.h>
#include <string.h>

#include "master/queue/schedule_internal.h"

static struct schedule_recipient *
withdraw_find(const struct schedule_group *group, uint32_t index)
{
	struct schedule_recipient *recipient;

	STAILQ_FOREACH(recipient, &group->recipients, entry)
		if (recipient->index == index)
			return recipient;
	return NULL;
}

bool
schedule_withdraw(struct schedule *schedule, uint64_t id, uint32_t index)
{
	struct schedule_recipient *recipient = NULL;
	struct schedule_destination *destination;
	const struct schedule_message *message;
	struct schedule_group *group;

	if (!schedule_is_loaded(schedule, id, index))
		return true;
	message = schedule_find_message(schedule, id);
	LIST_FOREACH(group, &message->groups, of_message) {
		recipient = withdraw_find(group, index);
		if (recipient != NULL)
			break;
	}
	if (recipient == NULL)
		return false;
	STAILQ_REMOVE(&group->recipients, recipient, schedule_recipient, entry);
	group->len--;
	destination = group->lane->destination;
	if (group->len == 0)
		schedule_drop_group(group);
	schedule_forget(schedule, recipient);
	schedule_review(schedule, destination);
	return true;
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
