/* SPDX-License-Identifier: ISC */
/* See sign.h; the signer's one doorway to OpenSSL. */
#include "master/signer/sign.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

enum {
	FORM_SPACES = 64,
	RANDOM_SIZE = 32, /* of each side */
	NAMED_CURVE = 3,  /* RFC 8422, 5.4 */
	UNCOMPRESSED = 4, /* of a point; RFC 8422, 5.4.1 */
};

/* With the octet 0 that stands behind it. */
static const char form_context[] = "TLS 1.3, server CertificateVerify";

/* What RFC 8446, 4.1.3, has a server that offers TLS 1.3 too put at the end of its
 * random in TLS 1.2: a client of TLS 1.3 sees by it that somebody led it astray. */
static const uint8_t downgrade_mark[] = { 'D', 'O', 'W', 'N', 'G', 'R', 'D',
	1 };

static bool
is_tls_1_3(const uint8_t *in, size_t n)
{
	size_t i, hash;

	if (n < FORM_SPACES + sizeof(form_context))
		return false;
	hash = n - FORM_SPACES - sizeof(form_context);
	if (hash != 32 && hash != 48) /* SHA-256 and SHA-384 (B.4) */
		return false;
	for (i = 0; i < FORM_SPACES; i++)
		if (in[i] != ' ')
			return false;
	return memcmp(in + FORM_SPACES, form_context, sizeof(form_context)) ==
	    0;
}

/* The curves and how long a public key of theirs is; RFC 8422, 5.1.1, RFC 7748. */
static size_t
point_size(unsigned curve)
{
	switch (curve) {
	case 23: /* P-256 */
		return 65;
	case 24: /* P-384 */
		return 97;
	case 25: /* P-521 */
		return 133;
	case 29: /* X25519 */
		return 32;
	case 30: /* X448 */
		return 56;
	default:
		return 0;
	}
}

/* Both randoms, and a public key of a curve. */
static bool
is_tls_1_2(const uint8_t *in, size_t n)
{
	const uint8_t *params = in + 2 * RANDOM_SIZE;
	unsigned curve;

	if (n < 2 * RANDOM_SIZE + 5 ||
	    memcmp(params - sizeof(downgrade_mark), downgrade_mark,
		sizeof(downgrade_mark)) != 0 ||
	    params[0] != NAMED_CURVE)
		return false;
	curve = (unsigned)params[1] << 8 | params[2];
	if (point_size(curve) == 0 || params[3] != point_size(curve) ||
	    n != 2 * RANDOM_SIZE + 4 + point_size(curve))
		return false;
	return curve > 25 || params[4] == UNCOMPRESSED;
}

enum sign_form
sign_form(const uint8_t *in, size_t n)
{
	if (is_tls_1_3(in, n))
		return SIGN_FORM_TLS_1_3;
	return is_tls_1_2(in, n) ? SIGN_FORM_TLS_1_2 : SIGN_FORM_NONE;
}

static const EVP_MD *
hash_of(unsigned bits)
{
	switch (bits) {
	case 256:
		return EVP_sha256();
	case 384:
		return EVP_sha384();
	case 512:
		return EVP_sha512();
	default:
		return NULL;
	}
}

/* The kinds of keys that TLS and we have. */
static bool
is_of_use(const EVP_PKEY *key)
{
	return EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "EC") ||
	    EVP_PKEY_is_a(key, "ED25519");
}

static bool
may_sign(const EVP_PKEY *key, const struct sign_how *how, const uint8_t *in,
    size_t n)
{
	enum sign_form form = sign_form(in, n);

	if ((hash_of(how->hash_bits) == NULL) !=
	    (EVP_PKEY_is_a(key, "ED25519") == 1))
		return false;
	if (form == SIGN_FORM_TLS_1_2)
		return how->tls_1_2;
	return form == SIGN_FORM_TLS_1_3 && !how->pkcs1;
}

static bool
set_padding(EVP_PKEY_CTX *ctx, bool pkcs1)
{
	if (pkcs1)
		return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) ==
		    1;
	return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
	    EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
}

size_t
sign_make(EVP_PKEY *key, const struct sign_how *how, const uint8_t *in,
    size_t n, uint8_t *out, size_t size)
{
	EVP_MD_CTX *ctx = NULL;
	EVP_PKEY_CTX *of_key = NULL; /* the ctx's */
	size_t len = size;
	bool ok = false;

	if (!may_sign(key, how, in, n))
		return 0;
	ctx = EVP_MD_CTX_new();
	if (ctx != NULL &&
	    EVP_DigestSignInit(ctx, &of_key, hash_of(how->hash_bits), NULL,
		key) == 1)
		ok = EVP_PKEY_is_a(key, "RSA") != 1 ||
		    set_padding(of_key, how->pkcs1);
	ok = ok && EVP_DigestSign(ctx, out, &len, in, n) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return ok ? len : 0;
}

/* Nobody is there to be asked for a passphrase. */
static int
no_passphrase(char *out, int size, int writes, void *arg)
{
	(void)out;
	(void)size;
	(void)writes;
	(void)arg;
	return -1;
}

static const char *
check_pair(const X509 *cert, const EVP_PKEY *key)
{
	if (cert == NULL)
		return "there is no certificate in PEM form";
	if (key == NULL)
		return "there is no key in PEM form, or it has a passphrase";
	if (!is_of_use(key))
		return "the key is neither RSA, EC nor Ed25519";
	if (X509_check_private_key(cert, key) != 1)
		return "the key is not that of the certificate";
	return NULL;
}

EVP_PKEY *
sign_read_pair(const char *pem, size_t n, const char **why)
{
	BIO *certs = BIO_new_mem_buf(pem, (int)n);
	BIO *keys = BIO_new_mem_buf(pem, (int)n);
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;

	*why = "no memory";
	if (certs != NULL && keys != NULL) {
		cert = PEM_read_bio_X509(certs, NULL, NULL, NULL);
		key = PEM_read_bio_PrivateKey(keys, NULL, no_passphrase, NULL);
		*why = check_pair(cert, key);
	}
	X509_free(cert);
	BIO_free(certs);
	BIO_free(keys);
	ERR_clear_error();
	if (*why == NULL)
		return key;
	EVP_PKEY_free(key);
	return NULL;
}
