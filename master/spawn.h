/* SPDX-License-Identifier: ISC */
/* Executing a role of posternd in a process, and namespaces, of its own. */
#ifndef POSTERN_MASTER_SPAWN_H
#define POSTERN_MASTER_SPAWN_H

#include <sys/types.h>

#include <stdint.h>

/*
 * spawn_open - remember this very program, before its file can be replaced.
 *
 * A restarted role must speak the messages of this master, so it is executed
 * from the same file even after an upgrade.  0, or -1 with errno.
 */
int spawn_open(void);

/*
 * spawn_namespaces - which of `wanted` (CLONE_NEW* bits) this host grants us.
 *
 * Tries them in a child that mounts something, since some hosts grant the
 * namespace and then nothing inside it.  All, or 0.  Without root the answer
 * includes CLONE_NEWUSER.
 */
uint32_t spawn_namespaces(uint32_t wanted);

/*
 * spawn_role - execute `posternd -r name` with fd as its channel to us.
 *
 * namespaces is an answer of spawn_namespaces() or a part of it.  Returns the
 * process id, or -1 with errno.  fd stays the caller's.
 */
pid_t spawn_role(const char *name, int fd, uint32_t namespaces);

#endif
