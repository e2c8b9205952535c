/* SPDX-License-Identifier: ISC */
/*
 * XFORWARD: whom an MTA in front of us got a message from, in its own words
 * (Postfix's XFORWARD_README).  Pure.
 */
#ifndef POSTERN_MASTER_INTAKE_SMTPD_SMTPD_XFORWARD_H
#define POSTERN_MASTER_INTAKE_SMTPD_SMTPD_XFORWARD_H

#include <stdbool.h>
#include <stddef.h>

#include "master/intake/smtpd/smtpd_command.h"

#define SMTPD_XFORWARD_SIZE 256 /* of a value, and NUL */

/* As EHLO names them. */
#define SMTPD_XFORWARD_WORDS "NAME ADDR PORT PROTO HELO IDENT SOURCE"

enum smtpd_attribute {
	SMTPD_NAME,
	SMTPD_ADDR, /* IPv6 with "IPV6:" before it */
	SMTPD_PORT,
	SMTPD_PROTO,
	SMTPD_HELO,
	SMTPD_IDENT,
	SMTPD_SOURCE,
	SMTPD_ATTRIBUTES,
};

/* Zeroed, nothing was told.  What is not known is empty. */
struct smtpd_xforward {
	bool told;
	char values[SMTPD_ATTRIBUTES][SMTPD_XFORWARD_SIZE];
};

/* smtpd_xforward_read - the attributes of one command, added to what is there
 * already.  False with *wrong filled. */
bool smtpd_xforward_read(struct smtpd_xforward *x, const char *in, size_t n,
    struct smtpd_reply *wrong);

/* Appends what a job can pass on to the parameters of MAIL; what is not such as
 * it should be is left out. */
void smtpd_xforward_add(const struct smtpd_xforward *x,
    char parameters[PARAMETERS_MAIL_SIZE]);

#endif
