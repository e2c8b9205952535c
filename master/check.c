/* SPDX-License-Identifier: ISC */
/* A configuration and its errors, for people in front of a terminal. */
#include "master/master_internal.h"

#include <stdio.h>
#include <stdlib.h>

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

bool
master_check(const char *config_name)
{
	struct load *load = check_load(config_name);
	bool good = load != NULL;

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
