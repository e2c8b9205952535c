/* SPDX-License-Identifier: ISC */
/*
 * What the worker notes in the transcript of what the queue and the session say
 * to each other, and when it is sent.
 */
#include <string.h>

#include "agent/worker_internal.h"
#include "common/util.h"

static void
send_transcript(struct worker *w)
{
	struct msg_transcript head = { .first = 1 };
	size_t at = 0, n;

	session_login_hide_noted(&w->session);
	while ((n = transcript_write(&w->transcript, &at, w->text,
		    sizeof(w->text))) > 0) {
		worker_send(w, MSG_TRANSCRIPT, &head, w->text, n);
		head.first = 0;
	}
}

/* What a report means to the transcript, which goes out ahead of a failure. */
void
transcript_notes_take_report(struct worker *w, enum msg_type type,
    const void *payload, const char *text)
{
	const struct msg_outcome *outcome = payload;
	const struct msg_next *next = payload;
	const struct msg_closed *closed = payload;
	struct transcript *t = &w->transcript;

	if (type == MSG_SESSION_UP) {
		transcript_opened(t);
	} else if (type == MSG_OUTCOME) {
		if (outcome->outcome.status != OUTCOME_DELIVERED)
			transcript_fail(t);
	} else if (type == MSG_NEXT && next->has_failure) {
		transcript_note_verdict(t, &next->outcome, text);
		send_transcript(w);
	} else if (type == MSG_CLOSED && closed->failed) {
		transcript_note_verdict(t, &closed->outcome, text);
		send_transcript(w);
	} else if ((type == MSG_CLOSED || type == MSG_NEXT) && t->has_failure) {
		transcript_part(t); /* what went well at last goes */
		send_transcript(w);
	}
}

/* What a message of the queue or the dialer means to the transcript. */
void
transcript_notes_take_message(struct worker *w, const struct message *m)
{
	const struct msg_session *session = m->payload;
	const struct msg_address *address = m->payload;
	const struct msg_job *job = m->payload;
	const struct msg_dial_failed *failed = m->payload;
	struct transcript *t = &w->transcript;

	if (m->type == MSG_SESSION && session->transcript != 0) {
		t->on = true;
		t->now_ms = time_monotonic_ms();
	} else if (m->type == MSG_ADDRESS)
		transcript_begin(t);
	if (m->type == MSG_ADDRESS &&
	    message_string_ok(address->relay, sizeof(address->relay)))
		transcript_note_text(t, TRANSCRIPT_ADDRESS, address->relay);
	if (m->type == MSG_DIAL_FAILED)
		transcript_note_error(t, TRANSCRIPT_FAILED, failed->error);
	if (m->type != MSG_JOB)
		return;
	/* With all before it answered it begins anew, but for a half line. */
	if (w->session.state == STATE_READY &&
	    !reply_is_partial(&w->session.reply))
		transcript_part(t);
	transcript_note_number(t, TRANSCRIPT_JOB, job->job);
}
