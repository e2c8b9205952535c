/* SPDX-License-Identifier: ISC */
/*
 * The queue: takes jobs, keeps them, and hands them to workers.
 *
 * Open, drop, confine, loop, clear.  What each message means stands in the file
 * that handles it; here is the table, and what starts, turns and stops it all.
 */
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <errno.h>
#include <string.h>

#include "common/closer.h"
#include "common/filter.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/roles.h"
#include "common/sandbox.h"
#include "common/util.h"
#include "master/descriptors.h"
#include "master/queue/action.h"
#include "master/queue/agents.h"
#include "master/queue/ask.h"
#include "master/queue/configure.h"
#include "master/queue/count.h"
#include "master/queue/era.h"
#include "master/queue/learnt.h"
#include "master/queue/limits.h"
#include "master/queue/notice.h"
#include "master/queue/outlet.h"
#include "master/queue/pause.h"
#include "master/queue/peers.h"
#include "master/queue/queue_internal.h"
#include "master/queue/rates_kept.h"
#include "master/queue/receipts.h"
#include "master/queue/recovery.h"
#include "master/queue/route.h"
#include "master/queue/staging.h"
#include "master/queue/strand.h"
#include "master/queue/summary.h"
#include "master/queue/transcript.h"
#include "master/queue/transcripts.h"
#include "master/queue/transient.h"
#include "master/queue/trouble.h"

enum {
	QUEUE_STARTS_MS = 10, /* questions for plans, and new sessions */
};

static const struct filter_rule queue_filter[] = {
#include "master/queue/queue_filter.def"
};

void
queue_pump_soon(struct queue *q)
{
	event_active(q->pump_timer, EV_TIMEOUT, 0);
}

/* Turning. */

static void
queue_start_sessions(struct queue *q)
{
	int64_t until_ms = time_monotonic_ms() + QUEUE_STARTS_MS;
	struct schedule_destination *d;
	uint32_t limit = (uint32_t)q->config->process_limit;
	uint32_t left, workers;

	while (agents_can_fork(q)) {
		if (time_monotonic_ms() >= until_ms) {
			queue_pump_soon(q); /* of many, some at each turn */
			break;
		}
		workers = agents_workers(q);
		left = limit > workers ? limit - workers : 0;
		d = schedule_pick(q->schedule, left, time_monotonic_ms());
		if (d == NULL)
			break;
		if (!target_ready(q, d->data)) {
			if (!d->paused)
				break; /* no memory: the next turn */
			continue;
		}
		if (agents_must_wait(q, ((struct target *)d->data)->died_of)) {
			schedule_block(q->schedule, d,
			    time_monotonic_ms() + AGENTS_WAIT_MS);
			continue;
		}
		if (session_start(q, d->data) == -1)
			break;
	}
	if (agents_workers(q) >= limit &&
	    schedule_is_short(q->schedule, time_monotonic_ms()))
		session_quit_idle(q);
}

/* Until a block is over, or a limit has enough again. */
static int64_t
queue_wake_wait_ms(struct queue *q)
{
	int64_t now_ms = time_monotonic_ms();
	int64_t wake_ms = schedule_wake_ms(q->schedule, now_ms);

	if (wake_ms == 0)
		return INT64_MAX;
	return wake_ms > now_ms ? wake_ms - now_ms : 0;
}

static void
queue_arm_pump(struct queue *q)
{
	int64_t wait_ms = refill_wait_ms(q);
	int64_t wake_ms = queue_wake_wait_ms(q);
	struct timeval tv;

	if (wake_ms < wait_ms)
		wait_ms = wake_ms;
	if (wait_ms > QUEUE_SWEEP_MS)
		wait_ms = QUEUE_SWEEP_MS;
	tv.tv_sec = wait_ms / 1000;
	tv.tv_usec = wait_ms % 1000 * 1000;
	(void)evtimer_add(q->pump_timer, &tv); /* the sweep pumps too */
}

/* Everybody is home, and all that is known is on disk. */
static void
queue_finish(struct queue *q)
{
	if (q->nsessions > 0)
		return;
	/* It pumps again, which with nothing to write would have no end, nor let
	 * a timer run. */
	if (q->nchanges > 0 || rates_kept_are_due(q))
		group_commit(q);
	/* Of much, each commit takes some. */
	if (!q->store_fails && (q->nchanges > 0 || !TAILQ_EMPTY(&q->stagings)))
		return;
	role_stop(&q->role);
}

static void
queue_pump(evutil_socket_t fd, short what, void *arg)
{
	struct queue *q = arg;
	uint32_t ahead;

	(void)fd;
	(void)what;
	if (q->draining) {
		queue_finish(q);
		return;
	}
	era_end_if_done(q);
	schedule_turn(q->schedule, time_monotonic_ms());
	refill_run(q);
	session_feed_all(q, 1);
	queue_start_sessions(q);
	/* In rounds, so that no session holds what another could send now. */
	for (ahead = QUEUE_JOBS_AHEAD; ahead <= QUEUE_JOBS_AHEAD_MAX;
	     ahead *= 2)
		session_feed_all(q, ahead);
	if (rates_kept_are_due(q))
		group_soon(q);
	queue_arm_pump(q);
}

static void
queue_commit(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	group_commit(arg);
}

static void
queue_empty_log(evutil_socket_t fd, short what, void *arg)
{
	struct queue *q = arg;

	(void)fd;
	(void)what;
	store_empty_log(q->store);
}

void
queue_watch_clock(struct queue *q)
{
	int64_t step_ms;

	step_ms = clock_watch(&q->clock, time_real_ms(), time_monotonic_ms());
	if (step_ms == 0)
		return;
	log_line(LOG_WARN, "the clock was set %s by %lld s",
	    step_ms > 0 ? "forward" : "back",
	    (long long)(step_ms > 0 ? step_ms : -step_ms) / 1000);
	schedule_rewind(q->schedule);
	refill_clock_set(q);
}

static void
queue_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct queue *q = arg;

	(void)fd;
	(void)what;
	queue_watch_clock(q);
	schedule_sweep(q->schedule, time_monotonic_ms());
	if (!q->draining) {
		if (era_schedules(q))
			expire_run(q);
		if (q->era != ERA_ALONE && !evtimer_pending(q->era_timer, NULL))
			event_active(q->era_timer, EV_TIMEOUT, 0);
		transient_run(q);
	}
	if (store_keep_reserve(q->store))
		log_line(LOG_INFO, "the spool's disk has room again");
	transcript_sweep(q);
	dial_forget(q);
	target_sweep(q);
	login_sweep(q);
	rates_kept_sweep(q);
	notices_sweep(q);
	count_sweep(q);
	outlet_sweep(q);
	queue_pump_soon(q);
}

/* Stopping. */

static void
queue_stop(evutil_socket_t fd, short what, void *arg)
{
	struct queue *q = arg;

	(void)fd;
	(void)what;
	log_line(LOG_WARN, "%u sessions did not end in stop_timeout",
	    q->nsessions);
	session_kill_all(q, "posternd was stopped");
	role_stop(&q->role);
}

/* The intake's clients were waited for in the same time. */
static int64_t
queue_stop_left_ms(const struct queue *q)
{
	int64_t left_ms = (int64_t)q->config->stop_timeout * 1000;

	if (q->stopping)
		left_ms -= time_monotonic_ms() - q->stopping_ms;
	return left_ms > 0 ? left_ms : 0;
}

static void
queue_drain(void *ctx, struct channel *from, const struct message *m)
{
	struct queue *q = ctx;
	int64_t left_ms = queue_stop_left_ms(q);
	struct timeval tv = { .tv_sec = left_ms / 1000,
		.tv_usec = left_ms % 1000 * 1000 };

	(void)from;
	(void)m;
	q->role.phase = PHASE_DRAINING;
	q->draining = true;
	session_quit_all(q);
	if (evtimer_add(q->stop_timer, &tv) == -1)
		queue_stop(-1, 0, q);
	queue_pump_soon(q);
}

enum {
	QUEUE_ALWAYS = PHASE_SETUP | PHASE_READY | PHASE_DRAINING,
	QUEUE_WORKING = PHASE_READY | PHASE_DRAINING,
};

/* What the queue takes, and in which of its phases. */
static const struct handler queue_handlers[] = {
	{ MSG_CONFIG, QUEUE_ALWAYS, configure_take },
	{ MSG_TEMPLATE, QUEUE_ALWAYS, notices_templates },
	{ MSG_METRICS, PHASE_SETUP, count_take },
	{ MSG_RECEIPTS, PHASE_SETUP, receipts_take },
	{ MSG_PEER, QUEUE_ALWAYS, peers_take },
	{ MSG_STOPPING, PHASE_READY, transient_stop },
	{ MSG_DRAIN, PHASE_READY, queue_drain },
	{ MSG_ERA, PHASE_READY, era_take },
	{ MSG_SUBMIT, QUEUE_WORKING, submit_begin },
	{ MSG_SUBMIT_MORE, QUEUE_WORKING, submit_more },
	{ MSG_SUBMIT_END, QUEUE_WORKING, submit_end },
	{ MSG_SUBMIT_ASK, QUEUE_WORKING, receipts_asked },
	{ MSG_CANCEL, QUEUE_WORKING, submit_cancel },
	{ MSG_SECRET, QUEUE_WORKING, login_secret },
	{ MSG_NO_SECRET, QUEUE_WORKING, login_no_secret },
	{ MSG_OUTLET, QUEUE_WORKING, outlet_link },
	{ MSG_NO_OUTLET, QUEUE_WORKING, outlet_refused },
	{ MSG_OUTLET_DONE, QUEUE_WORKING, outlet_done },
	{ MSG_ACT, QUEUE_WORKING, action_begin },
	{ MSG_ASK, QUEUE_WORKING, ask_begin },
	{ MSG_STOP, QUEUE_WORKING, action_stop },
	{ MSG_TRANSCRIPTS, QUEUE_WORKING, transcript_asked },
	{ MSG_RESOLVED, QUEUE_WORKING, target_resolved },
	{ MSG_GONE, QUEUE_WORKING, session_gone },
	{ MSG_NEXT, QUEUE_WORKING, dial_next },
	{ MSG_CONNECTING, QUEUE_WORKING, dial_connecting },
	{ MSG_SESSION_UP, QUEUE_WORKING, session_up },
	{ MSG_BEGUN, QUEUE_WORKING, session_begun },
	{ MSG_COMMITTING, QUEUE_WORKING, session_committing },
	{ MSG_OUTCOME, QUEUE_WORKING, session_outcome },
	{ MSG_AGAIN, QUEUE_WORKING, session_again },
	{ MSG_CLOSED, QUEUE_WORKING, session_over },
	{ MSG_TRANSCRIPT, QUEUE_WORKING, transcript_take },
	{ MSG_DIALOGUE, QUEUE_WORKING, session_dialogue },
};

static void
queue_message_gone(void *ctx, struct schedule_message *message)
{
	struct queue *q = ctx;

	notices_message_gone(q, message->id);
	if (message->body_fd == -1 || transient_is(message->id))
		return;
	fd_close(message->body_fd);
	q->bodies--;
}

/* Bodies, jobs and sessions take descriptors; the master saw to it that we have as
 * many as we may. */
static void
queue_share_descriptors(struct queue *q)
{
	struct rlimit limit = { .rlim_cur = 1024 };

	(void)getrlimit(RLIMIT_NOFILE, &limit); /* or what most systems have */
	q->descriptors = limit.rlim_cur;
	q->bodies_max = descriptors_bodies(limit.rlim_cur);
	q->half_jobs_max = descriptors_half_jobs(limit.rlim_cur);
}

static void
queue_vital(void *ctx, struct msg_pong *pong)
{
	struct queue *q = ctx;

	store_count_states(q->store, pong->counts);
	pong->sessions = q->nsessions;
}

static void
queue_init(struct queue *q, int parent_fd)
{
	memset(q, 0, sizeof(*q));
	STAILQ_INIT(&q->changes);
	TAILQ_INIT(&q->half_jobs);
	TAILQ_INIT(&q->stagings);
	TAILQ_INIT(&q->transients);
	TAILQ_INIT(&q->waiters);
	TAILQ_INIT(&q->resolving);
	TAILQ_INIT(&q->sessions);
	TAILQ_INIT(&q->actions);
	TAILQ_INIT(&q->tails);
	summary_open(q);
	TAILQ_INIT(&q->explains);
	LIST_INIT(&q->named_limits);
	q->started_ms = time_monotonic_ms();
	q->scan_again = true;
	q->scan_last_ms = -QUEUE_SWEEP_MS;
	q->scan_wake_ms = INT64_MAX;
	/* A file that may not grow is an error to handle, not a death. */
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)signal(SIGPIPE, SIG_IGN);
	queue_share_descriptors(q);
	role_init(&q->role, ROLE_QUEUE, parent_fd, queue_handlers,
	    NELEM(queue_handlers), q, peers_closed);
	if (hash_draw_key() == -1)
		fatal("getrandom: %s", strerror(errno));
	q->role.vital = queue_vital;
	q->commit_timer = evtimer_new(q->role.base, queue_commit, q);
	q->log_timer = evtimer_new(q->role.base, queue_empty_log, q);
	q->pump_timer = evtimer_new(q->role.base, queue_pump, q);
	q->stop_timer = evtimer_new(q->role.base, queue_stop, q);
	q->action_timer = evtimer_new(q->role.base, action_turns, q);
	q->sweep_timer = event_new(q->role.base, -1, EV_PERSIST | EV_TIMEOUT,
	    queue_sweep, q);
	q->troubles = troubles_new();
	if (q->troubles == NULL || q->commit_timer == NULL ||
	    q->log_timer == NULL || q->pump_timer == NULL ||
	    q->stop_timer == NULL ||
	    q->sweep_timer == NULL || q->action_timer == NULL ||
	    agents_init(q) == -1 || era_init(q) == -1 ||
	    notices_init(q) == -1 || strand_init(q) == -1)
		fatal("out of memory");
}

static void
queue_open(struct queue *q, const char *spool, bool in_memory)
{
	struct store_options options = { .spool = spool,
		.name = q->config->spool_directory,
		.inline_body_limit = q->config->inline_body_limit,
		.beside = q->role.start.beside != 0 };
	struct schedule_hooks hooks = { .ctx = q,
		.message_gone = queue_message_gone,
		.destination_gone = target_gone,
		.block_ms = route_block_ms };
	struct timeval sweep = { .tv_sec = QUEUE_SWEEP_MS / 1000 };
	char error[1024];

	if (in_memory)
		options.spool = ":memory:";
	if (store_open(&options, &q->store, error, sizeof(error)) == -1)
		fatal("%s", error);
	if (options.beside)
		q->era = ERA_BESIDE; /* its sessions go on */
	else
		recovery_run(q);
	/* With a store in memory all is lost that was taken. */
	receipts_settle(q->receipts, in_memory ? NULL : q->store);
	pause_open(q);
	q->learnt = calloc(LEARNT_MAX, sizeof(*q->learnt));
	q->schedule = schedule_new(&q->limits, &hooks);
	if (q->learnt == NULL || q->schedule == NULL ||
	    configure_transports(q) == -1 || !group_reserve(q) ||
	    evtimer_add(q->sweep_timer, &sweep) == -1)
		fatal("out of memory");
}

static void
queue_clear(struct queue *q)
{
	uint32_t i;

	session_kill_all(q, "the queue ends");
	do
		group_commit(q);
	while (q->nchanges > 0 && !q->store_fails);
	group_clear(q);
	staging_clear(q);
	action_clear(q);
	ask_cancel_all(q);
	summary_clear(q);
	submit_clear(q);
	transient_clear(q);
	report_clear(q);
	channel_close(q->intake);
	channel_close(q->control);
	channel_close(q->resolver);
	channel_close(q->dialer);
	agents_clear(q);
	event_free(q->commit_timer);
	event_free(q->log_timer);
	event_free(q->pump_timer);
	event_free(q->sweep_timer);
	event_free(q->stop_timer);
	event_free(q->action_timer);
	era_clear(q);
	schedule_free(q->schedule);
	notices_clear(q);
	limits_clear(q);
	store_close(q->store);
	transcripts_free(q->transcripts);
	free(q->learnt);
	free(q->pauses);
	strand_clear(q);
	troubles_free(q->troubles);
	outlet_clear(q);
	count_clear(q);
	for (i = 0; i < q->ntransports; i++) {
		free(q->transports[i].name);
		login_free(q->transports[i].login);
	}
	free(q->transports);
	config_free(q->config);
	role_clear(&q->role);
}

int
queue_run(int parent_fd)
{
	static struct queue q;
	struct sandbox box = { 0 };
	struct msg_ready ready;
	const char *spool;
	bool in_memory;

	queue_init(&q, parent_fd);
	role_setup(&q.role);
	if (q.config == NULL)
		fatal("START without a configuration");
	in_memory = q.config->queue_store == CONFIG_QUEUE_STORE_MEMORY;
	if (!in_memory) {
		box.root = q.config->spool_directory;
		box.root_files = true;
	}
	sandbox_root(&box, &q.role.start);
	spool = (q.role.start.namespaces & CLONE_NEWNS) != 0
	    ? "/"
	    : q.config->spool_directory;
	queue_open(&q, spool, in_memory);
	notices_open(&q);
	count_open(&q);
	if (outlet_open(&q) == -1)
		fatal("outcome reports: %s", store_error(q.store));
	transcript_open(&q, in_memory ? NULL : spool);
	sandbox_confine(&box, spool, NULL, 0, &ready);
	if (closer_start() == -1)
		fatal("a thread: %s", strerror(errno));
	if (filter_enter_threads(queue_filter, NELEM(queue_filter)) == -1)
		fatal("seccomp filter: %s", strerror(errno));
	queue_watch_clock(&q);
	if (q.era == ERA_ALONE)
		staging_recover(&q);
	queue_pump_soon(&q);
	role_loop(&q.role, &ready);
	queue_clear(&q);
	return 0;
}
