/* SPDX-License-Identifier: ISC */
/*
 * What clients of the job socket are told: messages in, JSON out
 * (postern-job(5)).  Each function returns a string to free(), or NULL where
 * memory ran out or the message holds something that it may not.
 */
#ifndef POSTERN_MASTER_INTAKE_JOB_JOB_ANSWER_H
#define POSTERN_MASTER_INTAKE_JOB_JOB_ANSWER_H

#include <stdint.h>

#include "common/message.h"

/* ref: the client's own reference; left out where it is empty. */
char *job_answer_queued(const char *ref, uint64_t id);
/* The same of one that is not stored. */
char *job_answer_taken(const char *ref, uint64_t id);
char *job_answer_result(const char *ref, const struct message *m);
char *job_answer_results_end(const char *ref, const char *error);
char *job_answer_trace(const struct message *m);
/* In the place of so many lines. */
char *job_answer_lines_lost(uint64_t count);

#endif
