/* SPDX-License-Identifier: ISC */
/*
 * What clients of the job and control sockets are told, as JSON (postern-job(5),
 * postern-control(5)): the members that many answers have.  NULL objects are
 * fine: what had no memory becomes a NULL text.
 */
#ifndef POSTERN_MASTER_CLIENTS_ANSWER_H
#define POSTERN_MASTER_CLIENTS_ANSWER_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "common/message.h"

/* ref: the client's own reference; left out where it is empty. */
json_t *answer_new(const char *ref);

/* The text, to free(), or NULL without memory; frees the object. */
char *answer_dump(json_t *object);

void answer_set_string(json_t *object, const char *name, const char *value);
void answer_set_number(json_t *object, const char *name, uint64_t value);
void answer_set_id(json_t *object, uint64_t id);
void answer_set_outcome(json_t *object, const struct outcome *o,
    const char *relay, const char *reply);

/* The next string of a message's tail; an empty one where it ends early. */
const char *answer_next(const struct message *m, size_t *at);

/* A whole one: no, and why. */
char *answer_refused(const char *ref, unsigned code, const char *dsn,
    const char *text);

#endif
