/* SPDX-License-Identifier: ISC */
/* The outcome for a recipient, as `send` and `deliver` print it. */
#ifndef POSTERN_MASTER_CONTROL_CLIENT_JOB_RESULT_H
#define POSTERN_MASTER_CONTROL_CLIENT_JOB_RESULT_H

#include <jansson.h>
#include <stdbool.h>

/* How many recipients came to which end. */
struct job_result_tally {
	unsigned deferred;
	unsigned failed;
};

/* One result as a line of words, or as it came; counts it. */
void job_result_print(const json_t *result, bool json,
    struct job_result_tally *tally);

int job_result_exit_status(const struct job_result_tally *tally);

#endif
