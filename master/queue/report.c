/* SPDX-License-Identifier: ISC */
/*
 * What clients get: by the intake results as they fall, and the dialogue where
 * one was asked for; by the control role listings of the queue.
 */
#include "master/queue/queue_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/util.h"
#include "master/queue/notice_policy.h"
#include "master/queue/outcome_change.h"
#include "master/queue/reason.h"
#include "master/queue/route.h"

/* Packets that wait for the intake: over them the dialogue has gaps, and results
 * are left to the log.  Ends of results always go, for there are WAITING_MAX of
 * them at most. */
#define TRACE_BEHIND   1024
#define RESULTS_BEHIND 16384

static struct waiter *
report_find(const struct queue *q, uint64_t id)
{
	struct waiter *w;

	LIST_FOREACH(w, &q->waiters_by_id[id % QUEUE_BUCKETS], by_id)
		if (w->id == id)
			return w;
	return NULL;
}

static void
report_drop(struct queue *q, struct waiter *w)
{
	LIST_REMOVE(w, by_id);
	LIST_REMOVE(w, by_request);
	TAILQ_REMOVE(&q->waiters, w, entry);
	free(w->told);
	free(w);
}

int
report_wait(struct queue *q, const struct submission *s, uint64_t id)
{
	struct waiter *w;

	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return -1;
	w->told = calloc(1, s->envelope.nrcpts / 8 + 1);
	if (w->told == NULL) {
		free(w);
		return -1;
	}
	w->request = s->request;
	w->id = id;
	w->wait = s->wait;
	w->left = s->envelope.nrcpts;
	w->nrcpts = s->envelope.nrcpts;
	w->verbose = (s->envelope.flags & SUBMIT_VERBOSE) != 0;
	LIST_INSERT_HEAD(&q->waiters_by_id[id % QUEUE_BUCKETS], w, by_id);
	LIST_INSERT_HEAD(&q->waiters_by_request[s->request % QUEUE_BUCKETS], w,
	    by_request);
	TAILQ_INSERT_TAIL(&q->waiters, w, entry);
	return 0;
}

void
report_cancel(struct queue *q, uint64_t request)
{
	struct waiter *w;

	LIST_FOREACH(w, &q->waiters_by_request[request % QUEUE_BUCKETS],
	    by_request)
		if (w->request == request)
			break;
	if (w != NULL)
		report_drop(q, w);
}

void
report_clear(struct queue *q)
{
	while (!TAILQ_EMPTY(&q->waiters))
		report_drop(q, TAILQ_FIRST(&q->waiters));
}

bool
report_is_waited(const struct queue *q, uint64_t id)
{
	return report_find(q, id) != NULL;
}

bool
report_is_awaited(const struct queue *q, uint64_t id)
{
	const struct waiter *w = report_find(q, id);

	return w != NULL && w->wait == WAIT_FINAL;
}

static int
report_send_result(struct queue *q, struct waiter *w,
    const struct outcome_change *o)
{
	struct msg_result result;
	char tail[4096];
	size_t len = 0;

	if (channel_backlog(q->intake) >= RESULTS_BEHIND) {
		w->lost++;
		return -1;
	}
	memset(&result, 0, sizeof(result));
	result.request = w->request;
	result.id = w->id;
	result.outcome = o->event.outcome;
	result.tls = o->tls;
	result.final = o->final;
	(void)message_tail_add(tail, sizeof(tail), &len, o->event.recipient);
	(void)message_tail_add(tail, sizeof(tail), &len, o->event.relay);
	(void)message_tail_add(tail, sizeof(tail), &len, o->event.reply);
	return channel_send(q->intake, MSG_RESULT, &result, tail, len, -1);
}

bool
report_result(struct queue *q, const struct outcome_change *o)
{
	uint32_t index = o->outcome.index;
	struct waiter *w = report_find(q, o->outcome.message);
	struct msg_results_end end;
	bool last, told;

	if (w == NULL || index >= w->nrcpts || q->intake == NULL ||
	    (w->told[index / 8] >> (index % 8) & 1) != 0)
		return false;
	told = report_send_result(q, w, o) == 0;
	last = o->final || w->wait == WAIT_ATTEMPT;
	if (!last)
		return told;
	w->told[index / 8] |= (uint8_t)(1U << (index % 8));
	if (--w->left > 0)
		return told;
	memset(&end, 0, sizeof(end));
	end.request = w->request;
	end.lost = w->lost;
	(void)channel_send(q->intake, MSG_RESULTS_END, &end, NULL, 0, -1);
	report_drop(q, w);
	return told;
}

void
report_deleted(struct queue *q, uint64_t id, uint32_t index,
    const char *recipient)
{
	struct outcome_change o = { .outcome = { .message = id,
					.index = index },
		.event = { .recipient = recipient,
		    .relay = "",
		    .reply = "deleted from the queue by an operator" },
		.final = true };

	/* RFC 3463, 3.1: X.0.0, other undefined status. */
	settle_outcome(&o.event.outcome, OUTCOME_FAILED, STEP_QUEUE, "5.0.0");
	(void)report_result(q, &o); /* mostly nobody waits */
}

static void
report_line(struct queue *q, struct waiter *w, bool from_remote,
    const char *line)
{
	struct msg_trace trace;

	if (q->intake == NULL || channel_backlog(q->intake) >= TRACE_BEHIND) {
		w->lines_lost++;
		return;
	}
	memset(&trace, 0, sizeof(trace));
	trace.request = w->request;
	trace.from_remote = from_remote;
	trace.lost = w->lines_lost;
	w->lines_lost = 0;
	(void)channel_send(q->intake, MSG_TRACE, &trace, line, strlen(line),
	    -1);
}

/*
 * A line of a session's dialogue.  One of a transaction is for the client whose
 * job that is.  One of the session itself is for each client whose job it
 * carries, until others may have spoken of other people's mail in it.
 */
void
report_trace(struct queue *q, struct session *s,
    const struct msg_dialogue *dialogue, const char *line)
{
	const struct job *job;
	struct waiter *w;

	if (dialogue->job == 0 && s->up && s->messages > 1)
		return;
	TAILQ_FOREACH(job, &s->jobs, entry) {
		if (dialogue->job != 0 && dialogue->job != job->id)
			continue;
		w = report_find(q, job->message->id);
		if (w != NULL && w->verbose)
			report_line(q, w, dialogue->from_remote != 0, line);
	}
}

static unsigned
report_status(enum store_state state)
{
	if (state == STORE_FAILED)
		return OUTCOME_FAILED;
	return state == STORE_DELIVERED ? OUTCOME_DELIVERED : OUTCOME_DEFERRED;
}

int
report_row(struct queue *q, uint64_t request,
    const struct store_envelope *envelope,
    const struct store_recipient *recipient)
{
	const char *via = route_via(envelope, recipient);
	char reply[REASON_SIZE];
	unsigned step = reason_take(reply, sizeof(reply),
	    (unsigned)recipient->code, recipient->reply);
	const char *const strings[] = { envelope->reverse_path,
		recipient->address, recipient->relay, reply, envelope->ref,
		envelope->parameters, recipient->parameters, via };
	struct msg_listed row;
	char tail[8192];
	size_t len = 0, i;

	if (q->control == NULL)
		return 1;
	memset(&row, 0, sizeof(row));
	row.request = request;
	row.id = envelope->id;
	row.size = envelope->size;
	row.arrived_ms = envelope->created_ms;
	row.next_ms = recipient->next_attempt_ms;
	row.index = recipient->index;
	row.attempts = recipient->attempts;
	row.state = (uint32_t)recipient->state;
	row.in_doubt = recipient->in_doubt ? 1 : 0;
	row.kept = recipient->state == STORE_HELD &&
	    (recipient->warned & NOTICE_KEPT) != 0;
	settle_outcome(&row.outcome,
	    row.kept != 0 ? OUTCOME_FAILED : report_status(recipient->state),
	    reason_step(recipient->step, step), recipient->dsn);
	row.outcome.code = (uint16_t)recipient->code;
	row.outcome.in_doubt = recipient->in_doubt;
	row.uid = envelope->uid;
	row.finished_ms = recipient->finished_ms;
	row.flags = envelope->flags;
	row.nrcpts = envelope->nrcpts;
	for (i = 0; i < NELEM(strings); i++)
		(void)message_tail_add(tail, sizeof(tail), &len, strings[i]);
	return channel_send(q->control, MSG_LISTED, &row, tail, len, -1);
}

_Static_assert((int)RECIPIENT_STATES == (int)STORE_STATE_COUNT &&
	(int)RECIPIENT_HELD == (int)STORE_HELD,
    "the states of the store are those of the messages");

void
report_list_end(struct queue *q, uint64_t request, bool more,
    enum act_unknown unknown)
{
	struct msg_list_end end;

	if (q->control == NULL)
		return;
	memset(&end, 0, sizeof(end));
	end.request = request;
	end.more = more;
	end.unknown = unknown;
	store_count_states(q->store, end.counts);
	end.sessions = q->nsessions;
	(void)channel_send(q->control, MSG_LIST_END, &end, NULL, 0, -1);
}
