/* SPDX-License-Identifier: ISC */
/* See staging.h. */
#include "master/queue/staging.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "common/log.h"
#include "master/queue/era.h"
#include "master/queue/queue_internal.h"

enum {
	STAGING_PART =
	    500, /* recipients of a commit; of fewer, one is enough */
};

enum staging_phase {
	STAGING_ADDS,     /* its recipients */
	STAGING_TAKES,    /* the message: from here on it is ours */
	STAGING_RELEASES, /* its recipients, who are due */
	STAGING_REMOVES,  /* what nobody was promised */
};

struct staging {
	struct change change; /* its part of the next commit */
	TAILQ_ENTRY(staging) entry;
	struct submission *submission; /* NULL: a start found it */
	bool committing;
	struct event *timer; /* for the part after that */
	struct queue *queue;
	enum staging_phase phase;
	uint64_t id; /* 0: none of it is on disk yet */
	int64_t created_ms;
	uint32_t end;      /* of its recipients */
	uint32_t at;       /* of this phase: where its next part begins */
	uint32_t released; /* of the part that is being committed */
};

static uint32_t
staging_part_end(const struct staging *st)
{
	return st->end - st->at > STAGING_PART ? st->at + STAGING_PART
					       : st->end;
}

static void
staging_free(struct queue *q, struct staging *st)
{
	TAILQ_REMOVE(&q->stagings, st, entry);
	submission_free(st->submission);
	event_free(st->timer);
	free(st);
}

static uint32_t
staging_rows(const struct change *c)
{
	const struct staging *st = (const struct staging *)c;

	return staging_part_end(st) - st->at;
}

static int
staging_add(struct queue *q, struct staging *st)
{
	struct submission *s = st->submission;

	/* What of it was undone with its group had no number yet. */
	if (st->at == 0)
		s->envelope.id = 0;
	return store_stage(q->store, &s->envelope,
	    (const char *const *)s->addresses,
	    (const char *const *)s->parameters, st->at, staging_part_end(st),
	    &s->envelope.id);
}

static int
staging_take(struct queue *q, struct staging *st)
{
	struct submission *s = st->submission;

	if (store_add_staged(q->store, &s->envelope, s->body_fd) == -1)
		return -1;
	return submit_keep(q, s);
}

static int
staging_apply(struct queue *q, struct change *c)
{
	struct staging *st = (struct staging *)c;
	uint32_t end = staging_part_end(st);

	switch (st->phase) {
	case STAGING_ADDS:
		return staging_add(q, st);
	case STAGING_TAKES:
		return staging_take(q, st);
	case STAGING_RELEASES:
		if (store_release_part(q->store, st->id, st->at, end,
			st->created_ms, &st->released) == -1)
			return -1;
		break;
	case STAGING_REMOVES:
		if (store_unstage_part(q->store, st->id, st->at, end) == -1)
			return -1;
		break;
	}
	return end == st->end ? store_end_staged(q->store, st->id) : 0;
}

/* Those of this part are due: they are told of, or found by a scan where an
 * operator has deleted, held or moved some of them on disk meanwhile. */
static void
staging_place(struct queue *q, struct staging *st)
{
	if (st->submission != NULL &&
	    st->released == staging_part_end(st) - st->at)
		submit_place(q, st->submission, st->at, staging_part_end(st));
	else
		refill_clock_set(q);
}

/* The next phase begins; false: there is none. */
static bool
staging_next_phase(struct queue *q, struct staging *st)
{
	switch (st->phase) {
	case STAGING_ADDS:
		st->phase = STAGING_TAKES;
		return true;
	case STAGING_TAKES:
		submit_taken(q, st->submission);
		st->phase = STAGING_RELEASES;
		st->at = 0;
		return true;
	case STAGING_RELEASES:
	case STAGING_REMOVES:
		break;
	}
	return false;
}

static void
staging_committed(struct queue *q, struct change *c)
{
	struct staging *st = (struct staging *)c;
	bool more = true;

	st->committing = false;
	if (st->phase == STAGING_ADDS)
		st->id = st->submission->envelope.id;
	else if (st->phase == STAGING_RELEASES)
		staging_place(q, st);
	st->at = staging_part_end(st);
	if (st->at == st->end)
		more = staging_next_phase(q, st);
	if (!more) {
		staging_free(q, st);
		return;
	}
	/* Not at once: others have their turn. */
	event_active(st->timer, EV_TIMEOUT, 0);
}

static bool
staging_is_refusable(const struct change *c)
{
	const struct staging *st = (const struct staging *)c;

	return st->phase == STAGING_ADDS || st->phase == STAGING_TAKES;
}

static void
staging_refuse(struct queue *q, struct change *c, int error)
{
	struct staging *st = (struct staging *)c;

	st->committing = false;
	submit_refuse_for(q, st->submission, error);
	if (st->id == 0) {
		staging_free(q, st);
		return;
	}
	st->phase = STAGING_REMOVES;
	st->end = st->at; /* of what is on disk */
	st->at = 0;
	event_active(st->timer, EV_TIMEOUT, 0);
}

static const struct change_ops staging_ops = {
	.rows = staging_rows,
	.apply = staging_apply,
	.committed = staging_committed,
	.is_refusable = staging_is_refusable,
	.refuse = staging_refuse,
};

/* The next part. */
static void
staging_go_on(evutil_socket_t fd, short what, void *arg)
{
	struct staging *st = arg;

	(void)fd;
	(void)what;
	if (st->committing)
		return;
	st->committing = true;
	group_add(st->queue, &st->change);
}

static struct staging *
staging_new(struct queue *q, struct submission *submission)
{
	struct staging *st = calloc(1, sizeof(*st));

	if (st == NULL)
		return NULL;
	st->timer = evtimer_new(q->role.base, staging_go_on, st);
	if (st->timer == NULL) {
		free(st);
		return NULL;
	}
	st->change.ops = &staging_ops;
	st->queue = q;
	st->submission = submission;
	TAILQ_INSERT_TAIL(&q->stagings, st, entry);
	event_active(st->timer, EV_TIMEOUT, 0);
	return st;
}

bool
staging_is_wanted(const struct submission *submission)
{
	return submission->envelope.nrcpts > STAGING_PART;
}

int
staging_begin(struct queue *q, struct submission *submission)
{
	struct staging *st = staging_new(q, submission);

	if (st == NULL)
		return -1;
	st->end = submission->envelope.nrcpts;
	st->created_ms = submission->envelope.created_ms;
	return 0;
}

uint32_t
staging_recipients(const struct queue *q)
{
	const struct staging *st;
	uint32_t n = 0;

	TAILQ_FOREACH(st, &q->stagings, entry)
		n += st->end;
	return n;
}

void
staging_cancel(struct queue *q, uint64_t request)
{
	struct staging *st;

	TAILQ_FOREACH(st, &q->stagings, entry)
		if (st->submission != NULL &&
		    st->submission->request == request)
			st->submission->cancelled = true;
}

void
staging_cancel_all(struct queue *q)
{
	struct staging *st;

	TAILQ_FOREACH(st, &q->stagings, entry)
		if (st->submission != NULL)
			st->submission->cancelled = true;
}

static bool
staging_is_known(const struct queue *q, uint64_t id)
{
	const struct staging *st;

	TAILQ_FOREACH(st, &q->stagings, entry)
		if (st->id == id)
			return true;
	return false;
}

static void
staging_recover_one(struct queue *q, const struct store_staged *found)
{
	struct staging *st = staging_new(q, NULL);

	if (st == NULL)
		return; /* the next start */
	st->id = found->message;
	st->created_ms = found->created_ms;
	st->end = found->end;
	st->phase = found->is_complete ? STAGING_RELEASES : STAGING_REMOVES;
	log_line(LOG_INFO,
	    "%" PRIX64 ": a message of %u recipients was being taken when the "
	    "queue ended: %s",
	    st->id, st->end,
	    found->is_complete ? "it goes on"
			       : "its client was not answered, it is dropped");
}

void
staging_recover(struct queue *q)
{
	struct store_staged found = { 0 };
	int more;

	while ((more = store_next_staged(q->store, found.message, &found)) == 1)
		if (!staging_is_known(q, found.message))
			staging_recover_one(q, &found);
	if (more == -1)
		log_line(LOG_ERROR, "reading the queue: %s",
		    store_error(q->store));
}

void
staging_clear(struct queue *q)
{
	struct staging *st;

	while ((st = TAILQ_FIRST(&q->stagings)) != NULL)
		staging_free(q, st);
}
