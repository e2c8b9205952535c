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

#include "common/log.h"
#include "common/util.h"
#include "master/queue/action.h"
#include "master/queue/count.h"
#include "master/queue/era.h"
#include "master/queue/notice.h"
#include "master/queue/outlet.h"
#include "master/queue/route.h"
#include "master/queue/transient.h"

enum {
	GROUP_EXPIRE_MAX = 200, /* failed recipients of one commit */
	GROUP_HASTEN_MAX = 1000,
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

static void
group_arm(struct queue *q, int64_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000,
		.tv_usec = ms % 1000 * 1000 };

	/* Fails where memory has run out; the sweep commits too. */
	(void)evtimer_add(q->commit_timer, &tv);
}

void
group_add(struct queue *q, struct queue_op *op)
{
	STAILQ_INSERT_TAIL(&q->ops, op, entry);
	q->nops++;
	if (!evtimer_pending(q->commit_timer, NULL))
		group_arm(q, q->config->group_commit_delay);
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
	if (!era_keeps(q) || s->wait == WAIT_QUEUED || s->cancelled)
		return 0;
	return store_keep(q->store, s->envelope.id);
}

static int
group_apply(struct queue *q, struct queue_op *op)
{
	uint32_t count;

	switch (op->kind) {
	case OP_SUBMIT:
		return group_submit(q, op->submission);
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

/* *failedp: the change that failed; NULL: the commit itself. */
static int
group_write(struct queue *q, struct queue_op **failedp)
{
	struct queue_op *op;

	*failedp = NULL;
	if (store_begin(q->store) == -1)
		return -1;
	STAILQ_FOREACH(op, &q->ops, entry) {
		if (group_apply(q, op) == 0)
			continue;
		*failedp = op;
		store_rollback(q->store);
		return -1;
	}
	return store_commit(q->store);
}

static void
group_drop(struct queue *q, struct queue_op *op)
{
	STAILQ_REMOVE(&q->ops, op, queue_op, entry);
	q->nops--;
	submission_free(op->submission);
	free(op);
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
		if (op->kind != OP_SUBMIT || (only != NULL && op != only))
			continue;
		any = true;
		if (error == ENOSPC || error == EDQUOT)
			submit_refused(q, op->submission, 452, "4.3.1",
			    "the queue's disk is full");
		else
			submit_refused(q, op->submission, 451, "4.3.0",
			    "the queue cannot be written");
		group_drop(q, op);
	}
	return any;
}

static bool
group_has_submission(const struct queue *q)
{
	const struct queue_op *op;

	STAILQ_FOREACH(op, &q->ops, entry)
		if (op->kind == OP_SUBMIT)
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
		STAILQ_REMOVE(&q->ops, op, queue_op, entry);
		q->nops--;
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
		rates_add(&q->rates, RATE_ACCEPTED, 1, time_monotonic_ms());
		submit_committed(q, op);
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

void
group_commit(struct queue *q)
{
	struct queue_ops ops = STAILQ_HEAD_INITIALIZER(ops);
	struct queue_op *failed;
	struct queue_op *op;
	int64_t start_us = time_monotonic_us();
	int error;

	group_keep_room(q);
	while (!STAILQ_EMPTY(&q->ops) && group_write(q, &failed) == -1) {
		error = errno;
		count_store_error(q);
		log_line(LOG_ERROR, "the queue's store: %s (%s)",
		    strerror(error), store_error(q->store));
		if (failed != NULL &&
		    (failed->kind != OP_SUBMIT || error != EBADMSG))
			failed = NULL;
		if (group_refuse(q, failed, error) || group_make_room(q, error))
			continue;
		group_void_activations(q);
		group_tell_transients(q);
		group_arm(q, QUEUE_RETRY_MS);
		return;
	}
	count_commit(q, q->nops, time_monotonic_us() - start_us);
	STAILQ_CONCAT(&ops, &q->ops);
	q->nops = 0;
	log_gather(true);
	while ((op = STAILQ_FIRST(&ops)) != NULL) {
		STAILQ_REMOVE_HEAD(&ops, entry);
		group_news(q, op);
		submission_free(op->submission);
		free(op);
	}
	log_gather(false);
	queue_pump_soon(q);
}

/* What never reached the disk is as if it had not been; for the end. */
void
group_clear(struct queue *q)
{
	struct queue_op *op;

	while ((op = STAILQ_FIRST(&q->ops)) != NULL)
		group_drop(q, op);
}
