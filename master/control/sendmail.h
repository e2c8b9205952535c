/* SPDX-License-Identifier: ISC */
/*
 * What the files of the sendmail command share: what it was asked, and the message
 * that it makes of its standard input.
 */
#ifndef POSTERN_MASTER_CONTROL_SENDMAIL_H
#define POSTERN_MASTER_CONTROL_SENDMAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include "master/control/mailbox.h"

#define EXIT_DATA_ERROR 65 /* EX_DATAERR of sysexits.h */

/* Recipients, as the words that they were; each is owned. */
struct sendmail_list {
	char **words;
	size_t n;
	size_t size;
};

struct sendmail {
	char sender[MAILBOX_SIZE]; /* "" is the null one */
	char login[64];            /* of the user who called us */
	char origin[256];          /* the domain of a word without one */
	const char *full_name; /* for From, where it is missing; may be "" */
	bool dots; /* a "." alone on a line does not end the message (-i) */
	bool of_message; /* recipients stand in the message too (-t) */
	struct sendmail_list rcpts;
};

/*
 * sendmail_add - add the addresses of an address list to the recipients.
 *
 * what names it in a complaint.  0, or the exit status after a word on stderr.
 */
int sendmail_add(struct sendmail *s, const char *what, const char *text,
    size_t n);

/* One address, its domain put behind it where it has none.  0, or -1: it has not
 * the form of one, or does not fit. */
int sendmail_qualify(const struct sendmail *s, char address[MAILBOX_SIZE]);

/*
 * sendmail_message - the message on standard input, as it is to be sent.
 *
 * Date, From and Message-ID are added where they are missing, a Received on top;
 * Bcc, Return-Path and Content-Length are left out.  Where of_message is set, the
 * recipients in it are added.  0, and a memfd that is the caller's to close in
 * *fdp, or the exit status after a word on stderr.
 */
int sendmail_message(struct sendmail *s, int *fdp);

/* The same of octets in memory, to out, whose errors are the caller's to see. */
int sendmail_write(struct sendmail *s, time_t now, const char *in, size_t n,
    FILE *out);

/* mailq: prints what is queued; the exit status. */
int sendmail_mailq(const char *config_name);

#endif
