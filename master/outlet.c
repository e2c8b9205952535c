/* SPDX-License-Identifier: ISC */
/*
 * Who is to have outcome reports, reached for the queue: a socket is connected,
 * or a command executed as a user without power.  What goes over it, and what
 * comes back, is not looked at here.
 */
#include "master/master_internal.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/util.h"
#include "master/spawn.h"

#define WORDS_MAX 32 /* config.def bounds them */

/* One command at a time. */
struct outlet_run {
	pid_t pid; /* -1: none runs */
	struct event *timer;
};

static struct msg_outlet
answer(const struct master *m, bool good)
{
	struct msg_outlet msg = { .generation = m->generation };

	msg.command = m->load->config->outcome_command.count > 0;
	msg.good = good;
	return msg;
}

static void
refuse(struct servant *queue, const char *what, const char *why)
{
	struct msg_outlet msg = answer(queue->master, false);
	char text[512];

	(void)snprintf(text, sizeof(text), "%.300s: %s", what, why);
	servant_send_answer(queue, MSG_NO_OUTLET, &msg, text, -1);
}

static void
give(struct servant *queue, int fd)
{
	struct msg_outlet msg = answer(queue->master, true);

	servant_send_message(queue, MSG_OUTLET, &msg, NULL, 0, fd);
}

/* Never waits: who is that busy is asked again. */
static void
connect_socket(struct servant *queue, const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd;

	(void)strlcpy(un.sun_path, path, sizeof(un.sun_path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd != -1 && connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
		give(queue, fd);
	else
		refuse(queue, path, strerror(errno));
	fd_close(fd);
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	const struct outlet_run *run = arg;

	(void)fd;
	(void)what;
	if (run->pid > 0 && kill(-run->pid, SIGKILL) == -1)
		(void)kill(run->pid, SIGKILL); /* before it led a session */
}

static struct outlet_run *
run_of(struct master *m)
{
	struct outlet_run *run = m->outlet;

	if (run != NULL)
		return run;
	run = calloc(1, sizeof(*run));
	if (run == NULL)
		return NULL;
	run->pid = -1;
	run->timer = evtimer_new(m->role.base, on_timeout, run);
	if (run->timer == NULL) {
		free(run);
		return NULL;
	}
	m->outlet = run;
	return run;
}

static pid_t
execute(const struct config *c, int in_fd)
{
	const struct config_list *words = &c->outcome_command;
	char *argv[WORDS_MAX + 1] = { NULL };
	struct passwd *user = NULL;

	for (size_t i = 0; i < words->count && i < WORDS_MAX; i++)
		argv[i] = words->words[i];
	if (load_switches_users()) {
		user = getpwnam(c->outcome_command_user);
		if (user == NULL || user->pw_uid == 0) {
			errno = ENOENT; /* it was there at the start */
			return -1;
		}
	}
	return spawn_command(argv, user, in_fd, -1);
}

static void
run_command(struct servant *queue, const struct config *c)
{
	struct timeval tv = { .tv_sec = c->outcome_timeout };
	struct outlet_run *run = run_of(queue->master);
	int fds[2] = { -1, -1 };

	if (run == NULL || run->pid != -1) {
		refuse(queue, "outcome_command",
		    run == NULL ? "no memory" : "the former one still runs");
		return;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0)
		run->pid = execute(c, fds[1]);
	if (run->pid != -1) {
		give(queue, fds[0]);
		if (evtimer_add(run->timer, &tv) == -1)
			on_timeout(-1, 0, run); /* it would have no end */
	} else {
		refuse(queue, "outcome_command", strerror(errno));
	}
	fd_close(fds[0]);
	fd_close(fds[1]);
}

void
outlet_answer(void *ctx, struct channel *from, const struct message *msg)
{
	const struct msg_outlet_ask *ask = msg->payload;
	struct master *m = ctx;
	const struct config *c = m->load->config;
	struct servant *queue = channel_arg(from);

	if (ask->generation != m->generation)
		return; /* it has the new configuration on its way */
	if (c->outcome_command.count > 0)
		run_command(queue, c);
	else if (c->outcome_socket[0] != '\0')
		connect_socket(queue, c->outcome_socket);
}

bool
outlet_child_ended(struct master *m, pid_t pid, int status)
{
	struct servant *queue = servant_find(m, ROLE_QUEUE);
	bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	struct msg_outlet msg;
	char why[128] = "";

	if (m->outlet == NULL || m->outlet->pid != pid)
		return false;
	m->outlet->pid = -1;
	(void)evtimer_del(m->outlet->timer);
	if (WIFSIGNALED(status))
		(void)snprintf(why, sizeof(why),
		    "outcome_command died of signal %d%s", WTERMSIG(status),
		    WTERMSIG(status) == SIGKILL
			? ", perhaps for outcome_timeout"
			: "");
	else if (!good)
		(void)snprintf(why, sizeof(why),
		    "outcome_command ended with status %d",
		    WEXITSTATUS(status));
	msg = answer(m, good);
	if (queue != NULL)
		servant_send_answer(queue, MSG_OUTLET_DONE, &msg, why, -1);
	return true;
}

void
outlet_clear_run(struct master *m)
{
	if (m->outlet == NULL)
		return;
	on_timeout(-1, 0, m->outlet);
	event_free(m->outlet->timer);
	free(m->outlet);
	m->outlet = NULL;
}
