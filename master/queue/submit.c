/* SPDX-License-Identifier: ISC */
/*
 * Jobs from the intake: an envelope comes in one or more packets, is committed,
 * and only then is its client told.
 *
 * The intake speaks with clients, so it is less trusted than we: what breaks a
 * rule of message.h here ends its channel.
 */
#include "master/queue/count.h"
#include "master/queue/queue_internal.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/parameters.h"
#include "common/util.h"
#include "master/queue/action.h"
#include "master/queue/ask.h"
#include "master/queue/era.h"
#include "master/queue/notice_policy.h"
#include "master/queue/receipts.h"
#include "master/queue/staging.h"
#include "master/queue/transient.h"

enum {
	SUBMIT_ADDRESSES_FIRST = 16,
	/* Recipients of jobs on their way to the disk; one job may have more.  All
	 * that is to be written waits with them. */
	SUBMIT_WAITING_MAX = 20000,
};

void
submission_free(struct submission *s)
{
	uint32_t i;

	if (s == NULL)
		return;
	for (i = 0; i < s->envelope.nrcpts; i++) {
		free(s->addresses[i]);
		if (s->parameters != NULL)
			free(s->parameters[i]);
	}
	free(s->addresses);
	free(s->parameters);
	free(s->mail_parameters);
	free(s->ref);
	free(s->via);
	free(s->client);
	free(s->reverse_path);
	fd_close(s->body_fd);
	free(s);
}

static void
submit_drop(struct queue *q, struct submission *s)
{
	TAILQ_REMOVE(&q->half_jobs, s, entry);
	q->nhalf_jobs--;
	submission_free(s);
}

void
submit_clear(struct queue *q)
{
	while (!TAILQ_EMPTY(&q->half_jobs))
		submit_drop(q, TAILQ_FIRST(&q->half_jobs));
}

int
submit_keep(struct queue *q, const struct submission *s)
{
	if (s->of_client && !s->cancelled)
		receipts_note(q->receipts, s->request, s->envelope.id,
		    s->envelope.created_ms);
	if (!era_keeps(q) || s->wait == WAIT_QUEUED || s->cancelled)
		return 0;
	return store_keep(q->store, s->envelope.id);
}

static struct submission *
submit_find(struct queue *q, uint64_t request)
{
	struct submission *s;

	TAILQ_FOREACH(s, &q->half_jobs, entry)
		if (s->request == request)
			return s;
	return NULL;
}

void
submit_refuse(struct queue *q, uint64_t request, uint16_t code, const char *dsn,
    const char *why)
{
	struct msg_refused refused;

	memset(&refused, 0, sizeof(refused));
	count_refused(q, code);
	refused.request = request;
	refused.code = code;
	(void)strlcpy(refused.dsn, dsn, sizeof(refused.dsn));
	if (q->intake != NULL)
		(void)channel_send(q->intake, MSG_REFUSED, &refused, why,
		    strlen(why), -1);
}

void
submit_refused(struct queue *q, struct submission *s, uint16_t code,
    const char *dsn, const char *why)
{
	if (!s->cancelled)
		submit_refuse(q, s->request, code, dsn, why);
}

void
submit_refuse_for(struct queue *q, struct submission *s, int error)
{
	if (error == ENOSPC || error == EDQUOT)
		submit_refused(q, s, 452, "4.3.1",
		    "the spool's disk is full, or has less room than "
		    "queue_minfree");
	else
		submit_refused(q, s, 451, "4.3.0",
		    "the queue cannot be written");
}

/* What the intake has seen to already; here it keeps the log in one piece. */
static bool
submit_string_ok(const char *text)
{
	size_t n;

	for (n = 0; text[n] != '\0'; n++)
		if ((unsigned char)text[n] < 0x20 || text[n] == 0x7f)
			return false;
	return n < MSG_ADDRESS_SIZE;
}

static int
submit_grow(char ***list, uint32_t size, uint32_t to)
{
	char **grown = recallocarray(*list, size, to, sizeof(*grown));

	if (grown == NULL)
		return -1;
	*list = grown;
	return 0;
}

static int
submit_add_parameters(struct submission *s, const char *parameters)
{
	if (s->parameters == NULL &&
	    submit_grow(&s->parameters, 0, s->addresses_size) == -1)
		return -1;
	s->parameters[s->envelope.nrcpts] = strdup(parameters);
	return s->parameters[s->envelope.nrcpts] != NULL ? 0 : -1;
}

static int
submit_add_recipient(struct submission *s, const char *address,
    const char *parameters)
{
	uint32_t size = s->addresses_size;
	uint32_t to = size > 0 ? 2 * size : SUBMIT_ADDRESSES_FIRST;
	char *copy;

	if (s->envelope.nrcpts == size) {
		if (submit_grow(&s->addresses, size, to) == -1 ||
		    (s->parameters != NULL &&
			submit_grow(&s->parameters, size, to) == -1))
			return -1;
		s->addresses_size = to;
	}
	copy = strdup(address);
	if (copy == NULL)
		return -1;
	if (parameters[0] != '\0' &&
	    submit_add_parameters(s, parameters) == -1) {
		free(copy);
		return -1;
	}
	s->addresses[s->envelope.nrcpts++] = copy;
	return 0;
}

/* Why a job cannot be read that may be right: by these very pointers. */
static const char no_memory[] = "out of memory";
static const char no_body[] = "the body cannot be read";

/* Only what is wrong with the job itself is for good. */
static void
submit_refuse_read(struct queue *q, const struct submission *s, const char *why)
{
	if (why == no_memory || why == no_body)
		submit_refuse(q, s->request, 451, "4.3.0", why);
	else
		submit_refuse(q, s->request, 554, "5.5.4", why);
}

/* Reads recipients up to the end of the tail.  NULL, or why not. */
static const char *
submit_read_recipients(const struct queue *q, struct submission *s,
    const struct message *m, size_t *at)
{
	const char *address, *parameters, *why;

	while ((address = message_tail_next(m, at)) != NULL) {
		if (address[0] == '\0' || !submit_string_ok(address))
			return "an address is empty, too long or has controls";
		parameters = message_tail_next(m, at);
		if (parameters == NULL)
			return "a recipient is cut off";
		why = parameters_check(parameters, PARAMETER_OF_RCPT);
		if (why != NULL)
			return why;
		if (s->envelope.nrcpts >=
		    (uint32_t)q->config->job_recipient_limit)
			return "too many recipients";
		if (submit_add_recipient(s, address, parameters) == -1)
			return no_memory;
	}
	return NULL;
}

static const char *
submit_read_strings(struct submission *s, const struct message *m, size_t *at)
{
	const char *sender = message_tail_next(m, at);
	const char *parameters = message_tail_next(m, at);
	const char *ref = message_tail_next(m, at);
	const char *via = message_tail_next(m, at);
	const char *client = s->logged ? message_tail_next(m, at) : "";
	const char *why;

	if (via == NULL || client == NULL || !submit_string_ok(sender) ||
	    !submit_string_ok(ref) || !submit_string_ok(via) ||
	    !submit_string_ok(client))
		return "sender, ref, via or client is too long or has controls";
	why = parameters_check(parameters, PARAMETER_OF_MAIL);
	if (why != NULL)
		return why;
	s->reverse_path = strdup(sender);
	s->mail_parameters = strdup(parameters);
	s->ref = strdup(ref);
	s->via = strdup(via);
	s->client = s->logged ? strdup(client) : NULL;
	if (s->reverse_path == NULL || s->mail_parameters == NULL ||
	    s->ref == NULL || s->via == NULL ||
	    (s->logged && s->client == NULL))
		return no_memory;
	s->envelope.reverse_path = s->reverse_path;
	s->envelope.parameters = s->mail_parameters;
	s->envelope.ref = s->ref;
	s->envelope.via = s->via;
	return NULL;
}

/* Nobody may change or cut a body while a worker reads it. */
static const char *
submit_check_body(const struct queue *q, int fd, uint64_t size)
{
	struct stat st;
	int seals;

	seals = fcntl(fd, F_GET_SEALS);
	if (seals != -1 && fstat(fd, &st) == -1)
		return no_body;
	if (seals == -1 || (seals & FD_SEALS) != FD_SEALS ||
	    (uint64_t)st.st_size != size ||
	    size > q->config->message_size_limit + SUBMIT_TRACE_MAX)
		return "the body is not sealed, or not of its size";
	return NULL;
}

static const char *
submit_read(struct queue *q, struct submission *s, const struct message *m)
{
	const char *why;
	size_t at = 0;

	why = submit_check_body(q, s->body_fd, s->envelope.size);
	if (why != NULL)
		return why;
	why = submit_read_strings(s, m, &at);
	if (why != NULL)
		return why;
	if (s->via[0] != '\0' && config_transport(q->config, s->via) == NULL)
		return "via names no transport";
	return submit_read_recipients(q, s, m, &at);
}

/* The disk is slower than those who hand in. */
static bool
submit_is_full(const struct queue *q)
{
	return q->nrows + staging_recipients(q) > SUBMIT_WAITING_MAX;
}

void
submit_begin(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_submit *msg = m->payload;
	struct queue *q = ctx;
	struct submission *s;
	const char *why;

	(void)from;
	s = calloc(1, sizeof(*s));
	if (s == NULL) {
		fd_close(m->fd);
		submit_refuse(q, msg->request, 451, "4.3.0", "out of memory");
		return;
	}
	s->request = msg->request;
	s->body_fd = m->fd;
	s->wait =
	    msg->wait <= WAIT_FINAL ? (enum submit_wait)msg->wait : WAIT_QUEUED;
	s->envelope.size = msg->size;
	s->of_client = true;
	s->logged = (msg->flags & SUBMIT_LOGGED) != 0;
	s->pid = msg->pid;
	s->envelope.flags = msg->flags & ~(SUBMIT_OF_QUEUE | SUBMIT_LOGGED);
	s->envelope.uid = msg->uid;
	if ((msg->flags & SUBMIT_TRANSIENT) != 0) {
		s->envelope.flags |= SUBMIT_ONCE;
		s->wait = WAIT_FINAL;
	}
	TAILQ_INSERT_TAIL(&q->half_jobs, s, entry);
	q->nhalf_jobs++;
	if (q->draining) {
		submit_refuse(q, s->request, 451, "4.3.2", "shutting down");
		submit_drop(q, s);
		return;
	}
	if (q->nhalf_jobs > q->half_jobs_max || submit_is_full(q)) {
		submit_refuse(q, s->request, 451, "4.3.2",
		    "too many jobs at once: try again");
		submit_drop(q, s);
		return;
	}
	why = submit_read(q, s, m);
	if (why == NULL)
		return;
	/* A listener's transport is of the configuration: while that is changed
	 * the intake may have another one than we. */
	if (s->logged && s->via != NULL && s->via[0] != '\0' &&
	    config_transport(q->config, s->via) == NULL)
		submit_refuse(q, s->request, 451, "4.3.5", why);
	else
		submit_refuse_read(q, s, why);
	submit_drop(q, s);
}

/* A part of a job that was refused before is dropped in silence. */
void
submit_more(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_request *msg = m->payload;
	struct queue *q = ctx;
	struct submission *s = submit_find(q, msg->request);
	const char *why;
	size_t at = 0;

	(void)from;
	if (s == NULL)
		return;
	why = submit_read_recipients(q, s, m, &at);
	if (why == NULL)
		return;
	submit_refuse_read(q, s, why);
	submit_drop(q, s);
}

/* As the store wants it: its sender's, or that of a notice, which may be less
 * than that of all others. */
static int64_t
submit_deadline_ms(const struct queue *q, const struct store_envelope *envelope)
{
	int64_t ms =
	    parameters_deadline_ms(envelope->parameters, envelope->created_ms);
	int64_t bounce_ms = envelope->created_ms +
	    (int64_t)q->config->bounce_queue_lifetime * 1000;

	if (envelope->reverse_path[0] == '\0' && bounce_ms < ms &&
	    q->config->bounce_queue_lifetime <
		q->config->maximal_queue_lifetime)
		ms = bounce_ms;
	return ms != INT64_MAX ? ms : 0;
}

void
submit_finish_envelope(const struct queue *q, struct store_envelope *envelope)
{
	envelope->lane = lane_of(envelope->uid, envelope->reverse_path,
	    envelope->parameters);
	envelope->created_ms = time_real_ms();
	envelope->deadline_ms = submit_deadline_ms(q, envelope);
	envelope->remind_ms =
	    notice_remind_ms(envelope->parameters, envelope->created_ms);
}

static uint32_t
submit_rows(const struct change *c)
{
	return ((const struct submission *)c)->envelope.nrcpts;
}

static int
submit_apply(struct queue *q, struct change *c)
{
	struct submission *s = (struct submission *)c;

	if (store_add_message(q->store, &s->envelope,
		(const char *const *)s->addresses,
		(const char *const *)s->parameters, s->body_fd,
		&s->envelope.id) == -1)
		return -1;
	return submit_keep(q, s);
}

static void
submit_on_disk(struct queue *q, struct change *c)
{
	submit_committed(q, (struct submission *)c);
	submission_free((struct submission *)c);
}

static bool
submit_is_refusable(const struct change *c)
{
	(void)c;
	return true;
}

static void
submit_refuse_change(struct queue *q, struct change *c, int error)
{
	submit_refuse_for(q, (struct submission *)c, error);
	submission_free((struct submission *)c);
}

static void
submit_forget(struct change *c)
{
	submission_free((struct submission *)c);
}

static const struct change_ops submit_ops = {
	.rows = submit_rows,
	.apply = submit_apply,
	.committed = submit_on_disk,
	.is_refusable = submit_is_refusable,
	.refuse = submit_refuse_change,
	.clear = submit_forget,
};

/* On its way to the disk, at once or in parts. */
static int
submit_add(struct queue *q, struct submission *s)
{
	if (staging_is_wanted(s))
		return staging_begin(q, s);
	s->change.ops = &submit_ops;
	group_add(q, &s->change);
	return 0;
}

void
submit_end(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_request *msg = m->payload;
	struct queue *q = ctx;
	struct submission *s = submit_find(q, msg->request);

	(void)from;
	if (s == NULL)
		return;
	if (s->envelope.nrcpts == 0) {
		submit_refuse(q, s->request, 554, "5.5.1", "no recipients");
		submit_drop(q, s);
		return;
	}
	if ((s->envelope.flags & SUBMIT_TRANSIENT) != 0) {
		TAILQ_REMOVE(&q->half_jobs, s, entry);
		q->nhalf_jobs--;
		submit_finish_envelope(q, &s->envelope);
		transient_begin(q, s);
		return;
	}
	if (submit_is_full(q)) {
		submit_refuse(q, s->request, 451, "4.3.2",
		    "too many jobs at once: try again");
		submit_drop(q, s);
		return;
	}
	TAILQ_REMOVE(&q->half_jobs, s, entry);
	q->nhalf_jobs--;
	submit_finish_envelope(q, &s->envelope);
	if (submit_add(q, s) == 0)
		return;
	submit_refuse(q, s->request, 451, "4.3.0", "out of memory");
	submission_free(s);
}

void
submit_cancel_all(struct queue *q)
{
	struct change *c;

	STAILQ_FOREACH(c, &q->changes, entry)
		if (c->ops == &submit_ops)
			((struct submission *)c)->cancelled = true;
}

/* The client is gone.  A whole job is on its way to the disk, and is delivered. */
static void
submit_cancel_job(struct queue *q, uint64_t request)
{
	struct submission *s = submit_find(q, request);
	struct change *c;

	if (s != NULL)
		submit_drop(q, s);
	STAILQ_FOREACH(c, &q->changes, entry)
		if (c->ops == &submit_ops &&
		    ((struct submission *)c)->request == request)
			((struct submission *)c)->cancelled = true;
	staging_cancel(q, request);
	report_cancel(q, request);
	transient_cancel(q, request);
}

/* Each role counts its own requests: one's number is another's too. */
void
submit_cancel(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_request *msg = m->payload;
	struct queue *q = ctx;

	if (channel_peer(from) == ROLE_INTAKE) {
		submit_cancel_job(q, msg->request);
		return;
	}
	action_cancel(q, msg->request);
	ask_cancel(q, msg->request);
	if (q->transcript_waiter == msg->request)
		q->transcript_waiter = 0;
}

/* A body in memory spares reading it back; small ones, and not too many. */
static void
submit_keep_body(struct queue *q, struct submission *s)
{
	struct schedule_message *message;

	message = schedule_find_message(q->schedule, s->envelope.id);
	if (message == NULL || message->body_fd != -1 || s->body_fd == -1 ||
	    q->bodies >= q->bodies_max ||
	    s->envelope.size > q->config->inline_body_limit)
		return;
	message->body_fd = s->body_fd; /* closed by queue_message_gone */
	s->body_fd = -1;
	q->bodies++;
}

void
submit_tell(struct queue *q, const struct submission *s)
{
	struct event event = { .kind = EVENT_ACCEPTED,
		.id = s->envelope.id,
		.time_ms = s->envelope.created_ms,
		.reverse_path = s->envelope.reverse_path,
		.ref = s->envelope.ref,
		.uid = s->envelope.uid,
		.pid = s->pid,
		.size = s->envelope.size,
		.nrcpt = s->envelope.nrcpts,
		.client = s->client };

	event_tell(q, &event);
}

void
submit_taken(struct queue *q, struct submission *s)
{
	struct msg_accepted accepted;

	/* A notice is told of by whoever writes it. */
	if (s->of_client) {
		submit_tell(q, s);
		rates_add(&q->rates, RATE_ACCEPTED, 1, time_monotonic_ms());
	}
	if (!s->cancelled && q->intake != NULL) {
		receipts_mark(q->receipts, s->request);
		memset(&accepted, 0, sizeof(accepted));
		accepted.request = s->request;
		accepted.id = s->envelope.id;
		/* Before the first result, which may follow at once. */
		(void)channel_send(q->intake, MSG_ACCEPTED, &accepted, NULL, 0,
		    -1);
		if (s->wait != WAIT_QUEUED &&
		    report_wait(q, s, s->envelope.id) == -1)
			log_line(LOG_WARN,
			    "out of memory: no results for a "
			    "client");
	}
}

void
submit_place(struct queue *q, struct submission *s, uint32_t first,
    uint32_t end)
{
	struct store_recipient recipient = { .message = s->envelope.id };
	char domain[STORE_DOMAIN_SIZE];
	uint32_t i;

	recipient.next_attempt_ms = s->envelope.created_ms;
	recipient.domain = domain;
	recipient.via = "";
	recipient.lane = s->envelope.lane;
	for (i = first; i < end; i++) {
		recipient.index = i;
		recipient.address = s->addresses[i];
		recipient.parameters =
		    s->parameters != NULL && s->parameters[i] != NULL
		    ? s->parameters[i]
		    : "";
		store_address_domain(recipient.address, domain);
		refill_new(q, &s->envelope, &recipient);
	}
	submit_keep_body(q, s);
}

void
submit_committed(struct queue *q, struct submission *s)
{
	submit_taken(q, s);
	submit_place(q, s, 0, s->envelope.nrcpts);
}
