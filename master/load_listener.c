/* SPDX-License-Identifier: ISC */
/* The users and groups that listeners name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "master/load_internal.h"

/* Adds the users of a list behind those that are there; how many. */
static size_t
look_up_users(struct loading *l, const struct config_listener *listener,
    const char *param, const struct config_list *users, uint32_t *out)
{
	size_t n = 0;

	for (size_t i = 0; i < users->count; i++) {
		if (strcmp(users->words[i], "everybody") == 0)
			continue;
		if (load_uid(users->words[i], &out[n]))
			n++;
		else
			load_wrong(l, listener->line,
			    "listener %s: %s: there is no user %s",
			    listener->name, param, users->words[i]);
	}
	return n;
}

static void
load_listener(struct loading *l, const struct config_listener *listener,
    struct load_listener *out)
{
	char param[80];

	out->group = (gid_t)-1;
	if (listener->at.kind != NEXT_HOP_UNIX)
		return;
	(void)snprintf(param, sizeof(param), "listener %s: group",
	    listener->name); /* its name has at most 32 octets */
	out->group = load_group(l, param, listener->group);
	out->any = listener->everybody || listener->clients.count == 0;
	out->uids[0] = geteuid(); /* who started us may */
	out->count = 1 +
	    look_up_users(l, listener, "clients", &listener->clients,
		out->uids + 1);
	out->trusted = look_up_users(l, listener,
	    "smtpd_authorized_xforward_hosts",
	    &listener->smtpd_authorized_xforward_hosts, out->uids + out->count);
}

void
load_listeners(struct loading *l)
{
	const struct config *c = l->load->config;

	if (c->nlisteners == 0)
		return;
	l->load->listeners = calloc(c->nlisteners, sizeof(*l->load->listeners));
	if (l->load->listeners == NULL) {
		load_wrong(l, 0, "no memory");
		return;
	}
	for (size_t i = 0; i < c->nlisteners; i++)
		load_listener(l, &c->listeners[i], &l->load->listeners[i]);
}
