/* SPDX-License-Identifier: ISC */
/*
 * What a worker says of its session and its jobs, and the agent of a worker: each
 * word is checked against what the worker was given, and one that does not fit
 * ends it.
 */
#include "master/queue/queue_internal.h"

#include <sys/wait.h>

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/util.h"
#include "master/queue/agents.h"
#include "master/queue/count.h"
#include "master/queue/postpone.h"
#include "master/queue/transcript.h"
#include "master/queue/trouble.h"

void
session_up(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_session_up *msg = m->payload;
	struct session *s = channel_arg(from);
	struct job *job;
	struct job *next;

	(void)ctx;
	if (s->up || s->closed) {
		session_fault(s, "SESSION_UP twice");
		return;
	}
	s->dialing = s->unanswered = false;
	s->up = true;
	s->leaves = false;
	s->hosts_up++;
	s->up_ms = time_real_ms();
	s->flights = msg->flights != 0;
	s->tls = msg->tls;
	if (s->tls.on)
		s->target->facts.had_tls = true;
	dial_confirm(s, AVOID_EHLO);
	count_established(s);
	login_succeeded(s);
	trouble_over(s->queue, TROUBLE_REFUSES,
	    count_transport(s->queue, s->target));
	if (s->tls.on)
		trouble_over(s->queue, TROUBLE_TLS,
		    s->target->destination->next_hop);
	for (job = TAILQ_FIRST(&s->jobs); job != NULL; job = next) {
		next = TAILQ_NEXT(job, entry);
		if (job->committed)
			transaction_send(s->queue, job);
	}
	session_rest(s);
	queue_pump_soon(s->queue);
}

void
session_begun(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_job_ref *msg = m->payload;
	struct session *s = channel_arg(from);
	struct job *job = transaction_find(s, msg->job);

	(void)ctx;
	if (job == NULL || job->begun || !s->up) {
		session_fault(s, "BEGUN of no job");
		return;
	}
	job->begun = true;
	job->begun_ms = time_real_ms();
}

void
session_committing(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_job_ref *msg = m->payload;
	struct session *s = channel_arg(from);
	struct job *last = transaction_find(s, msg->job);
	struct job *job;

	(void)ctx;
	if (last == NULL || !s->up) {
		session_fault(s, "COMMITTING of no job");
		return;
	}
	TAILQ_FOREACH(job, &s->jobs, entry) {
		if (!job->sent)
			continue;
		if (!job->begun)
			job->begun_ms = time_real_ms();
		job->begun = true;
		job->committing = true;
		if (job == last)
			break;
	}
}

/* What an outcome says of the server. */
static void
session_judge(struct session *s, struct job *job, const struct outcome *outcome)
{
	if (!outcome->again && !target_is_answer(outcome))
		job->unanswered = true;
	if (outcome->in_doubt)
		s->doubt = true;
}

/* Every recipient of a job has its outcome, or goes into another job. */
static void
session_job_done(struct session *s, struct job *job)
{
	struct schedule_destination *d = s->target->destination;
	bool slow = time_real_ms() - job->taken_ms > QUEUE_JOBS_SLOW_MS;
	bool answered = !job->unanswered;

	transaction_free(job);
	/* Whose turn comes next waits for what a session holds already. */
	if (slow) {
		s->ahead = QUEUE_JOBS_AHEAD;
		s->smooth = 0;
	} else if (s->ahead <
		(s->flights ? QUEUE_JOBS_AHEAD_MAX : QUEUE_JOBS_AHEAD_DATA) &&
	    ++s->smooth >= s->ahead) {
		s->ahead *= 2;
		s->smooth = 0;
	}
	s->succeeded++;
	/* Even a refusal is an answer: the destination is alive. */
	if (answered) {
		s->answered++;
		schedule_succeeded(s->queue->schedule, d);
	}
	if (d->waiting == 0 || s->quitting)
		session_rest(s);
	queue_pump_soon(s->queue);
}

/* A message was taken: so were its commands, in the way that they were sent. */
static void
session_confirm(struct session *s)
{
	int64_t keep_ms = (int64_t)s->queue->config->broken_server_time * 1000;

	dial_confirm(s, AVOID_PIPELINING | AVOID_CHUNKING);
	if (s->flights)
		destination_facts_note_chunking(&s->target->facts, &s->dial,
		    time_monotonic_ms(), keep_ms);
}

/* Sent so, or perhaps sent: whoever checks it there finds a signature that does
 * not hold, and nothing else tells the operator why. */
static void
session_note_broken(struct session *s, struct job *job,
    const struct outcome *outcome)
{
	if (outcome->broke_signature == 0 || job->is_broken ||
	    (outcome->status != OUTCOME_DELIVERED && !outcome->in_doubt))
		return;
	job->is_broken = true;
	log_line(LOG_WARN,
	    "%" PRIX64 ": converted for %s, which does not take its octets as "
	    "they are: its DKIM signature does not hold there "
	    "(mime_output_conversion)",
	    job->message->id, s->relay);
}

void
session_outcome(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_outcome *msg = m->payload;
	struct session *s = channel_arg(from);
	struct job *job = transaction_find(s, msg->job);
	char reply[QUEUE_REPLY_SIZE];

	(void)ctx;
	if (job == NULL || msg->rcpt >= job->nrcpt ||
	    job->recipients[msg->rcpt] == NULL ||
	    postpone_is_pending(job, msg->rcpt) ||
	    (msg->outcome.status == OUTCOME_DELIVERED && !job->begun)) {
		session_fault(s, "OUTCOME of no recipient");
		return;
	}
	s->used = true;
	session_text(m, reply);
	session_judge(s, job, &msg->outcome);
	session_note_broken(s, job, &msg->outcome);
	if (msg->outcome.status == OUTCOME_DELIVERED) {
		s->succeeded++;
		job->ndelivered++;
		session_confirm(s);
	} else {
		s->ahead = QUEUE_JOBS_AHEAD;
		s->smooth = 0;
	}
	/* Where no other of the transaction has an outcome, this one has: no
	 * worker can have recipients go round and round. */
	if (postpone_take(job, msg->rcpt, &msg->outcome, reply))
		;
	else if (postpone_is_open(s, &msg->outcome))
		transaction_again(s, job, msg->rcpt);
	else if (msg->outcome.again == OUTCOME_AGAIN_HERE &&
	    (job->left > 1 || job->nrcpt - job->left > job->nagain))
		transaction_again(s, job, msg->rcpt);
	else
		transaction_settle(job, msg->rcpt, &msg->outcome, reply,
		    s->relay);
	if (job->left == 0 && !postpone_end(job))
		session_job_done(s, job);
}

/* The connection was spent: it comes back for that so many times only. */
static void
session_mark_returned(struct job *job, const struct msg_again *msg)
{
	for (uint32_t i = 0; i < job->nrcpt; i++) {
		if (job->recipients[i] == NULL)
			continue;
		if (msg->spent != 0 && job->recipients[i]->returns < UINT8_MAX)
			job->recipients[i]->returns++;
		if (msg->in_doubt != 0)
			job->recipients[i]->in_doubt = true;
	}
}

/*
 * A job behind one that failed, or that never left.  Something was settled each
 * time, so that no worker can have jobs go round and round.
 */
void
session_again(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_again *msg = m->payload;
	struct session *s = channel_arg(from);
	struct job *job = transaction_find(s, msg->job);

	(void)ctx;
	if (job == NULL || !job->begun ||
	    ++s->returned > QUEUE_JOBS_AHEAD_MAX * (s->succeeded + 1)) {
		session_fault(s, "AGAIN of no job");
		return;
	}
	s->used = true;
	session_mark_returned(job, msg);
	if (msg->in_doubt != 0)
		log_line(LOG_INFO,
		    "session %u: %s: %" PRIX64 ": perhaps delivered: the "
		    "connection ended before the reply; it is sent again",
		    s->number, s->relay, job->message->id);
	transaction_give_back(job);
	if (s->quitting)
		session_rest(s);
	queue_pump_soon(s->queue);
}

/* It ended after it had delivered: whether after a number of messages. */
static void
session_note_end(struct session *s, const struct msg_closed *msg,
    const char *reply)
{
	int64_t keep_ms = (int64_t)s->queue->config->broken_server_time * 1000;

	if (msg->spent == 0)
		return;
	log_line(LOG_DEBUG, "session %u: %s: ended by the server: %s",
	    s->number, s->relay, reply);
	if (destination_facts_note_end(&s->target->facts, msg->limit,
		time_monotonic_ms(), keep_ms))
		log_line(LOG_INFO,
		    "learnt of %s: it takes %u messages a connection", s->relay,
		    msg->limit);
}

void
session_over(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_closed *msg = m->payload;
	struct session *s = channel_arg(from);
	struct outcome outcome = msg->outcome;
	char reply[QUEUE_REPLY_SIZE];

	(void)ctx;
	if (s->closed) {
		session_fault(s, "CLOSED twice");
		return;
	}
	session_text(m, reply);
	dial_learn(s, msg->learnt);
	session_note_end(s, msg, reply);
	if (outcome.status != OUTCOME_FAILED)
		outcome.status = OUTCOME_DEFERRED;
	if (!msg->failed || outcome.dsn[0] == '\0')
		(void)strlcpy(outcome.dsn, "4.4.2", sizeof(outcome.dsn));
	if (msg->failed) {
		destination_facts_forget_chunking(&s->target->facts);
		count_session_failure(s->queue, &outcome);
		log_line(LOG_INFO, "session %u: %s: %s", s->number, s->relay,
		    reply);
		transcript_failed(s, &outcome, reply);
	}
	/* One that gave back all it had was of no use: not again at once. */
	session_end(s,
	    msg->failed || (s->njobs > 0 && msg->spent == 0) ||
		    (s->returned > 0 && s->succeeded == 0)
		? &outcome
		: NULL,
	    reply, false);
	s->closed = true;
	s->quitting = true;
	s->quit_sent = true; /* its end is all that may follow */
	session_watch(s);
	queue_pump_soon(s->queue);
}

void
session_dialogue(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_dialogue *msg = m->payload;
	struct session *s = channel_arg(from);
	char line[QUEUE_REPLY_SIZE];

	if (!s->verbose || s->closed) {
		session_fault(s, "DIALOGUE that nobody asked for");
		return;
	}
	session_text(m, line); /* a client shows it on a terminal */
	report_trace(ctx, s, msg, line);
}

/* What a worker dies of that was attacked, or has a fault of ours. */
static bool
session_was_crash(int status)
{
	static const int signals[] = { SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGSYS,
		SIGFPE, SIGTRAP };

	for (size_t i = 0; WIFSIGNALED(status) && i < NELEM(signals); i++)
		if (WTERMSIG(status) == signals[i])
			return true;
	return false;
}

/* Mostly its channel has ended before, and there is nothing left to find. */
void
session_gone(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_gone *msg = m->payload;
	struct queue *q = ctx;
	struct session *s;
	int status = msg->status;

	/* With its last worker an agent of before goes too. */
	if (status != -1 && session_was_crash(status))
		agents_spoil_channel(q, from);
	if (!agents_worker_gone(q, from, msg->session)) {
		agents_fault(q, from,
		    "it says that a worker is gone that it "
		    "was never asked for");
		return;
	}
	count_worker_gone(q, status);
	queue_pump_soon(q); /* there is room for another */
	if (status == -1)
		log_line(LOG_ERROR, "session %u: no worker could be forked",
		    msg->session);
	else if (WIFSIGNALED(status))
		log_line(LOG_ERROR, "session %u: worker ended by signal %d%s",
		    msg->session, WTERMSIG(status),
		    WTERMSIG(status) == SIGSYS ? " (a call it may not make)"
					       : "");
	else if (WEXITSTATUS(status) > WORKER_ALONE)
		log_line(LOG_ERROR, "session %u: worker ended with status %d",
		    msg->session, WEXITSTATUS(status));
	if (status != -1)
		return;
	TAILQ_FOREACH(s, &q->sessions, entry)
		if (s->number == msg->session)
			break;
	if (s != NULL)
		session_fault(s, "was never forked");
}
