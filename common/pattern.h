/* SPDX-License-Identifier: ISC */
/* Patterns in which "*" stands for any octets, and the rest for itself. */
#ifndef POSTERN_COMMON_PATTERN_H
#define POSTERN_COMMON_PATTERN_H

#include <stdbool.h>

/* Whether the whole text fits; ASCII letters in any case. */
bool pattern_matches(const char *pattern, const char *text);

/* Whether some part of the text does. */
bool pattern_found(const char *pattern, const char *text);

/* Whether it can only be of an enhanced status code (RFC 3463, 2). */
bool pattern_is_code(const char *pattern);

#endif
