/* SPDX-License-Identifier: ISC */
/*
 * The transcripts of failed sessions that are kept: files of the spool, or of a
 * queue in memory texts in memory.  Their number is bounded by age, by octets,
 * and for each destination; the newest stay.
 */
#ifndef MASTER_QUEUE_TRANSCRIPTS_H
#define MASTER_QUEUE_TRANSCRIPTS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TRANSCRIPTS_NAME_SIZE 24 /* "19AB34F5C12-9F3A22B1" and NUL */

struct transcripts;
struct transcripts_entry;

struct transcripts_limits {
	int64_t keep_ms;
	uint64_t octets;
	uint32_t of_destination;
};

/*
 * transcripts_open - those below spool, whose folder is made where it is not
 * there; NULL: none, and new ones in memory.
 *
 * NULL with errno.
 */
struct transcripts *transcripts_open(const char *spool);
void transcripts_free(struct transcripts *ts);

void transcripts_set_limits(struct transcripts *ts,
    const struct transcripts_limits *limits);

/*
 * transcripts_add - keep one, and let old ones go for it.
 *
 * 0 with its name, or -1 with errno.
 */
int transcripts_add(struct transcripts *ts, int64_t now_ms,
    const char *destination, const char *text, size_t len,
    char name[static TRANSCRIPTS_NAME_SIZE]);

/* Those that are too old go. */
void transcripts_expire(struct transcripts *ts, int64_t now_ms);

/* The newest one that is older than name, or NULL; an empty name: of all. */
const struct transcripts_entry *transcripts_before(const struct transcripts *ts,
    const char *name);
const struct transcripts_entry *transcripts_find(const struct transcripts *ts,
    const char *name);

void transcripts_name(const struct transcripts_entry *e,
    char name[static TRANSCRIPTS_NAME_SIZE]);
size_t transcripts_size(const struct transcripts_entry *e);

/* Octets of its text from `at` on; 0 at the end, -1 with errno. */
ssize_t transcripts_read(const struct transcripts *ts,
    const struct transcripts_entry *e, size_t at, char *out, size_t size);

#endif
