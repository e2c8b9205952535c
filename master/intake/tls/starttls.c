/* SPDX-License-Identifier: ISC */
/*
 * See starttls.h.  A signature is waited for: the signer takes a millisecond for
 * it, which OpenSSL would take here, and it speaks with nobody else.
 */
#include "master/intake/tls/starttls.h"

#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "common/util.h"
#include "master/intake/intake_internal.h"
#include "master/intake/tls/tls_server.h"

enum {
	SIGNER_WAIT_MS = 2000,
	/* After a wait in vain, so that clients cannot make us do nothing else. */
	SIGNER_REST_MS = 10000,
	CERTIFICATES_MAX = 1 << 20, /* octets */
};

/* 1: an answer came, 0: the time is over, -1: the signer is gone. */
static int
receive(struct intake *in, struct message *m, int64_t until_ms)
{
	static _Alignas(8) uint8_t packet[MSG_PACKET_SIZE];
	struct pollfd pfd = { in->signer_fd, POLLIN, 0 };
	struct timespec wait = { 0 };
	const char *why = NULL;
	int64_t left_ms;
	int got;

	do { /* who is stopped and goes on looks again */
		left_ms = until_ms - time_monotonic_ms();
		if (left_ms <= 0)
			return 0;
		wait.tv_sec = left_ms / 1000;
		wait.tv_nsec = left_ms % 1000 * 1000000;
		got = ppoll(&pfd, 1, &wait, NULL);
	} while (got == -1 && errno == EINTR);
	if (got == 0)
		return 0;
	if (got == -1)
		return -1;
	got = message_receive(in->signer_fd, packet, ROLE_SIGNER, ROLE_INTAKE,
	    MSG_DONTWAIT, m, &why);
	return got == 1 ? 1 : -1;
}

static void
lose_signer(struct intake *in, const char *why)
{
	log_line(LOG_WARN, "the signer does not answer: %s", why);
	fd_close(in->signer_fd);
	in->signer_fd = -1; /* the master brings another, if it died */
}

static size_t
ask_signer(void *ctx, const struct remote_key_how *how, const uint8_t *in_data,
    size_t n, uint8_t *out, size_t size)
{
	int64_t now_ms = time_monotonic_ms();
	int64_t until_ms = now_ms + SIGNER_WAIT_MS;
	struct intake *in = ctx;
	struct msg_sign ask = { .key = how->key,
		.hash_bits = how->hash_bits,
		.pkcs1 = how->pkcs1 ? 1 : 0 };
	const struct msg_signed *answer;
	struct message m;
	int got;

	if (in->signer_fd == -1 || now_ms < in->signer_rests_ms ||
	    n > msg_descs[MSG_SIGN].tail)
		return 0;
	ask.serial = ++in->last_sign;
	if (message_send(in->signer_fd, MSG_SIGN, &ask, in_data, n, -1,
		MSG_DONTWAIT) == -1) {
		lose_signer(in, strerror(errno));
		return 0;
	}
	/* What was waited for in vain before comes late. */
	while ((got = receive(in, &m, until_ms)) == 1) {
		answer = m.payload;
		if (answer->serial != ask.serial)
			continue;
		if (m.tail_len > size)
			return 0;
		memcpy(out, m.tail, m.tail_len);
		return m.tail_len;
	}
	if (got == -1) {
		lose_signer(in, "it is gone");
		return 0;
	}
	in->signer_rests_ms = time_monotonic_ms() + SIGNER_REST_MS;
	log_line(LOG_WARN,
	    "the signer does not answer in %d s: no client gets TLS for %d s",
	    SIGNER_WAIT_MS / 1000, SIGNER_REST_MS / 1000);
	return 0;
}

int
starttls_init(struct intake *in)
{
	in->signer_fd = -1;
	return tls_server_preload(ask_signer, in);
}

void
starttls_take_signer(struct intake *in, int fd)
{
	fd_close(in->signer_fd);
	in->signer_fd = fd;
	in->signer_rests_ms = 0;
}

void
starttls_certificate(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_certificate *msg = m->payload;
	struct tls_server *server = NULL;
	struct intake *in = ctx;
	struct mail_listener *l;
	const char *why = "no memory, or too large";
	char *pem = NULL;
	size_t n = 0;

	(void)from;
	if (msg->listener < CONFIG_LISTENERS_MAX)
		pem = fd_read_all(m->fd, CERTIFICATES_MAX, &n);
	fd_close(m->fd);
	if (pem != NULL)
		server =
		    tls_server_new(pem, n, msg->key, msg->tls_1_2 == 1, &why);
	free(pem);
	if (server == NULL) {
		log_line(LOG_ERROR, "tls_cert_file of listener %u: %s",
		    msg->listener + 1, why);
		return;
	}
	l = &in->mail_listeners[msg->listener];
	tls_server_free(l->tls);
	l->tls = server;
}
