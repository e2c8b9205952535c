/* SPDX-License-Identifier: ISC */
/*
 * A configuration with other listeners.  Those whose place it has, too, go on under
 * their new number; the others take nobody from this moment on, before the master
 * brings new ones: who connects is never measured by another listener's rules.
 */
#include "master/intake/intake_internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"
#include "master/intake/smtpd/smtpd.h"
#include "master/intake/tls/tls_server.h"

/* The number of a listener in a configuration that has its place; else of one
 * that has its name; else LISTENER_GONE. */
static size_t
number_in(const struct config *c, const struct mail_listener *l)
{
	size_t i;

	for (i = 0; i < c->nlisteners; i++)
		if (config_same_place(&c->listeners[i].at, &l->at))
			return i;
	for (i = 0; i < c->nlisteners; i++)
		if (strcmp(c->listeners[i].name, l->name) == 0)
			return i;
	return LISTENER_GONE;
}

static bool
is_used(const struct mail_listener *l)
{
	return l->name[0] != '\0';
}

/* Whether each is where it was: most reloads are so. */
static bool
all_stay(const struct intake *in)
{
	const struct mail_listener *l = in->mail_listeners;
	const struct config *c = in->clients.config;

	for (size_t i = 0; i < CONFIG_LISTENERS_MAX; i++, l++)
		if (is_used(l) &&
		    (i >= c->nlisteners ||
			!config_same_place(&c->listeners[i].at, &l->at) ||
			strcmp(c->listeners[i].name, l->name) != 0))
			return false;
	return true;
}

static void
name_it(struct intake *in, size_t index)
{
	const struct config_listener *of =
	    &in->clients.config->listeners[index];
	struct mail_listener *l = &in->mail_listeners[index];

	(void)strlcpy(l->name, of->name, sizeof(l->name));
	l->at = of->at;
}

static void
take_mail_client(struct listener *l, int fd,
    const struct sockaddr_storage *from)
{
	struct intake *in = (struct intake *)l->clients;
	const struct mail_listener *of = (const struct mail_listener *)l;

	smtpd_open(in, fd, (size_t)(of - in->mail_listeners), from);
}

void
intake_reload_take(struct intake *in, size_t index, int fd)
{
	struct listener *l = &in->mail_listeners[index].listener;

	name_it(in, index);
	l->take = take_mail_client;
	listener_take(&in->clients, l, fd);
}

/* What it knows of its clients goes with it, and its socket where the place is
 * the same. */
static void
move(struct intake *in, struct mail_listener *l, size_t index)
{
	struct mail_listener *to = &in->mail_listeners[index];
	int fd = l->listener.fd;
	bool listens = listener_detach(&l->listener);

	if (index == LISTENER_GONE || is_used(to) ||
	    !config_same_place(&in->clients.config->listeners[index].at,
		&l->at)) {
		tls_server_free(l->tls);
		if (listens)
			fd_close(fd);
		return;
	}
	to->tls = l->tls;
	to->any = l->any;
	to->count = l->count;
	to->trusted = l->trusted;
	memcpy(to->uids, l->uids, sizeof(to->uids));
	name_it(in, index);
	if (listens)
		intake_reload_take(in, index, fd);
}

static void
move_all(struct intake *in)
{
	static struct mail_listener old[CONFIG_LISTENERS_MAX];
	size_t to[LISTENER_GONE + 1];
	size_t i;

	memcpy(old, in->mail_listeners, sizeof(old));
	memset(in->mail_listeners, 0, sizeof(old));
	to[LISTENER_GONE] = LISTENER_GONE;
	for (i = 0; i < CONFIG_LISTENERS_MAX; i++) {
		to[i] = LISTENER_GONE;
		if (!is_used(&old[i]))
			continue;
		to[i] = number_in(in->clients.config, &old[i]);
		move(in, &old[i], to[i]);
	}
	smtpd_move(in, to);
}

void
intake_reload_on_config(void *ctx, struct channel *from,
    const struct message *m)
{
	struct intake *in = ctx;

	clients_on_config(ctx, from, m);
	if (in->clients.config != NULL && !all_stay(in))
		move_all(in);
}
