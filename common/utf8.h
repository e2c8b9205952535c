/* SPDX-License-Identifier: ISC */
/* Whether octets are UTF-8 (RFC 3629, 4): shortest forms, no surrogates. */
#ifndef POSTERN_COMMON_UTF8_H
#define POSTERN_COMMON_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Between two octets; zeroed, it is between two characters. */
struct utf8 {
	uint8_t left;  /* octets of the character that are to come */
	uint8_t least; /* what the next may be, where left > 0 */
	uint8_t most;
};

/* The next octet.  False where it cannot stand there. */
bool utf8_take(struct utf8 *u, uint8_t octet);

/* Octets of the first character of n; 0 where it is none, or n is 0. */
size_t utf8_span(const char *in, size_t n);

/* Whether all of it is UTF-8, and no character is cut off. */
bool utf8_is_valid(const char *in, size_t n);

#endif
