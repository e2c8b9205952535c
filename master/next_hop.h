/* SPDX-License-Identifier: ISC */
/*
 * What the word behind `server` or --server says, taken apart.
 */
#ifndef MASTER_NEXT_HOP_H
#define MASTER_NEXT_HOP_H

#include <stdbool.h>
#include <stdint.h>

enum next_hop_kind {
	NEXT_HOP_MX,      /* the recipient's domain; port */
	NEXT_HOP_HOST,    /* host, by A and AAAA; port */
	NEXT_HOP_ADDRESS, /* host is an IP address without brackets; port */
	NEXT_HOP_UNIX,    /* path */
};

struct next_hop {
	enum next_hop_kind kind;
	uint16_t port; /* the default one where the word names none */
	char host[254];
	char path[108];
};

/*
 * next_hop_parse - read HOST, HOST:PORT, [ADDRESS], [ADDRESS]:PORT, an IPv4
 * address, unix:PATH, or nothing (the recipient's MX).
 *
 * NULL where *out is filled, else what is wrong with the word.
 */
const char *next_hop_parse(const char *word, uint16_t default_port,
    struct next_hop *out);

#endif
