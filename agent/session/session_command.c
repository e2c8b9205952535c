/* SPDX-License-Identifier: ISC */
/* What each command of ours needs when it is in out: its reply is expected, and it
 * is seen in the transcript and the dialogue. */
#include "agent/session/session_internal.h"

void
session_command_written(struct session *s, size_t from)
{
	s->expected++;
	transcript_note_octets(s->transcript, TRANSCRIPT_SENT,
	    s->out.octets + from, s->out.len - from);
	session_report_sent(s, s->out.octets + from, s->out.len - from - 2);
}

void
session_command_word(struct session *s, enum command_word word)
{
	size_t from = s->out.len;

	if (smtp_command_write_word(&s->out, word) == COMMAND_OK)
		session_command_written(s, from);
}
