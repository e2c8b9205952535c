/* SPDX-License-Identifier: ISC */
/*
 * Which layers hold round a process: read from /proc, for the start-up log and
 * `postern status`.  Landlock does not show there; who asks adds what the role
 * saw for itself.
 */
#ifndef POSTERN_MASTER_LAYERS_H
#define POSTERN_MASTER_LAYERS_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>

/*
 * layers_read - describe a process as "key=value" words in out.
 *
 * What we may not read is said as "?".  0, or -1 where it is gone.
 */
int layers_read(pid_t pid, char *out, size_t size);

/* Whether a child of ours has ended, and only threads of it have not. */
bool layers_is_dead(pid_t pid);

/* The children of a process, at most n; how many there are. */
size_t layers_children(pid_t pid, pid_t *children, size_t n);

#endif
