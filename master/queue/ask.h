/* SPDX-License-Identifier: ISC */
/* What an operator asks besides changes of recipients (ASK): one row each. */
#ifndef MASTER_QUEUE_ASK_H
#define MASTER_QUEUE_ASK_H

#include "common/message.h"
#include "common/role.h"

struct queue;

/* A question, its strings ended and never NULL; borrowed. */
struct ask {
	uint64_t request;
	uint64_t id;
	uint32_t limit;
	uint32_t uid;
	enum pause_kind kind;
	const char *name;
	const char *sender;
	const char *via;
	const char *status;
};

void ask_begin(void *ctx, struct channel *from, const struct message *m);
/* One that waited for something (summary.h). */
void ask_answer(struct queue *q, const struct message *m);

/* The client is gone, or all of them are. */
void ask_cancel(struct queue *q, uint64_t request);
void ask_cancel_all(struct queue *q);

#endif
