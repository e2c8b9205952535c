/* SPDX-License-Identifier: ISC */
/*
 * Landlock: rights that a process gives up by itself.  The ABI of Debian 12's
 * headers is older than its newer kernels, so the numbers stand here.
 */
#ifndef POSTERN_COMMON_LANDLOCK_H
#define POSTERN_COMMON_LANDLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where a role may connect to by TCP, from ABI 4 on. */
struct landlock_ports {
	const uint16_t *ports;
	size_t n;
	bool binds; /* to an address, with a port that the kernel chooses */
};

/*
 * landlock_enter - give up all file rights but those below `below` (NULL: all),
 * TCP bind and connect but for those of ports (NULL: none), abstract Unix sockets and signals
 * to processes outside, as far as this kernel knows them.
 *
 * Needs no_new_privs.  Returns the ABI in force; 0 where there is no Landlock,
 * with errno: ENOSYS, the kernel has none; EOPNOTSUPP, it was not started with it;
 * others, EPERM mostly, a filter round us refuses it; -1 with errno for what is
 * wrong with `below` and ports.
 */
int landlock_enter(const char *below, const struct landlock_ports *ports);

/* Such an errno as one word: "kernel", "boot", "refused"; an errno of another
 * kind is "error". */
const char *landlock_word(int error);

#endif
