/* SPDX-License-Identifier: ISC */
/* Transcripts that the daemon keeps, asked for over its control socket. */
#ifndef POSTERN_MASTER_CONTROL_QUEUE_CMD_TRANSCRIPT_H
#define POSTERN_MASTER_CONTROL_QUEUE_CMD_TRANSCRIPT_H

#include <stdio.h>

#define TRANSCRIPT_ID_SIZE 32

/*
 * cmd_transcript_fetch - write one to out: that of the id, or the newest of a
 * session with the message of that queue id; NULL: the newest of all.
 *
 * 1, 0 where there is none, or -1 where that has been said on stderr.
 */
int cmd_transcript_fetch(int fd, const char *id, FILE *out);

#endif
