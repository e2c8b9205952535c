/* SPDX-License-Identifier: ISC */
/*
 * The rows of all parameters, and the answers of a configuration that has
 * been read (config_read.c).
 */
#include "master/config.h"

#include <sys/socket.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "master/config_value.h"

#define NELEM(a) (sizeof(a) / sizeof((a)[0]))

#define ROW(scope, holder, name, type, value, least, most, unit, text)         \
	{ CONFIG_SCOPE_##scope, CONFIG_TYPE_##type, #name, value, least, most, \
		unit, text, offsetof(struct holder, name) },

static const struct config_row global_rows[] = {
#define GLOBAL(...) ROW(GLOBAL, config, __VA_ARGS__)
#include "master/config.def"
};

static const struct config_row transport_rows[] = {
#define TRANSPORT(...) ROW(TRANSPORT, transport, __VA_ARGS__)
#include "master/config.def"
};

static const struct config_row route_rows[] = {
#define ROUTE(...) ROW(ROUTE, route, __VA_ARGS__)
#include "master/config.def"
};

static const struct config_row destination_rows[] = {
#define DESTINATION(...) ROW(DESTINATION, config_destination, __VA_ARGS__)
#include "master/config.def"
};

static const struct config_row mx_group_rows[] = {
#define MX_GROUP(...) ROW(MX_GROUP, config_mx_group, __VA_ARGS__)
#include "master/config.def"
};

static const struct config_row server_rows[] = {
#define SERVER(...) ROW(SERVER, server, __VA_ARGS__)
#include "master/config.def"
};

static const struct config_row listener_rows[] = {
#define LISTENER(...) ROW(LISTENER, config_listener, __VA_ARGS__)
#include "master/config.def"
};

static const struct {
	const struct config_row *rows;
	size_t count;
} scopes[] = {
	[CONFIG_SCOPE_GLOBAL] = { global_rows, NELEM(global_rows) },
	[CONFIG_SCOPE_TRANSPORT] = { transport_rows, NELEM(transport_rows) },
	[CONFIG_SCOPE_ROUTE] = { route_rows, NELEM(route_rows) },
	[CONFIG_SCOPE_DESTINATION] = { destination_rows,
	    NELEM(destination_rows) },
	[CONFIG_SCOPE_MX_GROUP] = { mx_group_rows, NELEM(mx_group_rows) },
	[CONFIG_SCOPE_SERVER] = { server_rows, NELEM(server_rows) },
	[CONFIG_SCOPE_LISTENER] = { listener_rows, NELEM(listener_rows) },
};

const struct config_row *
config_rows(enum config_scope scope, size_t *count)
{
	*count = scopes[scope].count;
	return scopes[scope].rows;
}

int
config_line(const struct config *config, const char *parameter)
{
	for (size_t i = 0; i < NELEM(global_rows); i++)
		if (strcmp(global_rows[i].name, parameter) == 0)
			return config->lines != NULL ? config->lines[i] : 0;
	return 0;
}

static void
clear_rows(enum config_scope scope, void *base)
{
	for (size_t i = 0; i < scopes[scope].count; i++)
		config_value_clear(&scopes[scope].rows[i], base);
}

static void
blocks_clear(struct config *config)
{
	for (size_t i = 0; i < config->ntransports; i++) {
		clear_rows(CONFIG_SCOPE_TRANSPORT, &config->transports[i]);
		free(config->transports[i].name);
	}
	for (size_t i = 0; i < config->nroutes; i++) {
		clear_rows(CONFIG_SCOPE_ROUTE, &config->routes[i]);
		free(config->routes[i].domain);
	}
	for (size_t i = 0; i < config->nservers; i++)
		clear_rows(CONFIG_SCOPE_SERVER, &config->servers[i]);
	for (size_t i = 0; i < config->ndestinations; i++) {
		clear_rows(CONFIG_SCOPE_DESTINATION, &config->destinations[i]);
		free(config->destinations[i].domain);
	}
	for (size_t i = 0; i < config->nmx_groups; i++) {
		clear_rows(CONFIG_SCOPE_MX_GROUP, &config->mx_groups[i]);
		free(config->mx_groups[i].name);
		free(config->mx_groups[i].matches);
	}
	for (size_t i = 0; i < config->nlisteners; i++) {
		clear_rows(CONFIG_SCOPE_LISTENER, &config->listeners[i]);
		free(config->listeners[i].name);
		free(config->listeners[i].client_matches);
		free(config->listeners[i].xforward_matches);
	}
}

void
config_free(struct config *config)
{
	if (config == NULL)
		return;
	blocks_clear(config);
	config_places_clear(&config->places);
	free(config->lines);
	clear_rows(CONFIG_SCOPE_GLOBAL, config);
	free(config->transports);
	free(config->routes);
	free(config->servers);
	free(config->destinations);
	free(config->mx_groups);
	free(config->listeners);
	free(config);
}

const struct transport *
config_transport(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->ntransports; i++) {
		if (strcmp(config->transports[i].name, name) == 0)
			return &config->transports[i];
	}
	return NULL;
}

size_t
config_trust(const struct config *config, size_t i)
{
	const char *file = config->transports[i].tls_CAfile;
	size_t first = 0;

	while (strcmp(config->transports[first].tls_CAfile, file) != 0)
		first++;
	return first;
}

enum auth_secret
config_secret(const struct transport *t)
{
	if (t->auth_password_file[0] != '\0')
		return AUTH_SECRET_PASSWORD;
	if (t->auth_token_file[0] != '\0' || t->auth_token_command.count > 0)
		return AUTH_SECRET_TOKEN;
	return AUTH_SECRET_NOTHING;
}

bool
config_wants_login(const struct transport *t)
{
	return t->auth_user[0] != '\0' || t->auth_mechanisms.count > 0 ||
	    config_secret(t) != AUTH_SECRET_NOTHING;
}

uint32_t
config_mechanisms(const struct transport *t)
{
	const struct config_list *list = &t->auth_mechanisms;
	uint32_t bits = 0;

	for (size_t i = 0; i < list->count; i++)
		bits |= UINT32_C(1) << auth_mechanism_find(list->words[i],
			    strlen(list->words[i]));
	return bits;
}

static void
lower(char *word)
{
	for (; *word != '\0'; word++) {
		if (*word >= 'A' && *word <= 'Z')
			*word = (char)(*word - 'A' + 'a');
	}
}

static int
route_compare(const void *a, const void *b)
{
	const struct route *left = a, *right = b;

	return strcmp(left->domain, right->domain);
}

static const struct route *
route_find(const struct config *config, char *domain)
{
	struct route key = { .domain = domain };

	if (config->nroutes == 0)
		return NULL;
	return bsearch(&key, config->routes, config->nroutes, sizeof(key),
	    route_compare);
}

const struct route *
config_route_of(const struct config *config, const char *domain)
{
	char name[256], any[] = "*";
	const struct route *route = NULL;
	char *at = name;

	/* What is too long for a domain can only go the default way. */
	if (strlcpy(name, domain, sizeof(name)) < sizeof(name)) {
		lower(name);
		if (strcmp(name, any) != 0)
			route = route_find(config, name);
		while (route == NULL && (at = strchr(at, '.')) != NULL) {
			route = route_find(config, at);
			at++;
		}
	}
	if (route == NULL)
		route = route_find(config, any);
	return route;
}

const struct transport *
config_route(const struct config *config, const char *domain)
{
	const struct route *route = config_route_of(config, domain);

	return route != NULL ? route->leads_to : NULL;
}

/* They are sorted, and "*" is before every letter, digit and dot. */
size_t
config_route_gap(const struct config *config, int *line, const char **domain)
{
	size_t i, count = 0;

	for (i = 0; i < config->nroutes; i++) {
		if (config->routes[i].leads_to != NULL)
			continue;
		if (count++ > 0)
			continue;
		*line = config->routes[i].line;
		*domain = config->routes[i].domain;
	}
	return count;
}

const struct config_destination *
config_destination(const struct config *config, const char *domain)
{
	for (size_t i = 0; i < config->ndestinations; i++)
		if (strcasecmp(config->destinations[i].domain, domain) == 0)
			return &config->destinations[i];
	return NULL;
}

const struct config_mx_group *
config_mx_group(const struct config *config, const char *host)
{
	static const uint8_t nowhere[16];
	const struct config_mx_group *group, *best = NULL;
	unsigned weight, most = 0;

	for (size_t i = 0; i < config->nmx_groups; i++) {
		group = &config->mx_groups[i];
		for (size_t j = 0; j < group->hosts.count; j++) {
			weight = server_match_weigh(&group->matches[j], host,
			    AF_INET, nowhere);
			if (weight <= most)
				continue;
			most = weight;
			best = group;
		}
	}
	return best;
}

const struct server *
config_server(const struct config *config, const char *host, int family,
    const uint8_t *addr)
{
	const struct server *best = NULL, *server = config->servers;
	unsigned weight, most = 0;

	for (size_t i = 0; i < config->nservers; i++, server++) {
		weight = server_match_weigh(&server->match, host, family, addr);
		if (weight > most) {
			most = weight;
			best = server;
		}
	}
	return best;
}

/* What a value is printed as; NULL: no memory. */
static char *
print_value(const struct config_row *row, const void *base)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (f == NULL)
		return NULL;
	config_value_print(row, base, f);
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

static bool
is_default(const struct config_row *row, const void *base, const void *defaults)
{
	char *value = print_value(row, base), *other = NULL;
	bool same;

	if (defaults != NULL)
		other = print_value(row, defaults);
	same = value != NULL && other != NULL && strcmp(value, other) == 0;
	free(value);
	free(other);
	return same;
}

/* defaults: what is like that is left out; NULL: nothing is. */
static void
dump_rows(const struct config_row *row, size_t count, const void *base,
    const void *defaults, const char *indent, FILE *out)
{
	for (size_t i = 0; i < count; i++, row++) {
		if (defaults != NULL && is_default(row, base, defaults))
			continue;
		(void)fprintf(out, "%s%s = ", indent, row->name);
		config_value_print(row, base, out);
		(void)fputc('\n', out);
	}
}

/* A block of the scope with nothing set in it; NULL: no memory. */
static void *
default_block(enum config_scope scope)
{
	/* The largest of them. */
	union {
		struct transport transport;
		struct route route;
		struct config_destination destination;
		struct config_mx_group mx_group;
		struct server server;
		struct config_listener listener;
	} *block = calloc(1, sizeof(*block));

	for (size_t i = 0; block != NULL && i < scopes[scope].count; i++)
		(void)config_value_set_default(&scopes[scope].rows[i], block);
	return block;
}

static void
dump_block(const char *kind, const char *title, enum config_scope scope,
    const void *base, bool changed, FILE *out)
{
	void *defaults = changed ? default_block(scope) : NULL;

	(void)fprintf(out, "\n%s \"%s\" {\n", kind, title);
	dump_rows(scopes[scope].rows, scopes[scope].count, base, defaults, "\t",
	    out);
	(void)fputs("}\n", out);
	for (size_t i = 0; defaults != NULL && i < scopes[scope].count; i++)
		config_value_clear(&scopes[scope].rows[i], defaults);
	free(defaults);
}

/* As it is with nothing set but where it runs, which is in other defaults. */
static struct config *
default_config(const struct config *c)
{
	struct config_errors *errors = calloc(1, sizeof(*errors));
	struct config *config = NULL;
	char *text;

	if (errors != NULL &&
	    asprintf(&text, "run_directory = \"%s\"\n", c->run_directory) !=
		-1) {
		config = config_read("", text, strlen(text), errors);
		free(text);
	}
	free(errors);
	return config;
}

/* It is its own measure in default_config(). */
static void
dump_run_directory(const struct config *c, FILE *out)
{
	for (size_t i = 0; i < NELEM(global_rows); i++)
		if (strcmp(global_rows[i].name, "run_directory") == 0 &&
		    strcmp(global_rows[i].value, c->run_directory) != 0)
			(void)fprintf(out, "run_directory = \"%s\"\n",
			    c->run_directory);
}

/* Failures to write show in ferror(), which is for who owns out. */
void
config_dump(const struct config *c, bool changed, FILE *out)
{
	struct config *defaults = changed ? default_config(c) : NULL;
	size_t i;

	dump_rows(global_rows, NELEM(global_rows), c, defaults, "", out);
	if (changed)
		dump_run_directory(c, out);
	for (i = 0; i < c->ntransports; i++)
		if (!changed || c->transports[i].line > 0)
			dump_block("transport", c->transports[i].name,
			    CONFIG_SCOPE_TRANSPORT, &c->transports[i], changed,
			    out);
	for (i = 0; i < c->nroutes; i++)
		dump_block("route", c->routes[i].domain, CONFIG_SCOPE_ROUTE,
		    &c->routes[i], changed, out);
	for (i = 0; i < c->ndestinations; i++)
		dump_block("destination", c->destinations[i].domain,
		    CONFIG_SCOPE_DESTINATION, &c->destinations[i], changed,
		    out);
	for (i = 0; i < c->nmx_groups; i++)
		dump_block("mx_group", c->mx_groups[i].name,
		    CONFIG_SCOPE_MX_GROUP, &c->mx_groups[i], changed, out);
	for (i = 0; i < c->nservers; i++)
		dump_block("server", c->servers[i].match.name,
		    CONFIG_SCOPE_SERVER, &c->servers[i], changed, out);
	for (i = 0; i < c->nlisteners; i++)
		dump_block("listener", c->listeners[i].name,
		    CONFIG_SCOPE_LISTENER, &c->listeners[i], changed, out);
	config_free(defaults);
}
