/* SPDX-License-Identifier: ISC */
/* What the files of the notices share; nobody else includes it. */
#ifndef MASTER_QUEUE_NOTICE_INTERNAL_H
#define MASTER_QUEUE_NOTICE_INTERNAL_H

#include "common/parameters.h"
#include "master/queue/notice.h"
#include "master/queue/notice_text.h"

enum {
	NOTICE_GATHER_MAX = 256,       /* messages whose notices wait */
	NOTICE_GATHER_MS = 30 * 1000,  /* for the other recipients */
	NOTICE_TOLD_MAX = 256,         /* debts that a client heard of */
	NOTICE_RECIPIENTS_MAX = 1000,  /* of one notice */
	NOTICE_ROWS_MAX = 4000,        /* looked at for one notice */
	NOTICE_ROW_OCTETS = 1024,      /* of a turn, that one recipient costs */
	NOTICE_BATCH_MAX = 16,         /* notices of one commit */
	NOTICE_TURN_OCTETS = 1 << 20,  /* written in one turn of the loop */
	NOTICE_HEADER_MAX = 64 * 1024, /* that are returned of a header */
	NOTICE_BUFFER_SIZE = 57 * 1024, /* NOTICE_PIECE divides it */
	NOTICE_TURN_MS = 5,             /* so that more come together */
	NOTICE_RETRY_MS = 30 * 1000,    /* after the store failed */
	NOTICE_NAME_SIZE = 256,
};

/* A message of which something is to be told. */
struct gathered {
	uint64_t id;
	int64_t until_ms; /* monotonic; 0: at once */
};

struct told {
	uint64_t id;
	uint32_t index;
	uint32_t kind;
};

/* One recipient that a notice tells of. */
struct notice_row {
	uint32_t index;
	uint32_t kind;
};

/* One notice, from the debts to a message that can be committed. */
struct notice {
	const struct queue *queue;
	uint64_t message;
	enum notice_class class;
	uint32_t reader; /* NOTICE_TO_* */
	struct notice_about about;
	char id[STORE_ID_SIZE];
	char sender[MSG_ADDRESS_SIZE];
	char postmaster[2 * MSG_ADDRESS_SIZE]; /* where it was completed */
	char parameters[PARAMETERS_MAIL_SIZE];
	uint32_t flags; /* of the message */
	uint64_t size;
	uint32_t uid;
	int64_t lifetime_ms; /* of the first recipient */
	bool whole;          /* all of it is returned */
	enum notice_encoding encoding;
	int from_fd; /* the body; -1: it cannot be had */
	uint64_t at; /* octets of the body that are copied */
	struct notice_writer writer;
	struct submission *submission; /* what it becomes */
	struct notice_row *rows;
	uint32_t count;
	uint32_t seen; /* rows looked at */
	bool nobody;   /* its reader is gone from the configuration */
	bool removed;  /* the message, with the last of them */
	bool more;     /* there is something else to be told of the message */
	size_t buffered;
	char buffer[NOTICE_BUFFER_SIZE];
};

struct notices {
	struct event *timer;
	int64_t due_ms;   /* monotonic; of the timer */
	int64_t retry_ms; /* monotonic; not before: the store has failed */
	bool enabled;
	struct notice_rules rules;
	struct notice_templates *templates;
	char hostname[NOTICE_NAME_SIZE];
	bool is_name; /* it is fully qualified */
	struct gathered gathered[NOTICE_GATHER_MAX];
	uint32_t ngathered;
	struct told told[NOTICE_TOLD_MAX];
	uint32_t ntold;
	/* What else is owed is found in the store, at start and after it had no
	 * room above. */
	bool scan;
	uint64_t scan_after;
	struct notice *writing;
	struct notice *batch[NOTICE_BATCH_MAX];
	uint32_t nbatch;
	/* notice_delay.c */
	bool walking;
	struct store_cursor walked;
	uint64_t reminding; /* a message */
	struct store_cursor reminded;
};

/* notice.c */
void notice_arm(struct notices *n, int64_t ms);

/* notice_gather.c */
void notice_gather(struct queue *q, uint64_t id, bool at_once);
/* The next message of which it is time to tell; false: none. */
bool notice_next(struct queue *q, uint64_t *idp);
/* Whether something can be written now. */
bool notice_is_due(const struct notices *n);

/* notice_compose.c */

/* NULL with errno: 0, nothing is owed. */
struct notice *notice_new(struct queue *q, uint64_t message);
void notice_free(struct notice *notice);
/* Up to so many octets more.  1: it is whole; 0: not yet; -1: errno. */
int notice_go_on(struct notice *notice, size_t octets);

/* notice_delay.c: a bounded piece of the search; true: there is more. */
bool notice_delay_turn(struct queue *q);

#endif
