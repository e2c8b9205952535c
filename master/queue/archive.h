/* SPDX-License-Identifier: ISC */
/*
 * The whole queue as a stream of octets, and what is wrong with one: for the
 * operator of a queue that no posternd runs on.
 *
 * A stream is lines of JSON, behind some of them octets:
 *
 *   {"postern_queue": 1, "schema": N}
 *   {"message": {...}, "recipients": [{...}, ...], "size": N}
 *   N octets, the body, and a line feed
 *   ... and so on for each message
 *   {"end": true, "messages": N, "recipients": N, "lost": N}
 *
 * The members of a message and of its recipients are the columns of the
 * database by their names: what an older posternd has not is at its default, and
 * what this one does not know is refused.
 */
#ifndef MASTER_QUEUE_ARCHIVE_H
#define MASTER_QUEUE_ARCHIVE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct archive_sum {
	uint64_t messages;
	uint64_t recipients;
	uint64_t lost;  /* messages not whole, or not readable at all */
	uint64_t there; /* import: messages whose id the queue has already */
};

/* One fault, in words; path is that of the caller. */
typedef void (*archive_say_fn)(const char *fault, void *arg);

/*
 * archive_export - write what can be read of a queue, damaged or not.
 *
 * Changes nothing.  say hears of what was lost.  0, or -1 with a sentence in
 * error where nothing can be read at all, or out cannot be written.
 */
int archive_export(const char *spool, FILE *out, archive_say_fn say, void *arg,
    struct archive_sum *sum, char *error, size_t error_size);

/*
 * archive_import - add what a stream holds to a queue, which is made where
 * there is none.
 *
 * Messages keep their ids; one whose id is there already is left out, so what
 * was cut short can be run again.  0, or -1 with a sentence in error; sum says
 * how far it came.
 */
int archive_import(const char *spool, FILE *in, struct archive_sum *sum,
    char *error, size_t error_size);

/* Every fault of a queue, by say.  How many; -1 where it cannot be opened. */
int archive_check(const char *spool, archive_say_fn say, void *arg, char *error,
    size_t error_size);

#endif
