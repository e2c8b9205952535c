/* SPDX-License-Identifier: ISC */
/*
 * The options of the sendmail command, from words to what they ask for: those that
 * mean something here, and those that are taken and mean nothing.
 */
#ifndef POSTERN_MASTER_CONTROL_SENDMAIL_SENDMAIL_OPTIONS_H
#define POSTERN_MASTER_CONTROL_SENDMAIL_SENDMAIL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "master/control/client/envelope_options.h"

#define SENDMAIL_WHY_SIZE 256

enum sendmail_mode {
	SENDMAIL_SEND,
	SENDMAIL_MAILQ,
	SENDMAIL_NEWALIASES,
	SENDMAIL_FLUSH,
};

/* The strings are those of argv. */
struct sendmail_options {
	enum sendmail_mode mode;
	const char *config_name; /* the installed one, where none is named */
	const char *sender;      /* NULL: whoever calls */
	const char *full_name;   /* or NULL */
	const char *queue_run;   /* what follows -q; "" for nothing */
	struct envelope_options envelope;
	bool dots;       /* a "." alone on a line does not end the message */
	bool of_message; /* recipients are in the message, too */
	bool verbose;    /* print the queue ids */
};

/*
 * sendmail_options_read - read argv, as getopt() does: options may follow
 * recipients, until "--".
 *
 * The name that it was called by, argv[0], may be that of mailq or newaliases.
 * Returns the index of the first recipient, to which argv is reordered; -1 and one
 * sentence in why, without a full stop, where an option is none or has a value that
 * it cannot have.  Writes nothing else.
 */
int sendmail_options_read(struct sendmail_options *o, int argc, char **argv,
    char why[static SENDMAIL_WHY_SIZE]);

#endif
