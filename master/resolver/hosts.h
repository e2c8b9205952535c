/* SPDX-License-Identifier: ISC */
/*
 * The addresses of a hosts file (hosts(5)), by name.  They stand before DNS for
 * a host's address, and say nothing about the MX of a domain.
 */
#ifndef POSTERN_MASTER_RESOLVER_HOSTS_H
#define POSTERN_MASTER_RESOLVER_HOSTS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define HOSTS_MAX 65536 /* names; lines beyond it are not read */

struct hosts_entry {
	char *name;
	int family;
	uint8_t addr[16]; /* network order; IPv4 in the first 4 */
	uint32_t order;   /* in the file */
};

struct hosts;

/* Reads to the end.  A line that is none is passed over, as resolvers do.
 * NULL with errno: no memory, or the file cannot be read. */
struct hosts *hosts_read(FILE *f);

/* NULL is fine. */
void hosts_free(struct hosts *hosts);

/* The entries of a name (any letter case), one behind the other; count 0 where
 * it has none, as with no hosts at all (NULL). */
const struct hosts_entry *hosts_find(const struct hosts *hosts,
    const char *name, size_t *count);

#endif
