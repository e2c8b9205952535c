/* SPDX-License-Identifier: ISC */
/*
 * Who a client of LMTP or SMTP is, whether it may come in, and what its session
 * may do, all as the configuration says when it connects.
 */
#include "master/intake/smtpd/smtpd_internal.h"

#include <sys/socket.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* By a Unix socket, or over loopback. */
static bool
is_local(const struct smtpd *d)
{
	static const uint8_t loopback6[16] = { [15] = 1 };

	if (d->family == AF_INET)
		return d->addr[0] == 127;
	return d->family != AF_INET6 ||
	    memcmp(d->addr, loopback6, sizeof(loopback6)) == 0;
}

static void
name_peer(struct smtpd *d)
{
	char address[INET6_ADDRSTRLEN];

	if (d->family == AF_UNIX) {
		(void)snprintf(d->peer, sizeof(d->peer), "localhost[uid=%u]",
		    d->uid);
		return;
	}
	(void)inet_ntop(d->family, d->addr, address, sizeof(address));
	(void)snprintf(d->peer, sizeof(d->peer), "%s[%s]",
	    is_local(d) ? "localhost" : "unknown", address);
}

int
smtpd_policy_find_peer(struct smtpd *d, const struct sockaddr_storage *from)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;
	const struct sockaddr_in *in = (const struct sockaddr_in *)from;
	struct ucred cred;
	socklen_t len = sizeof(cred);

	d->family = from->ss_family;
	d->uid = UID_OF_NETWORK;
	switch (d->family) {
	case AF_INET:
		memcpy(d->addr, &in->sin_addr, sizeof(in->sin_addr));
		d->port = ntohs(in->sin_port);
		break;
	case AF_INET6:
		memcpy(d->addr, &in6->sin6_addr, sizeof(in6->sin6_addr));
		d->port = ntohs(in6->sin6_port);
		break;
	default:
		d->family = AF_UNIX;
		if (getsockopt(d->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) ==
		    -1)
			return -1;
		d->uid = cred.uid;
		d->pid = (uint32_t)cred.pid;
		break;
	}
	name_peer(d);
	return 0;
}

static bool
is_among(const uint32_t *uids, size_t n, uint32_t uid)
{
	for (size_t i = 0; i < n; i++)
		if (uids[i] == uid)
			return true;
	return false;
}

static bool
may_come(const struct smtpd *d, const struct config_listener *l)
{
	const struct mail_listener *of = &d->in->mail_listeners[d->listener];

	if (d->family != AF_UNIX)
		return config_listener_lets_in(l, d->family, d->addr);
	return of->any || d->uid == 0 || is_among(of->uids, of->count, d->uid);
}

static bool
is_trusted(const struct smtpd *d, const struct config_listener *l)
{
	const struct mail_listener *of = &d->in->mail_listeners[d->listener];

	if (d->family != AF_UNIX)
		return config_listener_trusts(l, d->family, d->addr);
	return is_among(of->uids + of->count, of->trusted, d->uid);
}

/* What it may do. */

static uint32_t
what_is_offered(const struct smtpd_policy *p, const struct config_listener *l,
    bool has_certificate)
{
	const bool final = l->answer == CONFIG_ANSWER_FINAL;
	static const char *const keywords[SMTPD_CAN_COUNT] = {
#define CAPABILITY(name, keyword) [SMTPD_CAN_##name] = keyword,
#include "common/capabilities.def"
#undef CAPABILITY
	};
	const struct config_list *not = &l->smtpd_discard_ehlo_keywords;
	uint32_t offers = 1u << SMTPD_CAN_PIPELINING | 1u << SMTPD_CAN_SIZE |
	    1u << SMTPD_CAN_EIGHTBITMIME | 1u << SMTPD_CAN_CHUNKING |
	    1u << SMTPD_CAN_ENHANCEDSTATUSCODES | 1u << SMTPD_CAN_BINARYMIME |
	    1u << SMTPD_CAN_DSN | 1u << SMTPD_CAN_SMTPUTF8 |
	    1u << SMTPD_CAN_REQUIRETLS | 1u << SMTPD_CAN_DELIVERBY |
	    1u << SMTPD_CAN_MT_PRIORITY;

	/* Where nothing is kept nobody writes a notification: whoever hands mail
	 * over does, as to any server without DSN (RFC 3461, 5.2.2). */
	if (final)
		offers &= ~(1u << SMTPD_CAN_DSN);
	if (has_certificate && l->tls_security_level != CONFIG_TLS_NONE)
		offers |= 1u << SMTPD_CAN_STARTTLS;
	offers |= p->one_recipient ? 1u << SMTPD_CAN_LIMITS : 0;
	offers |= p->trusted ? 1u << SMTPD_CAN_XFORWARD : 0;
	for (size_t i = 0; i < not ->count; i++)
		for (size_t j = 0; j < SMTPD_CAN_COUNT; j++)
			if (strcasecmp(not ->words[i], keywords[j]) == 0)
				offers &= ~(1u << j);
	if ((offers >> SMTPD_CAN_CHUNKING & 1) == 0)
		offers &= ~(1u << SMTPD_CAN_BINARYMIME); /* RFC 3030, 3 */
	return offers;
}

void
smtpd_policy_make(const struct smtpd *d, const struct config_listener *l,
    struct smtpd_policy *p)
{
	const struct config *c = d->in->clients.config;

	memset(p, 0, sizeof(*p));
	p->lmtp = d->lmtp;
	p->one_recipient = d->final && !d->lmtp;
	p->normalize = l->smtpd_forbid_bare_newline == CONFIG_BARE_NORMALIZE;
	p->denied = !may_come(d, l);
	p->trusted = is_trusted(d, l);
	p->needs_tls = l->tls_security_level == CONFIG_TLS_ENCRYPT;
	p->offers = what_is_offered(p, l,
	    d->in->mail_listeners[d->listener].tls != NULL);
	p->size_limit = l->message_size_limit != 0 ? l->message_size_limit
						   : c->message_size_limit;
	p->rcpt_limit = (uint32_t)l->smtpd_recipient_limit;
	if (p->rcpt_limit > (uint32_t)c->job_recipient_limit)
		p->rcpt_limit = (uint32_t)c->job_recipient_limit;
	p->error_limit = (uint32_t)l->smtpd_hard_error_limit;
	p->junk_limit = (uint32_t)l->smtpd_junk_command_limit;
	p->line_limit = (size_t)l->line_length_limit;
	strlcpy(p->hostname, d->hostname, sizeof(p->hostname));
	if (is_local(d))
		strlcpy(p->origin,
		    c->myorigin[0] != '\0' ? c->myorigin : d->hostname,
		    sizeof(p->origin));
}

/* Who a client is would go to no server: it need not be kept, then. */
static bool
has_client_command(const struct config *c)
{
	for (size_t i = 0; i < c->ntransports; i++)
		if (c->transports[i].client_command != CONFIG_CLIENT_NONE)
			return true;
	return false;
}

void
smtpd_policy_configure(struct smtpd *d, const struct config_listener *l)
{
	const char *name = l->hostname[0] != '\0'
	    ? l->hostname
	    : d->in->clients.config->hostname;

	strlcpy(d->hostname, name[0] != '\0' ? name : "localhost",
	    sizeof(d->hostname));
	strlcpy(d->via, l->transport, sizeof(d->via));
	d->tells_client = has_client_command(d->in->clients.config);
	d->lmtp = l->protocol == CONFIG_PROTOCOL_LMTP;
	d->final = l->answer == CONFIG_ANSWER_FINAL;
	d->names_remote = l->answer_names_remote;
	d->timeout_ms = (int64_t)l->smtpd_timeout * 1000;
	d->transaction_timeout_ms = (int64_t)l->transaction_timeout * 1000;
}
