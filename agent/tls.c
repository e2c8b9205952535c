/* SPDX-License-Identifier: ISC */
/*
 * The TLS client.  Once a worker is confined, nothing here may lead to a
 * system call but read() and write() of the socket, getrandom() and getpid().
 */
#include "agent/tls.h"

#include <sys/stat.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "agent/tls_doubt.h"
#include "agent/tls_preload.h"
#include "common/address.h"
#include "common/message.h"

struct tls_trusts {
	X509_STORE *stores[TLS_TRUSTS_MAX];
};

/* Made by the agent, shared by all its workers. */
static SSL_CTX *client_ctx;

/* Of a worker: one connection at a time. */
static SSL *client;
static bool client_has_name;
static bool client_is_up; /* the handshake is done */
static bool client_write_pending;
static char client_error[384];
static char client_doubt[TLS_DOUBT_SIZE]; /* of its certificate */
static void (*client_watcher)(const uint8_t *octets, size_t n);

static SSL_CTX *
new_client_ctx(void)
{
	SSL_CTX *ctx;

	ctx = SSL_CTX_new(TLS_client_method());
	if (ctx == NULL)
		return NULL;
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_options(ctx,
	    SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(ctx,
	    SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
		SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	return ctx;
}

int
tls_warm_up(void)
{
	if (OPENSSL_init_ssl(OPENSSL_INIT_LOAD_SSL_STRINGS |
		    OPENSSL_INIT_LOAD_CRYPTO_STRINGS,
		NULL) != 1)
		return -1;
	client_ctx = new_client_ctx();
	if (client_ctx == NULL)
		return -1;
	return tls_preload_handshakes(client_ctx);
}

struct tls_trusts *
tls_trusts_new(void)
{
	return calloc(1, sizeof(struct tls_trusts));
}

/*
 * What the library would do at a certificate's first use, and so in every
 * worker again: cache its extensions, sort the store.
 */
static void
warm_up_store(X509_STORE *store, X509 *cert)
{
	X509_STORE_CTX *ctx;
	X509_OBJECT *found;

	ctx = X509_STORE_CTX_new();
	if (ctx != NULL && X509_STORE_CTX_init(ctx, store, cert, NULL) == 1) {
		found = X509_STORE_CTX_get_obj_by_subject(ctx, X509_LU_X509,
		    X509_get_subject_name(cert));
		X509_OBJECT_free(found);
	}
	X509_STORE_CTX_free(ctx);
}

static X509_STORE *
read_store(BIO *pem, const char **why)
{
	X509_STORE *store;
	X509 *cert = NULL;
	X509 *last = NULL;

	*why = "out of memory";
	store = X509_STORE_new();
	if (store == NULL)
		return NULL;
	X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
	while ((cert = PEM_read_bio_X509(pem, NULL, NULL, NULL)) != NULL) {
		X509_free(last);
		last = cert;
		(void)X509_check_purpose(cert, -1, 0); /* fills its cache */
		if (X509_STORE_add_cert(store, cert) != 1)
			break;
	}
	*why = NULL;
	if (last == NULL)
		*why = "no certificate in PEM form found";
	else if (cert != NULL)
		*why = "a certificate cannot be added";
	else if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		*why = "a certificate is malformed";
	else
		warm_up_store(store, last);
	X509_free(last);
	ERR_clear_error();
	if (*why == NULL)
		return store;
	X509_STORE_free(store);
	return NULL;
}

/* All octets of a regular file; *size is 0 where there are none. */
static char *
read_all(int fd, size_t *size)
{
	struct stat st;
	char *octets;
	ssize_t n;

	*size = 0;
	if (fstat(fd, &st) == -1 || st.st_size <= 0 ||
	    st.st_size > TLS_TRUST_SIZE_MAX)
		return NULL;
	octets = malloc((size_t)st.st_size);
	if (octets == NULL)
		return NULL;
	while (*size < (size_t)st.st_size) {
		n = pread(fd, octets + *size, (size_t)st.st_size - *size,
		    (off_t)*size);
		if (n <= 0)
			break;
		*size += (size_t)n;
	}
	return octets;
}

int
tls_trust_load(struct tls_trusts *trusts, uint32_t index, int fd,
    const char **why)
{
	X509_STORE *store = NULL;
	char *octets = NULL;
	BIO *pem = NULL;
	size_t size;
	int ret = -1;

	*why = "index is out of range";
	if (index >= TLS_TRUSTS_MAX)
		goto out;
	*why = "file is empty, too large, or cannot be read";
	octets = read_all(fd, &size);
	if (octets == NULL || size == 0)
		goto out;
	pem = BIO_new_mem_buf(octets, (int)size);
	if (pem == NULL)
		goto out;
	store = read_store(pem, why);
	if (store == NULL)
		goto out;
	X509_STORE_free(trusts->stores[index]);
	trusts->stores[index] = store;
	ret = 0;
out:
	BIO_free(pem);
	free(octets);
	return ret;
}

/*
 * SNI, and what the certificate must bear: in its subjectAltName, for a common
 * name is no host name (RFC 9525, 2 and 6.3), and not by a wildcard for part of
 * a label.
 */
static int
set_name(const char *name)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(client);
	char sni[MSG_HOST_SIZE]; /* for a macro that is not const-correct */

	client_has_name = true;
	X509_VERIFY_PARAM_set_hostflags(param,
	    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
		X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	if (address_is_ip(name))
		return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1 ? 0 : -1;
	if (!address_domain_is_host_name(name)) {
		client_has_name = false;
		return 0;
	}
	strlcpy(sni, name, sizeof(sni));
	if (SSL_set_tlsext_host_name(client, sni) != 1 ||
	    X509_VERIFY_PARAM_set1_host(param, name, 0) != 1)
		return -1;
	return 0;
}

void
tls_client_watch(void (*heard)(const uint8_t *octets, size_t n))
{
	client_watcher = heard;
}

/* Of the socket's BIO: what it read, before it is deciphered. */
static long
watch(BIO *bio, int oper, const char *octets, size_t len, int argi, long argl,
    int ret, size_t *processed)
{
	int saved_errno = errno;

	(void)len;
	(void)argi;
	(void)argl;
	if (oper != (BIO_CB_READ | BIO_CB_RETURN) || client_is_up)
		return ret;
	if (ret > 0)
		client_watcher((const uint8_t *)octets, *processed);
	else if (BIO_should_retry(bio) == 0)
		client_watcher(NULL, 0);
	errno = saved_errno;
	return ret;
}

/*
 * Reads go through a buffer, so that a record is one system call and not two
 * (its header, its octets); the library's own read-ahead costs 48 KiB.
 */
static int
set_socket(int fd)
{
	BIO *sock = BIO_new_socket(fd, BIO_NOCLOSE);
	BIO *buffer = BIO_new(BIO_f_buffer());

	if (sock == NULL || buffer == NULL || BIO_up_ref(sock) != 1) {
		BIO_free(sock);
		BIO_free(buffer);
		return -1;
	}
	if (client_watcher != NULL)
		BIO_set_callback_ex(sock, watch);
	SSL_set0_rbio(client, BIO_push(buffer, sock));
	SSL_set0_wbio(client, sock);
	return 0;
}

static int
fail_start(const char *why)
{
	(void)snprintf(client_error, sizeof(client_error), "%s", why);
	SSL_free(client);
	client = NULL;
	return -1;
}

/* The certificate is at hand now, and not when the handshake has failed. */
static int
note_doubt(int good, X509_STORE_CTX *ctx)
{
	if (!good)
		tls_doubt_describe(X509_STORE_CTX_get_error(ctx),
		    X509_STORE_CTX_get_current_cert(ctx), client_doubt);
	return good;
}

int
tls_client_start(const struct tls_trusts *trusts, uint32_t trust,
    const char *name, bool verify, int fd)
{
	X509_STORE *store = NULL;

	client_is_up = false;
	if (trust < TLS_TRUSTS_MAX && trusts != NULL)
		store = trusts->stores[trust];
	client = SSL_new(client_ctx);
	if (client == NULL || set_socket(fd) == -1 || set_name(name) == -1)
		return fail_start("TLS cannot start");
	if (store != NULL && SSL_set1_verify_cert_store(client, store) != 1)
		return fail_start("TLS cannot start");
	if (verify && store == NULL)
		return fail_start("no certificates are trusted");
	if (verify && !client_has_name)
		return fail_start("no legal host name to verify");
	SSL_set_verify(client, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
	    verify ? note_doubt : NULL);
	SSL_set_connect_state(client);
	client_error[0] = client_doubt[0] = '\0';
	client_write_pending = false;
	return 0;
}

bool
tls_client_is_started(void)
{
	return client != NULL;
}

static void
describe_error(int saved_errno)
{
	unsigned long code = ERR_peek_error();
	long verified = SSL_get_verify_result(client);
	const char *reason = NULL;

	if (code != 0 && !ERR_SYSTEM_ERROR(code))
		reason = ERR_reason_error_string(code);
	else if (saved_errno != 0)
		reason = strerrordesc_np(saved_errno);
	if (ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED)
		(void)snprintf(client_error, sizeof(client_error),
		    "server certificate is not trusted: %s%s%s%s",
		    X509_verify_cert_error_string(verified),
		    client_doubt[0] != '\0' ? " (" : "", client_doubt,
		    client_doubt[0] != '\0' ? ")" : "");
	else
		(void)snprintf(client_error, sizeof(client_error), "%s",
		    reason != NULL ? reason : "the remote broke off");
}

/* What a call's answer means; errno is as the call left it. */
static enum tls_event
judge(int ret)
{
	int saved_errno = errno;

	switch (SSL_get_error(client, ret)) {
	case SSL_ERROR_NONE:
		return TLS_OK;
	case SSL_ERROR_WANT_READ:
		return TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_CLOSED;
	default:
		break;
	}
	/* A cut without close_notify ends the octets as a close does. */
	if (ERR_GET_REASON(ERR_peek_error()) ==
		SSL_R_UNEXPECTED_EOF_WHILE_READING &&
	    client_is_up)
		return TLS_CLOSED;
	describe_error(saved_errno);
	return TLS_ERROR;
}

static void
prepare_call(void)
{
	ERR_clear_error();
	errno = 0;
}

enum tls_event
tls_client_handshake(void)
{
	enum tls_event event;

	prepare_call();
	event = judge(SSL_do_handshake(client));
	client_is_up = event == TLS_OK;
	return event;
}

enum tls_event
tls_client_read(uint8_t *out, size_t size, size_t *len)
{
	*len = 0;
	prepare_call();
	return judge(SSL_read_ex(client, out, size, len));
}

enum tls_event
tls_client_write(const uint8_t *in, size_t n, size_t *used)
{
	enum tls_event event;

	*used = 0;
	prepare_call();
	event = judge(SSL_write_ex(client, in, n, used));
	client_write_pending = event != TLS_OK;
	return event;
}

bool
tls_client_has_pending(void)
{
	return client != NULL &&
	    (SSL_has_pending(client) == 1 ||
		BIO_ctrl_pending(SSL_get_rbio(client)) > 0);
}

void
tls_client_get_info(struct tls_info *info)
{
	memset(info, 0, sizeof(*info));
	if (client == NULL || !client_is_up)
		return;
	info->on = 1;
	info->verified = client_has_name &&
	    SSL_get0_peer_certificate(client) != NULL &&
	    SSL_get_verify_result(client) == X509_V_OK;
	info->resumed = SSL_session_reused(client) == 1;
	strlcpy(info->version, SSL_get_version(client), sizeof(info->version));
	strlcpy(info->cipher, SSL_get_cipher_name(client),
	    sizeof(info->cipher));
}

size_t
tls_client_get_binding(uint8_t *out, size_t size, bool *exporter)
{
	size_t n;

	if (client == NULL || !client_is_up)
		return 0;
	*exporter = SSL_version(client) >= TLS1_3_VERSION;
	if (*exporter)
		return tls_preload_export_binding(client, out, size);
	/* Who sent the first Finished: the server, where a session resumed. */
	n = SSL_session_reused(client) == 1
	    ? SSL_get_peer_finished(client, out, size)
	    : SSL_get_finished(client, out, size);
	return n <= size ? n : 0;
}

const char *
tls_client_error(void)
{
	return client_error;
}

void
tls_client_stop(void)
{
	if (client == NULL)
		return;
	prepare_call();
	/*
	 * One try, no wait: the answer would tell us nothing.  None behind a
	 * record that did not leave whole, for it would push that one out.
	 */
	if (client_is_up && !client_write_pending)
		(void)SSL_shutdown(client);
	SSL_free(client);
	client = NULL;
	ERR_clear_error();
}
