/* SPDX-License-Identifier: ISC */
/*
 * The sockets that mail comes in by: opened here, where that takes rights, and
 * handed to the intake, which has none.
 */
#include "master/master_internal.h"

#include <sys/socket.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"
#include "master/listen.h"

/* What to do about it; every first try meets one of these. */
static const char *
cure(bool is_unix, int error)
{
	switch (error) {
	case EADDRINUSE:
		return is_unix ? "somebody listens there: stop that one, or "
				 "name another path"
			       : "the port is in use: stop who has it (`ss "
				 "-ltnp` shows it), or name another";
	case EADDRNOTAVAIL:
		return "this machine has no such address: `ip address` shows "
		       "those that it has";
	case EACCES:
		return is_unix ? "its folder may not be written to: start "
				 "posternd as root, or name another"
			       : "a port below 1024 is for root: start "
				 "posternd as root, or name another port";
	case EPERM:
		return "its folder belongs to another user, or others may "
		       "write in it: name a folder of root alone";
	case EEXIST:
		return "what is there is no socket: take it away, or name "
		       "another path";
	case ENOENT:
		return "its folder does not exist: make it, or name another";
	case EAFNOSUPPORT:
		return "this machine does not speak IPv6: name an IPv4 address";
	default:
		return strerror(error);
	}
}

static int
open_one(struct master *m, const struct config_listener *l, gid_t gid)
{
	struct sockaddr_storage at;
	socklen_t len;
	int fd;

	if (l->at.kind == NEXT_HOP_UNIX) {
		fd = files_inherit_unix(m, l->name, SOCK_STREAM, l->at.path);
	} else {
		len = listen_address(l->at.host, l->at.port, &at);
		fd = files_inherit(m, l->name, SOCK_STREAM,
		    (const struct sockaddr *)&at, len);
	}
	if (fd != -1)
		return fd;
	fd = l->at.kind == NEXT_HOP_UNIX
	    ? listen_open(l->at.path, SOCK_STREAM, l->mode, gid)
	    : listen_open_tcp(l->at.host, l->at.port);
	if (fd != -1)
		files_made(m, l->name, fd);
	return fd;
}

void
listeners_open(struct master *m)
{
	const struct config *c = m->load->config;
	const struct config_listener *l = c->listeners;

	for (size_t i = 0; i < c->nlisteners; i++, l++) {
		m->listener_fds[i] =
		    open_one(m, l, m->load->listeners[i].group);
		if (m->listener_fds[i] == -1)
			fatal("listener %s: %s: %s", l->name, l->listen,
			    cure(l->at.kind == NEXT_HOP_UNIX, errno));
		listen_refuse_rights(m->listener_fds[i]);
		m->nlisteners++;
	}
}

void
listeners_close(struct master *m)
{
	const struct config_listener *l = m->load->config->listeners;

	for (size_t i = 0; i < m->nlisteners; i++, l++) {
		if (l->at.kind == NEXT_HOP_UNIX && files_is_ours(m, l->name))
			(void)unlink(l->at.path); /* gone is fine */
		fd_close(m->listener_fds[i]);
	}
	m->nlisteners = 0;
}

void
listeners_send(struct servant *s)
{
	struct msg_listener msg = { .kind = LISTENER_MAIL };
	struct master *m = s->master;

	for (size_t i = 0; i < m->nlisteners; i++) {
		msg.index = (uint8_t)i;
		servant_send_message(s, MSG_LISTENER, &msg, NULL, 0,
		    m->listener_fds[i]);
	}
}

void
listeners_send_users(struct servant *s)
{
	const struct load *ld = s->master->load;
	const struct load_listener *users = ld->listeners;
	uint32_t uids[LISTENER_UIDS_MAX];
	struct msg_listener_users msg;

	for (size_t i = 0; i < ld->config->nlisteners; i++, users++) {
		memset(&msg, 0, sizeof(msg));
		msg.index = (uint32_t)i;
		msg.any = users->any;
		msg.count = (uint32_t)users->count;
		msg.trusted = (uint32_t)users->trusted;
		memcpy(uids, users->uids, sizeof(uids));
		servant_send_message(s, MSG_LISTENER_USERS, &msg, uids,
		    (users->count + users->trusted) * sizeof(uids[0]), -1);
	}
}
