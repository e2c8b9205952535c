/* SPDX-License-Identifier: ISC */
/* See learnt.h. */
#include "master/queue/learnt.h"

#include <string.h>

static bool
is_same(const struct msg_dial *a, const struct msg_dial *b)
{
	return a->family == b->family && a->port == b->port &&
	    memcmp(a->addr, b->addr, sizeof(a->addr)) == 0 &&
	    strncmp(a->path, b->path, sizeof(a->path)) == 0;
}

/* Its place, or LEARNT_MAX. */
static int
find(const struct learnt *table, const struct msg_dial *dial)
{
	int i = 0;

	while (i < LEARNT_MAX &&
	    (table[i].avoid == 0 || !is_same(&table[i].dial, dial)))
		i++;
	return i;
}

uint32_t
learnt_of(const struct learnt *table, const struct msg_dial *dial,
    int64_t now_ms)
{
	int at = find(table, dial);

	return at < LEARNT_MAX && table[at].until_ms > now_ms ? table[at].avoid
							      : 0;
}

/* A free place, or that of the one which is forgotten first. */
static struct learnt *
take_place(struct learnt *table)
{
	struct learnt *oldest = &table[0];

	for (int i = 0; i < LEARNT_MAX; i++) {
		if (table[i].avoid == 0)
			return &table[i];
		if (table[i].until_ms < oldest->until_ms)
			oldest = &table[i];
	}
	oldest->avoid = 0;
	return oldest;
}

bool
learnt_add(struct learnt *table, const struct msg_dial *dial, uint32_t avoid,
    int64_t now_ms, int64_t keep_ms)
{
	int at = find(table, dial);
	struct learnt *l = at < LEARNT_MAX ? &table[at] : take_place(table);
	uint32_t before;

	l->dial = *dial;
	before = at < LEARNT_MAX && l->until_ms > now_ms ? l->avoid : 0;
	l->avoid = before | avoid;
	l->until_ms = now_ms + keep_ms;
	return l->avoid != before;
}

uint32_t
learnt_forget(struct learnt *table, struct msg_dial *dial, int64_t now_ms)
{
	uint32_t avoid;

	for (int i = 0; i < LEARNT_MAX; i++) {
		if (table[i].avoid == 0 || table[i].until_ms > now_ms)
			continue;
		avoid = table[i].avoid;
		*dial = table[i].dial;
		table[i].avoid = 0;
		return avoid;
	}
	return 0;
}
