/* SPDX-License-Identifier: ISC */
/* Heapsort (Knuth, volume 3, 5.2.3). */
#include "common/sort.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct sort {
	uint8_t *base;
	size_t size;
	int (*compare)(const void *, const void *);
};

static void
swap(uint8_t *a, uint8_t *b, size_t size)
{
	uint8_t held[64];
	size_t n;

	for (; size > 0; size -= n, a += n, b += n) {
		n = size < sizeof(held) ? size : sizeof(held);
		memcpy(held, a, n);
		memcpy(a, b, n);
		memcpy(b, held, n);
	}
}

/* Moves element i of a heap of n down to where none below it is larger. */
static void
sift(const struct sort *s, size_t i, size_t n)
{
	uint8_t *at, *child;
	size_t c;

	for (; (c = 2 * i + 1) < n; i = c) {
		at = s->base + i * s->size;
		child = s->base + c * s->size;
		if (c + 1 < n && s->compare(child, child + s->size) < 0) {
			child += s->size;
			c++;
		}
		if (s->compare(at, child) >= 0)
			return;
		swap(at, child, s->size);
	}
}

void
sort_array(void *base, size_t n, size_t size,
    int (*compare)(const void *, const void *))
{
	const struct sort s = { base, size, compare };
	size_t i;

	for (i = n / 2; i > 0; i--)
		sift(&s, i - 1, n);
	for (i = n; i > 1; i--) {
		swap(s.base, s.base + (i - 1) * size, size);
		sift(&s, 0, i - 1);
	}
}

static int
compare_octets(const void *a, const void *b)
{
	return memcmp(a, b, 1);
}

void
sort_warm_up(void)
{
	uint8_t octets[4096] = { 1 }; /* more than it sorts on its stack */

	qsort(octets, sizeof(octets), 1, compare_octets);
}
