/* SPDX-License-Identifier: ISC */
/*
 * Listening sockets that we did not make: the service manager's, by
 * $LISTEN_FDS as in sd_listen_fds(3), or a former generation's.  Each has the
 * name of what the configuration listens at: "job", "control", or a listener's.
 */
#ifndef POSTERN_MASTER_INHERIT_H
#define POSTERN_MASTER_INHERIT_H

#include <sys/socket.h>

#include <stdbool.h>
#include <stddef.h>

#define INHERIT_MAX 64

/*
 * inherit_open - take what the environment says is ours, and forget it there.
 *
 * NULL, or what is wrong with it.
 */
const char *inherit_open(void);

/* One more, ours from here on; lent: its name in the file system is somebody
 * else's to remove.  False: there are too many, or two of that name. */
bool inherit_add(const char *name, int fd, bool lent);

/*
 * inherit_take - the socket of that name; -1 where there is none.
 *
 * It is the caller's from here on, close-on-exec and non-blocking.
 */
int inherit_take(const char *name, bool *lent);

/*
 * inherit_check - whether fd is a listening socket of that type and address.
 *
 * NULL, or what it is not.
 */
const char *inherit_check(int fd, int type, const struct sockaddr *address,
    socklen_t len);

/* The name of one that nobody took; NULL: there is none. */
const char *inherit_left(void);

/*
 * inherit_name - the at-th of the names in a list with colons between them.
 *
 * Copies it to out; one that is empty, too long or not there is "unknown".
 * Pure.
 */
void inherit_name(const char *list, size_t at, char *out, size_t size);

#endif
