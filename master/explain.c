/* SPDX-License-Identifier: ISC */
/* See explain.h. */
#include "master/explain.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/util.h"

const char *
explain_tls_level(unsigned level)
{
	static const char *const words[] = {
		[CONFIG_TLS_NONE] = "none",
		[CONFIG_TLS_MAY] = "may",
		[CONFIG_TLS_ENCRYPT] = "encrypt",
		[CONFIG_TLS_VERIFY] = "verify",
	};

	return level < NELEM(words) ? words[level] : "level?";
}

/* How well a route fits, as config_route() weighs it; 0: not at all. */
static size_t
explain_weigh(const char *pattern, const char *domain)
{
	size_t n = strlen(pattern), len = strlen(domain);

	if (strcmp(pattern, "*") == 0)
		return 1;
	if (strcasecmp(pattern, domain) == 0)
		return len + 2;
	if (pattern[0] == '.' && n < len &&
	    strcasecmp(domain + len - n, pattern) == 0)
		return n + 1;
	return 0;
}

static const char *
explain_pattern(const struct config *config, const char *domain)
{
	const char *best = "";
	size_t i, weight, most = 0;

	for (i = 0; i < config->nroutes; i++) {
		weight = explain_weigh(config->routes[i].domain, domain);
		if (weight > most) {
			most = weight;
			best = config->routes[i].domain;
		}
	}
	return best;
}

/* What bounds how much goes there, and how fast. */
static bool
explain_is_limit(const char *name)
{
	size_t n = strlen(name);

	return strstr(name, "concurrency") != NULL ||
	    strstr(name, "rate") != NULL ||
	    (n > 6 && strcmp(name + n - 6, "_limit") == 0);
}

static void
explain_value(struct json_out *out, const struct config_row *row,
    const void *member)
{
	const struct config_list *list = member;
	size_t i;

	switch (row->type) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_DURATION:
		json_out_number(out, row->name, *(const int *)member);
		break;
	case CONFIG_TYPE_SIZE:
		json_out_number(out, row->name,
		    (int64_t) * (const uint64_t *)member);
		break;
	case CONFIG_TYPE_STRING:
	case CONFIG_TYPE_PATH:
		json_out_string(out, row->name, *(const char *const *)member);
		break;
	case CONFIG_TYPE_LIST:
		json_out_list(out, row->name);
		for (i = 0; i < list->count; i++)
			json_out_string(out, NULL, list->words[i]);
		json_out_close(out);
		break;
	case CONFIG_TYPE_BOOL:
	case CONFIG_TYPE_ENUM:
	case CONFIG_TYPE_MODE:
		break; /* none of them is a limit */
	}
}

static void
explain_limits(struct json_out *out, const struct transport *t)
{
	const struct config_row *rows;
	size_t n, i;

	rows = config_rows(CONFIG_SCOPE_TRANSPORT, &n);
	json_out_object(out, "limits");
	for (i = 0; i < n; i++)
		if (explain_is_limit(rows[i].name))
			explain_value(out, &rows[i],
			    (const char *)t + rows[i].offset);
	json_out_close(out);
}

static void
explain_transport(struct json_out *out, const struct config *config,
    const struct transport *t, const char *domain)
{
	json_out_object(out, "transport");
	json_out_string(out, "name", t->name);
	json_out_string(out, "protocol",
	    t->protocol == CONFIG_PROTOCOL_LMTP ? "lmtp" : "smtp");
	json_out_string(out, "server", t->server);
	if (t->next_hop.kind == NEXT_HOP_MX)
		json_out_string(out, "mx_of", domain);
	if (t->next_hop.kind != NEXT_HOP_UNIX)
		json_out_number(out, "port", t->next_hop.port);
	json_out_string(out, "tls_security_level",
	    explain_tls_level(t->tls_security_level));
	json_out_bool(out, "implicit_tls", t->tls_wrappermode);
	json_out_bool(out, "login", config_wants_login(t));
	json_out_number(out, "process_limit", config->process_limit);
	explain_limits(out, t);
	json_out_close(out);
}

const struct transport *
explain_route(struct json_out *out, const struct config *config,
    const char *via, const char *domain)
{
	const struct transport *t;
	const char *error = NULL;

	t = via[0] != '\0' ? config_transport(config, via)
			   : config_route(config, domain);
	json_out_object(out, "route");
	if (via[0] != '\0')
		json_out_string(out, "via", via);
	else if (t != NULL)
		json_out_string(out, "pattern",
		    explain_pattern(config, domain));
	if (t == NULL)
		error = via[0] != '\0'
		    ? "no transport of the configuration has this name"
		    : "no route of the configuration leads anywhere for this "
		      "domain";
	else if (t->next_hop.kind == NEXT_HOP_MX && domain[0] == '\0')
		error = "an address without a domain has no MX";
	if (error != NULL) {
		json_out_string(out, "error", error);
		json_out_string(out, "dsn", "4.3.5");
	}
	json_out_close(out);
	if (error != NULL)
		return NULL;
	explain_transport(out, config, t, domain);
	return t;
}
