/* SPDX-License-Identifier: ISC */
/* The text that a password or token comes in.  Pure. */
#ifndef POSTERN_MASTER_SECRET_TEXT_H
#define POSTERN_MASTER_SECRET_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/auth.h"

/* What a file may hold, or a command write: a secret, and a line behind it. */
#define SECRET_TEXT_MAX (AUTH_SECRET_MAX + 64)

struct secret_text {
	size_t len;     /* of the secret, which begins with the text */
	uint32_t for_s; /* how long it holds; 0: not said */
};

/*
 * secret_text_read - find the secret in n octets.
 *
 * A file is the secret, but for one line end at its end.  What a command wrote
 * is a line, and perhaps a second one: digits, the seconds that it holds.
 * NULL, or what is wrong with it.
 */
const char *secret_text_read(const char *text, size_t n, bool command,
    struct secret_text *out);

#endif
