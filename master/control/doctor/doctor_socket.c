/* SPDX-License-Identifier: ISC */
/* The doctor on our own Unix sockets: whether they are there, who is behind them,
 * who may come; and whether the metrics are told. */
#include "master/control/doctor/doctor.h"

#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "master/metrics_listen.h"

static void
name_process(pid_t pid, char *out, size_t size)
{
	char path[64], name[32] = "?";
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	f = fopen(path, "re");
	if (f != NULL && fgets(name, sizeof(name), f) != NULL)
		name[strcspn(name, "\n")] = '\0';
	if (f != NULL)
		fclose(f);
	(void)strlcpy(out, name, size);
}

/* Who listens on a connected Unix socket: 0, or the process id. */
static pid_t
socket_peer(const char *path, int type, char *name, size_t size)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct ucred who = { 0 };
	socklen_t len = sizeof(who);
	int fd;

	(void)strlcpy(un.sun_path, path, sizeof(un.sun_path));
	name[0] = '\0';
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd != -1 && connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0 &&
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0)
		name_process(who.pid, name, size);
	fd_close(fd);
	return who.pid;
}

/* Of one that the daemon has, or has not. */
static void
say_refused(struct doctor *d, const char *what, const char *path, int error,
    const char *owner)
{
	if (error == EACCES)
		doctor_say(d, DOCTOR_WARNING,
		    "as another user, or give the socket your group by its "
		    "_group and _mode in postern.conf",
		    "%s %s has mode %s: you may not use it", what, path, owner);
	else if (error == ECONNREFUSED && !d->runs)
		doctor_say(d, DOCTOR_WARNING,
		    "start posternd, which takes it away",
		    "%s %s is stale: nobody is behind it", what, path);
	else
		doctor_say(d, DOCTOR_FAULT, "restart posternd",
		    "%s %s: %s, although posternd runs", what, path,
		    strerror(error));
}

static void
say_answered(struct doctor *d, const char *what, const char *path, int type,
    const char *owner)
{
	char name[64];
	pid_t pid = socket_peer(path, type, name, sizeof(name));

	/* systemd listens for those that it hands over */
	if (d->runs)
		doctor_say(d, DOCTOR_WELL, NULL, "%s %s, mode %s", what, path,
		    owner);
	else if (pid == 1)
		doctor_say(d, DOCTOR_WELL, NULL,
		    "%s %s waits for the first client, by the service manager",
		    what, path);
	else
		doctor_say(d, DOCTOR_FAULT,
		    "stop that one, or name another path",
		    "%s %s: %s [%d] is behind it, which is not posternd with "
		    "this configuration",
		    what, path, name, (int)pid);
}

static void
look_at_socket(struct doctor *d, const char *what, const char *path, int type)
{
	char owner[80], place[DOCTOR_TEXT_SIZE], cure[DOCTOR_TEXT_SIZE];
	const struct load_user me = { geteuid(), getegid() };
	struct stat st;
	int error;

	if (lstat(path, &st) == -1 && errno == EACCES) {
		if (doctor_path_obstacle(path, &me, 6, place, cure,
			sizeof(cure)))
			doctor_say(d, DOCTOR_WARNING, cure, "%s: %s", what,
			    place);
		return;
	}
	if (lstat(path, &st) == -1) {
		if (d->runs)
			doctor_say(d, DOCTOR_FAULT,
			    "restart posternd, and find out who removed it",
			    "%s %s: %s, although posternd runs", what, path,
			    strerror(errno));
		return; /* else it is made at the start */
	}
	(void)doctor_path_owner(st.st_mode, st.st_uid, st.st_gid, owner);
	if (!S_ISSOCK(st.st_mode)) {
		(void)snprintf(cure, sizeof(cure), "move %s away", path);
		doctor_say(d, DOCTOR_FAULT, cure,
		    "%s %s is no socket: posternd does not start", what, path);
		return;
	}
	error = doctor_try_connect_unix(NULL, path, type);
	if (error == 0)
		say_answered(d, what, path, type, owner);
	else
		say_refused(d, what, path, error, owner);
}

void
doctor_socket_all(struct doctor *d)
{
	const struct config *c = d->config;
	char what[80];

	look_at_socket(d, "job_socket", c->job_socket, SOCK_SEQPACKET);
	if (d->control_fd == -1) /* else it answered */
		look_at_socket(d, "control_socket", c->control_socket,
		    SOCK_SEQPACKET);
	if (c->metrics_socket[0] != '\0')
		look_at_socket(d, "metrics_socket", c->metrics_socket,
		    SOCK_STREAM);
	for (size_t i = 0; i < c->nlisteners; i++) {
		if (c->listeners[i].at.kind != NEXT_HOP_UNIX)
			continue;
		(void)snprintf(what, sizeof(what), "listener %s",
		    c->listeners[i].name);
		look_at_socket(d, what, c->listeners[i].at.path, SOCK_STREAM);
	}
	if (d->findings == 0)
		doctor_say(d, DOCTOR_WELL, NULL, "they are made at the start");
}

struct place {
	const struct sockaddr *to;
	socklen_t len;
};

/* One question; the first line of the answer. */
static int
ask_metrics(const void *arg, int out)
{
	static const char ask[] = "GET /metrics HTTP/1.0\r\n\r\n";
	const struct place *p = arg;
	char answer[64];
	ssize_t n;
	int fd = socket(p->to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd == -1 || connect(fd, p->to, p->len) == -1 ||
	    fd_write(fd, ask, sizeof(ask) - 1) == -1)
		return errno;
	n = read(fd, answer, sizeof(answer));
	if (n <= 0)
		return n == 0 ? ECONNRESET : errno;
	n = (ssize_t)strnlen(answer, (size_t)n);
	return fd_write(out, answer, (size_t)n) == -1 ? errno : 0;
}

static void
look_at_metrics(struct doctor *d, const char *where, const struct sockaddr *to,
    socklen_t len)
{
	const struct place place = { to, len };
	char answer[65];
	int error = doctor_try(NULL, DOCTOR_TRY_MS, ask_metrics, &place, answer,
	    sizeof(answer));

	answer[strcspn(answer, "\r\n")] = '\0';
	if (error == EACCES)
		doctor_say(d, DOCTOR_SKIPPED, NULL,
		    "%s: your user may not: see metrics_socket_group", where);
	else if (error != 0)
		doctor_say(d, DOCTOR_FAULT,
		    "restart posternd, if the configuration changed since it "
		    "started; else its log says more",
		    "%s does not answer: %s", where, strerror(error));
	else if (strstr(answer, " 200") == NULL)
		doctor_say(d, DOCTOR_FAULT, "the log of posternd says more",
		    "%s answers: %s", where, answer);
	else
		doctor_say(d, DOCTOR_WELL, NULL, "%s answers", where);
}

void
doctor_socket_metrics(struct doctor *d)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	const struct config *c = d->config;
	struct sockaddr_storage at;
	bool loopback;
	socklen_t len;

	(void)strlcpy(un.sun_path, c->metrics_socket, sizeof(un.sun_path));
	if (un.sun_path[0] != '\0')
		look_at_metrics(d, c->metrics_socket, (struct sockaddr *)&un,
		    sizeof(un));
	if (c->metrics_listen[0] != '\0' &&
	    metrics_listen_parse(c->metrics_listen, &at, &len, &loopback) ==
		NULL)
		look_at_metrics(d, c->metrics_listen, (struct sockaddr *)&at,
		    len);
	if (d->findings == 0)
		doctor_say(d, DOCTOR_WELL, NULL, "they are told nowhere");
}
