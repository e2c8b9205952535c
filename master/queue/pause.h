/* SPDX-License-Identifier: ISC */
/*
 * What an operator has stopped: all, a transport, or a destination.  Mail is
 * taken as ever and stays in the store; sessions finish what they have in hand.
 * It is kept in the store, so it holds over restarts.
 */
#ifndef MASTER_QUEUE_PAUSE_H
#define MASTER_QUEUE_PAUSE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/message.h"
#include "master/queue/ask.h"
#include "master/queue/schedule.h"

enum {
	PAUSES_MAX = 256,
};

struct pause {
	enum pause_kind kind;
	int64_t since_ms; /* real */
	char name[MSG_HOST_SIZE];
};

struct pauses {
	uint32_t n;
	struct pause list[PAUSES_MAX];
};

/* Reads them from the store; ends the process where that fails. */
void pause_open(struct queue *q);

/* The pause that holds a destination; NULL: none. */
const struct pause *pause_of(const struct queue *q, uint32_t transport,
    const char *next_hop);

/* Destinations are stopped, or not any more; after a change of either. */
void pause_apply(struct queue *q);

const char *pause_kind_name(enum pause_kind kind);

void pause_ask(struct queue *q, const struct ask *ask);
void pause_ask_resume(struct queue *q, const struct ask *ask);
void pause_ask_list(struct queue *q, const struct ask *ask);

#endif
