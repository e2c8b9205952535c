/* SPDX-License-Identifier: ISC */
/*
 * The agent: loads OpenSSL and what is trusted once, confines itself, and forks
 * a worker for each session that the queue asks for.  It never sees a job, and
 * parses nothing after its start.  As process 1 of its namespace it is the one
 * to hear of its workers' ends, and its own end is theirs.
 */
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/tree.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/malloc_tuning.h"
#include "agent/session/sasl.h"
#include "agent/tls.h"
#include "agent/worker.h"
#include "common/filter.h"
#include "common/log.h"
#include "common/role.h"
#include "common/sandbox.h"
#include "common/util.h"

/* Descriptors 0 to 5 (worker.h): no number above can be had. */
#define WORKER_NOFILE 6

struct child {
	RB_ENTRY(child) entry;
	pid_t pid;
	uint32_t session;
};

static int
child_compare(const struct child *a, const struct child *b)
{
	return a->pid < b->pid ? -1 : a->pid > b->pid;
}

RB_HEAD(children, child);
/* libbsd disables the macro that RB_GENERATE_STATIC is made of. */
RB_GENERATE_INTERNAL(children, child, entry, child_compare,
    __attribute__((unused)) static)

struct agent {
	struct role role;
	struct channel *queue; /* NULL until PEER */
	struct tls_trusts *trusts;
	struct sock_fprog worker_filter;
	struct event *signal_event;
	struct children children;
	int signal_fd;
	int null_fd;
	int line_fd; /* of the worker that FORK is about to ask for; or -1 */
	uint32_t line_session;
};

static const struct sandbox agent_sandbox = { 0 };

static const struct filter_rule agent_filter[] = {
#include "agent/agent_filter.def"
};

static const struct filter_rule worker_filter[] = {
#include "agent/worker_filter.def"
};

/* Nobody is left who could end its workers, or count them; a queue that comes
 * later counts from 1 again. */
static void
agent_lose_queue(struct agent *a)
{
	struct child *child;

	a->queue = NULL;
	RB_FOREACH(child, children, &a->children)
	{
		child->session = 0;
		(void)kill(child->pid, SIGKILL); /* ours until waited */
	}
}

static void
agent_peer(void *ctx, struct channel *from, const struct message *m)
{
	struct agent *a = ctx;

	(void)from;
	channel_close(a->queue);
	agent_lose_queue(a);
	a->queue = role_take_peer(&a->role, m->fd, ROLE_QUEUE, NULL);
}

static void
agent_trust(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_trust *trust = m->payload;
	struct agent *a = ctx;
	const char *why;

	(void)from;
	if (tls_trust_load(a->trusts, trust->index, m->fd, &why) == -1)
		log_line(LOG_ERROR, "transport %u: tls_CAfile: %s",
		    trust->index + 1, why); /* then nothing verifies */
	fd_close(m->fd);
}

static int
limit(int resource, rlim_t value)
{
	const struct rlimit rl = { value, value };

	return setrlimit((__rlimit_resource_t)resource, &rl);
}

/* In the new process: from here to the filter, everything but the one channel
 * goes away. */
static _Noreturn void
become_worker(const struct agent *a, int control_fd)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == -1 ||
	    dup3(control_fd, WORKER_CONTROL_FD, O_CLOEXEC) == -1 ||
	    dup3(a->line_fd, WORKER_DIALER_FD, O_CLOEXEC) == -1 ||
	    (filter_mode() == FILTER_KILLS && /* else it has its say there */
		dup3(a->null_fd, STDERR_FILENO, O_CLOEXEC) == -1) ||
	    close_range(WORKER_CONTROL_FD + 1, ~0u, 0) == -1 ||
	    limit(RLIMIT_NOFILE, WORKER_NOFILE) == -1 ||
	    limit(RLIMIT_NPROC, 0) == -1 || limit(RLIMIT_FSIZE, 0) == -1 ||
	    limit(RLIMIT_CORE, 0) == -1 ||
	    (filter_mode() != FILTER_ABSENT && limit(RLIMIT_DATA, 0) == -1) ||
	    filter_load(&a->worker_filter) == -1)
		_exit(1);
	worker_run(a->trusts);
}

static void
tell_gone(struct agent *a, uint32_t session, int status)
{
	struct msg_gone gone = { session, status };

	if (a->queue != NULL && session != 0)
		(void)channel_send(a->queue, MSG_GONE, &gone, NULL, 0, -1);
}

static void
agent_line(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_fork *request = m->payload;
	struct agent *a = ctx;

	(void)from;
	fd_close(a->line_fd);
	a->line_fd = m->fd;
	a->line_session = request->session;
}

/* control_fd may be WORKER_CONTROL_FD only in a worker: here that number is
 * the channel to the master. */
static void
agent_fork(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_fork *request = m->payload;
	struct agent *a = ctx;
	struct child *child;

	(void)from;
	errno = EPROTO; /* a worker without a line would wait for ever */
	child = a->line_fd != -1 && a->line_session == request->session
	    ? calloc(1, sizeof(*child))
	    : NULL;
	if (child != NULL) {
		child->session = request->session;
		child->pid = fork();
		if (child->pid == 0)
			become_worker(a, m->fd);
	}
	if (child == NULL || child->pid == -1) {
		log_line(LOG_ERROR, "cannot fork a worker: %s",
		    strerror(errno));
		free(child);
		tell_gone(a, request->session, -1);
	} else {
		RB_INSERT(children, &a->children, child);
	}
	fd_close(m->fd);
	fd_close(a->line_fd);
	a->line_fd = -1;
}

static void
agent_kill(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_fork *request = m->payload;
	struct agent *a = ctx;
	struct child *child;

	(void)from;
	RB_FOREACH(child, children, &a->children)
	{
		if (child->session == request->session) {
			(void)kill(child->pid, SIGKILL); /* ours until waited */
			return;
		}
	}
}

static void
stop_if_done(struct agent *a)
{
	/* What the queue asked before it had heard of another agent is still to
	 * come; then it closes our channel. */
	if (a->role.phase == PHASE_DRAINING && a->queue == NULL &&
	    RB_EMPTY(&a->children))
		role_stop(&a->role);
}

static void
agent_drain(void *ctx, struct channel *from, const struct message *m)
{
	struct agent *a = ctx;

	(void)from;
	(void)m;
	a->role.phase = PHASE_DRAINING;
	stop_if_done(a);
}

static void
child_ended(struct agent *a, pid_t pid, int status)
{
	struct child key = { .pid = pid }, *child;

	child = RB_FIND(children, &a->children, &key);
	if (child == NULL)
		return; /* an orphan of nobody: there are no grandchildren */
	RB_REMOVE(children, &a->children, child);
	tell_gone(a, child->session, status);
	free(child);
}

static void
on_child(evutil_socket_t fd, short what, void *arg)
{
	struct signalfd_siginfo info;
	struct agent *a = arg;
	int status;
	pid_t pid;

	(void)what;
	while (read(fd, &info, sizeof(info)) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		child_ended(a, pid, status);
	stop_if_done(a);
}

/* What the agent takes, and in which of its phases. */
static const struct handler agent_handlers[] = {
	{ MSG_TRUST, PHASE_CONFINED, agent_trust },
	{ MSG_PEER, PHASE_SETUP | PHASE_READY | PHASE_DRAINING, agent_peer },
	{ MSG_LINE, PHASE_READY | PHASE_DRAINING, agent_line },
	{ MSG_FORK, PHASE_READY | PHASE_DRAINING, agent_fork },
	{ MSG_KILL, PHASE_READY | PHASE_DRAINING, agent_kill },
	{ MSG_DRAIN, PHASE_READY | PHASE_DRAINING, agent_drain },
};

static void
agent_closed(void *ctx, struct channel *ch, const char *why)
{
	struct agent *a = ctx;

	(void)why;
	if (ch == a->queue)
		agent_lose_queue(a); /* the master sends another */
	stop_if_done(a);
}

static void
open_signals(struct agent *a)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, NULL) == -1)
		fatal("signals: %s", strerror(errno));
	a->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	a->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (a->signal_fd == -1 || a->null_fd == -1)
		fatal("descriptors: %s", strerror(errno));
	a->signal_event = event_new(a->role.base, a->signal_fd,
	    EV_READ | EV_PERSIST, on_child, a);
	if (a->signal_event == NULL || event_add(a->signal_event, NULL) == -1)
		fatal("the loop: %s", strerror(errno));
}

/* Everything that workers will share, before any of them exists. */
static void
agent_init(struct agent *a, int parent_fd)
{
	memset(a, 0, sizeof(*a));
	malloc_tuning_set();
	a->line_fd = -1;
	RB_INIT(&a->children);
	role_init(&a->role, ROLE_AGENT, parent_fd, agent_handlers,
	    NELEM(agent_handlers), a, agent_closed);
	open_signals(a);
	if (tls_warm_up() == -1)
		fatal("OpenSSL does not work: is libssl3 whole?");
	if (sasl_warm_up() == -1)
		fatal("libgsasl does not work: is libgsasl18 whole?");
	a->trusts = tls_trusts_new();
	if (a->trusts == NULL)
		fatal("no memory");
	if (filter_compile(worker_filter, NELEM(worker_filter),
		&a->worker_filter) == -1)
		fatal("the workers' filter: %s", strerror(errno));
}

int
agent_run(int parent_fd)
{
	struct msg_ready ready;
	struct agent a;

	agent_init(&a, parent_fd);
	role_setup(&a.role);
	sandbox_root(&agent_sandbox, &a.role.start);
	sandbox_confine(&agent_sandbox, NULL, agent_filter, NELEM(agent_filter),
	    &ready);
	role_settle(&a.role);
	malloc_tuning_settle();
	role_loop(&a.role, &ready);
	_exit(0); /* as process 1: the kernel ends every worker with us */
}
