/* SPDX-License-Identifier: ISC */
/*
 * Outcomes that are not the last word: a host did not take a message for a
 * passing reason, or lacks what it needs, and the next address of the plan is
 * tried in the same attempt (RFC 5321, 5.1).  Until then each recipient's is
 * kept with the job; where no address is left, the most telling one counts.
 */
#ifndef MASTER_QUEUE_POSTPONE_H
#define MASTER_QUEUE_POSTPONE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/outcome.h"

struct job;
struct session;

/* What a host made of a recipient.  The strings are the job's. */
struct postponed {
	struct outcome outcome;
	bool is_pending; /* of the host at hand: whether it leads on is open */
	const char *relay;
	const char *reply;
	char text[];
};

/*
 * postpone_take - keep a recipient's outcome of the session's host.
 *
 * False, and nothing is kept, where it is the last word: the outcome says so, no
 * address is left, or there is no memory.
 */
bool postpone_take(struct job *job, uint32_t i, const struct outcome *outcome,
    const char *reply);

/* Whether it is a refusal for what this host lacks, and another one may have,
 * that is not asked in this session: then it is no verdict. */
bool postpone_is_open(const struct session *s, const struct outcome *outcome);

/* Whether an outcome of the host at hand is kept for recipient i. */
bool postpone_is_pending(const struct job *job, uint32_t i);

/*
 * postpone_end - every recipient of the job has an outcome of this host.
 *
 * True where the job goes on to the next one: it is as if it was never sent.
 * Else what was kept is settled.
 */
bool postpone_end(struct job *job);

/* What was kept for recipient i, if it counts for more than this outcome of a
 * later host; NULL: it does not. */
const struct postponed *postpone_prefer(const struct job *job, uint32_t i,
    const struct outcome *outcome);

/* Whether some host was asked about any recipient of the job that is left. */
bool postpone_has_any(const struct job *job);

void postpone_clear(struct job *job);

#endif
