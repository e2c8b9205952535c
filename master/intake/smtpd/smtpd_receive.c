/* SPDX-License-Identifier: ISC */
/* The octets of a message in a session: by DATA, or in chunks. */
#include "master/intake/smtpd/smtpd_session_internal.h"

#include <stdio.h>
#include <string.h>

static void
judge(struct smtpd_session *s, unsigned code, const char *dsn, const char *text)
{
	if (s->verdict.code != 0)
		return; /* the first one counts */
	s->verdict.code = code;
	s->verdict.dsn = dsn;
	s->verdict.text = text;
}

static bool
is_binary(const struct smtpd_session *s)
{
	return s->envelope.body == SMTPD_BODY_BINARYMIME;
}

void
smtpd_receive_begin(struct smtpd_session *s, bool chunks)
{
	smtpd_data_init(&s->data, chunks);
	s->received = 0;
	s->verdict.code = 0;
}

/* What the octets are judged by; of those that nobody will want the rest is read
 * and dropped. */
static enum smtpd_event
show(struct smtpd_session *s, const uint8_t *octets, size_t n)
{
	s->received += n;
	if (s->received > s->policy.size_limit)
		judge(s, 552, "5.3.4",
		    "Error: the message is larger than the limit that SIZE "
		    "told");
	if (!is_binary(s) && s->data.has_bare && !s->policy.normalize)
		judge(s, 550, "5.5.2",
		    "Error: a <CR> or <LF> stands alone in the message, where "
		    "lines end in <CR><LF>");
	if (!is_binary(s) && s->data.has_nul)
		judge(s, 554, "5.6.0",
		    "Error: the message holds a NUL and is no BINARYMIME");
	if (n == 0 || s->verdict.code != 0)
		return SMTPD_MORE;
	s->content = octets;
	s->content_len = n;
	return SMTPD_CONTENT;
}

/* As many as what they become has room, and the end of a last line behind it. */
static size_t
clip(const struct smtpd_session *s, size_t n)
{
	size_t most = (s->scratch_size - SMTPD_DATA_ROOM(0) - 2) / 2;

	return n < most ? n : most;
}

enum smtpd_event
smtpd_receive_data(struct smtpd_session *s, const uint8_t *in, size_t n,
    size_t *used)
{
	size_t len;

	if (smtpd_data_feed(&s->data, in, clip(s, n), used, s->scratch, &len))
		s->mode = MODE_WHOLE;
	return show(s, s->scratch, len);
}

/* The octets of this chunk are all there. */
static void
end_chunk(struct smtpd_session *s)
{
	char text[SMTPD_TEXT_SIZE];

	if (s->command.last) {
		s->mode = MODE_WHOLE;
		return;
	}
	s->mode = MODE_LINES;
	if (s->verdict.code != 0) {
		/* RFC 3030, 2: what follows belongs to nothing. */
		smtpd_reply_say(s, s->verdict.code, s->verdict.dsn,
		    s->verdict.text);
		smtpd_session_forget(s);
		return;
	}
	(void)snprintf(text, sizeof(text), "Ok: %llu octets",
	    (unsigned long long)s->command.chunk);
	smtpd_reply_say(s, 250, "2.0.0", text);
}

enum smtpd_event
smtpd_receive_chunk(struct smtpd_session *s, const uint8_t *in, size_t n,
    size_t *used)
{
	enum smtpd_event event = SMTPD_MORE;
	uint8_t end[2];
	size_t len = 0;

	n = clip(s, n);
	*used = s->chunk_left < n ? (size_t)s->chunk_left : n;
	s->chunk_left -= *used;
	if (is_binary(s)) {
		event = show(s, in, *used);
	} else {
		(void)smtpd_data_feed(&s->data, in, *used, &n, s->scratch,
		    &len);
		if (s->chunk_left == 0 && s->command.last) {
			n = smtpd_data_finish(&s->data, end);
			memcpy(s->scratch + len, end, n);
			len += n;
		}
		event = show(s, s->scratch, len);
	}
	if (s->chunk_left == 0)
		end_chunk(s);
	return event;
}

void
smtpd_receive_skipped(struct smtpd_session *s, size_t n, size_t *used)
{
	const struct smtpd_reply *r = &s->skip_reply;

	*used = s->chunk_left < n ? (size_t)s->chunk_left : n;
	s->chunk_left -= *used;
	if (s->chunk_left > 0)
		return;
	s->mode = MODE_LINES;
	smtpd_reply_say(s, r->code, r->dsn, r->text);
}
