/* SPDX-License-Identifier: ISC */
/*
 * The TLS server of the listeners: octets in, octets out.  The private key
 * is the signer's; what is here is the certificate.  The intake's one doorway to
 * OpenSSL.
 */
#ifndef POSTERN_MASTER_INTAKE_TLS_TLS_SERVER_H
#define POSTERN_MASTER_INTAKE_TLS_TLS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "master/intake/tls/remote_key.h"

struct tls_server; /* a certificate, and what is offered with it */
struct tls_server_stream; /* a client's */

/* Once, before the process is confined; does a handshake of its own, so that
 * nothing is loaded later.  0 or -1. */
int tls_server_preload(remote_key_sign_fn sign, void *ctx);

/*
 * tls_server_new - offer the certificate of a PEM text, with its chain.
 *
 * key is the signer's number of its key.  TLS 1.3 is spoken, and TLS 1.2 where
 * that is said.  NULL, with *why a static string.
 */
struct tls_server *tls_server_new(const char *pem, size_t n, uint32_t key,
    bool tls_1_2, const char **why);

/* Streams that are open keep what they need. */
void tls_server_free(struct tls_server *server);

/* NULL without memory. */
struct tls_server_stream *tls_server_stream_new(struct tls_server *server);
void tls_server_stream_free(struct tls_server_stream *stream);

/*
 * tls_server_stream_feed - octets that came from the client.
 *
 * 0; or -1: it broke TLS, and what tls_server_stream_output() still holds (an alert) is
 * the last of it.  tls_server_stream_error() says why.
 */
int tls_server_stream_feed(struct tls_server_stream *stream, const uint8_t *in,
    size_t n);

/* At most size octets that the client said; 0: none yet, or *over: no more. */
size_t tls_server_stream_read(struct tls_server_stream *stream, uint8_t *out,
    size_t size, bool *over);

/* Says n octets to the client, once the handshake is done.  0 or -1. */
int tls_server_stream_write(struct tls_server_stream *stream, const uint8_t *in,
    size_t n);

/* Says that no more follows. */
void tls_server_stream_close(struct tls_server_stream *stream);

/* What is to be sent to the client, and that n octets of it were. */
const uint8_t *tls_server_stream_output(struct tls_server_stream *stream,
    size_t *n);
void tls_server_stream_sent(struct tls_server_stream *stream, size_t n);

bool tls_server_stream_is_up(const struct tls_server_stream *stream);

/* "TLSv1.3", "TLS_AES_256_GCM_SHA384". */
const char *tls_server_stream_version(const struct tls_server_stream *stream);
const char *tls_server_stream_cipher(const struct tls_server_stream *stream);
const char *tls_server_stream_error(const struct tls_server_stream *stream);

#endif
