/* SPDX-License-Identifier: ISC */
/* What the master makes in the file system: folders, sockets, the pid file. */
#ifndef POSTERN_MASTER_LISTEN_H
#define POSTERN_MASTER_LISTEN_H

#include <sys/types.h>

/*
 * listen_open - a listening SOCK_SEQPACKET socket at path.
 *
 * A stale socket there is replaced; one that answers is another posternd's
 * and stays.  gid is (gid_t)-1 for the process's own.  Returns the descriptor,
 * or -1 with errno (EADDRINUSE: it answers).
 */
int listen_open(const char *path, mode_t mode, gid_t gid);

/*
 * listen_directory - make a folder where there is none, for uid and gid.
 *
 * One that stands keeps its mode and owner, which must be uid where uid is not
 * (uid_t)-1, and nobody else may write in it: errno is then EPERM.  0, or -1
 * with errno.
 */
int listen_directory(const char *path, mode_t mode, uid_t uid, gid_t gid);

/*
 * listen_pid_file - write our process id to path, locked while we live.
 *
 * Returns its descriptor, or -1 with errno (EWOULDBLOCK: another posternd
 * holds the lock).
 */
int listen_pid_file(const char *path);

/* Write our process id to one whose lock we were given; 0, or -1 with errno. */
int listen_write_pid(int fd);

#endif
