/* SPDX-License-Identifier: ISC */
/*
 * The lines of LMTP and SMTP sessions, as Postfix's smtpd writes them, so that
 * what reads its log reads ours.
 */
#include "master/intake/smtpd/smtpd_internal.h"
#include "master/intake/tls/tls_server.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"

#define ESCAPED_SIZE 1024 /* of an address or a name */
#define FOREIGN_MAX  100  /* octets of a line that is no command */

static void line(const struct smtpd *d, enum log_level level, const char *event,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

static void
line(const struct smtpd *d, enum log_level level, const char *event,
    const char *fmt, ...)
{
	char text[LOG_LINE_MAX / 2], json[LOG_LINE_MAX] = "";
	va_list ap;
	size_t len;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap); /* cut short is fine */
	va_end(ap);
	if (log_is_json()) {
		len = (size_t)snprintf(json, sizeof(json),
		    "{\"event\":\"%s\",\"client\":\"%s\",\"text\":\"", event,
		    d->peer);
		log_escape_json(json + len, sizeof(json) - len - 2, text,
		    strlen(text));
		(void)strlcat(json, "\"}", sizeof(json));
	}
	/* Of LMTP as well: Postfix has no name for that, nor have its readers. */
	log_event(level, "smtpd", json[0] != '\0' ? json : text);
}

void
smtpd_log_connect(const struct smtpd *d)
{
	line(d, LOG_INFO, "connect", "connect from %s", d->peer);
}

/* "rcpt=1/3": one of three went well. */
static size_t
add_count(char *out, size_t size, size_t len, const char *name, uint32_t good,
    uint32_t all)
{
	int n;

	if (all == 0)
		return len;
	n = good == all
	    ? snprintf(out + len, size - len, " %s=%" PRIu32, name, all)
	    : snprintf(out + len, size - len, " %s=%" PRIu32 "/%" PRIu32, name,
		  good, all);
	return n > 0 && (size_t)n < size - len ? len + (size_t)n : len;
}

void
smtpd_log_disconnect(const struct smtpd *d)
{
	const struct smtpd_count *counts = smtpd_session_counts(d->session);
	uint32_t good = 0, all = 0;
	char out[400] = "", name[16];
	size_t len = 0, i, j;

	for (i = 0; i < SMTPD_VERB_COUNT; i++) {
		strlcpy(name, smtpd_command_verb_name((enum smtpd_verb)i),
		    sizeof(name));
		for (j = 0; name[j] != '\0'; j++)
			name[j] = (char)(name[j] - 'A' + 'a');
		len = add_count(out, sizeof(out), len, name, counts[i].good,
		    counts[i].all);
		good += counts[i].good;
		all += counts[i].all;
	}
	if (all == 0)
		strlcpy(out, " commands=0/0", sizeof(out));
	else
		(void)add_count(out, sizeof(out), len, "commands", good, all);
	line(d, LOG_INFO, "disconnect", "disconnect from %s%s", d->peer, out);
}

/* ", orig_queue_id=..., orig_client=name[address]" of XFORWARD. */
static void
write_origin(const struct smtpd_xforward *x, char *out, size_t size)
{
	const char *name = x->values[SMTPD_NAME], *addr = x->values[SMTPD_ADDR];
	char ident[ESCAPED_SIZE], origin[2][ESCAPED_SIZE];
	bool has_ident = x->values[SMTPD_IDENT][0] != '\0';
	bool has_client = name[0] != '\0' || addr[0] != '\0';

	if (strncmp(addr, "IPV6:", 5) == 0)
		addr += 5;
	(void)snprintf(out, size, "%s%s%s%s%s%s%s",
	    has_ident ? ", orig_queue_id=" : "",
	    log_escape(ident, sizeof(ident), x->values[SMTPD_IDENT],
		strlen(x->values[SMTPD_IDENT])),
	    has_client ? ", orig_client=" : "",
	    has_client ? log_escape(origin[0], sizeof(origin[0]),
			     name[0] != '\0' ? name : "unknown",
			     strlen(name[0] != '\0' ? name : "unknown"))
		       : "",
	    has_client ? "[" : "",
	    has_client ? log_escape(origin[1], sizeof(origin[1]),
			     addr[0] != '\0' ? addr : "unknown",
			     strlen(addr[0] != '\0' ? addr : "unknown"))
		       : "",
	    has_client ? "]" : "");
}

void
smtpd_log_name(const struct smtpd *d, char *out, size_t size)
{
	char origin[3 * ESCAPED_SIZE];

	write_origin(smtpd_session_forwarded(d->session), origin,
	    sizeof(origin));
	(void)snprintf(out, size, "%s%s", d->peer, origin); /* cut is fine */
}

/* The address of a command, of one that is none as it came. */
static void
write_address(const struct smtpd_command *c, char out[ESCAPED_SIZE])
{
	const char *at = c->path.path;
	size_t n = strlen(at);

	if (n == 0 && c->rest_len > 0) {
		at = c->rest + (c->rest[0] == '<' ? 1 : 0);
		n = c->rest_len - (size_t)(at - c->rest);
		n -= n > 0 && at[n - 1] == '>' ? 1 : 0;
	}
	(void)log_escape(out, ESCAPED_SIZE, at, n);
}

void
smtpd_log_reject(const struct smtpd *d, const char *at,
    const struct smtpd_reply *reply)
{
	const struct smtpd_command *c = smtpd_session_command(d->session);
	enum smtpd_state state = smtpd_session_state(d->session);
	const char *helo = smtpd_session_helo(d->session);
	char from[ESCAPED_SIZE] = "", to[ESCAPED_SIZE] = "";
	char name[ESCAPED_SIZE], text[ESCAPED_SIZE];
	bool of_rcpt = c->verb == SMTPD_VERB_RCPT;
	bool has_from = state >= SMTPD_IN_MAIL && state <= SMTPD_IN_CHUNKS;
	const char *path = smtpd_session_envelope(d->session)->from;

	if (has_from)
		log_escape(from, sizeof(from), path, strlen(path));
	if (c->verb == SMTPD_VERB_MAIL && !has_from) {
		write_address(c, from);
		has_from = true;
	}
	if (of_rcpt)
		write_address(c, to);
	log_escape(name, sizeof(name), helo, strlen(helo));
	log_escape(text, sizeof(text), reply->text, strlen(reply->text));
	line(d, LOG_INFO, "reject",
	    "NOQUEUE: reject: %s from %s: %u %s%s<%s>: %s rejected: "
	    "%s;%s%s%s%s%s%s "
	    "proto=%s%s%s%s",
	    at, d->peer, reply->code, reply->dsn != NULL ? reply->dsn : "",
	    reply->dsn != NULL ? " " : "",
	    of_rcpt        ? to
		: has_from ? from
			   : d->peer,
	    of_rcpt        ? "Recipient address"
		: has_from ? "Sender address"
			   : "Client host",
	    text, has_from ? " from=<" : "", from, has_from ? ">" : "",
	    of_rcpt ? " to=<" : "", to, of_rcpt ? ">" : "",
	    d->lmtp                                     ? "LMTP"
		: smtpd_session_is_extended(d->session) ? "ESMTP"
							: "SMTP",
	    helo[0] != '\0' ? " helo=<" : "", name, helo[0] != '\0' ? ">" : "");
}

void
smtpd_log_foreign(const struct smtpd *d)
{
	const struct smtpd_command *c = smtpd_session_command(d->session);
	size_t n = c->rest_len < FOREIGN_MAX ? c->rest_len : FOREIGN_MAX;
	char text[ESCAPED_SIZE];

	log_escape(text, sizeof(text), c->rest, n);
	line(d, LOG_WARN, "foreign", "non-%s command from %s: %s",
	    d->lmtp ? "LMTP" : "SMTP", d->peer, text);
}

void
smtpd_log_doubt(const struct smtpd *d, const char *rcpt,
    const struct smtpd_reply *reply)
{
	char to[ESCAPED_SIZE];

	log_escape(to, sizeof(to), rcpt, strlen(rcpt));
	line(d, LOG_INFO, "doubt", "%llX: to=<%s>: %s was answered %u %s (%s)",
	    (unsigned long long)d->mail_id, to, d->peer, reply->code,
	    reply->dsn, reply->text);
}

void
smtpd_log_tls(const struct smtpd *d)
{
	line(d, LOG_INFO, "tls",
	    "Anonymous TLS connection established from %s: %s with cipher %s",
	    d->peer, tls_server_stream_version(d->tls),
	    tls_server_stream_cipher(d->tls));
}

/* What the client knows of its last message. */
static void
write_unheard(const struct smtpd *d, char *out, size_t size)
{
	char id[32] = "the message";

	if (d->mail_id != 0)
		(void)snprintf(id, sizeof(id), "message %llX",
		    (unsigned long long)d->mail_id);
	if (smtpd_session_owed(d->session) > 0)
		(void)snprintf(out, size, ": %s was not answered", id);
	else if (d->broken || smtpd_io_has_output(d))
		(void)snprintf(out, size,
		    ": the answer to %s may not have been received", id);
}

/* The words are those of Postfix's smtpd. */
void
smtpd_log_lost(const struct smtpd *d, const char *what)
{
	const struct smtpd_count *counts = smtpd_session_counts(d->session);
	char after[64] = "CONNECT", unheard[128] = "";
	uint64_t octets;
	const char *verb =
	    smtpd_command_verb_name(smtpd_session_command(d->session)->verb);

	for (size_t i = 0; i < SMTPD_VERB_COUNT; i++)
		if (counts[i].all > 0) {
			strlcpy(after, verb, sizeof(after));
			break;
		}
	if (smtpd_session_is_behind_message(d->session)) {
		strlcpy(after, "END-OF-MESSAGE", sizeof(after));
		write_unheard(d, unheard, sizeof(unheard));
	} else if (smtpd_session_is_in_message(d->session, &octets)) {
		(void)snprintf(after, sizeof(after), "%s (%llu bytes)", verb,
		    (unsigned long long)octets);
	}
	line(d, LOG_INFO, "lost", "%s after %s from %s%s", what, after, d->peer,
	    unheard);
}
