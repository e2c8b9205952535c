/* SPDX-License-Identifier: ISC */
/* See doctor.h: what may hang, or is another user's to try, is a child's to do. */
#include "master/control/doctor/doctor.h"

#include <sys/un.h>
#include <sys/wait.h>

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"

/* The user and the group of a role, and none else: as sandbox.c has it. */
static int
become(const struct load_user *as)
{
	if (as == NULL || geteuid() != 0)
		return 0;
	if (setgroups(0, NULL) == -1 ||
	    setresgid(as->gid, as->gid, as->gid) == -1 ||
	    setresuid(as->uid, as->uid, as->uid) == -1)
		return -1;
	return 0;
}

/* Until the child closes its end, or the time is up: false. */
static bool
gather(int fd, int ms, char *text, size_t size)
{
	int64_t end = time_monotonic_ms() + ms, left;
	struct pollfd pfd = { fd, POLLIN, 0 };
	size_t len = 0;
	char spill[256];
	ssize_t n = 1;

	while (n > 0) {
		left = end - time_monotonic_ms();
		if (left <= 0 || poll(&pfd, 1, (int)left) == 0)
			break;
		n = len + 1 < size ? read(fd, text + len, size - 1 - len)
				   : read(fd, spill, sizeof(spill));
		if (n == -1 && errno == EINTR)
			n = 1;
		else if (n > 0 && len + 1 < size)
			len += (size_t)n;
	}
	text[len] = '\0';
	return n <= 0;
}

int
doctor_try(const struct load_user *as, int ms,
    int (*fn)(const void *arg, int out), const void *arg, char *text,
    size_t size)
{
	int fds[2], status = 0;
	bool done;
	pid_t pid;

	text[0] = '\0';
	if (pipe(fds) == -1)
		return errno;
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		_exit(become(as) == -1 ? EPERM : fn(arg, fds[1]));
	}
	close(fds[1]);
	if (pid == -1) {
		fd_close(fds[0]);
		return EAGAIN;
	}
	done = gather(fds[0], ms, text, size);
	if (!done)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		continue;
	close(fds[0]);
	if (!done)
		return ETIMEDOUT;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

struct target {
	const struct sockaddr *to;
	socklen_t len;
	int type;
};

static int
dial(const void *arg, int out)
{
	const struct target *t = arg;
	int fd = socket(t->to->sa_family, t->type | SOCK_CLOEXEC, 0);

	(void)out; /* its closing says that we are done */
	if (fd == -1 || connect(fd, t->to, t->len) == -1)
		return errno;
	return 0;
}

int
doctor_try_connect(const struct load_user *as, const struct sockaddr *to,
    socklen_t len, int type)
{
	struct target target = { to, len, type };
	char text[2];

	return doctor_try(as, DOCTOR_TRY_MS, dial, &target, text, sizeof(text));
}

int
doctor_try_connect_unix(const struct load_user *as, const char *path, int type)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	if (strlcpy(un.sun_path, path, sizeof(un.sun_path)) >=
	    sizeof(un.sun_path))
		return ENAMETOOLONG;
	return doctor_try_connect(as, (struct sockaddr *)&un, sizeof(un), type);
}
