/* SPDX-License-Identifier: ISC */
/*
 * The active set: the messages, recipients and domains that are in memory.
 */
#include "master/queue/schedule.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "master/queue/schedule_internal.h"

uint32_t
schedule_hash(const char *text, uint32_t seed)
{
	return (uint32_t)hash_octets(text, strlen(text), seed) &
	    (SCHEDULE_BUCKETS - 1);
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

static struct schedule_domain *
domain_make(struct schedule *schedule, const char *name)
{
	struct schedule_domain *domain;
	size_t size = strlen(name) + 1;

	domain = calloc(1, sizeof(*domain) + size);
	if (domain == NULL)
		return NULL;
	memcpy(domain->name, name, size);
	LIST_INIT(&domain->sources);
	LIST_INSERT_HEAD(&schedule->domains_by_name[schedule_hash(name, 0)],
	    domain, hash);
	return domain;
}

static void
domain_drop(struct schedule_domain *domain)
{
	if (!LIST_EMPTY(&domain->sources))
		return;
	LIST_REMOVE(domain, hash);
	free(domain);
}

/* Sources. */

static struct schedule_source *
source_find(const struct schedule *schedule, const char *name, uint32_t lane)
{
	struct schedule_source *source;

	LIST_FOREACH(source,
	    &schedule->sources_by_lane[schedule_hash(name, lane)], hash)
		if (source->lane == lane &&
		    strcmp(source->domain->name, name) == 0)
			return source;
	return NULL;
}

static void
source_drop(struct schedule *schedule, struct schedule_source *source)
{
	struct schedule_domain *domain = source->domain;

	if (source->idle) {
		TAILQ_REMOVE(&schedule->idle_sources, source, entry);
		schedule->nidle_sources--;
	} else if (source->listed) {
		TAILQ_REMOVE(&schedule->more, source, entry);
		schedule->nmore--;
	}
	heap_remove(&schedule->resting, &source->rest);
	heap_unreserve(&schedule->resting);
	LIST_REMOVE(source, of_domain);
	LIST_REMOVE(source, hash);
	schedule->nsources--;
	free(source);
	domain_drop(domain);
}

/* Puts a source on the list where it belongs. */
static void
source_review(struct schedule *schedule, struct schedule_source *source)
{
	bool idle = !source->has_more && source->loaded == 0;
	bool listed = source->has_more && !heap_holds(&source->rest);

	if (source->idle && !idle) {
		TAILQ_REMOVE(&schedule->idle_sources, source, entry);
		schedule->nidle_sources--;
	}
	if (source->listed && !listed) {
		TAILQ_REMOVE(&schedule->more, source, entry);
		schedule->nmore--;
	}
	if (idle && !source->idle) {
		TAILQ_INSERT_TAIL(&schedule->idle_sources, source, entry);
		schedule->nidle_sources++;
	}
	if (listed && !source->listed) {
		TAILQ_INSERT_TAIL(&schedule->more, source, entry);
		schedule->nmore++;
		schedule->looked = 0;
	}
	source->idle = idle;
	source->listed = listed;
}

static struct schedule_source *
source_make(struct schedule *schedule, const char *name, uint32_t lane)
{
	struct schedule_source *source;
	struct schedule_domain *domain = schedule_find_domain(schedule, name);

	if (domain == NULL)
		domain = domain_make(schedule, name);
	if (domain == NULL)
		return NULL;
	source = calloc(1, sizeof(*source));
	if (source == NULL || heap_reserve(&schedule->resting) == -1) {
		free(source);
		domain_drop(domain);
		return NULL;
	}
	source->domain = domain;
	source->lane = lane;
	source->left_until_ms = INT64_MAX;
	LIST_INSERT_HEAD(&domain->sources, source, of_domain);
	LIST_INSERT_HEAD(&schedule->sources_by_lane[schedule_hash(name, lane)],
	    source, hash);
	schedule->nsources++;
	source_review(schedule, source);
	return source;
}

/* Where there are too many, one that rests is forgotten: the store has it. */
static bool
source_forget_resting(struct schedule *schedule)
{
	struct heap_node *node = heap_first(&schedule->resting);
	struct schedule_source *source;

	if (node == NULL)
		return false;
	source = (struct schedule_source *)(void *)((char *)node -
	    offsetof(struct schedule_source, rest));
	if (source->loaded > 0) {
		schedule_wake_source(schedule, source);
		return source_forget_resting(schedule);
	}
	source_drop(schedule, source);
	return true;
}

struct schedule_source *
schedule_source(struct schedule *schedule, const char *domain, uint32_t lane)
{
	struct schedule_source *source = source_find(schedule, domain, lane);

	if (source != NULL)
		return source;
	while (schedule->nidle_sources >= SCHEDULE_IDLE_SOURCES_MAX)
		source_drop(schedule, TAILQ_FIRST(&schedule->idle_sources));
	if (schedule->nsources >=
		schedule->limits.active_recipients + SCHEDULE_SOURCES_MORE &&
	    !source_forget_resting(schedule)) {
		errno = ENOSPC;
		return NULL;
	}
	return source_make(schedule, domain, lane);
}

void
schedule_set_more(struct schedule *schedule, struct schedule_source *source,
    bool has_more)
{
	source->has_more = has_more;
	source_review(schedule, source);
}

bool
schedule_has_source(const struct schedule *schedule)
{
	return schedule->looked < schedule->nmore;
}

struct schedule_source *
schedule_next_source(struct schedule *schedule)
{
	struct schedule_source *source = TAILQ_FIRST(&schedule->more);

	if (!schedule_has_source(schedule))
		return NULL;
	schedule->looked++;
	TAILQ_REMOVE(&schedule->more, source, entry);
	TAILQ_INSERT_TAIL(&schedule->more, source, entry);
	return source;
}

void
schedule_sources_changed(struct schedule *schedule)
{
	schedule->looked = 0;
}

static void
source_rewind(struct schedule_source *source)
{
	memset(&source->cursor, 0, sizeof(source->cursor));
	source->left = 0;
	source->left_until_ms = INT64_MAX;
	source->seen = false;
}

void
schedule_put_back(struct schedule *schedule,
    struct schedule_recipients *recipients)
{
	struct schedule_recipient *recipient;

	while ((recipient = TAILQ_FIRST(recipients)) != NULL) {
		TAILQ_REMOVE(recipients, recipient, entry);
		source_rewind(recipient->source);
		schedule_set_more(schedule, recipient->source, true);
		schedule_forget(schedule, recipient);
	}
}

void
schedule_rewind(struct schedule *schedule)
{
	struct schedule_source *source;
	size_t i;

	for (i = 0; i < SCHEDULE_BUCKETS; i++)
		LIST_FOREACH(source, &schedule->sources_by_lane[i], hash)
			source_rewind(source);
	schedule_sources_changed(schedule);
}

/* Rows that are left in the store. */

void
schedule_look_begins(struct schedule *schedule, struct schedule_source *source)
{
	bool is_old = source->left > 0 && source->left_at != schedule->changes;

	/* With nothing of it in memory, nothing can come twice; and what is in
	 * memory is known. */
	if (source->seen || is_old ||
	    (source->loaded == 0 && (!source->has_more || source->left == 0)))
		source_rewind(source);
}

void
schedule_leave(struct schedule *schedule, struct schedule_source *source,
    int64_t until_ms)
{
	source->left++;
	source->left_at = schedule->changes;
	if (until_ms < source->left_until_ms)
		source->left_until_ms = until_ms;
}

static void
source_rest(struct schedule *schedule, struct schedule_source *source,
    int64_t until_ms)
{
	source->rests_until_ms = until_ms;
	heap_put(&schedule->resting, &source->rest, until_ms);
	source_review(schedule, source);
}

/*
 * Reading a row takes some 10 us, and each source that rests is read so often:
 * all of it is to take a hundredth of our time.
 */
void
schedule_look_ends(struct schedule *schedule, struct schedule_source *source,
    uint32_t left, bool all_seen, int64_t now_ms)
{
	int64_t until_ms = now_ms + left;

	if (all_seen && source->left > 0) {
		source->seen = true;
		until_ms = now_ms + SCHEDULE_LOOK_MS + source->left +
		    schedule->resting.len;
		if (until_ms > source->left_until_ms)
			until_ms = source->left_until_ms;
		if (until_ms < now_ms + SCHEDULE_LOOK_LEAST_MS)
			until_ms = now_ms + SCHEDULE_LOOK_LEAST_MS;
	}
	schedule_set_more(schedule, source, !all_seen || source->left > 0);
	if (until_ms > now_ms)
		source_rest(schedule, source, until_ms);
}

void
schedule_wake_source(struct schedule *schedule, struct schedule_source *source)
{
	heap_remove(&schedule->resting, &source->rest);
	source->rests_until_ms = 0;
	source_review(schedule, source);
}

static void
sweep_sources(struct schedule *schedule)
{
	uint32_t n = schedule->nidle_sources;

	while (n-- > 0)
		source_drop(schedule, TAILQ_FIRST(&schedule->idle_sources));
}

void
schedule_sweep(struct schedule *schedule, int64_t now_ms)
{
	schedule_turn(schedule, now_ms);
	sweep_sources(schedule);
	schedule_sweep_destinations(schedule, now_ms);
}

void
schedule_clear_active(struct schedule *schedule)
{
	struct schedule_source *source;

	schedule_end_rests(schedule);
	while ((source = TAILQ_FIRST(&schedule->more)) != NULL)
		schedule_set_more(schedule, source, false);
	sweep_sources(schedule);
	heap_clear(&schedule->resting);
}

/* Room. */

/* What the store may fill: the last eighth is for what has just come in. */
static uint32_t
store_places(const struct schedule *schedule)
{
	return schedule->limits.active_recipients -
	    schedule->limits.active_recipients / 8;
}

bool
schedule_has_places(const struct schedule *schedule)
{
	return schedule->active < schedule->limits.active_recipients;
}

bool
schedule_is_hungry(struct schedule *schedule)
{
	uint32_t places = store_places(schedule);

	if (schedule->active >= places)
		schedule->filling = false;
	else if (schedule->active < places - places / 8)
		schedule->filling = true;
	return schedule->filling;
}

/* Half of what all others leave free, less what it has. */
static uint32_t
share(uint32_t places, uint32_t all, uint32_t own)
{
	uint32_t others = all - own;
	uint32_t half = places > others ? (places - others) / 2 : 0;

	return half > own ? half - own : 0;
}

uint32_t
schedule_room(const struct schedule *schedule, const char *name, uint32_t lane,
    bool fresh, int64_t now_ms)
{
	const struct schedule_domain *domain;
	const struct schedule_source *source;
	uint32_t places;
	uint32_t loaded;
	uint32_t in_lane;
	uint32_t room;
	uint32_t of_domain;

	domain = schedule_find_domain(schedule, name);
	source = source_find(schedule, name, lane);
	if (source != NULL && source->rests_until_ms > now_ms)
		return 0;
	places =
	    fresh ? schedule->limits.active_recipients : store_places(schedule);
	if (schedule->active >= places)
		return 0;
	loaded = domain != NULL ? domain->loaded : 0;
	in_lane = source != NULL ? source->loaded : 0;
	of_domain = loaded + share(places, schedule->active, loaded);
	room = share(of_domain, loaded, in_lane);
	return room == 0 && in_lane == 0 ? 1 : room;
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

/* Neighbours lie side by side. */
static size_t
recipient_bucket(uint64_t id, uint32_t index)
{
	uint64_t key = id * 2654435761U;

	return ((key ^ key >> 16) + index) % SCHEDULE_ACTIVE_BUCKETS;
}

struct schedule_recipient *
schedule_find_recipient(const struct schedule *schedule, uint64_t id,
    uint32_t index)
{
	struct schedule_recipient *recipient;

	LIST_FOREACH(recipient,
	    &schedule->recipients[recipient_bucket(id, index)], hash)
		if (recipient->index == index && recipient->message->id == id)
			return recipient;
	return NULL;
}

bool
schedule_is_loaded(const struct schedule *schedule, uint64_t id, uint32_t index)
{
	return schedule_find_recipient(schedule, id, index) != NULL;
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
	LIST_INSERT_HEAD(
	    &schedule->messages_by_id[message->id & (SCHEDULE_BUCKETS - 1)],
	    message, hash);
	return message;
}

/* Frees a message without recipients. */
static void
drop_message(struct schedule *schedule, struct schedule_message *message)
{
	if (message->loaded > 0)
		return;
	LIST_REMOVE(message, hash);
	if (schedule->hooks.message_gone != NULL)
		schedule->hooks.message_gone(schedule->hooks.ctx, message);
	free(message);
}

static struct schedule_recipient *
schedule_make_recipient(struct schedule_message *message,
    struct schedule_source *source, const struct store_recipient *from)
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
	recipient->source = source;
	recipient->index = from->index;
	recipient->attempts = from->attempts;
	recipient->in_doubt = from->in_doubt;
	recipient->moved = from->via[0] != '\0';
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
	struct schedule_source *source;

	if (from->index >= envelope->nrcpts) {
		errno = EINVAL;
		return -1;
	}
	if (schedule_is_loaded(schedule, envelope->id, from->index)) {
		errno = EEXIST;
		return -1;
	}
	source = schedule_source(schedule, from->domain, from->lane);
	if (source == NULL)
		return -1;
	message = schedule_find_message(schedule, envelope->id);
	if (message == NULL)
		message = schedule_make_message(schedule, envelope);
	if (message == NULL)
		return -1;
	recipient = schedule_make_recipient(message, source, from);
	if (recipient == NULL)
		goto fail;
	recipient->added_ms = now_ms;
	if (schedule_enqueue(schedule, destination, recipient, false) == -1)
		goto fail;
	LIST_INSERT_HEAD(
	    &schedule->recipients[recipient_bucket(message->id, from->index)],
	    recipient, hash);
	message->loaded++;
	source->domain->loaded++;
	source->loaded++;
	source_review(schedule, source);
	schedule->active++;
	return 0;
fail:
	free(recipient);
	drop_message(schedule, message);
	errno = ENOMEM;
	return -1;
}

void
schedule_forget(struct schedule *schedule, struct schedule_recipient *recipient)
{
	struct schedule_message *message = recipient->message;

	LIST_REMOVE(recipient, hash);
	message->loaded--;
	recipient->source->domain->loaded--;
	recipient->source->loaded--;
	source_review(schedule, recipient->source);
	schedule->active--;
	schedule->looked = 0;
	free(recipient);
	drop_message(schedule, message);
}
