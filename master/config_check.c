/* SPDX-License-Identifier: ISC */
/*
 * What the parameters of a configuration say about each other.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/sort.h"
#include "master/config_reader.h"
#include "master/metrics_listen.h"

#define RUN_VARIABLE    "$run_directory"
#define PORT_SUBMISSION 465 /* implicit TLS, RFC 8314 */
#define PORT_LMTP       24  /* never 25, RFC 2033, 5 */

static uint16_t
default_port(const struct transport *t)
{
	if (t->port != 0)
		return (uint16_t)t->port;
	if (t->protocol == CONFIG_PROTOCOL_LMTP)
		return PORT_LMTP;
	return t->tls_wrappermode ? PORT_SUBMISSION : CONFIG_PORT_SMTP;
}

/* Two places for one number: neither is meant to win. */
static void
check_port(struct reader *r, const struct transport *t)
{
	struct next_hop named;

	(void)next_hop_parse(t->server, 0, &named);
	if (t->port == 0)
		return;
	if (named.kind == NEXT_HOP_UNIX)
		complain(&r->complaints, config_line_of(r, "port"),
		    "port: a Unix socket has none");
	else if (named.port != 0)
		complain(&r->complaints, config_line_of(r, "port"),
		    "port: server names one already, %u", named.port);
}

static void
check_next_hop(struct reader *r, struct transport *t)
{
	bool lmtp = t->protocol == CONFIG_PROTOCOL_LMTP;
	const char *param = t->port != 0 ? "port" : "server";

	/* A word that is wrong has been complained about, and not kept. */
	(void)next_hop_parse(t->server, default_port(t), &t->next_hop);
	check_port(r, t);
	if (lmtp && t->next_hop.kind == NEXT_HOP_MX)
		complain(&r->complaints,
		    config_line_of(r, "server") != r->block_line
			? config_line_of(r, "server")
			: config_line_of(r, "protocol"),
		    "protocol: lmtp needs a server, for an MX speaks smtp");
	if (lmtp && t->next_hop.kind != NEXT_HOP_UNIX &&
	    t->next_hop.port == CONFIG_PORT_SMTP)
		complain(&r->complaints, config_line_of(r, param),
		    "%s: lmtp must not be spoken on port 25 "
		    "(RFC 2033, 5); name another port",
		    param);
}

static void
check_tls(struct reader *r, const struct transport *t)
{
	if (t->tls_wrappermode && t->tls_security_level == CONFIG_TLS_NONE)
		complain(&r->complaints, config_line_of(r, "tls_wrappermode"),
		    "tls_wrappermode: yes and tls_security_level none "
		    "contradict each other");
	if (t->tls_security_level != CONFIG_TLS_VERIFY)
		return;
	if (t->tls_CAfile[0] == '\0')
		complain(&r->complaints, config_line_of(r, "tls_CAfile"),
		    "tls_CAfile: level verify needs the file of the "
		    "authorities we trust");
	if (t->next_hop.kind == NEXT_HOP_UNIX && t->tls_name[0] == '\0')
		complain(&r->complaints,
		    config_line_of(r, "tls_security_level"),
		    "tls_security_level: verify over unix: needs tls_name, "
		    "for a path names no host");
}

/* A password and a token are for different mechanisms: which one is meant? */
static void
check_secret(struct reader *r, const struct transport *t)
{
	const char *param = "auth_token_command";
	int count = 0;

	count += t->auth_password_file[0] != '\0';
	count += t->auth_token_file[0] != '\0';
	count += t->auth_token_command.count > 0;
	if (t->auth_password_file[0] != '\0')
		param = "auth_password_file";
	else if (t->auth_token_file[0] != '\0')
		param = "auth_token_file";
	if (count > 1)
		complain(&r->complaints, config_line_of(r, param),
		    "%s: one of auth_password_file, auth_token_file and "
		    "auth_token_command is enough",
		    param);
	if (count > 0 && t->auth_user[0] == '\0')
		complain(&r->complaints, config_line_of(r, param),
		    "%s: needs auth_user", param);
	if (t->auth_token_command.count > 0 &&
	    t->auth_token_command.words[0][0] != '/')
		complain(&r->complaints,
		    config_line_of(r, "auth_token_command"),
		    "auth_token_command: its first word must be an absolute "
		    "path, beginning with /");
}

static void
check_auth(struct reader *r, const struct transport *t)
{
	uint32_t external = UINT32_C(1) << AUTH_MECHANISM_EXTERNAL;
	const char *param =
	    t->auth_user[0] != '\0' ? "auth_user" : "auth_mechanisms";

	check_secret(r, t);
	if (!config_wants_login(t))
		return;
	if (config_secret(t) == AUTH_SECRET_NOTHING &&
	    (config_mechanisms(t) & external) == 0)
		complain(&r->complaints, config_line_of(r, param),
		    "%s: a login needs auth_password_file, auth_token_file or "
		    "auth_token_command, or EXTERNAL in auth_mechanisms",
		    param);
	/* By MX, whoever has a domain would be shown it. */
	if (t->next_hop.kind == NEXT_HOP_MX)
		complain(&r->complaints, config_line_of(r, param),
		    "%s: a login needs server: what is not for everybody goes "
		    "to no server that a recipient's domain names",
		    param);
	if (t->tls_security_level == CONFIG_TLS_NONE && !t->auth_in_clear &&
	    t->next_hop.kind != NEXT_HOP_UNIX)
		complain(&r->complaints, config_line_of(r, param),
		    "%s: without TLS a login needs auth_in_clear = yes", param);
}

void
config_check_transport(struct reader *r, struct transport *t)
{
	check_next_hop(r, t);
	check_tls(r, t);
	check_auth(r, t);
	/* Whoever relays knows nothing of a delivery. */
	if (t->delivered_to && t->protocol != CONFIG_PROTOCOL_LMTP)
		complain(&r->complaints, config_line_of(r, "delivered_to"),
		    "delivered_to: is for protocol = lmtp alone");
	if (t->initial_destination_concurrency <=
	    t->destination_concurrency_limit)
		return;
	/* Who lowers the limit alone wants to begin there as well. */
	if (config_line_of(r, "initial_destination_concurrency") ==
	    r->block_line)
		t->initial_destination_concurrency =
		    t->destination_concurrency_limit;
	else
		complain(&r->complaints,
		    config_line_of(r, "initial_destination_concurrency"),
		    "initial_destination_concurrency: more than "
		    "destination_concurrency_limit, %d",
		    t->destination_concurrency_limit);
}

static bool
is_set(struct reader *r, const char *name)
{
	const struct config_row *row =
	    config_row_find(&r->rows[r->block], name, strlen(name));

	return row != NULL && *config_seen_line(r, row) != 0;
}

void
config_check_route(struct reader *r, struct route *route)
{
	route->line = config_line_of(r, "transport");
	route->has_lifetime = is_set(r, "maximal_queue_lifetime");
	if (route->transport[0] == '\0')
		complain(&r->complaints, route->line,
		    "route %s: write transport = NAME in it", route->domain);
}

void
config_check_mx_group(struct reader *r, struct config_mx_group *group)
{
	const struct config_list *hosts = &group->hosts;

	if (hosts->count == 0) {
		if (!is_set(r, "hosts")) /* else it was wrong */
			complain(&r->complaints, r->block_line,
			    "mx_group %s: write hosts = { HOST, .DOMAIN } in it",
			    group->name);
		return;
	}
	group->matches = calloc(hosts->count, sizeof(*group->matches));
	if (group->matches == NULL) {
		complain_memory(&r->complaints);
		return;
	}
	/* Each was checked as it was read. */
	for (size_t i = 0; i < hosts->count; i++)
		(void)server_match_parse(hosts->words[i], &group->matches[i]);
}

static int
route_compare(const void *a, const void *b)
{
	const struct route *left = a, *right = b;

	return strcmp(left->domain, right->domain);
}

/* Those of one domain in the order of the file. */
static int
route_order(const void *a, const void *b)
{
	const struct route *left = a, *right = b;
	int ret = route_compare(a, b);

	return ret != 0 ? ret : left->line - right->line;
}

static void
resolve_routes(struct reader *r)
{
	struct config *c = r->config;
	struct route *route = c->routes;
	char where[CONFIG_PLACE_SIZE];

	sort_array(c->routes, c->nroutes, sizeof(*route), route_order);
	for (size_t i = 0; i < c->nroutes; i++, route++) {
		if (i > 0 && route_compare(route - 1, route) == 0)
			complain(&r->complaints,
			    route[0].line, "route %s is already defined on %s",
			    route->domain,
			    config_places_line(&r->places, route[-1].line,
				where));
		if (!route->has_lifetime)
			route->maximal_queue_lifetime =
			    c->maximal_queue_lifetime;
		route->leads_to = config_transport(c, route->transport);
		if (route->leads_to == NULL && route->transport[0] != '\0' &&
		    strcmp(route->transport, CONFIG_NO_TRANSPORT) != 0)
			complain(&r->complaints, route->line,
			    "transport: the configuration has no transport %s",
			    route->transport);
	}
}

/* The line of the first of two global parameters that the file sets. */
static int
line_of_either(struct reader *r, const char *first, const char *second)
{
	int line = config_line_of(r, first);

	return line != 0 ? line : config_line_of(r, second);
}

/* Puts the run directory in the place of its variable. */
static void
expand_path(struct reader *r, const struct config_row *row, char **path)
{
	size_t prefix = strlen(RUN_VARIABLE);
	char *expanded;

	if (strncmp(*path, RUN_VARIABLE, prefix) != 0)
		return;
	if (path == &r->config->run_directory) {
		complain(&r->complaints, config_line_of(r, row->name),
		    "run_directory: must be an absolute path, beginning "
		    "with /");
		return;
	}
	if (asprintf(&expanded, "%s%s", r->config->run_directory,
		*path + prefix) == -1) {
		complain_memory(&r->complaints);
		return;
	}
	free(*path);
	*path = expanded;
	if (strlen(expanded) > row->most)
		complain(&r->complaints,
		    line_of_either(r, row->name, "run_directory"),
		    "%s: is too long with run_directory in it", row->name);
}

static void
expand_paths(struct reader *r)
{
	const struct rows *rows = &r->rows[BLOCK_GLOBAL];
	const struct config_row *row = rows->row;
	void *member;

	for (size_t i = 0; i < rows->count; i++, row++) {
		member = (char *)r->config + row->offset;
		if (row->type == CONFIG_TYPE_PATH)
			expand_path(r, row, member);
	}
}

static void
check_metrics(struct reader *r)
{
	const struct config *c = r->config;
	int line = line_of_either(r, "metrics_listen", "metrics_access");
	struct sockaddr_storage to;
	const char *why;
	socklen_t len;
	bool loopback;

	if (c->metrics_listen[0] == '\0')
		return;
	why = metrics_listen_parse(c->metrics_listen, &to, &len, &loopback);
	if (why != NULL)
		complain(&r->complaints, line, "metrics_listen: %s", why);
	else if (!loopback && c->metrics_access != CONFIG_METRICS_ANY)
		complain(&r->complaints, line,
		    "metrics_listen: other hosts reach %s, and nobody is asked "
		    "who he is: take 127.0.0.1, or say metrics_access = any",
		    c->metrics_listen);
}

static void
check_outcomes(struct reader *r)
{
	const struct config *c = r->config;
	const char *word;
	size_t i;

	for (i = 0; i < c->outcome_events.count; i++) {
		word = c->outcome_events.words[i];
		if (strcmp(word, "delivered") != 0 &&
		    strcmp(word, "failed") != 0)
			complain(&r->complaints,
			    config_line_of(r, "outcome_events"),
			    "outcome_events: %s is neither delivered nor "
			    "failed",
			    word);
	}
	if (c->outcome_command.count == 0)
		return;
	if (c->outcome_command.words[0][0] != '/')
		complain(&r->complaints, config_line_of(r, "outcome_command"),
		    "outcome_command: begin with the absolute path of a "
		    "program");
	if (c->outcome_socket[0] != '\0')
		complain(&r->complaints,
		    line_of_either(r, "outcome_command", "outcome_socket"),
		    "outcome_command: stands beside outcome_socket: name one "
		    "of them");
}

static void
check_global(struct reader *r)
{
	const struct config *c = r->config;

	if (c->minimal_backoff_time > c->maximal_backoff_time)
		complain(&r->complaints,
		    line_of_either(r, "minimal_backoff_time",
			"maximal_backoff_time"),
		    "minimal_backoff_time: more than maximal_backoff_time");
	if (strcmp(c->job_socket, c->control_socket) == 0)
		complain(&r->complaints,
		    line_of_either(r, "control_socket", "job_socket"),
		    "control_socket: must not be the job socket");
	if (c->bounce_transport[0] != '\0' &&
	    config_transport(c, c->bounce_transport) == NULL)
		complain(&r->complaints, config_line_of(r, "bounce_transport"),
		    "bounce_transport: the configuration has no transport %s",
		    c->bounce_transport);
	check_metrics(r);
	check_outcomes(r);
}

void
config_check_whole(struct reader *r)
{
	resolve_routes(r);
	config_check_listeners(r);
	expand_paths(r);
	check_global(r);
}
