/* SPDX-License-Identifier: ISC */
/*
 * The end of descriptors that strangers passed.  close() may wait as long as they
 * like: for a file server of their own (FUSE), for a socket that lingers
 * (SO_LINGER), or for one of these inside a socket.  What is not known to be
 * harmless is closed by a thread that does nothing else.
 */
#ifndef POSTERN_MASTER_CLIENTS_CLOSER_H
#define POSTERN_MASTER_CLIENTS_CLOSER_H

#include <stddef.h>

/*
 * closer_start - make the thread, of which there is one in a process.
 *
 * Before it, and in a process without, closer_close() closes by itself.  After
 * confinement and before the filter, which is to hold for all threads.  0, or
 * -1 with errno.
 */
int closer_start(void);

/* Close fd, now or soon; -1 is fine. */
void closer_close(int fd);

/* How many the thread has not closed yet. */
size_t closer_waiting(void);

#endif
