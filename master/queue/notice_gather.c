/* SPDX-License-Identifier: ISC */
/*
 * Of which messages something is to be told: those that wait for their other
 * recipients, and what a scan of the store finds.
 */
#include "common/log.h"
#include "common/util.h"
#include "master/queue/notice_internal.h"

static struct gathered *
gathered_find(struct notices *n, uint64_t id)
{
	uint32_t i;

	for (i = 0; i < n->ngathered; i++)
		if (n->gathered[i].id == id)
			return &n->gathered[i];
	return NULL;
}

void
notice_gather(struct queue *q, uint64_t id, bool at_once)
{
	struct notices *n = q->notices;
	struct gathered *g = gathered_find(n, id);

	if (g == NULL && n->ngathered == NOTICE_GATHER_MAX) {
		n->scan = true; /* which finds it */
		n->scan_after = 0;
		notice_arm(n, NOTICE_TURN_MS);
		return;
	}
	if (g == NULL) {
		g = &n->gathered[n->ngathered++];
		g->id = id;
		g->until_ms = time_monotonic_ms() + NOTICE_GATHER_MS;
	}
	if (at_once)
		g->until_ms = 0;
	notice_arm(n, g->until_ms == 0 ? NOTICE_TURN_MS : NOTICE_GATHER_MS);
}

void
notices_message_gone(struct queue *q, uint64_t id)
{
	struct notices *n = q->notices;
	struct gathered *g;

	if (n->ngathered == 0)
		return;
	g = gathered_find(n, id);
	if (g == NULL)
		return;
	g->until_ms = 0;
	notice_arm(n, NOTICE_TURN_MS);
}

static bool
is_in_batch(const struct notices *n, uint64_t id)
{
	uint32_t i;

	for (i = 0; i < n->nbatch; i++)
		if (n->batch[i]->message == id)
			return true;
	return false;
}

static bool
next_gathered(struct notices *n, uint64_t *idp)
{
	int64_t now_ms = time_monotonic_ms();
	struct gathered *g;
	uint32_t i;

	for (i = 0; i < n->ngathered; i++) {
		g = &n->gathered[i];
		if (g->until_ms > now_ms || is_in_batch(n, g->id))
			continue;
		*idp = g->id;
		*g = n->gathered[--n->ngathered];
		return true;
	}
	return false;
}

static bool
next_scanned(struct queue *q, uint64_t *idp)
{
	struct notices *n = q->notices;
	int found;

	while (n->scan) {
		found = store_next_owed(q->store, n->scan_after, idp);
		if (found == -1)
			log_line(LOG_ERROR, "reading the queue: %s",
			    store_error(q->store));
		if (found != 1) {
			n->scan = false;
			n->scan_after = 0;
			break;
		}
		n->scan_after = *idp;
		if (gathered_find(n, *idp) == NULL && !is_in_batch(n, *idp))
			return true;
	}
	return false;
}

bool
notice_next(struct queue *q, uint64_t *idp)
{
	return next_gathered(q->notices, idp) || next_scanned(q, idp);
}

bool
notice_is_due(const struct notices *n)
{
	int64_t now_ms = time_monotonic_ms();
	uint32_t i;

	for (i = 0; i < n->ngathered; i++)
		if (n->gathered[i].until_ms <= now_ms)
			return true;
	return n->ntold > 0 || n->writing != NULL || n->scan;
}
