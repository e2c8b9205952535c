/* SPDX-License-Identifier: ISC */
/* Handshakes in memory, for tls.c alone. */
#ifndef POSTERN_AGENT_TLS_PRELOAD_H
#define POSTERN_AGENT_TLS_PRELOAD_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

/*
 * Shake hands with a server of our own over TLS 1.3 with an EC key and over
 * 1.2 with an RSA key, pass octets both ways, verify and fail to verify.
 * 0 or -1.
 */
int tls_preload_handshakes(SSL_CTX *client_ctx);

/* RFC 9266, 2: its 32 octets; 0 where it cannot be had. */
size_t tls_preload_export_binding(SSL *ssl, uint8_t *out, size_t size);

#endif
