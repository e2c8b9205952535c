/* SPDX-License-Identifier: ISC */
/*
 * Why a recipient had its outcome, and whose words that is: a remote's reply is
 * never mixed with ours.  Pure.
 *
 * What the queue has to add stands before a reply.  The store keeps behind it
 * which command it answers, in the words that people read, as Postfix has them;
 * the reply itself is what stands between.
 */
#ifndef MASTER_QUEUE_REASON_H
#define MASTER_QUEUE_REASON_H

#include <stddef.h>
#include <stdint.h>

#include "common/outcome.h"

#define REASON_EXPIRED   "delivery time expired: "
#define REASON_OPERATOR  "delivery time expired by an operator: "
#define REASON_SUSPENDED "delivery temporarily suspended: "

enum {
	REASON_SIZE = 2048,
};

/* The remote's reply in it, behind what is ours; NULL: there is none, and all of
 * it is ours. */
const char *reason_quote(unsigned code, const char *reply);

/* As the store has it. */
void reason_keep(char *out, size_t size, const struct outcome *outcome,
    const char *reply);

/* The reply as it was before reason_keep(); the step that it answers, or STEP_QUEUE
 * where there is none. */
unsigned reason_take(char *out, size_t size, unsigned code, const char *kept);

/* The step of an attempt as the store has it; where it has none, from before it kept
 * one, that which reason_take() found. */
unsigned reason_step(unsigned stored, unsigned taken);

/* For people: "delivery time expired: host mx.example.org[192.0.2.1]:25 said: 421
 * busy (in reply to RCPT TO command)". */
void reason_tell(char *out, size_t size, const struct outcome *outcome,
    const char *relay, const char *reply);

#endif
