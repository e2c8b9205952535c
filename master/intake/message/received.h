/* SPDX-License-Identifier: ISC */
/* The field Received that a message gets here (RFC 5321, 4.4).  Pure. */
#ifndef POSTERN_MASTER_INTAKE_MESSAGE_RECEIVED_H
#define POSTERN_MASTER_INTAKE_MESSAGE_RECEIVED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECEIVED_SIZE 3072

/* What is to be said; the strings hold neither parentheses nor controls. */
struct received {
	const char *helo;      /* as the client calls itself */
	const char *client;    /* "[192.0.2.1]", "[IPv6:::1]" or "uid 33" */
	const char *forwarded; /* by XFORWARD: from whom it has it; or NULL */
	const char *hostname;  /* ours */
	const char *id;
	const char *recipient; /* NULL: there are several */
	bool lmtp;
	bool extended; /* EHLO, not HELO */
	bool tls;
	bool smtputf8;
	int64_t when_s; /* CLOCK_REALTIME */
};

/* Writes it, with its line end, to out of RECEIVED_SIZE.  Its octets. */
size_t received_write(const struct received *r, char out[RECEIVED_SIZE]);

#endif
