/* SPDX-License-Identifier: ISC */
/* Executing a role of posternd in a process, and namespaces, of its own. */
#ifndef POSTERN_MASTER_SPAWN_H
#define POSTERN_MASTER_SPAWN_H

#include <sys/types.h>

#include <pwd.h>
#include <stdint.h>

/*
 * spawn_open - remember this very program, before its file can be replaced.
 *
 * A restarted role must speak the messages of this master, so it is executed
 * from the same file even after an upgrade.  0, or -1 with errno.
 */
int spawn_open(void);

/* Where that program was when we started; another may lie there now. */
const char *spawn_path(void);

/*
 * spawn_generation - execute what lies there now, as nobody's child of ours.
 *
 * argv is its own; fd stays open in it, with this number, and err_fd is its
 * standard error.  0, or -1 with errno; that it cannot be executed shows as the
 * end of fd's other end.
 */
int spawn_generation(char *const argv[], int fd, int err_fd);

/* Why a host does not grant all namespaces. */
struct spawn_refusal {
	const char *step; /* NULL: it does; else "clone", "uid_map", "mount",
	                     "pivot_root" */
	int error;        /* errno */
};

/*
 * spawn_namespaces - which of `wanted` (CLONE_NEW* bits) this host grants us.
 *
 * Tries them in a child that mounts something, since some hosts grant the
 * namespace and then nothing inside it: then all but CLONE_NEWNS.  Else all, or 0;
 * *refusal says why.  Without root the answer includes CLONE_NEWUSER.
 */
uint32_t spawn_namespaces(uint32_t wanted, struct spawn_refusal *refusal);

/*
 * spawn_role - execute `posternd -r name` with fd as its channel to us.
 *
 * namespaces is an answer of spawn_namespaces() or a part of it.  Returns the
 * process id, or -1 with errno.  fd stays the caller's.
 */
pid_t spawn_role(const char *name, int fd, uint32_t namespaces);

/*
 * spawn_command - execute a program of the configuration's as another user.
 *
 * user NULL: as we are.  It gets no descriptor of ours but in_fd and out_fd as its
 * standard input and output; -1, and its errors: /dev/null.  It leads a session
 * of its own, ends with us, and has no more rights than its user.  Returns the
 * process id, or -1 with errno; that it cannot be executed shows as its status,
 * SPAWN_FAILED.  Descriptors stay the caller's.
 */
pid_t spawn_command(char *const argv[], const struct passwd *user, int in_fd,
    int out_fd);

#define SPAWN_FAILED 127

#endif
