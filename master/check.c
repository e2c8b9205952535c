/* SPDX-License-Identifier: ISC */
/* A configuration and its errors, for people in front of a terminal. */
#include "master/master_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"
#include "master/load.h"

struct load *
check_load(const char *name)
{
	struct config_errors *errors;
	struct load *load;
	size_t i;

	errors = calloc(1, sizeof(*errors));
	if (errors == NULL)
		return NULL;
	load = load_read(name, errors);
	for (i = 0; i < errors->nlines; i++)
		fprintf(stderr, "%s\n", errors->lines[i]);
	if (errors->count > errors->nlines)
		fprintf(stderr, "%s: and %zu more\n", name,
		    errors->count - errors->nlines);
	free(errors);
	return load;
}

/* It may be meant so; whoever writes it sees what it means. */
static void
warn_of_gap(const char *name, const struct config *config)
{
	const char *domain;
	size_t gaps;
	int line;

	gaps = config_route_gap(config, &line, &domain);
	if (gaps == 0)
		return;
	fprintf(stderr,
	    "%s:%d: warning: route %s has transport = none: mail for %s waits "
	    "in the queue",
	    name, line, domain,
	    strcmp(domain, "*") == 0 ? "each domain that no other route names"
				     : "it");
	if (gaps > 1)
		fprintf(stderr, ", and so with %zu more routes", gaps - 1);
	fputc('\n', stderr);
}

bool
master_check(const char *config_name)
{
	struct load *load = check_load(config_name);
	bool good = load != NULL;

	if (good)
		warn_of_gap(config_name, load->config);
	load_free(load);
	return good;
}

bool
master_dump(const char *config_name)
{
	struct load *load = check_load(config_name);

	if (load == NULL)
		return false;
	config_dump(load->config, stdout);
	load_free(load);
	return true;
}
