/* SPDX-License-Identifier: ISC */
/* How the subcommands of postern are called (commands.def). */
#ifndef POSTERN_MASTER_CONTROL_CLIENT_USAGE_H
#define POSTERN_MASTER_CONTROL_CLIENT_USAGE_H

struct usage {
	const char *name;
	const char *summary;
	const char *text;
};

/* That of a subcommand, or NULL. */
const struct usage *usage_of(const char *name);

/*
 * usage_print - say how a subcommand is called.
 *
 * On stderr, and EXIT_USAGE; or on stdout, and EXIT_ALL_WELL, where options_read()
 * was asked for help.
 */
int usage_print(const char *name);

/* Help for a subcommand, or the list of all where name is NULL; and what is said
 * where there is no such subcommand, or none is named. */
int usage_help(const char *name);
int usage_unknown(const char *name);

#endif
