/* SPDX-License-Identifier: ISC */
/*
 * Group commit: every change to the store waits here for the next commit, and
 * the news of it (an answer to a client, a job for a worker, a log line) waits
 * for its success.
 *
 * Where the store fails, new jobs are refused, jobs for workers go back to the
 * end of the queue, and outcomes, which are facts, are kept and tried again.
 */
#include "master/queue/queue_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"
#include "master/queue/count.h"
#include "master/queue/rates_kept.h"

enum {
	/* A commit of more rows ends when its time is over. */
	GROUP_ROWS = 250,
	GROUP_TURN_MS = 10,
	/* Who waits for commits without an end has them all at once then. */
	GROUP_LATE_MS = 1000,
	/* Some dozens of outcomes, which a commit then takes to the disk. */
	GROUP_RESERVE = 256 * 1024,
};

bool
group_reserve(struct queue *q)
{
	if (q->reserve == NULL)
		q->reserve = malloc(GROUP_RESERVE);
	return q->reserve != NULL;
}

void *
group_alloc(struct queue *q, size_t size)
{
	void *p = calloc(1, size);

	if (p != NULL)
		return p;
	free(q->reserve);
	q->reserve = NULL;
	p = calloc(1, size);
	if (p != NULL)
		return p; /* the next commit frees much, and fills it again */
	log_line(LOG_ERROR,
	    "out of memory: the queue ends and starts anew; what "
	    "it had in hand is perhaps delivered");
	_exit(1);
}

static void
group_arm(struct queue *q, int64_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000,
		.tv_usec = ms % 1000 * 1000 };

	/* Fails where memory has run out; the sweep commits too. */
	(void)evtimer_add(q->commit_timer, &tv);
}

void
group_soon(struct queue *q)
{
	if (!evtimer_pending(q->commit_timer, NULL))
		group_arm(q, q->config->group_commit_delay);
}

void
group_add(struct queue *q, struct change *c)
{
	STAILQ_INSERT_TAIL(&q->changes, c, entry);
	c->is_written = false;
	q->nchanges++;
	c->rows = c->ops->rows != NULL ? c->ops->rows(c) : 1;
	q->nrows += c->rows;
	group_soon(q);
}

static void
group_remove(struct queue *q, struct change *c)
{
	STAILQ_REMOVE(&q->changes, c, change, entry);
	q->nchanges--;
	q->nrows -= c->rows;
	q->changes_ended++;
}

bool
group_is_short(const struct queue *q)
{
	return q->nrows <= GROUP_ROWS;
}

/* *failedp: the change that failed; NULL: the commit itself.  *lastp: the last
 * change that is part of it. */
static int
group_write(struct queue *q, struct change **failedp, struct change **lastp)
{
	int64_t until_ms = time_monotonic_ms() + GROUP_TURN_MS;
	struct change *c;
	uint32_t rows = 0;

	*failedp = *lastp = NULL;
	if (store_begin(q->store) == -1)
		return -1;
	STAILQ_FOREACH(c, &q->changes, entry) {
		if (rows > 0 && rows + c->rows > GROUP_ROWS &&
		    time_monotonic_ms() >= until_ms)
			break;
		rows += c->rows;
		*lastp = c;
		if (c->ops->apply(q, c) == 0)
			continue;
		*failedp = c;
		store_rollback(q->store);
		return -1;
	}
	if (rates_kept_write(q) == -1) {
		store_rollback(q->store);
		return -1;
	}
	return store_commit(q->store);
}

static bool
group_is_refusable(const struct change *c)
{
	return c->ops->is_refusable != NULL && c->ops->is_refusable(c);
}

/* Refuses one submission, or all; says whether there was any. */
static bool
group_refuse(struct queue *q, const struct change *only, int error)
{
	struct change *c, *next;
	bool any = false;

	for (c = STAILQ_FIRST(&q->changes); c != NULL; c = next) {
		next = STAILQ_NEXT(c, entry);
		if (!group_is_refusable(c) || (only != NULL && c != only))
			continue;
		any = true;
		group_remove(q, c);
		c->ops->refuse(q, c, error);
	}
	return any;
}

static bool
group_has_submission(const struct queue *q)
{
	const struct change *c;

	STAILQ_FOREACH(c, &q->changes, entry)
		if (group_is_refusable(c))
			return true;
	return false;
}

/* New mail may not take the room that the queued needs on its way out. */
static void
group_keep_room(struct queue *q)
{
	uint64_t left;
	bool is_short;

	if (!group_has_submission(q) ||
	    store_free_octets(q->store, &left) == -1)
		return;
	is_short = left < q->config->queue_minfree || store_is_tight(q->store);
	if (is_short != q->disk_is_short)
		log_line(is_short ? LOG_WARN : LOG_INFO,
		    "the spool's disk has %" PRIu64 " MiB left, queue_minfree "
		    "wants %" PRIu64 ": jobs are %s",
		    left >> 20, (uint64_t)q->config->queue_minfree >> 20,
		    is_short ? "refused" : "taken again");
	q->disk_is_short = is_short;
	if (is_short)
		(void)group_refuse(q, NULL, ENOSPC);
}

/* A yes would hold only as long as this process lives. */
static void
group_keep_promises(struct queue *q)
{
	if (!group_has_submission(q))
		return;
	if (!store_is_removed(q->store)) {
		q->spool_is_removed = false;
		return;
	}
	if (!q->spool_is_removed)
		log_line(LOG_ERROR,
		    "queue.db was removed from spool_directory, or replaced: "
		    "jobs are refused; what is queued is still delivered, and "
		    "lost when posternd stops: postern flush, then restart");
	q->spool_is_removed = true;
	(void)group_refuse(q, NULL, ESTALE);
}

/* True: there is another way to go on. */
static bool
group_make_room(struct queue *q, int error)
{
	if (error != ENOSPC || !store_use_reserve(q->store))
		return false;
	log_line(LOG_WARN,
	    "the spool's disk is full: room kept in reserve is used to deliver "
	    "what is queued; make room");
	return true;
}

/* What has nothing to wait for while the store fails. */
static void
group_give_up(struct queue *q)
{
	struct changes given_up = STAILQ_HEAD_INITIALIZER(given_up);
	struct change *c, *next;

	for (c = STAILQ_FIRST(&q->changes); c != NULL; c = next) {
		next = STAILQ_NEXT(c, entry);
		if (c->ops->is_given_up == NULL || !c->ops->is_given_up(c))
			continue;
		group_remove(q, c);
		STAILQ_INSERT_TAIL(&given_up, c, entry);
	}
	while ((c = STAILQ_FIRST(&given_up)) != NULL) {
		STAILQ_REMOVE_HEAD(&given_up, entry);
		c->ops->give_up(q, c);
	}
}

/* Takes the changes up to this one off those that wait; how many. */
static uint32_t
group_take(struct queue *q, struct changes *taken, const struct change *last)
{
	struct change *c;
	uint32_t n = 0;

	while ((c = STAILQ_FIRST(&q->changes)) != NULL) {
		group_remove(q, c);
		STAILQ_INSERT_TAIL(taken, c, entry);
		c->is_written = true;
		n++;
		if (c == last)
			break;
	}
	return n;
}

static void
group_tell(struct queue *q, struct changes *taken)
{
	struct change *c;

	while ((c = STAILQ_FIRST(taken)) != NULL) {
		STAILQ_REMOVE_HEAD(taken, entry);
		c->ops->committed(q, c);
	}
}

void
group_commit(struct queue *q)
{
	struct changes taken = STAILQ_HEAD_INITIALIZER(taken);
	struct change *failed, *last = NULL;
	int64_t start_us = time_monotonic_us();
	int error;

	group_keep_promises(q);
	group_keep_room(q);
	while ((!STAILQ_EMPTY(&q->changes) || rates_kept_are_due(q)) &&
	    group_write(q, &failed, &last) == -1) {
		error = errno;
		q->store_fails = true;
		count_store_error(q);
		log_line(LOG_ERROR, "the queue's store: %s (%s)",
		    strerror(error), store_error(q->store));
		if (failed != NULL &&
		    (!group_is_refusable(failed) || error != EBADMSG))
			failed = NULL;
		if (group_refuse(q, failed, error) || group_make_room(q, error))
			continue;
		group_give_up(q);
		group_arm(q, QUEUE_RETRY_MS);
		return;
	}
	q->store_fails = false;
	rates_kept_committed(q);
	count_commit(q, group_take(q, &taken, last),
	    time_monotonic_us() - start_us);
	log_gather(true);
	group_tell(q, &taken);
	log_gather(false);
	(void)group_reserve(q); /* or after the next */
	if (!STAILQ_EMPTY(&q->changes))
		group_arm(q, 0); /* others have their turn first */
	if (store_log_is_long(q->store))
		(void)evtimer_add(q->log_timer, &(struct timeval){ 0 });
	queue_pump_soon(q);
}

bool
group_settle(struct queue *q)
{
	/* What the news of a commit add is for a later one. */
	uint64_t last = q->changes_ended + q->nchanges;

	while (q->changes_ended < last) {
		group_commit(q);
		if (q->store_fails)
			return false;
	}
	return true;
}

bool
group_settle_soon(struct queue *q, int64_t *wait_msp)
{
	int64_t now_ms = time_monotonic_ms();

	if (q->unsettled_ms == 0)
		q->unsettled_ms = now_ms;
	if (!group_is_short(q) && now_ms < q->unsettled_ms + GROUP_LATE_MS) {
		*wait_msp = q->store_fails ? QUEUE_RETRY_MS : 1;
		return false;
	}
	q->unsettled_ms = 0;
	*wait_msp = QUEUE_RETRY_MS;
	return group_settle(q);
}

/* What never reached the disk is as if it had not been; for the end. */
void
group_clear(struct queue *q)
{
	struct change *c;

	while ((c = STAILQ_FIRST(&q->changes)) != NULL) {
		group_remove(q, c);
		if (c->ops->clear != NULL)
			c->ops->clear(c);
	}
	free(q->reserve);
	q->reserve = NULL;
}
