/* SPDX-License-Identifier: ISC */
/*
 * The rows of all parameters, and the answers of a configuration that has
 * been read (config_read.c).
 */
#include "master/config.h"

#include <stdlib.h>
#include <string.h>

#include "master/config_value.h"

#define NELEM(a) (sizeof(a) / sizeof((a)[0]))

#define ROW(scope, holder, name, type, value, least, most, unit, text)         \
	{ CONFIG_SCOPE_##scope, CONFIG_TYPE_##type, #name, value, least, most, \
		unit, text, offsetof(struct holder, name) },

static const struct config_row global_rows[] = {
#define GLOBAL(...) ROW(GLOBAL, config, __VA_ARGS__)
#define TRANSPORT(...)
#define SERVER(...)
#include "master/config.def"
};

static const struct config_row transport_rows[] = {
#define GLOBAL(...)
#define TRANSPORT(...) ROW(TRANSPORT, transport, __VA_ARGS__)
#define SERVER(...)
#include "master/config.def"
};

static const struct config_row server_rows[] = {
#define GLOBAL(...)
#define TRANSPORT(...)
#define SERVER(...) ROW(SERVER, server, __VA_ARGS__)
#include "master/config.def"
};

static const struct {
	const struct config_row *rows;
	size_t count;
} scopes[] = {
	[CONFIG_SCOPE_GLOBAL] = { global_rows, NELEM(global_rows) },
	[CONFIG_SCOPE_TRANSPORT] = { transport_rows, NELEM(transport_rows) },
	[CONFIG_SCOPE_SERVER] = { server_rows, NELEM(server_rows) },
};

const struct config_row *
config_rows(enum config_scope scope, size_t *count)
{
	*count = scopes[scope].count;
	return scopes[scope].rows;
}

static void
transport_clear(struct transport *t)
{
	for (size_t i = 0; i < NELEM(transport_rows); i++)
		config_value_clear(&transport_rows[i], t);
	free(t->name);
}

static void
server_clear(struct server *server)
{
	for (size_t i = 0; i < NELEM(server_rows); i++)
		config_value_clear(&server_rows[i], server);
}

void
config_free(struct config *config)
{
	if (config == NULL)
		return;
	for (size_t i = 0; i < config->ntransports; i++)
		transport_clear(&config->transports[i]);
	for (size_t i = 0; i < config->nroutes; i++) {
		free(config->routes[i].domain);
		free(config->routes[i].transport_name);
	}
	for (size_t i = 0; i < config->nservers; i++)
		server_clear(&config->servers[i]);
	for (size_t i = 0; i < NELEM(global_rows); i++)
		config_value_clear(&global_rows[i], config);
	free(config->transports);
	free(config->routes);
	free(config->servers);
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

const struct transport *
config_route(const struct config *config, const char *domain)
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
	return route != NULL ? route->transport : NULL;
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

static void
dump_rows(const struct config_row *row, size_t count, const void *base,
    const char *indent, FILE *out)
{
	for (size_t i = 0; i < count; i++, row++) {
		(void)fprintf(out, "%s%s = ", indent, row->name);
		config_value_print(row, base, out);
		(void)fputc('\n', out);
	}
}

/* Failures to write show in ferror(), which is for who owns out. */
void
config_dump(const struct config *config, FILE *out)
{
	const struct transport *t = config->transports;
	const struct route *route = config->routes;
	const struct server *server = config->servers;

	dump_rows(global_rows, NELEM(global_rows), config, "", out);
	for (size_t i = 0; i < config->ntransports; i++, t++) {
		(void)fprintf(out, "\ntransport %s {\n", t->name);
		dump_rows(transport_rows, NELEM(transport_rows), t, "\t", out);
		(void)fputs("}\n", out);
	}
	for (size_t i = 0; i < config->nroutes; i++, route++)
		(void)fprintf(out, "\nroute \"%s\" {\n\ttransport = %s\n}\n",
		    route->domain, route->transport_name);
	for (size_t i = 0; i < config->nservers; i++, server++) {
		(void)fprintf(out, "\nserver \"%s\" {\n", server->match.name);
		dump_rows(server_rows, NELEM(server_rows), server, "\t", out);
		(void)fputs("}\n", out);
	}
}
