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

#include "agent/sasl.h"
#include "agent/session_internal.h"

static const char hidden[] = "<hidden>";

void
auth_forget(struct session *s)
{
	sasl_client_stop();
	if (!s->login.wanted)
		return;
	explicit_bzero(&s->login, sizeof(s->login));
}

void
auth_take_login(struct session *s)
{
	const struct message *m = s->message;
	const struct msg_login *msg = m->payload;
	struct session_login *l = &s->login;
	struct message own = { .tail = l->tail, .tail_len = m->tail_len };
	size_t at = 0;

	s->is_misled = true;
	if (l->wanted || m->tail_len > sizeof(l->tail) ||
	    msg->secret > AUTH_SECRET_TOKEN)
		return;
	memcpy(l->tail, m->tail, m->tail_len);
	l->user = message_tail_next(&own, &at);
	l->authzid = message_tail_next(&own, &at);
	l->secret = message_tail_next(&own, &at);
	if (l->secret == NULL || strlen(l->secret) > AUTH_SECRET_MAX ||
	    !auth_name_ok(l->user) || !auth_name_ok(l->authzid))
		return;
	l->wanted = true;
	l->in_clear = msg->in_clear != 0;
	l->kind = msg->secret;
	l->allowed = msg->mechanisms;
	(void)reply_write_sanitized(l->shown, sizeof(l->shown),
	    (const uint8_t *)l->secret, strlen(l->secret));
	s->is_misled = false;
}

/* What is not to be seen. */

/*
 * How many octets at the beginning of text are what is to be hidden.  At the
 * end of a text that was cut, that is also the beginning of it.
 */
static size_t
match(const char *text, size_t rest, const char *what, size_t n)
{
	if (n < 2) /* no secret, and every text would be full of it */
		return 0;
	if (rest >= n)
		return memcmp(text, what, n) == 0 ? n : 0;
	return rest >= 4 && memcmp(text, what, rest) == 0 ? rest : 0;
}

/*
 * A server may repeat what we told it, in any reply: it must not get into a log
 * that way.  Where it knows our secret, we keep that as long as it may speak.
 */
const char *
auth_hide(struct session *s, const char *text)
{
	struct session_login *l = &s->login;
	const size_t shown = strlen(l->shown), response = strlen(l->response);
	const size_t told = strlen(l->told);
	size_t n, len = 0, rest = strlen(text);

	while (*text != '\0' && len + sizeof(hidden) < sizeof(l->text)) {
		n = match(text, rest, l->shown, shown);
		if (n == 0)
			n = match(text, rest, l->response, response);
		if (n == 0)
			n = match(text, rest, l->told, told);
		if (n == 0) {
			l->text[len++] = *text++;
			rest--;
			continue;
		}
		memcpy(l->text + len, hidden, sizeof(hidden) - 1);
		len += sizeof(hidden) - 1;
		text += n;
		rest -= n;
	}
	l->text[len] = '\0';
	return l->text;
}

/* What was noted of its replies before, and in any form that we sent it in. */
void
auth_hide_noted(struct session *s)
{
	if (!s->login.wanted)
		return;
	transcript_hide(s->transcript, s->login.secret);
	transcript_hide(s->transcript, s->login.response);
	transcript_hide(s->transcript, s->login.told);
}

/* The dialogue shows that there is a challenge, and not which. */
void
auth_show_line(struct session *s)
{
	char line[16];

	if (s->reply.code != 334 || s->reply.error != REPLY_OK) {
		session_show_remote(s, s->reply.line, s->reply.line_len);
		return;
	}
	(void)snprintf(line, sizeof(line), "334 %s", hidden);
	session_show_remote(s, (const uint8_t *)line, strlen(line));
}

/* The end. */

static void
refuse(struct session *s, const char *dsn, const char *why)
{
	session_judge(s, dsn, "login: %s", why);
	session_fail(s, FAREWELL_QUIT);
}

static void
succeed(struct session *s)
{
	enum auth_secret needs = auth_mechanism_needs(s->login.mechanism);

	/* A server that was told it may say it; one that was shown that we know
	 * it shall not find it here later. */
	if (needs == AUTH_SECRET_NOTHING ||
	    sasl_keeps_secret(s->login.mechanism))
		auth_forget(s);
	else
		sasl_client_stop();
	explicit_bzero(s->out_octets, SASL_RESPONSE_SIZE + 2);
	initiation_come_up(s);
}

/*
 * The queue treats 535 apart from all other failures: it renews the secret, and
 * sends nobody to another address, for accounts that fail too often are locked.
 * A server that hangs up, or says something else, when we try a second mechanism
 * does not change that.
 */
void
auth_keep_denial(struct session *s)
{
	const struct session_login *l = &s->login;
	struct verdict *v = &s->verdict;
	char then[SESSION_TEXT_SIZE];

	if (!l->wanted || !l->denied || v->outcome.code == 535)
		return;
	strlcpy(then, v->text, sizeof(then));
	*v = l->denial;
	strlcat(v->text, " (and then ", sizeof(v->text));
	strlcat(v->text, auth_mechanism_name(l->mechanism), sizeof(v->text));
	strlcat(v->text, ": ", sizeof(v->text));
	strlcat(v->text, then, sizeof(v->text));
	strlcat(v->text, ")", sizeof(v->text)); /* all of this may be cut */
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

	if (!capabilities_offer_auth(&s->caps, mechanism) ||
	    (l->tried & bit) != 0 || !sasl_has(mechanism))
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
		session_fail(s, FAREWELL_QUIT);
		return;
	}
	if (!capabilities_offer(&s->caps, CAPABILITY_AUTH))
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
	session_show(s, line);
	session_enter(s, STATE_AUTH);
}

static void
send_response(struct session *s, const char *response)
{
	if (command_write_response(&s->out, response) != COMMAND_OK) {
		refuse(s, "4.7.0", "a response does not fit its line");
		return;
	}
	wrote(s, response[0] == '\0' ? "" : hidden);
}

/* RFC 4954, 4: then the server says 501, and nothing came of it. */
static void
break_off(struct session *s, const char *why)
{
	s->login.broken_off = true;
	strlcpy(s->login.cause, why, sizeof(s->login.cause));
	(void)command_write_response(&s->out, "*"); /* it fits, out is empty */
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
	    command_write_auth(&s->out, name, initial) != COMMAND_OK;
	if (l->is_pending || initial == NULL)
		(void)command_write_auth(&s->out, name, NULL);
	(void)snprintf(line, sizeof(line), "AUTH %s%s%s", name,
	    initial != NULL && !l->is_pending ? " " : "",
	    initial != NULL && !l->is_pending ? hidden : "");
	wrote(s, line);
}

/* Another takes its place, and a server may yet repeat it. */
static void
keep_told(struct session_login *l)
{
	if (strlen(l->response) > strlen(l->told))
		strlcpy(l->told, l->response, sizeof(l->told));
	l->response[0] = '\0';
}

static bool
start_mechanism(struct session *s, enum auth_mechanism mechanism)
{
	struct session_login *l = &s->login;
	const struct sasl_login login = { l->user, l->authzid, l->secret,
		s->address.host, &l->binding };

	l->mechanism = mechanism;
	l->tried |= UINT32_C(1) << mechanism;
	keep_told(l);
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

void
auth_begin(struct session *s)
{
	struct session_login *l = &s->login;

	session_enter(s, STATE_AUTH);
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
		session_fail(s, FAREWELL_QUIT);
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
		session_fail(s, FAREWELL_NONE);
		return;
	}
	if (!l->is_pending) {
		text = reply_line_text(&s->reply, &n);
		keep_told(l);
		if (sasl_client_step(text, n, l->response) == -1) {
			break_off(s, sasl_client_error());
			return;
		}
	}
	l->is_pending = false;
	send_response(s, l->response);
}

void
auth_take_reply(struct session *s)
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
		session_fail(s, FAREWELL_QUIT);
	}
}

/* The reply in hand may be a challenge: it is not told. */
void
auth_meet_unsolicited(struct session *s)
{
	refuse(s, "4.5.0", "protocol error: a reply came before its response");
}
