/* SPDX-License-Identifier: ISC */
/* See smtpd_session.h: lines become commands, and each does what its row says. */
#include "master/intake/smtpd/smtpd_session_internal.h"

#include <string.h>

#include "common/util.h"

void
smtpd_session_forget(struct smtpd_session *s)
{
	if (s->state == SMTPD_IN_MAIL || s->state == SMTPD_IN_RCPT ||
	    s->state == SMTPD_IN_CHUNKS) {
		s->state = SMTPD_READY;
		s->was_reset = true;
	}
	memset(&s->forwarded, 0, sizeof(s->forwarded));
	s->envelope.nrcpts = s->overshoot = s->refused = 0;
	s->owed = 0;
}

/* What brings no mail; beyond a number of them each is an error, too. */
static void
count_junk(struct smtpd_session *s)
{
	switch (s->command.verb) {
	case SMTPD_VERB_MAIL:
	case SMTPD_VERB_RCPT:
	case SMTPD_VERB_DATA:
	case SMTPD_VERB_BDAT:
	case SMTPD_VERB_QUIT:
	case SMTPD_VERB_XFORWARD:
	case SMTPD_VERB_STARTTLS:
		return;
	case SMTPD_VERB_HELO:
	case SMTPD_VERB_EHLO:
	case SMTPD_VERB_LHLO:
	case SMTPD_VERB_RSET:
	case SMTPD_VERB_NOOP:
	case SMTPD_VERB_VRFY:
	case SMTPD_VERB_EXPN:
	case SMTPD_VERB_HELP:
	case SMTPD_VERB_AUTH:
	case SMTPD_VERB_UNKNOWN:
	case SMTPD_VERB_COUNT:
		break;
	}
	if (++s->junk > s->policy.junk_limit &&
	    ++s->errors >= s->policy.error_limit)
		smtpd_reply_end(s, "4.7.0", "Error: too many errors");
}

/* A line of another protocol: what it brings on may hold commands that somebody
 * else wrote, and none of them is read. */
static void
end_foreign(struct smtpd_session *s, const struct smtpd_reply *reply)
{
	smtpd_reply_say(s, reply->code, reply->dsn, reply->text);
	s->mode = MODE_CLOSED;
}

/* A whole line, without its end. */
static enum smtpd_event
take_command(struct smtpd_session *s)
{
	struct smtpd_reply wrong;
	bool is_good;

	is_good = smtpd_command_parse(&s->command, s->line, s->line_len,
	    s->policy.origin, &wrong);
	s->line_len = 0;
	s->behind_message = false;
	s->counts[s->command.verb].all++;
	count_junk(s);
	if (s->mode == MODE_CLOSED)
		return SMTPD_MORE;
	if (s->command.is_foreign) {
		end_foreign(s, &wrong);
		return SMTPD_MORE;
	}
	if (is_good || s->state == SMTPD_DENIED)
		return smtpd_handlers_run(s);
	if (s->command.verb == SMTPD_VERB_RCPT && s->state >= SMTPD_IN_MAIL)
		s->refused++;
	smtpd_reply_say(s, wrong.code, wrong.dsn, wrong.text);
	/* Where a chunk ends is not known, nor what is a command from here on. */
	if (s->command.verb == SMTPD_VERB_BDAT)
		s->mode = MODE_CLOSED;
	return SMTPD_MORE;
}

/* It is kept as far as it has room, which is enough to see what it is. */
static enum smtpd_event
end_long_line(struct smtpd_session *s)
{
	struct smtpd_reply wrong;

	(void)smtpd_command_parse(&s->command, s->line, s->line_len,
	    s->policy.origin, &wrong);
	s->line_too_long = false;
	s->line_len = 0;
	s->counts[SMTPD_VERB_UNKNOWN].all++;
	if (s->command.is_foreign) {
		end_foreign(s, &wrong);
		return SMTPD_MORE;
	}
	memset(&s->command, 0, sizeof(s->command));
	s->command.verb = SMTPD_VERB_UNKNOWN;
	smtpd_reply_say(s, 500, "5.5.2", "Error: the line is too long");
	return SMTPD_MORE;
}

static enum smtpd_event
end_line(struct smtpd_session *s)
{
	return s->line_too_long ? end_long_line(s) : take_command(s);
}

/* A line ends in CRLF.  Behind a LF alone another server may see a command where
 * this one sees none, or the other way round: nothing more is heard from who
 * sends it, but where the configuration mends it. */
static enum smtpd_event
take_bare_lf(struct smtpd_session *s)
{
	if (s->policy.normalize)
		return end_line(s);
	memset(&s->command, 0, sizeof(s->command));
	s->command.verb = SMTPD_VERB_UNKNOWN;
	s->counts[SMTPD_VERB_UNKNOWN].all++;
	smtpd_reply_say(s, 521, "5.5.2",
	    "Error: a command ends in <LF> alone, where lines end in "
	    "<CR><LF>");
	s->mode = MODE_CLOSED;
	return SMTPD_MORE;
}

static void
keep(struct smtpd_session *s, char octet)
{
	/* Two more are its line end. */
	if (s->line_len + 2 >= s->policy.line_limit)
		s->line_too_long = true;
	else
		s->line[s->line_len++] = octet;
}

/* Octets up to a line's end, and what it says. */
static enum smtpd_event
take_line(struct smtpd_session *s, const uint8_t *in, size_t n, size_t *used)
{
	char octet;

	while (*used < n) {
		octet = (char)in[(*used)++];
		if (octet == '\n' && s->after_cr) {
			s->after_cr = false;
			return end_line(s);
		}
		if (s->after_cr)
			keep(s, '\r'); /* which no command holds */
		s->after_cr = octet == '\r';
		if (octet == '\n')
			return take_bare_lf(s);
		if (!s->after_cr)
			keep(s, octet);
	}
	return SMTPD_MORE;
}

/* The message is whole: who holds us answers it. */
static enum smtpd_event
end_message(struct smtpd_session *s)
{
	s->mode = MODE_ANSWERS;
	s->owed = s->policy.lmtp ? s->envelope.nrcpts : 1;
	s->answered_well = false;
	s->behind_message = true;
	return SMTPD_MESSAGE;
}

static enum smtpd_event
step(struct smtpd_session *s, const uint8_t *in, size_t n, size_t *used)
{
	switch (s->mode) {
	case MODE_LINES:
		return take_line(s, in, n, used);
	case MODE_DATA:
		return smtpd_receive_data(s, in, n, used);
	case MODE_CHUNK:
		return smtpd_receive_chunk(s, in, n, used);
	case MODE_SKIP:
		smtpd_receive_skipped(s, n, used);
		break;
	case MODE_WHOLE:
		return end_message(s);
	case MODE_CLOSED:
		*used = n;
		return SMTPD_CLOSE;
	case MODE_DECIDING:
	case MODE_ANSWERS:
		break;
	}
	return SMTPD_MORE;
}

/* What happened besides; each is told once. */
static bool
take_news(struct smtpd_session *s, enum smtpd_event *event)
{
	if (s->has_refusal) {
		s->has_refusal = false;
		*event = SMTPD_REFUSED;
		return true;
	}
	if (!s->was_reset)
		return false;
	s->was_reset = false;
	*event = SMTPD_RESET;
	return true;
}

/* Whether the next step needs no octets. */
static bool
goes_on(const struct smtpd_session *s)
{
	return s->mode == MODE_WHOLE || s->mode == MODE_CLOSED ||
	    ((s->mode == MODE_CHUNK || s->mode == MODE_SKIP) &&
		s->chunk_left == 0);
}

bool
smtpd_session_is_stuck(const struct smtpd_session *s)
{
	return s->mode == MODE_DECIDING || s->mode == MODE_ANSWERS ||
	    (s->mode != MODE_CLOSED && !smtpd_reply_has_room(s));
}

enum smtpd_event
smtpd_session_feed(struct smtpd_session *s, const uint8_t *in, size_t n,
    size_t *used)
{
	enum smtpd_event event = SMTPD_MORE;
	size_t taken;

	*used = 0;
	s->content_len = 0;
	if (take_news(s, &event))
		return event;
	while (event == SMTPD_MORE && !smtpd_session_is_stuck(s) &&
	    (*used < n || goes_on(s))) {
		taken = 0;
		event = step(s, in + *used, n - *used, &taken);
		*used += taken;
		if (event == SMTPD_MORE)
			(void)take_news(s, &event);
	}
	return event;
}

void
smtpd_session_accept(struct smtpd_session *s)
{
	switch ((unsigned int)s->command.verb) {
	case SMTPD_VERB_MAIL:
		s->state = SMTPD_IN_MAIL;
		s->mode = MODE_LINES;
		smtpd_reply_say(s, 250, "2.1.0", "Ok");
		break;
	case SMTPD_VERB_RCPT:
		s->state = SMTPD_IN_RCPT;
		s->mode = MODE_LINES;
		s->envelope.nrcpts++;
		smtpd_reply_say(s, 250, "2.1.5", "Ok");
		break;
	case SMTPD_VERB_DATA:
		smtpd_receive_begin(s, false);
		s->mode = MODE_DATA;
		smtpd_reply_put(s,
		    &(struct smtpd_reply){ 354, NULL,
			"End data with <CR><LF>.<CR><LF>" });
		break;
	default: /* BDAT: of its chunk nothing is said before it is there */
		smtpd_receive_begin(s, true);
		s->state = SMTPD_IN_CHUNKS;
		s->mode = MODE_CHUNK;
		break;
	}
}

void
smtpd_session_refuse(struct smtpd_session *s, const struct smtpd_reply *reply)
{
	s->mode = MODE_LINES;
	if (s->command.verb == SMTPD_VERB_RCPT)
		s->refused++;
	if (s->command.verb == SMTPD_VERB_BDAT)
		smtpd_handlers_skip_chunk(s, reply);
	else
		smtpd_reply_say(s, reply->code, reply->dsn, reply->text);
	if (s->command.verb == SMTPD_VERB_DATA ||
	    s->command.verb == SMTPD_VERB_BDAT)
		smtpd_session_forget(s);
}

bool
smtpd_session_answer(struct smtpd_session *s, const struct smtpd_reply *reply)
{
	if (!smtpd_reply_has_room(s))
		return false;
	smtpd_reply_put(s, reply);
	if (reply->code < 400 && !s->answered_well) {
		s->answered_well = true;
		s->counts[s->command.verb].good++;
		s->errors = s->junk = 0;
	}
	if (--s->owed > 0)
		return true;
	smtpd_session_forget(s);
	s->was_reset = false; /* who answers knows */
	if (s->mode != MODE_CLOSED)
		s->mode = MODE_LINES;
	return true;
}

const struct smtpd_reply *
smtpd_session_verdict(const struct smtpd_session *s)
{
	return s->verdict.code != 0 ? &s->verdict : NULL;
}

size_t
smtpd_session_owed(const struct smtpd_session *s)
{
	return s->owed;
}

bool
smtpd_session_has_erred(const struct smtpd_session *s)
{
	return s->mode == MODE_CLOSED && s->errors >= s->policy.error_limit;
}

/* RFC 3207, 4.2. */
void
smtpd_session_tls_is_up(struct smtpd_session *s)
{
	smtpd_session_forget(s);
	s->was_reset = false;
	s->tls = true;
	s->extended = false;
	s->helo[0] = '\0';
	s->line_len = 0;
	s->after_cr = s->line_too_long = false;
	s->state = SMTPD_CONNECTED;
	s->mode = MODE_LINES;
}

size_t
smtpd_session_size(const struct smtpd_policy *policy)
{
	return sizeof(struct smtpd_session) + policy->line_limit;
}

void
smtpd_session_init(struct smtpd_session *s, const struct smtpd_policy *policy,
    uint8_t *scratch, size_t scratch_size)
{
	memset(s, 0, smtpd_session_size(policy));
	s->policy = *policy;
	s->scratch = scratch;
	s->scratch_size = scratch_size;
	s->state = policy->denied ? SMTPD_DENIED : SMTPD_CONNECTED;
	smtpd_reply_greeting(s);
}

const char *
smtpd_session_out(const struct smtpd_session *s, size_t *n)
{
	*n = s->out_len;
	return s->out;
}

void
smtpd_session_written(struct smtpd_session *s, size_t n)
{
	memmove(s->out, s->out + n, s->out_len - n);
	s->out_len -= n;
}

bool
smtpd_session_is_in_message(const struct smtpd_session *s, uint64_t *octets)
{
	*octets = s->received;
	return s->mode == MODE_DATA || s->mode == MODE_CHUNK ||
	    s->state == SMTPD_IN_CHUNKS;
}

bool
smtpd_session_is_behind_message(const struct smtpd_session *s)
{
	return s->behind_message;
}

enum smtpd_state
smtpd_session_state(const struct smtpd_session *s)
{
	return s->state;
}

const struct smtpd_envelope *
smtpd_session_envelope(const struct smtpd_session *s)
{
	return &s->envelope;
}

const struct smtpd_command *
smtpd_session_command(const struct smtpd_session *s)
{
	return &s->command;
}

const struct smtpd_reply *
smtpd_session_refusal(const struct smtpd_session *s)
{
	return &s->refusal;
}

const uint8_t *
smtpd_session_content(const struct smtpd_session *s, size_t *n)
{
	*n = s->content_len;
	return s->content;
}

const struct smtpd_xforward *
smtpd_session_forwarded(const struct smtpd_session *s)
{
	return &s->forwarded;
}

const char *
smtpd_session_helo(const struct smtpd_session *s)
{
	return s->helo;
}

bool
smtpd_session_is_extended(const struct smtpd_session *s)
{
	return s->extended;
}

bool
smtpd_session_has_tls(const struct smtpd_session *s)
{
	return s->tls;
}

const struct smtpd_count *
smtpd_session_counts(const struct smtpd_session *s)
{
	return s->counts;
}
