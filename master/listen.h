/* SPDX-License-Identifier: ISC */
/* What the master makes in the file system: folders, sockets, the pid file. */
#ifndef POSTERN_MASTER_LISTEN_H
#define POSTERN_MASTER_LISTEN_H

#include <sys/socket.h>
#include <sys/types.h>

#include <stdint.h>

/*
 * listen_open - a listening Unix socket at path, of type SOCK_SEQPACKET or
 * SOCK_STREAM.
 *
 * A stale socket there is replaced; one that answers is another posternd's
 * and stays.  No link is followed, and nothing is made in a folder of another
 * user than root and us, or in which group or others may write.  gid is
 * (gid_t)-1 for the process's own.  Returns the descriptor, or -1 with errno
 * (EADDRINUSE: it answers; EPERM: the folder).
 */
int listen_open(const char *path, int type, mode_t mode, gid_t gid);

/*
 * listen_refuse_rights - no client of that socket can pass a descriptor.
 *
 * For where none is wanted: to be rid of one may take as long as its sender
 * likes.  Linux has it from 6.16 on; before, this does nothing.
 */
void listen_refuse_rights(int fd);

/* Another mode and group for such a socket; 0, or -1 with errno. */
int listen_give(const char *path, mode_t mode, gid_t gid);

/*
 * listen_open_tcp - a listening TCP socket at an IPv4 or IPv6 address.
 *
 * What is accepted from it sends at once (TCP_NODELAY), and an IPv6 one takes no
 * IPv4.  The descriptor, or -1 with errno.
 */
int listen_open_tcp(const char *address, uint16_t port);

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

/* The socket address of an IPv4 or IPv6 address and a port; its length, or 0. */
socklen_t listen_address(const char *address, uint16_t port,
    struct sockaddr_storage *at);

#endif
