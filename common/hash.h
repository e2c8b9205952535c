/* SPDX-License-Identifier: ISC */
/*
 * Buckets of tables whose keys strangers choose: domains, hosts.  Who could say
 * beforehand which bucket a name falls into would send names that all fall into one,
 * and each look-up would be a walk past all of them.
 */
#ifndef POSTERN_COMMON_HASH_H
#define POSTERN_COMMON_HASH_H

#include <stddef.h>
#include <stdint.h>

/*
 * hash_draw_key - a key that nobody knows, once in a process and before it keeps
 * anything by hash_octets().  0, or -1 with errno.
 *
 * In a process without it the key is of zeros, and so is each result the same in
 * each run.
 */
int hash_draw_key(void);

/* SipHash-1-3 (Aumasson and Bernstein) of n octets, under that key; seed: of the
 * table, or a number that is part of what is looked for. */
uint64_t hash_octets(const void *octets, size_t n, uint64_t seed);

#endif
