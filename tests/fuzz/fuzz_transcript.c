/* SPDX-License-Identifier: ISC */
/*
 * Any text is refused with a sentence, or is a transcript within its bounds,
 * which can be made ready to be played.  Where the first octet is 0 the rest is
 * what a remote said, cut in pieces: what is written of it is read back as it
 * was, and a secret that it says is nowhere in it.
 */
#include "agent/smtp/transcript.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "master/control/replay/replay_plan.h"
#include "master/control/replay/replay_script.h"

#define SECRET "pencil"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check_script(const struct replay_script *s)
{
	assert(s->nevents <= SCRIPT_EVENTS_MAX);
	assert(s->noctets <= SCRIPT_OCTETS_MAX);
	for (size_t i = 0; i < s->nevents; i++) {
		assert(s->events[i].kind < SCRIPT_KINDS);
		assert(s->events[i].at <= s->noctets);
		assert(s->events[i].len <= s->noctets - s->events[i].at);
	}
	for (size_t i = 0; i < s->nrecipients; i++) {
		assert(s->recipients[i].outcome.status <= OUTCOME_FAILED);
		assert(s->recipients[i].outcome.step < STEP_COUNT);
	}
}

static void
check_play(const struct replay_script *s, bool with_auth)
{
	struct replay_plan_timer hurry;
	struct replay_plan p;

	assert(replay_plan_choose(&p, s, with_auth) == 0);
	assert(p.n <= s->nevents);
	replay_plan_hurry(&p, &hurry);
	assert(hurry.timer <= TIMER_COUNT);
	for (size_t i = 0; i < p.n; i++)
		assert(p.events[i].at + p.events[i].len <= s->noctets);
	replay_plan_clear(&p);
}

static void
read_text(const uint8_t *data, size_t n)
{
	char error[SCRIPT_ERROR_SIZE];
	struct replay_script s;

	if (replay_script_parse(&s, (const char *)data, n, error) == -1) {
		assert(error[0] != '\0' &&
		    memchr(error, '\0', sizeof(error)) != NULL);
	} else {
		check_script(&s);
		check_play(&s, true);
		check_play(&s, false);
	}
	replay_script_clear(&s);
}

/* Pieces: a length, and so many octets. */
static void
write_and_read(const uint8_t *data, size_t n)
{
	static const char head[] = "postern-transcript 1\n", end[] = "end\n";
	static struct transcript t;
	static uint8_t said[TRANSCRIPT_SIZE];
	static char text[8 * TRANSCRIPT_SIZE];
	char error[SCRIPT_ERROR_SIZE];
	size_t len = sizeof(head) - 1, at = 0, nsaid = 0, got;
	struct replay_script s;

	memset(&t, 0, offsetof(struct transcript, octets));
	t.on = true;
	transcript_begin(&t);
	for (size_t piece; n > 0 && nsaid < 60000; data += piece, n -= piece) {
		piece = data[0] < n - 1 ? data[0] : n - 1;
		data++;
		n--;
		transcript_note_octets(&t, TRANSCRIPT_RECEIVED, data, piece);
		memcpy(said + nsaid, data, piece);
		nsaid += piece;
	}
	memcpy(text, head, len);
	while ((got = transcript_write(&t, &at, text + len, 16384)) > 0)
		len += got;
	assert(at == t.len);
	memcpy(text + len, end, sizeof(end) - 1);
	assert(
	    replay_script_parse(&s, text, len + sizeof(end) - 1, error) == 0);
	for (size_t i = 0; i < len; i++)
		assert(text[i] == '\n' || (text[i] >= ' ' && text[i] <= '~'));
	got = 0;
	for (size_t i = 0; i < s.nevents; i++) {
		assert(s.events[i].kind == SCRIPT_RECEIVED);
		assert(memcmp(s.octets + s.events[i].at, said + got,
			   s.events[i].len) == 0);
		got += s.events[i].len;
	}
	assert(got == nsaid);
	replay_script_clear(&s);
	transcript_hide(&t, SECRET);
	at = len = 0;
	while ((got = transcript_write(&t, &at, text + len, 16384)) > 0)
		len += got;
	assert(memmem(text, len, SECRET, strlen(SECRET)) == NULL);
	transcript_part(&t);
	assert(t.len == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n > 0 && data[0] == 0)
		write_and_read(data + 1, n - 1);
	else
		read_text(data, n);
	return 0;
}
