/* SPDX-License-Identifier: ISC */
/*
 * The packets of the control socket, postern-control(5): one JSON object is one
 * question or one thing to do.  Reads it; what it means is the queue's business,
 * or the master's.  No I/O.
 */
#ifndef POSTERN_MASTER_OPERATOR_COMMAND_H
#define POSTERN_MASTER_OPERATOR_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/message.h"
#include "master/clients/value.h"

#define COMMAND_TAIL_SIZE       16384
#define COMMAND_TRANSCRIPT_SIZE 32 /* of a transcript's name, and NUL */

/* To which message a command becomes. */
enum command_question {
	QUESTION_STATUS,
	QUESTION_TRANSCRIPTS,
	QUESTION_ACT,
	QUESTION_ASK,
	QUESTION_STOP,
};

struct command {
	enum command_question question;
	struct msg_act act; /* ACT; request and uid are the caller's to fill */
	struct msg_ask ask; /* ASK; the same */
	char name[COMMAND_TRANSCRIPT_SIZE]; /* of a transcript, or empty */
	bool whole;
	bool wait_for_end;
	size_t tail_len; /* of ACT or ASK */
	char tail[COMMAND_TAIL_SIZE];
};

/*
 * command_parse - read one packet of the control socket.
 *
 * now_ms is CLOCK_REALTIME, from which ages count.  0 with *command filled, or
 * -1 with one sentence in error.
 */
int command_parse(struct command *command, const char *text, size_t len,
    int64_t now_ms, char error[VALUE_ERROR_SIZE]);

#endif
