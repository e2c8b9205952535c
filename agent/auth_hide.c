/* SPDX-License-Identifier: ISC */
/*
 * What nobody is to see of a login: our responses, the server's challenges, from
 * which a password can be guessed (RFC 5802, 9), and our secret in the mouth of
 * a server that repeats it.
 */
#include <stdio.h>
#include <string.h>

#include "agent/session_internal.h"

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
	size_t n, len = 0, rest = strlen(text);

	while (*text != '\0' && len + sizeof(AUTH_HIDDEN) < sizeof(l->text)) {
		n = match(text, rest, l->shown, shown);
		if (n == 0)
			n = match(text, rest, l->response, response);
		if (n == 0) {
			l->text[len++] = *text++;
			rest--;
			continue;
		}
		memcpy(l->text + len, AUTH_HIDDEN, sizeof(AUTH_HIDDEN) - 1);
		len += sizeof(AUTH_HIDDEN) - 1;
		text += n;
		rest -= n;
	}
	l->text[len] = '\0';
	return l->text;
}

/* The dialogue shows that there is a challenge, and not which. */
void
auth_show_line(struct session *s)
{
	static const char line[] = "334 " AUTH_HIDDEN;

	if (s->reply.code != 334 || s->reply.error != REPLY_OK) {
		session_show_remote(s, s->reply.line, s->reply.line_len);
		return;
	}
	session_show_remote(s, (const uint8_t *)line, sizeof(line) - 1);
}

/* The octets of a 334 go, up to its line's end, which may be in another read. */
static size_t
leave_out_challenges(struct session_login *l, const uint8_t *in, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		if (in[i] == '\r' || in[i] == '\n')
			l->column = 0;
		else if (l->column < sizeof(l->code))
			l->code[l->column++] = in[i];
		else if (memcmp(l->code, "334", sizeof(l->code)) == 0)
			continue;
		l->noted[len++] = in[i];
	}
	return len;
}

/* Where in octets what is to be hidden begins, and how long it is there. */
static const uint8_t *
find(const struct session_login *l, const uint8_t *octets, size_t n,
    size_t *len)
{
	const char *const secrets[] = { l->secret, l->response };
	const uint8_t *first = NULL, *at;

	for (size_t i = 0; i < 2; i++) {
		if (strlen(secrets[i]) < 2)
			continue;
		at = memmem(octets, n, secrets[i], strlen(secrets[i]));
		if (at != NULL && (first == NULL || at < first)) {
			first = at;
			*len = strlen(secrets[i]);
		}
	}
	return first;
}

static void
note_piece(struct session *s, const void *octets, size_t n)
{
	if (n > 0)
		transcript_note_octets(s->transcript, TRANSCRIPT_RECEIVED,
		    octets, n);
}

static void
note(struct session *s, const uint8_t *octets, size_t n)
{
	const uint8_t *at;
	size_t len;

	while ((at = find(&s->login, octets, n, &len)) != NULL) {
		note_piece(s, octets, (size_t)(at - octets));
		note_piece(s, AUTH_HIDDEN, sizeof(AUTH_HIDDEN) - 1);
		n -= (size_t)(at - octets) + len;
		octets = at + len;
	}
	note_piece(s, octets, n);
}

void
session_note_received(struct session *s, const uint8_t *in, size_t n)
{
	struct session_login *l = &s->login;
	size_t part;

	if (s->transcript == NULL || !s->transcript->on)
		return;
	if (!l->wanted) {
		transcript_note_octets(s->transcript, TRANSCRIPT_RECEIVED, in,
		    n);
		return;
	}
	if (s->state != STATE_AUTH) {
		note(s, in, n);
		return;
	}
	for (; n > 0; in += part, n -= part) {
		part = n < sizeof(l->noted) ? n : sizeof(l->noted);
		note(s, l->noted, leave_out_challenges(l, in, part));
	}
}
