/* SPDX-License-Identifier: ISC */
/* Tuning of the C library's heap, so that a worker shares its agent's pages. */
#include "agent/malloc_tuning.h"

#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/*
 * What was allocated to plug the holes: kept for good, and chained, so that
 * leak checkers see it reached.
 */
struct plug {
	struct plug *next;
};

static struct plug *plugs;

void
malloc_tuning_set(void)
{
	/* 1 is success; a refusal costs memory, not correctness. */
	(void)mallopt(M_TRIM_THRESHOLD, 256 * 1024 * 1024);
	(void)mallopt(M_MMAP_THRESHOLD, 32 * 1024 * 1024);
	(void)mallopt(M_TOP_PAD, MALLOC_TUNING_SPARE);
	(void)mallopt(M_ARENA_MAX, 1);
}

/* Take chunks of one size until the next would come from beyond the mark. */
static void
plug_holes(size_t size, const void *mark)
{
	struct plug *plug;

	for (;;) {
		plug = malloc(size);
		if (plug == NULL)
			return;
		if ((uintptr_t)plug > (uintptr_t)mark) {
			free(plug);
			return;
		}
		plug->next = plugs;
		plugs = plug;
	}
}

void
malloc_tuning_settle(void)
{
	void *mark;
	size_t size;

	/* No hole is that large, so this is the top of the heap. */
	mark = malloc(MALLOC_TUNING_SPARE);
	if (mark == NULL)
		return;
	for (size = MALLOC_TUNING_SPARE / 2; size > 1024; size /= 2)
		plug_holes(size, mark);
	for (; size >= 16; size -= 16)
		plug_holes(size, mark);
	free(mark);
}
