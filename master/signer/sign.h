/* SPDX-License-Identifier: ISC */
/*
 * What the signer signs, and how.  Nothing but the proof of a TLS 1.3 server that
 * the key of its certificate is its own (CertificateVerify; RFC 8446, 4.4.3): who
 * takes the asker over can be that server while it lives, and forge nothing else.
 */
#ifndef POSTERN_MASTER_SIGNER_SIGN_H
#define POSTERN_MASTER_SIGNER_SIGN_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIGN_INPUT_MAX  146  /* octets: the form, with the longest hash */
#define SIGN_OUTPUT_MAX 1024 /* a signature of RSA with 8192 bits */

/* Whether it has that form.  Pure. */
bool sign_form_ok(const uint8_t *in, size_t n);

/*
 * sign_make - sign what has that form.
 *
 * hash_bits is 256, 384 or 512, or 0 for Ed25519; RSA signs by PSS with a salt as
 * long as the hash, as TLS 1.3 has it (RFC 8446, 4.2.3).  Returns the octets of the
 * signature in out, or 0.
 */
size_t sign_make(EVP_PKEY *key, unsigned hash_bits, const uint8_t *in, size_t n,
    uint8_t *out, size_t size);

/*
 * sign_read_pair - the key of a PEM text, whose certificate stands in it too.
 *
 * The caller's to EVP_PKEY_free(); NULL with *why a static string: there is no
 * key or no certificate, they do not belong together, or nothing is signed with
 * that kind of key.
 */
EVP_PKEY *sign_read_pair(const char *pem, size_t n, const char **why);

#endif
