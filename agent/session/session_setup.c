/* SPDX-License-Identifier: ISC */
/*
 * Session initiation (RFC 5321, 3.1): from the first address to a session that
 * is up: connect, greeting, EHLO, STARTTLS, EHLO again.
 */
#include <arpa/inet.h>
#include <sys/socket.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/session/session_internal.h"
#include "agent/smtp/extension.h"
#include "common/address.h"

void
session_setup_ask_first_address(struct session *s)
{
	struct msg_next next = { 0 };

	s->conf = *(const struct msg_session *)s->message->payload;
	session_state_enter(s, STATE_DIAL);
	s->nasked++;
	session_report(s, MSG_NEXT, &next, "");
}

/* Nothing came of it: the question is lost, or the dialer is.  What comes late is
 * of the same address. */
void
session_setup_ask_anew(struct session *s)
{
	struct msg_next next = { .again = NEXT_AGAIN_LOST };

	if (s->cap_is_over) {
		session_end_meet_timeout(s);
		return;
	}
	s->is_addressed = false;
	session_state_enter(s, STATE_DIAL);
	s->nasked++;
	session_report(s, MSG_NEXT, &next, "");
}

/* What to do about it, where a first try meets it: of Unix sockets. */
static const char *
initiation_cure(int error)
{
	switch (error) {
	case EACCES:
		return ": the mode or group of the socket, or of a folder above "
		       "it, keeps the dialer's user out (postern doctor)";
	case ENOENT:
		return ": is its server running, and is that its socket?";
	default:
		return "";
	}
}

/* session_takes_answer() has seen that they are of this address. */
void
session_setup_take_dialed(struct session *s)
{
	s->local = *(const struct msg_dialed *)s->message->payload;
	s->is_addressed = false;
	session_state_enter(s, STATE_CONNECT);
	if (s->conf.tls_level == TLS_VERIFY &&
	    !address_is_host(s->address.tls_name)) {
		session_judge(s, "4.7.5",
		    "protocol error: no legal name to verify in a certificate");
		session_end_fail(s, FAREWELL_NONE);
	}
}

void
session_setup_take_dial_failed(struct session *s)
{
	const struct msg_dial_failed *failed = s->message->payload;
	const char *why = strerrordesc_np(failed->error);

	s->is_addressed = false;
	session_judge(s, "4.4.1", "cannot connect: %s%s",
	    why != NULL ? why : "unknown error",
	    initiation_cure(failed->error));
	session_end_fail(s, FAREWELL_NONE);
}

/* One for each NEXT: another would move a connection that is on its way. */
void
session_setup_take_address(struct session *s)
{
	struct msg_address *a = &s->address;
	const struct message *m = s->message;

	if (s->is_addressed) {
		s->is_misled = true;
		return;
	}
	*a = *(const struct msg_address *)m->payload;
	if (m->tail_len > 0)
		memcpy(s->discard, m->tail, m->tail_len);
	s->discard[m->tail_len] = '\0';
	a->avoid |= s->avoid;
	/* One for each time that we asked; the last is what counts. */
	s->is_misled = s->nasked == 0 || strlen(s->discard) != m->tail_len;
	if (s->is_misled || --s->nasked > 0)
		return;
	s->is_addressed = true;
}

/* Before a transaction was possible, nobody is owed a farewell. */
void
session_setup_end_early(struct session *s)
{
	s->out.len = 0;
	s->ops->hang_up(s->arg);
	session_state_enter(s, STATE_OVER);
}

static void
start_tls(struct session *s)
{
	enum session_tls_start how = SESSION_TLS_INJECTED;
	const char *why = "";

	if (s->leftover == 0)
		how = s->ops->start_tls(s->arg, &why);
	switch (how) {
	case SESSION_TLS_STARTED:
		s->out.len = 0;
		session_state_enter(s, STATE_TLS);
		break;
	case SESSION_TLS_INJECTED:
		session_judge(s, "4.7.0",
		    "injection: octets in clear where TLS was to start");
		session_end_fail(s, FAREWELL_NONE);
		break;
	case SESSION_TLS_REFUSED:
		session_state_enter(s, STATE_TLS);
		s->cause = why;
		session_end_meet_tls_failure(s);
		s->cause = NULL;
		break;
	}
}

static void
await_greeting(struct session *s)
{
	s->expected = 1;
	session_state_enter(s, STATE_GREETING);
}

void
session_setup_begin_connection(struct session *s)
{
	if (s->conf.implicit_tls)
		start_tls(s);
	else
		await_greeting(s);
}

/* The configured name, or the literal of our end (RFC 5321, 4.1.3). */
static void
write_own_name(const struct session *s, char *name, size_t size)
{
	char text[INET6_ADDRSTRLEN] = "";

	(void)inet_ntop(s->local.family, s->local.addr, text, sizeof(text));
	if (s->conf.ehlo_name[0] != '\0')
		strlcpy(name, s->conf.ehlo_name, size);
	else if (s->local.family == AF_INET)
		(void)snprintf(name, size, "[%s]", text);
	else if (s->local.family == AF_INET6)
		(void)snprintf(name, size, "[IPv6:%s]", text);
	else
		strlcpy(name, "localhost", size);
}

static void
say_hello(struct session *s, enum command_hello verb, enum session_state state)
{
	char name[MSG_HOST_SIZE];
	size_t from = s->out.len;

	ehlo_clear(&s->caps);
	write_own_name(s, name, sizeof(name));
	session_state_enter(s, state);
	if (smtp_command_write_hello(&s->out, verb, name) != COMMAND_OK) {
		session_judge(s, "4.3.5", "our own name cannot be sent");
		session_end_fail(s, FAREWELL_QUIT);
		return;
	}
	session_command_written(s, from);
}

void
session_setup_say_hello(struct session *s, enum session_state state)
{
	if ((s->address.avoid & AVOID_EHLO) && state == STATE_HELLO &&
	    !s->in_tls && s->conf.protocol == SESSION_SMTP &&
	    s->conf.tls_level <= TLS_MAY) {
		say_hello(s, COMMAND_HELO, STATE_HELO);
		return;
	}
	say_hello(s, session_is_lmtp(s) ? COMMAND_LHLO : COMMAND_EHLO, state);
}

void
session_setup_learn(struct session *s)
{
	ehlo_discard(&s->caps, s->conf.discard);
	ehlo_discard(&s->caps, s->discard);
	if (s->address.avoid & AVOID_PIPELINING)
		ehlo_discard(&s->caps, "PIPELINING CHUNKING ");
	if (s->address.avoid & AVOID_CHUNKING)
		ehlo_discard(&s->caps, "CHUNKING ");
	ehlo_finish(&s->caps, s->in_tls);
	s->parameters = extension_parameters(&s->caps);
}

/* A firewall that hides what the server says reads what we say, too. */
static bool
is_masked(const struct reply *reply)
{
	size_t n;
	const uint8_t *text = reply_line_text(reply, &n);
	size_t stars = 0;

	while (stars < n && text[stars] == '*')
		stars++;
	return stars > 8;
}

void
session_setup_take_greeting(struct session *s)
{
	if (s->reply.code != 220) {
		session_end_fail_by_reply(s, FAREWELL_QUIT);
		return;
	}
	s->greeted = true;
	if (is_masked(&s->reply))
		s->address.avoid |= AVOID_PIPELINING;
	session_setup_say_hello(s, STATE_HELLO);
}

/* Capabilities are known: up into TLS, or on. */
static void
choose_security(struct session *s)
{
	bool offered = ehlo_offers(&s->caps, CAPABILITY_STARTTLS);

	if (s->in_tls || s->in_clear || s->conf.tls_level == TLS_NONE ||
	    (s->conf.tls_level == TLS_MAY && !offered)) {
		session_auth_begin(s);
		return;
	}
	session_state_enter(s, STATE_STARTTLS);
	if (offered) {
		session_command_word(s, COMMAND_STARTTLS);
		return;
	}
	/* RFC 8689, 4.2.1: who demands it hears at once. */
	session_judge(s, s->conf.require_tls ? "5.7.10" : "4.7.4",
	    "STARTTLS unavailable: the server does not offer it");
	session_end_fail(s, FAREWELL_QUIT);
}

/* RFC 5321, 3.2 and 4.1.4: a server that does not know EHLO may say so in many
 * ways, and some refuse it by policy and take HELO. */
static bool
may_mean_helo(unsigned int code)
{
	return (code >= 500 && code <= 504) || code == 550 || code == 554;
}

void
session_setup_take_hello(struct session *s)
{
	unsigned int code = s->reply.code;

	if (code == 250) {
		session_setup_learn(s);
		choose_security(s);
	} else if (may_mean_helo(code) && s->conf.protocol == SESSION_SMTP &&
	    !s->in_tls) {
		say_hello(s, COMMAND_HELO, STATE_HELO);
	} else {
		if (code / 100 == 4)
			session_end_learn_helo(s);
		session_end_fail_by_reply(s, FAREWELL_QUIT);
	}
}

void
session_setup_take_helo(struct session *s)
{
	if (s->reply.code != 250)
		session_end_fail_by_reply(s, FAREWELL_QUIT);
	else
		choose_security(s);
}

void
session_setup_take_starttls(struct session *s)
{
	if (s->reply.code == 220) {
		start_tls(s);
	} else if (session_judge_reply(s)) {
		session_end_fail(s, FAREWELL_QUIT);
	} else {
		session_judge(s, "4.5.0",
		    "protocol error: reply %u to STARTTLS (RFC 3207, 4)",
		    s->reply.code);
		s->verdict.outcome.code = (uint16_t)s->reply.code;
		session_end_fail(s, FAREWELL_QUIT);
	}
}

/* RFC 3207, 4.2: what was said in clear is void. */
void
session_setup_begin_in_tls(struct session *s)
{
	s->in_tls = true;
	s->expected = 0;
	ehlo_clear(&s->caps);
	reply_init(&s->reply);
	if (s->greeted)
		session_setup_say_hello(s, STATE_HELLO);
	else
		await_greeting(s);
}
