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

static int
set_defaults(enum config_scope scope, void *base)
{
	const struct config_row *rows;
	size_t count;

	rows = config_rows(scope, &count);
	for (size_t i = 0; i < count; i++)
		if (config_value_set_default(&rows[i], base) == -1)
			return -1;
	return 0;
}

/* Room for one block more behind a list of n. */
static void *
grow(void *list, size_t n, size_t size)
{
	return recallocarray(list, n, n + 1, size);
}

static struct transport *
transport_add(struct config *config, const char *name, int line)
{
	struct transport *list, *t;

	list = grow(config->transports, config->ntransports, sizeof(*list));
	if (list == NULL)
		return NULL;
	config->transports = list;
	t = &list[config->ntransports++];
	t->line = line;
	t->name = strdup(name);
	if (t->name == NULL || set_defaults(CONFIG_SCOPE_TRANSPORT, t) == -1)
		return NULL;
	return t;
}

static struct route *
route_add(struct config *config, const char *domain, int line)
{
	struct route *list, *route;

	list = grow(config->routes, config->nroutes, sizeof(*list));
	if (list == NULL)
		return NULL;
	config->routes = list;
	route = &list[config->nroutes++];
	route->line = line;
	route->domain = strdup(domain);
	if (route->domain == NULL ||
	    set_defaults(CONFIG_SCOPE_ROUTE, route) == -1)
		return NULL;
	return route;
}

static struct config_destination *
destination_add(struct config *config, const char *domain, int line)
{
	struct config_destination *list, *d;

	list = grow(config->destinations, config->ndestinations, sizeof(*list));
	if (list == NULL)
		return NULL;
	config->destinations = list;
	d = &list[config->ndestinations++];
	d->line = line;
	d->domain = strdup(domain);
	if (d->domain == NULL ||
	    set_defaults(CONFIG_SCOPE_DESTINATION, d) == -1)
		return NULL;
	return d;
}

static struct config_mx_group *
mx_group_add(struct config *config, const char *name, int line)
{
	struct config_mx_group *list, *group;

	list = grow(config->mx_groups, config->nmx_groups, sizeof(*list));
	if (list == NULL)
		return NULL;
	config->mx_groups = list;
	group = &list[config->nmx_groups++];
	group->line = line;
	group->name = strdup(name);
	if (group->name == NULL ||
	    set_defaults(CONFIG_SCOPE_MX_GROUP, group) == -1)
		return NULL;
	return group;
}

static struct server *
server_add(struct config *config, const struct server_match *match, int line)
{
	struct server *list, *server;

	list = grow(config->servers, config->nservers, sizeof(*list));
	if (list == NULL)
		return NULL;
	config->servers = list;
	server = &list[config->nservers++];
	server->line = line;
	server->match = *match;
	return set_defaults(CONFIG_SCOPE_SERVER, server) == 0 ? server : NULL;
}

static void *
open_transport(struct reader *r, const char *title)
{
	struct config *c = r->config;
	char where[CONFIG_PLACE_SIZE];
	const char *wrong = config_word_check_name(title);

	if (wrong == NULL && strcmp(title, CONFIG_NO_TRANSPORT) == 0)
		wrong = "in a route this word means that there is no "
			"transport; take another name";
	if (title[0] == '\0' || wrong != NULL)
		complain(&r->complaints, r->block_line, "transport %.80s: %s",
		    title, wrong != NULL ? wrong : "a transport needs a name");
	for (size_t i = 0; i < c->ntransports; i++) {
		if (strcmp(c->transports[i].name, title) == 0)
			complain(&r->complaints, r->block_line,
			    "transport %s is already defined on %s", title,
			    config_places_line(&r->places,
			        c->transports[i].line, where));
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
	    !address_domain_is_dns_name(title + (title[0] == '.' ? 1 : 0)))
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
	char where[CONFIG_PLACE_SIZE];
	struct server_match match;
	const char *wrong = server_match_parse(title, &match);

	if (wrong != NULL)
		complain(&r->complaints, r->block_line, "server %.80s: %s",
		    title, wrong);
	for (size_t i = 0; i < c->nservers && wrong == NULL; i++) {
		if (strcmp(c->servers[i].match.name, match.name) == 0)
			complain(&r->complaints, r->block_line,
			    "server %s is already defined on %s", match.name,
			    config_places_line(&r->places,
			        c->servers[i].line, where));
	}
	if (c->nservers < CONFIG_SERVERS_MAX)
		return server_add(c, &match, r->block_line);
	complain(&r->complaints, r->block_line, "more than %d servers",
	    CONFIG_SERVERS_MAX);
	return NULL;
}

static void *
open_destination(struct reader *r, char *title)
{
	struct config *c = r->config;
	char where[CONFIG_PLACE_SIZE];
	const struct config_destination *other;

	lower(title);
	other = config_destination(c, title);
	if (!address_domain_is_dns_name(title))
		complain(&r->complaints, r->block_line,
		    "destination %.80s: no legal domain", title);
	else if (other != NULL)
		complain(&r->complaints, r->block_line,
		    "destination %s is already defined on %s", title,
		    config_places_line(&r->places,
		        other->line, where));
	if (c->ndestinations < CONFIG_DESTINATIONS_MAX)
		return destination_add(c, title, r->block_line);
	complain(&r->complaints, r->block_line, "more than %d destinations",
	    CONFIG_DESTINATIONS_MAX);
	return NULL;
}

static void *
open_mx_group(struct reader *r, const char *title)
{
	struct config *c = r->config;
	char where[CONFIG_PLACE_SIZE];
	const char *wrong = config_word_check_name(title);

	if (title[0] == '\0' || wrong != NULL)
		complain(&r->complaints, r->block_line, "mx_group %.80s: %s",
		    title, wrong != NULL ? wrong : "a group needs a name");
	for (size_t i = 0; i < c->nmx_groups; i++) {
		if (strcmp(c->mx_groups[i].name, title) == 0)
			complain(&r->complaints, r->block_line,
			    "mx_group %s is already defined on %s", title,
			    config_places_line(&r->places,
			        c->mx_groups[i].line, where));
	}
	if (c->nmx_groups < CONFIG_MX_GROUPS_MAX)
		return mx_group_add(c, title, r->block_line);
	complain(&r->complaints, r->block_line, "more than %d groups",
	    CONFIG_MX_GROUPS_MAX);
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
	case BLOCK_DESTINATION:
		return open_destination(r, title);
	case BLOCK_MX_GROUP:
		return open_mx_group(r, title);
	case BLOCK_SERVER:
		return open_server(r, title);
	case BLOCK_LISTENER:
		return config_listener_open(r, title);
	case BLOCK_GLOBAL:
	case BLOCK_COUNT:
		break;
	}
	return NULL;
}

/* Each stays until the file has one of the same name: a recipe that adds a
 * transport and a route for one domain takes nothing from all others. */
int
config_block_add_builtin(struct config *c)
{
	struct transport *smtp;
	struct route *route;

	if (config_transport(c, "smtp") == NULL) {
		smtp = transport_add(c, "smtp", 0);
		if (smtp == NULL)
			return -1;
		(void)next_hop_parse("", CONFIG_PORT_SMTP, &smtp->next_hop);
	}
	for (size_t i = 0; i < c->nroutes; i++) {
		if (strcmp(c->routes[i].domain, "*") == 0)
			return 0;
	}
	route = route_add(c, "*", 0);
	if (route == NULL)
		return -1;
	free(route->transport);
	route->transport = strdup("smtp");
	return route->transport != NULL ? 0 : -1;
}
