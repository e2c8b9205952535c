/* SPDX-License-Identifier: ISC */
/* How the subcommands of postern are called (commands.def). */
#ifndef MASTER_CONTROL_USAGE_H
#define MASTER_CONTROL_USAGE_H

struct usage {
	const char *name;
	const char *summary;
	const char *text;
};

/* That of a subcommand, or NULL. */
const struct usage *usage_of(const char *name);

#endif
