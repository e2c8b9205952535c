/* SPDX-License-Identifier: ISC */
/* Any number of elements, in order, and without a system call. */
#include "common/sort.h"

#include <sys/prctl.h>
#include <sys/wait.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "common/filter.h"
#include "common/util.h"

#define SORT_MOST 100000

static const size_t sizes[] = { 0, 1, 2, 3, 4, 7, 60, 127, 128, 129, 1000, 4097,
	SORT_MOST };

/* What swap() moves in one piece, and in several. */
struct large {
	uint32_t key;
	uint8_t octets[150];
	uint32_t same;
};

static uint32_t keys[SORT_MOST];
static struct large larges[SORT_MOST];

static int
compare_keys(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static uint32_t
chance(uint32_t *state)
{
	*state = *state * 1664525U + 1013904223U;
	return *state >> 8;
}

/* Many values, few, ascending, descending. */
static uint32_t
key_of(unsigned kind, size_t i, uint32_t *state)
{
	switch (kind) {
	case 0:
		return chance(state);
	case 1:
		return chance(state) % 3;
	case 2:
		return (uint32_t)i;
	default:
		return (uint32_t)(SORT_MOST - i);
	}
}

static void
expect_order(unsigned kind, size_t n)
{
	uint64_t sum = 0, after = 0;
	uint32_t state = 1;
	size_t i, wrong = 0;

	for (i = 0; i < n; i++) {
		keys[i] = larges[i].key = key_of(kind, i, &state);
		larges[i].same = keys[i];
		memset(larges[i].octets, (int)(keys[i] & 0xff),
		    sizeof(larges[i].octets));
		sum += keys[i];
	}
	sort_array(n > 0 ? keys : NULL, n, sizeof(keys[0]), compare_keys);
	sort_array(n > 0 ? larges : NULL, n, sizeof(larges[0]), compare_keys);
	for (i = 0; i < n; i++) {
		after += keys[i];
		wrong += i > 0 && keys[i - 1] > keys[i];
		wrong += larges[i].key != keys[i] ||
		    larges[i].same != keys[i] ||
		    larges[i].octets[149] != (keys[i] & 0xff);
	}
	cr_expect_eq(wrong, 0, "kind %u, %zu elements", kind, n);
	cr_expect_eq(sum, after, "kind %u, %zu elements", kind, n);
}

Test(sort, all_elements_come_out_in_order)
{
	for (unsigned kind = 0; kind < 4; kind++)
		for (size_t i = 0; i < NELEM(sizes); i++)
			expect_order(kind, sizes[i]);
}

/* clang-format off */
static const struct filter_rule end_only[] = {
	ALLOW(exit_group, "the end")
};
static const struct filter_rule end_and_memory[] = {
	ALLOW(exit_group, "the end")
	ALLOW(brk,        "malloc")
	ALLOW(mmap,       "malloc")
	ALLOW(munmap,     "free")
};
/* clang-format on */

/* The wait status of a child that sorts n keys as `how` does, confined. */
static int
status_of(void (*how)(size_t), size_t n, const struct filter_rule *rows,
    size_t nrows)
{
	int status;
	pid_t pid = fork();

	cr_assert_neq(pid, -1);
	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
		    filter_enter(rows, nrows) == -1)
			_exit(99);
		how(n);
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static void
by_ours(size_t n)
{
	sort_array(keys, n, sizeof(keys[0]), compare_keys);
}

static void
by_library(size_t n)
{
	qsort(keys, n, sizeof(keys[0]), compare_keys);
}

Test(sort, no_size_makes_a_system_call)
{
	for (size_t i = 0; i < NELEM(sizes); i++)
		cr_expect_eq(
		    status_of(by_ours, sizes[i], end_only, NELEM(end_only)), 0,
		    "%zu elements", sizes[i]);
}

Test(sort, a_library_may_sort_any_size_once_warm)
{
	sort_warm_up();
	for (size_t i = 0; i < NELEM(sizes); i++)
		cr_expect_eq(status_of(by_library, sizes[i], end_and_memory,
				 NELEM(end_and_memory)),
		    0, "%zu elements", sizes[i]);
}
