/* SPDX-License-Identifier: ISC */
/*
 * Sorting without a system call, whatever the size: qsort() of glibc asks the
 * kernel for the machine's memory above 1 kB and allocates its work space, and a
 * filter that does not allow the question ends the process.
 */
#ifndef POSTERN_COMMON_SORT_H
#define POSTERN_COMMON_SORT_H

#include <stddef.h>

/*
 * sort_array - put n elements of size octets into ascending order, in place.
 *
 * Takes what qsort() takes, NULL with n = 0 too.  Elements that compare as equal
 * may change places: a caller to which that matters compares until it differs.
 * In the worst case n log n comparisons; allocates nothing.
 */
void sort_array(void *base, size_t n, size_t size,
    int (*compare)(const void *, const void *));

/*
 * sort_warm_up - have qsort() ask its question once, before a filter goes on.
 *
 * For libraries that sort by it (OpenSSL, libunbound, SQLite): glibc keeps the
 * answer for the life of the process, and of those that it forks.
 */
void sort_warm_up(void);

#endif
