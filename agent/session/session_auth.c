/* SPDX-License-Identifier: ISC */
/*
 * The login (RFC 4954), between the last EHLO and a session that is up.  What
 * the mechanisms say is in sasl.c; here is which of them are tried, what goes
 * on a line, and what a reply means.  Whatever goes wrong defers: the mail is
 * not at fault.
 */
#include <sys/socket.h>

#include <stdio.h>
#include <string.h>

#include "agent/session/sasl.h"
#include "agent/session/session_internal.h"
#include "agent/smtp/extension.h"

/* The dialogue shows that there is a challenge, and not which. */
void
session_auth_show_line(struct session *s)
{
	char line[16];

	if (s->reply.code != 334 || s->reply.error != REPLY_OK) {
		session_report_heard(s, s->reply.line, s->reply.line_len);
		return;
	}
	(void)snprintf(line, sizeof(line), "334 %s", SESSION_HIDDEN);
	session_report_heard(s, (const uint8_t *)line, strlen(line));
}

/* The end. */

static void
refuse(struct session *s, const char *dsn, const char *why)
{
	session_judge(s, dsn, "login: %s", why);
	session_end_fail(s, FAREWELL_QUIT);
}

/* All is settled with the server: messages may come. */
static void
come_up(struct session *s)
{
	struct msg_session_up up = { 0 };

	s->ops->get_tls_info(s->arg, &up.tls);
	up.extensions = s->caps.offered;
	up.flights = session_offer_has_flights(s);
	s->up = true;
	s->has_failure = false;
	s->needs_rset = false;
	s->spent = false;
	s->limit = 0;
	s->mails = 0;
	s->delivered = 0;
	s->ndomains = 0;
	s->flight.window = s->address.shown ? 1 : 0;
	s->parameters = extension_parameters(&s->caps);
	session_state_enter(s, STATE_READY);
	session_report(s, MSG_SESSION_UP, &up, "");
}

static void
succeed(struct session *s)
{
	enum auth_secret needs = auth_mechanism_needs(s->login.mechanism);

	/* A server that was told it may say it; one that was shown that we know
	 * it shall not find it here later. */
	if (needs == AUTH_SECRET_NOTHING ||
	    sasl_keeps_secret(s->login.mechanism))
		session_login_forget(s);
	else
		sasl_client_stop();
	explicit_bzero(s->out_octets, SASL_RESPONSE_SIZE + 2);
	come_up(s);
}

/* The next mechanism. */

/*
 * After 535: the server may keep the password in a form that this mechanism is
 * good for, or know the user by it alone.  Nothing that shows the password goes
 * in clear for that; nor where the login that failed was bound to the channel,
 * for then somebody between us and the server is one reason for a failure.
 */
static bool
may_follow_denial(const struct session *s, enum auth_mechanism mechanism)
{
	if (mechanism != AUTH_MECHANISM_PLAIN &&
	    mechanism != AUTH_MECHANISM_LOGIN)
		return true;
	return (s->in_tls || s->local.family == AF_UNIX) &&
	    !auth_mechanism_is_bound(s->login.mechanism);
}

static bool
is_possible(struct session *s, enum auth_mechanism mechanism)
{
	const struct session_login *l = &s->login;
	uint32_t bit = UINT32_C(1) << mechanism;

	if (!ehlo_offers_auth(&s->caps, mechanism) || (l->tried & bit) != 0 ||
	    !sasl_has(mechanism))
		return false;
	if (l->allowed != 0 && (l->allowed & bit) == 0)
		return false;
	if (l->denied && !may_follow_denial(s, mechanism))
		return false;
	if (auth_mechanism_is_bound(mechanism) && l->binding.len == 0)
		return false;
	/* RFC 7628, 3: by TLS alone, whatever was told us; a socket of this
	 * host is no network. */
	if (auth_mechanism_needs(mechanism) == AUTH_SECRET_TOKEN &&
	    !s->in_tls && s->local.family != AF_UNIX)
		return false;
	/* Who one is by other means, nobody guesses. */
	if (auth_mechanism_needs(mechanism) == AUTH_SECRET_NOTHING)
		return l->allowed != 0;
	return auth_mechanism_needs(mechanism) == l->kind;
}

static void
refuse_all(struct session *s)
{
	if (s->login.refused) { /* by replies; the last one is the verdict */
		session_end_fail(s, FAREWELL_QUIT);
		return;
	}
	if (!ehlo_offers(&s->caps, CAPABILITY_AUTH))
		refuse(s, "4.7.4", "the server offers no AUTH here");
	else
		refuse(s, "4.7.4",
		    "no mechanism that the server offers is one that we may "
		    "use and have the credentials for");
}

static void
wrote(struct session *s, const char *line)
{
	s->expected++;
	transcript_note_text(s->transcript, TRANSCRIPT_SECRET, line);
	session_report_sent(s, (const uint8_t *)line, strlen(line));
	session_state_enter(s, STATE_AUTH);
}

static void
send_response(struct session *s, const char *response)
{
	if (smtp_command_write_response(&s->out, response) != COMMAND_OK) {
		refuse(s, "4.7.0", "a response does not fit its line");
		return;
	}
	wrote(s, response[0] == '\0' ? "" : SESSION_HIDDEN);
}

/* RFC 4954, 4: then the server says 501, and nothing came of it. */
static void
break_off(struct session *s, const char *why)
{
	s->login.broken_off = true;
	strlcpy(s->login.cause, why, sizeof(s->login.cause));
	(void)smtp_command_write_response(&s->out,
	    "*"); /* it fits, out is empty */
	wrote(s, "*");
}

/* AUTH with as much of the first response as a line of 512 octets bears. */
static void
say_auth(struct session *s)
{
	struct session_login *l = &s->login;
	const char *name = auth_mechanism_name(l->mechanism);
	const char *initial = NULL;
	char line[64];

	if (auth_mechanism_is_client_first(l->mechanism))
		initial = l->response[0] != '\0' ? l->response : "=";
	l->is_pending = initial != NULL &&
	    smtp_command_write_auth(&s->out, name, initial) != COMMAND_OK;
	if (l->is_pending || initial == NULL)
		(void)smtp_command_write_auth(&s->out, name, NULL);
	(void)snprintf(line, sizeof(line), "AUTH %s%s%s", name,
	    initial != NULL && !l->is_pending ? " " : "",
	    initial != NULL && !l->is_pending ? SESSION_HIDDEN : "");
	wrote(s, line);
}

static bool
start_mechanism(struct session *s, enum auth_mechanism mechanism)
{
	struct session_login *l = &s->login;
	const struct sasl_login login = { l->user, l->authzid, l->secret,
		s->address.host, &l->binding };

	l->mechanism = mechanism;
	l->tried |= UINT32_C(1) << mechanism;
	session_login_keep_told(l);
	return sasl_client_start(mechanism, &login) == 0 &&
	    (!auth_mechanism_is_client_first(mechanism) ||
		sasl_client_step(NULL, 0, l->response) == 0);
}

static void
try_next(struct session *s)
{
	for (unsigned int i = 0; i < AUTH_MECHANISM_COUNT; i++) {
		if (!is_possible(s, (enum auth_mechanism)i))
			continue;
		if (start_mechanism(s, (enum auth_mechanism)i)) {
			say_auth(s);
			return;
		}
		s->login.refused = true; /* by ourselves */
		session_judge(s, "4.7.0", "login: %s: %s",
		    auth_mechanism_name((enum auth_mechanism)i),
		    sasl_client_error());
	}
	refuse_all(s);
}

static void
begin_login(struct session *s)
{
	struct session_login *l = &s->login;

	session_state_enter(s, STATE_AUTH);
	l->tried = 0;
	l->refused = false;
	l->denied = false;
	l->broken_off = false;
	l->binding.len = 0;
	if (!s->in_tls && !l->in_clear) {
		refuse(s, "4.7.11",
		    "nothing is said in clear: let tls_security_level be "
		    "encrypt or verify, or auth_in_clear be yes");
		return;
	}
	if (s->in_tls && s->ops->get_binding != NULL)
		s->ops->get_binding(s->arg, &l->binding);
	try_next(s);
}

/* RFC 8689, 4.2.1: another host of the domain may keep to it. */
void
session_auth_begin(struct session *s)
{
	if (s->conf.require_tls &&
	    !ehlo_offers(&s->caps, CAPABILITY_REQUIRETLS)) {
		session_judge(s, "5.7.30",
		    "REQUIRETLS support required: the server does not offer it");
		session_end_fail(s, FAREWELL_QUIT);
		return;
	}
	if (s->login.wanted)
		begin_login(s);
	else
		come_up(s);
}

/* Replies. */

/* A refusal of the mechanism, and not of who we are (RFC 4954, 4 and 6). */
static bool
is_about_mechanism(const struct session *s)
{
	unsigned int code = s->reply.code;
	unsigned int subject = s->reply.enhanced.subject;
	unsigned int detail = s->reply.enhanced.detail;

	if (code == 504 || code == 534 || code == 538)
		return true;
	if (code < 500 || code == 535)
		return false;
	if (subject == 5)
		return detail == 4 || detail == 6;
	if (subject == 7)
		return detail == 4 || detail == 9 || detail == 11;
	return s->reply.enhanced.class == 0 && code <= 503;
}

/* 535 says nothing of the mail: all is deferred. */
static void
judge_refusal(struct session *s)
{
	struct verdict *v = &s->verdict;
	char report[SESSION_TEXT_SIZE / 2];

	(void)session_judge_reply(s); /* 4yz or 5yz */
	v->outcome.status = OUTCOME_DEFERRED;
	v->outcome.dsn[0] = '4';
	if (s->reply.enhanced.class == 0)
		strlcpy(v->outcome.dsn,
		    s->reply.code == 535 ? "4.7.8" : "4.7.0",
		    sizeof(v->outcome.dsn));
	if (!s->login.broken_off)
		return;
	reply_write_report(&s->reply, report, sizeof(report));
	(void)snprintf(v->text, sizeof(v->text), "login: %s: %s (%s)",
	    auth_mechanism_name(s->login.mechanism), s->login.cause, report);
}

/* One more after 535, and not all of them: each counts as a failed login. */
static void
take_refusal(struct session *s)
{
	struct session_login *l = &s->login;
	bool denies = s->reply.code == 535;
	bool next =
	    !l->broken_off && !l->denied && (denies || is_about_mechanism(s));

	judge_refusal(s);
	l->refused = true;
	if (denies && !l->denied) {
		l->denied = true;
		l->denial = s->verdict;
	}
	if (next)
		try_next(s);
	else
		session_end_fail(s, FAREWELL_QUIT);
}

static void
take_success(struct session *s)
{
	if (s->login.broken_off)
		refuse(s, "4.5.0", "protocol error: 235 where we broke off");
	else if (s->leftover > 0)
		refuse(s, "4.7.0", "injection: octets behind 235");
	else if (!sasl_client_is_done())
		refuse(s, "4.7.0",
		    "protocol error: 235 before all was said, or before the "
		    "server proved that it knows the password");
	else
		succeed(s);
}

static void
take_challenge(struct session *s)
{
	struct session_login *l = &s->login;
	const uint8_t *text;
	size_t n;

	if (l->broken_off) {
		session_judge(s, "4.5.0",
		    "login: protocol error: 334 where we broke off: %s",
		    l->cause);
		session_end_fail(s, FAREWELL_NONE);
		return;
	}
	if (!l->is_pending) {
		text = reply_line_text(&s->reply, &n);
		session_login_keep_told(l);
		if (sasl_client_step(text, n, l->response) == -1) {
			break_off(s, sasl_client_error());
			return;
		}
	}
	l->is_pending = false;
	send_response(s, l->response);
}

void
session_auth_take_reply(struct session *s)
{
	unsigned int code = s->reply.code;

	if (code == 334) {
		take_challenge(s);
	} else if (code == 235) {
		take_success(s);
	} else if (code >= 400) {
		take_refusal(s);
	} else {
		session_judge(s, "4.5.0",
		    "login: protocol error: reply %u to AUTH (RFC 4954, 4)",
		    code);
		s->verdict.outcome.code = (uint16_t)code;
		session_end_fail(s, FAREWELL_QUIT);
	}
}

/* The reply in hand may be a challenge: it is not told. */
void
session_auth_meet_unsolicited(struct session *s)
{
	refuse(s, "4.5.0", "protocol error: a reply came before its response");
}
