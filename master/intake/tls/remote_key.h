/* SPDX-License-Identifier: ISC */
/*
 * Private keys that are somewhere else: an OpenSSL provider whose keys know their
 * certificate's public half and a number, and whose signatures are asked for.
 */
#ifndef POSTERN_MASTER_INTAKE_TLS_REMOTE_KEY_H
#define POSTERN_MASTER_INTAKE_TLS_REMOTE_KEY_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How a signature is to be made. */
struct remote_key_how {
	uint32_t key;       /* its number */
	unsigned hash_bits; /* 0: the algorithm has its own */
	bool pkcs1;         /* the padding of RSA is PKCS #1 v1.5, else PSS */
};

/* Gets a signature of in.  Returns its octets in out, or 0 where there is none. */
typedef size_t (*remote_key_sign_fn)(void *ctx,
    const struct remote_key_how *how, const uint8_t *in, size_t n, uint8_t *out,
    size_t size);

/* Once, before the process is confined.  0, or -1 where OpenSSL refuses. */
int remote_key_init(remote_key_sign_fn sign, void *ctx);

/* Whom to ask from now on. */
void remote_key_ask(remote_key_sign_fn sign, void *ctx);

/* The private half of a certificate's key: RSA, EC or Ed25519.  The caller's to
 * free; NULL where it is of another kind. */
EVP_PKEY *remote_key_new(const EVP_PKEY *public_half, uint32_t key);

#endif
