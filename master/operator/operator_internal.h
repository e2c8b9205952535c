/* SPDX-License-Identifier: ISC */
/* What the files of the control role share, and nobody else sees. */
#ifndef POSTERN_MASTER_OPERATOR_OPERATOR_INTERNAL_H
#define POSTERN_MASTER_OPERATOR_OPERATOR_INTERNAL_H

#include "master/clients/clients.h"

/* reply.c: what queue and master answer: handlers of the role's table. */
void reply_on_listed(void *ctx, struct channel *from, const struct message *m);
void reply_on_list_end(void *ctx, struct channel *from,
    const struct message *m);
void reply_on_transcript_part(void *ctx, struct channel *from,
    const struct message *m);
void reply_on_transcripts_end(void *ctx, struct channel *from,
    const struct message *m);
void reply_on_told(void *ctx, struct channel *from, const struct message *m);
void reply_on_body(void *ctx, struct channel *from, const struct message *m);
void reply_on_status(void *ctx, struct channel *from, const struct message *m);

/* How no, and the queue's end, reach who asked. */
extern const struct asker reply_asker;

#endif
