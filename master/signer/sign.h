/* SPDX-License-Identifier: ISC */
/*
 * What the signer signs, and how.  Nothing but the proof of a TLS server that the
 * key of its certificate is its own: CertificateVerify of TLS 1.3 (RFC 8446, 4.4.3),
 * and the parameters of ServerKeyExchange of TLS 1.2 (RFC 8422, 5.4), where that is
 * allowed.  A program that takes the asker over can be that server while it lives,
 * and forge nothing else.
 */
#ifndef POSTERN_MASTER_SIGNER_SIGN_H
#define POSTERN_MASTER_SIGNER_SIGN_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIGN_INPUT_MAX  201  /* octets: the longest form, with P-521 */
#define SIGN_OUTPUT_MAX 1024 /* a signature of RSA with 8192 bits */

enum sign_form {
	SIGN_FORM_NONE,    /* nothing that is signed here */
	SIGN_FORM_TLS_1_3, /* CertificateVerify of a server */
	SIGN_FORM_TLS_1_2, /* ServerKeyExchange of one that offers TLS 1.3 too */
};

/* Which form it has.  Pure. */
enum sign_form sign_form(const uint8_t *in, size_t n);

/* How it is to be signed. */
struct sign_how {
	unsigned hash_bits; /* 256, 384 or 512, or 0 for Ed25519 */
	bool pkcs1;   /* by RSA, in TLS 1.2 alone: PKCS #1 v1.5, not PSS */
	bool tls_1_2; /* the key may sign for TLS 1.2 */
};

/*
 * sign_make - sign what has one of the forms.
 *
 * RSA signs by PSS with a salt as long as the hash, the one way of TLS 1.3 (RFC
 * 8446, 4.2.3), or by PKCS #1 v1.5, which many a client of TLS 1.2 knows alone.
 * Returns the octets of the signature in out, or 0.
 */
size_t sign_make(EVP_PKEY *key, const struct sign_how *how, const uint8_t *in,
    size_t n, uint8_t *out, size_t size);

/*
 * sign_read_pair - the key of a PEM text, whose certificate stands in it too.
 *
 * The caller's to EVP_PKEY_free(); NULL with *why a static string: there is no
 * key or no certificate, they do not belong together, or nothing is signed with
 * that kind of key.
 */
EVP_PKEY *sign_read_pair(const char *pem, size_t n, const char **why);

#endif
