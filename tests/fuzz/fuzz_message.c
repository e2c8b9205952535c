/* SPDX-License-Identifier: ISC */
/*
 * Any packet between any two roles is refused with a reason, or is one of the
 * table's rows: then it is written again as it was read, and its tail holds
 * strings that end inside it.  The first octet is the number of descriptors.
 */
#include "common/message.h"

#include <assert.h>
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
