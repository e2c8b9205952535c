/* SPDX-License-Identifier: ISC */
/* The listeners' TLS, with a key that is elsewhere, against OpenSSL's client. */
#include "master/intake/tls/tls_server.h"

#include <criterion/criterion.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"
#include "master/signer/sign.h"

static EVP_PKEY *key;
static unsigned asked;
static bool refuses;
static enum sign_form form; /* of what was asked for last */
static bool pkcs1;          /* the padding of that */

static size_t
ask(void *ctx, const struct remote_key_how *ask, const uint8_t *in, size_t n,
    uint8_t *out, size_t size)
{
	const struct sign_how how = { ask->hash_bits, ask->pkcs1, true };

	(void)ctx;
	asked++;
	cr_expect_eq(ask->key, 7);
	form = sign_form(in, n);
	pkcs1 = ask->pkcs1;
	cr_expect_neq(form, SIGN_FORM_NONE);
	return refuses ? 0 : sign_make(key, &how, in, n, out, size);
}

/* A certificate for key; the caller's to free. */
static char *
make_pem(size_t *n, bool with_key)
{
	X509 *cert = X509_new();
	BIO *bio = BIO_new(BIO_s_mem());
	char *octets, *copy;

	cr_assert(ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) == 1 &&
	    X509_gmtime_adj(X509_getm_notBefore(cert), -60) != NULL &&
	    X509_gmtime_adj(X509_getm_notAfter(cert), 3600) != NULL &&
	    X509_set_pubkey(cert, key) == 1 &&
	    X509_sign(cert, key,
		EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256()) > 0);
	cr_assert_eq(PEM_write_bio_X509(bio, cert), 1);
	if (with_key)
		cr_assert_eq(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0,
				 NULL, NULL),
		    1);
	*n = (size_t)BIO_get_mem_data(bio, &octets);
	copy = malloc(*n + 1);
	cr_assert_not_null(copy);
	memcpy(copy, octets, *n);
	copy[*n] = '\0';
	BIO_free(bio);
	X509_free(cert);
	return copy;
}

struct pair {
	struct tls_server *server;
	struct tls_server_stream *stream;
	SSL_CTX *ctx;
	SSL *client;
	BIO *to, *from;
	bool failed;
};

static void
setup_with(struct pair *p, int version, bool tls_1_2)
{
	const char *why;
	size_t n;
	char *pem = make_pem(&n, false);

	memset(p, 0, sizeof(*p));
	p->server = tls_server_new(pem, n, 7, tls_1_2, &why);
	cr_assert_not_null(p->server, "%s", why);
	free(pem);
	p->stream = tls_server_stream_new(p->server);
	p->ctx = SSL_CTX_new(TLS_client_method());
	cr_assert_eq(SSL_CTX_set_max_proto_version(p->ctx, version), 1);
	p->client = SSL_new(p->ctx);
	p->to = BIO_new(BIO_s_mem());
	p->from = BIO_new(BIO_s_mem());
	SSL_set_bio(p->client, p->to, p->from);
	SSL_set_connect_state(p->client);
}

static void
setup(struct pair *p, int version)
{
	setup_with(p, version, true);
}

static void
clear(struct pair *p)
{
	tls_server_stream_free(p->stream);
	tls_server_free(p->server);
	SSL_free(p->client);
	SSL_CTX_free(p->ctx);
	EVP_PKEY_free(key);
	key = NULL;
}

/* An octet at a time, as the worst network would. */
static void
carry(struct pair *p)
{
	const uint8_t *out;
	uint8_t octet;
	size_t n;

	while (BIO_read_ex(p->from, &octet, 1, &n) == 1 && !p->failed)
		p->failed = tls_server_stream_feed(p->stream, &octet, 1) == -1;
	out = tls_server_stream_output(p->stream, &n);
	if (n > 0)
		cr_assert_eq(BIO_write_ex(p->to, out, n, &n), 1);
	tls_server_stream_sent(p->stream, n);
	(void)tls_server_stream_output(p->stream, &n);
	cr_expect_eq(n, 0);
}

static bool
shake_hands(struct pair *p)
{
	int turn;

	for (turn = 0; turn < 8 && !p->failed; turn++) {
		(void)SSL_do_handshake(p->client);
		carry(p);
	}
	return SSL_is_init_finished(p->client) &&
	    tls_server_stream_is_up(p->stream);
}

static EVP_PKEY *
make_key(const char *kind)
{
	if (strcmp(kind, "RSA") == 0)
		return EVP_RSA_gen(2048);
	if (strcmp(kind, "ED25519") == 0)
		return EVP_PKEY_Q_keygen(NULL, NULL, kind);
	return EVP_EC_gen(kind);
}

static const char *const kinds[] = { "RSA", "P-256", "P-384", "ED25519" };

Test(tls_server, a_key_of_each_kind_is_asked_for)
{
	static const uint8_t hello[] = "hello, client";
	char text[64] = "";
	uint8_t heard[64];
	struct pair p;
	size_t i, n;
	bool over;

	cr_assert_eq(tls_server_preload(ask, NULL), 0);
	for (i = 0; i < NELEM(kinds); i++) {
		asked = 0;
		key = make_key(kinds[i]);
		cr_assert_not_null(key);
		setup(&p, TLS1_3_VERSION);
		cr_assert(shake_hands(&p), "%s: %s", kinds[i],
		    tls_server_stream_error(p.stream));
		cr_expect_eq(asked, 1, "%s", kinds[i]);
		cr_expect_str_eq(tls_server_stream_version(p.stream),
		    "TLSv1.3");
		cr_assert_eq(
		    tls_server_stream_write(p.stream, hello, sizeof(hello)), 0);
		carry(&p);
		cr_expect_eq(SSL_read_ex(p.client, text, sizeof(text), &n), 1);
		cr_expect_str_eq(text, (const char *)hello);
		cr_assert_eq(SSL_write_ex(p.client, "EHLO x", 6, &n), 1);
		carry(&p);
		n = tls_server_stream_read(p.stream, heard, sizeof(heard),
		    &over);
		cr_expect(n == 6 && memcmp(heard, "EHLO x", 6) == 0 && !over);
		cr_expect_eq(tls_server_stream_read(p.stream, heard,
				 sizeof(heard), &over),
		    0);
		cr_expect_not(over);
		(void)SSL_shutdown(p.client);
		carry(&p);
		(void)tls_server_stream_read(p.stream, heard, sizeof(heard),
		    &over);
		cr_expect(over);
		clear(&p);
	}
}

Test(tls_server, what_is_no_tls_1_3_ends)
{
	static const uint8_t junk[] = "EHLO in clear\r\n";
	struct pair p;

	cr_assert_eq(tls_server_preload(ask, NULL), 0);
	key = make_key("P-256");
	setup_with(&p, TLS1_2_VERSION, false);
	cr_expect_not(shake_hands(&p));
	cr_expect(p.failed);
	cr_expect_str_neq(tls_server_stream_error(p.stream), "");
	clear(&p);
	key = make_key("P-256");
	setup(&p, TLS1_3_VERSION);
	cr_expect_eq(tls_server_stream_feed(p.stream, junk, sizeof(junk)), -1);
	clear(&p);
}

Test(tls_server, tls_1_2_where_it_is_allowed)
{
	static struct { /* not const, for OpenSSL's macros cast that away */
		const char *kind;
		char algorithms[16], groups[8];
		bool pkcs1;
	} rows[] = {
		{ "RSA", "RSA+SHA256", "P-256", true },
		{ "RSA", "RSA+SHA512", "X25519", true },
		{ "RSA", "RSA-PSS+SHA256", "P-521", false },
		{ "P-256", "ECDSA+SHA256", "P-256", false },
		{ "P-384", "ECDSA+SHA384", "P-384", false },
		{ "ED25519", "ed25519", "X25519", false },
	};
	uint8_t heard[64];
	struct pair p;
	size_t n;
	bool over;

	cr_assert_eq(tls_server_preload(ask, NULL), 0);
	for (size_t i = 0; i < NELEM(rows); i++) {
		key = make_key(rows[i].kind);
		setup(&p, TLS1_2_VERSION);
		cr_assert_eq(
		    SSL_set1_sigalgs_list(p.client, rows[i].algorithms), 1);
		cr_assert_eq(SSL_set1_groups_list(p.client, rows[i].groups), 1);
		cr_assert(shake_hands(&p), "%zu: %s", i,
		    tls_server_stream_error(p.stream));
		cr_expect_str_eq(tls_server_stream_version(p.stream),
		    "TLSv1.2");
		cr_expect_eq(form, SIGN_FORM_TLS_1_2);
		cr_expect_eq(pkcs1, rows[i].pkcs1, "%zu", i);
		cr_assert_eq(SSL_write_ex(p.client, "EHLO x", 6, &n), 1);
		carry(&p);
		n = tls_server_stream_read(p.stream, heard, sizeof(heard),
		    &over);
		cr_expect(n == 6 && memcmp(heard, "EHLO x", 6) == 0 && !over);
		clear(&p);
	}
}

/* RFC 9325, 4.2: no cipher without forward secrecy, or without AEAD. */
Test(tls_server, no_weak_cipher_of_tls_1_2)
{
	static const char *const ciphers[] = { "AES128-GCM-SHA256",
		"ECDHE-RSA-AES128-SHA256", "DHE-RSA-AES128-GCM-SHA256" };
	struct pair p;

	cr_assert_eq(tls_server_preload(ask, NULL), 0);
	for (size_t i = 0; i < NELEM(ciphers); i++) {
		key = make_key("RSA");
		setup(&p, TLS1_2_VERSION);
		cr_assert_eq(SSL_set_cipher_list(p.client, ciphers[i]), 1);
		cr_expect_not(shake_hands(&p), "%s", ciphers[i]);
		clear(&p);
	}
}

Test(tls_server, without_a_signature_there_is_no_session)
{
	struct pair p;

	cr_assert_eq(tls_server_preload(ask, NULL), 0);
	refuses = true;
	key = make_key("P-256");
	setup(&p, TLS1_3_VERSION);
	cr_expect_not(shake_hands(&p));
	cr_expect(p.failed);
	clear(&p);
}

Test(tls_server, what_is_no_certificate)
{
	const char *why;

	cr_assert_eq(tls_server_preload(ask, NULL), 0);
	cr_expect_null(tls_server_new("", 0, 1, true, &why));
	cr_expect_str_eq(why, "no certificate in PEM form found");
	cr_expect_null(
	    tls_server_new("-----BEGIN CERTIFICATE-----\n", 28, 1, true, &why));
}

static size_t
try_to_sign(unsigned hash_bits, bool by_pkcs1, bool tls_1_2, const uint8_t *in,
    size_t n)
{
	const struct sign_how how = { hash_bits, by_pkcs1, tls_1_2 };
	uint8_t out[SIGN_OUTPUT_MAX];

	return sign_make(key, &how, in, n, out, sizeof(out));
}

Test(sign, only_the_form_of_a_server_is_signed)
{
	static const struct sign_how how = { .hash_bits = 256 };
	uint8_t in[SIGN_INPUT_MAX + 1], out[SIGN_OUTPUT_MAX];
	static const char context[] = "TLS 1.3, server CertificateVerify";
	size_t n = 64 + sizeof(context) + 32, i;

	memset(in, ' ', 64);
	memcpy(in + 64, context, sizeof(context));
	memset(in + 64 + sizeof(context), 0xaa, 48);
	key = make_key("P-256");
	cr_expect_eq(sign_form(in, n), SIGN_FORM_TLS_1_3);
	cr_expect_eq(sign_form(in, n + 16), SIGN_FORM_TLS_1_3);
	cr_expect(try_to_sign(256, false, false, in, n) > 0);
	cr_expect_eq(try_to_sign(1, false, true, in, n), 0);
	cr_expect_eq(try_to_sign(0, false, true, in, n), 0);
	cr_expect_eq(try_to_sign(256, true, true, in, n), 0,
	    "PKCS #1 in TLS 1.3");
	cr_expect_eq(sign_make(key, &how, in, n, out, 8), 0);
	for (i = 0; i < n + 20; i++)
		cr_expect_eq(sign_form(in, i) == SIGN_FORM_TLS_1_3,
		    i == n || i == n + 16, "%zu", i);
	for (i = 0; i < 64 + sizeof(context); i++) {
		in[i] ^= 1;
		cr_expect_eq(sign_form(in, n), SIGN_FORM_NONE, "%zu", i);
		cr_expect_eq(try_to_sign(256, false, true, in, n), 0);
		in[i] ^= 1;
	}
	/* A client's proof is none of ours. */
	memcpy(in + 64, "TLS 1.3, client", 15);
	cr_expect_eq(sign_form(in, n), SIGN_FORM_NONE);
	EVP_PKEY_free(key);
	key = NULL;
}

/* What is signed in ServerKeyExchange (RFC 8422, 5.4), of a server that offers
 * TLS 1.3 as well (RFC 8446, 4.1.3). */
Test(sign, tls_1_2_signs_the_parameters_of_a_curve)
{
	static const struct {
		uint8_t type, curve, len;
		size_t n; /* octets behind len */
		uint8_t first;
		bool ok;
	} rows[] = {
		{ 3, 23, 65, 65, 4, true },
		{ 3, 24, 97, 97, 4, true },
		{ 3, 25, 133, 133, 4, true },
		{ 3, 29, 32, 32, 9, true },
		{ 3, 30, 56, 56, 9, true },
		{ 3, 23, 65, 65, 2, false },
		{ 3, 23, 64, 64, 4, false },
		{ 3, 23, 65, 64, 4, false },
		{ 3, 23, 65, 66, 4, false },
		{ 3, 22, 65, 65, 4, false },
		{ 3, 0, 65, 65, 4, false },
		{ 3, 29, 65, 65, 4, false },
		{ 3, 29, 0, 0, 0, false },
		{ 1, 23, 65, 65, 4, false }, /* explicit_prime */
		{ 2, 23, 65, 65, 4, false },
		{ 0, 23, 65, 65, 4, false },
	};
	uint8_t in[SIGN_INPUT_MAX + 1];
	size_t n;

	key = make_key("RSA");
	for (size_t i = 0; i < NELEM(rows); i++) {
		memset(in, 0x55, sizeof(in));
		memcpy(in + 56, "DOWNGRD\1", 8);
		in[64] = rows[i].type;
		in[65] = 0;
		in[66] = rows[i].curve;
		in[67] = rows[i].len;
		in[68] = rows[i].first;
		n = 68 + rows[i].n;
		cr_expect_eq(sign_form(in, n) == SIGN_FORM_TLS_1_2, rows[i].ok,
		    "%zu", i);
		cr_expect_eq(try_to_sign(256, true, true, in, n) > 0,
		    rows[i].ok, "%zu", i);
		cr_expect_eq(try_to_sign(256, false, true, in, n) > 0,
		    rows[i].ok, "%zu", i);
		/* Where the listener has TLS 1.3 alone. */
		cr_expect_eq(try_to_sign(256, true, false, in, n), 0);
		cr_expect_eq(try_to_sign(256, false, false, in, n), 0);
		/* A server's that knows nothing of TLS 1.3, and a piece. */
		in[63] = 0;
		cr_expect_eq(sign_form(in, n), SIGN_FORM_NONE);
		in[63] = 1;
		for (size_t m = 0; m < n && rows[i].ok; m++)
			cr_expect_eq(sign_form(in, m), SIGN_FORM_NONE, "%zu",
			    m);
	}
	/* A hash, a certificate's start, text: nothing of a handshake. */
	memset(in, 0, sizeof(in));
	for (n = 0; n < sizeof(in); n++)
		cr_expect_eq(try_to_sign(256, true, true, in, n), 0);
	EVP_PKEY_free(key);
	key = NULL;
}

Test(sign, a_pair_belongs_together)
{
	const char *why;
	char *pem, *other;
	EVP_PKEY *got;
	size_t n, m;

	key = make_key("P-256");
	pem = make_pem(&n, true);
	got = sign_read_pair(pem, n, &why);
	cr_expect_not_null(got, "%s", why);
	EVP_PKEY_free(got);
	cr_expect_null(sign_read_pair("", 0, &why));
	cr_expect_str_eq(why, "there is no certificate in PEM form");
	EVP_PKEY_free(key);
	key = make_key("P-256");
	other = make_pem(&m, false);
	cr_expect_null(sign_read_pair(other, m, &why));
	cr_expect(strstr(why, "no key") != NULL, "%s", why);
	/* One's certificate, the other's key. */
	other = realloc(other, m + n + 1);
	cr_assert_not_null(other);
	memcpy(other + m, pem, n);
	cr_expect_null(sign_read_pair(other, m + n, &why));
	cr_expect_str_eq(why, "the key is not that of the certificate");
	free(pem);
	free(other);
	EVP_PKEY_free(key);
	key = NULL;
}
