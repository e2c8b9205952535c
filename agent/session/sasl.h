/* SPDX-License-Identifier: ISC */
/*
 * SASL, and the one doorway to libgsasl.  The agent warms it up; a worker is
 * the client of one login at a time.  Challenges and responses are in base64,
 * as AUTH has them on the wire (RFC 4954, 4).
 */
#ifndef POSTERN_AGENT_SESSION_SASL_H
#define POSTERN_AGENT_SESSION_SASL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/auth.h"

#define SASL_RESPONSE_SIZE 12288 /* what a line of AUTH can bear, and NUL */

/*
 * What a server may ask SCRAM to compute.  Fewer iterations would let it, or
 * who sits between us, search for the password (RFC 5802, 5.1, and 9); more
 * than that take a second, in which no timer would fire.
 */
#define SASL_ITERATIONS_LEAST 4096
#define SASL_ITERATIONS_MOST  1000000

/* What proves that both ends see the same TLS (RFC 5929, RFC 9266). */
struct sasl_binding {
	bool exporter; /* tls-exporter; else tls-unique */
	uint8_t len;   /* 0: there is none */
	uint8_t octets[64];
};

/* All strings are borrowed for the call. */
struct sasl_login {
	const char *user;
	const char *authzid; /* empty: the user's own */
	const char *secret;  /* password or token */
	const char *host;    /* whom we speak with */
	const struct sasl_binding *binding;
};

/*
 * sasl_warm_up - do once what the library does lazily: its list of mechanisms,
 * and a login with each.  0 or -1.
 */
int sasl_warm_up(void);

/* Whether the library has it, or we have. */
bool sasl_has(enum auth_mechanism mechanism);

/*
 * sasl_client_start - begin a login.  0, or -1: sasl_client_error() says why.
 *
 * Nonces are the kernel's, drawn at each step that needs one: two workers
 * never have the same.
 */
int sasl_client_start(enum auth_mechanism mechanism,
    const struct sasl_login *login);

/*
 * sasl_client_step - what to answer to n octets of a challenge.
 *
 * The first step of a mechanism in which the client speaks first is given an
 * empty challenge, and may go with AUTH.  response, of SASL_RESPONSE_SIZE, gets
 * base64 and NUL, perhaps empty.  -1: the challenge makes no sense, or the
 * server is not who it says; break off.
 */
int sasl_client_step(const uint8_t *challenge, size_t n, char *response);

/* Nothing is missing any more: our part was said, and where the mechanism has
 * the server prove itself, it did. */
bool sasl_client_is_done(void);

const char *sasl_client_error(void);

/* Whether a server that we logged in with by it does not learn the secret. */
bool sasl_keeps_secret(enum auth_mechanism mechanism);

/* Wipes what it can reach.  Safe where none was started. */
void sasl_client_stop(void);

/* Pure parts. */

/*
 * sasl_text_iterations - the count in SCRAM's server-first-message (RFC 5802, 7).
 *
 * -1 where there is none, or not one number between 1 and INT32_MAX.
 */
int32_t sasl_text_iterations(const char *message, size_t n);

/*
 * sasl_text_write_bearer - the client's response of OAUTHBEARER (RFC 7628, 3.1) or
 * XOAUTH2, before base64.
 *
 * Returns its length, or 0 where it does not fit, or an octet would be syntax.
 */
size_t sasl_text_write_bearer(enum auth_mechanism mechanism,
    const struct sasl_login *login, char *out, size_t size);

#endif
