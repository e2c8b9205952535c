/* SPDX-License-Identifier: ISC */
/*
 * The jobs that a session is given, one transaction each: checked against what
 * the server offers, begun, alone or in a flight, and ended, with an outcome for
 * each recipient.
 */
#include <string.h>

#include "agent/extension.h"
#include "agent/session_internal.h"

/* Outcomes. */

void
job_settle(struct session *s, uint32_t rcpt)
{
	struct transaction *t = &s->trans;
	struct msg_outcome outcome = { 0 };

	if (t->rcpts[rcpt] & RCPT_DONE)
		return;
	t->rcpts[rcpt] |= RCPT_DONE;
	if (t->rcpts[rcpt] & RCPT_ACCEPTED)
		t->accepted--;
	outcome.job = t->job;
	outcome.rcpt = rcpt;
	outcome.outcome = s->verdict.outcome;
	session_report(s, MSG_OUTCOME, &outcome, s->verdict.text);
}

void
job_settle_all(struct session *s)
{
	for (uint32_t i = 0; i < s->trans.nrcpt; i++)
		job_settle(s, i);
}

void
job_settle_accepted(struct session *s)
{
	for (uint32_t i = 0; i < s->trans.nrcpt; i++)
		if (s->trans.rcpts[i] & RCPT_ACCEPTED)
			job_settle(s, i);
}

void
job_forget(struct session *s)
{
	s->trans.active = false;
	s->trans.begun = false;
	s->ops->close_body(s->arg);
}

static void
give_back(struct session *s)
{
	struct msg_job_ref ref = { s->trans.job };

	session_report(s, MSG_AGAIN, &ref, "");
}

void
job_finish(struct session *s)
{
	if (s->trans.again)
		give_back(s);
	if (s->needs_rset)
		s->flight.window = 1;
	job_forget(s);
	job_next(s);
}

void
job_abandon(struct session *s)
{
	bool behind = s->flight.departed;

	flight_abandon(s);
	if (!s->trans.active)
		return;
	if (s->trans.begun && (behind || s->trans.again)) {
		give_back(s); /* nothing was done for it */
		job_forget(s);
		return;
	}
	if (!s->trans.begun) { /* another worker can have it as it is */
		job_forget(s);
		return;
	}
	/* Whoever has the whole message may have kept it (RFC 1047). */
	s->verdict.outcome.in_doubt = s->state == STATE_FINAL;
	job_settle_all(s);
	job_forget(s);
}

/* A job comes in. */

uint64_t
job_octets(struct session *s)
{
	struct transaction *t = &s->trans;
	uint8_t last = '\n';

	if (t->body == COMMAND_BODY_BINARYMIME)
		return t->size; /* as they are */
	if (t->size == 0 || t->wire_octets > 0)
		return t->wire_octets;
	if (s->ops->read_body(s->arg, &last, 1, t->size - 1) != 1)
		return t->size;
	t->wire_octets = last == '\n' ? t->size : t->size + 2;
	return t->wire_octets;
}

/* As it came: how it goes is chosen by what the server offers. */
static void
choose_nothing(struct session *s)
{
	struct transaction *t = &s->trans;

	t->bdat = capabilities_offer(&s->caps, CAPABILITY_CHUNKING);
	t->is_converted = false;
	t->content_octets = t->size;
	t->body = COMMAND_BODY_NONE;
	t->smtputf8 = false;
	t->wire_octets = 0;
	t->body_at = 0;
}

static bool
take_job(struct session *s, const struct message *m)
{
	const struct msg_job *job = m->payload;
	struct transaction *t = &s->trans;
	size_t at = 0;
	uint32_t strings = 0;

	if (m->tail_len > sizeof(t->envelope) || job->nrcpt == 0 ||
	    job->nrcpt >= SESSION_RCPTS_MAX)
		return false;
	while (message_tail_next(m, &at) != NULL)
		strings++;
	if (strings != 2 * (job->nrcpt + 1) || at != m->tail_len)
		return false;
	memcpy(t->envelope, m->tail, m->tail_len);
	memset(t->rcpts, 0, job->nrcpt);
	t->job = job->job;
	t->size = job->size;
	t->flags = job->flags;
	t->protocol = job->protocol;
	t->nrcpt = job->nrcpt;
	t->accepted = t->unanswered = t->write_at = t->answer_at = 0;
	t->write_path = envelope_next_path(t->envelope);
	t->fill = FILL_MAIL;
	t->data_asked = t->body_ended = t->begun = false;
	t->chunks = 0;
	t->behind_failure = t->again = false;
	t->envelope_len = (uint32_t)m->tail_len;
	choose_nothing(s);
	memset(&t->encoder, 0, sizeof(t->encoder));
	t->active = true;
	return true;
}

static void
refuse_as_judged(struct session *s)
{
	s->verdict.outcome.step = STEP_MAIL;
	job_settle_all(s);
	job_forget(s);
	if (!s->flight.by_data)
		session_enter(s,
		    s->flight.count > 0 ? STATE_GATHER : STATE_READY);
}

static void
refuse_job(struct session *s, const char *dsn, const char *why)
{
	session_judge(s, dsn, "%s", why);
	refuse_as_judged(s);
}

static void
refuse_sender(struct session *s)
{
	refuse_job(s, "5.1.7", "sender cannot be sent");
	s->needs_rset = false;
}

void
job_report_begun(struct session *s)
{
	struct msg_job_ref begun = { s->trans.job };

	if (!s->trans.begun)
		session_report(s, MSG_BEGUN, &begun, "");
	s->trans.begun = true;
}

void
job_write_mail(struct session *s)
{
	s->mails++;
	s->needs_rset = true; /* until it ends well */
	envelope_fill(s);
}

void
job_begin_mail(struct session *s)
{
	job_report_begun(s);
	session_enter(s, STATE_MAIL);
	job_write_mail(s);
	if (s->expected > 0)
		return;
	refuse_sender(s);
}

static void
begin_clean(struct session *s)
{
	if (s->trans.flags & SUBMIT_VERIFY)
		verify_begin(s);
	else if (xclient_applies(s))
		xclient_begin(s);
	else if (flight_fit(s) == FLIGHT_FITS)
		flight_join(s);
	else
		job_begin_mail(s);
}

/* With nothing on the wire. */
static void
begin_job(struct session *s)
{
	size_t from = s->out.len;

	/* A line begun unasked must not end as the answer to our MAIL. */
	if (s->expected == 0 && reply_is_partial(&s->reply)) {
		session_meet_unsolicited(s);
		return;
	}
	if (!s->needs_rset) {
		begin_clean(s);
		return;
	}
	session_enter(s, STATE_RSET);
	(void)command_write_word(&s->out, COMMAND_RSET); /* out is empty */
	session_wrote(s, from);
}

void
job_next(struct session *s)
{
	session_enter(s, STATE_READY);
	if (session_mails_left(s) == 0 || s->quit_asked)
		session_say_quit(s);
	else if (s->trans.active)
		begin_job(s);
}

static bool
is_ascii(const char *text, size_t n)
{
	char all = 0;

	for (size_t i = 0; i < n; i++)
		all |= text[i];
	return ((unsigned char)all & 0x80) == 0;
}

/* Who cannot be named to this server; the others get the message. */
static void
refuse_utf8_recipients(struct session *s)
{
	struct transaction *t = &s->trans;
	const char *path = envelope_next_path(t->envelope);

	session_judge(s, "5.6.7",
	    "recipient needs SMTPUTF8, which the server does not offer");
	s->verdict.outcome.step = STEP_MAIL;
	for (uint32_t i = 0; i < t->nrcpt; i++) {
		if (!is_ascii(path, strlen(path)))
			job_settle(s, i);
		path = envelope_next_path(path);
	}
}

static bool
has_recipients(const struct transaction *t)
{
	for (uint32_t i = 0; i < t->nrcpt; i++)
		if (!(t->rcpts[i] & RCPT_DONE))
			return true;
	return false;
}

/* RFC 6531, 3.2: without the extension nothing of it is sent. */
static bool
choose_smtputf8(struct session *s)
{
	struct transaction *t = &s->trans;

	if (!(t->flags & SUBMIT_SMTPUTF8) &&
	    is_ascii(t->envelope, t->envelope_len))
		return true;
	if (capabilities_offer(&s->caps, CAPABILITY_SMTPUTF8)) {
		t->smtputf8 = true;
		return true;
	}
	if (t->flags & SUBMIT_SMTPUTF8) {
		refuse_job(s, "5.6.9",
		    "a header field needs SMTPUTF8, which the server does not offer");
		return false;
	}
	if (!is_ascii(t->envelope, strlen(t->envelope))) {
		refuse_job(s, "5.6.7",
		    "sender needs SMTPUTF8, which the server does not offer");
		return false;
	}
	refuse_utf8_recipients(s);
	if (has_recipients(t))
		return true;
	refuse_as_judged(s);
	return false;
}

/* What the server takes no octets of, it gets converted, or not at all. */
static bool
convert_body(struct session *s, enum mime_target target, const char *lacks)
{
	enum mime_error why;
	bool is_read;

	if (s->conf.eight_bit != SESSION_CONVERT) {
		refuse_job(s, "5.6.3", lacks);
		return false;
	}
	why = content_convert(s, target, &is_read);
	if (is_read && why == MIME_OK)
		return true;
	if (is_read)
		session_judge(s, "5.6.3", "%s, and it cannot be converted: %s",
		    lacks, mime_error_text(why));
	else
		session_judge(s, "4.3.0", "the message cannot be read");
	refuse_as_judged(s);
	return false;
}

/* RFC 3030, 3: by BDAT, and no octet of it changed. */
static bool
choose_binary(struct session *s)
{
	struct transaction *t = &s->trans;

	if (capabilities_offer(&s->caps, CAPABILITY_BINARYMIME)) {
		t->body = COMMAND_BODY_BINARYMIME;
		return true;
	}
	if (!capabilities_offer(&s->caps, CAPABILITY_EIGHTBITMIME))
		return convert_body(s, MIME_TO_7BIT,
		    "message is binary, and the server offers neither BINARYMIME nor 8BITMIME");
	t->body = COMMAND_BODY_8BITMIME;
	return convert_body(s, MIME_TO_8BIT,
	    "message is binary, and the server does not offer BINARYMIME");
}

/* False where the job has its outcome. */
static bool
choose_body(struct session *s)
{
	struct transaction *t = &s->trans;

	if ((t->flags & SUBMIT_BINARY) != 0)
		return choose_binary(s);
	if ((t->flags & SUBMIT_8BIT) == 0)
		return true;
	if (capabilities_offer(&s->caps, CAPABILITY_EIGHTBITMIME)) {
		t->body = COMMAND_BODY_8BITMIME;
		return true;
	}
	/* RFC 6152, 3 */
	return s->conf.eight_bit == SESSION_SEND_ANYWAY ||
	    convert_body(s, MIME_TO_7BIT,
		"message has 8-bit octets, and the server does not offer 8BITMIME");
}

/* The job goes back as it came: the queue knows of nothing that was begun. */
static void
leave_to_another(struct session *s)
{
	job_forget(s);
	s->quit_asked = true;
	if (s->flight.by_data)
		return; /* its end says QUIT */
	if (s->flight.count > 0)
		flight_depart(s);
	else
		session_say_quit(s);
}

/* False where it has its outcome by what the server offers, or goes back. */
static bool
may_be_sent(struct session *s)
{
	struct transaction *t = &s->trans;
	const char *parameters = envelope_parameters(t->envelope);
	const struct extension_refusal *refusal;

	if (t->protocol != s->conf.protocol) {
		refuse_job(s, "4.5.0",
		    session_is_lmtp(s)
			? "protocol error: a job for SMTP on a session of LMTP"
			: "protocol error: a job for LMTP on a session of SMTP");
		return false;
	}
	if (!choose_smtputf8(s) || !choose_body(s))
		return false;
	if (s->caps.size_limit > 0 &&
	    t->content_octets + 2 > s->caps.size_limit &&
	    job_octets(s) > s->caps.size_limit) {
		/* RFC 1870, 4 */
		refuse_job(s, "5.3.4",
		    "message is larger than the size that the server offers");
		return false;
	}
	refusal = extension_refuse(&s->caps, parameters);
	if (refusal != NULL) {
		refuse_job(s, refusal->dsn, refusal->why);
		return false;
	}
	t->wants_delay = extension_wants_delay(&s->caps, parameters);
	if ((t->flags & SUBMIT_VERIFY) || limits_choose(s))
		return true;
	leave_to_another(s);
	return false;
}

void
job_begin(struct session *s)
{
	if (!take_job(s, s->message))
		s->is_misled = true;
	else if (!may_be_sent(s))
		return;
	else if (s->flight.count == 0)
		begin_job(s);
	else if (flight_fit(s) == FLIGHT_FITS)
		flight_join(s);
	else /* it waits for the end of this flight */
		flight_depart(s);
}

void
job_begin_anew(struct session *s)
{
	choose_nothing(s);
	if (may_be_sent(s))
		job_begin_mail(s);
	else
		job_next(s);
}

/* Its commands leave with the end of the message before it (RFC 2920, 3.1). */
void
job_begin_behind(struct session *s)
{
	struct transaction *t = &s->trans;

	if (!take_job(s, s->message)) {
		s->is_misled = true;
		return;
	}
	if (!may_be_sent(s))
		return;
	/* By itself, once that is over. */
	if ((t->flags & SUBMIT_VERIFY) || xclient_applies(s))
		return;
	job_report_begun(s);
	s->mails++;
	flight_fill_behind(s);
}

/* What it went with is answered: its own replies are next. */
void
job_go_on(struct session *s)
{
	bool failed = s->needs_rset;

	s->trans.behind_failure = failed;
	s->needs_rset = true; /* until it ends well */
	session_enter(s, STATE_MAIL);
	if (s->trans.fill != FILL_MAIL)
		return;
	refuse_sender(s);
	s->needs_rset = failed;
	job_next(s);
}

void
job_take_rset(struct session *s)
{
	if (s->reply.code != 250)
		session_fail_by_reply(s, FAREWELL_QUIT);
	else
		begin_clean(s);
}
