/* SPDX-License-Identifier: ISC */
/*
 * A destination's plan in the making: MX hosts in the order to try, their
 * addresses, and what must not be tried.  Pure: answers and random numbers come
 * in as arguments.
 */
#ifndef POSTERN_MASTER_RESOLVER_PLAN_H
#define POSTERN_MASTER_RESOLVER_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/message.h"

#define PLAN_HOSTS_MAX 20 /* the least preferred beyond it are not asked for */
/* Addresses of one host that are used, for each family. */
#define PLAN_HOST_ADDRESSES_MAX 8

struct plan_host {
	char name[MSG_HOST_SIZE];
	uint16_t preference;
	uint32_t order; /* among equal ones */
	struct plan_address addresses[2 * PLAN_HOST_ADDRESSES_MAX];
	size_t naddresses;
};

struct plan {
	struct plan_host hosts[PLAN_HOSTS_MAX];
	size_t nhosts;
	bool null_mx;  /* RFC 7505 */
	bool had_loop; /* something was dropped as ourselves */
	bool loop_by_address; /* because of an address, not a name */
};

/* Who we are, so that mail does not come back. */
struct plan_self {
	const char *hostname; /* may be empty */
	const struct plan_address *addresses;
	size_t naddresses;
};

/* A number below n (> 0), evenly. */
typedef uint32_t plan_random(uint32_t n);

/*
 * plan_add_mx - take one MX record: rdata as in the packet (RFC 1035, 3.3.9).
 *
 * A name of other characters than letters, digits, hyphens and underscores
 * (which many a real host has, against RFC 1123) is left out.  Where there are
 * more than PLAN_HOSTS_MAX, the most preferred stay.
 */
void plan_add_mx(struct plan *plan, const uint8_t *rdata, size_t len,
    plan_random *random);

/* The host itself, by A and AAAA: an implicit MX (RFC 5321, 5.1) or a server
 * of the configuration. */
void plan_add_host(struct plan *plan, const char *name);

/* An address of hosts[i], AF_INET (4 octets) or AF_INET6 (16). */
void plan_add_address(struct plan *plan, size_t i, int family,
    const uint8_t *octets, uint16_t port);

/*
 * plan_drop_loops - leave out what would come back to us (RFC 5321, 5.1): a
 * host that bears our name, or has an address of ours, or, unless loopback, a
 * loopback one; and all hosts that are not preferred to it.
 */
void plan_drop_loops(struct plan *plan, const struct plan_self *self,
    bool loopback);

/*
 * plan_finish - the addresses in the order to try.
 *
 * Hosts by preference, equal ones shuffled; a host's addresses shuffled, those
 * of the family `prefer` (4, 6, 0: none) first.  Returns how many, at most max.
 */
size_t plan_finish(struct plan *plan, unsigned prefer, struct plan_address *out,
    size_t max, plan_random *random);

/*
 * plan_parse_literal - "[192.0.2.1]" or "[IPv6:2001:db8::1]" (RFC 5321, 4.1.3).
 *
 * With bare, also an address without brackets: a server of the configuration.
 * Whether it is one; *out then has family and addr.
 */
bool plan_parse_literal(const char *text, bool bare, struct plan_address *out);

#endif
