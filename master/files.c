/* SPDX-License-Identifier: ISC */
/* What the master holds in the file system while it lives. */
#include "master/master_internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"
#include "master/listen.h"
#include "master/load.h"
#include "master/verdict.h"

/* The end of the start: errno, said so that it can be put right. */
_Noreturn static void
complain(const char *what, const char *where)
{
	switch (errno) {
	case EADDRINUSE:
	case EWOULDBLOCK:
		fatal("%s %s: another posternd uses it: stop that one, or give "
		      "this one folders of its own",
		    what, where);
	case EPERM:
		fatal("%s %s: it belongs to another user, or others may write "
		      "in it: postern doctor prints the commands that put this "
		      "right; or name another place",
		    what, where);
	default:
		fatal("%s %s: %s", what, where, strerror(errno));
	}
}

bool
files_are_ours(const struct master *m)
{
	/* Another generation has them, or has them still. */
	return m->kin.state != UPGRADE_LEFT &&
	    (m->options->kin_fd == -1 || m->kin.has_all);
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
		complain("spool_directory", c->spool_directory);
	if (m->options->client_fd != -1)
		return;
	if (listen_directory(c->run_directory, 0755, (uid_t)-1, (gid_t)-1) ==
	    -1)
		complain("run_directory", c->run_directory);
	if (m->pid_file_fd != -1 && strcmp(m->kin.pid_file, c->pid_file) != 0)
		fatal("pid_file cannot change in an upgrade: reload first");
	if (m->pid_file_fd == -1)
		m->pid_file_fd = listen_pid_file(c->pid_file);
	if (m->pid_file_fd == -1)
		complain("pid_file", c->pid_file);
	sockets_open(m);
}

static int
move_pid_file(struct master *m, const char *from, const char *to)
{
	int fd;

	if (strcmp(from, to) == 0)
		return 0;
	fd = listen_pid_file(to);
	if (fd == -1) {
		reload_complain(m, "pid_file %s: %s", to,
		    errno == EWOULDBLOCK ? "another posternd uses it"
					 : strerror(errno));
		return -1;
	}
	fd_close(m->pid_file_fd);
	m->pid_file_fd = fd;
	(void)unlink(from); /* gone is fine */
	verdict_remove(from);
	return 0;
}

int
files_prepare(struct master *m, const struct load *load)
{
	const struct config *c = load->config;

	if (listen_directory(c->run_directory, 0755, (uid_t)-1, (gid_t)-1) ==
	    -1) {
		reload_complain(m, "run_directory %s: %s", c->run_directory,
		    strerror(errno));
		return -1;
	}
	return 0;
}

int
files_change(struct master *m, const struct load *load)
{
	return move_pid_file(m, m->load->config->pid_file,
	    load->config->pid_file);
}

void
files_close(struct master *m)
{
	if (m->pid_file_fd != -1 && files_are_ours(m))
		(void)unlink(m->load->config->pid_file); /* gone is fine */
	sockets_close(m);
	fd_close(m->pid_file_fd);
}
