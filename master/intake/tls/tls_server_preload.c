/* SPDX-License-Identifier: ISC */
/*
 * What OpenSSL would do at the first client, it does before the intake is confined:
 * a whole handshake in memory, with a key and a certificate of its own.
 */
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "master/intake/tls/tls_server.h"

static EVP_PKEY *warm_key;

/* The warm-up's own key is here; all others are the signer's. */
static size_t
sign_warm(void *ctx, const struct remote_key_how *how, const uint8_t *in,
    size_t n, uint8_t *out, size_t size)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	size_t len = size;
	int ok;

	(void)ctx;
	(void)how;
	ok = md != NULL &&
	    EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, warm_key) == 1 &&
	    EVP_DigestSign(md, out, &len, in, n) == 1;
	EVP_MD_CTX_free(md);
	return ok ? len : 0;
}

static X509 *
warm_certificate(EVP_PKEY *key)
{
	X509 *cert = X509_new();

	if (cert == NULL || X509_set_version(cert, X509_VERSION_3) != 1 ||
	    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) != 1 ||
	    X509_gmtime_adj(X509_getm_notBefore(cert), -86400) == NULL ||
	    X509_gmtime_adj(X509_getm_notAfter(cert), 86400) == NULL ||
	    X509_set_pubkey(cert, key) != 1 ||
	    X509_sign(cert, key, EVP_sha256()) == 0) {
		X509_free(cert);
		return NULL;
	}
	return cert;
}

/* Carries what one side wrote to the other, until both have shaken hands. */
static bool
shake_hands(struct tls_server_stream *s, SSL *client, BIO *to_client,
    BIO *from_client)
{
	uint8_t octets[16384];
	const uint8_t *out;
	bool over;
	size_t n;
	int turn;

	for (turn = 0; turn < 8; turn++) {
		(void)SSL_do_handshake(client);
		while (
		    BIO_read_ex(from_client, octets, sizeof(octets), &n) == 1)
			if (tls_server_stream_feed(s, octets, n) == -1)
				return false;
		out = tls_server_stream_output(s, &n);
		if (n > 0 && BIO_write_ex(to_client, out, n, &n) != 1)
			return false;
		tls_server_stream_sent(s, n);
		if (SSL_is_init_finished(client) && tls_server_stream_is_up(s))
			break;
	}
	if (!tls_server_stream_is_up(s) ||
	    tls_server_stream_write(s, (const uint8_t *)"x", 1) == -1)
		return false;
	(void)tls_server_stream_read(s, octets, sizeof(octets), &over);
	return true;
}

static bool
warm_up_with(struct tls_server *server, int version)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *client = ctx != NULL ? SSL_new(ctx) : NULL;
	struct tls_server_stream *s = tls_server_stream_new(server);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	bool ok = false;

	if (client != NULL && SSL_set_max_proto_version(client, version) == 1 &&
	    s != NULL && in != NULL && out != NULL) {
		(void)BIO_up_ref(in);
		(void)BIO_up_ref(out);
		SSL_set_bio(client, in, out);
		SSL_set_connect_state(client);
		ok = shake_hands(s, client, in, out);
	}
	BIO_free(in);
	BIO_free(out);
	tls_server_stream_free(s);
	SSL_free(client);
	SSL_CTX_free(ctx);
	ERR_clear_error();
	return ok;
}

static char *
warm_pem(size_t *n)
{
	X509 *cert = warm_certificate(warm_key);
	BIO *bio = BIO_new(BIO_s_mem());
	char *octets = NULL, *copy = NULL;
	long len = 0;

	if (cert != NULL && bio != NULL && PEM_write_bio_X509(bio, cert) == 1)
		len = BIO_get_mem_data(bio, &octets);
	if (len > 0)
		copy = malloc((size_t)len);
	if (copy != NULL)
		memcpy(copy, octets, (size_t)len);
	*n = (size_t)len;
	BIO_free(bio);
	X509_free(cert);
	return copy;
}

int
tls_server_preload(remote_key_sign_fn sign, void *ctx)
{
	struct tls_server *server = NULL;
	const char *why;
	char *pem = NULL;
	bool ok = false;
	size_t n = 0;

	if (OPENSSL_init_ssl(OPENSSL_INIT_LOAD_SSL_STRINGS |
		    OPENSSL_INIT_LOAD_CRYPTO_STRINGS,
		NULL) != 1 ||
	    remote_key_init(sign_warm, NULL) == -1)
		return -1;
	warm_key = EVP_EC_gen("P-256");
	if (warm_key != NULL)
		pem = warm_pem(&n);
	if (pem != NULL)
		server = tls_server_new(pem, n, 0, true, &why);
	if (server != NULL)
		ok = warm_up_with(server, TLS1_3_VERSION) &&
		    warm_up_with(server, TLS1_2_VERSION);
	tls_server_free(server);
	free(pem);
	EVP_PKEY_free(warm_key);
	warm_key = NULL;
	remote_key_ask(sign, ctx);
	return ok ? 0 : -1;
}
