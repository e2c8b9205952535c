/* SPDX-License-Identifier: ISC */
/*
 * Jobs: one transaction of a session, from the scheduler to each recipient's
 * outcome.  A recipient gets its outcome from here once, or goes back.
 */
#include "master/queue/queue_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/parameters.h"
#include "common/util.h"
#include "master/queue/action.h"
#include "master/queue/count.h"
#include "master/queue/delivered_to.h"
#include "master/queue/era.h"
#include "master/queue/postpone.h"
#include "master/queue/transcript.h"

#define TRANSACTION_RETURNS_MAX 5

struct job *
transaction_find(const struct session *s, uint64_t id)
{
	struct job *job;

	TAILQ_FOREACH(job, &s->jobs, entry)
		if (job->id == id && job->sent)
			return job;
	return NULL;
}

/* It goes back into the queue, where an operator wants something of it. */
static void
transaction_obey(struct queue *q, const struct session *s,
    struct schedule_recipient *r)
{
	char reply[QUEUE_REPLY_SIZE + 64];
	struct attempt a = { .id = r->message->id,
		.index = r->index,
		.flags = r->message->flags,
		.created_ms = r->message->created_ms,
		.attempts = r->attempts,
		.was_in_doubt = r->in_doubt,
		.parameters = r->message->parameters,
		.reverse_path = r->message->reverse_path,
		.rcpt_parameters = r->parameters,
		.warned = r->warned,
		.via = target_via(q, s->target, r),
		.recipient = r->address,
		.relay = s->relay,
		.reply = "",
		.transport = count_transport(q, s->target),
		.target = s->target,
		.group = s->target->group };

	if (r->wish == ACT_EXPIRE) {
		action_fail(&a, reply, sizeof(reply));
		settle(q, &a);
	} else {
		action_carry_out(q, r);
	}
	schedule_forget(q->schedule, r);
}

/* Those of whom nothing is wanted stay. */
static void
transaction_obey_all(struct queue *q, const struct session *s,
    struct schedule_recipients *recipients)
{
	struct schedule_recipients all = TAILQ_HEAD_INITIALIZER(all);
	struct schedule_recipient *r;

	TAILQ_CONCAT(&all, recipients, entry);
	while ((r = TAILQ_FIRST(&all)) != NULL) {
		TAILQ_REMOVE(&all, r, entry);
		if (r->wish == 0)
			TAILQ_INSERT_TAIL(recipients, r, entry);
		else
			transaction_obey(q, s, r);
	}
}

/* A reload may have given them another way, or an operator has stopped this one:
 * the store knows which, or that they wait. */
static void
transaction_return(struct queue *q, const struct session *s,
    struct schedule_recipients *recipients)
{
	struct schedule_destination *d = s->target->destination;

	transaction_obey_all(q, s, recipients);
	if (TAILQ_EMPTY(recipients))
		return;
	if (s->generation != q->generation || d->stopped ||
	    !era_is_ours(q, TAILQ_FIRST(recipients)->message->id)) {
		schedule_put_back(q->schedule, recipients);
		q->scan_again = true;
	} else if (schedule_give_back(q->schedule, d, recipients) == -1) {
		q->scan_again = true;
	}
}

/* That its recipients are active, which is on disk before it is sent. */
struct activation {
	struct change change;
	struct job *job; /* NULL: it is void meanwhile */
};

static uint32_t
activation_rows(const struct change *c)
{
	const struct job *job = ((const struct activation *)c)->job;

	return job != NULL ? job->nrcpt : 1;
}

static int
activation_apply(struct queue *q, struct change *c)
{
	const struct job *job = ((const struct activation *)c)->job;
	uint32_t i;

	for (i = 0; job != NULL && i < job->nrcpt; i++)
		if (store_mark_active(q->store, job->message->id,
			job->recipients[i]->index) == -1 &&
		    errno != ENOENT)
			return -1;
	return 0;
}

static void
activation_committed(struct queue *q, struct change *c)
{
	struct job *job = ((struct activation *)c)->job;

	if (job != NULL) {
		job->activation = NULL;
		session_job_committed(q, job);
	}
	free(c);
}

static bool
activation_is_given_up(const struct change *c)
{
	(void)c;
	return true;
}

static void
activation_give_up(struct queue *q, struct change *c)
{
	struct job *job = ((struct activation *)c)->job;

	if (job != NULL) {
		job->activation = NULL;
		session_job_failed(q, job);
	}
	free(c);
}

static void
activation_clear(struct change *c)
{
	free(c);
}

static const struct change_ops activation_ops = {
	.rows = activation_rows,
	.apply = activation_apply,
	.committed = activation_committed,
	.is_given_up = activation_is_given_up,
	.give_up = activation_give_up,
	.clear = activation_clear,
};

bool
transaction_activate(struct job *job)
{
	struct activation *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return false;
	a->change.ops = &activation_ops;
	a->job = job;
	job->activation = a;
	group_add(job->session->queue, &a->change);
	return true;
}

void
transaction_free(struct job *job)
{
	struct session *s = job->session;

	transaction_return(s->queue, s, &job->again);
	if (job->activation != NULL)
		job->activation->job = NULL;
	postpone_clear(job);
	TAILQ_REMOVE(&s->jobs, job, entry);
	s->njobs--;
	s->queue->njobs--;
	free(job);
	if (s->njobs == 0 && s->quit_sent)
		session_watch(s);
}

/* What is left of a job goes back, and is due as it was before. */
void
transaction_give_back(struct job *job)
{
	struct queue *q = job->session->queue;
	struct schedule_recipients back = TAILQ_HEAD_INITIALIZER(back);
	int64_t now_ms = time_real_ms();
	uint32_t i;

	for (i = 0; i < job->nrcpt; i++) {
		if (job->recipients[i] == NULL)
			continue;
		if (job->activation == NULL)
			settle_unbegun(q, job->message->id,
			    job->recipients[i]->index,
			    job->recipients[i]->in_doubt, now_ms);
		TAILQ_INSERT_TAIL(&back, job->recipients[i], entry);
	}
	transaction_return(q, job->session, &back);
	transaction_free(job);
}

static struct job *
transaction_of(const struct queue *q, uint64_t id, uint32_t index)
{
	struct session *s;
	struct job *job;

	TAILQ_FOREACH(s, &q->sessions, entry)
		TAILQ_FOREACH(job, &s->jobs, entry)
			for (uint32_t i = 0;
			     job->message->id == id && i < job->nrcpt; i++)
				if (job->recipients[i] != NULL &&
				    job->recipients[i]->index == index)
					return job;
	return NULL;
}

bool
transaction_take_back(struct queue *q, uint64_t id, uint32_t index)
{
	struct job *job = transaction_of(q, id, index);
	struct session *s;

	if (job == NULL || job->sent || postpone_has_any(job))
		return false;
	s = job->session;
	transaction_give_back(job);
	session_rest(s);
	return true;
}

static void
transaction_delays(const struct job *job, const struct schedule_recipient *r,
    int64_t delays_ms[static 4])
{
	const struct session *s = job->session;
	int64_t now_ms = time_real_ms();
	int64_t setup_from = s->started_ms;
	int64_t work_from = job->begun ? job->begun_ms : now_ms;
	int i;

	if (setup_from < job->taken_ms)
		setup_from = job->taken_ms;
	if (setup_from > work_from)
		setup_from = work_from;
	/* Of a session that was up already, the wait is the queue's. */
	if (s->up && s->up_ms <= setup_from)
		setup_from = work_from;
	delays_ms[0] = r->added_ms - job->message->created_ms;
	delays_ms[1] = setup_from - r->added_ms;
	delays_ms[2] = work_from - setup_from;
	delays_ms[3] = now_ms - work_from;
	for (i = 0; i < 4; i++)
		if (delays_ms[i] < 0)
			delays_ms[i] = 0; /* the clock was set */
}

void
transaction_settle(struct job *job, uint32_t i, const struct outcome *outcome,
    const char *reply, const char *relay)
{
	struct session *s = job->session;
	const struct postponed *before = postpone_prefer(job, i, outcome);
	const struct transport *config = session_config(s);
	struct schedule_recipient *r = job->recipients[i];
	char text[QUEUE_REPLY_SIZE + 64];
	uint8_t wished;
	struct attempt a = { .id = job->message->id,
		.index = r->index,
		.flags = job->message->flags,
		.created_ms = job->message->created_ms,
		.attempts = r->attempts + 1,
		.begun = true,
		.was_in_doubt = r->in_doubt,
		.parameters = job->message->parameters,
		.reverse_path = job->message->reverse_path,
		.rcpt_parameters = r->parameters,
		.warned = r->warned,
		.via = target_via(s->queue, s->target, r),
		.recipient = r->address,
		.relay = before != NULL ? before->relay : relay,
		.reply = before != NULL ? before->reply : reply,
		.outcome = before != NULL ? before->outcome : *outcome,
		.tls = s->tls,
		.transport = count_transport(s->queue, s->target),
		.target = s->target,
		.group = s->target->group };

	a.lmtp = session_protocol(config) == SESSION_LMTP;
	a.brief = target_is_brief(s->queue, s->target, outcome);
	a.not_before_ms = target_rest_end_ms(s->target);
	transaction_delays(job, r, a.delays_ms);
	if (before != NULL && !before->is_pending)
		log_line(LOG_INFO,
		    "session %u: %s: %" PRIX64 ": <%s>: %s: no address is left",
		    s->number, relay, job->message->id, r->address, reply);
	a.outcome.again = OUTCOME_AGAIN_NOT;
	wished = a.outcome.status == OUTCOME_DEFERRED ? r->wish : 0;
	if (wished == ACT_EXPIRE)
		action_fail(&a, text, sizeof(text));
	settle(s->queue, &a);
	if (wished == ACT_DELETE)
		action_carry_out(s->queue, r);
	if (a.outcome.status != OUTCOME_DELIVERED)
		transcript_outcome(job, r, &a.outcome, a.reply);
	job->recipients[i] = NULL;
	job->left--;
	schedule_forget(s->queue->schedule, r);
}

void
transaction_settle_all(struct job *job, const struct outcome *outcome,
    bool died, const char *reply, const char *relay)
{
	struct outcome each = *outcome;
	uint32_t i;

	if (died)
		each.in_doubt = job->committing;
	for (i = 0; i < job->nrcpt; i++)
		if (job->recipients[i] != NULL)
			transaction_settle(job, i, &each, reply, relay);
	transaction_free(job);
}

/* What a recipient takes in a JOB's tail. */
static size_t
transaction_octets(const struct schedule_recipient *r)
{
	return strlen(r->address) + 1 + strlen(r->parameters) + 1;
}

/* As many recipients as a JOB's tail holds; the others go back. */
struct job *
transaction_take(struct session *s)
{
	struct queue *q = s->queue;
	struct schedule_destination *d = s->target->destination;
	struct schedule_recipients all = TAILQ_HEAD_INITIALIZER(all);
	struct schedule_recipient *r;
	struct job *job;
	size_t room = msg_descs[MSG_JOB].tail;
	uint32_t n;

	n = schedule_take(q->schedule, d, &all);
	job = calloc(1, sizeof(*job) + n * sizeof(job->recipients[0]));
	if (job == NULL) {
		(void)schedule_give_back(q->schedule, d, &all);
		return NULL;
	}
	job->message = TAILQ_FIRST(&all)->message;
	room -= strlen(job->message->reverse_path) + 1 +
	    strlen(job->message->parameters) + 1;
	if (job->message->parameters[0] != '\0')
		room -= PARAMETERS_AGE_MORE;
	while (
	    (r = TAILQ_FIRST(&all)) != NULL && transaction_octets(r) <= room) {
		TAILQ_REMOVE(&all, r, entry);
		room -= transaction_octets(r);
		job->recipients[job->nrcpt++] = r;
	}
	if (schedule_give_back(q->schedule, d, &all) == -1)
		q->scan_again = true;
	job->left = job->nrcpt;
	TAILQ_INIT(&job->again);
	job->id = ++q->last_job;
	job->session = s;
	job->taken_ms = time_real_ms();
	TAILQ_INSERT_TAIL(&s->jobs, job, entry);
	s->njobs++;
	q->njobs++;
	return job;
}

static int
transaction_body(struct queue *q, const struct job *job, int *fdp, bool *ownp)
{
	*ownp = false;
	*fdp = job->message->body_fd;
	if (*fdp != -1)
		return 0;
	if (store_body_fd(q->store, job->message->id, fdp) == -1)
		return -1;
	*ownp = true;
	return 0;
}

static bool
transaction_is_marked(const struct job *job)
{
	const struct transport *config = session_config(job->session);

	/* One that was taken before a reload may have more. */
	return config != NULL && config->delivered_to && job->nrcpt == 1 &&
	    (job->message->flags & SUBMIT_VERIFY) == 0;
}

/* The body under its recipient's name, in the place of what is in *fdp; 1: it
 * was delivered there before. */
static int
transaction_mark(const struct job *job, int *fdp, bool *ownp, uint64_t *sizep)
{
	int fd;
	int returned;

	returned = delivered_to_mark(*fdp, job->message->size,
	    job->recipients[0]->address, &fd, sizep);
	if (returned != 0)
		return returned;
	if (*ownp)
		fd_close(*fdp);
	*fdp = fd;
	*ownp = true;
	return 0;
}

/*
 * Whether a session that is spent may not give it back any more.  Where several
 * wait for mail and each is spent, a message can meet one after the other until
 * the limit is learnt; one that is refused for its own sake ends few sessions.
 */
static bool
transaction_must_stay(const struct job *job)
{
	for (uint32_t i = 0; i < job->nrcpt; i++)
		if (job->recipients[i] != NULL &&
		    job->recipients[i]->returns >= TRANSACTION_RETURNS_MAX)
			return true;
	return false;
}

static int
transaction_send_job(const struct job *job, const char *parameters, int fd,
    uint64_t size)
{
	struct msg_job msg;
	char tail[16384];
	size_t len = 0;
	uint32_t i;

	memset(&msg, 0, sizeof(msg));
	msg.job = job->id;
	msg.size = size;
	msg.nrcpt = job->nrcpt;
	msg.flags = job->message->flags & SUBMIT_TO_WORKER;
	msg.protocol = session_protocol(session_config(job->session));
	msg.returned = transaction_must_stay(job);
	(void)message_tail_add(tail, sizeof(tail), &len,
	    job->message->reverse_path);
	(void)message_tail_add(tail, sizeof(tail), &len, parameters);
	for (i = 0; i < job->nrcpt; i++) {
		(void)message_tail_add(tail, sizeof(tail), &len,
		    job->recipients[i]->address);
		(void)message_tail_add(tail, sizeof(tail), &len,
		    job->recipients[i]->parameters);
	}
	return channel_send(job->session->channel, MSG_JOB, &msg, tail, len,
	    fd);
}

/* It has its outcome here, and the worker never sees it. */
static void
transaction_refuse(struct job *job, unsigned status, const char *dsn,
    const char *why)
{
	struct session *s = job->session;
	struct outcome outcome;

	settle_outcome(&outcome, status, STEP_QUEUE, dsn);
	transaction_settle_all(job, &outcome, false, why, s->relay);
	session_rest(s);
}

/* Once the mark is on disk and the session is up: before, a body would take
 * the number that the worker keeps for its remote. */
void
transaction_send(struct queue *q, struct job *job)
{
	const char *parameters = job->message->parameters;
	char aged[PARAMETERS_MAIL_SIZE];
	uint64_t size = job->message->size;
	int returned = 0;
	bool own;
	int fd;

	if (parameters[0] != '\0') {
		if (!parameters_age(aged, parameters, job->message->created_ms,
			time_real_ms())) {
			/* RFC 2852, 4.1.3; RFC 3463, 3.5 */
			transaction_refuse(job, OUTCOME_FAILED, "5.4.7",
			    "the time to deliver by is over");
			return;
		}
		parameters = aged;
	}
	if (transaction_body(q, job, &fd, &own) == -1)
		returned = -1;
	else if (transaction_is_marked(job))
		returned = transaction_mark(job, &fd, &own, &size);
	if (returned == 0) {
		job->sent = true;
		/* Where the worker is gone, its channel's end settles the job. */
		(void)transaction_send_job(job, parameters, fd, size);
	} else if (returned == 1) {
		/* RFC 3463, 3.5: X.4.6, routing loop detected. */
		transaction_refuse(job, OUTCOME_FAILED, "5.4.6",
		    "the message was delivered to this recipient before, its "
		    "field Delivered-To says: it goes round in a loop");
	} else {
		log_line(LOG_ERROR, "%" PRIX64 ": the body cannot be read: %s",
		    job->message->id, strerror(errno));
		transaction_refuse(job, OUTCOME_DEFERRED, "4.3.0",
		    "the queue cannot read the message");
	}
	if (own)
		fd_close(fd);
}

/* It belongs into another transaction, at once. */
void
transaction_again(struct session *s, struct job *job, uint32_t i)
{
	struct schedule_recipient *r = job->recipients[i];

	settle_unbegun(s->queue, job->message->id, r->index, r->in_doubt,
	    time_real_ms());
	TAILQ_INSERT_TAIL(&job->again, r, entry);
	job->recipients[i] = NULL;
	job->left--;
	job->nagain++;
}
