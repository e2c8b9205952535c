/* SPDX-License-Identifier: ISC */
/* See received.h. */
#include "master/intake/message/received.h"

#include <stdio.h>

#include "common/date.h"

/* What follows "with" (RFC 3848; RFC 6531, 4.3). */
static const char *
protocol(const struct received *r)
{
	if (r->smtputf8 && r->lmtp)
		return r->tls ? "UTF8LMTPS" : "UTF8LMTP";
	if (r->smtputf8)
		return r->tls ? "UTF8SMTPS" : "UTF8SMTP";
	if (r->lmtp)
		return r->tls ? "LMTPS" : "LMTP";
	if (!r->extended)
		return "SMTP";
	return r->tls ? "ESMTPS" : "ESMTP";
}

size_t
received_write(const struct received *r, char out[RECEIVED_SIZE])
{
	bool forwarded = r->forwarded != NULL;
	char date[DATE_MAIL_SIZE];
	int n;

	date_write_mail(r->when_s, 0, date);
	n = snprintf(out, RECEIVED_SIZE,
	    "Received: from %s (%s)%s%s%s\r\n"
	    "\tby %s (postern) with %s id %s%s%s%s;\r\n"
	    "\t%s\r\n",
	    r->helo, r->client, forwarded ? "\r\n\t(for " : "",
	    forwarded ? r->forwarded : "", forwarded ? ")" : "", r->hostname,
	    protocol(r), r->id, r->recipient != NULL ? "\r\n\tfor <" : "",
	    r->recipient != NULL ? r->recipient : "",
	    r->recipient != NULL ? ">" : "", date);
	return n > 0 && n < RECEIVED_SIZE ? (size_t)n : 0;
}
