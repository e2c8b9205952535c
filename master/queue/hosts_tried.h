/* SPDX-License-Identifier: ISC */
/*
 * The hosts that an attempt tried, and why each did not take the mail: noted by a
 * session, kept with its destination when the attempt failed, shown by explain.
 * Bounded; what does not fit is left out.
 */
#ifndef MASTER_QUEUE_HOSTS_TRIED_H
#define MASTER_QUEUE_HOSTS_TRIED_H

#include <stddef.h>
#include <stdint.h>

#define HOSTS_TRIED_SIZE 2048

/* Zeroed: none. */
struct hosts_tried {
	size_t len;
	char text[HOSTS_TRIED_SIZE]; /* host and reason, in turn, each with NUL */
};

/* The same in the room that it takes. */
struct hosts_tried_kept;

/* A host is noted once, with the last of its reasons. */
void hosts_tried_add(struct hosts_tried *tried, const char *relay,
    const char *reply);

/* Replaces *kept, which the caller frees; at_ms: CLOCK_REALTIME.  Without memory
 * there is none. */
void hosts_tried_keep(struct hosts_tried_kept **kept,
    const struct hosts_tried *tried, int64_t at_ms);

/* When it was, and each host in turn, from *at = 0; NULL after the last. */
int64_t hosts_tried_time(const struct hosts_tried_kept *kept);
const char *hosts_tried_next(const struct hosts_tried_kept *kept, size_t *at,
    const char **reply);

#endif
