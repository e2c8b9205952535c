/* SPDX-License-Identifier: ISC */
/*
 * The walls round a role, other than its seccomp filter: namespaces with a root
 * of their own, user and groups, capabilities, Landlock, and what keeps memory
 * from becoming code.  sandbox_root() and then sandbox_confine() set them,
 * outermost first; which of them the kernel grants is told by *ready and by
 * /proc, never assumed.
 */
#ifndef POSTERN_COMMON_SANDBOX_H
#define POSTERN_COMMON_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "common/filter.h"
#include "common/landlock.h"
#include "common/message.h"

/* The namespaces that the master makes for a role (clone(2) flags). */
#define SANDBOX_NS_ALL                                                         \
	(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)

struct sandbox {
	/* The folder that becomes "/"; NULL: an empty one.  Used where the
	 * role has a mount namespace. */
	const char *root;
	/* Those that an empty root has, at their own places: absolute.  Which is
	 * not there now is not there. */
	const char *const *folders;
	size_t nfolders;
	bool root_files;  /* Landlock grants the files below "/" */
	const struct landlock_ports *ports; /* NULL: no TCP */
};

/*
 * sandbox_root - put the role into its root folder, then become its user.
 *
 * The first half, before a role opens its own files inside that root.  start is
 * what the master granted.  Ends the process on failure: a wall that the master
 * promised and the kernel refuses is no start.
 */
void sandbox_root(const struct sandbox *box, const struct msg_start *start);

/*
 * sandbox_confine - drop what is left, and load the filter (rules, n).
 *
 * rules may be NULL: a role whose filter goes on later.  Fills *ready.  Ends the
 * process on failure; Landlock alone may be absent (an old kernel).
 */
void sandbox_confine(const struct sandbox *box, const char *files_root,
    const struct filter_rule *rules, size_t n, struct msg_ready *ready);

#endif
