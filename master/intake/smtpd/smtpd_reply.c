/* SPDX-License-Identifier: ISC */
/* What a session says: replies, the greeting, and what EHLO offers. */
#include "master/intake/smtpd/smtpd_session_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/util.h"

bool
smtpd_reply_has_room(const struct smtpd_session *s)
{
	return sizeof(s->out) - s->out_len >= 2 * SMTPD_REPLY_SIZE;
}

/* Each fits: there was room when the command was taken. */
static void put_line(struct smtpd_session *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
put_line(struct smtpd_session *s, const char *fmt, ...)
{
	size_t room = sizeof(s->out) - s->out_len;
	va_list ap;
	int n;

	if (room < 3)
		return;
	va_start(ap, fmt);
	n = vsnprintf(s->out + s->out_len, room - 2, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	s->out_len += (size_t)n < room - 3 ? (size_t)n : room - 3;
	s->out[s->out_len++] = '\r';
	s->out[s->out_len++] = '\n';
}

static bool
offers(const struct smtpd_session *s, enum smtpd_capability capability)
{
	return (s->policy.offers >> capability & 1) != 0;
}

/* How much of text one line holds of most octets: up to a space where it goes on
 * behind one. */
static size_t
fold(const char *text, size_t most)
{
	size_t n = strnlen(text, most + 1), at;

	if (n <= most)
		return n;
	for (at = most; at > most / 2; at--)
		if (text[at] == ' ')
			return at;
	return most;
}

/* A line has 512 octets at most, and a longer text is a reply of several (RFC
 * 5321, 4.5.3.1.5 and 4.2.1), each with the enhanced code (RFC 2034, 4). */
void
smtpd_reply_put(struct smtpd_session *s, const struct smtpd_reply *reply)
{
	/* RFC 2034, 4: not in the greeting or where nobody was told of them. */
	bool has_dsn = reply->dsn != NULL && reply->dsn[0] != '\0' &&
	    offers(s, SMTPD_CAN_ENHANCEDSTATUSCODES);
	const char *dsn = has_dsn ? reply->dsn : "", *text = reply->text;
	const char *end = text + strnlen(text, SMTPD_REPLY_SIZE - 128);
	size_t most = SMTPD_REPLY_LINE_MAX - strlen("250 \r\n") -
	    (has_dsn ? strlen(dsn) + 1 : 0);
	size_t n;

	while (end > text && end[-1] == ' ')
		end--;
	do {
		n = fold(text, most);
		if (n > (size_t)(end - text))
			n = (size_t)(end - text);
		put_line(s, "%u%c%s%s%.*s", reply->code,
		    text + n < end ? '-' : ' ', dsn, has_dsn ? " " : "", (int)n,
		    text);
		text += n;
		if (text < end && *text == ' ')
			text++;
	} while (text < end);
}

/* A client that errs without end is not listened to without end. */
static void
count_error(struct smtpd_session *s)
{
	if (++s->errors >= s->policy.error_limit)
		smtpd_reply_end(s, "4.7.0", "Error: too many errors");
}

void
smtpd_reply_say(struct smtpd_session *s, unsigned code, const char *dsn,
    const char *text)
{
	const struct smtpd_reply reply = { code, dsn, text };

	smtpd_reply_put(s, &reply);
	if (code < 400) {
		s->counts[s->command.verb].good++;
		return;
	}
	s->refusal = reply;
	s->has_refusal = true;
	if (code >= 500)
		count_error(s);
}

void
smtpd_reply_end(struct smtpd_session *s, const char *dsn, const char *text)
{
	char line[SMTPD_NAME_SIZE + SMTPD_TEXT_SIZE];
	const struct smtpd_reply reply = { 421, dsn, line };

	if (s->mode == MODE_CLOSED)
		return;
	(void)snprintf(line, sizeof(line), "%s %s", s->policy.hostname, text);
	smtpd_reply_put(s, &reply);
	s->mode = MODE_CLOSED;
}

void
smtpd_reply_greeting(struct smtpd_session *s)
{
	if (s->policy.denied)
		put_line(s, "554 %s Error: access denied", s->policy.hostname);
	else
		put_line(s, "220 %s %s postern", s->policy.hostname,
		    s->policy.lmtp ? "LMTP" : "ESMTP");
}

/* A line of EHLO's; all but the last have a hyphen. */
static void
offer(struct smtpd_session *s, enum smtpd_capability capability,
    const char *keyword)
{
	uint64_t size = s->policy.size_limit;

	switch ((unsigned)capability) {
	case SMTPD_CAN_SIZE:
		put_line(s, "250-%s %" PRIu64, keyword, size);
		break;
	case SMTPD_CAN_LIMITS:
		put_line(s, "250-%s RCPTMAX=1", keyword);
		break;
	case SMTPD_CAN_XFORWARD:
		put_line(s, "250-%s " SMTPD_XFORWARD_WORDS, keyword);
		break;
	default:
		put_line(s, "250-%s", keyword);
		break;
	}
}

/* RFC 3207, 4.2; RFC 8689, 2: one before TLS, the other behind it. */
static bool
is_offered(const struct smtpd_session *s, enum smtpd_capability capability)
{
	if (!offers(s, capability))
		return false;
	if (capability == SMTPD_CAN_STARTTLS)
		return !s->tls;
	return capability != SMTPD_CAN_REQUIRETLS || s->tls;
}

void
smtpd_reply_capabilities(struct smtpd_session *s)
{
	static const char *const keywords[SMTPD_CAN_COUNT] = {
#define CAPABILITY(name, keyword) [SMTPD_CAN_##name] = keyword,
#include "common/capabilities.def"
#undef CAPABILITY
	};
	size_t start = s->out_len;

	put_line(s, "250-%s", s->policy.hostname);
	for (unsigned i = 0; i < SMTPD_CAN_COUNT; i++) {
		if (!is_offered(s, (enum smtpd_capability)i))
			continue;
		start = s->out_len;
		offer(s, (enum smtpd_capability)i, keywords[i]);
	}
	s->out[start + 3] = ' ';
	s->counts[s->command.verb].good++;
}
