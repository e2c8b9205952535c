/* SPDX-License-Identifier: ISC */
/*
 * The login that LOGIN brought: kept, hidden in all that the remote says, and
 * forgotten.  How it is used is the exchange's business.
 */
#include <string.h>

#include "agent/session/sasl.h"
#include "agent/session/session_internal.h"

void
session_login_forget(struct session *s)
{
	sasl_client_stop();
	if (!s->login.wanted)
		return;
	explicit_bzero(&s->login, sizeof(s->login));
}

void
session_login_take(struct session *s)
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
session_login_hide(struct session *s, const char *text)
{
	struct session_login *l = &s->login;
	const size_t shown = strlen(l->shown), response = strlen(l->response);
	const size_t told = strlen(l->told);
	size_t n, len = 0, rest = strlen(text);

	while (
	    *text != '\0' && len + sizeof(SESSION_HIDDEN) < sizeof(l->text)) {
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
		memcpy(l->text + len, SESSION_HIDDEN,
		    sizeof(SESSION_HIDDEN) - 1);
		len += sizeof(SESSION_HIDDEN) - 1;
		text += n;
		rest -= n;
	}
	l->text[len] = '\0';
	return l->text;
}

/* What was noted of its replies before, and in any form that we sent it in. */
void
session_login_hide_noted(struct session *s)
{
	if (!s->login.wanted)
		return;
	transcript_hide(s->transcript, s->login.secret);
	transcript_hide(s->transcript, s->login.response);
	transcript_hide(s->transcript, s->login.told);
}

/* Another takes its place, and a server may yet repeat it. */
void
session_login_keep_told(struct session_login *l)
{
	if (strlen(l->response) > strlen(l->told))
		strlcpy(l->told, l->response, sizeof(l->told));
	l->response[0] = '\0';
}

/*
 * The queue treats 535 apart from all other failures: it renews the secret, and
 * sends nobody to another address, for accounts that fail too often are locked.
 * A server that hangs up, or says something else, when we try a second mechanism
 * does not change that.
 */
void
session_login_keep_denial(struct session *s)
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
