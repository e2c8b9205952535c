/* SPDX-License-Identifier: ISC */
/*
 * What OpenSSL does lazily, it does here, in the agent: a worker has neither
 * files nor memory to do it, and would pay for it again each time.
 */
#include "agent/tls_preload.h"

#include <stdbool.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

static char warm_name[] = "warm-up.invalid";

static int
name_certificate(X509 *cert)
{
	X509_NAME *subject = X509_get_subject_name(cert);
	X509_EXTENSION *ext;
	int ret;

	if (X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
		(unsigned char *)warm_name, -1, -1, 0) != 1 ||
	    X509_set_issuer_name(cert, subject) != 1)
		return -1;
	ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name,
	    "DNS:warm-up.invalid");
	if (ext == NULL)
		return -1;
	ret = X509_add_ext(cert, ext, -1) == 1 ? 0 : -1;
	X509_EXTENSION_free(ext);
	return ret;
}

static X509 *
sign_certificate(EVP_PKEY *key)
{
	X509 *cert;

	cert = X509_new();
	if (cert == NULL || X509_set_version(cert, X509_VERSION_3) != 1 ||
	    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) != 1 ||
	    X509_gmtime_adj(X509_getm_notBefore(cert), -86400) == NULL ||
	    X509_gmtime_adj(X509_getm_notAfter(cert), 86400) == NULL ||
	    X509_set_pubkey(cert, key) != 1 || name_certificate(cert) == -1 ||
	    X509_sign(cert, key, EVP_sha256()) == 0) {
		X509_free(cert);
		return NULL;
	}
	return cert;
}

/* Carry what one side wrote to the other, as a network would. */
static int
shake_hands(SSL *one, SSL *other)
{
	int got, gave;

	for (int turn = 0; turn < 32; turn++) {
		got = SSL_do_handshake(one);
		gave = SSL_do_handshake(other);
		if (got == 1 && gave == 1)
			return 0;
		if ((got != 1 && SSL_get_error(one, got) == SSL_ERROR_SSL) ||
		    (gave != 1 && SSL_get_error(other, gave) == SSL_ERROR_SSL))
			return -1;
	}
	return -1;
}

#define BINDING_LABEL "EXPORTER-Channel-Binding"
#define BINDING_SIZE  32

size_t
tls_preload_export_binding(SSL *ssl, uint8_t *out, size_t size)
{
	static const uint8_t no_context[1];

	if (size < BINDING_SIZE ||
	    SSL_export_keying_material(ssl, out, BINDING_SIZE, BINDING_LABEL,
		sizeof(BINDING_LABEL) - 1, no_context, 0, 1) != 1)
		return 0;
	return BINDING_SIZE;
}

/* Octets in both directions; the client meets the server's tickets here. */
static int
exchange(SSL *one, SSL *other)
{
	uint8_t binding[BINDING_SIZE];
	char octets[512] = "";
	size_t n;

	(void)tls_preload_export_binding(one, binding,
	    sizeof(binding)); /* for its warmth */
	if (SSL_write_ex(other, octets, sizeof(octets), &n) != 1 ||
	    SSL_read_ex(one, octets, sizeof(octets), &n) != 1 ||
	    SSL_write_ex(one, octets, sizeof(octets), &n) != 1 ||
	    SSL_read_ex(other, octets, sizeof(octets), &n) != 1)
		return -1;
	(void)SSL_shutdown(one); /* for its warmth, not for its answer */
	return 0;
}

static int
join(SSL *one, SSL *other)
{
	BIO *near, *far;

	if (BIO_new_bio_pair(&near, 65536, &far, 65536) != 1)
		return -1;
	SSL_set_bio(one, near, near);
	SSL_set_bio(other, far, far);
	SSL_set_connect_state(one);
	SSL_set_accept_state(other);
	return 0;
}

/* One handshake; without trust in the certificate it is to fail. */
static int
run_handshake(SSL_CTX *client_ctx, SSL_CTX *server_ctx, int version,
    X509_STORE *trust)
{
	SSL *one = SSL_new(client_ctx);
	SSL *other = SSL_new(server_ctx);
	X509_VERIFY_PARAM *param;
	int ret = -1;

	if (one == NULL || other == NULL || join(one, other) == -1)
		goto out;
	param = SSL_get0_param(one);
	/* The keys are small, for nobody waits for a warm-up. */
	SSL_set_security_level(one, 0);
	SSL_set_security_level(other, 0);
	if (SSL_set_max_proto_version(one, version) != 1 ||
	    SSL_set_tlsext_host_name(one, warm_name) != 1 ||
	    X509_VERIFY_PARAM_set1_host(param, warm_name, 0) != 1)
		goto out;
	SSL_set_verify(one, SSL_VERIFY_PEER, NULL);
	if (trust != NULL && SSL_set1_verify_cert_store(one, trust) != 1)
		goto out;
	ret = shake_hands(one, other);
	if (ret == 0)
		ret = exchange(one, other);
	else
		(void)ERR_reason_error_string(ERR_peek_error());
out:
	ERR_clear_error();
	SSL_free(one);
	SSL_free(other);
	return ret;
}

static int
run_with_key(SSL_CTX *client_ctx, EVP_PKEY *key, int version)
{
	X509 *cert = NULL;
	SSL_CTX *server_ctx = NULL;
	X509_STORE *trust = NULL;
	int ret = -1;

	server_ctx = SSL_CTX_new(TLS_server_method());
	trust = X509_STORE_new();
	if (key == NULL || server_ctx == NULL || trust == NULL)
		goto out;
	cert = sign_certificate(key);
	SSL_CTX_set_security_level(server_ctx, 0);
	if (cert == NULL || SSL_CTX_use_certificate(server_ctx, cert) != 1 ||
	    SSL_CTX_use_PrivateKey(server_ctx, key) != 1 ||
	    X509_STORE_add_cert(trust, cert) != 1)
		goto out;
	if (run_handshake(client_ctx, server_ctx, version, trust) == -1)
		goto out;
	/* The way of failure is warm only when it was walked. */
	if (run_handshake(client_ctx, server_ctx, version, NULL) == 0)
		goto out;
	ret = 0;
out:
	X509_STORE_free(trust);
	X509_free(cert);
	SSL_CTX_free(server_ctx);
	return ret;
}

int
tls_preload_handshakes(SSL_CTX *client_ctx)
{
	EVP_PKEY *ec, *rsa;
	int ret = 0;

	tzset();
	ec = EVP_EC_gen("P-256");
	rsa = EVP_RSA_gen(1024);
	if (run_with_key(client_ctx, ec, TLS1_3_VERSION) == -1 ||
	    run_with_key(client_ctx, rsa, TLS1_2_VERSION) == -1)
		ret = -1;
	EVP_PKEY_free(ec);
	EVP_PKEY_free(rsa);
	return ret;
}
