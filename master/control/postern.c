/* SPDX-License-Identifier: ISC */
/* postern: finds the subcommand. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/util.h"
#include "common/version.h"
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

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *usage;
} commands[] = {
	{ "send", control_send,
	    "postern send [-c FILE] [--socket PATH] [--via TRANSPORT] "
	    "[--wait queued|attempt|final] [--ref TEXT] [--binary] [--json] " ENVELOPE
	    "--from ADDRESS RECIPIENT... < message" },
	{ "sendmail", control_sendmail,
	    "postern sendmail [-i] [-t] [-v] [-f SENDER] [-F NAME] [-N NOTIFY] "
	    "[-R full|hdrs] [-V ENVID] [-C FILE] [RECIPIENT...] < message\n"
	    "       postern sendmail -bp | -q[R|I WHAT]" },
	{ "queue", control_queue,
	    "postern queue [-c FILE] [--socket PATH] [--json] [--dry-run] "
	    "[--yes] [--progress] [--to TRANSPORT] " SELECTION
	    "list | show | cat | hold | release | retry | delete | expire | "
	    "move [ID...]\n"
	    "       postern queue [-c FILE | --spool DIRECTORY] check | "
	    "export FILE | import FILE" },
	{ "flush", control_flush,
	    "postern flush [-c FILE] [--socket PATH] [--json] [--dry-run] "
	    "[--progress] [--destination NAME]" },
	{ "pause", control_pause,
	    "postern pause [-c FILE] [--socket PATH] [--json] --all | "
	    "--transport NAME | --destination NAME" },
	{ "resume", control_resume,
	    "postern resume [-c FILE] [--socket PATH] [--json] --all | "
	    "--transport NAME | --destination NAME" },
	{ "explain", control_explain,
	    "postern explain [-c FILE] [--socket PATH] [--json] "
	    "[--sender ADDRESS] [--via TRANSPORT] RECIPIENT" },
	{ "tail", control_tail,
	    "postern tail [-c FILE] [--socket PATH] [--sender PATTERN] "
	    "[--recipient PATTERN] [--destination PATTERN] [--id ID] "
	    "[--status WORD]" },
	{ "top", control_top,
	    "postern top [-c FILE] [--socket PATH] [--once] [--json] "
	    "[--limit ROWS] [--interval TIME]" },
	{ "status", control_status,
	    "postern status [-c FILE] [--socket PATH] [--json]" },
	{ "reload", control_reload, "postern reload [-c FILE]" },
	{ "upgrade", control_upgrade, "postern upgrade [-c FILE]" },
	{ "doctor", control_doctor,
	    "postern doctor [-c FILE] [--domain DOMAIN] [--quiet] [--json]" },
	{ "deliver", control_deliver,
	    "postern deliver [--lmtp] [--server HOST[:PORT]|unix:PATH] "
	    "[--tls none|may|encrypt|verify] [--implicit-tls] [--ca FILE] "
	    "[--tls-name NAME] [--timeout SECONDS] [--step-timeout SECONDS] "
	    "[--ehlo NAME] [--user USER] [--password-file FILE | "
	    "--token-file FILE] [--auth MECHANISM] [--without KEYWORD,...] "
	    "[--transcript FILE] [--binary] [--json] [--verbose] " ENVELOPE
	    "--from ADDRESS RECIPIENT... < message" },
	{ "verify", control_verify,
	    "postern verify [options of deliver] RECIPIENT..." },
	{ "transcript", control_transcript,
	    "postern transcript [-c FILE] [--socket PATH] [--json] "
	    "[--last | ID]" },
	{ "replay", control_replay,
	    "postern replay [-c FILE] [--socket PATH] [--fast] [--verbose] "
	    "[--listen ADDRESS:PORT] --last | FILE | ID" },
};

int
control_usage(const char *name)
{
	size_t i;

	for (i = 0; i < NELEM(commands); i++) {
		if (name == NULL || strcmp(name, commands[i].name) == 0)
			fprintf(stderr, "usage: %s\n", commands[i].usage);
	}
	return EXIT_USAGE;
}

/* As a program that looks for sendmail has found us. */
static bool
is_sendmail(const char *path)
{
	const char *name = strrchr(path, '/');

	name = name != NULL ? name + 1 : path;
	return strcmp(name, "sendmail") == 0 || strcmp(name, "mailq") == 0 ||
	    strcmp(name, "newaliases") == 0;
}

int
main(int argc, char **argv)
{
	size_t i;

	if (fd_open_standard() == -1)
		return EXIT_DEFERRED; /* and nowhere to say it */
	if (argc > 0 && is_sendmail(argv[0]))
		return control_sendmail(argc, argv);
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		puts("postern " POSTERN_VERSION);
		return EXIT_ALL_WELL;
	}
	for (i = 0; argc > 1 && i < NELEM(commands); i++) {
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	}
	if (argc > 1)
		fprintf(stderr, "postern: there is no such command\n");
	return control_usage(NULL);
}
