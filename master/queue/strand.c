/* SPDX-License-Identifier: ISC */
/*
 * See strand.h.  The walk takes some rows in a turn of the loop, so that a queue
 * of any size holds nobody up.
 */
#include "master/queue/strand.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/util.h"
#include "master/queue/era.h"
#include "master/queue/queue_internal.h"
#include "master/queue/route.h"
#include "master/queue/trouble.h"

enum {
	STRAND_ROWS = 500, /* of one turn */
	STRAND_PAUSE_MS = 2,
};

struct strand {
	struct event *timer;
	struct store_cursor cursor;
	uint64_t count; /* recipients that have no way */
	char first[MSG_ADDRESS_SIZE];
	uint64_t woken;
	/* Of one turn. */
	struct queue *queue;
	uint32_t rows;
	uint32_t nwakes;
	struct store_change wakes[STRAND_ROWS];
};

static void
arm(struct strand *s, int64_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000,
		.tv_usec = ms % 1000 * 1000 };

	/* Nothing else would turn it: at once rather than never. */
	if (evtimer_add(s->timer, &tv) == -1)
		event_active(s->timer, EV_TIMEOUT, 0);
}

/* One that has a way now, and waits because it had none. */
static void
wake(struct strand *s, const struct store_envelope *envelope,
    const struct store_recipient *recipient)
{
	if (recipient->state != STORE_DEFERRED ||
	    strcmp(recipient->dsn, ROUTE_NONE_DSN) != 0 ||
	    schedule_is_loaded(s->queue->schedule, envelope->id,
		recipient->index))
		return;
	s->wakes[s->nwakes++] = (struct store_change){ .message = envelope->id,
		.index = recipient->index,
		.state = STORE_QUEUED,
		.next_attempt_ms = time_real_ms() };
}

static int
look(const struct store_envelope *envelope,
    const struct store_recipient *recipient, void *arg)
{
	struct strand *s = arg;
	const char *next_hop;
	uint32_t index;

	s->rows++;
	if (!era_is_ours(s->queue, envelope->id))
		return 0;
	if (route_transport(s->queue, route_via(envelope, recipient),
		recipient->domain, &next_hop, &index) != NULL) {
		wake(s, envelope, recipient);
		return 0;
	}
	if (s->count++ == 0)
		(void)strlcpy(s->first, recipient->address, sizeof(s->first));
	return 0;
}

static int
write_wakes(struct strand *s)
{
	struct store *store = s->queue->store;
	uint32_t i;

	if (s->nwakes == 0)
		return 0;
	if (store_begin(store) == -1)
		return -1;
	for (i = 0; i < s->nwakes; i++)
		if (store_change(store, &s->wakes[i]) == -1 &&
		    errno != ENOENT) {
			store_rollback(store);
			return -1;
		}
	if (store_commit(store) == -1)
		return -1;
	s->woken += s->nwakes;
	s->queue->scan_again = true;
	queue_pump_soon(s->queue);
	return 0;
}

static void
end(struct queue *q, const struct strand *s)
{
	if (s->woken > 0)
		log_line(LOG_INFO,
		    "%" PRIu64 " recipients in the queue have a route again, "
		    "and are tried now",
		    s->woken);
	if (s->count > 0)
		trouble_note(q, TROUBLE_STRANDED, "",
		    "the new configuration has no route or transport for "
		    "%" PRIu64 " recipients in the queue, <%s> is the first: "
		    "they wait",
		    s->count, s->first);
}

static void
turn(evutil_socket_t fd, short what, void *arg)
{
	const struct store_filter filter = { .states = 1 << STORE_QUEUED |
		    1 << STORE_DEFERRED | 1 << STORE_HELD };
	struct queue *q = arg;
	struct strand *s = q->strand;
	struct store_cursor from = s->cursor;
	int64_t wait_ms;

	(void)fd;
	(void)what;
	if (q->draining || !era_schedules(q))
		return;
	/* What is on its way to the disk is not to be written over. */
	if (!group_settle_soon(q, &wait_ms)) {
		arm(s, wait_ms);
		return;
	}
	s->rows = s->nwakes = 0;
	if (store_list(q->store, &s->cursor, &filter, STRAND_ROWS, look, s) ==
		-1 ||
	    write_wakes(s) == -1) {
		log_line(LOG_ERROR, "looking through the queue: %s",
		    store_error(q->store));
		s->cursor = from;
		arm(s, QUEUE_RETRY_MS);
	} else if (s->rows == STRAND_ROWS) {
		arm(s, STRAND_PAUSE_MS);
	} else {
		end(q, s);
	}
}

int
strand_init(struct queue *q)
{
	q->strand = calloc(1, sizeof(*q->strand));
	if (q->strand == NULL)
		return -1;
	q->strand->queue = q;
	q->strand->timer = evtimer_new(q->role.base, turn, q);
	return q->strand->timer != NULL ? 0 : -1;
}

void
strand_clear(struct queue *q)
{
	event_free(q->strand->timer);
	free(q->strand);
	q->strand = NULL;
}

static bool
has_lost_any(const struct config *new, const struct config *old)
{
	const char *domain;
	size_t i;
	int line;

	for (i = 0; i < old->ntransports; i++)
		if (config_transport(new, old->transports[i].name) == NULL)
			return true;
	return config_route_gap(new, &line, &domain) > 0;
}

void
strand_reloaded(struct queue *q, const struct config *old)
{
	struct strand *s = q->strand;
	bool had_troubles = trouble_is_of_ways(q);

	trouble_forget(q);
	if (!had_troubles && !has_lost_any(q->config, old) &&
	    !evtimer_pending(s->timer, NULL))
		return;
	memset(&s->cursor, 0, sizeof(s->cursor));
	s->count = s->woken = 0;
	arm(s, 0);
}
