/* SPDX-License-Identifier: ISC */
/* Answers to ACT and ASK: objects that the control role hands on as they are. */
#ifndef MASTER_QUEUE_TELL_H
#define MASTER_QUEUE_TELL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/json_out.h"

struct queue;

void tell(struct queue *q, uint64_t request, const char *json, bool last);
void tell_refused(struct queue *q, uint64_t request, uint16_t code,
    const char *dsn, const char *why);

/* A member that holds a queue id as people see it. */
void tell_id(struct json_out *out, const char *name, uint64_t id);

#endif
