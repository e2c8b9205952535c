/* SPDX-License-Identifier: ISC */
/*
 * What happened in a session, kept for the case that it fails: commands of ours,
 * octets of the remote as they came, times.  No body, and no secret.
 *
 * Noting costs a copy.  What went well is dropped as soon as the next message
 * begins, so that a long session's transcript stays short: its opening, what
 * failed, and what is going on.  Nothing is formatted before somebody reads.
 * Pure: the time comes in as now_ms.
 */
#ifndef POSTERN_AGENT_SMTP_TRANSCRIPT_H
#define POSTERN_AGENT_SMTP_TRANSCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/outcome.h"

#define TRANSCRIPT_SIZE 163840 /* of all events of a connection */
#define TRANSCRIPT_KEEP 32768  /* of failed messages, behind the opening */
#define TRANSCRIPT_TRIM 8192   /* of messages that overlap on the wire */
#define TRANSCRIPT_LINE 12288  /* the longest line that is written */

enum transcript_event {
#define EVENT(name, word, carries, what) TRANSCRIPT_##name,
#include "common/transcript.def"
#undef EVENT
	TRANSCRIPT_EVENTS
};

struct transcript {
	bool on;          /* else nothing is noted */
	bool failed;      /* something of the part in hand */
	bool has_failure; /* something of the connection */
	int64_t began_ms;
	int64_t now_ms; /* set by whoever has a clock, before it notes */
	size_t len;
	size_t part; /* where it begins: behind the opening, and what failed */
	size_t kept; /* octets of failed parts */
	size_t last; /* where the last event begins */
	unsigned column; /* of a challenge */
	uint8_t octets[TRANSCRIPT_SIZE];
};

/* A connection begins: what was noted of the former one is forgotten. */
void transcript_begin(struct transcript *t);

/* t may be NULL in all of these: nobody keeps one. */
void transcript_note(struct transcript *t, enum transcript_event event);
void transcript_note_octets(struct transcript *t, enum transcript_event event,
    const uint8_t *octets, size_t n);
void transcript_note_text(struct transcript *t, enum transcript_event event,
    const char *text);

/* An event with an errno's words. */
void transcript_note_error(struct transcript *t, enum transcript_event event,
    int error);

/* A number; octets of a body in the same quarter of a second are one event. */
void transcript_note_number(struct transcript *t, enum transcript_event event,
    uint64_t number);

/*
 * transcript_note_challenge - octets of the remote while we log in: their codes
 * are kept, and of the text how long it was.
 */
void transcript_note_challenge(struct transcript *t, const uint8_t *octets,
    size_t n);

/* The remote may have repeated it: all that is noted of it becomes asterisks. */
void transcript_hide(struct transcript *t, const char *secret);

void transcript_note_verdict(struct transcript *t,
    const struct outcome *outcome, const char *text);

/* Commands that were written and will not leave: back to a former length. */
size_t transcript_len(const struct transcript *t);
void transcript_take_back(struct transcript *t, size_t len);

/* Something did not end well: the part in hand is worth keeping. */
void transcript_fail(struct transcript *t);

/* The session is up: what was noted so far is its opening, which stays. */
void transcript_opened(struct transcript *t);

/* A message begins, and all before it is answered: what went well goes. */
void transcript_part(struct transcript *t);

/*
 * transcript_write - the next lines, as many as fit whole.
 *
 * size is TRANSCRIPT_LINE at least.  *at is 0 at first, and moves on.  Returns
 * the octets written to out, printable ASCII and LF; 0 at the end.
 */
size_t transcript_write(const struct transcript *t, size_t *at, char *out,
    size_t size);

#endif
