/* SPDX-License-Identifier: ISC */
/*
 * What became of a recipient, or of a session before it had one, in the flat
 * form that crosses from worker to queue to intake.
 */
#ifndef POSTERN_COMMON_OUTCOME_H
#define POSTERN_COMMON_OUTCOME_H

#include <stdint.h>

enum outcome_status {
	OUTCOME_DELIVERED,
	OUTCOME_DEFERRED,
	OUTCOME_FAILED,
};

/* Where in its life the attempt was decided. */
enum outcome_step {
	STEP_QUEUE,   /* lifetime, routes, local policy */
	STEP_RESOLVE, /* MX, A, AAAA */
	STEP_CONNECT,
	STEP_GREETING,
	STEP_EHLO, /* EHLO, HELO, LHLO */
	STEP_STARTTLS,
	STEP_TLS,  /* the handshake, implicit TLS included */
	STEP_AUTH, /* the login */
	STEP_MAIL,
	STEP_RCPT,
	STEP_DATA,  /* the command */
	STEP_BODY,  /* the octets */
	STEP_FINAL, /* the reply to the end of data */
	STEP_RSET,
	STEP_VRFY,
	STEP_QUIT,
	STEP_COUNT,
};

/* What may still be done about a recipient in the same attempt. */
enum outcome_again {
	OUTCOME_AGAIN_NOT,
	OUTCOME_AGAIN_HERE,      /* not refused, but belongs into another
	                            transaction (RFC 5321, 4.5.3.1.10) */
	OUTCOME_AGAIN_ELSEWHERE, /* the next host may take it (RFC 5321, 5.1) */
	OUTCOME_AGAIN_ANEW, /* this one may, in another way: without TLS, or
	                       by DATA */
	OUTCOME_AGAIN_COUNT,
};

#define OUTCOME_DSN_SIZE 12 /* "5.123.123" and its NUL (RFC 3463, 2) */

struct outcome {
	uint8_t status;             /* enum outcome_status */
	uint8_t step;               /* enum outcome_step */
	uint8_t in_doubt;           /* 1: perhaps delivered all the same */
	uint8_t again;              /* enum outcome_again */
	uint16_t code;              /* of the reply; 0 where there was none */
	char dsn[OUTCOME_DSN_SIZE]; /* enhanced status code, always set */
	uint8_t offers;             /* OUTCOME_OFFERS_*, of the server */
	uint8_t broke_signature;    /* 1: it was converted, which voids one */
};

/* Who takes a message from us with that tells its sender the rest. */
#define OUTCOME_OFFERS_DSN       (1u << 0) /* RFC 3461 */
#define OUTCOME_OFFERS_DELIVERBY (1u << 1) /* RFC 2852 */

#define TLS_INFO_CIPHER_SIZE 48

/* What protected the session; all zero in clear. */
struct tls_info {
	uint8_t on;
	uint8_t verified; /* chain and name; else encrypted only */
	uint8_t resumed;
	uint8_t pad;
	char version[12]; /* "TLSv1.3" */
	char cipher[TLS_INFO_CIPHER_SIZE];
};

/* "delivered", "deferred", "failed"; "status?" for anything else. */
const char *outcome_status_name(unsigned status);

/* The same, or "deliverable" and "undeliverable" where it is what a server says
 * to VRFY. */
const char *outcome_word(const struct outcome *outcome);

/* "connect", "rcpt", ...; "step?" for anything else. */
const char *outcome_step_name(unsigned step);

#endif
