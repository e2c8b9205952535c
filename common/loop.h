/* SPDX-License-Identifier: ISC */
/*
 * What the header of a message says of a loop: how many servers it went through,
 * and to whom it was delivered already.  Found as the octets go by.  Pure.
 */
#ifndef POSTERN_COMMON_LOOP_H
#define POSTERN_COMMON_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOOP_FIELD_SIZE 300 /* "Delivered-To:" and an address */

/* Zeroed at the start of a message, but for recipient. */
struct loop {
	const char *recipient; /* whom to look for in Delivered-To, or NULL */
	bool over;             /* the empty line was there */
	bool in_line;
	bool kept;     /* this field may be one of ours */
	bool returned; /* it was delivered to recipient before */
	uint32_t hops; /* fields Received (RFC 5321, 6.3) */
	size_t len;
	char field[LOOP_FIELD_SIZE]; /* from its name on, folds included */
};

/* More octets of the message, whose lines end in CRLF. */
void loop_feed(struct loop *l, const uint8_t *octets, size_t n);

/* At the end of a message that may be all header. */
void loop_end(struct loop *l);

#endif
