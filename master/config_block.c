/* SPDX-License-Identifier: ISC */
/*
 * The blocks of a configuration: their titles, and the members they become.
 */
#include <stdlib.h>
#include <string.h>

#include "common/address.h"
#include "master/config_reader.h"
#include "master/config_value.h"
#include "master/config_word.h"

static struct transport *
transport_add(struct config *config, const char *name, int line)
{
	const struct config_row *rows;
	struct transport *list, *t;
	size_t count;

	rows = config_rows(CONFIG_SCOPE_TRANSPORT, &count);
	list = recallocarray(config->transports, config->ntransports,
	    config->ntransports + 1, sizeof(*list));
	if (list == NULL)
		return NULL;
	config->transports = list;
	t = &list[config->ntransports++];
	t->line = line;
	t->name = strdup(name);
	if (t->name == NULL)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		if (config_value_set_default(&rows[i], t) == -1)
			return NULL;
	}
	return t;
}

static struct route *
route_add(struct config *config, const char *domain, int line)
{
	struct route *list, *route;

	list = recallocarray(config->routes, config->nroutes,
	    config->nroutes + 1, sizeof(*list));
	if (list == NULL)
		return NULL;
	config->routes = list;
	route = &list[config->nroutes++];
	route->line = line;
	route->domain = strdup(domain);
	route->transport_name = strdup("");
	if (route->domain == NULL || route->transport_name == NULL)
		return NULL;
	return route;
}

static struct server *
server_add(struct config *config, const struct server_match *match, int line)
{
	const struct config_row *rows;
	struct server *list, *server;
	size_t count;

	rows = config_rows(CONFIG_SCOPE_SERVER, &count);
	list = recallocarray(config->servers, config->nservers,
	    config->nservers + 1, sizeof(*list));
	if (list == NULL)
		return NULL;
	config->servers = list;
	server = &list[config->nservers++];
	server->line = line;
	server->match = *match;
	for (size_t i = 0; i < count; i++) {
		if (config_value_set_default(&rows[i], server) == -1)
			return NULL;
	}
	return server;
}

static void *
open_transport(struct reader *r, const char *title)
{
	struct config *c = r->config;
	const char *wrong = config_word_check_name(title);

	if (title[0] == '\0' || wrong != NULL)
		complain(&r->complaints, r->block_line, "transport %.80s: %s",
		    title, wrong != NULL ? wrong : "a transport needs a name");
	for (size_t i = 0; i < c->ntransports; i++) {
		if (strcmp(c->transports[i].name, title) == 0)
			complain(&r->complaints, r->block_line,
			    "transport %s stands already on line %d", title,
			    c->transports[i].line);
	}
	if (c->ntransports < CONFIG_TRANSPORTS_MAX)
		return transport_add(c, title, r->block_line);
	complain(&r->complaints, r->block_line, "more than %d transports",
	    CONFIG_TRANSPORTS_MAX);
	return NULL;
}

static void
lower(char *word)
{
	for (; *word != '\0'; word++) {
		if (*word >= 'A' && *word <= 'Z')
			*word = (char)(*word - 'A' + 'a');
	}
}

static void *
open_route(struct reader *r, char *title)
{
	struct config *c = r->config;

	lower(title);
	if (strcmp(title, "*") != 0 &&
	    !address_domain_is_host_name(title + (title[0] == '.' ? 1 : 0)))
		complain(&r->complaints, r->block_line,
		    "route %.80s: no legal domain; write example.org, "
		    ".example.org for all below it, or \"*\" for the rest",
		    title);
	if (c->nroutes < CONFIG_ROUTES_MAX)
		return route_add(c, title, r->block_line);
	complain(&r->complaints, r->block_line, "more than %d routes",
	    CONFIG_ROUTES_MAX);
	return NULL;
}

static void *
open_server(struct reader *r, const char *title)
{
	struct config *c = r->config;
	struct server_match match;
	const char *wrong = server_match_parse(title, &match);

	if (wrong != NULL)
		complain(&r->complaints, r->block_line, "server %.80s: %s",
		    title, wrong);
	for (size_t i = 0; i < c->nservers && wrong == NULL; i++) {
		if (strcmp(c->servers[i].match.name, match.name) == 0)
			complain(&r->complaints, r->block_line,
			    "server %s stands already on line %d", match.name,
			    c->servers[i].line);
	}
	if (c->nservers < CONFIG_SERVERS_MAX)
		return server_add(c, &match, r->block_line);
	complain(&r->complaints, r->block_line, "more than %d servers",
	    CONFIG_SERVERS_MAX);
	return NULL;
}

void *
config_block_open(struct reader *r, char *title)
{
	switch (r->block) {
	case BLOCK_TRANSPORT:
		return open_transport(r, title);
	case BLOCK_ROUTE:
		return open_route(r, title);
	case BLOCK_SERVER:
		return open_server(r, title);
	case BLOCK_GLOBAL:
	case BLOCK_COUNT:
		break;
	}
	return NULL;
}

int
config_block_add_builtin(struct config *c)
{
	char any[] = "*";
	struct route *route;

	if (c->ntransports > 0)
		return 0;
	if (transport_add(c, "smtp", 0) == NULL)
		return -1;
	(void)next_hop_parse("", CONFIG_PORT_SMTP, &c->transports[0].next_hop);
	for (size_t i = 0; i < c->nroutes; i++) {
		if (strcmp(c->routes[i].domain, any) == 0)
			return 0;
	}
	route = route_add(c, any, 0);
	if (route == NULL)
		return -1;
	free(route->transport_name);
	route->transport_name = strdup("smtp");
	return route->transport_name != NULL ? 0 : -1;
}
