/* SPDX-License-Identifier: ISC */
/*
 * A field Delivered-To at the head of a message that is about to be delivered, so
 * that one which comes back is known.
 */
#ifndef MASTER_QUEUE_DELIVERED_TO_H
#define MASTER_QUEUE_DELIVERED_TO_H

#include <stdint.h>

/*
 * delivered_to_mark - copy a body of size octets under its recipient's name.
 *
 * 0: *fdp is a sealed memfd of *sizep octets, the caller's to close.  1: the
 * body has the field with that recipient already.  -1: errno.
 */
int delivered_to_mark(int body_fd, uint64_t size, const char *recipient,
    int *fdp, uint64_t *sizep);

#endif
