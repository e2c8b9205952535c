/* SPDX-License-Identifier: ISC */
/* The doctor on listeners by TCP: whether they answer, or could. */
#include "master/control/doctor/doctor.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "master/listen.h"

#define TCP_LISTENS 0x0A /* in /proc/net/tcp */

/* The inode of a socket that listens at a port, by one of the kernel's tables; 0:
 * there is none. */
static unsigned long
find_inode(const char *table, uint16_t port)
{
	unsigned long inode = 0, found = 0;
	unsigned at, state;
	char line[512];
	FILE *f = fopen(table, "re");

	while (found == 0 && f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line,
			" %*d: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x %*x:%*x %*x:%*x "
			"%*x %*u %*u %lu",
			&at, &state, &inode) == 3 &&
		    at == port && state == TCP_LISTENS)
			found = inode;
	if (f != NULL)
		fclose(f);
	return found;
}

/* Whether a process holds that socket. */
static bool
holds(const char *pid, const char *link)
{
	char path[300], to[64];
	struct dirent *e;
	bool found = false;
	ssize_t n;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	dir = opendir(path);
	while (!found && dir != NULL && (e = readdir(dir)) != NULL) {
		n = readlinkat(dirfd(dir), e->d_name, to, sizeof(to) - 1);
		to[n > 0 ? n : 0] = '\0';
		found = strcmp(to, link) == 0;
	}
	if (dir != NULL)
		closedir(dir);
	return found;
}

static void
name_holder(const char *pid, char *out, size_t size)
{
	char path[300], name[32] = "?";
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	f = fopen(path, "re");
	if (f != NULL && fgets(name, sizeof(name), f) != NULL)
		name[strcspn(name, "\n")] = '\0';
	if (f != NULL)
		fclose(f);
	(void)snprintf(out, size, "%s [%s]", name, pid);
}

/* Who holds a listening TCP port: "exim4 [812]", or "". */
static void
port_owner(uint16_t port, char *out, size_t size)
{
	unsigned long inode = find_inode("/proc/net/tcp", port);
	char link[64];
	struct dirent *e;
	DIR *dir;

	out[0] = '\0';
	if (inode == 0)
		inode = find_inode("/proc/net/tcp6", port);
	dir = inode != 0 ? opendir("/proc") : NULL;
	(void)snprintf(link, sizeof(link), "socket:[%lu]", inode);
	while (out[0] == '\0' && dir != NULL && (e = readdir(dir)) != NULL)
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' &&
		    holds(e->d_name, link))
			name_holder(e->d_name, out, size);
	if (dir != NULL)
		closedir(dir);
}

static void
say_no_bind(struct doctor *d, const struct config_listener *l, int error)
{
	char owner[300];

	port_owner(l->at.port, owner, sizeof(owner));
	if (error == EADDRINUSE)
		doctor_say(d, DOCTOR_FAULT,
		    "stop that program, or take another port",
		    "listener %s: %s is in use by %s", l->name, l->listen,
		    owner[0] != '\0' ? owner
				     : "another program (root sees which)");
	else if (error == EADDRNOTAVAIL)
		doctor_say(d, DOCTOR_FAULT,
		    "name an address that `ip address` shows",
		    "listener %s: %s is no address of this machine", l->name,
		    l->listen);
	else if (error == EACCES)
		doctor_say(d, DOCTOR_FAULT,
		    "start posternd as root or with CAP_NET_BIND_SERVICE, or "
		    "take a port from 1024 on",
		    "listener %s: %s: you may not listen there", l->name,
		    l->listen);
	else
		doctor_say(d, DOCTOR_FAULT, "name another address",
		    "listener %s: %s: %s", l->name, l->listen, strerror(error));
}

static void
look_at_listener(struct doctor *d, const struct config_listener *l)
{
	struct sockaddr_storage at;
	socklen_t len = listen_address(l->at.host, l->at.port, &at);
	int error, fd;

	if (d->runs) {
		error = doctor_try_connect(NULL, (struct sockaddr *)&at, len,
		    SOCK_STREAM);
		if (error != 0)
			doctor_say(d, DOCTOR_FAULT,
			    "restart posternd: new listeners take more than a "
			    "reload",
			    "listener %s: nobody answers at %s: %s", l->name,
			    l->listen, strerror(error));
		else
			doctor_say(d, DOCTOR_WELL, NULL,
			    "listener %s answers at %s", l->name, l->listen);
		return;
	}
	fd = listen_open_tcp(l->at.host, l->at.port);
	if (fd == -1)
		say_no_bind(d, l, errno);
	fd_close(fd);
}

void
doctor_listener_all(struct doctor *d)
{
	const struct config *c = d->config;
	size_t i;

	for (i = 0; i < c->nlisteners; i++)
		if (c->listeners[i].at.kind != NEXT_HOP_UNIX)
			look_at_listener(d, &c->listeners[i]);
	if (d->findings == 0)
		doctor_say(d, DOCTOR_WELL, NULL,
		    c->nlisteners == 0
			? "there are none: mail comes by the job socket"
			: "they can be opened");
}
