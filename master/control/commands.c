/* SPDX-License-Identifier: ISC */
/* The subcommands of postern: the function of each, and what shells offer of it. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "common/util.h"
#include "master/control/client/daemon_client.h"
#include "master/control/client/options.h"
#include "master/control/client/usage.h"
#include "master/control/control.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
#define COMMAND(name, run, summary, usage) { name, run },
#include "master/control/commands.def"
};

static const struct command *
find(const char *name)
{
	for (size_t i = 0; i < NELEM(commands); i++)
		if (strcmp(name, commands[i].name) == 0)
			return &commands[i];
	return NULL;
}

int (*commands_find(const char *name))(int argc, char **argv)
{
	const struct command *c = find(name);

	return c != NULL ? c->run : NULL;
}

/* What a shell may put in the place of a word that was begun. */

static void
offer(const char *word, size_t n, const char *begun)
{
	if (n >= strlen(begun) && strncmp(word, begun, strlen(begun)) == 0)
		printf("%.*s\n", (int)n, word);
}

static void
offer_option(void *arg, const struct control_option *row)
{
	char word[64];

	(void)snprintf(word, sizeof(word), "--%s", row->name);
	offer(word, strlen(word), arg);
}

/* An option before the begun word, and whether it is one that has a value. */
struct asked {
	const char *option;
	bool has_value;
};

static void
find_option(void *arg, const struct control_option *row)
{
	struct asked *a = arg;
	const char letter[] = { '-', row->letter, '\0' };

	if (row->value != NULL &&
	    ((strncmp(a->option, "--", 2) == 0 &&
		 strcmp(a->option + 2, row->name) == 0) ||
		(row->letter != '\0' && strcmp(a->option, letter) == 0)))
		a->has_value = true;
}

/* Every option of a command, by the table that it reads them by. */
static void
describe(const struct command *c,
    void (*each)(void *arg, const struct control_option *row), void *arg)
{
	char name[32], check[] = "check";
	char *argv[] = { name, check, NULL };

	(void)strlcpy(name, c->name, sizeof(name));
	options_describe(each, arg);
	(void)c->run(1, argv);
	/* What works on the spool itself has a table of its own. */
	if (strcmp(c->name, "queue") == 0)
		(void)c->run(2, argv);
	options_describe(NULL, NULL);
}

/* The values of "--tls none|may": of lower case, so no "HOST|unix:PATH". */
static void
offer_values(const struct command *c, const char *option, const char *begun)
{
	const char *at = usage_of(c->name)->text, *end;
	size_t n = strlen(option);

	while ((at = strstr(at, option)) != NULL && at[n] != ' ')
		at += n;
	if (at == NULL)
		return;
	at += n + 1;
	end = at + strcspn(at, " ]");
	if (memchr(at, '|', (size_t)(end - at)) == NULL || !islower(*at))
		return;
	for (; at < end; at += n + 1) {
		n = strcspn(at, "|] ");
		offer(at, n, begun);
	}
}

/* The words that the usage has between bars: "list | show | cat". */
static void
offer_verbs(const struct command *c, const char *begun)
{
	const char *at = usage_of(c->name)->text, *before = "";
	size_t n;

	for (; *at != '\0'; at += n + strspn(at + n, " \n")) {
		n = strcspn(at, " \n");
		if (islower(*at) &&
		    strspn(at, "abcdefghijklmnopqrstuvwxyz") == n &&
		    (*before == '|' || strncmp(at + n, " |", 2) == 0))
			offer(at, n, begun);
		before = at;
	}
}

int
commands_complete(int argc, char **argv)
{
	const char *begun = argc > 1 ? argv[argc - 1] : "";
	const struct command *c;
	struct asked asked = { .option = argv[argc > 2 ? argc - 2 : 0] };

	if (argc < 3 || strcmp(argv[1], "help") == 0) {
		for (size_t i = 0; i < NELEM(commands); i++)
			offer(commands[i].name, strlen(commands[i].name),
			    begun);
		if (argc < 3)
			offer("help", strlen("help"), begun);
		return EXIT_ALL_WELL;
	}
	c = find(argv[1]);
	if (c == NULL)
		return EXIT_USAGE;
	describe(c, find_option, &asked);
	if (asked.has_value)
		offer_values(c, asked.option, begun);
	else if (begun[0] == '-')
		describe(c, offer_option, (void *)(uintptr_t)begun);
	else
		offer_verbs(c, begun);
	return EXIT_ALL_WELL;
}
