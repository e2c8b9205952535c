/* SPDX-License-Identifier: ISC */
/*
 * What a receiver of outcome reports says: numbers, one a line, each of the last
 * report that it has.  Pure.
 */
#ifndef MASTER_QUEUE_ACK_H
#define MASTER_QUEUE_ACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACK_DIGITS_MAX 18

struct ack {
	uint64_t number; /* of the line that is not whole yet */
	unsigned digits;
	uint64_t last; /* the greatest of those that are; 0: none */
};

/* Takes octets as they come.  False: they are no such lines. */
bool ack_feed(struct ack *ack, const uint8_t *octets, size_t n);

#endif
