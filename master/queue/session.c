/* SPDX-License-Identifier: ISC */
/*
 * Workers: a session from its fork to its end, and the jobs it holds.
 *
 * What a worker says meanwhile is in session_news.c, its addresses in dial.c,
 * what it is given to deliver in transaction.c.
 */
#include "master/queue/queue_internal.h"

#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/util.h"
#include "master/queue/agents.h"
#include "master/queue/count.h"
#include "master/queue/postpone.h"
#include "master/queue/transcript.h"
#include "master/queue/transient.h"

enum {
	SESSION_FIRST_MS = 30000, /* for a fresh worker's first word */
	SESSION_SLACK_MS = 4000,  /* ours beyond the worker's own timers */
	SESSION_LAST_MS = 1000, /* for what it has said, and we have not read */
};

static void session_overdue(evutil_socket_t fd, short what, void *arg);
static void session_set_clock(struct session *s,
    const struct transport *config);

const struct transport *
session_config(const struct session *s)
{
	return s->queue->transports[s->target->destination->transport].config;
}

enum session_protocol
session_protocol(const struct transport *config)
{
	return config != NULL && config->protocol == CONFIG_PROTOCOL_LMTP
	    ? SESSION_LMTP
	    : SESSION_SMTP;
}

/* The text of a tail, with a NUL; message_fields.def says that it is one. */
void
session_text(const struct message *m, char out[static QUEUE_REPLY_SIZE])
{
	size_t n =
	    m->tail_len < QUEUE_REPLY_SIZE ? m->tail_len : QUEUE_REPLY_SIZE - 1;

	memcpy(out, m->tail, n);
	out[n] = '\0';
}

/* Takes a transaction, and has it marked on disk before it is sent. */
static bool
session_give(struct session *s)
{
	struct job *job;

	job = transaction_take(s);
	if (job == NULL)
		return false;
	if (!transient_is(job->message->id) && !transaction_activate(job)) {
		transaction_give_back(job);
		return false;
	}
	s->messages++;
	(void)evtimer_del(s->timer); /* fails for no timer that was set */
	if (job->activation == NULL)
		session_job_committed(s->queue, job);
	return true;
}

void
session_job_committed(struct queue *q, struct job *job)
{
	job->committed = true;
	if (job->session->up)
		transaction_send(q, job);
}

void
session_quit(struct session *s)
{
	struct msg_none none = { 0 };
	struct job *job;
	struct job *next;

	if (s->quit_sent)
		return;
	s->quitting = true;
	s->quit_sent = true;
	/* What is not sent must not follow a QUIT. */
	for (job = TAILQ_FIRST(&s->jobs); job != NULL; job = next) {
		next = TAILQ_NEXT(job, entry);
		if (!job->sent)
			transaction_give_back(job);
	}
	(void)channel_send(s->channel, MSG_QUIT, &none, NULL, 0, -1);
	session_watch(s);
}

/* With nothing to do a session waits for a while, then quits. */
void
session_rest(struct session *s)
{
	const struct transport *config = session_config(s);
	struct timeval tv = { 0 };

	if (s->njobs > 0 || s->quit_sent)
		return;
	if (s->quitting || config == NULL ||
	    config->connection_idle_time == 0 ||
	    limit_wants_sessions(&s->target->destination->limited)) {
		session_quit(s);
		return;
	}
	tv.tv_sec = config->connection_idle_time;
	if (evtimer_add(s->timer, &tv) == -1)
		session_quit(s);
}

/* The store failed: the job waits, and so does its session. */
void
session_job_failed(struct queue *q, struct job *job)
{
	struct session *s = job->session;
	uint32_t i;

	(void)q;
	for (i = 0; i < job->nrcpt; i++)
		TAILQ_INSERT_TAIL(&job->again, job->recipients[i], entry);
	transaction_free(job);
	session_rest(s);
}

/* Sessions. */

static void
session_timeout(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	session_quit(arg);
}

static bool
session_may_take(struct session *s)
{
	const struct transport *config = session_config(s);
	int64_t age_ms = time_monotonic_ms() - s->started_mono_ms;
	uint32_t limit;

	if (s->quitting || s->leaves || config == NULL)
		return false;
	if (s->target->destination->stopped || s->moved)
		s->quitting = true;
	limit = destination_facts_limit(&s->target->facts, time_monotonic_ms());
	if (limit > 0 && s->messages >= limit)
		s->quitting = true;
	if (config->messages_per_connection_limit > 0 &&
	    s->messages >= (uint32_t)config->messages_per_connection_limit)
		s->quitting = true;
	if (s->messages > 0 &&
	    age_ms >= (int64_t)config->connection_reuse_time_limit * 1000)
		s->quitting = true;
	if (s->quitting)
		session_rest(s);
	return !s->quitting;
}

/* So many jobs a session may hold; few where descriptors run short. */
static uint32_t
session_room(const struct session *s, uint32_t ahead)
{
	if (ahead > s->ahead)
		ahead = s->ahead;
	if (ahead > QUEUE_JOBS_AHEAD && s->queue->njobs >= s->queue->bodies_max)
		ahead = QUEUE_JOBS_AHEAD;
	return ahead;
}

/* Every session that holds fewer jobs than that gets more of what waits. */
void
session_feed_all(struct queue *q, uint32_t ahead)
{
	int64_t now_ms = time_monotonic_ms();
	struct schedule_destination *d;
	struct session *s;

	TAILQ_FOREACH(s, &q->sessions, entry) {
		d = s->target->destination;
		while (s->up && d->waiting > 0 &&
		    s->njobs < session_room(s, ahead) && session_may_take(s) &&
		    schedule_may_take(q->schedule, d, now_ms) &&
		    session_give(s))
			;
	}
}

/* A destination and the times of its transport, as the worker gets them. */
void
session_describe(const struct session *s, const struct transport *config,
    struct msg_session *msg)
{
	const char *name = config->ehlo_name[0] != '\0'
	    ? config->ehlo_name
	    : s->queue->config->hostname;
	const int seconds[TIMER_COUNT] = {
		[TIMER_CONNECT] = config->connect_timeout,
		[TIMER_GREETING] = config->greeting_timeout,
		[TIMER_EHLO] = config->helo_timeout,
		[TIMER_STARTTLS] = config->starttls_timeout,
		[TIMER_MAIL] = config->mail_timeout,
		[TIMER_RCPT] = config->rcpt_timeout,
		[TIMER_DATA_INIT] = config->data_init_timeout,
		[TIMER_DATA_BLOCK] = config->data_xfer_timeout,
		[TIMER_DATA_FINAL] = config->data_done_timeout,
		[TIMER_QUIT] = config->quit_timeout,
		[TIMER_AUTH] = config->auth_timeout,
		[TIMER_SESSION] = config->session_timeout,
	};
	size_t i;

	memset(msg, 0, sizeof(*msg));
	msg->protocol = (uint8_t)session_protocol(config);
	msg->implicit_tls = config->tls_wrappermode;
	security_describe(config, target_security(s->target), msg);
	msg->client = (uint32_t)config->client_command;
	msg->eight_bit = (uint8_t)config->mime_output_conversion;
	msg->trust =
	    s->queue->transports[s->target->destination->transport].trust;
	for (i = 0; i < TIMER_COUNT; i++)
		msg->timer_ms[i] = (uint32_t)seconds[i] * 1000U;
	(void)strlcpy(msg->ehlo_name, name, sizeof(msg->ehlo_name));
	(void)dial_write_keywords(&config->discard_ehlo_keywords, msg->discard);
}

static int
session_introduce(struct session *s, const struct transport *config)
{
	const struct job *job = TAILQ_FIRST(&s->jobs);
	struct msg_session msg;

	session_describe(s, config, &msg);
	msg.verbose =
	    job != NULL && (job->message->flags & SUBMIT_VERBOSE) != 0;
	s->verbose = msg.verbose != 0;
	s->noted = transcript_is_wanted(s->queue);
	msg.transcript = s->noted;
	msg.learns = s->queue->config->broken_server_time > 0;
	if (channel_send(s->channel, MSG_SESSION, &msg, NULL, 0, -1) == -1)
		return -1;
	return login_introduce(s, config);
}

_Static_assert((int)TLS_NONE == (int)CONFIG_TLS_NONE &&
	(int)TLS_MAY == (int)CONFIG_TLS_MAY &&
	(int)TLS_ENCRYPT == (int)CONFIG_TLS_ENCRYPT &&
	(int)TLS_VERIFY == (int)CONFIG_TLS_VERIFY,
    "the levels of the configuration are those of the messages");
_Static_assert((int)SESSION_CONVERT == (int)CONFIG_MIME_CONVERT &&
	(int)SESSION_BOUNCE == (int)CONFIG_MIME_BOUNCE &&
	(int)SESSION_SEND_ANYWAY == (int)CONFIG_MIME_SEND &&
	(int)SESSION_CONVERT_UNSIGNED == (int)CONFIG_MIME_CONVERT_UNSIGNED,
    "so are the ways with 8-bit octets");
_Static_assert((int)SESSION_CLIENT_NONE == (int)CONFIG_CLIENT_NONE &&
	(int)SESSION_CLIENT_XFORWARD == (int)CONFIG_CLIENT_XFORWARD &&
	(int)SESSION_CLIENT_XCLIENT == (int)CONFIG_CLIENT_XCLIENT,
    "and the commands that tell of a client");

static void
session_free_timers(struct session *s)
{
	if (s->timer != NULL)
		event_free(s->timer);
	if (s->clock != NULL)
		event_free(s->clock);
}

/* Takes a session off every list; its channel is the caller's matter. */
static void
session_free(struct session *s)
{
	struct queue *q = s->queue;

	transcript_end(s);
	TAILQ_REMOVE(&q->sessions, s, entry);
	q->nsessions--;
	transcript_answer_waiting(q);
	schedule_session_ended(q->schedule, s->target->destination);
	login_session_ended(s);
	plan_release(s->plan);
	agents_release(q, s->worker);
	session_free_timers(s);
	fd_close(s->line_fd);
	free(s);
	queue_pump_soon(q);
}

static struct session *
session_new(struct queue *q, struct target *t, int fd, int line_fd)
{
	const struct timeval first = { .tv_sec = SESSION_FIRST_MS / 1000 };
	struct session *s;

	s = calloc(1, sizeof(*s));
	if (s == NULL) {
		fd_close(fd);
		return NULL;
	}
	s->timer = evtimer_new(q->role.base, session_timeout, s);
	s->clock = evtimer_new(q->role.base, session_overdue, s);
	if (s->timer == NULL || s->clock == NULL ||
	    evtimer_add(s->clock, &first) == -1)
		fd_close(fd);
	else
		s->channel = channel_new(&q->role, fd, ROLE_WORKER, s);
	if (s->channel == NULL) {
		session_free_timers(s);
		free(s);
		return NULL;
	}
	TAILQ_INIT(&s->jobs);
	s->line_fd = line_fd; /* ours from a session's being there on */
	s->queue = q;
	s->target = t;
	s->plan = plan_turned(t->plan, t->turns++);
	if (s->plan == NULL)
		s->plan = plan_hold(t->plan); /* no memory: their first order */
	s->number = ++q->last_session;
	s->generation = q->generation;
	s->ahead = QUEUE_JOBS_AHEAD;
	s->started_ms = time_real_ms();
	s->started_mono_ms = time_monotonic_ms();
	TAILQ_INSERT_TAIL(&q->sessions, s, entry);
	q->nsessions++;
	count_session(q, s);
	schedule_session_begun(q->schedule, t->destination);
	return s;
}

/*
 * session_start - fork a worker for a destination, and give it its first job.
 *
 * The job is marked while the worker connects, so its commit costs no time.
 */
int
session_start(struct queue *q, struct target *t)
{
	const struct transport *config =
	    q->transports[t->destination->transport].config;
	int fds[2] = { -1, -1 }, line[2] = { -1, -1 };
	struct session *s;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, line) == -1 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == -1) {
		log_line(LOG_ERROR, "socketpair: %s", strerror(errno));
		fd_close(line[0]);
		fd_close(line[1]);
		return -1;
	}
	s = session_new(q, t, fds[0], line[0]);
	if (s == NULL) {
		fd_close(fds[1]);
		fd_close(line[0]);
		fd_close(line[1]);
		return -1;
	}
	s->worker = agents_fork(q, s->number, line[1], fds[1]);
	fd_close(line[1]);
	fd_close(fds[1]); /* without a worker it is the end of the channel */
	session_set_clock(s, config);
	if (!session_give(s))
		session_rest(s);
	(void)session_introduce(s, config);
	return 0;
}

/*
 * all: no address would have us, which is the outcome of every job; but where
 * one was asked about some, not of the others.
 */
static void
session_end_job(struct job *job, const struct outcome *outcome,
    const char *reply, bool died, bool all)
{
	const struct session *s = job->session;

	if (outcome != NULL &&
	    (job->begun || postpone_has_any(job) || (all && !s->used)))
		transaction_settle_all(job, outcome, died, reply,
		    all && s->failure_relay[0] != '\0' ? s->failure_relay
						       : s->relay);
	else
		transaction_give_back(job);
}

/* Whether a session that ends tells us something of its destination. */
static void
session_learn(struct session *s, const struct outcome *outcome,
    const char *reply)
{
	/* Doubt is worth more than what went well before: what may come twice
	 * is to be sent slowly. */
	if (!s->doubt && (s->answered > 0 || outcome->status == OUTCOME_FAILED))
		return;
	target_failed(s->queue, s->target,
	    target_failure_of(s->queue, s->target, outcome, s->doubt), outcome,
	    reply, s->relay);
}

/* Each death makes the next try wait twice as long. */
static int64_t
session_death_pause_ms(const struct session *s)
{
	int64_t most_ms = s->queue->limits.maximal_backoff_ms;
	int64_t ms = QUEUE_DEATH_PAUSE_MS;

	for (uint32_t i = 1; i < s->target->deaths && ms < most_ms; i++)
		ms *= 2;
	return ms < most_ms || most_ms < QUEUE_DEATH_PAUSE_MS ? ms : most_ms;
}

/*
 * A worker's death says little of its destination: it may be the agent that
 * died.  Time and again it does, and then it is a failure like any other,
 * whatever went well between: who tries to take workers over can let mail pass.
 */
static void
session_learn_death(struct session *s, const struct outcome *outcome,
    const char *reply)
{
	struct target *t = s->target;
	int64_t now_ms = time_monotonic_ms();

	if (now_ms - t->death_ms >= QUEUE_DEATH_KEEP_MS)
		t->deaths = 0;
	if (t->deaths == 0 || now_ms - t->death_ms >= QUEUE_DEATH_PAUSE_MS) {
		t->death_ms = now_ms;
		t->deaths++;
	}
	if (t->destination->keep_until_ms < now_ms + QUEUE_DEATH_KEEP_MS)
		t->destination->keep_until_ms = now_ms + QUEUE_DEATH_KEEP_MS;
	if (t->deaths >= QUEUE_DEATHS_MAX)
		target_failed(s->queue, t,
		    target_failure_of(s->queue, t, outcome, s->doubt), outcome,
		    reply, s->relay);
	if (t->destination->blocked_until_ms <
	    now_ms + session_death_pause_ms(s))
		schedule_block(s->queue->schedule, t->destination,
		    now_ms + session_death_pause_ms(s));
}

/*
 * session_end - every job of a session gets its end.
 *
 * outcome is for jobs that were begun, and where no session came up, or one that
 * failed before any of them, for all of them; NULL gives all back.  died: the worker cannot tell what
 * it last did, so whether it was committing decides upon doubt.
 */
void
session_end(struct session *s, const struct outcome *outcome, const char *reply,
    bool died)
{
	struct job *job;
	struct job *next;
	bool all = !died && (!s->up || !s->used);

	s->quitting = true;
	if (outcome != NULL) {
		if (s->relay[0] != '\0')
			hosts_tried_add(&s->hosts_tried, s->relay, reply);
		hosts_tried_keep(&s->target->tried, &s->hosts_tried,
		    time_real_ms());
		/* First, so that the jobs' next attempts heed the block. */
		struct outcome learnt = *outcome;

		for (job = TAILQ_FIRST(&s->jobs); job != NULL; job = next) {
			next = TAILQ_NEXT(job, entry);
			if (!job->begun && !all && !postpone_has_any(job))
				session_end_job(job, NULL, reply, died, all);
		}
		if (died)
			session_learn_death(s, &learnt, reply);
		else
			session_learn(s, &learnt, reply);
	}
	while ((job = TAILQ_FIRST(&s->jobs)) != NULL)
		session_end_job(job, outcome, reply, died, all);
}

/* Its worker is gone, or will be; the channel is the caller's matter. */
static void
session_give_up(struct session *s, const char *why, const char *reply)
{
	struct outcome outcome;

	if (s->worker != NULL)
		s->target->died_of = agents_serial(s->worker);
	if (s->njobs > 0 || (!s->closed && !s->quitting)) {
		log_line(LOG_WARN, "session %u (%s): the worker is gone%s%s",
		    s->number, s->relay[0] != '\0' ? s->relay : "no relay",
		    why != NULL ? ": " : "", why != NULL ? why : "");
		settle_outcome(&outcome, OUTCOME_DEFERRED, STEP_QUEUE, "4.3.0");
		transcript_failed(s, &outcome, reply);
		session_end(s, &outcome, reply, true);
	}
	session_free(s);
}

/* What it said last stays unread: of each message that it had, the last octet may
 * be on its way. */
static void
session_doubt_all(struct session *s)
{
	struct job *job;

	TAILQ_FOREACH(job, &s->jobs, entry)
		if (job->sent) {
			if (!job->begun)
				job->begun_ms = time_real_ms();
			job->begun = job->committing = true;
		}
}

/* A worker that broke a rule is killed; what it had in hand is settled.  The
 * channel is the caller's matter. */
static void
session_punish(struct session *s, const char *why)
{
	log_line(LOG_ERROR, "session %u: worker: %s", s->number, why);
	session_doubt_all(s);
	s->target->died_of = agents_serial(s->worker);
	agents_spoil(s->queue, s->worker);
	agents_kill(s->queue, s->worker);
	s->worker = NULL;
	s->closed = false;
	s->quitting = false;
	session_give_up(s, why, "the worker process died");
}

void
session_fault(struct session *s, const char *why)
{
	struct channel *channel = s->channel;

	session_punish(s, why);
	channel_close(channel);
}

/* The channel is over: because the worker is, or because it broke one of the
 * channel's own rules, after which it is not to go on. */
void
session_lost(struct session *s, const char *why)
{
	if (why != NULL)
		session_punish(s, why);
	else
		session_give_up(s, NULL, "the worker process died");
}

/*
 * Our own clock over a session.  An honest worker has ended by its own timers
 * before; this is for one that is stopped, or does not want to end.
 */

static void
session_set_clock(struct session *s, const struct transport *config)
{
	s->quit_ms = (int64_t)config->quit_timeout * 1000 + SESSION_SLACK_MS;
	s->cap_ms = (int64_t)config->session_timeout * 1000 + s->quit_ms;
	session_watch(s);
}

/* When it is to be over, as things are. */
static int64_t
session_due_ms(struct session *s)
{
	int64_t due_ms = s->started_mono_ms + s->cap_ms;
	int64_t first_ms = s->started_mono_ms + SESSION_FIRST_MS;

	if (s->asked == 0 && first_ms < due_ms)
		due_ms = first_ms;
	if (!s->closed && (!s->quit_sent || s->njobs > 0))
		return due_ms;
	if (s->ends_mono_ms == 0)
		s->ends_mono_ms = time_monotonic_ms();
	return s->ends_mono_ms + s->quit_ms < due_ms
	    ? s->ends_mono_ms + s->quit_ms
	    : due_ms;
}

void
session_watch(struct session *s)
{
	int64_t ms = session_due_ms(s) - time_monotonic_ms();
	struct timeval tv = { 0 };

	if (ms > 0) {
		tv.tv_sec = ms / 1000;
		tv.tv_usec = ms % 1000 * 1000;
	}
	s->overdue = false;
	(void)evtimer_add(s->clock, &tv); /* fails for no timer that was set */
}

static const char *
session_why_overdue(const struct session *s)
{
	if (s->ends_mono_ms != 0)
		return "it does not end within quit_timeout";
	return s->asked == 0 ? "it does not begin"
			     : "it does not end within session_timeout";
}

/* What it has said by now counts, and may be read yet: so it has one turn more. */
static void
session_overdue(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval last = { .tv_sec = SESSION_LAST_MS / 1000 };
	struct session *s = arg;
	struct channel *channel = s->channel;
	const char *why = session_why_overdue(s);

	(void)fd;
	(void)what;
	if (!s->overdue && evtimer_add(s->clock, &last) == 0) {
		s->overdue = true;
		return;
	}
	log_line(LOG_ERROR, "session %u (%s): worker: %s: it is killed",
	    s->number, s->relay[0] != '\0' ? s->relay : "no relay", why);
	agents_kill(s->queue, s->worker);
	s->worker = NULL;
	session_give_up(s, why, "the session did not end in its time");
	channel_close(channel);
}

void
session_kill_all(struct queue *q, const char *why)
{
	while (!TAILQ_EMPTY(&q->sessions))
		session_fault(TAILQ_FIRST(&q->sessions), why);
}

/* The session that has rested longest makes room for another destination. */
void
session_quit_idle(struct queue *q)
{
	struct session *s;

	TAILQ_FOREACH(s, &q->sessions, entry)
		if (s->njobs == 0 && s->up && !s->quitting) {
			session_quit(s);
			return;
		}
}

void
session_quit_all(struct queue *q)
{
	struct session *s;

	TAILQ_FOREACH(s, &q->sessions, entry)
		session_quit(s);
}
