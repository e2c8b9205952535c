/* SPDX-License-Identifier: ISC */
/*
 * Any packet between any two roles is refused with a reason, or is one of the
 * table's rows: then it is written again as it was read, and its tail holds
 * strings that end inside it.  The first octet is the number of descriptors.
 */
#include "common/message.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check_tail(const struct message *m)
{
	static char tail[MSG_PACKET_SIZE];
	size_t at = 0, before, len = 0;
	const char *s;

	for (;;) {
		before = at;
		s = message_tail_next(m, &at);
		if (s == NULL)
			break;
		assert((const uint8_t *)s == m->tail + before);
		assert(at == before + strlen(s) + 1 && at <= m->tail_len);
		assert(message_tail_add(tail, m->tail_len, &len, s));
	}
	assert(at == before && len == at);
	assert(memcmp(tail, m->tail, len) == 0);
	assert(memchr(m->tail + at, '\0', m->tail_len - at) == NULL);
}

/* Where a row has an outcome; 0: nowhere, for it is never first. */
static size_t
outcome_at(enum msg_type type)
{
	return type == MSG_NEXT    ? offsetof(struct msg_next, outcome)
	    : type == MSG_OUTCOME  ? offsetof(struct msg_outcome, outcome)
	    : type == MSG_RESOLVED ? offsetof(struct msg_resolved, outcome)
	    : type == MSG_RESULT   ? offsetof(struct msg_result, outcome)
	    : type == MSG_LISTED   ? offsetof(struct msg_listed, outcome)
				   : 0;
}

static void
check_outcome(const struct outcome *o)
{
	const char *s = o->dsn;

	assert(memchr(s, '\0', sizeof(o->dsn)) != NULL);
	assert(strspn(s, "0123456789.") == strlen(s));
	assert(o->status <= OUTCOME_FAILED && o->step < STEP_COUNT);
	assert(o->again < OUTCOME_AGAIN_COUNT && o->code < 1000);
}

/* What a worker says, and what is said of addresses, tells a terminal nothing. */
static void
check_fields(const struct message *m)
{
	const struct msg_resolved *r = m->payload;
	const uint8_t *payload = m->payload;
	struct plan_address a;
	size_t at = outcome_at(m->type), i;

	if (at != 0)
		check_outcome(
		    (const struct outcome *)(const void *)(payload + at));
	if (m->type == MSG_CLOSED)
		check_outcome(
		    &((const struct msg_closed *)m->payload)->outcome);
	if (m->type == MSG_RESOLVED && r->outcome.status == OUTCOME_DELIVERED) {
		assert(m->tail_len == r->count * sizeof(a) && r->count > 0);
		for (i = 0; i < r->count; i++) {
			memcpy(&a, m->tail + i * sizeof(a), sizeof(a));
			assert(memchr(a.host, '\0', sizeof(a.host)) != NULL);
			assert(a.port != 0 && a.family != 0);
		}
	} else if (msg_descs[m->type].sender == ROLE_WORKER ||
	    m->type == MSG_RESOLVED) {
		for (i = 0; i < m->tail_len; i++)
			assert((m->tail[i] >= ' ' && m->tail[i] < 0x7f) ||
			    (m->type == MSG_TRANSCRIPT && m->tail[i] == '\n'));
	}
}

static void
check(const struct message *m, const uint8_t *packet, size_t n, unsigned nfds,
    unsigned from, unsigned to)
{
	static _Alignas(64) uint8_t again[MSG_PACKET_SIZE];
	const struct msg_desc *d = &msg_descs[m->type];

	assert(m->type < MSG_COUNT && nfds == d->nfds);
	assert((d->sender & from) != 0 && (d->receiver & to) != 0);
	assert(m->tail_len <= d->tail);
	assert((const uint8_t *)m->payload >= packet);
	assert(m->tail + m->tail_len == packet + n);
	assert(message_encode(again, m->type, m->payload, m->tail,
		   m->tail_len) == n);
	assert(memcmp(again, packet, n) == 0);
	check_tail(m);
	check_fields(m);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	unsigned from, to, nfds;
	struct message m;
	uint8_t *packet;
	const char *why;

	if (n == 0 || n > MSG_PACKET_SIZE)
		return 0;
	nfds = data[0] % 3;
	packet = malloc(n); /* of its own: what lies beyond is watched */
	assert(packet != NULL);
	memcpy(packet, data + 1, n - 1);
	for (from = ROLE_MASTER; from <= ROLE_WORKER; from <<= 1) {
		for (to = ROLE_MASTER; to <= ROLE_WORKER; to <<= 1) {
			memset(&m, 0, sizeof(m));
			why = message_decode(&m, packet, n - 1, nfds, from, to);
			if (why == NULL)
				check(&m, packet, n - 1, nfds, from, to);
			else
				assert(why[0] != '\0' && m.payload == NULL);
		}
	}
	free(packet);
	return 0;
}
