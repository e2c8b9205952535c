/* SPDX-License-Identifier: ISC */
/* A configuration and its errors, for people in front of a terminal. */
#include "master/master_internal.h"

#include <sys/stat.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"
#include "master/config_doubts.h"
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
warn_of_doubt(void *arg, int line, const char *what, const char *cure)
{
	const char *name = arg;
	char where[16] = "";

	if (line > 0)
		(void)snprintf(where, sizeof(where), ":%d", line);
	fprintf(stderr, "%s%s: warning: %s; %s\n", name, where, what, cure);
}

/* Passwords and tokens that others may read. */
static void
warn_of_secrets(const char *name, const struct config *config)
{
	const struct transport *t = config->transports;
	const char *path;
	struct stat st;

	for (size_t i = 0; i < config->ntransports; i++, t++) {
		path = t->auth_password_file[0] != '\0' ? t->auth_password_file
							: t->auth_token_file;
		if (path[0] == '\0' || stat(path, &st) == -1 ||
		    (st.st_mode & (S_IROTH | S_IWOTH)) == 0)
			continue;
		fprintf(stderr,
		    "%s:%d: warning: transport %s: every local user may read "
		    "%s; chmod 0600 %s\n",
		    name, t->line, t->name, path, path);
	}
}

bool
master_check(const char *config_name)
{
	struct load *load = check_load(config_name);
	bool good = load != NULL;

	if (good)
		config_doubts(load->config, warn_of_doubt,
		    (void *)(uintptr_t)config_name);
	if (good)
		warn_of_secrets(config_name, load->config);
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
