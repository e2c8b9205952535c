/* SPDX-License-Identifier: ISC */
/*
 * The end of descriptors that strangers passed.  close() may wait as long as they
 * like: for a file server of their own (FUSE), for a socket that lingers
 * (SO_LINGER), or for one of these inside a socket.  What is not known to be
 * harmless is closed by threads that do nothing else, and each for one user at a time.
 */
#ifndef POSTERN_COMMON_CLOSER_H
#define POSTERN_COMMON_CLOSER_H

#include <stdbool.h>
#include <sys/types.h>

/* The user of what another role passed, which may be a stranger's by now. */
#define CLOSER_ROLES ((uid_t)-1)

/* Who has so many descriptors that wait to be closed may pass no more. */
#define CLOSER_CHOKED 64

/*
 * closer_start - make the threads, once in a process.
 *
 * Before it, and in a process without, closer_close() closes by itself.  After
 * confinement and before the filter, which is to hold for all threads.  0, or
 * -1 with errno.
 */
int closer_start(void);

/* Close fd, which this user passed, now or soon; -1 is fine. */
void closer_close(int fd, uid_t uid);

/* The same by a thread in any case. */
void closer_give(int fd, uid_t uid);

/* What the control part of a message has room for, of all that one can have
 * (SCM_MAX_FD): others the kernel closes in our name. */
#define CLOSER_FDS 253

struct msghdr;

/* Close all descriptors of a message whose sender may pass none. */
void closer_take(struct msghdr *mh, uid_t uid);

/* Whether this user passed too many that do not close; root never did. */
bool closer_is_choked(uid_t uid);

#endif
