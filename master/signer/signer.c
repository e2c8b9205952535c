/* SPDX-License-Identifier: ISC */
/*
 * The signer: holds the private keys of listeners, and signs with them what a
 * server of TLS has to prove.  It has no network and no file; the intake, which
 * speaks with clients, has no key.
 */
#include <sys/mman.h>

#include <fcntl.h>
#include <openssl/ec.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/role.h"
#include "common/roles.h"
#include "common/sandbox.h"
#include "common/util.h"
#include "master/config.h"
#include "master/signer/sign.h"

enum {
	/* Of each listener the key in use and the one before it: a handshake may
	 * have begun with that. */
	SIGNER_KEYS_MAX = 2 * CONFIG_LISTENERS_MAX,
	SIGNER_PEM_MAX = 2 << 20, /* octets: certificates and key */
};

struct signer {
	struct role role;
	struct channel *intake; /* NULL: dead, or not yet told */
	struct {
		uint32_t number;
		bool tls_1_2;  /* signs for TLS 1.2 as well as for 1.3 */
		EVP_PKEY *key; /* NULL: free */
	} keys[SIGNER_KEYS_MAX];
	unsigned last; /* the place that was filled last */
};

static const struct sandbox signer_sandbox = { 0 };

static const struct filter_rule signer_filter[] = {
#include "master/signer/signer_filter.def"
};

static EVP_PKEY *
find_key(const struct signer *s, uint32_t number, bool *tls_1_2)
{
	size_t i;

	for (i = 0; i < NELEM(s->keys); i++) {
		if (s->keys[i].key == NULL || s->keys[i].number != number)
			continue;
		*tls_1_2 = s->keys[i].tls_1_2;
		return s->keys[i].key;
	}
	return NULL;
}

static void
keep_key(struct signer *s, uint32_t number, bool tls_1_2, EVP_PKEY *key)
{
	s->last = (s->last + 1) % NELEM(s->keys);
	EVP_PKEY_free(s->keys[s->last].key);
	s->keys[s->last].key = key;
	s->keys[s->last].number = number;
	s->keys[s->last].tls_1_2 = tls_1_2;
}

/* The message's memfd, which is closed; the caller's to freezero(). */
static EVP_PKEY *
read_key(const struct message *m, const char **why)
{
	EVP_PKEY *key = NULL;
	char *pem;
	size_t n;

	pem = fd_read_all(m->fd, SIGNER_PEM_MAX, &n);
	*why = "no memory, or too large";
	if (pem != NULL)
		key = sign_read_pair(pem, n, why);
	freezero(pem, n);
	fd_close(m->fd);
	return key;
}

static void
signer_key(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_key *msg = m->payload;
	struct signer *s = ctx;
	char name[64];
	const char *why;
	EVP_PKEY *key;
	size_t n =
	    m->tail_len < sizeof(name) - 1 ? m->tail_len : sizeof(name) - 1;

	memcpy(name, m->tail, n);
	name[n] = '\0';
	key = read_key(m, &why);
	if (key != NULL) {
		keep_key(s, msg->key, msg->tls_1_2 == 1, key);
		(void)channel_send(from, MSG_KEY_READY, msg, NULL, 0, -1);
	} else if (s->role.phase == PHASE_CONFINED) {
		fatal("listener %s: tls_cert_file and tls_key_file: %s", name,
		    why);
	} else {
		log_line(LOG_ERROR,
		    "listener %s: tls_cert_file and tls_key_file: %s; the "
		    "former ones stay",
		    name, why);
	}
}

static void
signer_sign(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_sign *ask = m->payload;
	struct msg_signed answer = { 0 };
	uint8_t out[SIGN_OUTPUT_MAX];
	struct signer *s = ctx;
	struct sign_how how = { .hash_bits = ask->hash_bits,
		.pkcs1 = ask->pkcs1 == 1 };
	EVP_PKEY *key = find_key(s, ask->key, &how.tls_1_2);
	size_t n = 0;

	answer.serial = ask->serial;
	if (sign_form(m->tail, m->tail_len) == SIGN_FORM_NONE)
		log_line(LOG_ERROR,
		    "the intake asked for a signature of what is no TLS "
		    "handshake: refused");
	else if (key != NULL)
		n = sign_make(key, &how, m->tail, m->tail_len, out,
		    sizeof(out));
	(void)channel_send(from, MSG_SIGNED, &answer, out, n, -1);
}

static void
signer_peer(void *ctx, struct channel *from, const struct message *m)
{
	struct signer *s = ctx;

	(void)from;
	channel_close(s->intake);
	s->intake = role_take_peer(&s->role, m->fd, ROLE_INTAKE, NULL);
}

/* The intake's sessions end before us. */
static void
signer_drain(void *ctx, struct channel *from, const struct message *m)
{
	struct signer *s = ctx;

	(void)from;
	(void)m;
	role_stop(&s->role);
}

/* What the signer takes, and in which of its phases. */
static const struct handler signer_handlers[] = {
	{ MSG_KEY, PHASE_CONFINED | PHASE_READY, signer_key },
	{ MSG_PEER, PHASE_SETUP | PHASE_READY, signer_peer },
	{ MSG_SIGN, PHASE_READY, signer_sign },
	{ MSG_DRAIN, PHASE_READY, signer_drain },
};

static void
signer_closed(void *ctx, struct channel *ch, const char *why)
{
	struct signer *s = ctx;

	(void)why;
	if (ch == s->intake)
		s->intake = NULL; /* the master sends another */
}

/* What OpenSSL loads at its first signature, it loads here. */
static void
warm_up(void)
{
	static const char context[] = "TLS 1.3, server CertificateVerify";
	static const struct sign_how how = { .hash_bits = 256 };
	uint8_t in[64 + sizeof(context) + 32], out[SIGN_OUTPUT_MAX];
	EVP_PKEY *key = EVP_EC_gen("P-256");

	memset(in, ' ', sizeof(in));
	memcpy(in + 64, context, sizeof(context));
	if (key == NULL ||
	    sign_make(key, &how, in, sizeof(in), out, sizeof(out)) == 0)
		fatal("OpenSSL signs nothing");
	EVP_PKEY_free(key);
}

int
signer_run(int parent_fd)
{
	static struct signer s;
	struct msg_ready ready;

	role_init(&s.role, ROLE_SIGNER, parent_fd, signer_handlers,
	    NELEM(signer_handlers), &s, signer_closed);
	warm_up();
	role_setup(&s.role);
	sandbox_root(&signer_sandbox, &s.role.start);
	sandbox_confine(&signer_sandbox, NULL, signer_filter,
	    NELEM(signer_filter), &ready);
	role_settle(&s.role);
	role_loop(&s.role, &ready);
	_exit(0); /* OpenSSL's own end takes calls that a signature does not */
}
