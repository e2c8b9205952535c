/* SPDX-License-Identifier: ISC */
/*
 * What is next in time: a binary heap of nodes that their owners hold.
 *
 * Room is made when an owner is (heap_reserve), so that to put a node in never
 * fails.  Pure.
 */
#ifndef MASTER_QUEUE_HEAP_H
#define MASTER_QUEUE_HEAP_H

#include <stdbool.h>
#include <stdint.h>

struct heap_node {
	int64_t key;
	uint32_t at; /* its place, from 1; 0: in no heap */
};

struct heap {
	struct heap_node **nodes;
	uint32_t len;
	uint32_t size;
	uint32_t owners; /* as many may want a place */
};

/* Place for one owner more; -1 with errno.  heap_unreserve gives it back. */
int heap_reserve(struct heap *heap);
void heap_unreserve(struct heap *heap);

/* Puts a node in, or to another place where it is in already. */
void heap_put(struct heap *heap, struct heap_node *node, int64_t key);

/* Takes a node out; one that is in no heap stays so. */
void heap_remove(struct heap *heap, struct heap_node *node);

/* The node of the least key, or NULL. */
struct heap_node *heap_first(const struct heap *heap);

/* The nodes stay their owners'. */
void heap_clear(struct heap *heap);

static inline bool
heap_holds(const struct heap_node *node)
{
	return node->at != 0;
}

#endif
