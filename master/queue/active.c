/* SPDX-License-Identifier: ISC */
/*
 * The active set: the messages, recipients and domains that are in memory.
 */
#include "master/queue/schedule.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "master/queue/schedule_internal.h"

uint32_t
schedule_hash(const char *text, uint32_t seed)
{
	uint32_t hash = 2166136261U ^ seed;

	for (; *text != '\0'; text++)
		hash = (hash ^ (uint8_t)*text) * 16777619U;
	return hash & (SCHEDULE_BUCKETS - 1);
}

uint32_t
schedule_active(const struct schedule *schedule)
{
	return schedule->active;
}

struct schedule_domain *
schedule_find_domain(const struct schedule *schedule, const char *name)
{
	struct schedule_domain *domain;

	LIST_FOREACH(domain, &schedule->domains_by_name[schedule_hash(name, 0)],
	    hash)
		if (strcmp(domain->name, name) == 0)
			return domain;
	return NULL;
}

struct schedule_domain *
schedule_domain(struct schedule *schedule, const char *name)
{
	struct schedule_domain *domain = schedule_find_domain(schedule, name);
	size_t size = strlen(name) + 1;

	if (domain != NULL)
		return domain;
	domain = calloc(1, sizeof(*domain) + size);
	if (domain == NULL)
		return NULL;
	memcpy(domain->name, name, size);
	LIST_INSERT_HEAD(&schedule->domains_by_name[schedule_hash(name, 0)],
	    domain, hash);
	TAILQ_INSERT_TAIL(&schedule->domains, domain, entry);
	return domain;
}

struct schedule_domain *
schedule_first_domain(struct schedule *schedule)
{
	return TAILQ_FIRST(&schedule->domains);
}

static void
schedule_drop_domain(struct schedule *schedule, struct schedule_domain *domain)
{
	LIST_REMOVE(domain, hash);
	TAILQ_REMOVE(&schedule->domains, domain, entry);
	free(domain);
}

void
schedule_sweep(struct schedule *schedule, int64_t now_ms)
{
	struct schedule_domain *domain;
	struct schedule_domain *next;
	struct schedule_destination *destination;
	struct schedule_destination *next_destination;

	for (domain = TAILQ_FIRST(&schedule->domains); domain != NULL;
	     domain = next) {
		next = TAILQ_NEXT(domain, entry);
		if (domain->loaded == 0 && !domain->has_more &&
		    domain->blocked_until_ms <= now_ms)
			schedule_drop_domain(schedule, domain);
	}
	for (destination = TAILQ_FIRST(&schedule->destinations);
	     destination != NULL; destination = next_destination) {
		next_destination = TAILQ_NEXT(destination, entry);
		schedule_release(schedule, destination, now_ms);
	}
}

uint32_t
schedule_room(const struct schedule *schedule, const char *name, int64_t now_ms)
{
	const struct schedule_domain *domain;
	uint32_t loaded;
	uint32_t others;
	uint32_t share;

	domain = schedule_find_domain(schedule, name);
	if (domain != NULL && domain->blocked_until_ms > now_ms)
		return 0;
	if (schedule->active >= schedule->limits.active_recipients)
		return 0;
	loaded = domain != NULL ? domain->loaded : 0;
	others = schedule->active - loaded;
	share = (schedule->limits.active_recipients - others) / 2;
	if (share > loaded)
		return share - loaded;
	return loaded == 0 ? 1 : 0;
}

struct schedule_message *
schedule_find_message(const struct schedule *schedule, uint64_t id)
{
	struct schedule_message *message;

	LIST_FOREACH(message,
	    &schedule->messages_by_id[id & (SCHEDULE_BUCKETS - 1)], hash)
		if (message->id == id)
			return message;
	return NULL;
}

bool
schedule_is_loaded(const struct schedule *schedule, uint64_t id, uint32_t index)
{
	const struct schedule_message *message;

	message = schedule_find_message(schedule, id);
	if (message == NULL || index >= message->nrcpts)
		return false;
	return (message->bits[index / 8] >> (index % 8) & 1) != 0;
}

static struct schedule_message *
schedule_make_message(struct schedule *schedule,
    const struct store_envelope *envelope)
{
	struct schedule_message *message;
	size_t path_size = strlen(envelope->reverse_path) + 1;
	size_t via_size = strlen(envelope->via) + 1;
	size_t parameters_size = strlen(envelope->parameters) + 1;

	message = calloc(1,
	    sizeof(*message) + path_size + via_size + parameters_size);
	if (message == NULL)
		return NULL;
	message->bits = calloc(1, envelope->nrcpts / 8 + 1);
	if (message->bits == NULL) {
		free(message);
		return NULL;
	}
	memcpy(message->text, envelope->reverse_path, path_size);
	memcpy(message->text + path_size, envelope->via, via_size);
	message->reverse_path = message->text;
	message->via = message->text + path_size;
	message->parameters = memcpy(message->text + path_size + via_size,
	    envelope->parameters, parameters_size);
	message->id = envelope->id;
	message->created_ms = envelope->created_ms;
	message->size = envelope->size;
	message->flags = envelope->flags;
	message->nrcpts = envelope->nrcpts;
	message->body_fd = -1;
	LIST_INIT(&message->groups);
	LIST_INSERT_HEAD(
	    &schedule->messages_by_id[message->id & (SCHEDULE_BUCKETS - 1)],
	    message, hash);
	return message;
}

void
schedule_drop_message(struct schedule *schedule,
    struct schedule_message *message)
{
	if (message->loaded > 0)
		return;
	LIST_REMOVE(message, hash);
	if (schedule->hooks.message_gone != NULL)
		schedule->hooks.message_gone(schedule->hooks.ctx, message);
	free(message->bits);
	free(message);
}

static struct schedule_recipient *
schedule_make_recipient(struct schedule_message *message,
    struct schedule_domain *domain, const struct store_recipient *from)
{
	struct schedule_recipient *recipient;
	size_t size = strlen(from->address) + 1;
	size_t parameters_size = strlen(from->parameters) + 1;

	recipient = calloc(1, sizeof(*recipient) + size + parameters_size);
	if (recipient == NULL)
		return NULL;
	memcpy(recipient->address, from->address, size);
	recipient->parameters = memcpy(recipient->address + size,
	    from->parameters, parameters_size);
	recipient->message = message;
	recipient->domain = domain;
	recipient->index = from->index;
	recipient->attempts = from->attempts;
	recipient->in_doubt = from->in_doubt;
	recipient->warned = (uint8_t)from->warned;
	return recipient;
}

int
schedule_add(struct schedule *schedule,
    struct schedule_destination *destination,
    const struct store_envelope *envelope, const struct store_recipient *from,
    int64_t now_ms)
{
	struct schedule_recipient *recipient = NULL;
	struct schedule_message *message;
	struct schedule_domain *domain;

	if (from->index >= envelope->nrcpts) {
		errno = EINVAL;
		return -1;
	}
	if (schedule_is_loaded(schedule, envelope->id, from->index)) {
		errno = EEXIST;
		return -1;
	}
	domain = schedule_domain(schedule, from->domain);
	if (domain == NULL)
		return -1;
	message = schedule_find_message(schedule, envelope->id);
	if (message == NULL)
		message = schedule_make_message(schedule, envelope);
	if (message == NULL)
		return -1;
	recipient = schedule_make_recipient(message, domain, from);
	if (recipient == NULL)
		goto fail;
	recipient->added_ms = now_ms;
	if (schedule_enqueue(destination, recipient, false) == -1)
		goto fail;
	message->bits[from->index / 8] |= (uint8_t)(1U << (from->index % 8));
	message->loaded++;
	domain->loaded++;
	schedule->active++;
	return 0;
fail:
	free(recipient);
	schedule_drop_message(schedule, message);
	errno = ENOMEM;
	return -1;
}

void
schedule_forget(struct schedule *schedule, struct schedule_recipient *recipient)
{
	struct schedule_message *message = recipient->message;
	uint32_t index = recipient->index;

	message->bits[index / 8] &= (uint8_t) ~(1U << (index % 8));
	message->loaded--;
	recipient->domain->loaded--;
	schedule->active--;
	free(recipient);
	schedule_drop_message(schedule, message);
}
