/* SPDX-License-Identifier: ISC */
/*
 * A transcript, postern-transcript(5), read back: text in, a list of what
 * happened out.  Pure but for memory.  The text may be a stranger's: whatever
 * it says, what it grows to is bounded.
 */
#ifndef POSTERN_MASTER_CONTROL_REPLAY_REPLAY_SCRIPT_H
#define POSTERN_MASTER_CONTROL_REPLAY_REPLAY_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/message.h"
#include "common/parameters.h"

#define SCRIPT_ERROR_SIZE 256
#define SCRIPT_WORD_SIZE  1280
#define SCRIPT_EVENTS_MAX 400000
#define SCRIPT_OCTETS_MAX (16 * 1024 * 1024)
#define SCRIPT_RCPTS_MAX  4096

enum replay_script_kind {
#define EVENT(name, word, carries, what) SCRIPT_##name,
#include "common/transcript.def"
#undef EVENT
	SCRIPT_KINDS
};

struct replay_script_event {
	enum replay_script_kind kind;
	uint32_t time_ms;
	uint64_t number;
	size_t at; /* in script.octets */
	size_t len;
};

/* A message of the session, as the queue knew it. */
struct replay_script_message {
	uint64_t number; /* as in a job event */
	uint64_t size;
	bool eight_bit;
	char from[MSG_ADDRESS_SIZE];
	char parameters[PARAMETERS_MAIL_SIZE]; /* of MAIL */
};

/* A recipient of one, and its outcome where that is known. */
struct replay_script_recipient {
	uint64_t number;
	uint32_t turn; /* of those in commands; 0: in none, or not known yet */
	bool has_outcome;
	struct outcome outcome;
	char address[MSG_ADDRESS_SIZE];
	char reply[SCRIPT_WORD_SIZE];
};

struct replay_script {
	char relay[MSG_RELAY_SIZE];
	bool lmtp;
	bool implicit_tls;
	uint8_t tls_level; /* enum tls_level */
	bool require_tls;  /* REQUIRETLS (RFC 8689) was demanded */
	char ehlo[MSG_HOST_SIZE];
	char discard[MSG_DISCARD_SIZE];        /* of the transport */
	char discard_server[MSG_DISCARD_SIZE]; /* of the last server */
	uint32_t timer_ms[TIMER_COUNT];
	struct replay_script_event *events;
	size_t nevents, events_size;
	uint8_t *octets;
	size_t noctets, octets_size;
	struct replay_script_message *messages;
	size_t nmessages, messages_size;
	struct replay_script_recipient *recipients;
	size_t nrecipients, recipients_size;
};

/*
 * replay_script_parse - the first transcript in a text.
 *
 * 0, or -1 with one sentence in error; replay_script_clear() in either case.
 */
int replay_script_parse(struct replay_script *s, const char *text, size_t len,
    char error[static SCRIPT_ERROR_SIZE]);
void replay_script_clear(struct replay_script *s);

/* As text; what is no printable ASCII is a question mark. */
const char *replay_script_text(const struct replay_script *s,
    const struct replay_script_event *e, char *out, size_t size);

/* Adds a message or a recipient; NULL with no memory, or too many. */
struct replay_script_message *replay_script_add_message(struct replay_script *s,
    uint64_t number);
struct replay_script_recipient *replay_script_add_recipient(
    struct replay_script *s, uint64_t number, const char *address);

#endif
