/* SPDX-License-Identifier: ISC */
/* postern: finds the subcommand. */
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"
#include "common/version.h"
#include "master/control/client/daemon_client.h"
#include "master/control/client/usage.h"
#include "master/control/control.h"

/* As a program that looks for sendmail has found us. */
static bool
is_sendmail(const char *path)
{
	const char *name = strrchr(path, '/');

	name = name != NULL ? name + 1 : path;
	return strcmp(name, "sendmail") == 0 || strcmp(name, "mailq") == 0 ||
	    strcmp(name, "newaliases") == 0;
}

static bool
is_word(const char *word, const char *a, const char *b)
{
	return strcmp(word, a) == 0 || strcmp(word, b) == 0;
}

/*
 * What jansson cannot have it leaves out: a recipient of a job, or that it is to
 * want TLS.  Nothing is better, and the caller tries again.
 */
static void *
json_memory(size_t n)
{
	void *p = malloc(n);

	if (p == NULL) {
		fprintf(stderr, "postern: no memory: try again\n");
		exit(EXIT_DEFERRED);
	}
	return p;
}

int
main(int argc, char **argv)
{
	int (*run)(int argc, char **argv);

	if (fd_open_standard() == -1)
		return EXIT_DEFERRED; /* and nowhere to say it */
	json_set_alloc_funcs(json_memory, free);
	if (argc > 0 && is_sendmail(argv[0]))
		return cmd_sendmail(argc, argv);
	if (argc < 2)
		return usage_unknown(NULL);
	if (is_word(argv[1], "--version", "-V")) {
		puts("postern " POSTERN_VERSION);
		return EXIT_ALL_WELL;
	}
	if (strcmp(argv[1], "help") == 0 || is_word(argv[1], "--help", "-h"))
		return usage_help(argc > 2 ? argv[2] : NULL);
	if (strcmp(argv[1], "complete") == 0)
		return commands_complete(argc - 1, argv + 1);
	run = commands_find(argv[1]);
	return run != NULL ? run(argc - 1, argv + 1) : usage_unknown(argv[1]);
}
