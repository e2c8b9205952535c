/* SPDX-License-Identifier: ISC */
/*
 * What a server offers, from the lines of its reply to EHLO or LHLO
 * (RFC 5321, 4.1.1.1).
 */
#ifndef POSTERN_AGENT_SMTP_EHLO_H
#define POSTERN_AGENT_SMTP_EHLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/auth.h"

enum capability {
#define CAPABILITY(name, keyword) CAPABILITY_##name,
#include "common/capabilities.def"
#undef CAPABILITY
	CAPABILITY_COUNT
};

struct capabilities {
	uint32_t offered;    /* a bit for each enum capability */
	uint32_t mechanisms; /* a bit for each enum auth_mechanism */
	uint64_t size_limit; /* octets; 0: none that we know of */
	uint32_t mail_limit; /* transactions (RFC 9422, 4.1); 0: no limit */
	uint32_t rcpt_limit; /* recipients of one (4.2) */
	uint32_t rcpt_domain_limit; /* domains of them in a session (4.3) */
	uint32_t deliver_by_min;    /* seconds a BY with R needs; 0: any */
	uint32_t hold_for_max;      /* seconds of HOLDFOR; 0: not known */
	uint32_t xforward; /* a bit for each enum parameter that it takes */
	uint32_t xclient;
	int64_t hold_until_max; /* seconds since 1970; 0: not known */
	bool has_name; /* the first line, which is no keyword, is past */
};

/* Forget everything: before each EHLO, and after each handshake. */
void ehlo_clear(struct capabilities *caps);

/*
 * One line of the reply, without its code.  The first bears the server's name
 * and is skipped.  A line that is malformed is skipped too; the others count.
 *
 * Lenient towards servers that put several spaces between the words, or some
 * at the end, and knows the "AUTH=LOGIN" of before RFC 2554.
 */
void ehlo_add_line(struct capabilities *caps, const uint8_t *line, size_t n);

/* After the last line: the keywords of this list, with spaces between them, are
 * as if they had not been offered. */
void ehlo_discard(struct capabilities *caps, const char *list);

/* Behind that: drop what makes no sense without something else. */
void ehlo_finish(struct capabilities *caps, bool in_tls);

bool ehlo_offers(const struct capabilities *caps, enum capability cap);

bool ehlo_offers_auth(const struct capabilities *caps,
    enum auth_mechanism mechanism);

#endif
