/* SPDX-License-Identifier: ISC */
/*
 * What operators are told: messages of queue and master in, JSON out
 * (postern-control(5)).  Each function returns a string to free(), or NULL where
 * memory ran out or the message holds something that it may not.
 */
#ifndef POSTERN_MASTER_OPERATOR_REPLY_JSON_H
#define POSTERN_MASTER_OPERATOR_REPLY_JSON_H

#include "common/message.h"

char *reply_json_status(const struct message *m);
char *reply_json_listed(const struct message *m);
char *reply_json_list_end(const struct message *m);
char *reply_json_transcript_part(const struct message *m);
char *reply_json_transcripts_end(const struct message *m);

#endif
