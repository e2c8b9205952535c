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
#include "master/queue/action.h"
#include "master/queue/count.h"
#include "master/queue/era.h"
#include "master/queue/notice.h"
#include "master/queue/outlet.h"
#include "master/queue/rates_kept.h"
#include "master/queue/route.h"
#include "master/queue/staging.h"
#include "master/queue/transient.h"

enum {
	GROUP_EXPIRE_MAX = 200, /* failed recipients of one commit */
	GROUP_HASTEN_MAX = 1000,
	/* A commit of more rows ends when its time is over. */
	GROUP_ROWS = 250,
	GROUP_TURN_MS = 10,
	/* Who waits for commits without an end has them all at once then. */
	GROUP_LATE_MS = 1000,
	/* Some dozens of outcomes, which a commit then takes to the disk. */
	GROUP_RESERVE = 256 * 1024,
};

struct queue_op *
group_new_op(enum queue_op_kind kind, size_t text_size)
{
	struct queue_op *op;

	op = calloc(1, sizeof(*op) + text_size);
	if (op != NULL)
		op->kind = kind;
	return op;
}

bool
group_reserve(struct queue *q)
{
	if (q->reserve == NULL)
		q->reserve = malloc(GROUP_RESERVE);
	return q->reserve != NULL;
}

struct queue_op *
group_new_outcome(struct queue *q, size_t text_size)
{
	struct queue_op *op = group_new_op(OP_OUTCOME, text_size);

	if (op != NULL)
		return op;
	free(q->reserve);
	q->reserve = NULL;
	op = group_new_op(OP_OUTCOME, text_size);
	if (op != NULL)
		return op; /* the next commit frees much, and fills it again */
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

/* How many rows a change touches, about. */
static uint32_t
group_rows(const struct queue_op *op)
{
	if (op->kind == OP_SUBMIT)
		return op->submission->envelope.nrcpts;
	if (op->kind == OP_STAGING)
		return staging_rows(op->staging);
	if (op->kind == OP_ACTIVATE && op->job != NULL)
		return op->job->nrcpt;
	if (op->kind == OP_ACTION)
		return op->action->len;
	return 1;
}

void
group_add(struct queue *q, struct queue_op *op)
{
	STAILQ_INSERT_TAIL(&q->ops, op, entry);
	q->nops++;
	op->rows = group_rows(op);
	q->nrows += op->rows;
	group_soon(q);
}

static int
group_mark_active(struct queue *q, const struct job *job)
{
	uint32_t i;

	for (i = 0; i < job->nrcpt; i++)
		if (store_mark_active(q->store, job->message->id,
			job->recipients[i]->index) == -1 &&
		    errno != ENOENT)
			return -1;
	return 0;
}

static int
group_submit(struct queue *q, struct submission *s)
{
	if (store_add_message(q->store, &s->envelope,
		(const char *const *)s->addresses,
		(const char *const *)s->parameters, s->body_fd,
		&s->envelope.id) == -1)
		return -1;
	return submit_keep(q, s);
}

static int
group_apply(struct queue *q, struct queue_op *op)
{
	uint32_t count;

	switch (op->kind) {
	case OP_SUBMIT:
		return group_submit(q, op->submission);
	case OP_STAGING:
		return staging_apply(q, op->staging);
	case OP_ACTIVATE:
		return op->job != NULL ? group_mark_active(q, op->job) : 0;
	case OP_OUTCOME:
		if (!transient_is(op->outcome.message) &&
		    store_set_outcome(q->store, &op->outcome, &op->removed) ==
			-1 &&
		    errno != ENOENT)
			return -1;
		return outlet_apply(q, op);
	case OP_EXPIRE:
		if (store_expire_failed(q->store, op->before_ms,
			GROUP_EXPIRE_MAX, &count) == -1)
			return -1;
		op->again = count == GROUP_EXPIRE_MAX;
		return 0;
	case OP_HASTEN:
		return store_hasten(q->store, op->text, op->lane,
		    op->before_ms + route_longest_wait_ms(q), op->before_ms,
		    GROUP_HASTEN_MAX);
	case OP_ACTION:
		return action_apply(q, op->action);
	case OP_REPORTS:
		return outlet_forget(q, op);
	}
	return 0;
}

static void
group_remove(struct queue *q, struct queue_op *op)
{
	STAILQ_REMOVE(&q->ops, op, queue_op, entry);
	q->nops--;
	q->nrows -= op->rows;
	q->ops_ended++;
}

bool
group_is_short(const struct queue *q)
{
	return q->nrows <= GROUP_ROWS;
}

/* *failedp: the change that failed; NULL: the commit itself.  *lastp: the last
 * change that is part of it. */
static int
group_write(struct queue *q, struct queue_op **failedp, struct queue_op **lastp)
{
	int64_t until_ms = time_monotonic_ms() + GROUP_TURN_MS;
	struct queue_op *op;
	uint32_t rows = 0;

	*failedp = *lastp = NULL;
	if (store_begin(q->store) == -1)
		return -1;
	STAILQ_FOREACH(op, &q->ops, entry) {
		if (rows > 0 && rows + op->rows > GROUP_ROWS &&
		    time_monotonic_ms() >= until_ms)
			break;
		rows += op->rows;
		*lastp = op;
		if (group_apply(q, op) == 0)
			continue;
		*failedp = op;
		store_rollback(q->store);
		return -1;
	}
	if (rates_kept_write(q) == -1) {
		store_rollback(q->store);
		return -1;
	}
	return store_commit(q->store);
}

static void
group_drop(struct queue *q, struct queue_op *op)
{
	group_remove(q, op);
	submission_free(op->submission);
	free(op);
}

/* New mail, that its client can be asked to keep. */
static bool
group_is_refusable(const struct queue_op *op)
{
	return op->kind == OP_SUBMIT ||
	    (op->kind == OP_STAGING && staging_is_refusable(op->staging));
}

/* Refuses one submission, or all; says whether there was any. */
static bool
group_refuse(struct queue *q, const struct queue_op *only, int error)
{
	struct queue_op *op;
	struct queue_op *next;
	bool any = false;

	for (op = STAILQ_FIRST(&q->ops); op != NULL; op = next) {
		next = STAILQ_NEXT(op, entry);
		if (!group_is_refusable(op) || (only != NULL && op != only))
			continue;
		any = true;
		if (op->kind == OP_STAGING)
			staging_refuse(q, op->staging, error);
		else
			submit_refuse_for(q, op->submission, error);
		group_drop(q, op);
	}
	return any;
}

static bool
group_has_submission(const struct queue *q)
{
	const struct queue_op *op;

	STAILQ_FOREACH(op, &q->ops, entry)
		if (group_is_refusable(op))
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

static void
group_void_activations(struct queue *q)
{
	struct queue_op *op;
	struct queue_op *next;
	struct job *job;

	for (op = STAILQ_FIRST(&q->ops); op != NULL; op = next) {
		next = STAILQ_NEXT(op, entry);
		if (op->kind != OP_ACTIVATE)
			continue;
		job = op->job;
		group_drop(q, op);
		if (job == NULL)
			continue;
		job->activation = NULL;
		session_job_failed(q, job);
	}
}

static void group_news(struct queue *q, struct queue_op *op);

/* Of what is not stored there is nothing to wait for: whoever has not heard of a
 * delivery would make it once more.  Its report goes with the store. */
static void
group_tell_transients(struct queue *q)
{
	struct queue_ops ops = STAILQ_HEAD_INITIALIZER(ops);
	struct queue_op *op, *next;

	for (op = STAILQ_FIRST(&q->ops); op != NULL; op = next) {
		next = STAILQ_NEXT(op, entry);
		if (op->kind != OP_OUTCOME ||
		    !transient_is(op->outcome.message))
			continue;
		group_remove(q, op);
		op->reported = false;
		STAILQ_INSERT_TAIL(&ops, op, entry);
	}
	while ((op = STAILQ_FIRST(&ops)) != NULL) {
		STAILQ_REMOVE_HEAD(&ops, entry);
		group_news(q, op);
		free(op);
	}
}

static void
group_count(struct queue *q, const struct outcome *outcome)
{
	static const enum rate_kind kinds[] = {
		[OUTCOME_DELIVERED] = RATE_DELIVERED,
		[OUTCOME_DEFERRED] = RATE_DEFERRED,
		[OUTCOME_FAILED] = RATE_FAILED,
	};

	if (outcome->status < NELEM(kinds))
		rates_add(&q->rates, kinds[outcome->status], 1,
		    time_monotonic_ms());
}

/* As Postfix's queue manager says it, besides the outcome. */
static void
group_expired(struct queue *q, const struct queue_op *op)
{
	struct event expired = { .kind = EVENT_EXPIRED,
		.id = op->outcome.message,
		.reverse_path = op->event.reverse_path,
		.recipient = op->event.recipient };

	event_tell(q, &expired);
}

static void
group_news(struct queue *q, struct queue_op *op)
{
	struct event removed = { .kind = EVENT_REMOVED };
	bool told = false;

	switch (op->kind) {
	case OP_SUBMIT:
		submit_committed(q, op->submission);
		break;
	case OP_STAGING:
		staging_committed(q, op->staging);
		break;
	case OP_ACTIVATE:
		if (op->job == NULL)
			break;
		op->job->activation = NULL;
		session_job_committed(q, op->job);
		break;
	case OP_OUTCOME:
		if (op->told) {
			group_count(q, &op->event.outcome);
			event_tell(q, &op->event);
			if (op->expired)
				group_expired(q, op);
			if (op->reported)
				outlet_committed(q, op);
			told = report_result(q, op);
			notices_committed(q, op, told);
		}
		if (transient_is(op->outcome.message))
			op->removed = transient_told(q, op);
		if (op->removed) {
			removed.id = op->outcome.message;
			event_tell(q, &removed);
		}
		break;
	case OP_EXPIRE:
		if (op->again)
			expire_failed(q);
		break;
	case OP_HASTEN:
		refill_clock_set(q);
		break;
	case OP_ACTION:
		action_committed(q, op->action);
		break;
	case OP_REPORTS:
		outlet_committed(q, op);
		break;
	}
}

/* Takes the changes up to this one off those that wait; how many. */
static uint32_t
group_take(struct queue *q, struct queue_ops *ops, const struct queue_op *last)
{
	struct queue_op *op;
	uint32_t n = 0;

	while ((op = STAILQ_FIRST(&q->ops)) != NULL) {
		group_remove(q, op);
		STAILQ_INSERT_TAIL(ops, op, entry);
		n++;
		if (op == last)
			break;
	}
	return n;
}

static void
group_tell(struct queue *q, struct queue_ops *ops)
{
	struct queue_op *op;

	while ((op = STAILQ_FIRST(ops)) != NULL) {
		STAILQ_REMOVE_HEAD(ops, entry);
		group_news(q, op);
		submission_free(op->submission);
		free(op);
	}
}

void
group_commit(struct queue *q)
{
	struct queue_ops ops = STAILQ_HEAD_INITIALIZER(ops);
	struct queue_op *failed, *last = NULL;
	int64_t start_us = time_monotonic_us();
	int error;

	group_keep_promises(q);
	group_keep_room(q);
	while ((!STAILQ_EMPTY(&q->ops) || rates_kept_are_due(q)) &&
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
		group_void_activations(q);
		group_tell_transients(q);
		group_arm(q, QUEUE_RETRY_MS);
		return;
	}
	q->store_fails = false;
	rates_kept_committed(q);
	count_commit(q, group_take(q, &ops, last),
	    time_monotonic_us() - start_us);
	log_gather(true);
	group_tell(q, &ops);
	log_gather(false);
	(void)group_reserve(q); /* or after the next */
	if (!STAILQ_EMPTY(&q->ops))
		group_arm(q, 0); /* others have their turn first */
	if (store_log_is_long(q->store))
		(void)evtimer_add(q->log_timer, &(struct timeval){ 0 });
	queue_pump_soon(q);
}

bool
group_settle(struct queue *q)
{
	/* What the news of a commit add is for a later one. */
	uint64_t last = q->ops_ended + q->nops;

	while (q->ops_ended < last) {
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
	struct queue_op *op;

	while ((op = STAILQ_FIRST(&q->ops)) != NULL)
		group_drop(q, op);
	free(q->reserve);
	q->reserve = NULL;
}
