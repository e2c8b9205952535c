/* SPDX-License-Identifier: ISC */
/* Descriptors. */
#ifndef POSTERN_COMMON_FD_H
#define POSTERN_COMMON_FD_H

#include <sys/types.h>
#include <sys/uio.h>

#include <stddef.h>
#include <stdint.h>

/* close() that takes -1 and keeps errno. */
void fd_close(int fd);

/*
 * Opens /dev/null in the place of each of descriptors 0 to 2 that is closed, so
 * that nothing else ever gets a number which lines are written to.  0 or -1.
 */
int fd_open_standard(void);

/* write() of all n octets, in spite of short writes and EINTR; 0 or -1. */
int fd_write(int fd, const void *buf, size_t n);

/* The same at a place, by pwrite: a filter may then keep write() for the log. */
int fd_pwrite(int fd, const void *buf, size_t n, uint64_t at);

/*
 * sendmsg() of n pieces on a Unix socket, with a descriptor unless it is -1; how
 * many octets, or -1 with errno.
 */
ssize_t fd_send(int sock, struct iovec *pieces, size_t n, int fd, int flags);

/*
 * All of a file from its first octet, by pread(), at most max octets: more is an
 * error, as what cannot be read is.  The caller's to free(); NULL with errno.
 */
char *fd_read_all(int fd, size_t max, size_t *n);

/*
 * A read-write memfd with a copy of n octets, sealed against any change
 * (write, grow, shrink, seal).  The caller's to close; -1 with errno.
 */
int fd_sealed(const char *name, const void *octets, size_t n);

/* The seals of a body and of a configuration: none can alter it any more. */
#define FD_SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)

#endif
