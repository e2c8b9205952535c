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

/* RFC 5321, 4.5.3.1, has 64 octets of a local part and 256 of a path as what all must
 * take; mailing lists (VERP) and forwarders (SRS) make longer ones. */
#define ADDRESS_PATH_MAX   1000
#define ADDRESS_DOMAIN_MAX 253 /* of a name; RFC 1035, 2.3.4 */
#define ADDRESS_LABEL_MAX  63

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
	char path[ADDRESS_PATH_MAX + 1]; /* as it goes on the wire, without the
	                       brackets; its domain is of A-labels (RFC 5890,
	                       2.3.2.1), its local part quoted where it must be */
	char
	    domain[ADDRESS_DOMAIN_MAX + 4]; /* in lower case, a literal with its
	                       "[" and "]" */
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
 * Wider than the RFC, for such addresses are in use: a local part may have dots
 * where no dot-string has them ("a..b", "user.", ".x") and comes out quoted, as the
 * RFC writes it; labels of a domain may have "_"; one dot may end a domain, and is
 * taken off.  Stricter in one thing: of the address literals only IPv4 and IPv6 are
 * known.
 */
enum address_error address_parse_reverse_path(struct address *addr,
    const char *in, size_t n);
enum address_error address_parse_forward_path(struct address *addr,
    const char *in, size_t n);

/* One sentence without a full stop; never NULL. */
const char *address_error_text(enum address_error error);

/* How many of n octets, which begin with "<", are up to the ">" that ends the path: one
 * in a quoted string does not.  0: none does. */
size_t address_find_end(const char *in, size_t n);

/*
 * Whether the string is a name to look up: as a host name, but that it may hold "_",
 * which is in none by RFC 952, and in those of many containers.
 */
bool address_domain_is_dns_name(const char *name);

/*
 * Whether the string is a legal host name for EHLO, SNI and certificates: labels of
 * letters, digits and inner hyphens, at most 63 octets each and 253
 * in all, the last of them not all digits, so that no address passes.
 */
bool address_domain_is_host_name(const char *name);

/* Whether it is an address of the Internet, without brackets. */
bool address_is_ip(const char *text);

/* Whether a certificate can name it: a host name, or such an address. */
bool address_is_host(const char *text);

#endif
