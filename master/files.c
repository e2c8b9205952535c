/* SPDX-License-Identifier: ISC */
/* What the master holds in the file system while it lives. */
#include "master/master_internal.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"
#include "master/inherit.h"
#include "master/listen.h"
#include "master/load.h"

_Noreturn void
files_complain(const char *what, const char *where)
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
remember(struct master *m, const char *name, int fd, bool lent)
{
	struct listening *l = &m->listening[m->nlistening];

	if (m->nlistening == NELEM(m->listening))
		fatal("more than %zu listening sockets", NELEM(m->listening));
	(void)strlcpy(l->name, name, sizeof(l->name));
	l->fd = fd;
	l->lent = lent;
	m->nlistening++;
}

int
files_inherit(struct master *m, const char *name, int type,
    const struct sockaddr *address, socklen_t len)
{
	bool lent = false;
	const char *why;
	int fd;

	fd = inherit_take(name, &lent);
	if (fd == -1)
		return -1;
	why = inherit_check(fd, type, address, len);
	if (why != NULL)
		fatal("the listening socket named \"%s\" that was handed to us "
		      "will not do: %s",
		    name, why);
	remember(m, name, fd, lent);
	return fd;
}

int
files_inherit_unix(struct master *m, const char *name, int type,
    const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	(void)strlcpy(un.sun_path, path, sizeof(un.sun_path));
	return files_inherit(m, name, type, (struct sockaddr *)&un,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) +
		1));
}

void
files_made(struct master *m, const char *name, int fd)
{
	remember(m, name, fd, false);
}

bool
files_is_ours(const struct master *m, const char *name)
{
	size_t i;

	/* Another generation has them, or has them still. */
	if (m->kin.state == UPGRADE_LEFT ||
	    (m->options->kin_fd != -1 && !m->kin.has_all))
		return false;
	for (i = 0; i < m->nlistening; i++) {
		if (strcmp(m->listening[i].name, name) == 0)
			return !m->listening[i].lent;
	}
	return true;
}

void
files_none_left(void)
{
	const char *left = inherit_left();

	if (left != NULL)
		fatal(
		    "a listening socket named \"%s\" was handed to us, and no "
		    "socket of the configuration is called so: "
		    "FileDescriptorName= of the socket unit is job, control, "
		    "metrics_socket, metrics_listen, or the name of a "
		    "listener",
		    left);
}

/* The one that was handed to us under that name, or a new one. */
static int
open_socket(struct master *m, const char *name, const char *parameter,
    const char *path, mode_t mode, gid_t gid)
{
	int fd;

	fd = files_inherit_unix(m, name, SOCK_SEQPACKET, path);
	if (fd != -1)
		return fd;
	fd = listen_open(path, SOCK_SEQPACKET, mode, gid);
	if (fd == -1)
		files_complain(parameter, path);
	files_made(m, name, fd);
	return fd;
}

void
files_open(struct master *m)
{
	const struct config *c = m->load->config;
	const struct load_user *queue = &m->load->queue;
	bool root = load_switches_users();

	if (c->queue_store == CONFIG_QUEUE_STORE_SQLITE &&
	    listen_directory(c->spool_directory, 0700,
		root ? queue->uid : geteuid(),
		root ? queue->gid : (gid_t)-1) == -1)
		files_complain("spool_directory", c->spool_directory);
	if (m->options->client_fd != -1)
		return;
	if (listen_directory(c->run_directory, 0755, (uid_t)-1, (gid_t)-1) ==
	    -1)
		files_complain("run_directory", c->run_directory);
	if (m->pid_file_fd != -1 && strcmp(m->kin.pid_file, c->pid_file) != 0)
		fatal("pid_file cannot change in an upgrade: reload first");
	if (m->pid_file_fd == -1)
		m->pid_file_fd = listen_pid_file(c->pid_file);
	if (m->pid_file_fd == -1)
		files_complain("pid_file", c->pid_file);
	m->job_fd = open_socket(m, "job", "job_socket", c->job_socket,
	    (mode_t)c->job_socket_mode, m->load->job_group);
	m->control_fd =
	    open_socket(m, "control", "control_socket", c->control_socket,
		(mode_t)c->control_socket_mode, m->load->control_group);
	listen_refuse_rights(m->control_fd); /* jobs alone have any */
	listeners_open(m);
}

/* Ours while we live, but whose it is and who may connect can change. */
static void
give_socket(const char *path, mode_t mode, gid_t gid)
{
	if (listen_give(path, mode, gid != (gid_t)-1 ? gid : getegid()) == -1)
		log_line(LOG_ERROR, "%s: its mode and group stay: %s", path,
		    strerror(errno));
}

static int
move_pid_file(struct master *m, const char *from, const char *to)
{
	int fd;

	if (strcmp(from, to) == 0)
		return 0;
	fd = listen_pid_file(to);
	if (fd == -1) {
		log_line(LOG_ERROR, "pid_file %s: %s", to,
		    errno == EWOULDBLOCK ? "another posternd uses it"
					 : strerror(errno));
		return -1;
	}
	fd_close(m->pid_file_fd);
	m->pid_file_fd = fd;
	(void)unlink(from); /* gone is fine */
	return 0;
}

int
files_change(struct master *m, const struct load *load)
{
	const struct config *old = m->load->config, *new = load->config;

	if (move_pid_file(m, old->pid_file, new->pid_file) == -1)
		return -1;
	/* What was handed to us is theirs who made it. */
	if (files_is_ours(m, "job") &&
	    (old->job_socket_mode != new->job_socket_mode ||
		m->load->job_group != load->job_group))
		give_socket(new->job_socket, (mode_t) new->job_socket_mode,
		    load->job_group);
	if (files_is_ours(m, "control") &&
	    (old->control_socket_mode != new->control_socket_mode ||
		m->load->control_group != load->control_group))
		give_socket(new->control_socket,
		    (mode_t) new->control_socket_mode, load->control_group);
	if (new->metrics_socket[0] != '\0' &&
	    (old->metrics_socket_mode != new->metrics_socket_mode ||
		m->load->metrics_group != load->metrics_group))
		give_socket(new->metrics_socket,
		    (mode_t) new->metrics_socket_mode, load->metrics_group);
	return 0;
}

void
files_close(struct master *m)
{
	const struct config *c = m->load->config;

	if (m->job_fd != -1 && files_is_ours(m, "job"))
		(void)unlink(c->job_socket); /* gone is fine */
	if (m->control_fd != -1 && files_is_ours(m, "control"))
		(void)unlink(c->control_socket);
	if (m->pid_file_fd != -1 && files_is_ours(m, "pid-file"))
		(void)unlink(c->pid_file);
	listeners_close(m);
	fd_close(m->job_fd);
	fd_close(m->control_fd);
	fd_close(m->pid_file_fd);
}
