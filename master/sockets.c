/* SPDX-License-Identifier: ISC */
/*
 * The sockets that we listen at: those of the configuration, as the service manager
 * or another generation handed them over, or made here.  Another configuration
 * gets its own before those of the old one are closed, so that it can be refused
 * with nothing changed.  Who accepts from them is the roles' matter.
 */
#include "master/master_internal.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"
#include "master/inherit.h"
#include "master/listen.h"
#include "master/load.h"
#include "master/metrics_listen.h"

enum {
	SOCKETS_BACKLOG = 256, /* of one that listens again */
	SOCKETS_WHY = 400,
};

/* What to do about it; every first try meets one of these. */
static const char *
cure(bool is_unix, int error)
{
	switch (error) {
	case EADDRINUSE:
		return is_unix ? "somebody listens there, perhaps another "
				 "posternd: stop that one, or name another path"
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

static bool
is_unix(const struct listening *l)
{
	return l->at.ss_family == AF_UNIX;
}

static const char *
path_of(const struct listening *l)
{
	return ((const struct sockaddr_un *)&l->at)->sun_path;
}

/* 0: it is of no port. */
static in_port_t
port_of(const struct listening *l)
{
	if (l->at.ss_family == AF_INET)
		return ((const struct sockaddr_in *)&l->at)->sin_port;
	if (l->at.ss_family == AF_INET6)
		return ((const struct sockaddr_in6 *)&l->at)->sin6_port;
	return 0;
}

static bool
same_place(const struct listening *a, const struct listening *b)
{
	return a->at_len == b->at_len && memcmp(&a->at, &b->at, a->at_len) == 0;
}

/* What a configuration wants. */

static struct listening *
want(struct socket_list *list, enum socket_kind kind, const char *name)
{
	struct listening *l = &list->rows[list->count++];

	memset(l, 0, sizeof(*l));
	l->kind = kind;
	l->fd = -1;
	l->type = kind == SOCKET_JOB || kind == SOCKET_CONTROL ? SOCK_SEQPACKET
							       : SOCK_STREAM;
	(void)strlcpy(l->name, name, sizeof(l->name));
	return l;
}

static void
at_path(struct listening *l, const char *path, int mode, int usual, gid_t gid)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&l->at;

	un->sun_family = AF_UNIX;
	(void)strlcpy(un->sun_path, path, sizeof(un->sun_path));
	l->at_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
	    strlen(path) + 1);
	l->mode = (mode_t)mode;
	l->gid = gid;
	l->is_given = mode != usual || gid != (gid_t)-1;
}

static void
want_listeners(struct socket_list *list, const struct load *load)
{
	const struct config_listener *of = load->config->listeners;
	struct listening *l;

	for (size_t i = 0; i < load->config->nlisteners; i++, of++) {
		l = want(list, SOCKET_LISTENER, of->name);
		l->listener = i;
		(void)snprintf(l->what, sizeof(l->what), "listener %s: %s",
		    of->name, of->listen);
		if (of->at.kind == NEXT_HOP_UNIX)
			at_path(l, of->at.path, of->mode, 0660,
			    load->listeners[i].group);
		else
			l->at_len =
			    listen_address(of->at.host, of->at.port, &l->at);
	}
}

static void
want_all(struct socket_list *list, const struct load *load)
{
	const struct config *c = load->config;
	struct listening *l;
	bool loopback;

	list->count = 0;
	l = want(list, SOCKET_JOB, "job");
	(void)snprintf(l->what, sizeof(l->what), "job_socket %s",
	    c->job_socket);
	at_path(l, c->job_socket, c->job_socket_mode, 0660, load->job_group);
	l = want(list, SOCKET_CONTROL, "control");
	(void)snprintf(l->what, sizeof(l->what), "control_socket %s",
	    c->control_socket);
	at_path(l, c->control_socket, c->control_socket_mode, 0600,
	    load->control_group);
	if (c->metrics_socket[0] != '\0') {
		l = want(list, SOCKET_METRICS, "metrics_socket");
		(void)snprintf(l->what, sizeof(l->what), "metrics_socket %s",
		    c->metrics_socket);
		at_path(l, c->metrics_socket, c->metrics_socket_mode, 0660,
		    load->metrics_group);
	}
	if (c->metrics_listen[0] != '\0') {
		l = want(list, SOCKET_METRICS_TCP, "metrics_listen");
		(void)snprintf(l->what, sizeof(l->what), "metrics_listen %s",
		    c->metrics_listen);
		(void)metrics_listen_parse(c->metrics_listen, &l->at,
		    &l->at_len, &loopback); /* which was checked */
	}
	want_listeners(list, load);
}

/* Making them. */

static int
make(const struct listening *l, const struct config *c)
{
	const struct config_listener *of;

	if (is_unix(l))
		return listen_open(path_of(l), l->type, l->mode, l->gid);
	if (l->kind == SOCKET_METRICS_TCP)
		return metrics_listen_tcp(c->metrics_listen);
	of = &c->listeners[l->listener];
	return listen_open_tcp(of->at.host, of->at.port);
}

/* Jobs alone bring descriptors. */
static void
refuse_rights(const struct listening *l)
{
	if (l->kind != SOCKET_JOB)
		listen_refuse_rights(l->fd);
}

static void
give(const struct listening *l)
{
	if (listen_give(path_of(l), l->mode,
		l->gid != (gid_t)-1 ? l->gid : getegid()) == -1)
		log_line(LOG_ERROR, "%s: its mode and group stay: %s",
		    path_of(l), strerror(errno));
}

static void
open_at_start(struct listening *l, const struct config *c)
{
	const char *why;

	l->fd = inherit_take(l->name, &l->lent);
	if (l->fd == -1) {
		l->fd = make(l, c);
		if (l->fd == -1)
			fatal("%s: %s", l->what, cure(is_unix(l), errno));
		return;
	}
	why = inherit_check(l->fd, l->type, (const struct sockaddr *)&l->at,
	    l->at_len);
	if (why != NULL)
		fatal_config(
		    "the listening socket named \"%s\" that was handed to us "
		    "will not do: %s, which is %s: let its socket unit listen "
		    "there, or mask that unit",
		    l->name, why, l->what);
	/* Who made it need not know the group that our clients are in. */
	if (l->lent && is_unix(l) && l->is_given)
		give(l);
}

void
sockets_open(struct master *m)
{
	const char *left;

	want_all(&m->sockets, m->load);
	for (size_t i = 0; i < m->sockets.count; i++) {
		open_at_start(&m->sockets.rows[i], m->load->config);
		refuse_rights(&m->sockets.rows[i]);
	}
	left = inherit_left();
	if (left != NULL)
		fatal_config(
		    "a listening socket named \"%s\" was handed to us, and no "
		    "socket of the configuration is called so: "
		    "FileDescriptorName= of the socket unit is job, control, "
		    "metrics_socket, metrics_listen, or the name of a "
		    "listener",
		    left);
}

int
sockets_fd(const struct master *m, enum socket_kind kind, size_t listener)
{
	const struct listening *l = m->sockets.rows;

	for (size_t i = 0; i < m->sockets.count; i++, l++)
		if (l->kind == kind && l->listener == listener)
			return l->fd;
	return -1;
}

/* Another configuration. */

static struct listening *
find_place(struct master *m, const struct listening *l)
{
	for (size_t i = 0; i < m->sockets.count; i++)
		if (same_place(&m->sockets.rows[i], l))
			return &m->sockets.rows[i];
	return NULL;
}

/* Those whose place the new configuration has, too, go on as they are.  Not where
 * they are of another kind: who waits at the job socket is no operator's client, and
 * none is two roles'. */
static void
keep_those_that_stay(struct master *m, struct socket_list *new)
{
	struct listening *l = new->rows, *old;

	for (size_t i = 0; i < m->sockets.count; i++)
		m->sockets.rows[i].stays = false;
	for (size_t i = 0; i < new->count; i++, l++) {
		old = find_place(m, l);
		if (old == NULL || old->kind != l->kind || old->stays ||
		    (old->lent && strcmp(old->name, l->name) != 0))
			continue;
		old->stays = true;
		l->fd = old->fd;
		l->lent = old->lent;
		l->was_there = true;
		l->is_given =
		    is_unix(l) && (old->mode != l->mode || old->gid != l->gid);
	}
}

/* What was handed to us comes again at the next start, wanted or not. */
static bool
lose_none_that_was_lent(struct master *m)
{
	const struct listening *l = m->sockets.rows;
	bool good = true;

	for (size_t i = 0; i < m->sockets.count; i++, l++) {
		if (l->stays || !l->lent)
			continue;
		reload_complain(m,
		    "%s cannot move or end: the service manager holds it, and "
		    "hands it over at each start: change or mask its socket "
		    "unit, and restart",
		    l->what);
		good = false;
	}
	return good;
}

/* One of ours that ends may have the port, at another address: it stops to listen,
 * and could begin again. */
static bool
park(struct master *m, const struct listening *wanted)
{
	struct listening *l = m->sockets.rows;
	bool any = false;

	for (size_t i = 0; i < m->sockets.count; i++, l++) {
		if (l->stays || l->is_parked || port_of(l) == 0 ||
		    port_of(l) != port_of(wanted))
			continue;
		l->is_parked = shutdown(l->fd, SHUT_RDWR) == 0;
		any = any || l->is_parked;
	}
	return any;
}

static bool
make_new(struct master *m, struct listening *l, const struct config *c)
{
	const struct listening *old = find_place(m, l);

	if (old != NULL) {
		reload_complain(m,
		    "%s: that is the place of %s until now, of another kind: "
		    "name another, or restart",
		    l->what, old->what);
		return false;
	}
	l->fd = make(l, c);
	if (l->fd == -1 && errno == EADDRINUSE && park(m, l))
		l->fd = make(l, c);
	if (l->fd == -1) {
		reload_complain(m, "%s: %s", l->what, cure(is_unix(l), errno));
		return false;
	}
	refuse_rights(l);
	return true;
}

struct socket_list *
sockets_prepare(struct master *m, const struct load *load)
{
	struct socket_list *new = calloc(1, sizeof(*new));
	bool good;

	if (new == NULL) {
		reload_complain(m, "no memory");
		return NULL;
	}
	want_all(new, load);
	keep_those_that_stay(m, new);
	good = lose_none_that_was_lent(m);
	for (size_t i = 0; i < new->count &&good; i++)
		if (!new->rows[i].was_there)
			good = make_new(m, &new->rows[i], load->config);
	if (good)
		return new;
	sockets_abandon(m, new);
	return NULL;
}

static void
end(struct listening *l)
{
	if (is_unix(l) && !l->lent && l->fd != -1)
		(void)unlink(path_of(l)); /* gone is fine */
	fd_close(l->fd);
	l->fd = -1;
}

void
sockets_abandon(struct master *m, struct socket_list *new)
{
	struct listening *l = m->sockets.rows;

	for (size_t i = 0; i < new->count; i++)
		if (!new->rows[i].was_there)
			end(&new->rows[i]);
	for (size_t i = 0; i < m->sockets.count; i++, l++)
		if (l->is_parked && listen(l->fd, SOCKETS_BACKLOG) == -1)
			log_line(LOG_ERROR, "%s: %s", l->what,
			    cure(false, errno));
		else
			l->is_parked = false;
	free(new);
}

/* Which kinds have others than before, or another order. */
static unsigned
what_changed(const struct socket_list *old, const struct socket_list *new)
{
	unsigned changed = 0;

	for (size_t i = 0; i < new->count; i++)
		if (!new->rows[i].was_there)
			changed |= 1u << new->rows[i].kind;
	for (size_t i = 0; i < old->count; i++)
		if (!old->rows[i].stays)
			changed |= 1u << old->rows[i].kind;
	for (size_t i = 0; i < new->count &&i < old->count; i++)
		if (!same_place(&old->rows[i], &new->rows[i]))
			changed |=
			    1u << new->rows[i].kind | 1u << old->rows[i].kind;
	return changed;
}

unsigned
sockets_take(struct master *m, struct socket_list *new)
{
	unsigned changed = what_changed(&m->sockets, new);

	for (size_t i = 0; i < m->sockets.count; i++)
		if (!m->sockets.rows[i].stays)
			end(&m->sockets.rows[i]);
	m->sockets = *new;
	free(new);
	for (size_t i = 0; i < m->sockets.count; i++)
		if (m->sockets.rows[i].was_there && m->sockets.rows[i].is_given)
			give(&m->sockets.rows[i]);
	return changed;
}

void
sockets_close(struct master *m)
{
	struct listening *l = m->sockets.rows;

	for (size_t i = 0; i < m->sockets.count; i++, l++) {
		if (files_are_ours(m))
			end(l);
		fd_close(l->fd);
	}
	m->sockets.count = 0;
}
