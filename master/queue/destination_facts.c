/* SPDX-License-Identifier: ISC */
/* See destination_facts.h. */
#include "master/queue/destination_facts.h"

#include "master/queue/learnt.h"

bool
destination_facts_note_end(struct destination_facts *facts, uint32_t messages,
    int64_t now_ms, int64_t keep_ms)
{
	bool twice = messages > 0 && messages == facts->ended_after;
	bool news = twice && destination_facts_limit(facts, now_ms) != messages;

	if (messages > 0)
		facts->ended_after = messages;
	if (twice && keep_ms > 0) {
		facts->limit = messages;
		facts->limit_until_ms = now_ms + keep_ms;
	}
	return news && keep_ms > 0;
}

uint32_t
destination_facts_limit(const struct destination_facts *facts, int64_t now_ms)
{
	return facts->limit_until_ms > now_ms ? facts->limit : 0;
}

void
destination_facts_note_chunking(struct destination_facts *facts,
    const struct msg_dial *dial, int64_t now_ms, int64_t keep_ms)
{
	facts->chunking = *dial;
	facts->chunking_until_ms = now_ms + keep_ms;
}

bool
destination_facts_has_chunking(const struct destination_facts *facts,
    const struct msg_dial *dial, int64_t now_ms)
{
	return facts->chunking_until_ms > now_ms &&
	    learnt_is_same(&facts->chunking, dial);
}

void
destination_facts_forget_chunking(struct destination_facts *facts)
{
	facts->chunking_until_ms = 0;
}
