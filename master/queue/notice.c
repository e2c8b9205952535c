/* SPDX-License-Identifier: ISC */
/*
 * When notices are written: those of one message together, some at a turn of the
 * loop, all of a turn in one commit.
 *
 * What is owed stands in the store.  The list here only says where to look, and
 * when; what it has no room for is found by a scan, and so is what a former
 * process left.  A notice and the end of its debts are one commit, so a crash
 * at any time leaves either both or neither.
 */
#include "master/queue/notice.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/address.h"
#include "common/log.h"
#include "common/util.h"
#include "master/queue/era.h"
#include "master/queue/notice_internal.h"
#include "master/queue/outcome_change.h"

/* Time. */

void
notice_arm(struct notices *n, int64_t ms)
{
	int64_t due_ms = time_monotonic_ms() + ms;
	struct timeval tv = { .tv_sec = ms / 1000,
		.tv_usec = ms % 1000 * 1000 };

	if (!n->enabled ||
	    (evtimer_pending(n->timer, NULL) && n->due_ms <= due_ms))
		return;
	n->due_ms = due_ms;
	(void)evtimer_add(n->timer, &tv); /* the sweep arms it again */
}

/* Who waits and hears of it needs no mail, unless that was asked for.  Until
 * that is on disk, a crash leaves the debt: better told twice than not. */
static void
notice_tell_none(struct notices *n, const struct outcome_change *o)
{
	struct told *told;

	if (n->ntold == NOTICE_TOLD_MAX)
		return;
	told = &n->told[n->ntold++];
	told->id = o->outcome.message;
	told->index = o->outcome.index;
	told->kind = o->outcome.notice & NOTICE_KIND;
}

void
notices_committed(struct queue *q, const struct outcome_change *o, bool told)
{
	struct event kept = { .kind = EVENT_KEPT,
		.id = o->outcome.message,
		.recipient = o->event.recipient };

	if (o->kept)
		event_tell(q, &kept);
	if (o->outcome.notice == 0 || !q->notices->enabled)
		return;
	if (told && !o->asked_for)
		notice_tell_none(q->notices, o);
	notice_gather(q, o->outcome.message,
	    schedule_find_message(q->schedule, o->outcome.message) == NULL);
}

/* Writing. */

static bool
begin_next(struct queue *q)
{
	struct notices *n = q->notices;
	uint64_t id;

	while (notice_next(q, &id)) {
		if (!era_is_ours(q, id))
			continue; /* the other generation tells */
		n->writing = notice_new(q, id);
		if (n->writing != NULL)
			return true;
		if (errno == 0)
			continue; /* it has been told meanwhile */
		log_line(LOG_ERROR, "%" PRIX64 ": no notice can be written: %s",
		    id, strerror(errno));
		n->scan = true;
		n->scan_after = 0;
		n->retry_ms = time_monotonic_ms() + NOTICE_RETRY_MS;
		return false;
	}
	return false;
}

/* Until the batch, or what a turn may take, is full; false: it failed. */
static bool
write_some(struct queue *q)
{
	struct notices *n = q->notices;
	size_t left = NOTICE_TURN_OCTETS;
	uint64_t before;
	uint64_t cost;
	int whole;

	while (n->nbatch < NOTICE_BATCH_MAX && left > 0) {
		if (n->writing == NULL && !begin_next(q))
			return true;
		assert(n->writing != NULL);
		before = n->writing->at;
		whole = notice_go_on(n->writing, left);
		if (whole == -1) {
			log_line(LOG_ERROR,
			    "%" PRIX64 ": no notice can be written: %s",
			    n->writing->message, strerror(errno));
			notice_free(n->writing);
			n->writing = NULL;
			return false;
		}
		cost = n->writing->at - before +
		    (uint64_t)n->writing->count * NOTICE_ROW_OCTETS;
		left -= left < cost ? left : (size_t)cost;
		if (whole == 0)
			return true;
		n->batch[n->nbatch++] = n->writing;
		n->writing = NULL;
	}
	return true;
}

static int
clear_debts(struct queue *q, struct notice *notice)
{
	bool removed;
	uint32_t i;

	for (i = 0; i < notice->count; i++) {
		if (store_notice_told(q->store, notice->message,
			notice->rows[i].index, notice->rows[i].kind,
			notice->reader, &removed) == -1)
			return -1;
		notice->removed = notice->removed || removed;
	}
	return 0;
}

/* The configuration that had somebody to tell of it is gone. */
static int
keep_all(struct queue *q, struct notice *notice)
{
	struct store_outcome kept = { .message = notice->message,
		.state = STORE_HELD,
		.finished_ms = time_real_ms(),
		.begun = true,
		.warned = NOTICE_KEPT };
	uint32_t i;

	for (i = 0; i < notice->count; i++) {
		kept.index = notice->rows[i].index;
		if (store_set_outcome(q->store, &kept, &notice->removed) ==
			-1 &&
		    errno != ENOENT)
			return -1;
	}
	return 0;
}

static int
add_notice(struct queue *q, struct notice *notice)
{
	struct submission *s = notice->submission;

	if (notice->nobody && notice->sender[0] == '\0')
		return keep_all(q, notice);
	if (notice->nobody)
		return clear_debts(q, notice);
	submit_finish_envelope(q, &s->envelope);
	if (store_add_message(q->store, &s->envelope,
		(const char *const *)s->addresses,
		(const char *const *)s->parameters, s->body_fd,
		&s->envelope.id) == -1)
		return -1;
	return clear_debts(q, notice);
}

static int
commit_batch(struct queue *q)
{
	struct notices *n = q->notices;
	bool removed;
	uint32_t i;

	if (n->ntold == 0 && n->nbatch == 0)
		return 0;
	if (store_begin(q->store) == -1)
		return -1;
	for (i = 0; i < n->ntold; i++)
		if (store_notice_told(q->store, n->told[i].id, n->told[i].index,
			n->told[i].kind, NOTICE_TO_SENDER, &removed) == -1)
			goto fail;
	for (i = 0; i < n->nbatch; i++)
		if (add_notice(q, n->batch[i]) == -1)
			goto fail;
	n->ntold = 0;
	return store_commit(q->store);
fail:
	store_rollback(q->store);
	return -1;
}

static void
drop_batch(struct notices *n)
{
	while (n->nbatch > 0)
		notice_free(n->batch[--n->nbatch]);
}

/* It is a message like any other from here on. */
static void
tell(struct queue *q, struct notice *notice)
{
	static const char *const words[NOTICE_CLASSES] = {
		[NOTICE_FAILURE] = "non-delivery notification",
		[NOTICE_DELAY] = "delay notification",
		[NOTICE_SUCCESS] = "delivery status notification",
	};
	struct event event = { .kind = EVENT_NOTICE,
		.id = notice->message,
		.reader = notice->reader == NOTICE_TO_SENDER ? "sender"
							     : "postmaster",
		.notice = words[notice->class],
		.notice_class = notice->class,
		.notice_id = notice->submission->envelope.id };
	struct event removed = { .kind = EVENT_REMOVED, .id = notice->message };

	if (!notice->nobody) {
		event_tell(q, &event);
		submit_committed(q, notice->submission);
	}
	if (notice->removed)
		event_tell(q, &removed);
	if (notice->more)
		notice_gather(q, notice->message, true);
}

static void
tell_batch(struct queue *q)
{
	struct notices *n = q->notices;
	uint32_t i, count = n->nbatch;

	n->nbatch = 0; /* it is over: what it tells of may owe more */
	for (i = 0; i < count; i++) {
		tell(q, n->batch[i]);
		notice_free(n->batch[i]);
	}
	if (count > 0)
		queue_pump_soon(q);
}

/* Soon where there is work, else when the next one has been gathered. */
static void
arm_next(struct notices *n, bool walking)
{
	int64_t now_ms = time_monotonic_ms();
	int64_t next_ms = INT64_MAX;
	uint32_t i;

	for (i = 0; i < n->ngathered; i++)
		if (n->gathered[i].until_ms < next_ms)
			next_ms = n->gathered[i].until_ms;
	if (n->writing != NULL || n->scan)
		next_ms = now_ms;
	else if (walking && next_ms > now_ms + NOTICE_TURN_MS)
		next_ms = now_ms + NOTICE_TURN_MS;
	if (next_ms != INT64_MAX)
		notice_arm(n, next_ms > now_ms ? next_ms - now_ms : 0);
}

static void
fail_turn(struct queue *q)
{
	struct notices *n = q->notices;

	log_line(LOG_ERROR, "the queue's store: %s (%s)", strerror(errno),
	    store_error(q->store));
	drop_batch(n);
	n->ntold = 0; /* they are told by mail as well */
	n->scan = true;
	n->scan_after = 0;
	n->retry_ms = time_monotonic_ms() + NOTICE_RETRY_MS;
	notice_arm(n, NOTICE_RETRY_MS);
}

/* False: the store fails; *wait_msp, where it is not 0: it does not say yet what
 * we know, but then it may. */
static bool
write_and_tell(struct queue *q, int64_t *wait_msp)
{
	/* Else a debt is on its way to the disk. */
	if (!group_settle_soon(q, wait_msp))
		return true;
	*wait_msp = 0;
	/* Who needs no mail is out of the way before others are gathered. */
	if (commit_batch(q) == -1 || !write_some(q) || commit_batch(q) == -1)
		return false;
	tell_batch(q);
	return true;
}

static void
notices_turn(evutil_socket_t fd, short what, void *arg)
{
	struct queue *q = arg;
	struct notices *n = q->notices;
	int64_t rest_ms = n->retry_ms - time_monotonic_ms();
	int64_t wait_ms = 0;
	bool walking;

	(void)fd;
	(void)what;
	if (q->draining || q->era == ERA_BESIDE)
		return; /* what is owed is found at the next start */
	if (rest_ms > 0) {
		notice_arm(n, rest_ms);
		return;
	}
	walking = era_schedules(q) && notice_delay_turn(q);
	if (notice_is_due(n) && !write_and_tell(q, &wait_ms))
		fail_turn(q);
	else if (wait_ms > 0)
		notice_arm(n,
		    wait_ms > NOTICE_TURN_MS ? wait_ms : NOTICE_TURN_MS);
	else
		arm_next(n, walking);
}

/* Setting up. */

int
notices_init(struct queue *q)
{
	struct notices *n = calloc(1, sizeof(*n));

	q->notices = n;
	if (n == NULL)
		return -1;
	n->timer = evtimer_new(q->role.base, notices_turn, q);
	n->templates = notice_templates_default();
	return n->timer != NULL && n->templates != NULL ? 0 : -1;
}

void
notices_open(struct queue *q)
{
	struct notices *n = q->notices;

	n->enabled = q->config->queue_store != CONFIG_QUEUE_STORE_MEMORY;
	n->scan = true;
	notices_configure(q);
	notice_arm(n, 0);
}

void
notices_wake(struct queue *q)
{
	q->notices->scan = true;
	q->notices->scan_after = 0;
	notice_arm(q->notices, 0);
}

void
notices_clear(struct queue *q)
{
	struct notices *n = q->notices;

	if (n == NULL)
		return;
	drop_batch(n);
	notice_free(n->writing);
	notice_templates_free(n->templates);
	event_free(n->timer);
	free(n);
	q->notices = NULL;
}

const struct notice_rules *
notice_rules(const struct queue *q)
{
	return q->notices != NULL && q->notices->enabled ? &q->notices->rules
							 : NULL;
}

void
notices_configure(struct queue *q)
{
	const struct config *c = q->config;
	struct notices *n = q->notices;

	n->rules.postmaster_of_failures = c->bounce_notice_recipient[0] != '\0';
	n->rules.postmaster_of_delays = c->delay_notice_recipient[0] != '\0';
	n->rules.postmaster_of_notices = c->double_bounce_recipient[0] != '\0';
	n->rules.delay_warning_ms = (int64_t)c->delay_warning_time * 1000;
	memset(&n->walked, 0, sizeof(n->walked)); /* by another measure */
	(void)strlcpy(n->hostname, c->hostname, sizeof(n->hostname));
	n->is_name = n->hostname[0] != '\0';
	if (!n->is_name &&
	    (gethostname(n->hostname, sizeof(n->hostname)) == -1 ||
		memchr(n->hostname, '\0', sizeof(n->hostname)) == NULL ||
		!address_domain_is_host_name(n->hostname)))
		(void)strlcpy(n->hostname, "localhost", sizeof(n->hostname));
}

void
notices_templates(void *ctx, struct channel *from, const struct message *m)
{
	static char text[NOTICE_TEMPLATE_MAX];
	struct notice_templates *templates;
	struct queue *q = ctx;
	char why[200];
	ssize_t len;
	int line;

	(void)from;
	len = pread(m->fd, text, sizeof(text), 0);
	fd_close(m->fd);
	templates = len == -1
	    ? NULL
	    : notice_templates_read(text, (size_t)len, &line, why, sizeof(why));
	if (templates == NULL) {
		log_line(LOG_ERROR, "the texts of notices cannot be read");
		return;
	}
	notice_templates_free(q->notices->templates);
	q->notices->templates = templates;
}
