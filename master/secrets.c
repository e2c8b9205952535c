/* SPDX-License-Identifier: ISC */
/*
 * Passwords and tokens: read from files, or taken from a command that runs as a
 * user without power, and handed to the queue as they are when it asks.  What a
 * command writes is not looked at here.
 */
#include "master/master_internal.h"

#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"
#include "master/secret_file.h"
#include "master/secret_text.h"
#include "master/spawn.h"

/* So often a command is run in that time. */
#define RUNS_MOST      30
#define RUNS_PERIOD_MS 60000

/* A command that runs. */
struct run {
	pid_t pid;
	struct event *readable;
	struct event *timer;
	int fd; /* what it writes; -1 behind its end */
	bool ended;
	int status;
	size_t len;
	char octets[SECRET_TEXT_MAX + 1];
};

/* Of one transport. */
struct secret {
	struct master *master;
	uint32_t transport;
	uint32_t serial;  /* 0: none */
	int fd;           /* a sealed memfd; -1: none */
	bool warned;      /* of its file's mode */
	int64_t since_ms; /* CLOCK_MONOTONIC */
	struct run *run;
	int64_t runs_since_ms; /* CLOCK_MONOTONIC; so many runs since: */
	unsigned runs;
};

struct secrets {
	size_t count;
	struct secret of[];
};

/* Not reused: the queue may remember one of a former load. */
static uint32_t last_serial;

static const struct transport *
config_of(const struct secret *s)
{
	return &s->master->load->config->transports[s->transport];
}

static void
run_free(struct run *run)
{
	if (run == NULL)
		return;
	if (run->readable != NULL)
		event_free(run->readable);
	if (run->timer != NULL)
		event_free(run->timer);
	fd_close(run->fd);
	freezero(run, sizeof(*run));
}

/* The whole session that it leads, while its number is still its own. */
static void
run_kill(const struct run *run)
{
	if (run->pid > 0 && !run->ended && kill(-run->pid, SIGKILL) == -1)
		(void)kill(run->pid, SIGKILL); /* before it led a session */
}

static void
tell(const struct secret *s, const char *why)
{
	struct servant *queue = servant_find(s->master, ROLE_QUEUE);
	struct msg_secret msg = { 0 };

	if (queue == NULL)
		return; /* its next life asks again */
	msg.generation = s->master->generation;
	msg.transport = s->transport;
	msg.serial = s->serial;
	msg.command = config_of(s)->auth_token_command.count > 0;
	msg.age_ms = time_monotonic_ms() - s->since_ms;
	if (why == NULL)
		servant_send_answer(queue, MSG_SECRET, &msg, "", s->fd);
	else
		servant_send_answer(queue, MSG_NO_SECRET, &msg, why, -1);
}

/* fd is ours from here on. */
static void
replace(struct secret *s, int fd)
{
	fd_close(s->fd);
	s->fd = fd;
	s->serial = ++last_serial;
	s->since_ms = time_monotonic_ms();
}

/* Files. */

static void
read_file(struct secret *s)
{
	const struct transport *t = config_of(s);
	bool is_password = t->auth_password_file[0] != '\0';
	const char *path =
	    is_password ? t->auth_password_file : t->auth_token_file;
	const char *name =
	    is_password ? "auth_password_file" : "auth_token_file";
	struct secret_file file;
	char why[512];

	if (secret_file_read(path, &file) == -1) {
		(void)snprintf(why, sizeof(why), "%s: %.300s: %s", name, path,
		    file.why);
		tell(s, why);
		return;
	}
	if (file.is_open_to_all && !s->warned)
		log_line(LOG_WARN,
		    "transport %s: %s: %s is open to everybody: let its owner "
		    "alone read it (chmod 600)",
		    t->name, name, path);
	s->warned = file.is_open_to_all;
	replace(s, file.fd);
	tell(s, NULL);
}

/* Commands. */

static void
run_finish(struct secret *s)
{
	struct run *run = s->run;
	const char *name = "auth_token_command";
	char why[256] = "";
	int fd = -1;

	if (!run->ended || run->fd != -1)
		return; /* both ends are to be seen */
	s->run = NULL;
	if (WIFSIGNALED(run->status))
		(void)snprintf(why, sizeof(why), "%s died of signal %d%s", name,
		    WTERMSIG(run->status),
		    WTERMSIG(run->status) == SIGKILL
			? ", perhaps for auth_token_timeout"
			: "");
	else if (WEXITSTATUS(run->status) == SPAWN_FAILED)
		(void)snprintf(why, sizeof(why),
		    "%s ended with status %d: is it there, and executable?",
		    name, SPAWN_FAILED);
	else if (WEXITSTATUS(run->status) != 0)
		(void)snprintf(why, sizeof(why), "%s ended with status %d",
		    name, WEXITSTATUS(run->status));
	else if (run->len > SECRET_TEXT_MAX)
		(void)snprintf(why, sizeof(why), "%s wrote too much", name);
	if (why[0] == '\0')
		fd = fd_sealed("secret", run->octets, run->len);
	if (why[0] == '\0' && fd == -1)
		(void)snprintf(why, sizeof(why), "%s: %s", name,
		    strerror(errno));
	run_free(run);
	if (fd != -1)
		replace(s, fd);
	tell(s, why[0] == '\0' ? NULL : why);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct secret *s = arg;
	struct run *run = s->run;
	ssize_t n;

	(void)what;
	n = read(fd, run->octets + run->len, sizeof(run->octets) - run->len);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		run->len += (size_t)n;
	if (n > 0 && run->len < sizeof(run->octets))
		return;
	/* Its end, or more than may be: it hears so by SIGPIPE. */
	event_free(run->readable);
	run->readable = NULL;
	fd_close(run->fd);
	run->fd = -1;
	run_finish(s);
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct secret *s = arg;
	struct run *run = s->run;

	(void)fd;
	(void)what;
	run_kill(run);
	if (run->readable != NULL) { /* a grandchild may hold the other end */
		event_free(run->readable);
		run->readable = NULL;
	}
	fd_close(run->fd);
	run->fd = -1;
	run_finish(s);
}

static struct run *
run_new(struct secret *s, int fd)
{
	struct timeval tv = { .tv_sec = config_of(s)->auth_token_timeout };
	struct event_base *base = s->master->role.base;
	struct run *run;

	run = calloc(1, sizeof(*run));
	if (run == NULL) {
		fd_close(fd);
		return NULL;
	}
	run->fd = fd;
	run->pid = -1;
	run->readable =
	    event_new(base, fd, EV_READ | EV_PERSIST, on_readable, s);
	run->timer = evtimer_new(base, on_timeout, s);
	if (run->readable == NULL || run->timer == NULL ||
	    event_add(run->readable, NULL) == -1 ||
	    evtimer_add(run->timer, &tv) == -1) {
		run_free(run);
		return NULL;
	}
	return run;
}

static pid_t
execute(const struct transport *t, int out_fd)
{
	const struct config_list *words = &t->auth_token_command;
	char *argv[33] = { NULL }; /* config.def bounds them */
	struct passwd *user = NULL;

	for (size_t i = 0; i < words->count && i < 32; i++)
		argv[i] = words->words[i];
	if (load_switches_users()) {
		user = getpwnam(t->auth_token_user);
		if (user == NULL || user->pw_uid == 0) {
			errno = ENOENT; /* it was there at the start */
			return -1;
		}
	}
	return spawn_command(argv, user, -1, out_fd);
}

/* Who asks without end shall not have us execute without end. */
static bool
may_run(struct secret *s)
{
	int64_t now_ms = time_monotonic_ms();

	if (s->runs == 0 || now_ms - s->runs_since_ms > RUNS_PERIOD_MS) {
		s->runs_since_ms = now_ms;
		s->runs = 0;
	}
	return s->runs++ < RUNS_MOST;
}

static void
start_command(struct secret *s)
{
	int fds[2];

	if (s->run != NULL)
		return; /* its answer is the answer to both */
	if (!may_run(s)) {
		tell(s, "auth_token_command is run too often");
		return;
	}
	if (pipe2(fds, O_CLOEXEC) == -1) {
		tell(s, "no pipe for auth_token_command");
		return;
	}
	(void)fcntl(fds[0], F_SETFL, O_NONBLOCK); /* of a pipe never fails */
	s->run = run_new(s, fds[0]);
	if (s->run != NULL)
		s->run->pid = execute(config_of(s), fds[1]);
	fd_close(fds[1]);
	if (s->run != NULL && s->run->pid != -1)
		return;
	tell(s, "auth_token_command cannot be executed");
	run_free(s->run);
	s->run = NULL;
}

bool
secrets_child_ended(struct master *m, pid_t pid, int status)
{
	struct secret *s;

	for (size_t i = 0; m->secrets != NULL && i < m->secrets->count; i++) {
		s = &m->secrets->of[i];
		if (s->run == NULL || s->run->ended || s->run->pid != pid)
			continue;
		s->run->ended = true;
		s->run->status = status;
		run_finish(s);
		return true;
	}
	return false;
}

/* The queue. */

void
secrets_answer(void *ctx, struct channel *from, const struct message *msg)
{
	const struct msg_secret_ask *ask = msg->payload;
	struct master *m = ctx;
	const struct transport *t;
	struct secret *s;

	(void)from;
	if (ask->generation != m->generation || m->secrets == NULL ||
	    ask->transport >= m->secrets->count)
		return; /* it has the new configuration on its way */
	s = &m->secrets->of[ask->transport];
	t = config_of(s);
	if (s->serial != 0 && s->serial != ask->serial)
		tell(s, NULL); /* newer than what it has */
	else if (t->auth_token_command.count > 0)
		start_command(s);
	else if (config_secret(t) != AUTH_SECRET_NOTHING)
		read_file(s);
}

static void
secrets_free(struct secrets *all)
{
	struct secret *s;

	for (size_t i = 0; all != NULL && i < all->count; i++) {
		s = &all->of[i];
		if (s->run != NULL)
			run_kill(s->run);
		run_free(s->run);
		fd_close(s->fd);
	}
	free(all);
}

void
secrets_renew(struct master *m)
{
	size_t count = m->load != NULL ? m->load->config->ntransports : 0;
	struct secrets *all;

	secrets_free(m->secrets);
	m->secrets = NULL;
	if (count == 0)
		return;
	all = calloc(1, sizeof(*all) + count * sizeof(all->of[0]));
	if (all == NULL) {
		log_line(LOG_ERROR, "no memory for passwords and tokens");
		return;
	}
	all->count = count;
	for (size_t i = 0; i < count; i++) {
		all->of[i].master = m;
		all->of[i].transport = (uint32_t)i;
		all->of[i].fd = -1;
	}
	m->secrets = all;
}
