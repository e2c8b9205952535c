/* SPDX-License-Identifier: ISC */
/*
 * What the files of the sendmail command share: what it was asked, and the message
 * that it makes of its standard input.
 */
#ifndef POSTERN_MASTER_CONTROL_SENDMAIL_SENDMAIL_H
#define POSTERN_MASTER_CONTROL_SENDMAIL_SENDMAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include "master/control/sendmail/header_field.h"
#include "master/control/sendmail/mailbox.h"

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
	size_t job_limit;          /* recipients that one job may have */
	const char *full_name; /* for From, where it is missing; may be "" */
	bool dots; /* a "." alone on a line does not end the message (-i) */
	bool of_message; /* recipients are in the message too (-t) */
	struct sendmail_list rcpts;
};

/*
 * sendmail_recipients_add - add the addresses of an address list to the recipients.
 *
 * what names it in a complaint.  0, or the exit status after a word on stderr.
 */
int sendmail_recipients_add(struct sendmail *s, const char *what,
    const char *text, size_t n);

/* Drops the recipients that came before, in their order; the domain in any letter
 * case.  0, or the exit status after a word on stderr. */
int sendmail_recipients_drop_duplicates(struct sendmail *s);

/* Whether an address of mailbox_next() is a local part alone. */
bool sendmail_recipients_lack_domain(const char *address);

/* One address, its domain added where it has none.  0, or -1: it has not the form
 * of one, or does not fit. */
int sendmail_recipients_qualify(const struct sendmail *s,
    char address[MAILBOX_SIZE]);

/*
 * sendmail_message - the message on standard input, as it is to be sent.
 *
 * Date, From and Message-ID are added where they are missing, a Received on top;
 * Bcc, Return-Path and Content-Length are left out, addresses without a domain get
 * theirs.  Where of_message is set, the recipients in it are added.  0, and a memfd
 * that is the caller's to close in *fdp, or the exit status after a word on stderr.
 */
int sendmail_message(struct sendmail *s, int *fdp);

/*
 * sendmail_message_read - copy a message up to its end, which is that of the file, or a "."
 * alone on a line where that ends it (dots).
 *
 * Each line of out ends in LF and nothing else: what comes as CRLF, as LF after
 * several CR, or as CR alone is one line end each.  So no later reader finds other
 * lines than we do.  Errors are those of the streams.
 */
void sendmail_message_read(FILE *in, FILE *out, bool dots);

/* The message of such lines, to out, whose errors are the caller's to see. */
int sendmail_message_write(struct sendmail *s, time_t now, const char *in,
    size_t n, FILE *out);

/* Fields of a header; struct seen says which of ours it has, of two kinds where the
 * message was sent again (RFC 5322, 3.6.6). */
struct sendmail_seen {
	bool resent;
	bool from[2];
	bool date[2];
	bool message_id[2];
};

void sendmail_fields_received(const struct sendmail *s, time_t now, FILE *out);
void sendmail_fields_add_missing(const struct sendmail *s,
    const struct sendmail_seen *seen, time_t now, FILE *out);

/* One field as it came, but that addresses without a domain get theirs, and lines
 * over 998 octets are folded where they have white space, or end an address.  0, or
 * -1 with errno. */
int sendmail_fields_copy(const struct sendmail *s,
    const struct header_field *field, FILE *out);

/* mailq: prints what is queued; the exit status. */
int cmd_mailq(const char *config_name);

#endif
