/* SPDX-License-Identifier: ISC */
/* The SASL mechanisms by name, and what a login with each takes. */
#ifndef POSTERN_COMMON_AUTH_H
#define POSTERN_COMMON_AUTH_H

#include <stdbool.h>
#include <stddef.h>

#define AUTH_USER_MAX 255 /* octets of a user, and of an authzid */
#define AUTH_SECRET_MAX                                                        \
	8192 /* of a password or token; as base64 with the
                                rest it fits a line of RFC 4954, 4 */

enum auth_mechanism {
#define AUTH_MECHANISM(name, keyword, needs, first) AUTH_MECHANISM_##name,
#include "common/auth_mechanisms.def"
#undef AUTH_MECHANISM
	AUTH_MECHANISM_COUNT
};

/* What a mechanism needs beside the user, and what a transport has. */
enum auth_secret {
	AUTH_SECRET_NOTHING,
	AUTH_SECRET_PASSWORD,
	AUTH_SECRET_TOKEN,
};

/* The one of that name in any letter case; AUTH_MECHANISM_COUNT: none. */
enum auth_mechanism auth_mechanism_find(const char *word, size_t n);

const char *auth_mechanism_name(enum auth_mechanism mechanism);
enum auth_secret auth_mechanism_needs(enum auth_mechanism mechanism);

/* Whether the client begins, so that AUTH may bear its first octets. */
bool auth_mechanism_is_client_first(enum auth_mechanism mechanism);

/* Bound to the TLS channel (RFC 5056). */
bool auth_mechanism_is_bound(enum auth_mechanism mechanism);

/* A user or authzid: not too long, and no octet of it a control character,
 * which would be syntax in one mechanism or another. */
bool auth_name_ok(const char *name);

#endif
