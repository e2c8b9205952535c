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

#endif
