/* SPDX-License-Identifier: ISC */
/* See config_doubts.h. */
#include "master/config_doubts.h"

#include <sys/stat.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "master/config.h"

enum {
	DOUBT_SIZE = 512,
	PORT_SMTP = 25,
	PORT_SUBMISSION = 587,
	PORT_SMTPS = 465, /* RFC 8314, 3.3 */
};

struct doubts {
	const struct config *config;
	config_doubt_fn say;
	void *arg;
};

static void doubt(const struct doubts *d, int line, const char *cure,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

static void
doubt(const struct doubts *d, int line, const char *cure, const char *fmt, ...)
{
	char what[DOUBT_SIZE];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap); /* may be cut */
	va_end(ap);
	d->say(d->arg, line, what, cure);
}

/* Others would be greeted with a name that is theirs too (RFC 5321, 4.1.1.1). */
static void
doubt_name(const struct doubts *d)
{
	const char *name = d->config->hostname;

	if (strcasecmp(name, "localhost") == 0 ||
	    strncasecmp(name, "localhost.", 10) == 0)
		doubt(d, config_line(d->config, "hostname"),
		    "hostname = the name that DNS has for this host",
		    "hostname is %s: many servers refuse mail from a host of "
		    "that name",
		    name);
}

static void
doubt_times(const struct doubts *d)
{
	const struct config *c = d->config;

	if (c->delay_warning_time > 0 &&
	    c->delay_warning_time >= c->maximal_queue_lifetime)
		doubt(d, config_line(c, "delay_warning_time"),
		    "delay_warning_time = 4h, or 0 for none",
		    "delay_warning_time is not below maximal_queue_lifetime: "
		    "mail is returned before anybody is told of a delay");
}

static void
doubt_group(const struct doubts *d, const char *socket, const char *group,
    int mode)
{
	char cure[128], parameter[64];

	if (group[0] == '\0' || (mode & 020) != 0)
		return;
	(void)snprintf(cure, sizeof(cure), "%s_mode = 0660", socket);
	/* The mode, if it is set; else what is more than the default allows. */
	(void)snprintf(parameter, sizeof(parameter), "%s_mode", socket);
	if (config_line(d->config, parameter) == 0)
		(void)snprintf(parameter, sizeof(parameter), "%s_group",
		    socket);
	doubt(d, config_line(d->config, parameter), cure,
	    "%s_group is %s, but %s_mode is %04o: the group may not connect",
	    socket, group, socket, (unsigned)mode);
}

static void
doubt_listener(const struct doubts *d, const struct config_listener *l)
{
	if (l->at.kind == NEXT_HOP_UNIX && l->group[0] != '\0' &&
	    (l->mode & 020) == 0)
		doubt(d, l->line, "mode = 0660",
		    "listener %s: group is %s, but mode is %04o: the group may "
		    "not connect",
		    l->name, l->group, (unsigned)l->mode);
}

static bool
is_loopback(const struct next_hop *hop)
{
	return strcasecmp(hop->host, "localhost") == 0 ||
	    strncmp(hop->host, "127.", 4) == 0 || strcmp(hop->host, "::1") == 0;
}

/* Whether what goes there comes in here again. */
static bool
is_ours(const struct config *c, const struct next_hop *to,
    const struct config_listener *l)
{
	const struct next_hop *at = &l->at;

	if (to->kind == NEXT_HOP_MX ||
	    (to->kind == NEXT_HOP_UNIX) != (at->kind == NEXT_HOP_UNIX))
		return false;
	if (to->kind == NEXT_HOP_UNIX)
		return strcmp(to->path, at->path) == 0;
	if (to->port != at->port)
		return false;
	return strcasecmp(to->host, at->host) == 0 ||
	    strcasecmp(to->host, c->hostname) == 0 ||
	    (is_loopback(to) &&
		(is_loopback(at) || strcmp(at->host, "0.0.0.0") == 0 ||
		    strcmp(at->host, "::") == 0));
}

static void
doubt_loop(const struct doubts *d, const struct transport *t)
{
	const struct config *c = d->config;

	for (size_t i = 0; i < c->nlisteners; i++)
		if (is_ours(c, &t->next_hop, &c->listeners[i]))
			doubt(d, t->line,
			    "name the server that is meant; mail must not come "
			    "back to where it came in",
			    "transport %s: its server is our own listener %s: "
			    "mail would go round",
			    t->name, c->listeners[i].name);
}

static void
doubt_transport(const struct doubts *d, const struct transport *t)
{
	if (t->next_hop.port == PORT_SMTPS && !t->tls_wrappermode &&
	    t->next_hop.kind != NEXT_HOP_UNIX &&
	    t->protocol == CONFIG_PROTOCOL_SMTP)
		doubt(d, t->line, "tls_wrappermode = yes",
		    "transport %s: port 465 begins with TLS, and "
		    "tls_wrappermode is no: both sides would wait for the "
		    "other's first word",
		    t->name);
	if (t->next_hop.port != PORT_SMTPS && t->tls_wrappermode &&
	    (t->next_hop.port == PORT_SMTP ||
		t->next_hop.port == PORT_SUBMISSION))
		doubt(d, t->line, "tls_wrappermode = no",
		    "transport %s: port %u begins in clear, and tls_wrappermode "
		    "is yes: no session would come up",
		    t->name, t->next_hop.port);
	doubt_loop(d, t);
}

static void
doubt_routes(const struct doubts *d)
{
	const struct config *c = d->config;
	const char *domain = "";
	size_t gaps;
	int line = 0;

	gaps = config_route_gap(c, &line, &domain);
	if (gaps > 0)
		doubt(d, line,
		    "name a transport there, unless that mail is to wait; "
		    "postern explain ADDRESS shows the route of one",
		    "route %s has transport = none%s: its mail waits in the "
		    "queue",
		    domain, gaps > 1 ? ", and it is not the only one" : "");
}

void
config_doubts(const struct config *c, config_doubt_fn say, void *arg)
{
	const struct doubts d = { c, say, arg };
	size_t i;

	doubt_name(&d);
	doubt_times(&d);
	doubt_group(&d, "job_socket", c->job_socket_group, c->job_socket_mode);
	doubt_group(&d, "control_socket", c->control_socket_group,
	    c->control_socket_mode);
	for (i = 0; i < c->ntransports; i++)
		doubt_transport(&d, &c->transports[i]);
	for (i = 0; i < c->nlisteners; i++)
		doubt_listener(&d, &c->listeners[i]);
	doubt_routes(&d);
}

static void
doubt_secret(const struct doubts *d, const struct transport *t,
    const char *path)
{
	char cure[DOUBT_SIZE];
	struct stat st;

	if (path[0] == '\0' || stat(path, &st) == -1 ||
	    (st.st_mode & (S_IROTH | S_IWOTH)) == 0)
		return;
	(void)snprintf(cure, sizeof(cure), "chmod 0600 %s", path);
	doubt(d, t->line, cure, "transport %s: every local user may read %s",
	    t->name, path);
}

void
config_doubts_of_files(const struct config *c, config_doubt_fn say, void *arg)
{
	const struct doubts d = { c, say, arg };

	for (size_t i = 0; i < c->ntransports; i++) {
		doubt_secret(&d, &c->transports[i],
		    c->transports[i].auth_password_file);
		doubt_secret(&d, &c->transports[i],
		    c->transports[i].auth_token_file);
	}
}
