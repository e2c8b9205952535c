/* SPDX-License-Identifier: ISC */
/*
 * Where a message came from, for those who get it: the field Received, and what
 * transports tell by XFORWARD and XCLIENT.
 */
#include "master/intake/smtpd/smtpd_internal.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "common/util.h"

#define FOR_MAX 512 /* octets of a path in the field Received */

/* "[192.0.2.1]", "[IPv6:2001:db8::1]", "uid 33". */
static void
write_client(const struct smtpd *d, char *out, size_t size)
{
	const char *address = strchr(d->peer, '[');

	if (d->family == AF_UNIX)
		(void)snprintf(out, size, "uid %u", d->uid);
	else
		(void)snprintf(out, size, "[%s%s",
		    d->family == AF_INET6 ? "IPv6:" : "",
		    address != NULL ? address + 1 : "]");
}

/* What another server says of its client, where it may not mean anything. */
static void
copy_word(char *out, size_t size, const char *in)
{
	strlcpy(out, in, size);
	for (; *out != '\0'; out++)
		if (strchr("()<>\\\"", *out) != NULL)
			*out = '?';
}

void
smtpd_trace_received(struct smtpd *d)
{
	const struct smtpd_xforward *x = smtpd_session_forwarded(d->session);
	char client[SMTPD_PEER_SIZE], name[SMTPD_XFORWARD_SIZE];
	char addr[SMTPD_XFORWARD_SIZE], forwarded[2 * SMTPD_XFORWARD_SIZE + 4];
	struct received r = { .helo = smtpd_session_helo(d->session) };

	write_client(d, client, sizeof(client));
	copy_word(name, sizeof(name), x->values[SMTPD_NAME]);
	copy_word(addr, sizeof(addr), x->values[SMTPD_ADDR]);
	(void)snprintf(forwarded, sizeof(forwarded), "%s [%s]",
	    name[0] != '\0' ? name : "unknown",
	    strncmp(addr, "IPV6:", 5) == 0 ? addr + 5 : addr);
	r.client = client;
	r.forwarded = x->values[SMTPD_ADDR][0] != '\0' ? forwarded : NULL;
	r.hostname = d->hostname;
	r.id = d->mail.job.ref;
	/* It need not be named (RFC 5321, 4.4), and a line has its limit. */
	if (d->mail.job.nrcpts == 1 && strlen(d->mail.job.rcpts) <= FOR_MAX)
		r.recipient = d->mail.job.rcpts;
	r.lmtp = d->lmtp;
	r.extended = smtpd_session_is_extended(d->session);
	r.tls = smtpd_session_has_tls(d->session);
	r.smtputf8 = smtpd_session_envelope(d->session)->smtputf8;
	r.when_s = time_real_ms() / 1000;
	(void)received_write(&r, d->mail.received);
}

/* The client itself, for who is told nothing of another. */
static void
describe_client(const struct smtpd *d, struct smtpd_xforward *x)
{
	char address[INET6_ADDRSTRLEN];

	memset(x, 0, sizeof(*x)); /* no name: nobody looked it up */
	(void)inet_ntop(d->family, d->addr, address, sizeof(address));
	(void)snprintf(x->values[SMTPD_ADDR], SMTPD_XFORWARD_SIZE, "%s%s",
	    d->family == AF_INET6 ? "IPV6:" : "", address);
	(void)snprintf(x->values[SMTPD_PORT], SMTPD_XFORWARD_SIZE, "%u",
	    d->port);
	strlcpy(x->values[SMTPD_HELO], smtpd_session_helo(d->session),
	    SMTPD_XFORWARD_SIZE);
	strlcpy(x->values[SMTPD_PROTO],
	    smtpd_session_is_extended(d->session) ? "ESMTP" : "SMTP",
	    SMTPD_XFORWARD_SIZE);
}

void
smtpd_trace_client(struct smtpd *d)
{
	const struct smtpd_xforward *told = smtpd_session_forwarded(d->session);
	char *parameters = d->mail.job.parameters;
	struct smtpd_xforward x;

	if (told->told) {
		smtpd_xforward_add(told, parameters);
	} else if (d->tells_client && d->family != AF_UNIX) {
		describe_client(d, &x);
		smtpd_xforward_add(&x, parameters);
	}
}
