/* SPDX-License-Identifier: ISC */
/* The subcommands of postern: how each is called, and what shells offer of it. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "common/util.h"
#include "master/control/control.h"
#include "master/control/link.h"

#define ENVELOPE                                                               \
	"[--notify never|success,failure,delay] [--ret full|headers] "         \
	"[--envid TEXT] [--orcpt TYPE;ADDRESS] "                               \
	"[--deliver-by SECONDS[:return|notify[:trace]]] "                      \
	"[--hold-for SECONDS] [--hold-until DATE-TIME] [--priority N] "        \
	"[--submitter ADDRESS] [--require-tls] "

#define SELECTION                                                              \
	"[--sender PATTERN] [--recipient PATTERN] [--destination NAME] "       \
	"[--domain DOMAIN] [--reason PATTERN] [--state STATE,...] "            \
	"[--older AGE] [--younger AGE] "

#define SESSION                                                                \
	"[--lmtp] [--server HOST[:PORT]|unix:PATH] "                           \
	"[--tls none|may|encrypt|verify] [--implicit-tls] [--ca FILE] "        \
	"[--tls-name NAME] [--timeout SECONDS] [--step-timeout SECONDS] "      \
	"[--ehlo NAME] [--user USER] [--password-file FILE | "                 \
	"--token-file FILE] [--auth MECHANISM] [--without KEYWORD,...] "       \
	"[--transcript FILE] [--json] [--verbose] "

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
	const char *usage;
} commands[] = {
	{ "send", control_send, "hand a message in at the job socket",
	    "postern send [-c FILE] [--socket PATH] [--via TRANSPORT] "
	    "[--wait queued|attempt|final] [--ref TEXT] [--binary] [--json] " ENVELOPE
	    "--from ADDRESS RECIPIENT... < message" },
	{ "sendmail", control_sendmail, "the sendmail command",
	    "postern sendmail [-i] [-t] [-v] [-f SENDER] [-F NAME] [-N NOTIFY] "
	    "[-R full|hdrs] [-V ENVID] [-C FILE] [RECIPIENT...] < message\n"
	    "       postern sendmail -bp | -q[R|I WHAT]" },
	{ "queue", control_queue, "look at what is queued, and change it",
	    "postern queue [-c FILE] [--socket PATH] [--json] [--dry-run] "
	    "[--yes] [--progress] [--to TRANSPORT] [--limit ROWS] "
	    "[--by destination|domain|reason|sender|age] " SELECTION
	    "list | show | cat | hold | release | retry | delete | expire | "
	    "move | summary [ID...]\n"
	    "       postern queue [-c FILE | --spool DIRECTORY] [--json] check | "
	    "export FILE | import FILE" },
	{ "flush", control_flush, "try all that waits now",
	    "postern flush [-c FILE] [--socket PATH] [--json] [--dry-run] "
	    "[--yes] [--progress] " SELECTION },
	{ "pause", control_pause,
	    "stop deliveries, of all or of a transport or destination",
	    "postern pause [-c FILE] [--socket PATH] [--json] --all | "
	    "--transport NAME | --destination NAME" },
	{ "resume", control_resume, "end a pause",
	    "postern resume [-c FILE] [--socket PATH] [--json] --all | "
	    "--transport NAME | --destination NAME" },
	{ "explain", control_explain,
	    "what would happen to mail for an address now, and why",
	    "postern explain [-c FILE] [--socket PATH] [--json] "
	    "[--sender ADDRESS] [--via TRANSPORT] RECIPIENT" },
	{ "tail", control_tail, "events as they happen, as JSON lines",
	    "postern tail [-c FILE] [--socket PATH] [--json] [--sender PATTERN] "
	    "[--recipient PATTERN] [--destination PATTERN] [--id ID] "
	    "[--status WORD]" },
	{ "top", control_top, "what goes on, by destination",
	    "postern top [-c FILE] [--socket PATH] [--once] [--json] "
	    "[--limit ROWS] [--interval TIME]" },
	{ "status", control_status, "the processes, and which walls hold",
	    "postern status [-c FILE] [--socket PATH] [--json]" },
	{ "reload", control_reload,
	    "have posternd read its configuration again",
	    "postern reload [-c FILE] [--json]" },
	{ "upgrade", control_upgrade, "have the installed posternd take over",
	    "postern upgrade [-c FILE] [--json]" },
	{ "doctor", control_doctor,
	    "what is wrong with this installation, and the cure",
	    "postern doctor [-c FILE] [--domain DOMAIN] [--offline] [--quiet] "
	    "[--json]" },
	{ "deliver", control_deliver, "one delivery now, without a daemon",
	    "postern deliver " SESSION
	    "[--binary] " ENVELOPE "--from ADDRESS RECIPIENT... < message" },
	{ "verify", control_verify,
	    "ask a server for addresses, without a daemon",
	    "postern verify " SESSION "[--binary] " ENVELOPE
	    "[--from ADDRESS] RECIPIENT..." },
	{ "transcript", control_transcript,
	    "the sessions that failed, octet by octet",
	    "postern transcript [-c FILE] [--socket PATH] [--json] "
	    "[--last | ID]" },
	{ "replay", control_replay, "play the server of a transcript again",
	    "postern replay [-c FILE] [--socket PATH] [--json] [--fast] "
	    "[--verbose] "
	    "[--listen ADDRESS:PORT] --last | FILE | ID" },
};

static const struct command *
find(const char *name)
{
	for (size_t i = 0; i < NELEM(commands); i++)
		if (strcmp(name, commands[i].name) == 0)
			return &commands[i];
	return NULL;
}

int (*control_find(const char *name))(int argc, char **argv)
{
	const struct command *c = find(name);

	return c != NULL ? c->run : NULL;
}

int
control_help_for(const char *name)
{
	const struct command *c = find(name);

	printf("usage: %s\n\n%s; see %s(1)\n", c->usage, c->summary,
	    strcmp(name, "sendmail") == 0 ? "postern-sendmail" : "postern");
	return EXIT_ALL_WELL;
}

int
control_usage(const char *name)
{
	if (control_wants_help())
		return control_help_for(name);
	if (!control_is_described())
		fprintf(stderr, "usage: %s\n", find(name)->usage);
	return EXIT_USAGE;
}

/* Help. */

static int
no_command(const char *name)
{
	fprintf(stderr,
	    "postern: there is no command \"%s\": postern help names all\n",
	    name);
	return EXIT_USAGE;
}

int
control_help(const char *name)
{
	if (name != NULL)
		return find(name) != NULL ? control_help_for(name)
					  : no_command(name);
	puts("usage: postern COMMAND [OPTIONS] [WORDS]\n");
	for (size_t i = 0; i < NELEM(commands); i++)
		printf("  %-12s%s\n", commands[i].name, commands[i].summary);
	puts("\npostern help COMMAND, or postern COMMAND --help: how it is "
	     "called; postern(1): all of it");
	return EXIT_ALL_WELL;
}

int
control_unknown(const char *name)
{
	if (name != NULL)
		return no_command(name);
	fputs("postern: which command? postern help names all\n", stderr);
	return EXIT_USAGE;
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
	control_describe(each, arg);
	(void)c->run(1, argv);
	/* What works on the spool itself has a table of its own. */
	if (strcmp(c->name, "queue") == 0)
		(void)c->run(2, argv);
	control_describe(NULL, NULL);
}

/* The values of "--tls none|may": of lower case, so no "HOST|unix:PATH". */
static void
offer_values(const struct command *c, const char *option, const char *begun)
{
	const char *at = c->usage, *end;
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
	const char *at = c->usage, *before = "";
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
control_complete(int argc, char **argv)
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
