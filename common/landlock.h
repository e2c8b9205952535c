/* SPDX-License-Identifier: ISC */
/*
 * Landlock: rights that a process gives up by itself.  The ABI of Debian 12's
 * headers is older than its newer kernels, so the numbers stand here.
 */
#ifndef POSTERN_COMMON_LANDLOCK_H
#define POSTERN_COMMON_LANDLOCK_H

#include <stdbool.h>

/*
 * landlock_enter - give up all file rights but those below `below` (NULL: all),
 * TCP bind, TCP connect unless net_connect, abstract Unix sockets and signals
 * to processes outside, as far as this kernel knows them.
 *
 * Needs no_new_privs.  Returns the ABI in force, 0 where the kernel has no
 * Landlock, -1 with errno.
 */
int landlock_enter(const char *below, bool net_connect);

#endif
