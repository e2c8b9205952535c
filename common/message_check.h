/* SPDX-License-Identifier: ISC */
/*
 * What the fields of a message hold, checked once for all who read it: the kinds
 * of message_fields.def.  Pure.
 */
#ifndef POSTERN_COMMON_MESSAGE_CHECK_H
#define POSTERN_COMMON_MESSAGE_CHECK_H

#include "common/message.h"

/* NULL, or what is wrong as a static string; m has passed message_decode()'s
 * other checks. */
const char *message_check(const struct message *m);

#endif
