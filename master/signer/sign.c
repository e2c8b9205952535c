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
};

/* With the octet 0 that stands behind it. */
static const char form_context[] = "TLS 1.3, server CertificateVerify";

bool
sign_form_ok(const uint8_t *in, size_t n)
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

/* The kinds of keys that TLS 1.3 and we have. */
static bool
is_of_use(const EVP_PKEY *key)
{
	return EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "EC") ||
	    EVP_PKEY_is_a(key, "ED25519");
}

size_t
sign_make(EVP_PKEY *key, unsigned hash_bits, const uint8_t *in, size_t n,
    uint8_t *out, size_t size)
{
	const EVP_MD *hash = hash_of(hash_bits);
	EVP_MD_CTX *ctx = NULL;
	EVP_PKEY_CTX *how = NULL; /* the ctx's */
	size_t len = size;
	bool ok = false;

	if (!sign_form_ok(in, n) ||
	    (hash == NULL) != (EVP_PKEY_is_a(key, "ED25519") == 1))
		return 0;
	ctx = EVP_MD_CTX_new();
	if (ctx != NULL && EVP_DigestSignInit(ctx, &how, hash, NULL, key) == 1)
		ok = EVP_PKEY_is_a(key, "RSA") != 1 ||
		    (EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) ==
			    1 &&
			EVP_PKEY_CTX_set_rsa_pss_saltlen(how,
			    RSA_PSS_SALTLEN_DIGEST) == 1);
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
