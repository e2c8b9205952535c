/* SPDX-License-Identifier: ISC */
/*
 * The worker as it is: a process under its filter, with this test as its queue,
 * its dialer, and its remote.
 */
#include "agent/worker.h"

#include <arpa/inet.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "agent/malloc_tuning.h"
#include "common/filter.h"
#include "common/message.h"
#include "common/util.h"

#define MAIL_TEXT "Subject: x\r\n\r\nhello\r\n"

/* One authority, whom index 0 trusts, and one that nobody knows. */
static EVP_PKEY *ca_key, *stranger_key, *server_key;
static X509 *ca, *stranger;
static struct tls_trusts *trusts;
static struct sock_fprog filter;

static const struct filter_rule rules[] = {
#include "agent/worker_filter.def"
};

/* One worker, and both of its other ends. */
static struct {
	pid_t pid;
	int queue;
	int dialer; /* the line's other end */
	uint32_t number;
	int listener;
	int remote;
	SSL *ssl;
	struct msg_session conf;
	_Alignas(8) uint8_t packet[MSG_PACKET_SIZE];
	struct message m;
	char heard[65536];
} h;

/* Certificates. */

static void
add_extension(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	cr_assert_not_null(ext);
	cr_assert_eq(X509_add_ext(cert, ext, -1), 1);
	X509_EXTENSION_free(ext);
}

static X509 *
new_cert(const char *cn, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key,
    const char *names, long days)
{
	X509 *cert = X509_new();

	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), rand());
	X509_gmtime_adj(X509_getm_notBefore(cert), -86400L * 10);
	X509_gmtime_adj(X509_getm_notAfter(cert), 86400L * days);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN",
	    MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(cert,
	    X509_get_subject_name(issuer != NULL ? issuer : cert));
	add_extension(cert, NID_basic_constraints,
	    names == NULL ? "critical,CA:TRUE" : "CA:FALSE");
	if (names != NULL)
		add_extension(cert, NID_subject_alt_name, names);
	cr_assert_neq(X509_sign(cert, issuer_key, EVP_sha256()), 0);
	return cert;
}

static void
load_trust(void)
{
	BIO *pem = BIO_new(BIO_s_mem());
	const char *why;
	char *octets;
	long n;
	int fd;

	PEM_write_bio_X509(pem, ca);
	n = BIO_get_mem_data(pem, &octets);
	fd = fd_sealed("ca", octets, (size_t)n);
	cr_assert_eq(tls_trust_load(trusts, 0, fd, &why), 0, "%s", why);
	close(fd);
	BIO_free(pem);
}

static void
set_up(void)
{
	signal(SIGPIPE, SIG_IGN);
	malloc_tuning_set();
	cr_assert_eq(tls_warm_up(), 0);
	ca_key = EVP_EC_gen("P-256");
	stranger_key = EVP_EC_gen("P-256");
	server_key = EVP_EC_gen("P-256");
	ca = new_cert("authority", ca_key, NULL, ca_key, NULL, 10);
	stranger =
	    new_cert("stranger", stranger_key, NULL, stranger_key, NULL, 10);
	trusts = tls_trusts_new();
	load_trust();
	cr_assert_eq(filter_compile(rules, NELEM(rules), &filter), 0);
	memset(&h, 0, sizeof(h));
	h.conf.tls_level = TLS_VERIFY;
	strcpy(h.conf.ehlo_name, "me.example");
	for (size_t i = 0; i < TIMER_COUNT; i++)
		h.conf.timer_ms[i] = 5000;
}

/* The queue. */

static void
tell(enum msg_type type, const void *payload, const char *tail, size_t len,
    int fd)
{
	cr_assert_eq(message_send(h.queue, type, payload, tail, len, fd, 0), 0,
	    "%s: %s", msg_descs[type].name, strerror(errno));
	fd_close(fd);
}

static const void *
expect(enum msg_type type)
{
	const char *why;
	int ret;

	do {
		ret = message_receive(h.queue, h.packet, ROLE_WORKER,
		    ROLE_QUEUE, 0, &h.m, &why);
	} while (ret == 1 && h.m.type == MSG_CONNECTING && type != h.m.type);
	cr_assert_eq(ret, 1, "waiting for %s: %s", msg_descs[type].name,
	    ret == 0 ? "closed" : strerror(errno));
	cr_assert_eq(h.m.type, type, "%s, want %s: %.*s",
	    msg_descs[h.m.type].name, msg_descs[type].name, (int)h.m.tail_len,
	    (const char *)h.m.tail);
	return h.m.payload;
}

static void
expect_text(const struct outcome *outcome, enum outcome_status status,
    const char *dsn, const char *part)
{
	char text[2048];

	(void)snprintf(text, sizeof(text), "%.*s", (int)h.m.tail_len,
	    (const char *)h.m.tail);
	cr_expect_eq(outcome->status, status, "%s", text);
	cr_expect_str_eq(outcome->dsn, dsn, "%s: %s", outcome->dsn, text);
	cr_expect_not_null(strstr(text, part), "\"%s\" has no \"%s\"", text,
	    part);
}

static void
send_job(const char *octets, size_t n)
{
	struct msg_job job = { .job = 1, .size = n, .nrcpt = 1 };

	tell(MSG_JOB, &job, "a@x\0\0b@y\0", 10, fd_sealed("body", octets, n));
}

static void
start_worker(void)
{
	int pair[2], line[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, line), 0);
	h.queue = pair[0];
	h.dialer = line[0];
	malloc_tuning_settle();
	h.pid = fork();
	if (h.pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
		    dup2(pair[1], 60) == -1 ||
		    dup2(line[1], 61) == -1 ||
		    dup2(60, WORKER_CONTROL_FD) == -1 ||
		    dup2(61, WORKER_DIALER_FD) == -1 ||
		    close_range(4, ~0u, 0) == -1 || filter_load(&filter) == -1)
			_exit(99);
		worker_run(trusts);
	}
	cr_assert_gt(h.pid, 0);
	close(pair[1]);
	close(line[1]);
	setsockopt(h.queue, SOL_SOCKET, SO_RCVTIMEO,
	    &(struct timeval){ .tv_sec = 5 }, sizeof(struct timeval));
	tell(MSG_SESSION, &h.conf, NULL, 0, -1);
	expect(MSG_NEXT);
}

static void
expect_exit(int status)
{
	int got;

	cr_assert_eq(waitpid(h.pid, &got, 0), h.pid);
	cr_expect(WIFEXITED(got) && WEXITSTATUS(got) == status,
	    "worker ended with %x, want exit %d", got, status);
}

/* The remote. */

static struct sockaddr_in
listen_somewhere(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	h.listener = socket(AF_INET, SOCK_STREAM, 0);
	cr_assert_eq(bind(h.listener, (struct sockaddr *)&sin, len), 0);
	cr_assert_eq(listen(h.listener, 5), 0);
	getsockname(h.listener, (struct sockaddr *)&sin, &len);
	return sin;
}

static void
address(const char *tls_name)
{
	struct msg_address msg = { .shown = 1, .number = ++h.number };

	strcpy(msg.tls_name, tls_name);
	tell(MSG_ADDRESS, &msg, NULL, 0, -1);
}

/* The dialer's answer to a dial. */
static void
answer(const struct sockaddr_in *sin, uint32_t number)
{
	struct msg_dialed dialed = { .family = AF_INET, .number = number };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	memcpy(dialed.addr, &sin->sin_addr, 4);
	(void)connect(fd, (const struct sockaddr *)sin, sizeof(*sin));
	cr_assert_eq(message_send(h.dialer, MSG_DIALED, &dialed, NULL, 0, fd,
			 0),
	    0);
	close(fd);
}

static void
dial(const struct sockaddr_in *sin, const char *tls_name)
{
	address(tls_name);
	answer(sin, h.number);
}

static void
connect_as(const char *tls_name)
{
	struct sockaddr_in sin = listen_somewhere();

	dial(&sin, tls_name);
	h.remote = accept(h.listener, NULL, NULL);
	setsockopt(h.remote, SOL_SOCKET, SO_RCVTIMEO,
	    &(struct timeval){ .tv_sec = 5 }, sizeof(struct timeval));
}

static void
reply(const char *text)
{
	size_t n = strlen(text);

	if (h.ssl != NULL)
		cr_assert_eq(SSL_write(h.ssl, text, (int)n), (int)n);
	else
		cr_assert_eq(write(h.remote, text, n), (ssize_t)n);
}

static ssize_t
hear(char *out, size_t size)
{
	if (h.ssl != NULL)
		return SSL_read(h.ssl, out, (int)size);
	return read(h.remote, out, size);
}

static void
command(const char *want)
{
	size_t len = 0;
	ssize_t n;

	while (len < strlen(want)) {
		n = hear(h.heard + len, strlen(want) - len);
		cr_assert_gt(n, 0, "waiting for %s: have %.*s", want, (int)len,
		    h.heard);
		len += (size_t)n;
	}
	h.heard[len] = '\0';
	cr_assert_str_eq(h.heard, want, "\"%s\", want \"%s\"", h.heard, want);
}

/* The dialer's answer is lost, and comes late: the address is the same. */
Test(worker, a_socket_that_does_not_come_is_asked_for_again, .init = set_up)
{
	struct sockaddr_in sin = listen_somewhere();
	struct msg_address address = { .tls_name = "mx.example" };
	const struct msg_next *next;

	h.conf.timer_ms[TIMER_CONNECT] = 50;
	h.conf.tls_level = TLS_NONE;
	start_worker();
	tell(MSG_ADDRESS, &address, NULL, 0, -1);
	for (int i = 0; i < 2; i++) {
		next = expect(MSG_NEXT);
		cr_expect_eq(next->again, NEXT_AGAIN_LOST);
		cr_expect_eq(next->has_failure, 0);
	}
	/* The answer to the first, and to the second, and to the third. */
	tell(MSG_ADDRESS, &address, NULL, 0, -1);
	dial(&sin, "mx.example");
	h.remote = accept(h.listener, NULL, NULL);
	reply("220 hi\r\n");
	command("EHLO me.example\r\n");
	close(h.queue);
	expect_exit(WORKER_ALONE);
}

/* One for each time that it asked. */
Test(worker, an_address_that_was_not_asked_for_ends_it, .init = set_up)
{
	struct msg_address address = { .tls_name = "mx.example" };

	start_worker();
	tell(MSG_ADDRESS, &address, NULL, 0, -1);
	tell(MSG_ADDRESS, &address, NULL, 0, -1);
	expect_exit(WORKER_MISLED);
}

static void
start_server_tls(X509 *cert, int version)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	SSL_CTX_set_min_proto_version(ctx, version);
	SSL_CTX_set_max_proto_version(ctx, version);
	if (version < TLS1_2_VERSION)
		SSL_CTX_set_security_level(ctx, 0);
	cr_assert_eq(SSL_CTX_use_certificate(ctx, cert), 1);
	cr_assert_eq(SSL_CTX_use_PrivateKey(ctx, server_key), 1);
	h.ssl = SSL_new(ctx);
	SSL_CTX_free(ctx);
	SSL_set_fd(h.ssl, h.remote);
}

static X509 *
good_cert(void)
{
	return new_cert("mx", server_key, ca, ca_key,
	    "DNS:mx.example,DNS:*.wild.example,IP:127.0.0.1", 10);
}

static void
greet_until_starttls(void)
{
	reply("220 hi\r\n");
	command("EHLO me.example\r\n");
	reply("250-x\r\n250 STARTTLS\r\n");
	command("STARTTLS\r\n");
	reply("220 go\r\n");
}

static const struct tls_info *
come_up_in_tls(X509 *cert, int version)
{
	const struct msg_session_up *up;

	greet_until_starttls();
	start_server_tls(cert, version);
	cr_assert_eq(SSL_accept(h.ssl), 1, "%s",
	    ERR_reason_error_string(ERR_get_error()));
	command("EHLO me.example\r\n");
	reply("250-x\r\n250 PIPELINING\r\n");
	up = expect(MSG_SESSION_UP);
	return &up->tls;
}

static void
come_up_in_clear(void)
{
	h.conf.tls_level = TLS_NONE;
	start_worker();
	connect_as("");
	reply("220 hi\r\n");
	command("EHLO me.example\r\n");
	reply("250-x\r\n250 PIPELINING\r\n");
	expect(MSG_SESSION_UP);
}

static void
transact(void)
{
	const struct msg_outcome *outcome;

	send_job(MAIL_TEXT, strlen(MAIL_TEXT));
	expect(MSG_BEGUN);
	command("MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n");
	reply("250 ok\r\n250 ok\r\n354 go\r\n");
	expect(MSG_COMMITTING);
	command(MAIL_TEXT ".\r\n");
	reply("250 2.0.0 kept\r\n");
	outcome = expect(MSG_OUTCOME);
	expect_text(&outcome->outcome, OUTCOME_DELIVERED, "2.0.0", "kept");
}

static void
quit(void)
{
	struct msg_none none = { 0 };
	const struct msg_closed *closed;

	tell(MSG_QUIT, &none, NULL, 0, -1);
	command("QUIT\r\n");
	reply("221 bye\r\n");
	closed = expect(MSG_CLOSED);
	cr_expect_eq(closed->failed, 0);
	expect_exit(WORKER_DONE);
}

TestSuite(worker, .init = set_up, .timeout = 30);

Test(worker, the_filter_names_twelve_calls_and_a_reason_for_each)
{
	int calls[64];
	size_t n = 0, j;

	cr_assert_leq(NELEM(rules), NELEM(calls));
	for (size_t i = 0; i < NELEM(rules); i++) {
		cr_expect_gt(strlen(rules[i].why), 5);
		for (j = 0; j < n && calls[j] != rules[i].call; j++)
			;
		if (j == n)
			calls[n++] = rules[i].call;
	}
	cr_expect_leq(n, 12, "%zu calls", n);
}

Test(worker, several_messages_in_clear)
{
	come_up_in_clear();
	transact();
	transact();
	quit();
}

Test(worker, a_stop_and_a_continue_change_nothing)
{
	come_up_in_clear();
	usleep(50000);
	kill(h.pid, SIGSTOP);
	usleep(50000);
	kill(h.pid, SIGCONT);
	transact();
	quit();
}

Test(worker, tls_1_3_with_a_verified_name)
{
	const struct tls_info *tls;

	start_worker();
	connect_as("mx.example");
	tls = come_up_in_tls(good_cert(), TLS1_3_VERSION);
	cr_expect(tls->on && tls->verified && !tls->resumed);
	cr_expect_str_eq(tls->version, "TLSv1.3");
	cr_expect_str_eq(SSL_get_servername(h.ssl, TLSEXT_NAMETYPE_host_name),
	    "mx.example"); /* S-057 */
	transact();
	transact();
	quit();
}

Test(worker, tls_1_2_with_a_verified_address)
{
	const struct tls_info *tls;

	start_worker();
	connect_as("127.0.0.1");
	tls = come_up_in_tls(good_cert(), TLS1_2_VERSION);
	cr_expect(tls->on && tls->verified);
	cr_expect_str_eq(tls->version, "TLSv1.2");
	cr_expect_null(SSL_get_servername(h.ssl, TLSEXT_NAMETYPE_host_name));
	transact();
	quit();
}

static void
refuse_cert(X509 *cert, const char *name, const char *reason)
{
	const struct msg_next *next;

	start_worker();
	connect_as(name);
	greet_until_starttls();
	start_server_tls(cert, TLS1_3_VERSION);
	(void)SSL_accept(h.ssl);
	next = expect(MSG_NEXT);
	expect_text(&next->outcome, OUTCOME_DEFERRED, "4.7.5", reason);
	cr_expect_eq(next->outcome.step, STEP_TLS);
	cr_expect_leq(hear(h.heard, sizeof(h.heard)), 0); /* S-050 */
	kill(h.pid, SIGKILL);
}

/* S-058 */
Test(worker, an_unknown_authority_is_refused)
{
	refuse_cert(new_cert("mx", server_key, stranger, stranger_key,
			"DNS:mx.example", 10),
	    "mx.example", "not trusted: unable to get local issuer");
}

Test(worker, an_expired_certificate_is_refused)
{
	refuse_cert(
	    new_cert("mx", server_key, ca, ca_key, "DNS:mx.example", -1),
	    "mx.example", "not trusted: certificate has expired (on 20");
}

Test(worker, another_name_is_refused)
{
	refuse_cert(good_cert(), "other.example",
	    "not trusted: hostname mismatch (it is for mx.example, "
	    "*.wild.example, 127.0.0.1)");
}

Test(worker, names_of_others_come_short_and_plain)
{
	char names[2048] = "DNS:a\x01-b.example";
	char wanted[256];

	for (int i = 0; i < 50; i++)
		strlcat(names, ",DNS:name.example", sizeof(names));
	strlcpy(wanted, "not trusted: hostname mismatch (it is for a?-b.example, name.example, ",
	    sizeof(wanted));
	refuse_cert(new_cert("mx", server_key, ca, ca_key, names, 10),
	    "other.example", wanted);
}

Test(worker, a_certificate_without_names_says_so)
{
	refuse_cert(new_cert("mx", server_key, ca, ca_key,
			"email:a@mx.example", 10),
	    "mx.example",
	    "not trusted: hostname mismatch (it has no host in "
	    "subjectAltName)");
}

Test(worker, another_address_is_refused)
{
	refuse_cert(good_cert(), "127.0.0.2",
	    "not trusted: IP address mismatch");
}

Test(worker, a_common_name_is_no_name_beside_others)
{
	refuse_cert(good_cert(), "mx", "not trusted: hostname mismatch");
}

Test(worker, without_trust_nothing_is_verified)
{
	const struct msg_next *next;

	h.conf.trust = 5;
	start_worker();
	connect_as("mx.example");
	greet_until_starttls();
	next = expect(MSG_NEXT);
	expect_text(&next->outcome, OUTCOME_DEFERRED, "4.7.5",
	    "no certificates are trusted");
	kill(h.pid, SIGKILL);
}

Test(worker, below_verify_any_certificate_will_do_and_is_told)
{
	const struct tls_info *tls;

	h.conf.tls_level = TLS_ENCRYPT;
	start_worker();
	connect_as("other.example");
	tls = come_up_in_tls(good_cert(), TLS1_3_VERSION);
	cr_expect(tls->on && !tls->verified);
	transact();
	quit();
}

Test(worker, below_verify_a_good_certificate_is_told_too)
{
	const struct tls_info *tls;

	h.conf.tls_level = TLS_MAY;
	start_worker();
	connect_as("a.wild.example");
	tls = come_up_in_tls(good_cert(), TLS1_3_VERSION);
	cr_expect(tls->on && tls->verified);
	quit();
}

/* S-060 */
Test(worker, tls_1_1_is_refused)
{
	const struct msg_next *next;

	h.conf.tls_level = TLS_ENCRYPT;
	start_worker();
	connect_as("mx.example");
	greet_until_starttls();
	start_server_tls(good_cert(), TLS1_1_VERSION);
	cr_expect_leq(SSL_accept(h.ssl), 0);
	next = expect(MSG_NEXT);
	expect_text(&next->outcome, OUTCOME_DEFERRED, "4.7.5",
	    "TLS handshake failed");
	kill(h.pid, SIGKILL);
}

Test(worker, a_cut_without_close_notify_is_a_close)
{
	const struct msg_outcome *outcome;

	start_worker();
	connect_as("mx.example");
	come_up_in_tls(good_cert(), TLS1_3_VERSION);
	send_job(MAIL_TEXT, strlen(MAIL_TEXT));
	expect(MSG_BEGUN);
	command("MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n");
	reply("250 ok\r\n250 ok\r\n354 go\r\n");
	expect(MSG_COMMITTING);
	command(MAIL_TEXT ".\r\n");
	reply("250 o");
	shutdown(h.remote, SHUT_RDWR);
	close(h.remote);
	outcome = expect(MSG_OUTCOME);
	expect_text(&outcome->outcome, OUTCOME_DEFERRED, "4.4.2",
	    "connection closed by the remote");
	cr_expect_eq(outcome->outcome.in_doubt, 1);
	expect(MSG_CLOSED);
	expect_exit(WORKER_DONE);
}

/* S-049, where one read() does not show what waits behind the reply */
Test(worker, octets_that_wait_behind_220_are_an_injection)
{
	const struct msg_next *next;
	static char text[16384 + 1];

	memset(text, 'x', 16384);
	for (size_t i = 0; i < 16384; i += 4096) {
		memcpy(text + i, i == 16384 - 4096 ? "220 " : "220-", 4);
		memcpy(text + i + 4094, "\r\n", 2);
	}
	start_worker();
	connect_as("mx.example");
	reply("220 hi\r\n");
	command("EHLO me.example\r\n");
	reply("250-x\r\n250 STARTTLS\r\n");
	command("STARTTLS\r\n");
	kill(h.pid, SIGSTOP);
	cr_assert_eq(waitpid(h.pid, NULL, WUNTRACED), h.pid);
	reply(text);
	reply("2");
	kill(h.pid, SIGCONT);
	next = expect(MSG_NEXT);
	expect_text(&next->outcome, OUTCOME_DEFERRED, "4.7.0", "injection");
	kill(h.pid, SIGKILL);
}

/* S-055 */
Test(worker, implicit_tls_comes_before_the_greeting)
{
	h.conf.implicit_tls = 1;
	start_worker();
	connect_as("mx.example");
	start_server_tls(good_cert(), TLS1_3_VERSION);
	cr_assert_eq(SSL_accept(h.ssl), 1);
	reply("220 hi\r\n");
	command("EHLO me.example\r\n");
	reply("250-x\r\n250 PIPELINING\r\n");
	expect(MSG_SESSION_UP);
	transact();
	quit();
}

/* Send in one segment what the server has written so far. */
static void
send_all(BIO *out)
{
	char *octets;
	long n = BIO_get_mem_data(out, &octets);

	cr_assert_eq(write(h.remote, octets, (size_t)n), n);
	(void)BIO_reset(out);
}

Test(worker, a_greeting_glued_to_the_handshake_is_read)
{
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	ssize_t n;

	h.conf.implicit_tls = 1;
	start_worker();
	connect_as("mx.example");
	start_server_tls(good_cert(), TLS1_2_VERSION);
	SSL_set_accept_state(h.ssl);
	SSL_set_bio(h.ssl, in, out);
	while (SSL_do_handshake(h.ssl) != 1) {
		if (BIO_ctrl_pending(out) > 0)
			send_all(out);
		n = read(h.remote, h.heard, sizeof(h.heard));
		cr_assert_gt(n, 0);
		BIO_write(in, h.heard, (int)n);
	}
	reply("220 hi\r\n");
	send_all(out);
	SSL_set_fd(h.ssl, h.remote);
	command("EHLO me.example\r\n");
	reply("250 x\r\n");
	expect(MSG_SESSION_UP);
	quit();
}

/* S-012, S-013 */
Test(worker, the_next_address_is_tried)
{
	struct sockaddr_in nobody = listen_somewhere();
	const struct msg_next *next;

	close(h.listener);
	h.conf.tls_level = TLS_NONE;
	start_worker();
	dial(&nobody, "");
	next = expect(MSG_NEXT);
	expect_text(&next->outcome, OUTCOME_DEFERRED, "4.4.1",
	    "Connection refused");
	connect_as("");
	reply("554 no\r\n");
	command("QUIT\r\n");
	close(h.remote);
	next = expect(MSG_NEXT);
	expect_text(&next->outcome, OUTCOME_FAILED, "5.0.0", "554 no");
	connect_as("");
	reply("220 hi\r\n");
	command("EHLO me.example\r\n");
	reply("250-x\r\n250 PIPELINING\r\n");
	expect(MSG_SESSION_UP);
	transact();
	quit();
}

static void
greet_in_clear(void)
{
	h.remote = accept(h.listener, NULL, NULL);
	reply("220 hi\r\n");
	command("EHLO me.example\r\n");
	reply("250-x\r\n250 PIPELINING\r\n");
	expect(MSG_SESSION_UP);
	transact();
}

/* Those of a dialer that died come before, or beside, that of its successor. */
Test(worker, an_answer_to_another_dial_leads_nowhere)
{
	struct msg_dial_failed late = { .error = ECONNREFUSED };
	struct sockaddr_in elsewhere = listen_somewhere(), here;
	const struct msg_connecting *connecting;
	int other = h.listener;

	h.conf.tls_level = TLS_NONE;
	start_worker();
	here = listen_somewhere();
	answer(&elsewhere, h.number); /* of no dial at all */
	address("");
	late.number = h.number + 1;
	cr_assert_eq(message_send(h.dialer, MSG_DIAL_FAILED, &late, NULL, 0, -1,
			 0),
	    0);
	answer(&elsewhere, h.number - 1);
	answer(&here, h.number);
	answer(&elsewhere, h.number); /* of the successor */
	connecting = expect(MSG_CONNECTING);
	cr_expect_eq(connecting->number, h.number);
	greet_in_clear();
	cr_expect_eq(recv(accept(other, NULL, NULL), h.heard, 1, 0), 0,
	    "what was not taken is closed, unused");
	quit();
}

/* It can refuse a session what it is there for, and nothing else. */
Test(worker, a_lying_dialer_has_no_voice_but_its_own)
{
	struct msg_address lie = { .tls_name = "evil.example", .number = 1 };
	struct msg_none none = { 0 };
	struct sockaddr_in here;
	const struct msg_next *next;
	int i;

	h.conf.tls_level = TLS_NONE;
	start_worker();
	here = listen_somewhere();
	for (i = 0; i < 3; i++) {
		address("");
		cr_assert_eq(i == 0 ? message_send(h.dialer, MSG_ADDRESS, &lie,
					  NULL, 0, -1, 0)
				: i == 1
				? message_send(h.dialer, MSG_QUIT, &none, NULL,
				      0, -1, 0)
				: (int)send(h.dialer, "x", 1, 0) - 1,
		    0);
		next = expect(MSG_NEXT);
		expect_text(&next->outcome, OUTCOME_DEFERRED, "4.4.1",
		    "Protocol error");
	}
	address("");
	answer(&here, h.number);
	greet_in_clear();
	quit();
}

Test(worker, a_second_address_ends_it)
{
	start_worker();
	address("mx.example");
	address("evil.example");
	expect_exit(WORKER_MISLED);
}

/* S-011, S-017 */
Test(worker, a_silent_server_meets_its_timer)
{
	const struct msg_next *next;
	int64_t start = time_monotonic_ms();

	h.conf.tls_level = TLS_NONE;
	h.conf.timer_ms[TIMER_GREETING] = 200;
	start_worker();
	connect_as("");
	next = expect(MSG_NEXT);
	expect_text(&next->outcome, OUTCOME_DEFERRED, "4.4.2", "timed out");
	cr_expect_geq(time_monotonic_ms() - start, 200);
	cr_expect_lt(time_monotonic_ms() - start, 2000);
	cr_expect_eq(read(h.remote, h.heard, 1), 0);
	kill(h.pid, SIGKILL);
}

Test(worker, the_cap_ends_a_session_that_goes_on)
{
	const struct msg_outcome *outcome;

	h.conf.timer_ms[TIMER_SESSION] = 300;
	come_up_in_clear();
	send_job(MAIL_TEXT, strlen(MAIL_TEXT));
	expect(MSG_BEGUN);
	outcome = expect(MSG_OUTCOME);
	expect_text(&outcome->outcome, OUTCOME_DEFERRED, "4.4.2",
	    "the session's time is up, while waiting for the reply to MAIL");
	expect(MSG_CLOSED);
	expect_exit(WORKER_DONE);
}

Test(worker, the_cap_ends_an_idle_session_in_peace)
{
	const struct msg_closed *closed;

	h.conf.timer_ms[TIMER_SESSION] = 300;
	come_up_in_clear();
	command("QUIT\r\n");
	reply("221 bye\r\n");
	closed = expect(MSG_CLOSED);
	cr_expect_eq(closed->failed, 0);
	expect_exit(WORKER_DONE);
}

static char *
large_mail(size_t size)
{
	char *text = malloc(size);

	for (size_t i = 0; i < size; i++)
		text[i] = i % 80 == 78 ? '\r'
		    : i % 80 == 79     ? '\n'
				       : (char)('a' + i % 23);
	return text;
}

static void
start_large_mail(const char *text, size_t size)
{
	send_job(text, size);
	expect(MSG_BEGUN);
	command("MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n");
	reply("250 ok\r\n250 ok\r\n354 go\r\n");
}

Test(worker, a_large_message_arrives_as_it_is)
{
	const size_t size = 5 * 1024 * 1024;
	char *text = large_mail(size), *got = malloc(size);
	size_t len = 0;
	ssize_t n;

	start_worker();
	connect_as("mx.example");
	come_up_in_tls(good_cert(), TLS1_3_VERSION);
	start_large_mail(text, size);
	while (len < size) {
		n = hear(got + len, size - len);
		cr_assert_gt(n, 0);
		len += (size_t)n;
		if (len < 1000000)
			usleep(500); /* let its writes meet a full socket */
	}
	cr_expect_eq(memcmp(got, text, size), 0);
	expect(MSG_COMMITTING);
	command(".\r\n");
	reply("250 ok\r\n");
	expect(MSG_OUTCOME);
	quit();
}

/* Four messages in flights of one, two and one; under the filter. */
Test(worker, messages_leave_together_where_chunks_are_taken)
{
	static const char one[] = "MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\n"
				  "BDAT 21 LAST\r\n" MAIL_TEXT;
	char two[2 * sizeof(one) + 8];

	h.conf.tls_level = TLS_NONE;
	start_worker();
	connect_as("");
	reply("220 hi\r\n");
	command("EHLO me.example\r\n");
	reply("250-x\r\n250-CHUNKING\r\n250 PIPELINING\r\n");
	expect(MSG_SESSION_UP);
	send_job(MAIL_TEXT, strlen(MAIL_TEXT));
	expect(MSG_COMMITTING);
	command(one);
	/* These are there when the first is answered. */
	for (int i = 0; i < 3; i++)
		send_job(MAIL_TEXT, strlen(MAIL_TEXT));
	reply("250 ok\r\n250 ok\r\n250 ok\r\n");
	expect(MSG_OUTCOME);
	expect(MSG_COMMITTING);
	(void)snprintf(two, sizeof(two), "%sRSET\r\n%s", one, one);
	command(two);
	reply("250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n"
	      "250 ok\r\n");
	expect(MSG_OUTCOME);
	expect(MSG_OUTCOME);
	expect(MSG_COMMITTING);
	command(one);
	reply("250 ok\r\n250 ok\r\n250 ok\r\n");
	expect(MSG_OUTCOME);
	quit();
}

/* S-123 */
Test(worker, a_refusal_in_the_middle_is_what_is_reported)
{
	const size_t size = 5 * 1024 * 1024;
	char *text = large_mail(size);
	const struct msg_outcome *outcome;

	come_up_in_clear();
	start_large_mail(text, size);
	reply("552 5.3.4 too big\r\n");
	shutdown(h.remote, SHUT_WR);
	usleep(100000);
	close(h.remote); /* with octets unread: a reset */
	outcome = expect(MSG_OUTCOME);
	expect_text(&outcome->outcome, OUTCOME_FAILED, "5.3.4", "too big");
	cr_expect_eq(outcome->outcome.in_doubt, 0);
	expect(MSG_CLOSED);
	expect_exit(WORKER_DONE);
}

Test(worker, without_a_queue_no_message_ends)
{
	const size_t size = 5 * 1024 * 1024;
	char *text = large_mail(size);
	size_t len = 0;
	ssize_t n;

	come_up_in_clear();
	start_large_mail(text, size);
	usleep(50000); /* it is stuck in the middle */
	close(h.queue);
	expect_exit(WORKER_ALONE);
	while ((n = hear(h.heard, sizeof(h.heard))) > 0)
		len += (size_t)n;
	cr_expect_lt(len, size);
}

Test(worker, a_short_body_ends_the_connection_without_the_dot)
{
	struct msg_job job = { .job = 1, .size = 100, .nrcpt = 1 };
	const struct msg_outcome *outcome;
	size_t len = 0;
	ssize_t n;

	/* S-122 */
	come_up_in_clear();
	tell(MSG_JOB, &job, "a@x\0\0b@y\0", 10,
	    fd_sealed("body", "short\r\n", 7));
	expect(MSG_BEGUN);
	command("MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n");
	reply("250 ok\r\n250 ok\r\n354 go\r\n");
	outcome = expect(MSG_OUTCOME);
	expect_text(&outcome->outcome, OUTCOME_DEFERRED, "4.3.0",
	    "cannot be read");
	while ((n = hear(h.heard, sizeof(h.heard))) > 0)
		len += (size_t)n;
	cr_expect_eq(len, 0);
	kill(h.pid, SIGKILL);
}

Test(worker, a_queue_that_breaks_the_rules_ends_the_worker)
{
	start_worker();
	send_job(MAIL_TEXT, strlen(MAIL_TEXT));
	expect_exit(WORKER_MISLED);
}
