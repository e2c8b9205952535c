/* SPDX-License-Identifier: ISC */
/* See private_daemon.h. */
#include "master/control/deliver/private_daemon.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/util.h"
#include "master/config.h"

enum {
	/* It ends by itself once nobody is connected to it. */
	STOP_MS = 60 * 1000,
	STOP_TERM_MS = 10 * 1000,
};

/* Says what is wrong in words of options, not of a file nobody wrote. */
static void
complain(const char *what, const struct private_name *names)
{
	size_t n = strcspn(what, ":");

	while (names != NULL && names->parameter != NULL &&
	    (strlen(names->parameter) != n ||
		memcmp(names->parameter, what, n) != 0))
		names++;
	if (names != NULL && names->parameter != NULL)
		fprintf(stderr, "postern: %s%s\n", names->option, what + n);
	else
		fprintf(stderr, "postern: options: %s\n", what);
}

static int
check_config(const char *text, size_t len, const struct private_name *names)
{
	struct config_errors *errors;
	struct config *config;
	const char *what;
	size_t i;

	errors = calloc(1, sizeof(*errors));
	if (errors == NULL) {
		fprintf(stderr, "postern: no memory\n");
		return -1;
	}
	config = config_read("options", text, len, errors);
	for (i = 0; i < errors->nlines; i++) {
		what = strchr(errors->lines[i], ' ');
		complain(what != NULL ? what + 1 : errors->lines[i], names);
	}
	config_free(config);
	free(errors);
	return config != NULL ? 0 : -1;
}

int
private_daemon_config(const char *text, size_t len,
    const struct private_name *names)
{
	int fd;

	if (check_config(text, len, names) == -1)
		return -1;
	fd = fd_sealed("options", text, len);
	if (fd == -1)
		fprintf(stderr, "postern: options: %s\n", strerror(errno));
	return fd;
}

/* posternd stands beside us, or where it was installed. */
static void
exec_daemon(char *const argv[])
{
	char path[PATH_MAX + sizeof("/posternd")];
	ssize_t n;
	char *slash;

	n = readlink("/proc/self/exe", path, PATH_MAX);
	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	if (slash != NULL) {
		strlcpy(slash, "/posternd",
		    sizeof(path) - (size_t)(slash - path));
		execv(path, argv);
	}
	execv(POSTERN_SBINDIR "/posternd", argv);
	fprintf(stderr, "postern: %s/posternd: %s\n", POSTERN_SBINDIR,
	    strerror(errno));
}

/* Whoever asked it says what came of it. */
static void
silence(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd != -1)
		(void)dup2(fd, STDERR_FILENO); /* else it is heard */
}

static _Noreturn void
become_daemon(int config_fd, int client_fd, int control_fd,
    const struct private_user *dialer)
{
	char config[32], client[16], control[16], user[32];
	char name[] = "posternd", quiet[] = "-q", c[] = "-c", C[] = "-C",
	     K[] = "-K", U[] = "-U";
	char *argv[] = { name, quiet, c, config, C, client, NULL, NULL, NULL,
		NULL, NULL };
	size_t n = 6;

	/* All are to outlive the exec(): the daemon's own from there on. */
	(void)fcntl(client_fd, F_SETFD, 0);
	(void)fcntl(config_fd, F_SETFD, 0);
	(void)snprintf(config, sizeof(config), "/dev/fd/%d", config_fd);
	(void)snprintf(client, sizeof(client), "%d", client_fd);
	if (control_fd != -1) {
		(void)fcntl(control_fd, F_SETFD, 0);
		(void)snprintf(control, sizeof(control), "%d", control_fd);
		argv[n++] = K;
		argv[n++] = control;
	}
	if (dialer != NULL) {
		(void)snprintf(user, sizeof(user), "%u:%u", dialer->uid,
		    dialer->gid);
		argv[n++] = U;
		argv[n++] = user;
	}
	exec_daemon(argv);
	_exit(1);
}

/* Whether a user gets to the socket, and may write to it. */
static bool
can_connect(const char *path, const struct private_user *user)
{
	int status = 1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(setgroups(0, NULL) == -1 ||
		    setresgid(user->gid, user->gid, user->gid) == -1 ||
		    setresuid(user->uid, user->uid, user->uid) == -1 ||
		    access(path, W_OK) == -1);
	while (pid > 0 && waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	return pid > 0 && status == 0;
}

bool
private_daemon_socket_user(const char *path, struct private_user *user)
{
	struct stat st;

	if (geteuid() != 0 || stat(path, &st) == -1)
		return false;
	user->uid = st.st_uid;
	user->gid = st.st_gid;
	if (!can_connect(path, user))
		user->uid = 0;
	return true;
}

static int
new_link(int fds[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0)
		return 0;
	fprintf(stderr, "postern: socketpair: %s\n", strerror(errno));
	return -1;
}

int
private_daemon_start(struct private_daemon *d, int config_fd, bool control,
    const struct private_user *dialer)
{
	int jobs[2] = { -1, -1 }, questions[2] = { -1, -1 };

	d->pid = -1;
	if (new_link(jobs) == 0 && (!control || new_link(questions) == 0)) {
		d->pid = fork();
		if (d->pid == 0 && d->silent)
			silence();
		if (d->pid == 0)
			become_daemon(config_fd, jobs[1], questions[1], dialer);
		if (d->pid == -1)
			fprintf(stderr, "postern: fork: %s\n", strerror(errno));
	}
	fd_close(jobs[1]);
	fd_close(questions[1]);
	d->link_fd = jobs[0];
	d->control_fd = questions[0];
	return d->pid == -1 ? -1 : 0;
}

/* Our child, which nobody else waits for. */
static bool
ends_within(pid_t pid, int64_t ms)
{
	const struct timespec pause = { .tv_nsec = 5 * 1000 * 1000 };
	int64_t end_ms = time_monotonic_ms() + ms;
	pid_t ret;

	while ((ret = waitpid(pid, NULL, WNOHANG)) == 0 ||
	    (ret == -1 && errno == EINTR)) {
		if (time_monotonic_ms() >= end_ms)
			return false;
		(void)nanosleep(&pause, NULL);
	}
	return true;
}

void
private_daemon_stop(struct private_daemon *d)
{
	fd_close(d->link_fd);
	fd_close(d->control_fd);
	d->link_fd = d->control_fd = -1;
	if (d->pid <= 0)
		return;
	if (!ends_within(d->pid, STOP_MS)) {
		(void)kill(d->pid, SIGTERM);
		if (!ends_within(d->pid, STOP_TERM_MS)) {
			(void)kill(d->pid, SIGKILL);
			(void)waitpid(d->pid, NULL, 0);
		}
	}
	d->pid = 0;
}
