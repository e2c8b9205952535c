/* SPDX-License-Identifier: ISC */
/* Which parameter is meant by a name that is none.  Pure. */
#ifndef MASTER_CONFIG_NEAR_H
#define MASTER_CONFIG_NEAR_H

#include <stddef.h>

/*
 * config_near_distance - how many octets were left out, added, changed, or
 * swapped with their neighbour; at most `most` + 1.  Strings of at most 63.
 */
unsigned config_near_distance(const char *a, size_t a_len, const char *b,
    size_t b_len, unsigned most);

/* What a parameter of Postfix is here, a sentence; NULL: none of those. */
const char *config_near_postfix(const char *name, size_t len);

#endif
