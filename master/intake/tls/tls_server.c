/* SPDX-License-Identifier: ISC */
/* See tls_server.h. */
#include "master/intake/tls/tls_server.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

struct tls_server {
	SSL_CTX *ctx;
};

struct tls_server_stream {
	SSL *ssl;
	BIO *in; /* both are the SSL's */
	BIO *out;
	char error[160];
};

/* Of TLS 1.2: a key exchange of curves, whose parameters the signer knows, and
 * ciphers that authenticate (RFC 9325, 4.2).  Of hashes those that it has.  Two are
 * for macros that are not const-correct. */
static const char ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";
static char curves[] = "X25519:P-256:P-384:P-521:X448";
static char algorithms[] =
    "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:"
    "RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:"
    "RSA+SHA256:RSA+SHA384:RSA+SHA512";

static SSL_CTX *
context_new(bool tls_1_2)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (ctx == NULL)
		return NULL;
	if (SSL_CTX_set_min_proto_version(ctx,
		tls_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(ctx, ciphers) != 1 ||
	    SSL_CTX_set1_groups_list(ctx, curves) != 1 ||
	    SSL_CTX_set1_sigalgs_list(ctx, algorithms) != 1) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	/* RFC 9325, 3.4 and 3.5. */
	SSL_CTX_set_options(ctx,
	    SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(ctx,
	    SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_num_tickets(ctx, 0); /* nothing is resumed */
	return ctx;
}

static const char *
take_chain(SSL_CTX *ctx, BIO *pem)
{
	X509 *cert;

	while ((cert = PEM_read_bio_X509(pem, NULL, NULL, NULL)) != NULL) {
		if (SSL_CTX_add0_chain_cert(ctx, cert) != 1) {
			X509_free(cert);
			return "a certificate of the chain cannot be added";
		}
	}
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return "a certificate of the chain is malformed";
	ERR_clear_error();
	return NULL;
}

static const char *
take_certificate(SSL_CTX *ctx, BIO *pem, uint32_t key)
{
	X509 *cert = PEM_read_bio_X509(pem, NULL, NULL, NULL);
	EVP_PKEY *half = NULL, *pair = NULL;
	const char *why = NULL;

	if (cert == NULL)
		return "no certificate in PEM form found";
	half = X509_get0_pubkey(cert);
	if (half != NULL)
		pair = remote_key_new(half, key);
	if (pair == NULL)
		why = "its key is neither RSA, EC nor Ed25519";
	else if (SSL_CTX_use_certificate(ctx, cert) != 1)
		why = "OpenSSL does not take the certificate";
	else if (SSL_CTX_use_PrivateKey(ctx, pair) != 1)
		why = "OpenSSL does not take its key";
	EVP_PKEY_free(pair);
	X509_free(cert);
	return why;
}

struct tls_server *
tls_server_new(const char *pem, size_t n, uint32_t key, bool tls_1_2,
    const char **why)
{
	struct tls_server *server = calloc(1, sizeof(*server));
	BIO *bio = BIO_new_mem_buf(pem, (int)n);

	*why = "no memory";
	if (server != NULL)
		server->ctx = context_new(tls_1_2);
	if (server != NULL && server->ctx != NULL && bio != NULL) {
		*why = take_certificate(server->ctx, bio, key);
		if (*why == NULL)
			*why = take_chain(server->ctx, bio);
	}
	BIO_free(bio);
	ERR_clear_error();
	if (*why != NULL) {
		tls_server_free(server);
		return NULL;
	}
	return server;
}

void
tls_server_free(struct tls_server *server)
{
	if (server == NULL)
		return;
	SSL_CTX_free(server->ctx);
	free(server);
}

struct tls_server_stream *
tls_server_stream_new(struct tls_server *server)
{
	struct tls_server_stream *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->ssl = SSL_new(server->ctx);
	s->in = BIO_new(BIO_s_mem());
	s->out = BIO_new(BIO_s_mem());
	if (s->ssl == NULL || s->in == NULL || s->out == NULL) {
		BIO_free(s->in);
		BIO_free(s->out);
		SSL_free(s->ssl);
		free(s);
		return NULL;
	}
	SSL_set_bio(s->ssl, s->in, s->out);
	SSL_set_accept_state(s->ssl);
	return s;
}

void
tls_server_stream_free(struct tls_server_stream *s)
{
	if (s == NULL)
		return;
	SSL_free(s->ssl);
	free(s);
}

/* False: it cannot go on. */
static bool
goes_on(struct tls_server_stream *s, int ret)
{
	const char *reason;
	int error = SSL_get_error(s->ssl, ret);

	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ||
	    error == SSL_ERROR_ZERO_RETURN) {
		ERR_clear_error();
		return true;
	}
	reason = ERR_reason_error_string(ERR_peek_error());
	if (s->error[0] == '\0')
		(void)strlcpy(s->error,
		    reason != NULL ? reason : "the client broke it off",
		    sizeof(s->error));
	ERR_clear_error();
	return false;
}

int
tls_server_stream_feed(struct tls_server_stream *s, const uint8_t *in, size_t n)
{
	size_t done = 0;
	int ret;

	ERR_clear_error();
	if (n > 0 && (BIO_write_ex(s->in, in, n, &done) != 1 || done != n)) {
		(void)strlcpy(s->error, "no memory", sizeof(s->error));
		return -1;
	}
	if (SSL_is_init_finished(s->ssl))
		return 0;
	ret = SSL_do_handshake(s->ssl);
	return ret == 1 || goes_on(s, ret) ? 0 : -1;
}

size_t
tls_server_stream_read(struct tls_server_stream *s, uint8_t *out, size_t size,
    bool *over)
{
	size_t n = 0;
	int ret;

	*over = false;
	if (!SSL_is_init_finished(s->ssl))
		return 0;
	ERR_clear_error();
	ret = SSL_read_ex(s->ssl, out, size, &n);
	if (ret == 1)
		return n;
	*over = !goes_on(s, ret) ||
	    (SSL_get_shutdown(s->ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
	return 0;
}

int
tls_server_stream_write(struct tls_server_stream *s, const uint8_t *in,
    size_t n)
{
	size_t done = 0;
	int ret;

	if (n == 0)
		return 0;
	ERR_clear_error();
	ret = SSL_write_ex(s->ssl, in, n, &done);
	if (ret == 1 && done == n)
		return 0;
	(void)goes_on(s, ret);
	return -1;
}

void
tls_server_stream_close(struct tls_server_stream *s)
{
	ERR_clear_error();
	(void)SSL_shutdown(s->ssl); /* its alert, and no wait for theirs */
	ERR_clear_error();
}

const uint8_t *
tls_server_stream_output(struct tls_server_stream *s, size_t *n)
{
	char *octets = NULL;
	long len = BIO_get_mem_data(s->out, &octets);

	*n = len > 0 ? (size_t)len : 0;
	return (const uint8_t *)octets;
}

void
tls_server_stream_sent(struct tls_server_stream *s, size_t n)
{
	uint8_t chunk[4096];
	size_t done;

	while (n > 0) {
		if (BIO_read_ex(s->out, chunk,
			n < sizeof(chunk) ? n : sizeof(chunk), &done) != 1)
			return;
		n -= done;
	}
}

bool
tls_server_stream_is_up(const struct tls_server_stream *s)
{
	return SSL_is_init_finished(s->ssl) == 1;
}

const char *
tls_server_stream_version(const struct tls_server_stream *s)
{
	return SSL_get_version(s->ssl);
}

const char *
tls_server_stream_cipher(const struct tls_server_stream *s)
{
	return SSL_get_cipher_name(s->ssl);
}

const char *
tls_server_stream_error(const struct tls_server_stream *s)
{
	return s->error;
}
