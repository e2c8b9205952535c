/* SPDX-License-Identifier: ISC */
/* See inherit.h. */
#include "master/inherit.h"

#include <sys/un.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"

enum {
	INHERIT_FIRST_FD = 3, /* sd_listen_fds(3) */
	INHERIT_NAME_SIZE = 64,
};

static struct inherited {
	char name[INHERIT_NAME_SIZE];
	int fd; /* -1: taken */
	bool lent;
} inherited[INHERIT_MAX];

static size_t ninherited;

void
inherit_name(const char *list, size_t at, char *out, size_t size)
{
	size_t n = 0;

	for (; list != NULL && at > 0; at--) {
		list = strchr(list, ':');
		list = list != NULL ? list + 1 : NULL;
	}
	if (list != NULL)
		n = strcspn(list, ":");
	if (n == 0 || n >= size) {
		(void)strlcpy(out, "unknown", size);
		return;
	}
	memcpy(out, list, n);
	out[n] = '\0';
}

static struct inherited *
find(const char *name)
{
	size_t i;

	for (i = 0; i < ninherited; i++) {
		if (inherited[i].fd != -1 &&
		    strcmp(inherited[i].name, name) == 0)
			return &inherited[i];
	}
	return NULL;
}

bool
inherit_add(const char *name, int fd, bool lent)
{
	struct inherited *i = &inherited[ninherited];

	if (ninherited == INHERIT_MAX || find(name) != NULL ||
	    strlcpy(i->name, name, sizeof(i->name)) >= sizeof(i->name))
		return false;
	i->fd = fd;
	i->lent = lent;
	ninherited++;
	return true;
}

static bool
prepare(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags != -1 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) != -1 &&
	    fcntl(fd, F_SETFD, FD_CLOEXEC) != -1;
}

const char *
inherit_open(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	const char *names = getenv("LISTEN_FDNAMES"), *error = NULL;
	const char *why = NULL;
	char name[INHERIT_NAME_SIZE];
	size_t i, n;

	if (pid == NULL || fds == NULL)
		return NULL;
	if (strtonum(pid, 1, INT32_MAX, &error) != getpid() || error != NULL)
		return NULL; /* somebody else's */
	n = (size_t)strtonum(fds, 0, INHERIT_MAX, &error);
	if (error != NULL)
		return "LISTEN_FDS is no number, or too large";
	for (i = 0; i < n && why == NULL; i++) {
		inherit_name(names, i, name, sizeof(name));
		if (!prepare(INHERIT_FIRST_FD + (int)i))
			why = "LISTEN_FDS names a descriptor that is not open";
		else if (!inherit_add(name, INHERIT_FIRST_FD + (int)i, true))
			why = "LISTEN_FDNAMES has two descriptors of one name";
	}
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	return why;
}

int
inherit_take(const char *name, bool *lent)
{
	struct inherited *i = find(name);
	int fd;

	if (i == NULL)
		return -1;
	fd = i->fd;
	*lent = i->lent;
	i->fd = -1;
	return fd;
}

static bool
has_option(int fd, int option, int value)
{
	socklen_t len = sizeof(int);
	int is = 0;

	return getsockopt(fd, SOL_SOCKET, option, &is, &len) == 0 &&
	    is == value;
}

const char *
inherit_check(int fd, int type, const struct sockaddr *address, socklen_t len)
{
	struct sockaddr_storage is;
	socklen_t size = sizeof(is);

	memset(&is, 0, sizeof(is));
	if (getsockname(fd, (struct sockaddr *)&is, &size) == -1)
		return "it is no socket";
	if (!has_option(fd, SO_TYPE, type))
		return type == SOCK_SEQPACKET
		    ? "it is no socket for packets (ListenSequentialPacket=)"
		    : "it is no socket for a stream (ListenStream=)";
	if (!has_option(fd, SO_ACCEPTCONN, 1))
		return "it does not listen";
	if (is.ss_family != address->sa_family ||
	    memcmp(&is, address, size < len ? size : len) != 0)
		return "its address is not the configuration's";
	return NULL;
}

const char *
inherit_left(void)
{
	size_t i;

	for (i = 0; i < ninherited; i++) {
		if (inherited[i].fd != -1)
			return inherited[i].name;
	}
	return NULL;
}
