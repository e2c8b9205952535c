/* SPDX-License-Identifier: ISC */
/* A configuration and its errors, for people in front of a terminal. */
#include "master/master_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"
#include "master/config_doubts.h"
#include "master/load.h"

struct load *
check_load(const char *name)
{
	const char *level = log_is_journal(STDERR_FILENO) ? "<3>" : "";
	struct config_errors *errors;
	struct load *load;
	size_t i;

	errors = calloc(1, sizeof(*errors));
	if (errors == NULL)
		return NULL;
	load = load_read(name, errors);
	for (i = 0; i < errors->nlines; i++)
		fprintf(stderr, "%s%s\n", level, errors->lines[i]);
	if (errors->count > errors->nlines)
		fprintf(stderr, "%s%s: and %zu more\n", level, name,
		    errors->count - errors->nlines);
	free(errors);
	return load;
}

struct doubted {
	const char *name;
	const struct config *config;
};

/* It may be meant so; whoever writes it sees what it means. */
static void
warn_of_doubt(void *arg, int line, const char *what, const char *cure)
{
	const struct doubted *d = arg;
	const char *file = d->name;
	char where[16] = "";

	if (line > 0) {
		line = config_places_find(&d->config->places, d->name, line,
		    &file);
		(void)snprintf(where, sizeof(where), ":%d", line);
	}
	fprintf(stderr, "%s%s: warning: %s; %s\n", file, where, what, cure);
}

static void
warn_of_doubts(const char *name, const struct config *config)
{
	struct doubted d = { name, config };

	config_doubts(config, warn_of_doubt, &d);
	config_doubts_of_files(config, warn_of_doubt, &d);
}

bool
master_check(const char *config_name)
{
	struct load *load = check_load(config_name);
	bool good = load != NULL;

	if (good)
		warn_of_doubts(config_name, load->config);
	load_free(load);
	return good;
}

bool
master_dump(const char *config_name, bool changed)
{
	struct load *load = check_load(config_name);

	if (load == NULL)
		return false;
	config_dump(load->config, changed, stdout);
	load_free(load);
	return true;
}
