/* SPDX-License-Identifier: ISC */
/* See learnt.h. */
#include "master/queue/learnt.h"

#include <string.h>

bool
learnt_is_same(const struct msg_dial *a, const struct msg_dial *b)
{
	return a->family == b->family && a->port == b->port &&
	    memcmp(a->addr, b->addr, sizeof(a->addr)) == 0 &&
	    strncmp(a->path, b->path, sizeof(a->path)) == 0;
}

/* FNV-1a: two that are taken for one cost a slower session, and no more. */
static uint64_t
hash_of(const char *text)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (; *text != '\0'; text++)
		hash = (hash ^ (uint8_t)*text) * UINT64_C(1099511628211);
	return hash;
}

struct learnt_key
learnt_key(uint32_t transport, const char *next_hop,
    const struct msg_dial *dial)
{
	struct learnt_key key = { transport, hash_of(next_hop), *dial };

	return key;
}

/* Its place, or LEARNT_MAX. */
static int
find(const struct learnt *table, const struct learnt_key *key)
{
	int i = 0;

	while (i < LEARNT_MAX &&
	    ((table[i].avoid | table[i].seen) == 0 ||
		table[i].key.transport != key->transport ||
		table[i].key.next_hop != key->next_hop ||
		!learnt_is_same(&table[i].key.dial, &key->dial)))
		i++;
	return i;
}

uint32_t
learnt_of(const struct learnt *table, const struct learnt_key *key,
    int64_t now_ms)
{
	int at = find(table, key);

	return at < LEARNT_MAX && table[at].until_ms > now_ms ? table[at].avoid
							      : 0;
}

/* A free place, or that of the one which is forgotten first. */
static struct learnt *
take_place(struct learnt *table, const struct learnt_key *key)
{
	struct learnt *oldest = &table[0];

	for (int i = 0; i < LEARNT_MAX; i++) {
		if ((table[i].avoid | table[i].seen) == 0) {
			oldest = &table[i];
			break;
		}
		if (table[i].until_ms < oldest->until_ms)
			oldest = &table[i];
	}
	memset(oldest, 0, sizeof(*oldest));
	oldest->key = *key;
	return oldest;
}

uint32_t
learnt_add(struct learnt *table, const struct learnt_key *key, uint32_t bits,
    int64_t now_ms, int64_t keep_ms)
{
	int at = find(table, key);
	struct learnt *l =
	    at < LEARNT_MAX ? &table[at] : take_place(table, key);
	uint32_t sure = bits & (l->seen | SEEN_LOOSE_REPLY);
	uint32_t before = l->until_ms > now_ms ? l->avoid : 0;

	l->avoid = before | sure;
	l->seen = (l->seen | bits) & ~sure;
	l->until_ms = now_ms + keep_ms;
	return l->avoid & ~before;
}

void
learnt_confirm(struct learnt *table, const struct learnt_key *key,
    uint32_t bits)
{
	int at = find(table, key);

	if (at < LEARNT_MAX)
		table[at].seen &= ~bits;
}

uint32_t
learnt_forget(struct learnt *table, struct learnt_key *key, int64_t now_ms,
    int64_t keep_ms)
{
	uint32_t avoid;

	for (int i = 0; i < LEARNT_MAX; i++) {
		if ((table[i].avoid | table[i].seen) == 0 ||
		    table[i].until_ms > now_ms)
			continue;
		avoid = table[i].avoid;
		*key = table[i].key;
		table[i].seen = avoid & ~SEEN_LOOSE_REPLY;
		table[i].avoid = 0;
		table[i].until_ms = now_ms + keep_ms;
		if (avoid != 0)
			return avoid;
	}
	return 0;
}
