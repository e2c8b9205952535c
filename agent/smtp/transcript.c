/* SPDX-License-Identifier: ISC */
/*
 * See transcript.h.  Events stand one behind the other, a head and its octets;
 * the lines of postern-transcript(5) are made of them when they are asked for.
 */
#include "agent/smtp/transcript.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/digits.h"
#include "common/util.h"

#define LINE_OCTETS  2048 /* of one line; more go on in a line of their own */
#define BODY_STEP_MS 250
#define REPEAT_MIN   64 /* octets that a repetition has to save */
#define PERIOD_MAX   512

enum carries {
	CARRIES_NOTHING,
	CARRIES_TEXT,
	CARRIES_OCTETS,
	CARRIES_NUMBER,
};

static const struct event_desc {
	const char *word;
	enum carries carries;
} events[] = {
#define EVENT(name, word, carries, what) { word, CARRIES_##carries },
#include "common/transcript.def"
#undef EVENT
};

struct head {
	uint32_t time_ms; /* since the connection began */
	uint16_t event;
	uint16_t len;
};

static struct head
head_at(const struct transcript *t, size_t at)
{
	struct head h;

	memcpy(&h, t->octets + at, sizeof(h));
	return h;
}

static size_t
next_at(const struct transcript *t, size_t at)
{
	return at + sizeof(struct head) + head_at(t, at).len;
}

static uint64_t
number_at(const struct transcript *t, size_t at)
{
	uint64_t number;

	memcpy(&number, t->octets + at + sizeof(struct head), sizeof(number));
	return number;
}

/* Puts a mark in the place of the events from `from` to `to`, both whole. */
static void
leave_out(struct transcript *t, size_t from, size_t to)
{
	struct head h = head_at(t, from);
	uint64_t octets = 0;
	size_t mark = sizeof(h) + sizeof(octets);

	for (size_t at = from; at < to; at = next_at(t, at))
		octets += head_at(t, at).event == TRANSCRIPT_LEFT_OUT
		    ? number_at(t, at)
		    : head_at(t, at).len;
	if (to - from < mark)
		return;
	h.event = TRANSCRIPT_LEFT_OUT;
	h.len = sizeof(octets);
	memcpy(t->octets + from, &h, sizeof(h));
	memcpy(t->octets + from + sizeof(h), &octets, sizeof(octets));
	memmove(t->octets + from + mark, t->octets + to, t->len - to);
	t->len -= to - from - mark;
	t->last = t->last >= to ? t->last - (to - from - mark) : t->len;
}

/* Of what stands behind `from`, no more than `keep` octets stay. */
static void
forget_old(struct transcript *t, size_t from, size_t keep)
{
	size_t to = from;

	while (t->len - to > keep)
		to = next_at(t, to);
	if (to > from)
		leave_out(t, from, to);
}

static uint8_t *
add(struct transcript *t, enum transcript_event event, size_t n)
{
	struct head h = { 0 };
	int64_t ms = t->now_ms - t->began_ms;

	if (sizeof(h) + n > sizeof(t->octets) - t->len)
		forget_old(t, t->part, (sizeof(t->octets) - t->part) / 4);
	if (sizeof(h) + n > sizeof(t->octets) - t->len)
		return NULL;
	h.time_ms = ms > 0 ? (uint32_t)ms : 0;
	h.event = (uint16_t)event;
	h.len = (uint16_t)n;
	memcpy(t->octets + t->len, &h, sizeof(h));
	t->last = t->len;
	t->len += sizeof(h) + n;
	return t->octets + t->len - n;
}

void
transcript_begin(struct transcript *t)
{
	t->began_ms = t->now_ms;
	t->len = t->part = t->kept = t->last = 0;
	t->failed = t->has_failure = false;
	t->column = 0;
}

void
transcript_note_octets(struct transcript *t, enum transcript_event event,
    const uint8_t *octets, size_t n)
{
	uint8_t *to;

	if (t == NULL || !t->on)
		return;
	if (n > UINT16_MAX)
		n = UINT16_MAX;
	to = add(t, event, n);
	if (to != NULL)
		memcpy(to, octets, n);
}

void
transcript_note(struct transcript *t, enum transcript_event event)
{
	transcript_note_octets(t, event, (const uint8_t *)"", 0);
}

void
transcript_note_text(struct transcript *t, enum transcript_event event,
    const char *text)
{
	transcript_note_octets(t, event, (const uint8_t *)text, strlen(text));
}

void
transcript_note_error(struct transcript *t, enum transcript_event event,
    int error)
{
	const char *why = strerrordesc_np(error);

	transcript_note_text(t, event, why != NULL ? why : "unknown error");
}

void
transcript_note_number(struct transcript *t, enum transcript_event event,
    uint64_t number)
{
	struct head h;

	if (t == NULL || !t->on)
		return;
	if (event == TRANSCRIPT_BODY && t->last < t->len) {
		h = head_at(t, t->last);
		if (h.event == event &&
		    t->now_ms - t->began_ms - h.time_ms < BODY_STEP_MS) {
			number += number_at(t, t->last);
			memcpy(t->octets + t->last + sizeof(h), &number,
			    sizeof(number));
			return;
		}
	}
	transcript_note_octets(t, event, (const uint8_t *)&number,
	    sizeof(number));
}

void
transcript_note_challenge(struct transcript *t, const uint8_t *octets, size_t n)
{
	transcript_note_octets(t, TRANSCRIPT_RECEIVED, octets, n);
	if (t == NULL || !t->on || t->last == t->len ||
	    head_at(t, t->last).event != TRANSCRIPT_RECEIVED)
		return;
	for (size_t at = t->last + sizeof(struct head); at < t->len; at++) {
		uint8_t *c = &t->octets[at];

		if (t->column++ >= 4 && *c != '\r' && *c != '\n')
			*c = '*';
		if (*c == '\n')
			t->column = 0;
	}
}

/* The octet behind that one in what the remote said, across its events. */
static size_t
next_said(const struct transcript *t, size_t *event, size_t at)
{
	if (at + 1 < next_at(t, *event))
		return at + 1;
	do
		*event = next_at(t, *event);
	while (*event < t->len &&
	    (head_at(t, *event).event != TRANSCRIPT_RECEIVED ||
		head_at(t, *event).len == 0));
	return *event < t->len ? *event + sizeof(struct head) : t->len;
}

/* Whether the secret stands there; blanked where it does. */
static void
hide_at(struct transcript *t, size_t event, size_t at, const char *secret,
    size_t n)
{
	size_t i, e = event, a = at;

	for (i = 0; i < n && a < t->len && t->octets[a] == (uint8_t)secret[i];
	     i++)
		a = next_said(t, &e, a);
	if (i < n)
		return;
	for (a = at; i > 0; i--) {
		t->octets[a] = '*';
		a = next_said(t, &event, a);
	}
}

void
transcript_hide(struct transcript *t, const char *secret)
{
	size_t n = strlen(secret), event = 0, at;

	if (t == NULL || !t->on || n < 2 || t->len == 0)
		return;
	at = head_at(t, 0).event == TRANSCRIPT_RECEIVED
	    ? sizeof(struct head)
	    : next_said(t, &event, next_at(t, 0) - 1);
	while (at < t->len) {
		hide_at(t, event, at, secret, n);
		at = next_said(t, &event, at);
	}
}

void
transcript_note_verdict(struct transcript *t, const struct outcome *outcome,
    const char *text)
{
	char line[1200];

	(void)snprintf(line, sizeof(line), "%s %u %s %s %s",
	    outcome_status_name(outcome->status), outcome->code, outcome->dsn,
	    outcome_step_name(outcome->step), text); /* may be cut */
	transcript_note_text(t, TRANSCRIPT_VERDICT, line);
}

size_t
transcript_len(const struct transcript *t)
{
	return t == NULL ? 0 : t->len;
}

void
transcript_take_back(struct transcript *t, size_t len)
{
	size_t at = 0;

	if (t == NULL)
		return;
	/* Where old events were left out meanwhile, none may begin there now:
	 * then what should go stays. */
	while (at < len && at < t->len)
		at = next_at(t, at);
	if (at == len && len < t->len)
		t->len = t->last = len; /* the next is not joined to any */
}

void
transcript_fail(struct transcript *t)
{
	t->failed = t->has_failure = true;
}

void
transcript_opened(struct transcript *t)
{
	if (t == NULL || !t->on)
		return;
	/* A server of many words leaves room for what is to come. */
	forget_old(t, 0, sizeof(t->octets) - 2 * TRANSCRIPT_KEEP);
	t->part = t->len;
}

void
transcript_part(struct transcript *t)
{
	size_t n;

	if (t == NULL || !t->on)
		return;
	n = t->len - t->part;
	if (t->failed && t->kept + n <= TRANSCRIPT_KEEP) {
		t->kept += n;
		t->part = t->len;
	} else {
		t->len = t->last = t->part;
	}
	t->failed = false;
}

/* Lines. */

struct writer {
	char *out;
	size_t size;
	size_t len;
	bool full;
};

static void
put(struct writer *w, const char *text, size_t n)
{
	if (n > w->size - w->len) {
		w->full = true;
		return;
	}
	memcpy(w->out + w->len, text, n);
	w->len += n;
}

static void
put_string(struct writer *w, const char *text)
{
	put(w, text, strlen(text));
}

static void
put_number(struct writer *w, uint64_t number)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%" PRIu64, number);
	put_string(w, text);
}

/* Inside quotation marks: printable ASCII but the mark and the backslash. */
static void
put_escaped(struct writer *w, const uint8_t *in, size_t n)
{
	static const char hex[] = DIGITS_HEX;
	char text[4] = { '\\', 'x', 0, 0 };

	for (size_t i = 0; i < n; i++) {
		if (in[i] == '\r') {
			put(w, "\\r", 2);
		} else if (in[i] == '\n') {
			put(w, "\\n", 2);
		} else if (in[i] < ' ' || in[i] > '~' || in[i] == '"' ||
		    in[i] == '\\') {
			text[2] = hex[in[i] >> 4];
			text[3] = hex[in[i] & 15];
			put(w, text, 4);
		} else {
			put(w, (const char *)in + i, 1);
		}
	}
}

/* How many octets from in on repeat the first `period` of them. */
static size_t
repeats(const uint8_t *in, size_t n, size_t period)
{
	size_t same = period;

	while (same < n && in[same] == in[same - period])
		same++;
	return same / period;
}

/* One octet, a line, or two of them: whichever repeats here, or 0. */
static size_t
find_period(const uint8_t *in, size_t n)
{
	size_t most = n < PERIOD_MAX ? n : PERIOD_MAX, line = 0;
	const uint8_t *end;

	if (n <= REPEAT_MIN)
		return 0;
	if (in[0] == in[1] && repeats(in, n, 1) > REPEAT_MIN)
		return 1;
	for (int i = 0; i < 2 && line < most; i++) {
		end = memchr(in + line, '\n', most - line);
		if (end == NULL)
			return 0;
		line = (size_t)(end - in) + 1;
		if ((repeats(in, n, line) - 1) * line > REPEAT_MIN)
			return line;
	}
	return 0;
}

static void
put_piece(struct writer *w, uint64_t times, const uint8_t *in, size_t n)
{
	if (n == 0)
		return;
	put_string(w, " ");
	if (times > 1) {
		put_number(w, times);
		put_string(w, "*");
	}
	put_string(w, "\"");
	put_escaped(w, in, n);
	put_string(w, "\"");
}

static void
put_octets(struct writer *w, const uint8_t *in, size_t n)
{
	size_t from = 0, at = 0, period, times;

	if (n == 0)
		put_string(w, " \"\"");
	while (at < n) {
		period = find_period(in + at, n - at);
		if (period == 0) {
			at++;
			continue;
		}
		times = repeats(in + at, n - at, period);
		put_piece(w, 1, in + from, at - from);
		put_piece(w, times, in + at, period);
		at += times * period;
		from = at;
	}
	put_piece(w, 1, in + from, n - from);
}

/* How many events are this one again: reads of the same in the same ms. */
static uint64_t
alike(const struct transcript *t, size_t at)
{
	size_t n = sizeof(struct head) + head_at(t, at).len;
	uint64_t times = 1;

	if (head_at(t, at).event != TRANSCRIPT_RECEIVED)
		return 1;
	while (n <= t->len - at - times * n &&
	    memcmp(t->octets + at, t->octets + at + times * n, n) == 0)
		times++;
	return times;
}

/*
 * One line of an event, from octet `from` of it on and at most `most` of them;
 * where it ends in it.  A line that goes on has a plus behind its word.
 */
static size_t
put_line(struct writer *w, const struct transcript *t, size_t at, size_t from,
    size_t most, uint64_t times)
{
	struct head h = head_at(t, at);
	const struct event_desc *d = &events[h.event];
	const uint8_t *octets = t->octets + at + sizeof(h) + from;
	size_t n = h.len - from;

	put_number(w, h.time_ms);
	put_string(w, " ");
	put_string(w, d->word);
	if (from > 0)
		put_string(w, "+");
	if (times > 1) {
		put_string(w, "*");
		put_number(w, times);
	}
	if (d->carries == CARRIES_NUMBER) {
		put_string(w, " ");
		put_number(w, number_at(t, at));
	} else if (d->carries != CARRIES_NOTHING) {
		if (n > most)
			n = most;
		put_octets(w, octets, n);
	}
	put_string(w, "\n");
	return from + n;
}

size_t
transcript_write(const struct transcript *t, size_t *at, char *out, size_t size)
{
	struct writer w = { out, size, 0, false };
	size_t event = 0, from = 0, done, line;
	uint64_t times;

	/* Which event, and which octet of it: both are in *at, as if each
	 * octet of an event were a step. */
	while (event < t->len && next_at(t, event) <= *at)
		event = next_at(t, event);
	if (*at > event)
		from = *at - event - sizeof(struct head);
	while (event < t->len) {
		line = w.len;
		times = from == 0 ? alike(t, event) : 1;
		/* What is alike is one piece, however many octets it has. */
		done = put_line(&w, t, event, from, SIZE_MAX, times);
		if (w.full && line == 0) {
			w.len = 0;
			w.full = false;
			times = 1;
			done = put_line(&w, t, event, from, LINE_OCTETS, 1);
		}
		if (w.full) {
			w.len = line;
			break;
		}
		for (; done >= head_at(t, event).len && times > 1; times--)
			event = next_at(t, event);
		from = done < head_at(t, event).len ? done : 0;
		if (from == 0)
			event = next_at(t, event);
		*at = event + (from > 0 ? sizeof(struct head) + from : 0);
	}
	return w.len;
}
