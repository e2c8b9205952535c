/* SPDX-License-Identifier: ISC */
/*
 * Which servers a section of the configuration is about: a host, all hosts below
 * a domain, an address or a network.  Pure.
 */
#ifndef MASTER_SERVER_MATCH_H
#define MASTER_SERVER_MATCH_H

#include <stdint.h>

#define SERVER_MATCH_SIZE 256 /* ".name" and NUL, or a network */

struct server_match {
	char
	    name[SERVER_MATCH_SIZE]; /* one way to write it, of all there are */
	int family;                  /* 0: a name; AF_INET or AF_INET6 */
	uint8_t bits;                /* of addr that count */
	uint8_t addr[16];
};

/*
 * server_match_parse - read "mx.example.net", ".example.net" for all below it,
 * "192.0.2.1", "192.0.2.0/24", or "2001:db8::/32".
 *
 * Addresses and networks may stand in brackets, with the length in or behind
 * them, and IPv6 with RFC 5321's "IPv6:".  Letter case does not matter.
 * NULL, or what is wrong with it.
 */
const char *server_match_parse(const char *word, struct server_match *out);

/*
 * server_match_weigh - how well a server fits.
 *
 * 0: not at all.  A longer match weighs more than a shorter one, a host more than
 * the domain it is below of, and any name more than any network.  host is a name
 * or a literal, addr of the family's size; what is no AF_INET or AF_INET6 (a Unix
 * socket) fits nothing.
 */
unsigned server_match_weigh(const struct server_match *match, const char *host,
    int family, const uint8_t *addr);

#endif
