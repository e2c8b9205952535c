/* SPDX-License-Identifier: ISC */
/*
 * What clients of the job and control sockets are told: messages in, JSON out
 * (postern-job(5)).  Each function returns a string to free(), or NULL where
 * memory ran out or the message holds something that it may not.
 */
#ifndef POSTERN_MASTER_INTAKE_ANSWER_H
#define POSTERN_MASTER_INTAKE_ANSWER_H

#include <stdint.h>

#include "common/message.h"

/* ref: the client's own reference; left out where it is empty. */
char *answer_queued(const char *ref, uint64_t id);
/* The same of one that is not stored. */
char *answer_taken(const char *ref, uint64_t id);
char *answer_refused(const char *ref, unsigned code, const char *dsn,
    const char *text);
char *answer_result(const char *ref, const struct message *m);
char *answer_results_end(const char *ref, const char *error);
char *answer_trace(const struct message *m);
char *answer_status(const struct message *m);
char *answer_listed(const struct message *m);
char *answer_transcript_part(const struct message *m);
char *answer_transcripts_end(const struct message *m);
char *answer_list_end(const struct message *m);

#endif
