/* SPDX-License-Identifier: ISC */
/*
 * The master's loop: see master.h.  It holds all power and reads nothing from
 * outside, waits for nobody, and outlives every role.
 */
#include "master/master_internal.h"

#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/role.h"
#include "common/sandbox.h"
#include "common/util.h"
#include "master/layers.h"
#include "master/listen.h"
#include "master/load.h"
#include "master/spawn.h"

/* The roles in the order of their start, and the namespaces of each. */
static const struct servant_desc servant_descs[] = {
	{ ROLE_RESOLVER, CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS },
	{ ROLE_DIALER, CLONE_NEWIPC | CLONE_NEWUTS },
	{ ROLE_AGENT, SANDBOX_NS_ALL | CLONE_NEWPID },
	{ ROLE_QUEUE, SANDBOX_NS_ALL },
	{ ROLE_INTAKE, SANDBOX_NS_ALL },
};

/* A role asks for a log sink once a second; more often it gets none. */
#define LOG_SINK_PAUSE_MS 500

/* Our own lines go where the roles' go. */
static void
log_ourselves(struct master *m)
{
	struct msg_log_sink sink;
	int fd;

	servant_log_sink(m, &sink, &fd);
	if (fd != -1 && dup2(fd, STDERR_FILENO) != -1)
		log_open(sink.name, "master", sink.syslog, sink.json);
	log_set_facility(sink.facility);
	log_set_least(sink.least);
	fd_close(fd);
}

/* A sink for all: another configuration, or syslog is there again. */
static void
renew_log(struct master *m)
{
	struct servant *s;

	log_ourselves(m);
	TAILQ_FOREACH(s, &m->servants, entry)
		servant_send_log_sink(s);
}

static void
on_log_timer(evutil_socket_t fd, short what, void *arg)
{
	struct timeval again = { 1, 0 };
	struct master *m = arg;
	int log_fd;

	(void)fd;
	(void)what;
	if (m->load->config->log != CONFIG_LOG_SYSLOG)
		return;
	log_fd = log_connect_syslog();
	if (log_fd == -1)
		event_add(m->log_timer, &again);
	else
		renew_log(m);
	fd_close(log_fd);
}

/* Our own sink went away: look for it, once a second at most. */
static void
watch_log(struct master *m)
{
	int64_t now_ms;

	if (!log_is_lost())
		return;
	now_ms = time_monotonic_ms();
	if (now_ms < m->role.log_asked_ms + 1000)
		return;
	m->role.log_asked_ms = now_ms;
	log_ourselves(m);
}

static void master_stop(struct master *m);

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
}

/* What comes in first ends: who is in the middle of a message is still heard. */
static void
drain_queue(struct master *m)
{
	struct servant *queue = servant_find(m, ROLE_QUEUE);

	if (queue != NULL)
		servant_send(queue, MSG_DRAIN);
}

/* What the end of a role means: a restart, or the end of a stop. */
static void
servant_ended(struct servant *s, int status)
{
	struct master *m = s->master;
	int64_t lived_ms = time_monotonic_ms() - s->started_ms;

	log_end(s, status);
	channel_close(s->channel);
	s->channel = NULL;
	s->pid = -1;
	if (s->retired) {
		servant_free(s);
		return;
	}
	if (m->stopping && s->desc->role == ROLE_INTAKE)
		drain_queue(m);
	if (m->stopping)
		return;
	if (s->desc->role == ROLE_INTAKE && m->options->client_fd != -1) {
		master_stop(m); /* the one client is gone */
		return;
	}
	if (!s->was_ready) {
		m->failed = true; /* it never worked: a restart mends nothing */
		master_stop(m);
		return;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		s->backoff_ms = 0; /* meant: it wants the new configuration */
	servant_wait(s, lived_ms);
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
		channel_close(s->channel); /* the parent's end is theirs */
		s->channel = NULL;
	}
	if (all_gone(m))
		role_stop(&m->role);
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
		if (secrets_child_ended(m, pid, status))
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
	struct master *m = arg;
	struct servant *s;

	(void)fd;
	(void)what;
	TAILQ_FOREACH(s, &m->servants, entry) {
		if (s->pid == -1)
			continue;
		log_line(LOG_WARN, "the %s did not stop in time: killed",
		    role_name(s->desc->role));
		kill(s->pid, SIGKILL);
	}
}

/* Sessions finish their message; then all is over, within stop_timeout and
 * the second that the roles' own bound leaves them. */
static void
master_stop(struct master *m)
{
	struct timeval tv = { 0, 0 };
	struct servant *s;

	if (m->stopping)
		return;
	m->stopping = true;
	tv.tv_sec = m->load->config->stop_timeout + 1;
	event_add(m->stop_timer, &tv);
	TAILQ_FOREACH(s, &m->servants, entry)
		event_del(s->restart);
	s = servant_find(m, ROLE_INTAKE);
	if (s != NULL && s->pid != -1)
		servant_send(s, MSG_DRAIN);
	else
		drain_queue(m);
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

/* The agent has its trust at start only: a new one takes the new sessions. */
static void
replace_agent(struct master *m)
{
	struct servant *old = servant_find(m, ROLE_AGENT), *new;

	if (old == NULL || old->channel == NULL)
		return; /* its restart will read the new files */
	new = servant_new(m, old->desc);
	if (new == NULL) {
		log_line(LOG_ERROR, "no memory for a new agent");
		return;
	}
	new->was_ready = true;
	new->restarts = old->restarts;
	old->retired = true;
	servant_start(new);
	servant_send(old, MSG_DRAIN);
}

static void
log_errors(const struct config_errors *errors)
{
	size_t i;

	for (i = 0; i < errors->nlines; i++)
		log_line(LOG_ERROR, "%s", errors->lines[i]);
}

/*
 * What is open as long as we live, and what belongs to it: a role that dies
 * later would else take up another spool, and we would remove another's socket.
 * NULL, or the first of them that changed.
 */
static const char *
needs_restart(const struct config *old, const struct config *new)
{
	const struct {
		const char *name, *was, *is;
	} rows[] = {
		{ "spool_directory", old->spool_directory,
		    new->spool_directory },
		{ "queue_user", old->queue_user, new->queue_user },
		{ "job_socket", old->job_socket, new->job_socket },
		{ "control_socket", old->control_socket, new->control_socket },
		{ "pid_file", old->pid_file, new->pid_file },
	};
	size_t i;

	if (old->queue_store != new->queue_store)
		return "queue_store";
	if (!config_listeners_same(old, new))
		return "a listener's name, place, mode or group";
	for (i = 0; i < NELEM(rows); i++) {
		if (strcmp(rows[i].was, rows[i].is) != 0)
			return rows[i].name;
	}
	return NULL;
}

static void
refuse_reload(struct load *load, const char *why)
{
	if (why != NULL)
		log_line(LOG_ERROR, "%s cannot change in a reload: restart",
		    why);
	log_line(LOG_ERROR,
	    "reload refused: the former configuration "
	    "goes on");
	load_free(load);
}

static void
on_reload(evutil_socket_t number, short what, void *arg)
{
	struct master *m = arg;
	struct config_errors *errors;
	struct load *load = NULL;
	struct servant *s;
	const char *why;

	(void)number;
	(void)what;
	if (m->stopping || m->options->client_fd != -1)
		return;
	errors = calloc(1, sizeof(*errors));
	if (errors != NULL)
		load = load_read(m->options->config_name, errors);
	if (load == NULL) {
		if (errors != NULL)
			log_errors(errors);
		free(errors);
		refuse_reload(NULL, NULL);
		return;
	}
	free(errors);
	why = needs_restart(m->load->config, load->config);
	if (why != NULL) {
		refuse_reload(load, why);
		return;
	}
	load_free(m->load);
	m->load = load;
	m->generation++;
	secrets_renew(m);
	renew_log(m);
	replace_agent(m);
	TAILQ_FOREACH(s, &m->servants, entry) {
		if ((s->desc->role & ROLE_READERS) != 0)
			servant_send_config(s);
		if (s->desc->role == ROLE_INTAKE) {
			servant_send_submitters(s);
			listeners_send_users(s);
		}
	}
	log_line(LOG_INFO, "reloaded %s, generation %u",
	    m->options->config_name, m->generation);
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
		kill(s->pid, SIGKILL);
		return;
	}
	s->ready = true;
	s->was_ready = true;
	s->landlock_abi = ready->landlock_abi;
	s->landlock_shown = ready->landlock_shown != 0;
	status_describe(s, s->pid, layers, sizeof(layers));
	log_line(LOG_INFO, "%s [%d] ready: %s", role_name(s->desc->role),
	    (int)s->pid, layers);
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
	s = servant_find(ctx, fault->role);
	if (s == NULL || s->pid == -1 || s->desc->role == ROLE_QUEUE)
		return;
	log_escape(text, sizeof(text), (const char *)msg->tail, msg->tail_len);
	log_line(LOG_ERROR, "the %s [%d] is ended: %s", role_name(fault->role),
	    (int)s->pid, text);
	kill(s->pid, SIGKILL);
}

/* What the master takes, and in which phase. */
static const struct handler master_handlers[] = {
	{ MSG_READY, PHASE_READY, handle_ready },
	{ MSG_LOG_REOPEN, PHASE_READY, handle_log_reopen },
	{ MSG_FAULT, PHASE_READY, handle_fault },
	{ MSG_STATUS_ASK, PHASE_READY, status_answer },
	{ MSG_SECRET_ASK, PHASE_READY, secrets_answer },
};

/* A role's channel ended: its process is dying, or must. */
static void
on_closed(void *ctx, struct channel *ch, const char *why)
{
	struct servant *s = channel_arg(ch);

	(void)ctx;
	s->channel = NULL;
	if (why != NULL && s->pid != -1)
		kill(s->pid, SIGKILL);
}

static void
complain(const char *what, const char *where)
{
	switch (errno) {
	case EADDRINUSE:
	case EWOULDBLOCK:
		fatal("%s %s: another posternd uses it: stop that one, or give "
		      "this one folders of its own",
		    what, where);
	case EPERM:
		fatal("%s %s: it belongs to another user, or others may write "
		      "in it: give it to the right one alone, or name another "
		      "place",
		    what, where);
	default:
		fatal("%s %s: %s", what, where, strerror(errno));
	}
}

static void
open_files(struct master *m)
{
	const struct config *c = m->load->config;
	const struct load_user *queue = &m->load->queue;
	bool root = load_switches_users();

	if (c->queue_store == CONFIG_QUEUE_STORE_SQLITE &&
	    listen_directory(c->spool_directory, 0700,
		root ? queue->uid : geteuid(),
		root ? queue->gid : (gid_t)-1) == -1)
		complain("spool_directory", c->spool_directory);
	if (m->options->client_fd != -1)
		return;
	if (listen_directory(c->run_directory, 0755, (uid_t)-1, (gid_t)-1) ==
	    -1)
		complain("run_directory", c->run_directory);
	m->pid_file_fd = listen_pid_file(c->pid_file);
	if (m->pid_file_fd == -1)
		complain("pid_file", c->pid_file);
	m->job_fd = listen_open(c->job_socket, SOCK_SEQPACKET,
	    c->job_socket_mode, m->load->job_group);
	if (m->job_fd == -1)
		complain("job_socket", c->job_socket);
	m->control_fd = listen_open(c->control_socket, SOCK_SEQPACKET,
	    c->control_socket_mode, m->load->control_group);
	if (m->control_fd == -1)
		complain("control_socket", c->control_socket);
	listeners_open(m);
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

static struct load *
load_or_say(const char *name)
{
	struct config_errors *errors;
	struct load *load;
	size_t i;

	errors = calloc(1, sizeof(*errors));
	if (errors == NULL)
		return NULL;
	load = load_read(name, errors);
	for (i = 0; i < errors->nlines; i++)
		fprintf(stderr, "%s\n", errors->lines[i]);
	if (errors->count > errors->nlines)
		fprintf(stderr, "%s: and %zu more\n", name,
		    errors->count - errors->nlines);
	free(errors);
	return load;
}

bool
master_check(const char *config_name)
{
	struct load *load = load_or_say(config_name);
	bool good = load != NULL;

	load_free(load);
	return good;
}

bool
master_dump(const char *config_name)
{
	struct load *load = load_or_say(config_name);

	if (load == NULL)
		return false;
	config_dump(load->config, stdout);
	load_free(load);
	return true;
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
	if (m->job_fd != -1)
		(void)unlink(m->load->config->job_socket); /* gone is fine */
	if (m->control_fd != -1)
		(void)unlink(m->load->config->control_socket);
	if (m->pid_file_fd != -1)
		(void)unlink(m->load->config->pid_file);
	listeners_close(m);
	fd_close(m->job_fd);
	fd_close(m->control_fd);
	fd_close(m->pid_file_fd);
	fd_close(m->stderr_fd);
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
	if (m->granted == 0)
		log_line(level,
		    "this host grants us no namespaces: the other layers "
		    "stand alone");
}

int
master_run(const struct master_options *options)
{
	struct master m = { 0 };
	struct servant *s;
	size_t i;

	m.options = options;
	m.generation = 1;
	m.job_fd = m.control_fd = m.pid_file_fd = -1;
	m.stderr_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	TAILQ_INIT(&m.servants);
	m.load = load_or_say(options->config_name);
	if (m.load == NULL)
		return 1;
	role_init(&m.role, ROLE_MASTER, -1, master_handlers,
	    NELEM(master_handlers), &m, on_closed);
	m.role.phase = PHASE_READY;
	m.log_timer = evtimer_new(m.role.base, on_log_timer, &m);
	if (m.log_timer == NULL)
		fatal("no memory");
	log_ourselves(&m);
	if (spawn_open() == -1)
		fatal("/proc/self/exe: %s: is /proc mounted?", strerror(errno));
	open_files(&m);
	watch_signals(&m);
	secrets_renew(&m);
	m.granted = spawn_namespaces(SANDBOX_NS_ALL | CLONE_NEWPID);
	log_weak_walls(&m);
	for (i = 0; i < NELEM(servant_descs); i++) {
		if (servant_new(&m, &servant_descs[i]) == NULL)
			fatal("no memory");
	}
	TAILQ_FOREACH(s, &m.servants, entry)
		servant_start(s);
	while (event_base_loop(m.role.base, EVLOOP_ONCE) == 0 &&
	    !event_base_got_break(m.role.base))
		watch_log(&m);
	log_line(LOG_INFO, "stopped");
	master_clear(&m);
	return m.failed ? 1 : 0;
}
