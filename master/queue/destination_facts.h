/* SPDX-License-Identifier: ISC */
/*
 * What the sessions with a destination showed of its servers, in memory and for
 * a while: how many messages they take over a connection, which one has taken a
 * message by BDAT, and whether they had TLS.  Pure.
 */
#ifndef MASTER_QUEUE_DESTINATION_FACTS_H
#define MASTER_QUEUE_DESTINATION_FACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/message.h"

/* Zeroed: nothing is known.  Times are CLOCK_MONOTONIC. */
struct destination_facts {
	uint32_t ended_after; /* messages, the last connection that was ended */
	uint32_t limit;
	int64_t limit_until_ms;
	struct msg_dial chunking;
	int64_t chunking_until_ms;
	bool had_tls;
};

/*
 * destination_facts_note_end - a server wanted no more after so many messages.
 *
 * Twice the same number makes it the limit, for keep_ms.  True where that is
 * news.
 */
bool destination_facts_note_end(struct destination_facts *facts,
    uint32_t messages, int64_t now_ms, int64_t keep_ms);

/* The most messages of a connection; 0: none is known. */
uint32_t destination_facts_limit(const struct destination_facts *facts,
    int64_t now_ms);

/* The server that dial leads to took a message by BDAT. */
void destination_facts_note_chunking(struct destination_facts *facts,
    const struct msg_dial *dial, int64_t now_ms, int64_t keep_ms);
bool destination_facts_has_chunking(const struct destination_facts *facts,
    const struct msg_dial *dial, int64_t now_ms);
void destination_facts_forget_chunking(struct destination_facts *facts);

#endif
