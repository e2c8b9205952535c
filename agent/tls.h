/* SPDX-License-Identifier: ISC */
/*
 * TLS, and the one doorway to OpenSSL on the confined side.  The agent warms
 * everything up and loads what is trusted; a worker, forked from it, is the
 * client of one connection at a time.
 */
#ifndef POSTERN_AGENT_TLS_H
#define POSTERN_AGENT_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/outcome.h"

#define TLS_TRUSTS_MAX     256 /* transports that name their own anchors */
#define TLS_TRUST_SIZE_MAX (8 * 1024 * 1024) /* octets of PEM */

/* The certificates that anchor trust, by the index of msg_trust. */
struct tls_trusts;

/* The agent's side. */

/*
 * tls_warm_up - do everything once that OpenSSL does lazily: providers, error
 * texts, and whole handshakes of TLS 1.3 and 1.2 in memory.  0, or -1 where
 * the library does not work at all.
 */
int tls_warm_up(void);

/* For the process's life. */
struct tls_trusts *tls_trusts_new(void);

/*
 * tls_trust_load - read PEM certificates from fd, which stays the caller's,
 * as the anchors of an index; they replace former ones.  Intermediate
 * certificates anchor trust too.  0, or -1 with *why set.
 */
int tls_trust_load(struct tls_trusts *trusts, uint32_t index, int fd,
    const char **why);

/* The worker's side: one client, whose state is in the module. */

enum tls_event {
	TLS_OK,
	TLS_WANT_READ,
	TLS_WANT_WRITE,
	TLS_CLOSED, /* by close_notify, or cut off without */
	TLS_ERROR,  /* tls_client_error() says what */
};

/*
 * tls_client_start - prepare a handshake over fd, a non-blocking socket.
 *
 * name, where it is a host name, goes out as SNI; it is what the certificate
 * must bear, as a name or, where it is an address, as an address.  It may be
 * empty.  With verify, a certificate that does not is the end of the
 * handshake; without, tls_info says whether it would have been.  0 or -1.
 */
int tls_client_start(const struct tls_trusts *trusts, uint32_t trust,
    const char *name, bool verify, int fd);

/*
 * tls_client_watch - have the remote's octets heard until the handshake is done.
 *
 * None where it closed (errno is 0), or the connection broke.  NULL: nobody.
 */
void tls_client_watch(void (*heard)(const uint8_t *octets, size_t n));

bool tls_client_is_started(void);
enum tls_event tls_client_handshake(void);
enum tls_event tls_client_read(uint8_t *out, size_t size, size_t *len);

/* Takes some of the octets; call again with the rest, not with others. */
enum tls_event tls_client_write(const uint8_t *in, size_t n, size_t *used);

/* Octets that read() of the socket will not show any more. */
bool tls_client_has_pending(void);

void tls_client_get_info(struct tls_info *info);

/*
 * tls_client_get_binding - what both ends of this TLS have in common, and nobody
 * else: tls-exporter (RFC 9266) of TLS 1.3, tls-unique (RFC 5929, 3) of 1.2.
 *
 * Returns its length, of at most size octets, or 0.
 */
size_t tls_client_get_binding(uint8_t *out, size_t size, bool *exporter);

/* Why the last call failed; holds until the next. */
const char *tls_client_error(void);

/* Sends close_notify if it can without waiting, and forgets the client. */
void tls_client_stop(void);

#endif
