/* SPDX-License-Identifier: ISC */
/*
 * The master's loop: see master.h.  It holds all power and reads nothing from
 * outside, waits for nobody, and outlives every role.
 */
#include "master/master.h"

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

/* A role that dies is executed again after this, doubled each time it died
 * within RESTART_CALM_MS of its start. */
#define RESTART_FIRST_MS 100
#define RESTART_MOST_MS  30000
#define RESTART_CALM_MS  60000
/* Workers told of by one STATUS_ASK. */
#define STATUS_WORKERS_MAX 512

/* What the master knows of each role; the namespaces it makes for it. */
static const struct servant_desc {
	unsigned role;
	uint32_t namespaces;
} servant_descs[] = {
	{ ROLE_RESOLVER, CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS },
	{ ROLE_DIALER, CLONE_NEWIPC | CLONE_NEWUTS },
	{ ROLE_AGENT, SANDBOX_NS_ALL | CLONE_NEWPID },
	{ ROLE_QUEUE, SANDBOX_NS_ALL },
	{ ROLE_INTAKE, SANDBOX_NS_ALL },
};

/* Who speaks with whom. */
static const struct {
	unsigned a, b;
} links[] = {
	{ ROLE_INTAKE, ROLE_QUEUE },
	{ ROLE_QUEUE, ROLE_RESOLVER },
	{ ROLE_QUEUE, ROLE_DIALER },
	{ ROLE_QUEUE, ROLE_AGENT },
};

/* One process of a role.  A reload leaves the former agent beside the new one
 * until its workers have finished. */
struct servant {
	TAILQ_ENTRY(servant) entry;
	struct master *master;
	const struct servant_desc *desc;
	struct channel *channel; /* NULL: not running */
	struct event *restart;   /* pending while it waits to be executed */
	pid_t pid;               /* -1: not running */
	uint32_t namespaces;     /* granted */
	uint32_t landlock_abi;
	bool landlock_shown;
	bool ready;
	bool was_ready; /* once, since the master's start */
	bool retired;
	uint32_t restarts;
	int64_t backoff_ms;
	int64_t started_ms; /* CLOCK_MONOTONIC */
	int64_t started_real_ms;
};

struct master {
	struct role role;
	const struct master_options *options;
	struct load *load;
	TAILQ_HEAD(, servant) servants;
	struct event *signals[4];
	struct event *stop_timer;
	uint32_t generation;
	uint32_t granted; /* namespaces that this host grants */
	int job_fd;
	int control_fd;
	int pid_file_fd;
	bool stopping;
	bool failed; /* the exit status is not 0 */
};

static void servant_start(struct servant *s);
static void master_stop(struct master *m);

static struct servant *
servant_find(struct master *m, unsigned role)
{
	struct servant *s;

	TAILQ_FOREACH(s, &m->servants, entry) {
		if (s->desc->role == role && !s->retired)
			return s;
	}
	return NULL;
}

static void
send_to(struct servant *s, enum msg_type type, const void *payload,
    const void *tail, size_t tail_len, int fd)
{
	if (s->channel != NULL)
		(void)channel_send(s->channel, type, payload, tail, tail_len,
		    fd); /* its end comes by SIGCHLD */
}

static void
send_plain(struct servant *s, enum msg_type type)
{
	struct msg_none none = { 0 };

	send_to(s, type, &none, NULL, 0, -1);
}

/* The log: its other end is opened here, where files can be. */
static void
send_log_sink(struct servant *s)
{
	const struct config *c = s->master->load->config;
	static const uint8_t facilities[] = { 2, 3, 1, 16, 17, 18, 19, 20, 21,
		22, 23 };
	struct msg_log_sink sink = { 0 };
	int fd = -1;

	sink.syslog = c->log == CONFIG_LOG_SYSLOG;
	sink.json = c->log_format == CONFIG_LOG_FORMAT_JSON;
	sink.facility = facilities[c->syslog_facility];
	sink.least = s->master->options->quiet ? LOG_WARN : LOG_INFO;
	strlcpy(sink.name, c->syslog_name, sizeof(sink.name));
	if (sink.syslog)
		fd = log_connect_syslog();
	if (fd == -1) {
		sink.syslog = 0;
		fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	}
	if (fd != -1)
		send_to(s, MSG_LOG_SINK, &sink, NULL, 0, fd);
	fd_close(fd);
}

/* Our own lines go where the roles' go. */
static void
log_ourselves(struct master *m)
{
	const struct config *c = m->load->config;
	bool to_syslog = c->log == CONFIG_LOG_SYSLOG;
	int fd;

	if (to_syslog) {
		fd = log_connect_syslog();
		to_syslog = fd != -1 && dup2(fd, STDERR_FILENO) != -1;
		fd_close(fd);
	}
	log_open(c->syslog_name, "master", to_syslog,
	    c->log_format == CONFIG_LOG_FORMAT_JSON);
	log_set_least(m->options->quiet ? LOG_WARN : LOG_INFO);
}

static void
send_config(struct servant *s)
{
	struct msg_config config = { s->master->generation, 0 };
	const char *name = s->master->options->config_name;

	send_to(s, MSG_CONFIG, &config, name, strnlen(name, 255),
	    s->master->load->text_fd);
}

static void
send_listeners(struct servant *s)
{
	struct master *m = s->master;
	struct msg_listener l = { 0 };

	if (m->options->client_fd != -1) {
		l.kind = LISTENER_CLIENT;
		send_to(s, MSG_LISTENER, &l, NULL, 0, m->options->client_fd);
		return;
	}
	l.kind = LISTENER_JOB;
	send_to(s, MSG_LISTENER, &l, NULL, 0, m->job_fd);
	l.kind = LISTENER_CONTROL;
	send_to(s, MSG_LISTENER, &l, NULL, 0, m->control_fd);
}

static void
send_submitters(struct servant *s)
{
	const struct load *ld = s->master->load;
	struct msg_submitters sub = { 0 };
	uint32_t uids[SUBMITTERS_MAX];

	memcpy(uids, ld->submitters, sizeof(uids));
	sub.any = ld->config->job_users.count == 0;
	sub.count = (uint32_t)ld->nsubmitters;
	if (sub.count < SUBMITTERS_MAX)
		uids[sub.count++] = geteuid(); /* who started us */
	send_to(s, MSG_SUBMITTERS, &sub, uids, sub.count * sizeof(uids[0]), -1);
}

static void
send_trust(struct servant *s)
{
	const struct load *ld = s->master->load;
	struct msg_trust trust = { 0 };
	size_t i;

	for (i = 0; i < ld->config->ntransports; i++) {
		trust.index = (uint32_t)i;
		if (ld->trust_fds[i] != -1)
			send_to(s, MSG_TRUST, &trust, NULL, 0,
			    ld->trust_fds[i]);
	}
}

static void
send_start(struct servant *s)
{
	const struct load *ld = s->master->load;
	const struct load_user *user = &ld->agent;
	struct msg_start start = { 0 };

	if (s->desc->role == ROLE_INTAKE)
		user = &ld->intake;
	else if (s->desc->role == ROLE_QUEUE)
		user = &ld->queue;
	else if (s->desc->role == ROLE_RESOLVER)
		user = &ld->resolver;
	else if (s->desc->role == ROLE_DIALER)
		user = &ld->dialer;
	start.switch_user = geteuid() == 0;
	start.uid = user->uid;
	start.gid = user->gid;
	start.pid = (uint32_t)s->pid;
	start.namespaces = s->namespaces;
	send_to(s, MSG_START, &start, NULL, 0, -1);
}

/* A new channel between two roles; each hears of it by PEER. */
static void
link_pair(struct servant *a, struct servant *b)
{
	struct msg_peer peer = { 0 };
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == -1) {
		log_line(LOG_ERROR, "socketpair: %s", strerror(errno));
		return; /* the roles say what they miss */
	}
	peer.role = b->desc->role;
	send_to(a, MSG_PEER, &peer, NULL, 0, fds[0]);
	peer.role = a->desc->role;
	send_to(b, MSG_PEER, &peer, NULL, 0, fds[1]);
	close(fds[0]);
	close(fds[1]);
}

static void
link_all(struct servant *s)
{
	struct servant *other;
	unsigned role;
	size_t i;

	for (i = 0; i < NELEM(links); i++) {
		if (links[i].a != s->desc->role && links[i].b != s->desc->role)
			continue;
		role = links[i].a == s->desc->role ? links[i].b : links[i].a;
		other = servant_find(s->master, role);
		if (other != NULL && other->channel != NULL)
			link_pair(s, other);
	}
}

/* All that a role is to know, in the order it relies on. */
static void
servant_set_up(struct servant *s)
{
	unsigned role = s->desc->role;

	send_log_sink(s);
	if ((role & ROLE_READERS) != 0)
		send_config(s);
	if (role == ROLE_AGENT)
		send_trust(s); /* files, not words: it parses nothing */
	if (role == ROLE_INTAKE) {
		send_submitters(s);
		send_listeners(s);
	}
	link_all(s);
	send_start(s);
}

static void
servant_wait(struct servant *s)
{
	struct timeval tv;

	if (s->backoff_ms == 0)
		s->backoff_ms = RESTART_FIRST_MS;
	else if (s->backoff_ms < RESTART_MOST_MS)
		s->backoff_ms *= 2;
	tv.tv_sec = s->backoff_ms / 1000;
	tv.tv_usec = s->backoff_ms % 1000 * 1000;
	event_add(s->restart, &tv);
}

static void
servant_start(struct servant *s)
{
	int fds[2] = { -1, -1 };
	struct master *m = s->master;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == -1)
		goto failed;
	s->namespaces = s->desc->namespaces & m->granted;
	if (s->namespaces != 0)
		s->namespaces |= m->granted & CLONE_NEWUSER;
	s->pid = spawn_role(role_name(s->desc->role), fds[1], s->namespaces);
	if (s->pid == -1)
		goto failed;
	close(fds[1]);
	fds[1] = -1;
	s->channel = channel_new(&m->role, fds[0], s->desc->role, s);
	fds[0] = -1;
	if (s->channel == NULL) {
		kill(s->pid, SIGKILL);
		goto failed;
	}
	s->ready = false;
	s->started_ms = time_monotonic_ms();
	s->started_real_ms = time_real_ms();
	servant_set_up(s);
	return;
failed:
	log_line(LOG_ERROR, "cannot execute the %s: %s",
	    role_name(s->desc->role), strerror(errno));
	fd_close(fds[0]);
	fd_close(fds[1]);
	servant_wait(s);
}

static void
on_restart(evutil_socket_t fd, short what, void *arg)
{
	struct servant *s = arg;

	(void)fd;
	(void)what;
	s->restarts++;
	servant_start(s);
}

static struct servant *
servant_new(struct master *m, const struct servant_desc *desc)
{
	struct servant *s;

	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	s->master = m;
	s->desc = desc;
	s->pid = -1;
	s->restart = evtimer_new(m->role.base, on_restart, s);
	if (s->restart == NULL) {
		free(s);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&m->servants, s, entry);
	return s;
}

static void
servant_free(struct servant *s)
{
	channel_close(s->channel);
	event_free(s->restart);
	TAILQ_REMOVE(&s->master->servants, s, entry);
	free(s);
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
	if (lived_ms > RESTART_CALM_MS)
		s->backoff_ms = 0;
	servant_wait(s);
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
	TAILQ_FOREACH(s, &m->servants, entry) {
		event_del(s->restart);
		if (s->desc->role == ROLE_INTAKE || s->desc->role == ROLE_QUEUE)
			send_plain(s, MSG_DRAIN);
	}
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
	send_plain(old, MSG_DRAIN);
}

static void
log_errors(const struct config_errors *errors)
{
	size_t i;

	for (i = 0; i < errors->nlines; i++)
		log_line(LOG_ERROR, "%s", errors->lines[i]);
}

static void
on_reload(evutil_socket_t number, short what, void *arg)
{
	struct master *m = arg;
	struct config_errors *errors;
	struct load *load = NULL;
	struct servant *s;

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
		log_line(LOG_ERROR,
		    "reload refused: the former configuration "
		    "goes on");
		free(errors);
		return;
	}
	free(errors);
	load_free(m->load);
	m->load = load;
	m->generation++;
	log_ourselves(m);
	replace_agent(m);
	TAILQ_FOREACH(s, &m->servants, entry) {
		send_log_sink(s);
		if ((s->desc->role & ROLE_READERS) != 0)
			send_config(s);
		if (s->desc->role == ROLE_INTAKE)
			send_submitters(s);
	}
	log_line(LOG_INFO, "reloaded %s, generation %u",
	    m->options->config_name, m->generation);
}

/* "key=value" words of a process, with what /proc does not show. */
static void
describe(const struct servant *s, pid_t pid, char *out, size_t size)
{
	size_t len;

	if (layers_read(pid, out, size) == -1) {
		out[0] = '\0';
		return;
	}
	len = strlen(out);
	if (s == NULL)
		return;
	if (s->landlock_abi == 0)
		(void)snprintf(out + len, size - len, " landlock=no");
	else
		(void)snprintf(out + len, size - len, " landlock=abi-%u%s",
		    s->landlock_abi, s->landlock_shown ? ",seen" : "");
}

static void
handle_ready(void *ctx, struct channel *from, const struct message *msg)
{
	const struct msg_ready *ready = msg->payload;
	struct servant *s = channel_arg(from);
	char layers[1024];

	(void)ctx;
	s->ready = true;
	s->was_ready = true;
	s->landlock_abi = ready->landlock_abi;
	s->landlock_shown = ready->landlock_shown != 0;
	describe(s, s->pid, layers, sizeof(layers));
	log_line(LOG_INFO, "%s [%d] ready: %s", role_name(s->desc->role),
	    (int)s->pid, layers);
}

static void
handle_log_reopen(void *ctx, struct channel *from, const struct message *msg)
{
	(void)ctx;
	(void)msg;
	send_log_sink(channel_arg(from));
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

static void
send_status(struct channel *to, uint64_t request, unsigned role, pid_t pid,
    const struct servant *s, bool last)
{
	struct msg_status status = { 0 };
	char layers[2048];

	status.request = request;
	status.role = role;
	status.pid = (uint32_t)pid;
	status.last = last;
	if (s != NULL && role != ROLE_WORKER) {
		status.restarts = s->restarts;
		status.since_s = (uint64_t)s->started_real_ms / 1000;
	}
	describe(s, pid, layers, sizeof(layers));
	(void)channel_send(to, MSG_STATUS, &status, layers, strlen(layers),
	    -1); /* who asked may be gone */
}

static void
handle_status_ask(void *ctx, struct channel *from, const struct message *msg)
{
	const struct msg_request *ask = msg->payload;
	struct master *m = ctx;
	pid_t workers[STATUS_WORKERS_MAX];
	struct servant *s;
	size_t i, n;

	TAILQ_FOREACH(s, &m->servants, entry) {
		if (s->pid == -1)
			continue;
		send_status(from, ask->request, s->desc->role, s->pid, s,
		    false);
		if (s->desc->role != ROLE_AGENT)
			continue;
		n = layers_children(s->pid, workers, NELEM(workers));
		for (i = 0; i < n; i++)
			send_status(from, ask->request, ROLE_WORKER, workers[i],
			    s, false);
	}
	send_status(from, ask->request, ROLE_MASTER, getpid(), NULL, true);
}

/* What the master takes, and in which phase. */
static const struct handler master_handlers[] = {
	{ MSG_READY, PHASE_READY, handle_ready },
	{ MSG_LOG_REOPEN, PHASE_READY, handle_log_reopen },
	{ MSG_FAULT, PHASE_READY, handle_fault },
	{ MSG_STATUS_ASK, PHASE_READY, handle_status_ask },
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
		fatal("%s %s: it belongs to another user: give it to the right "
		      "one, or name another place",
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
	bool root = geteuid() == 0;

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
	m->job_fd =
	    listen_open(c->job_socket, c->job_socket_mode, m->load->job_group);
	if (m->job_fd == -1)
		complain("job_socket", c->job_socket);
	m->control_fd = listen_open(c->control_socket, c->control_socket_mode,
	    m->load->control_group);
	if (m->control_fd == -1)
		complain("control_socket", c->control_socket);
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
	if (m->job_fd != -1)
		(void)unlink(m->load->config->job_socket); /* gone is fine */
	if (m->control_fd != -1)
		(void)unlink(m->load->config->control_socket);
	if (m->pid_file_fd != -1)
		(void)unlink(m->load->config->pid_file);
	fd_close(m->job_fd);
	fd_close(m->control_fd);
	fd_close(m->pid_file_fd);
	load_free(m->load);
	role_clear(&m->role);
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
	TAILQ_INIT(&m.servants);
	m.load = load_or_say(options->config_name);
	if (m.load == NULL)
		return 1;
	role_init(&m.role, ROLE_MASTER, -1, master_handlers,
	    NELEM(master_handlers), &m, on_closed);
	m.role.phase = PHASE_READY;
	log_ourselves(&m);
	if (spawn_open() == -1)
		fatal("/proc/self/exe: %s: is /proc mounted?", strerror(errno));
	open_files(&m);
	watch_signals(&m);
	m.granted = spawn_namespaces(SANDBOX_NS_ALL | CLONE_NEWPID);
	if (m.granted == 0)
		log_line(LOG_WARN,
		    "this host grants us no namespaces: the "
		    "other layers stand alone");
	for (i = 0; i < NELEM(servant_descs); i++) {
		if (servant_new(&m, &servant_descs[i]) == NULL)
			fatal("no memory");
	}
	TAILQ_FOREACH(s, &m.servants, entry)
		servant_start(s);
	(void)event_base_dispatch(m.role.base);
	log_line(LOG_INFO, "stopped");
	master_clear(&m);
	return m.failed ? 1 : 0;
}
