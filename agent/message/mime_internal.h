/* SPDX-License-Identifier: ISC */
/* Between mime.c, which walks a message, and mime_plan.c. */
#ifndef POSTERN_AGENT_MESSAGE_MIME_INTERNAL_H
#define POSTERN_AGENT_MESSAGE_MIME_INTERNAL_H

#include "agent/message/mime.h"

/* The first error counts. */
void mime_plan_fail(struct mime *m, enum mime_error error);

/* Of the part in hand; deciding does nothing in the second pass. */
enum mime_plan mime_plan_of(const struct mime *m);
void mime_plan_decide(struct mime *m, enum mime_plan plan);

/* The part's content is over. */
void mime_plan_decide_leaf(struct mime *m);

/* Whether it is within something that is signed. */
bool mime_plan_is_signed(const struct mime *m);

/* Whether its label says more than the target takes. */
bool mime_plan_is_declared_beyond(const struct mime *m);

#endif
