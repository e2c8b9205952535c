/* SPDX-License-Identifier: ISC */
/*
 * Lanes: whose mail takes turns with whose.
 *
 * A lane is a priority class and a hash of the sender: who handed the mail in,
 * and the reverse-path without what differs from message to message of one run
 * (VERP, batch numbers).  Senders that share a hash share their turns.  Pure.
 */
#ifndef MASTER_QUEUE_LANE_H
#define MASTER_QUEUE_LANE_H

#include <stdint.h>

enum lane_class {
	LANE_NORMAL, /* 0, so that rows of an older queue are of it */
	LANE_HIGH,
	LANE_LOW,
	LANE_CLASS_COUNT
};

enum {
	LANE_HASH_BITS = 12, /* two senders meet once in 4096 */
};

/* parameters: of MAIL; its MT-PRIORITY (RFC 6710) says which class. */
uint32_t lane_of(uint32_t uid, const char *reverse_path,
    const char *parameters);

enum lane_class lane_class(uint32_t lane);

/* Which class of those that wait (bits 1 << class) has the next turn; left is
 * what each class has of its turns, and begins as zero. */
enum lane_class lane_turn(uint32_t left[static LANE_CLASS_COUNT],
    uint32_t waiting);

#endif
