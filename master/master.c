/* SPDX-License-Identifier: ISC */
/*
 * The master's loop: see master.h.  It holds all power and reads nothing from
 * outside, waits for nobody, and outlives every role.
 */
#include "master/master_internal.h"

#include <sys/queue.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/closer.h"
#include "common/log.h"
#include "common/role.h"
#include "common/sandbox.h"
#include "common/util.h"
#include "master/inherit.h"
#include "master/layers.h"
#include "master/load.h"
#include "master/power.h"
#include "master/spawn.h"

enum {
	STOP_GRACE_S = 10, /* what the roles need to end beyond stop_timeout */
};

/* The roles in the order of their start, and the namespaces of each. */
static const struct servant_desc servant_descs[] = {
	{ ROLE_RESOLVER, CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS },
	{ ROLE_DIALER, CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS },
	{ ROLE_AGENT, SANDBOX_NS_ALL | CLONE_NEWPID },
	{ ROLE_QUEUE, SANDBOX_NS_ALL },
	{ ROLE_SIGNER, SANDBOX_NS_ALL },
	{ ROLE_INTAKE, SANDBOX_NS_ALL },
	{ ROLE_CONTROL, SANDBOX_NS_ALL },
	{ ROLE_METRICS, SANDBOX_NS_ALL },
};

/* A role asks for a log sink once a second; more often it gets none. */
#define LOG_SINK_PAUSE_MS 500
/* A role that was killed at the end of a stop has this long to go. */
#define KILLED_S 2

/* What it says of its end is no more than its own word. */
static bool
ended_unasked(const struct servant *s)
{
	const struct master *m = s->master;

	return !s->may_end && !m->stopping && m->kin.state < UPGRADE_LEAVING &&
	    m->options->client_fd == -1;
}

static void
log_end(const struct servant *s, int status)
{
	const char *name = role_name(s->desc->role);

	if (WIFSIGNALED(status))
		log_line(LOG_ERROR, "the %s [%d] died of signal %d (%s)%s",
		    name, (int)s->pid, WTERMSIG(status),
		    strsignal(WTERMSIG(status)),
		    WTERMSIG(status) == SIGSYS
			? ": a system call that its filter forbids"
			: "");
	else if (WEXITSTATUS(status) != 0)
		log_line(LOG_ERROR, "the %s [%d] ended with status %d", name,
		    (int)s->pid, WEXITSTATUS(status));
	else if (ended_unasked(s))
		log_line(LOG_ERROR,
		    "the %s [%d] ended, and nobody had asked it to", name,
		    (int)s->pid);
}

static bool
is_running(struct master *m, unsigned role)
{
	const struct servant *s = servant_find(m, role);

	return s != NULL && s->pid != -1;
}

/* What comes in ends first: who is in the middle of a message still gets an
 * answer. */
static void
drain_queue_if_alone(struct master *m)
{
	struct servant *queue = servant_find(m, ROLE_QUEUE);

	if (queue != NULL && !is_running(m, ROLE_INTAKE) &&
	    !is_running(m, ROLE_CONTROL))
		servant_send(queue, MSG_DRAIN);
}

/* What the end of a role means: a restart, or the end of a stop. */
static void
servant_gone(struct servant *s, int status)
{
	struct master *m = s->master;
	int64_t lived_ms = time_monotonic_ms() - s->started_ms;

	event_del(s->overdue);
	status_forget(m, s->channel);
	channel_close(s->channel);
	s->channel = NULL;
	s->pid = -1;
	counts_role_ended(m, s->desc->role, status);
	if (s->desc->role == ROLE_QUEUE)
		renew_queue_gone(m);
	if (s->retired || s->coming) { /* the queue asks again */
		servant_free(s);
		return;
	}
	if (m->stopping && (s->desc->role & ROLE_FRONTS) != 0)
		drain_queue_if_alone(m);
	if (m->stopping || upgrade_servant_ended(m, s))
		return;
	if ((s->desc->role & ROLE_FRONTS) != 0 && m->options->client_fd != -1) {
		master_stop(m); /* the one client is gone */
		return;
	}
	if (!s->was_ready) {
		m->failed = true; /* it never worked: a restart mends nothing */
		master_stop(m);
		return;
	}
	s->is_meant =
	    s->may_end && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	if (s->is_meant)
		s->backoff_ms = 0; /* it wants the new configuration */
	servant_wait(s, lived_ms);
}

static void
servant_ended(struct servant *s, int status)
{
	log_end(s, status);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		autopsy_begin(s->master, s->desc->role, s->pid);
	servant_gone(s, status);
}

static bool
all_gone(const struct master *m)
{
	const struct servant *s;

	TAILQ_FOREACH(s, &m->servants, entry) {
		if (s->pid != -1)
			return false;
	}
	return true;
}

/* Once the queue has finished, nobody has work left. */
static void
stop_rest(struct master *m)
{
	struct servant *s, *queue = servant_find(m, ROLE_QUEUE);

	if (!m->stopping || (queue != NULL && queue->pid != -1))
		return;
	TAILQ_FOREACH(s, &m->servants, entry) {
		status_forget(m, s->channel);
		channel_close(s->channel); /* the parent's end is theirs */
		s->channel = NULL;
	}
	if (all_gone(m))
		role_stop(&m->role);
}

/* The kernel closes its files, and one of them makes it wait. */
void
master_leave_behind(struct servant *s)
{
	struct master *m = s->master;

	if (s->pid == -1)
		return;
	log_line(LOG_ERROR,
	    "the %s [%d] has ended or was killed, and does not go: left behind",
	    role_name(s->desc->role), (int)s->pid);
	servant_gone(s, SIGKILL); /* whenever it goes, it is nobody's */
	stop_rest(m);
}

static void
on_child(evutil_socket_t fd, short what, void *arg)
{
	struct master *m = arg;
	struct servant *s, *next;
	int status;
	pid_t pid;

	(void)fd;
	(void)what;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (secrets_child_ended(m, pid, status) ||
		    outlet_child_ended(m, pid, status))
			continue;
		for (s = TAILQ_FIRST(&m->servants); s != NULL; s = next) {
			next = TAILQ_NEXT(s, entry);
			if (s->pid == pid)
				servant_ended(s, status);
		}
	}
	stop_rest(m);
}

static void
on_stop_timer(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval again = { KILLED_S, 0 };
	struct master *m = arg;
	struct servant *s, *next;

	(void)fd;
	(void)what;
	for (s = TAILQ_FIRST(&m->servants); s != NULL; s = next) {
		next = TAILQ_NEXT(s, entry);
		if (s->pid == -1)
			continue;
		if (!s->killed) {
			log_line(LOG_WARN,
			    "the %s did not stop in time: killed",
			    role_name(s->desc->role));
			s->killed = true;
			kill(s->pid, SIGKILL);
			continue;
		}
		master_leave_behind(s);
	}
	stop_rest(m);
	event_add(m->stop_timer, &again);
}

/*
 * Within stop_timeout the intake's clients are answered, for which it has half of
 * it, and the queue's sessions finish their message.  A role that works needs
 * little more to end: only one that does not is killed.
 */
void
master_stop(struct master *m)
{
	struct timeval tv = { 0, 0 };
	struct servant *s;

	if (m->stopping)
		return;
	m->stopping = true;
	watch_stopping(m);
	heir_stopping(m);
	tv.tv_sec = m->load->config->stop_timeout + STOP_GRACE_S;
	event_add(m->stop_timer, &tv);
	TAILQ_FOREACH(s, &m->servants, entry)
		event_del(s->restart);
	s = servant_find(m, ROLE_QUEUE);
	if (s != NULL)
		servant_send(s, MSG_STOPPING);
	TAILQ_FOREACH(s, &m->servants, entry)
		if ((s->desc->role & ROLE_FRONTS) != 0)
			servant_send(s, MSG_DRAIN);
	drain_queue_if_alone(m);
	stop_rest(m);
}

static void
on_stop_signal(evutil_socket_t number, short what, void *arg)
{
	struct master *m = arg;

	(void)what;
	log_line(LOG_INFO, "signal %d: stopping", (int)number);
	master_stop(m);
}

/* Once, though it is said by each role. */
static void
log_no_landlock(struct master *m, int error)
{
	if (m->landlock_said)
		return;
	m->landlock_said = true;
	log_line(m->options->client_fd == -1 ? LOG_WARN : LOG_INFO,
	    "this host grants us no Landlock (%s): the other layers hold; "
	    "postern doctor names the cure",
	    strerror(error));
}

static void
handle_ready(void *ctx, struct channel *from, const struct message *msg)
{
	const struct msg_ready *ready = msg->payload;
	struct servant *s = channel_arg(from);
	char layers[1024];

	(void)ctx;
	if (s->ready) { /* each costs us files of /proc and a line */
		log_line(LOG_ERROR, "the %s [%d] is ended: READY twice",
		    role_name(s->desc->role), (int)s->pid);
		servant_kill(s);
		return;
	}
	s->ready = true;
	s->was_ready = true;
	counts_roles(s->master);
	if (s->desc->role == ROLE_QUEUE)
		heir_queue_ready(s->master);
	s->landlock_abi = ready->landlock_abi;
	s->landlock_shown = ready->landlock_shown != 0;
	s->landlock_error = (int)ready->landlock_error;
	if (s->landlock_abi == 0)
		log_no_landlock(s->master, s->landlock_error);
	watch_ready(s->master);
	reload_look(s->master);
	status_describe(s, s->pid, layers, sizeof(layers));
	log_line(LOG_INFO, "%s [%d] ready: %s", role_name(s->desc->role),
	    (int)s->pid, layers);
	if (s->coming)
		renew_ready(s);
}

static void
handle_log_reopen(void *ctx, struct channel *from, const struct message *msg)
{
	struct servant *s = channel_arg(from);
	int64_t now_ms = time_monotonic_ms();

	(void)ctx;
	(void)msg;
	/* One who asks without end, and reads no answer, would have all our
	 * descriptors wait for it. */
	if (now_ms < s->log_sent_ms + LOG_SINK_PAUSE_MS ||
	    channel_backlog(from) > 0)
		return;
	s->log_sent_ms = now_ms;
	servant_send_log_sink(s);
}

static void
handle_fault(void *ctx, struct channel *from, const struct message *msg)
{
	const struct msg_fault *fault = msg->payload;
	struct servant *s;
	char text[1024];

	(void)from;
	s = servant_process(ctx, fault->role, fault->pid);
	if (s == NULL || s->pid == -1 || s->desc->role == ROLE_QUEUE)
		return;
	log_escape(text, sizeof(text), (const char *)msg->tail, msg->tail_len);
	log_line(LOG_ERROR, "the %s [%d] is ended: %s", role_name(fault->role),
	    (int)s->pid, text);
	servant_kill(s);
}

/* What the master takes, and in which phase. */
static const struct handler master_handlers[] = {
	{ MSG_READY, PHASE_READY, handle_ready },
	{ MSG_LOG_REOPEN, PHASE_READY, handle_log_reopen },
	{ MSG_FAULT, PHASE_READY, handle_fault },
	{ MSG_RENEW, PHASE_READY, renew_begin },
	{ MSG_DISMISSED, PHASE_READY, renew_dismissed },
	{ MSG_KEY_READY, PHASE_READY, keys_ready },
	{ MSG_STATUS_ASK, PHASE_READY, status_answer },
	{ MSG_ERA_DONE, PHASE_READY, upgrade_era_done },
	{ MSG_CLIENT_LEFT, PHASE_READY, upgrade_client_left },
	{ MSG_PONG, PHASE_READY, watch_pong },
	{ MSG_SECRET_ASK, PHASE_READY, secrets_answer },
	{ MSG_OUTLET_ASK, PHASE_READY, outlet_answer },
};

/* A role's channel ended: its process is dying, or must. */
static void
on_closed(void *ctx, struct channel *ch, const char *why)
{
	struct servant *s = channel_arg(ch);

	status_forget(ctx, ch);
	s->channel = NULL;
	if (s->pid == -1)
		return;
	if (why != NULL)
		servant_kill(s);
	else
		servant_expect_end(s);
}

static void
on_reload(evutil_socket_t number, short what, void *arg)
{
	(void)number;
	(void)what;
	reload_now(arg);
}

static void
on_upgrade(evutil_socket_t number, short what, void *arg)
{
	(void)number;
	(void)what;
	upgrade_begin(arg);
}

static void
watch_signals(struct master *m)
{
	static const struct {
		int number;
		event_callback_fn handle;
	} rows[] = {
		{ SIGTERM, on_stop_signal },
		{ SIGINT, on_stop_signal },
		{ SIGHUP, on_reload },
		{ SIGCHLD, on_child },
		{ SIGUSR2, on_upgrade },
	};
	size_t i;

	signal(SIGPIPE, SIG_IGN);
	for (i = 0; i < NELEM(rows); i++) {
		m->signals[i] = evsignal_new(m->role.base, rows[i].number,
		    rows[i].handle, m);
		if (m->signals[i] == NULL ||
		    event_add(m->signals[i], NULL) == -1)
			fatal("signals: %s", strerror(errno));
	}
	m->stop_timer =
	    event_new(m->role.base, -1, EV_PERSIST, on_stop_timer, m);
	if (m->stop_timer == NULL)
		fatal("no memory");
}

static void
master_clear(struct master *m)
{
	struct servant *s;
	size_t i;

	while ((s = TAILQ_FIRST(&m->servants)) != NULL)
		servant_free(s);
	for (i = 0; i < NELEM(m->signals); i++)
		event_free(m->signals[i]);
	event_free(m->stop_timer);
	event_free(m->log_timer);
	status_close(m);
	watch_close(m);
	reload_close(m);
	files_close(m);
	upgrade_close(m);
	event_free(m->kin.timer);
	fd_close(m->stderr_fd);
	fd_close(m->receipts_fd);
	outlet_clear_run(m);
	autopsy_close(m);
	counts_clear(m);
	load_free(m->load);
	m->load = NULL;
	secrets_renew(m);
	role_clear(&m->role);
}

/* A daemon's operator is warned; for one delivery it is no more than a fact. */
static void
log_weak_walls(const struct master *m)
{
	enum log_level level =
	    m->options->client_fd == -1 ? LOG_WARN : LOG_INFO;

	if (!load_switches_users() && geteuid() == 0)
		log_line(level,
		    "we are root without the right to become another user: "
		    "the roles have no capabilities, but share our user");
	if (m->refusal.step != NULL)
		log_line(level,
		    "this host grants us %s: %s is refused (%s): the other "
		    "layers hold; postern doctor names the cure",
		    m->granted == 0 ? "no namespaces"
				    : "namespaces, but no root of its own for "
				      "a role",
		    m->refusal.step, strerror(m->refusal.error));
}

/* A file that our lines go to is only ever appended to, whatever a role that has
 * it open might do: a shell's 2> does not say so. */
static void
append_to_log(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags != -1 && (flags & O_APPEND) == 0)
		(void)fcntl(fd, F_SETFL, flags | O_APPEND); /* a file has it */
}

/* Whether the configuration, or the one client, has work for it. */
static bool
is_wanted(const struct master *m, unsigned role)
{
	if (role == ROLE_METRICS)
		return counts_are_told(m);
	return role != ROLE_CONTROL || m->options->client_fd == -1 ||
	    m->options->control_fd != -1;
}

static const struct servant_desc *
desc_of(unsigned role)
{
	size_t i;

	for (i = 0; servant_descs[i].role != role; i++)
		continue;
	return &servant_descs[i];
}

void
master_renew_metrics(struct master *m, bool has_other_sockets)
{
	struct servant *s = servant_find(m, ROLE_METRICS);

	if (s == NULL && is_wanted(m, ROLE_METRICS)) {
		s = servant_new(m, desc_of(ROLE_METRICS));
		if (s == NULL) {
			log_line(LOG_ERROR, "no memory for the metrics role");
			return;
		}
		s->was_ready = true; /* one that fails is no reason to stop */
		servant_start(s);
	} else if (s != NULL && has_other_sockets) {
		s->retired = !is_wanted(m, ROLE_METRICS);
		servant_send(s, MSG_DRAIN); /* it ends, and has the others then */
		if (s->retired && s->pid == -1)
			servant_free(s);
	}
}

int
master_run(const struct master_options *options)
{
	struct master m = { 0 };
	struct servant *s;
	const char *why;
	size_t i;

	m.options = options;
	why = inherit_open();
	m.generation = 1;
	m.era = 1;
	m.kin.fd = -1;
	m.pid_file_fd = m.receipts_fd = -1;
	m.stderr_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	TAILQ_INIT(&m.servants);
	m.load = check_load(options->config_name);
	if (m.load == NULL) {
		heir_fail(&m, "the configuration has errors");
		return EX_CONFIG;
	}
	if (options->client_fd != -1 && options->dialer_uid != -1) {
		m.load->dialer.uid = (uid_t)options->dialer_uid;
		m.load->dialer.gid = (gid_t)options->dialer_gid;
	}
	role_init(&m.role, ROLE_MASTER, -1, master_handlers,
	    NELEM(master_handlers), &m, on_closed);
	m.role.phase = PHASE_READY;
	m.log_timer = evtimer_new(m.role.base, sink_timer, &m);
	if (m.log_timer == NULL)
		fatal("no memory");
	status_open(&m);
	sink_open_ours(&m);
	if (power_limit() == -1)
		fatal("capabilities: %s", strerror(errno));
	if (closer_start() == -1)
		fatal("a thread: %s", strerror(errno));
	append_to_log(m.stderr_fd);
	if (why != NULL)
		fatal("%s", why);
	if (spawn_open() == -1)
		fatal("/proc/self/exe: %s: is /proc mounted?", strerror(errno));
	upgrade_open(&m);
	if (options->kin_fd != -1 && !heir_receive(&m))
		fatal("the old generation does not say what is ours");
	files_open(&m);
	counts_open(&m);
	reload_open(&m);
	watch_signals(&m);
	autopsy_open(&m);
	secrets_renew(&m);
	watch_open(&m);
	m.granted = spawn_namespaces(SANDBOX_NS_ALL | CLONE_NEWPID, &m.refusal);
	log_weak_walls(&m);
	for (i = 0; i < NELEM(servant_descs); i++) {
		if (!is_wanted(&m, servant_descs[i].role))
			continue;
		if (servant_new(&m, &servant_descs[i]) == NULL)
			fatal("no memory");
	}
	TAILQ_FOREACH(s, &m.servants, entry)
		servant_start(s);
	while (event_base_loop(m.role.base, EVLOOP_ONCE) == 0 &&
	    !event_base_got_break(m.role.base))
		sink_watch(&m);
	log_line(LOG_INFO, "stopped");
	master_clear(&m);
	return m.failed ? 1 : 0;
}
