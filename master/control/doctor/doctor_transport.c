/* SPDX-License-Identifier: ISC */
/* The doctor on the servers of transports: whether the dialer reaches them.
 * Strangers, to whom an MX leads, are tried where an option names a domain. */
#include "master/control/doctor/doctor.h"

#include <sys/stat.h>

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "master/control/client/control_client.h"
#include "master/control/client/daemon_client.h"
#include "master/listen.h"

/* In all: with many transports whose servers are silent the rest is left. */
#define TRANSPORTS_MS 30000

/* Who connects. */
static struct load_user
dialer(const struct doctor *d)
{
	struct load_user user = { geteuid(), getegid() };

	if (d->switches)
		(void)doctor_config_user(d->config->dialer_user, &user);
	return user;
}

/* The socket itself keeps the dialer out, or a folder before it. */
static void
say_denied(struct doctor *d, const struct transport *t,
    const struct load_user *who)
{
	const char *path = t->next_hop.path;
	char what[DOCTOR_TEXT_SIZE], cure[DOCTOR_TEXT_SIZE], owner[80];
	const char *group;

	(void)doctor_path_owner(0, who->uid, who->gid, owner);
	group = strchr(owner, ':') + 1;
	if (!doctor_path_obstacle(path, who, 6, what, cure, sizeof(what)))
		(void)snprintf(what, sizeof(what), "%s is denied", path);
	if (strncmp(what, "the folder ", strlen("the folder ")) != 0)
		(void)snprintf(cure, sizeof(cure),
		    "in Dovecot's service lmtp: unix_listener %s { mode = 0660 "
		    "group = %s }; elsewhere: chgrp %s %s; chmod 0660 %s",
		    path, group, group, path, path);
	doctor_say(d, DOCTOR_FAULT, cure,
	    "transport %s: the dialer (uid %u, group %s) may not connect to "
	    "%s: %s",
	    t->name, (unsigned)who->uid, group, path, what);
}

static void
look_at_unix(struct doctor *d, const struct transport *t)
{
	const struct load_user who = dialer(d);
	const char *path = t->next_hop.path;
	struct stat st;
	int error;

	if (d->switches && geteuid() != 0) {
		doctor_say(d, DOCTOR_SKIPPED, NULL,
		    "transport %s: only root can try %s as the dialer does",
		    t->name, path);
		return;
	}
	if (stat(path, &st) == 0 && !S_ISSOCK(st.st_mode)) {
		doctor_say(d, DOCTOR_FAULT, "name the server's socket",
		    "transport %s: %s is no socket", t->name, path);
		return;
	}
	error = doctor_try_connect_unix(&who, path, SOCK_STREAM);
	if (error == EACCES)
		say_denied(d, t, &who);
	else if (error == ENOENT)
		doctor_say(d, DOCTOR_FAULT,
		    "start that server, and see that it makes this socket "
		    "(Dovecot: protocols = lmtp, and unix_listener in service "
		    "lmtp)",
		    "transport %s: %s is not there", t->name, path);
	else if (error == ECONNREFUSED)
		doctor_say(d, DOCTOR_FAULT, "start that server",
		    "transport %s: nobody is behind %s any more", t->name,
		    path);
	else if (error != 0)
		doctor_say(d, DOCTOR_FAULT, "look at that server",
		    "transport %s: %s: %s", t->name, path, strerror(error));
}

struct host {
	const char *name;
	uint16_t port;
};

/* In a child: one address that takes us is enough. */
static int
dial_host(const void *arg, int out)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	const struct host *h = arg;
	struct addrinfo *list = NULL, *a;
	char port[8];
	int error, fd, last = EHOSTUNREACH;

	(void)snprintf(port, sizeof(port), "%u", h->port);
	error = getaddrinfo(h->name, port, &hints, &list);
	if (error != 0) {
		dprintf(out, "%s", gai_strerror(error));
		return EHOSTUNREACH;
	}
	for (a = list; a != NULL && last != 0; a = a->ai_next) {
		fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		last = 0;
		if (fd == -1 || connect(fd, a->ai_addr, a->ai_addrlen) == -1)
			last = errno;
		fd_close(fd);
	}
	freeaddrinfo(list);
	return last;
}

/* Whether it answers within the time; else *why says what it does. */
static bool
reach(const char *name, uint16_t port, char *why, size_t size)
{
	const struct host host = { name, port };
	int error =
	    doctor_try(NULL, DOCTOR_TRY_MS, dial_host, &host, why, size);

	if (error != 0 && why[0] == '\0')
		(void)strlcpy(why, strerror(error), size);
	return error == 0;
}

static void
look_at_tcp(struct doctor *d, const struct transport *t)
{
	char why[256];

	if (!reach(t->next_hop.host, t->next_hop.port, why, sizeof(why)))
		doctor_say(d, DOCTOR_FAULT,
		    "start that server, mend its name, or let us through the "
		    "firewall",
		    "transport %s: cannot connect to %s, port %u: %s", t->name,
		    t->next_hop.host, t->next_hop.port, why);
}

void
doctor_transport_all(struct doctor *d)
{
	const struct config *c = d->config;
	int64_t end = time_monotonic_ms() + TRANSPORTS_MS;
	unsigned n = 0;

	for (size_t i = 0; i < c->ntransports; i++) {
		if (c->transports[i].next_hop.kind == NEXT_HOP_MX)
			continue;
		n++;
		if (time_monotonic_ms() > end) {
			doctor_say(d, DOCTOR_SKIPPED, NULL,
			    "transport %s, and those behind it: the others "
			    "took too long",
			    c->transports[i].name);
			break;
		}
		if (c->transports[i].next_hop.kind == NEXT_HOP_UNIX)
			look_at_unix(d, &c->transports[i]);
		else
			look_at_tcp(d, &c->transports[i]);
	}
	if (d->findings == 0)
		doctor_say(d, DOCTOR_WELL, NULL,
		    n > 0 ? "all servers that they name take connections"
			  : "they lead to no server by name");
}

/* What posternd would do with mail to the domain. */
static json_t *
explain(const struct doctor *d)
{
	char recipient[300];

	(void)snprintf(recipient, sizeof(recipient), "postmaster@%s",
	    d->domain);
	if (daemon_client_send(d->control_fd,
		json_pack("{s:s,s:s}", "command", "explain", "recipient",
		    recipient),
		-1) == -1)
		return NULL;
	return daemon_client_receive(d->control_fd,
	    d->config->resolver_timeout * 1000 + DOCTOR_ANSWER_MS);
}

static void
try_plan(struct doctor *d, const json_t *list)
{
	const char *address = "";
	char why[256] = "it has no address";
	const json_t *a;
	long long port = 0;
	size_t i;

	for (i = 0; i < json_array_size(list); i++) {
		a = json_array_get(list, i);
		address = daemon_client_string(a, "address");
		port = control_client_number(a, "port");
		if (address[0] == '\0' ||
		    !reach(address, (uint16_t)port, why, sizeof(why)))
			continue;
		doctor_say(d, DOCTOR_WELL, NULL, "%s [%s] takes port %lld",
		    daemon_client_string(a, "host"), address, port);
		return;
	}
	doctor_say(d, DOCTOR_FAULT,
	    "ask your provider to open port 25, or name a relay as the "
	    "transport's server",
	    "no server of %s can be reached, the last was %s port %lld: %s",
	    d->domain, address, port, why);
}

void
doctor_transport_outbound(struct doctor *d)
{
	const json_t *plan;
	json_t *row;

	if (d->domain == NULL || d->control_fd == -1) {
		doctor_say(d, DOCTOR_SKIPPED, NULL,
		    d->domain == NULL
			? "no stranger is tried: --domain DOMAIN names one "
			  "whose MX is asked for and connected to"
			: "posternd must run for it, and be yours to ask");
		return;
	}
	row = explain(d);
	plan = json_object_get(row, "plan");
	if (plan == NULL)
		doctor_say(d, DOCTOR_FAULT, "postern explain says more",
		    "posternd has no plan for mail to %s", d->domain);
	else if (daemon_client_string(plan, "error")[0] != '\0')
		doctor_say(d, DOCTOR_FAULT,
		    "see resolver above; or it takes no mail",
		    "mail to %s cannot go: %s", d->domain,
		    daemon_client_string(plan, "error"));
	else
		try_plan(d, json_object_get(plan, "addresses"));
	json_decref(row);
}
