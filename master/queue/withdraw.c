/* SPDX-License-Identifier: ISC */
/*
 * What an operator asks of the active set: to give a recipient up, and to
 * forget why a destination is to wait.
 */
#include "master/queue/schedule.h"

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
	if (group->len == 0)
		schedule_drop_group(group);
	schedule_forget(schedule, recipient);
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
			destination->blocked_until_ms = 0;
}
