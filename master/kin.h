/* SPDX-License-Identifier: ISC */
/*
 * What two generations of posternd tell each other while one takes over from the
 * other: packets of words, each with at most one descriptor.  They may be of
 * different versions, so a word that is not known is passed over.
 *
 *   the old one                        the new one
 *   listener NAME lent|ours  +fd
 *   pid-file PATH            +fd
 *   process ROLE PID RESTARTS SINCE
 *   start GENERATION
 *                                      failed WHY
 *                                      up PID
 *   yours
 *   client job|control       +fd
 *                                      stopping
 */
#ifndef POSTERN_MASTER_KIN_H
#define POSTERN_MASTER_KIN_H

#include <stddef.h>

enum {
	KIN_SIZE = 1024, /* of a packet, with a NUL */
};

/* 0, or -1 with errno; fd stays the caller's, -1 for none. */
int kin_send(int sock, int fd, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * kin_receive - one packet, as a string; *fdp is the caller's, -1 for none.
 *
 * 1; 0 at the end; -1 with errno.  flags go to recvmsg().
 */
int kin_receive(int sock, char text[static KIN_SIZE], int *fdp, int flags);

/*
 * kin_words - cut text into words, at most n, at its spaces.
 *
 * The last one has all that is left.  How many there are.  Pure.
 */
size_t kin_words(char *text, char **words, size_t n);

#endif
