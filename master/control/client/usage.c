/* SPDX-License-Identifier: ISC */
/* See usage.h.  Knows no subcommand's function, so that each may use it. */
#include "master/control/client/usage.h"

#include <stdio.h>
#include <string.h>

#include "common/util.h"
#include "master/control/client/daemon_client.h"
#include "master/control/client/options.h"

static const struct usage usages[] = {
#define COMMAND(name, run, summary, usage) { name, summary, usage },
#include "master/control/commands.def"
};

const struct usage *
usage_of(const char *name)
{
	for (size_t i = 0; i < NELEM(usages); i++)
		if (strcmp(name, usages[i].name) == 0)
			return &usages[i];
	return NULL;
}

static int
help_for(const struct usage *u)
{
	printf("usage: %s\n\n%s; see %s(1)\n", u->text, u->summary,
	    strcmp(u->name, "sendmail") == 0 ? "postern-sendmail" : "postern");
	return EXIT_ALL_WELL;
}

int
usage_print(const char *name)
{
	if (options_wants_help())
		return help_for(usage_of(name));
	if (!options_is_described())
		fprintf(stderr, "usage: %s\n", usage_of(name)->text);
	return EXIT_USAGE;
}

static int
no_command(const char *name)
{
	fprintf(stderr,
	    "postern: there is no command \"%s\": postern help names all\n",
	    name);
	return EXIT_USAGE;
}

int
usage_help(const char *name)
{
	if (name != NULL)
		return usage_of(name) != NULL ? help_for(usage_of(name))
					      : no_command(name);
	puts("usage: postern COMMAND [OPTIONS] [WORDS]\n");
	for (size_t i = 0; i < NELEM(usages); i++)
		printf("  %-12s%s\n", usages[i].name, usages[i].summary);
	puts("\npostern help COMMAND, or postern COMMAND --help: how it is "
	     "called; postern(1): all of it");
	return EXIT_ALL_WELL;
}

int
usage_unknown(const char *name)
{
	if (name != NULL)
		return no_command(name);
	fputs("postern: which command? postern help names all\n", stderr);
	return EXIT_USAGE;
}
