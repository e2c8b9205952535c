/* SPDX-License-Identifier: ISC */
/* What the agent loads; test_worker.c shakes hands. */
#include "agent/tls.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "common/util.h"

/* One certificate in PEM form. */
static size_t
write_cert(char *out, size_t size)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	BIO *pem = BIO_new(BIO_s_mem());
	int n;

	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN",
	    MBSTRING_ASC, (const unsigned char *)"x", -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	cr_assert_neq(X509_sign(cert, key, EVP_sha256()), 0);
	PEM_write_bio_X509(pem, cert);
	n = BIO_read(pem, out, (int)size - 1);
	cr_assert_gt(n, 0);
	out[n] = '\0';
	BIO_free(pem);
	X509_free(cert);
	EVP_PKEY_free(key);
	return (size_t)n;
}

static const char *
load(uint32_t index, const char *octets, size_t n)
{
	static struct tls_trusts *trusts;
	const char *why = NULL;
	int fd, ret;

	if (trusts == NULL)
		trusts = tls_trusts_new();
	fd = fd_sealed("trust", octets, n);
	ret = tls_trust_load(trusts, index, fd, &why);
	cr_expect_eq(ret == 0, why == NULL);
	close(fd);
	return why;
}

Test(tls, trust_is_loaded_from_pem)
{
	char pem[4096], twice[9000];
	size_t n = write_cert(pem, sizeof(pem));

	cr_expect_null(load(0, pem, n));
	(void)snprintf(twice, sizeof(twice), "a comment\n%s\n%s", pem, pem);
	cr_expect_null(load(TLS_TRUSTS_MAX - 1, twice, strlen(twice)));
}

Test(tls, what_is_no_trust_is_refused_with_a_reason)
{
	char pem[4096], two[9000];
	size_t n = write_cert(pem, sizeof(pem));

	cr_expect_str_eq(load(TLS_TRUSTS_MAX, pem, n), "index is out of range");
	cr_expect_str_eq(load(0, "", 0),
	    "file is empty, too large, or cannot be read");
	cr_expect_str_eq(load(0, "hello\n", 6),
	    "no certificate in PEM form found");
	/* A second one that is cut off, or spoilt, is not skipped. */
	(void)snprintf(two, sizeof(two), "%s%.*s", pem, (int)n / 2, pem);
	cr_expect_str_eq(load(0, two, strlen(two)),
	    "a certificate is malformed");
	(void)snprintf(two, sizeof(two), "%s%s", pem, pem);
	two[n + 100] = '!';
	cr_expect_str_eq(load(0, two, strlen(two)),
	    "a certificate is malformed");
}
