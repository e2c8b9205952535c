/* SPDX-License-Identifier: ISC */
/* What comes out of a heap is in order, whatever was moved and removed. */
#include "master/queue/heap.h"

#include <stddef.h>

#include <criterion/criterion.h>

enum {
	NODES = 300
};

static struct heap_node nodes[NODES];

static uint32_t
chance(uint32_t *state)
{
	*state = *state * 1664525U + 1013904223U;
	return *state >> 8;
}

Test(heap, the_least_key_comes_first)
{
	struct heap heap = { 0 };
	struct heap_node *node;
	uint32_t state = 1;
	int64_t last = -1;
	uint32_t left = 0;
	size_t i;

	cr_expect_eq(heap_first(&heap), NULL);
	for (i = 0; i < NODES; i++) {
		cr_assert_eq(heap_reserve(&heap), 0);
		heap_put(&heap, &nodes[i], chance(&state) % 1000);
	}
	for (i = 0; i < NODES; i++) {
		if (i % 3 == 0)
			heap_put(&heap, &nodes[i], chance(&state) % 1000);
		else if (i % 3 == 1)
			heap_remove(&heap, &nodes[i]);
	}
	heap_remove(&heap, &nodes[1]);
	cr_expect_not(heap_holds(&nodes[1]));
	for (; (node = heap_first(&heap)) != NULL; left++) {
		cr_expect_geq(node->key, last);
		last = node->key;
		heap_remove(&heap, node);
	}
	cr_expect_eq(left, NODES - NODES / 3);
	heap_clear(&heap);
}
