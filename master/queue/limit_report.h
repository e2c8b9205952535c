/* SPDX-License-Identifier: ISC */
/* What limits have left, and which of them is in the way: for top and explain. */
#ifndef MASTER_QUEUE_LIMIT_REPORT_H
#define MASTER_QUEUE_LIMIT_REPORT_H

#include "common/json_out.h"
#include "master/queue/limit.h"

#define LIMIT_REPORT_SIZE 512

struct queue;

/* A member "limits": a list of all that a destination has. */
void limit_report_list(const struct queue *q, struct json_out *out,
    const struct limit_user *user, const char *next_hop);

/* A member "held_by" where one is against that; else none. */
void limit_report_held(const struct queue *q, struct json_out *out,
    const struct limit_user *user, enum limit_act act, const char *next_hop);

/* The sentence on why the limit in a slot is against it; false: it is not. */
bool limit_report_why(const struct queue *q, const struct limit_user *user,
    enum limit_slot slot, enum limit_act act, const char *next_hop,
    char why[static LIMIT_REPORT_SIZE]);

#endif
