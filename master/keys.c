/* SPDX-License-Identifier: ISC */
/*
 * The certificates and keys of listeners, on their way: the pair to the signer,
 * and what the signer found good, without its key, to the intake.
 */
#include "master/master_internal.h"

#include <string.h>

#include "common/log.h"

/* A number of its own for each listener of each configuration. */
static uint32_t
number_of(const struct master *m, size_t listener)
{
	return m->generation * CONFIG_LISTENERS_MAX + (uint32_t)listener;
}

static uint32_t
speaks_tls_1_2(const struct master *m, size_t listener)
{
	return m->load->config->listeners[listener].smtpd_tls_min_protocol ==
		CONFIG_TLS_FROM_1_2
	    ? 1
	    : 0;
}

void
keys_send_pairs(struct servant *s)
{
	struct master *m = s->master;
	const struct config *c = m->load->config;
	struct msg_key msg = { 0 };

	for (size_t i = 0; i < c->nlisteners; i++) {
		if (m->load->listeners[i].pair_fd == -1)
			continue;
		msg.key = number_of(m, i);
		msg.tls_1_2 = speaks_tls_1_2(m, i);
		servant_send_message(s, MSG_KEY, &msg, c->listeners[i].name,
		    strlen(c->listeners[i].name),
		    m->load->listeners[i].pair_fd);
	}
}

static void
send_certificate(struct servant *intake, size_t listener)
{
	struct master *m = intake->master;
	struct msg_certificate msg = { 0 };

	msg.listener = (uint32_t)listener;
	msg.key = number_of(m, listener);
	msg.tls_1_2 = speaks_tls_1_2(m, listener);
	servant_send_message(intake, MSG_CERTIFICATE, &msg, NULL, 0,
	    m->load->listeners[listener].chain_fd);
}

void
keys_send_certificates(struct servant *s)
{
	const struct load *ld = s->master->load;

	for (size_t i = 0; i < ld->config->nlisteners; i++)
		if (ld->listeners[i].pair_is_good)
			send_certificate(s, i);
}

void
keys_ready(void *ctx, struct channel *from, const struct message *msg)
{
	const struct msg_key *key = msg->payload;
	struct master *m = ctx;
	struct servant *intake = servant_find(m, ROLE_INTAKE);

	(void)from;
	for (size_t i = 0; i < m->load->config->nlisteners; i++) {
		/* Of a configuration that is over; or said before, by a signer
		 * that was started again, or wants to keep us busy. */
		if (m->load->listeners[i].pair_fd == -1 ||
		    key->key != number_of(m, i) ||
		    m->load->listeners[i].pair_is_good)
			continue;
		m->load->listeners[i].pair_is_good = true;
		if (intake != NULL)
			send_certificate(intake, i);
	}
}
