/* SPDX-License-Identifier: ISC */
/*
 * A binary heap: places count from 1, and the parent of n is n / 2.
 */
#include "master/queue/heap.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
	HEAP_FIRST_SIZE = 64
};

int
heap_reserve(struct heap *heap)
{
	struct heap_node **grown;
	uint32_t size;

	if (heap->owners + 1 >= heap->size) {
		size = heap->size > 0 ? heap->size * 2 : HEAP_FIRST_SIZE;
		grown = recallocarray(heap->nodes, heap->size, size,
		    sizeof(struct heap_node *));
		if (grown == NULL)
			return -1;
		heap->nodes = grown;
		heap->size = size;
	}
	heap->owners++;
	return 0;
}

void
heap_unreserve(struct heap *heap)
{
	assert(heap->owners > 0);
	heap->owners--;
}

static void
heap_set(struct heap *heap, uint32_t at, struct heap_node *node)
{
	heap->nodes[at] = node;
	node->at = at;
}

static void
heap_rise(struct heap *heap, struct heap_node *node)
{
	uint32_t at = node->at;

	for (; at > 1 && heap->nodes[at / 2]->key > node->key; at /= 2)
		heap_set(heap, at, heap->nodes[at / 2]);
	heap_set(heap, at, node);
}

static void
heap_sink(struct heap *heap, struct heap_node *node)
{
	uint32_t at = node->at;
	uint32_t child;

	for (; at * 2 <= heap->len; at = child) {
		child = at * 2;
		if (child < heap->len &&
		    heap->nodes[child + 1]->key < heap->nodes[child]->key)
			child++;
		if (heap->nodes[child]->key >= node->key)
			break;
		heap_set(heap, at, heap->nodes[child]);
	}
	heap_set(heap, at, node);
}

void
heap_put(struct heap *heap, struct heap_node *node, int64_t key)
{
	node->key = key;
	if (node->at == 0) {
		assert(heap->len < heap->owners);
		heap_set(heap, ++heap->len, node);
	}
	heap_rise(heap, node);
	heap_sink(heap, node);
}

void
heap_remove(struct heap *heap, struct heap_node *node)
{
	struct heap_node *last;

	if (node->at == 0)
		return;
	last = heap->nodes[heap->len];
	heap->nodes[heap->len--] = NULL;
	if (last != node) {
		heap_set(heap, node->at, last);
		heap_rise(heap, last);
		heap_sink(heap, last);
	}
	node->at = 0;
}

struct heap_node *
heap_first(const struct heap *heap)
{
	return heap->len > 0 ? heap->nodes[1] : NULL;
}

void
heap_clear(struct heap *heap)
{
	free(heap->nodes);
	memset(heap, 0, sizeof(*heap));
}
