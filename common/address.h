/* SPDX-License-Identifier: ISC */
/*
 * Reverse-paths and forward-paths (RFC 5321, 4.1.2 and 4.1.3; RFC 6531, 3.3).
 * Decides what is an address and what is none; leaves it to others where mail for
 * it goes.
 */
#ifndef POSTERN_COMMON_ADDRESS_H
#define POSTERN_COMMON_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADDRESS_PATH_MAX  254 /* RFC 5321, 4.5.3.1.3: 256 with the brackets */
#define ADDRESS_LOCAL_MAX 64
#define ADDRESS_LABEL_MAX 63

enum address_error {
	ADDRESS_OK,
#define ADDRESS_ERROR(name, text) ADDRESS_##name,
#include "common/address.def"
#undef ADDRESS_ERROR
	ADDRESS_ERROR_COUNT
};

/* What stands behind the "@". */
enum address_domain_kind {
	ADDRESS_DOMAIN_NONE, /* the empty reverse-path, or "Postmaster" alone */
	ADDRESS_DOMAIN_NAME,
	ADDRESS_DOMAIN_IPV4, /* "[192.0.2.1]" */
	ADDRESS_DOMAIN_IPV6, /* "[IPv6:2001:db8::1]" */
};

struct address {
	char path[257];     /* as it goes on the wire, without the brackets; its
	                       domain is of A-labels (RFC 5890, 2.3.2.1) */
	char domain[257];   /* in lower case, a literal with its "[" and "]" */
	uint16_t local_len; /* of path; its domain starts at domain_at */
	uint16_t domain_at; /* 0 when there is none */
	enum address_domain_kind kind;
	bool is_utf8; /* its local part is: it needs SMTPUTF8 */
};

/*
 * Read n octets, which may stand in angle brackets.  A source route is taken
 * off (RFC 5321, appendix C).  On any answer but ADDRESS_OK *addr holds the
 * empty path.
 *
 * A reverse-path may be empty, "" or "<>".  A forward-path may be the word
 * "Postmaster" without a domain, in any letter case.
 *
 * Stricter than the RFC in two things: ">" is refused inside a quoted string
 * too, for it ends the path to many a careless reader, and of the address
 * literals only IPv4 and IPv6 are known.
 */
enum address_error address_parse_reverse_path(struct address *addr,
    const char *in, size_t n);
enum address_error address_parse_forward_path(struct address *addr,
    const char *in, size_t n);

/* One sentence without a full stop; never NULL. */
const char *address_error_text(enum address_error error);

/*
 * Whether the string is a legal host name for DNS, SNI and certificates:
 * labels of letters, digits and inner hyphens, at most 63 octets each and 253
 * in all, the last of them not all digits, so that no address passes.
 */
bool address_domain_is_host_name(const char *name);

#endif
