/* SPDX-License-Identifier: ISC */
/*
 * See outlet.h.
 *
 * One link at a time.  Of a socket, records go out up to a window, and numbers
 * come back; a command gets one batch, and its status acknowledges all of it.
 * A link that ends, lies or stands still is dropped, and what was on it is told
 * again by the next one.
 */
#include "master/queue/outlet.h"

#include <sys/socket.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/closer.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/util.h"
#include "master/queue/ack.h"
#include "master/queue/outcome_change.h"
#include "master/queue/queue_internal.h"

enum {
	OUTLET_WINDOW = 500,      /* records that are not acknowledged */
	OUTLET_FORGET_MAX = 1000, /* rows of one commit */
	OUTLET_RETRY_MS = 1000,   /* doubled up to: */
	OUTLET_RETRY_MOST_MS = 60000,
	OUTLET_RECORD_SIZE = LOG_LINE_MAX + 64,
	OUTLET_SAY_AGAIN_MS = 600000, /* "still away" */
	OUTLET_LOST_MS = 30000,       /* for an answer of the master */
};

enum outlet_result {
	ACKNOWLEDGED,
	REPEATED,
	DROPPED
};

struct outlet {
	struct queue *queue;
	uint64_t waiting;       /* rows */
	struct event *timer;    /* to ask again, or the end of patience */
	struct event *readable; /* of the link; NULL: there is none */
	struct event *writable;
	int fd;
	bool asked;       /* the master, for a link */
	int64_t asked_ms; /* monotonic; and when a command began */
	bool command;     /* the link is its standard input */
	bool all_out;     /* of a command: its batch is written */
	uint64_t sent;    /* the last that went out by this link */
	uint64_t told;    /* the last that ever went out */
	uint64_t done;    /* the last that is acknowledged */
	struct ack ack;
	int64_t retry_ms;
	int64_t said_ms; /* monotonic; that nobody is there; 0: it is well */
	size_t len;      /* of a record that is not all out */
	size_t at;
	char record[OUTLET_RECORD_SIZE];
};

static bool
outlet_wanted(const struct queue *q)
{
	return q->config->outcome_socket[0] != '\0' ||
	    q->config->outcome_command.count > 0;
}

static void
outlet_arm(struct outlet *o, int64_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000,
		.tv_usec = ms % 1000 * 1000 };

	(void)evtimer_add(o->timer, &tv); /* the sweep asks, too */
}

static void
outlet_gauge(const struct outlet *o)
{
	metrics_set(o->queue->metrics, METRIC_REPORTS_WAITING, 0, o->waiting);
}

static void
outlet_count(const struct outlet *o, enum outlet_result result, uint64_t n)
{
	metrics_add(o->queue->metrics, METRIC_REPORTS, 0, result, n);
}

static void
outlet_drop_link(struct outlet *o)
{
	if (o->readable != NULL)
		event_free(o->readable);
	if (o->writable != NULL)
		event_free(o->writable);
	o->readable = o->writable = NULL;
	closer_give(o->fd, CLOSER_ROLES); /* with all that nobody read */
	o->fd = -1;
	o->len = o->at = 0;
	o->all_out = false;
	memset(&o->ack, 0, sizeof(o->ack));
}

static void
outlet_ask(struct outlet *o)
{
	struct queue *q = o->queue;
	const struct msg_outlet_ask ask = { .generation = q->generation };
	int64_t created_ms;
	uint64_t id;

	if (o->asked || o->fd != -1 || o->command || o->waiting == 0 ||
	    !outlet_wanted(q) || q->draining || q->role.parent == NULL ||
	    evtimer_pending(o->timer, NULL) ||
	    store_next_report(q->store, o->done, &id, &created_ms, NULL, 0) !=
		1)
		return;
	o->done = id - 1; /* numbers before it are done with, or dropped */
	o->asked_ms = time_monotonic_ms();
	o->asked = channel_send(q->role.parent, MSG_OUTLET_ASK, &ask, NULL, 0,
		       -1) == 0;
}

/* Nobody is there, or not as he should be: later again. */
static void
outlet_failed(struct outlet *o, const char *why)
{
	int64_t now_ms = time_monotonic_ms();

	outlet_drop_link(o);
	o->command = false;
	if (o->said_ms == 0 || now_ms > o->said_ms + OUTLET_SAY_AGAIN_MS) {
		log_line(LOG_WARN,
		    "outcome reports: %s; %" PRIu64 " wait, and deliveries go "
		    "on",
		    why, o->waiting);
		o->said_ms = now_ms;
	}
	outlet_arm(o, o->retry_ms);
	if (o->retry_ms < OUTLET_RETRY_MOST_MS)
		o->retry_ms *= 2;
}

static void outlet_changed(struct outlet *o);
static void outlet_delete(struct outlet *o, uint64_t until, bool dropped);

struct deletion {
	struct change change;
	uint64_t until;
	bool dropped;   /* nobody had them */
	uint32_t count; /* that went */
};

static int
deletion_apply(struct queue *q, struct change *c)
{
	struct deletion *d = (struct deletion *)c;

	return store_forget_reports(q->store, d->until, OUTLET_FORGET_MAX,
	    &d->count);
}

static void
deletion_committed(struct queue *q, struct change *c)
{
	struct outlet *o = q->outlet;
	const struct deletion *d = (const struct deletion *)c;

	o->waiting -= d->count < o->waiting ? d->count : o->waiting;
	outlet_count(o, d->dropped ? DROPPED : ACKNOWLEDGED, d->count);
	if (d->count == OUTLET_FORGET_MAX)
		outlet_delete(o, d->until, d->dropped);
	outlet_changed(o);
	free(c);
}

static void
deletion_clear(struct change *c)
{
	free(c);
}

static const struct change_ops deletion_ops = {
	.apply = deletion_apply,
	.committed = deletion_committed,
	.clear = deletion_clear,
};

/* The rows up to there go with the next commit; some at a time. */
static void
outlet_delete(struct outlet *o, uint64_t until, bool dropped)
{
	struct deletion *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return; /* the next acknowledgement covers it, or the sweep */
	d->change.ops = &deletion_ops;
	d->until = until;
	d->dropped = dropped;
	group_add(o->queue, &d->change);
}

/* All up to there have been had. */
static void
outlet_acknowledge(struct outlet *o, uint64_t until)
{
	o->done = until;
	o->retry_ms = OUTLET_RETRY_MS;
	if (o->said_ms != 0)
		log_line(LOG_INFO, "outcome reports are taken again");
	o->said_ms = 0;
	outlet_delete(o, until, false);
}

/* The next record of this link; false: there is none for it now. */
static bool
outlet_next(struct outlet *o)
{
	struct queue *q = o->queue;
	char text[LOG_LINE_MAX];
	int64_t created_ms;
	uint64_t id;
	int n;

	if (o->sent - o->done >= OUTLET_WINDOW ||
	    store_next_report(q->store, o->sent, &id, &created_ms, text,
		sizeof(text)) != 1)
		return false;
	n = snprintf(o->record, sizeof(o->record),
	    "{\"report\":%" PRIu64 ",%s\n", id, text + 1);
	o->len = n > 0 && (size_t)n < sizeof(o->record) ? (size_t)n : 0;
	o->at = 0;
	if (id <= o->told)
		outlet_count(o, REPEATED, 1);
	else
		o->told = id;
	o->sent = id;
	return true;
}

/* 1: it is all out; 0: the link is full; -1: it is gone. */
static int
outlet_write(struct outlet *o)
{
	struct iovec iov;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	while (o->at < o->len) {
		iov.iov_base = o->record + o->at;
		iov.iov_len = o->len - o->at;
		n = sendmsg(o->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return errno == EAGAIN ? 0 : -1;
		o->at += (size_t)n;
	}
	return 1;
}

static void
outlet_push(struct outlet *o)
{
	int rc = 1;

	if (o->fd == -1 || o->all_out)
		return;
	while (rc == 1 && (o->at < o->len || outlet_next(o)))
		rc = outlet_write(o);
	if (rc == -1) {
		/* Of a command, its status is still to come. */
		if (o->command)
			outlet_drop_link(o);
		else
			outlet_failed(o, "the receiver is gone");
		return;
	}
	if (!o->command && o->sent > o->done &&
	    !evtimer_pending(o->timer, NULL))
		outlet_arm(o,
		    (int64_t)o->queue->config->outcome_timeout * 1000);
	if (rc == 0)
		(void)event_add(o->writable, NULL);
	if (rc == 0 || !o->command)
		return;
	o->all_out = true;
	event_free(o->readable);
	event_free(o->writable);
	o->readable = o->writable = NULL;
	closer_give(o->fd, CLOSER_ROLES); /* the end of its input */
	o->fd = -1;
}

static void
outlet_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	outlet_push(arg);
}

/* A number that was not sent is a lie, or of somebody else's link. */
static void
outlet_readable(evutil_socket_t fd, short what, void *arg)
{
	union {
		struct cmsghdr align;
		uint8_t room[CMSG_SPACE(CLOSER_FDS * sizeof(int))];
	} control;
	uint8_t octets[512];
	struct iovec iov = { octets, sizeof(octets) };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.room) };
	struct outlet *o = arg;
	ssize_t n;

	(void)what;
	n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n != -1)
		closer_take(&msg, CLOSER_ROLES);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 && o->command)
		return; /* it closed its input; its status says the rest */
	if (n <= 0 && o->sent == o->done && o->at == o->len) {
		outlet_drop_link(o); /* it has all that there is */
		outlet_ask(o);
		return;
	}
	if (n <= 0) {
		outlet_failed(o, "the receiver closed the socket");
		return;
	}
	if (!ack_feed(&o->ack, octets, (size_t)n) || o->ack.last > o->sent) {
		outlet_failed(o, "the receiver acknowledged what it never got");
		return;
	}
	if (o->ack.last <= o->done)
		return;
	outlet_acknowledge(o, o->ack.last);
	(void)evtimer_del(o->timer); /* it lives: its time begins anew */
	outlet_push(o);
}

static void
outlet_timer(evutil_socket_t fd, short what, void *arg)
{
	struct outlet *o = arg;

	(void)fd;
	(void)what;
	if (o->fd != -1 && !o->command && o->sent > o->done)
		outlet_failed(o, "the receiver acknowledges nothing");
	else
		outlet_ask(o);
}

void
outlet_link(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_outlet *msg = m->payload;
	struct queue *q = ctx;
	struct outlet *o = q->outlet;

	(void)from;
	o->asked = false;
	if (o->fd != -1 || o->command || msg->generation != q->generation) {
		closer_give(m->fd, CLOSER_ROLES);
		outlet_ask(o);
		return;
	}
	o->fd = m->fd;
	o->command = msg->command != 0;
	o->sent = o->done; /* what another link had is told again */
	o->readable = event_new(q->role.base, o->fd, EV_READ | EV_PERSIST,
	    outlet_readable, o);
	o->writable =
	    event_new(q->role.base, o->fd, EV_WRITE, outlet_writable, o);
	if (o->readable == NULL || o->writable == NULL ||
	    (!o->command && event_add(o->readable, NULL) == -1)) {
		outlet_failed(o, "no memory");
		return;
	}
	outlet_push(o);
}

void
outlet_refused(void *ctx, struct channel *from, const struct message *m)
{
	struct queue *q = ctx;
	char why[QUEUE_REPLY_SIZE];

	(void)from;
	q->outlet->asked = false;
	session_text(m, why);
	outlet_failed(q->outlet, why);
}

void
outlet_done(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_outlet *msg = m->payload;
	struct queue *q = ctx;
	struct outlet *o = q->outlet;
	char why[QUEUE_REPLY_SIZE];

	(void)from;
	if (!o->command)
		return; /* of one that was given up */
	if (!msg->good || !o->all_out) {
		session_text(m, why);
		outlet_failed(o,
		    msg->good ? "outcome_command did not read them all" : why);
		return;
	}
	o->command = false;
	outlet_drop_link(o);
	if (o->sent > o->done)
		outlet_acknowledge(o, o->sent);
}

/* Changes. */

static bool
outlet_wants(const struct queue *q, const struct outcome *outcome)
{
	const struct config_list *events = &q->config->outcome_events;
	size_t i;

	if (!outlet_wanted(q))
		return false;
	for (i = 0; i < events->count; i++)
		if (strcmp(events->words[i],
			outcome_status_name(outcome->status)) == 0)
			return true;
	return events->count == 0;
}

int
outlet_apply(struct queue *q, struct outcome_change *c)
{
	char text[LOG_LINE_MAX];

	c->reported = c->told && c->final && outlet_wants(q, &c->event.outcome);
	if (!c->reported)
		return 0;
	event_json(&c->event, text, sizeof(text));
	return store_add_report(q->store, c->event.time_ms, text);
}

static void
outlet_changed(struct outlet *o)
{
	outlet_gauge(o);
	if (o->fd != -1 && !o->command)
		outlet_push(o);
	outlet_ask(o);
}

void
outlet_reported(struct queue *q)
{
	q->outlet->waiting++;
	outlet_changed(q->outlet);
}

/* The oldest go, where they are too old or too many. */
static void
outlet_limit(struct outlet *o)
{
	struct queue *q = o->queue;
	int64_t keep_ms = (int64_t)q->config->outcome_keep_time * 1000;
	uint64_t limit = (uint64_t)q->config->outcome_limit, until = 0, id = 0;
	uint64_t excess = o->waiting > limit ? o->waiting - limit : 0;
	uint32_t i;
	int64_t created_ms;

	for (i = 0; i < OUTLET_FORGET_MAX - 1; i++) {
		if (store_next_report(q->store, id, &id, &created_ms, NULL,
			0) != 1 ||
		    (i >= excess && created_ms > time_real_ms() - keep_ms))
			break;
		until = id;
	}
	if (until == 0)
		return;
	log_line(LOG_WARN,
	    "outcome reports: %u are dropped, for they are too old or too many",
	    i);
	outlet_delete(o, until, true);
}

/* A link, or the status of a command, that the master was to send, and did not. */
static void
outlet_find_lost(struct outlet *o)
{
	int64_t late_ms = time_monotonic_ms() - OUTLET_LOST_MS;

	if (o->asked && o->asked_ms <= late_ms) {
		o->asked = false;
		outlet_failed(o, "the master does not answer");
	} else if (o->command &&
	    o->asked_ms + (int64_t)o->queue->config->outcome_timeout * 1000 <=
		late_ms) {
		outlet_failed(o, "outcome_command has no end");
	}
}

void
outlet_sweep(struct queue *q)
{
	struct outlet *o = q->outlet;

	if (o->waiting > 0)
		outlet_limit(o);
	outlet_find_lost(o);
	outlet_ask(o);
}

void
outlet_configure(struct queue *q)
{
	struct outlet *o = q->outlet;

	if (o == NULL)
		return; /* setting up */
	if (!o->command)
		outlet_drop_link(o);
	o->asked = false;
	o->retry_ms = OUTLET_RETRY_MS;
	(void)evtimer_del(o->timer);
	outlet_ask(o);
}

void
outlet_recount(struct queue *q)
{
	/* What cannot be counted now stays as it was. */
	if (store_count_reports(q->store, &q->outlet->waiting) == 0)
		outlet_gauge(q->outlet);
}

int
outlet_open(struct queue *q)
{
	struct outlet *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return -1;
	q->outlet = o;
	o->queue = q;
	o->fd = -1;
	o->retry_ms = OUTLET_RETRY_MS;
	o->timer = evtimer_new(q->role.base, outlet_timer, o);
	if (o->timer == NULL ||
	    store_count_reports(q->store, &o->waiting) == -1)
		return -1;
	outlet_gauge(o);
	outlet_arm(o, 0);
	return 0;
}

void
outlet_clear(struct queue *q)
{
	struct outlet *o = q->outlet;

	if (o == NULL)
		return;
	outlet_drop_link(o);
	if (o->timer != NULL)
		event_free(o->timer);
	free(o);
	q->outlet = NULL;
}
