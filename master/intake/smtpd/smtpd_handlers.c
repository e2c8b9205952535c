/* SPDX-License-Identifier: ISC */
/* What a session does with each command in each state, by smtpd_table.def. */
#include "master/intake/smtpd/smtpd_session_internal.h"

#include <string.h>

/* Recipients beyond the limit that are no error of the client's: it was not told
 * the limit, and sends them all at once. */
#define OVERSHOOT_MAX 1000

static enum smtpd_event
do_denied(struct smtpd_session *s)
{
	smtpd_reply_say(s, 503, "5.7.1", "Error: access denied");
	return SMTPD_MORE;
}

/* RFC 5321, 4.1.4: as RSET does, besides its own. */
static enum smtpd_event
do_hello(struct smtpd_session *s)
{
	enum smtpd_verb verb = s->command.verb;

	if ((verb == SMTPD_VERB_LHLO) != s->policy.lmtp) {
		/* RFC 2033, 4.1: each protocol has its own greeting. */
		smtpd_reply_say(s, 500, "5.5.1",
		    s->policy.lmtp ? "Error: this is LMTP: send LHLO"
				   : "Error: this is SMTP: send EHLO");
		return SMTPD_MORE;
	}
	smtpd_session_forget(s);
	s->state = SMTPD_READY;
	s->extended = verb != SMTPD_VERB_HELO;
	strlcpy(s->helo, s->command.name, sizeof(s->helo));
	if (s->extended)
		smtpd_reply_capabilities(s);
	else
		smtpd_reply_say(s, 250, NULL, s->policy.hostname);
	return SMTPD_MORE;
}

static enum smtpd_event
do_hello_first(struct smtpd_session *s)
{
	smtpd_reply_say(s, 503, "5.5.1",
	    s->policy.lmtp ? "Error: send LHLO first"
			   : "Error: send HELO/EHLO first");
	return SMTPD_MORE;
}

static enum smtpd_event
do_mail_first(struct smtpd_session *s)
{
	smtpd_reply_say(s, 503, "5.5.1", "Error: need MAIL command");
	return SMTPD_MORE;
}

/* RFC 2033, 4.2; RFC 2920, 4: who sent them all in one batch is told that none
 * of its recipients was taken. */
static enum smtpd_event
do_rcpt_first(struct smtpd_session *s)
{
	if (s->refused > 0 && !s->policy.lmtp)
		smtpd_reply_say(s, 554, "5.5.1", "Error: no valid recipients");
	else
		smtpd_reply_say(s, 503, "5.5.1", "Error: need RCPT command");
	return SMTPD_MORE;
}

static enum smtpd_event
do_nested(struct smtpd_session *s)
{
	smtpd_reply_say(s, 503, "5.5.1",
	    s->command.verb == SMTPD_VERB_MAIL
		? "Error: nested MAIL command"
		: "Error: a mail transaction is in progress");
	return SMTPD_MORE;
}

static enum smtpd_event
do_in_chunks(struct smtpd_session *s)
{
	smtpd_reply_say(s, 503, "5.5.1",
	    "Error: the message came by BDAT so far");
	return SMTPD_MORE;
}

/* What was not offered is not known here. */
static bool
uses_only_offers(struct smtpd_session *s)
{
	uint32_t offers = s->policy.offers;

	if (!s->tls)
		offers &= ~(1u << SMTPD_CAN_REQUIRETLS);
	if ((s->command.uses & ~offers) == 0)
		return true;
	smtpd_reply_say(s, 555, "5.5.4",
	    "Error: a parameter is not offered here");
	return false;
}

static enum smtpd_event
do_mail(struct smtpd_session *s)
{
	const struct smtpd_command *c = &s->command;

	if (s->policy.needs_tls && !s->tls) {
		smtpd_reply_say(s, 530, "5.7.0",
		    "Must issue a STARTTLS command first"); /* RFC 3207, 4 */
		return SMTPD_MORE;
	}
	if (!uses_only_offers(s))
		return SMTPD_MORE;
	if (c->is_utf8 && !c->smtputf8) {
		/* RFC 6531, 3.5, and so below. */
		smtpd_reply_say(s, 550, "5.6.7",
		    "Error: an address beyond ASCII takes SMTPUTF8");
		return SMTPD_MORE;
	}
	if (c->size > s->policy.size_limit) {
		smtpd_reply_say(s, 552, "5.3.4",
		    "Error: the message is larger than the limit that SIZE "
		    "told");
		return SMTPD_MORE;
	}
	strlcpy(s->envelope.from, c->path.path, sizeof(s->envelope.from));
	strlcpy(s->envelope.parameters, c->parameters,
	    sizeof(s->envelope.parameters));
	s->envelope.body = c->body;
	s->envelope.smtputf8 = c->smtputf8;
	s->envelope.require_tls = c->require_tls;
	s->envelope.size = c->size;
	s->envelope.nrcpts = s->overshoot = s->refused = 0;
	s->mode = MODE_DECIDING;
	return SMTPD_MAIL;
}

/* RFC 5321, 4.5.3.1.10; RFC 9422. */
static void
say_too_many(struct smtpd_session *s)
{
	static const struct smtpd_reply reply = { 452, "4.5.3",
		"Error: too many recipients" };

	smtpd_reply_put(s, &reply);
	if (++s->overshoot > OVERSHOOT_MAX)
		smtpd_reply_end(s, "4.7.0", "Error: too many recipients");
}

static enum smtpd_event
do_rcpt(struct smtpd_session *s)
{
	uint32_t most = s->policy.one_recipient ? 1 : s->policy.rcpt_limit;

	if (!uses_only_offers(s))
		return SMTPD_MORE;
	if (s->command.is_utf8 && !s->envelope.smtputf8) {
		s->refused++;
		smtpd_reply_say(s, 553, "5.6.7",
		    "Error: an address beyond ASCII takes SMTPUTF8");
		return SMTPD_MORE;
	}
	if (s->envelope.nrcpts >= most) {
		say_too_many(s);
		return SMTPD_MORE;
	}
	s->mode = MODE_DECIDING;
	return SMTPD_RCPT;
}

static enum smtpd_event
do_data(struct smtpd_session *s)
{
	if (s->envelope.body == SMTPD_BODY_BINARYMIME) {
		smtpd_reply_say(s, 503, "5.5.1",
		    "Error: BINARYMIME goes by BDAT alone"); /* RFC 3030, 3 */
		return SMTPD_MORE;
	}
	s->mode = MODE_DECIDING;
	return SMTPD_BEGIN;
}

void
smtpd_handlers_skip_chunk(struct smtpd_session *s,
    const struct smtpd_reply *reply)
{
	s->chunk_left = s->command.chunk;
	s->skip_reply = *reply;
	s->mode = MODE_SKIP;
}

static enum smtpd_event
do_bdat_lost(struct smtpd_session *s)
{
	static const struct smtpd_reply none = { 554, "5.5.1",
		"Error: no valid recipients" };
	static const struct smtpd_reply first = { 503, "5.5.1",
		"Error: need RCPT command" };

	smtpd_handlers_skip_chunk(s,
	    s->refused > 0 && !s->policy.lmtp ? &none : &first);
	return SMTPD_MORE;
}

static enum smtpd_event
do_bdat(struct smtpd_session *s)
{
	static const struct smtpd_reply not_here = { 502, "5.5.1",
		"Error: command not implemented" };

	if ((s->policy.offers >> SMTPD_CAN_CHUNKING & 1) == 0) {
		smtpd_handlers_skip_chunk(s, &not_here);
		return SMTPD_MORE;
	}
	s->chunk_left = s->command.chunk;
	if (s->state == SMTPD_IN_CHUNKS) {
		s->mode = MODE_CHUNK;
		return SMTPD_MORE;
	}
	s->mode = MODE_DECIDING;
	return SMTPD_BEGIN;
}

static enum smtpd_event
do_rset(struct smtpd_session *s)
{
	smtpd_session_forget(s);
	smtpd_reply_say(s, 250, "2.0.0", "Ok");
	return SMTPD_MORE;
}

static enum smtpd_event
do_noop(struct smtpd_session *s)
{
	smtpd_reply_say(s, 250, "2.0.0", "Ok");
	return SMTPD_MORE;
}

static enum smtpd_event
do_quit(struct smtpd_session *s)
{
	smtpd_session_forget(s);
	smtpd_reply_say(s, 221, "2.0.0", "Bye");
	s->mode = MODE_CLOSED;
	return SMTPD_MORE;
}

/* RFC 5321, 3.5.3: who would answer better tells strangers who is here. */
static enum smtpd_event
do_vrfy(struct smtpd_session *s)
{
	smtpd_reply_say(s, 252, "2.0.0", "Send some mail, it will be tried");
	return SMTPD_MORE;
}

static enum smtpd_event
do_help(struct smtpd_session *s)
{
	smtpd_reply_say(s, 214, "2.0.0", "See postern.conf(5), LISTENERS");
	return SMTPD_MORE;
}

static enum smtpd_event
do_xforward(struct smtpd_session *s)
{
	struct smtpd_reply wrong;

	if (!s->policy.trusted)
		smtpd_reply_say(s, 554, "5.7.0",
		    "Error: insufficient authorization");
	else if (smtpd_xforward_read(&s->forwarded, s->command.rest,
		     s->command.rest_len, &wrong))
		smtpd_reply_say(s, 250, "2.0.0", "Ok");
	else
		smtpd_reply_say(s, wrong.code, wrong.dsn, wrong.text);
	return SMTPD_MORE;
}

static enum smtpd_event
do_not_here(struct smtpd_session *s)
{
	smtpd_reply_say(s, 502, "5.5.1", "Error: command not implemented");
	return SMTPD_MORE;
}

static enum smtpd_event
do_starttls(struct smtpd_session *s)
{
	if ((s->policy.offers >> SMTPD_CAN_STARTTLS & 1) == 0)
		return do_not_here(s);
	if (s->tls) {
		smtpd_reply_say(s, 554, "5.5.1", "Error: TLS is up already");
		return SMTPD_MORE;
	}
	smtpd_reply_say(s, 220, "2.0.0", "Ready to start TLS");
	s->mode = MODE_DECIDING; /* until smtpd_session_tls_is_up() */
	return SMTPD_STARTTLS;
}

static enum smtpd_event
do_unknown(struct smtpd_session *s)
{
	smtpd_reply_say(s, 500, "5.5.2", "Error: command not recognized");
	return SMTPD_MORE;
}

typedef enum smtpd_event (*smtpd_do)(struct smtpd_session *s);

static const smtpd_do table[SMTPD_VERB_COUNT][SMTPD_STATES] = {
#define VERB(name, connected, ready, in_mail, in_rcpt, in_chunks, denied)      \
	[SMTPD_VERB_##name] = {                                                \
		[SMTPD_CONNECTED] = do_##connected,                            \
		[SMTPD_READY] = do_##ready,                                    \
		[SMTPD_IN_MAIL] = do_##in_mail,                                \
		[SMTPD_IN_RCPT] = do_##in_rcpt,                                \
		[SMTPD_IN_CHUNKS] = do_##in_chunks,                            \
		[SMTPD_DENIED] = do_##denied,                                  \
	},
#include "master/intake/smtpd/smtpd_table.def"
#undef VERB
};

enum smtpd_event
smtpd_handlers_run(struct smtpd_session *s)
{
	return table[s->command.verb][s->state](s);
}
