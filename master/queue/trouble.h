/* SPDX-License-Identifier: ISC */
/*
 * What keeps mail waiting until an operator does something: a warning in the log,
 * said again after a while, and a row of `postern top`, which `postern doctor`
 * shows.  Bounded: the oldest is forgotten.
 */
#ifndef MASTER_QUEUE_TROUBLE_H
#define MASTER_QUEUE_TROUBLE_H

#include <stdbool.h>
#include <stdint.h>

struct queue;
struct troubles;

enum trouble_kind {
	TROUBLE_ROUTE,     /* none leads to the domain that is named */
	TROUBLE_TRANSPORT, /* mail names one that the configuration lacks */
	TROUBLE_SERVER,    /* that of the transport has no address */
	TROUBLE_REFUSES,   /* that of the transport takes no session */
	TROUBLE_TLS,      /* the servers of the domain refuse what we demand */
	TROUBLE_FAMILIES, /* "DOMAIN by TRANSPORT": its addresses we may not use */
	TROUBLE_LOOP,     /* the same: its mail would come back to us */
	TROUBLE_STRANDED, /* what a reload left without a way; has no name */
	TROUBLE_KINDS,
};

/* NULL: no memory. */
struct troubles *troubles_new(void);
void troubles_free(struct troubles *troubles);

/* It is so now; the text says what is wrong, and trouble.c what to do. */
void trouble_note(struct queue *q, enum trouble_kind kind, const char *name,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* It is not so any more. */
void trouble_over(struct queue *q, enum trouble_kind kind, const char *name);

/* A new configuration: what is still wrong will be noted again. */
void trouble_forget(struct queue *q);

/* Whether mail was found that had no way. */
bool trouble_is_of_ways(const struct queue *q);

/* A row of each for who asks for top. */
void trouble_tell(struct queue *q, uint64_t request);

#endif
