/* SPDX-License-Identifier: ISC */
/* The doctor on certificates: those of listeners, and of whom transports trust. */
#include "master/control/doctor/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "master/signer/sign.h"

#define PEM_MAX   (4 << 20) /* octets */
#define SOON_DAYS 14
#define SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"

/* A file, and behind it another; NULL with errno. */
static char *
read_files(const char *first, const char *second, size_t *len)
{
	int fd = open(first, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char *text = NULL, *more, *all;
	size_t n = 0;

	*len = 0;
	if (fd != -1)
		text = fd_read_all(fd, PEM_MAX, len);
	fd_close(fd);
	if (text == NULL || second == NULL || second[0] == '\0')
		return text;
	more = read_files(second, NULL, &n);
	all = more != NULL ? recallocarray(text, *len, *len + n + 1, 1) : NULL;
	if (all == NULL) {
		freezero(text, *len);
		freezero(more, n);
		return NULL;
	}
	all[*len] = '\n';
	memcpy(all + *len + 1, more, n);
	*len += n + 1;
	freezero(more, n);
	return all;
}

static STACK_OF(X509) * read_chain(const char *text, size_t len)
{
	STACK_OF(X509) *chain = sk_X509_new_null();
	BIO *in = BIO_new_mem_buf(text, (int)len);
	X509 *cert;

	while (in != NULL && chain != NULL &&
	    (cert = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL)
		if (sk_X509_push(chain, cert) == 0)
			X509_free(cert);
	BIO_free(in);
	ERR_clear_error();
	return chain;
}

static void
say_dates(struct doctor *d, const char *who, const X509 *cert)
{
	int days = 0, seconds = 0;

	if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0)
		doctor_say(d, DOCTOR_FAULT, "set the clock, or wait",
		    "%s: its certificate is not valid yet", who);
	(void)ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(cert));
	if (days < 0 || seconds < 0)
		doctor_say(d, DOCTOR_FAULT, "renew it, then postern reload",
		    "%s: its certificate has expired, %d days ago", who, -days);
	else if (days < SOON_DAYS)
		doctor_say(d, DOCTOR_WARNING, "renew it, then postern reload",
		    "%s: its certificate expires in %d days", who, days);
}

/* Whether those behind the first lead to an authority that clients may know. */
static void
say_chain(struct doctor *d, const char *who, STACK_OF(X509) * chain)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int error = X509_V_OK;

	if (store == NULL || ctx == NULL ||
	    X509_STORE_load_file(store, SYSTEM_CA) != 1 ||
	    X509_STORE_CTX_init(ctx, store, sk_X509_value(chain, 0), chain) !=
		1)
		goto out; /* the check of trust says that there is no file */
	X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(ctx),
	    X509_V_FLAG_NO_CHECK_TIME);
	if (X509_verify_cert(ctx) != 1)
		error = X509_STORE_CTX_get_error(ctx);
	if (error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
	    error == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE)
		doctor_say(d, DOCTOR_WARNING,
		    "put the certificates that lead to its authority behind it "
		    "in tls_cert_file",
		    "%s: its chain is not complete, or ends at an authority of "
		    "your own",
		    who);
out:
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	ERR_clear_error();
}

static void
look_at_certificate(struct doctor *d, const char *who, const char *name,
    const char *text, size_t len)
{
	STACK_OF(X509) *chain = read_chain(text, len);
	X509 *cert;

	if (chain != NULL && sk_X509_num(chain) > 0) {
		cert = sk_X509_value(chain, 0);
		say_dates(d, who, cert);
		say_chain(d, who, chain);
		if (name[0] != '\0' &&
		    X509_check_host(cert, name, 0, 0, NULL) != 1)
			doctor_say(d, DOCTOR_WARNING,
			    "get one for that name, or set hostname of the "
			    "listener",
			    "%s: its certificate is not for %s", who, name);
	}
	sk_X509_pop_free(chain, X509_free);
}

static void
look_at_pair(struct doctor *d, const struct config_listener *l)
{
	char who[80];
	const char *why;
	EVP_PKEY *key;
	char *text;
	size_t len;

	(void)snprintf(who, sizeof(who), "listener %s", l->name);
	text = read_files(l->tls_cert_file, l->tls_key_file, &len);
	if (text == NULL) {
		doctor_say(d,
		    errno == EACCES && geteuid() != 0 ? DOCTOR_SKIPPED
						      : DOCTOR_FAULT,
		    errno == EACCES ? "run this as root"
				    : "name files that are there",
		    "%s: tls_cert_file %s or tls_key_file %s: %s", who,
		    l->tls_cert_file, l->tls_key_file, strerror(errno));
		return;
	}
	key = sign_read_pair(text, len, &why);
	if (key == NULL)
		doctor_say(d, DOCTOR_FAULT,
		    "tls_cert_file is the certificate in PEM, tls_key_file its "
		    "key without a passphrase",
		    "%s: no STARTTLS: %s", who, why);
	EVP_PKEY_free(key);
	look_at_certificate(d, who,
	    l->hostname[0] != '\0' ? l->hostname : d->config->hostname, text,
	    len);
	freezero(text, len);
}

void
doctor_tls_certificates(struct doctor *d)
{
	const struct config *c = d->config;
	size_t i, n = 0;

	for (i = 0; i < c->nlisteners; i++) {
		if (c->listeners[i].tls_cert_file[0] == '\0' ||
		    c->listeners[i].tls_security_level == CONFIG_TLS_NONE)
			continue;
		n++;
		look_at_pair(d, &c->listeners[i]);
	}
	if (d->findings == 0)
		doctor_say(d, DOCTOR_WELL, NULL,
		    n > 0 ? "they are good for more than %d days"
			  : "no listener has one",
		    SOON_DAYS);
}

static void
look_at_trust(struct doctor *d, const struct transport *t, bool must)
{
	enum doctor_level level = must ? DOCTOR_FAULT : DOCTOR_WARNING;
	STACK_OF(X509) *certs = NULL;
	char *text;
	size_t len;

	text = read_files(t->tls_CAfile, NULL, &len);
	if (text == NULL)
		doctor_say(d, level,
		    "install ca-certificates, or name a file that is there",
		    "transport %s: tls_CAfile %s: %s%s", t->name, t->tls_CAfile,
		    strerror(errno),
		    must ? "" : ": certificates are taken unseen");
	else
		certs = read_chain(text, len);
	if (text != NULL && sk_X509_num(certs) <= 0)
		doctor_say(d, level, "name a file of certificates in PEM form",
		    "transport %s: tls_CAfile %s has no certificate in it",
		    t->name, t->tls_CAfile);
	sk_X509_pop_free(certs, X509_free);
	free(text);
}

/* Whether a transport with the same file uses it, and cannot do without. */
static bool
is_used(const struct config *c, size_t first, bool *must)
{
	const struct transport *t;
	bool used = false;

	*must = false;
	for (size_t i = first; i < c->ntransports; i++) {
		t = &c->transports[i];
		if (config_trust(c, i) != first)
			continue;
		used |= t->tls_security_level != CONFIG_TLS_NONE ||
		    t->tls_wrappermode;
		*must |= t->tls_security_level == CONFIG_TLS_VERIFY;
	}
	return used && c->transports[first].tls_CAfile[0] != '\0';
}

void
doctor_tls_trust(struct doctor *d)
{
	const struct config *c = d->config;
	size_t i;
	bool must;

	for (i = 0; i < c->ntransports; i++)
		if (config_trust(c, i) == i && is_used(c, i, &must))
			look_at_trust(d, &c->transports[i], must);
	if (d->findings == 0)
		doctor_say(d, DOCTOR_WELL, NULL,
		    "the authorities that transports trust can be read");
}
