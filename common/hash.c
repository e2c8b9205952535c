/* SPDX-License-Identifier: ISC */
/* See hash.h. */
#include "common/hash.h"

#include <sys/random.h>

#include <errno.h>
#include <string.h>

static uint64_t key[2];

int
hash_draw_key(void)
{
	ssize_t n;

	do {
		n = getrandom(key, sizeof(key), 0);
	} while (n == -1 && errno == EINTR);
	return n == (ssize_t)sizeof(key) ? 0 : -1; /* so few come at once */
}

static uint64_t
rotate(uint64_t word, unsigned bits)
{
	return word << bits | word >> (64 - bits);
}

static void
turn(uint64_t v[static 4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static void
take(uint64_t v[static 4], uint64_t word)
{
	v[3] ^= word;
	turn(v);
	v[0] ^= word;
}

uint64_t
hash_octets(const void *octets, size_t n, uint64_t seed)
{
	uint64_t v[4] = { key[0] ^ 0x736f6d6570736575,
		key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
		key[1] ^ 0x7465646279746573 };
	const uint8_t *in = octets;
	uint64_t word;
	size_t left;

	take(v, seed);
	for (left = n; left >= sizeof(word);
	     left -= sizeof(word), in += sizeof(word)) {
		memcpy(&word, in, sizeof(word));
		take(v, word);
	}
	word = 0;
	memcpy(&word, in, left);
	/* The last word has the length of all, which the seed is the start of. */
	take(v, word ^ (uint64_t)(n + sizeof(seed)) << 56);
	v[2] ^= 0xff;
	turn(v);
	turn(v);
	turn(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
