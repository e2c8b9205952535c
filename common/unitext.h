/* SPDX-License-Identifier: ISC */
/*
 * Addresses of the type "utf-8" as ASCII: "bj\x{F8}rn@example.org", the form
 * utf-8-addr-xtext of RFC 6533, 3, which every server with DSN takes.  Pure.
 */
#ifndef POSTERN_COMMON_UNITEXT_H
#define POSTERN_COMMON_UNITEXT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * unitext_encode - UTF-8, some of it perhaps encoded before, which stays.
 *
 * NUL-terminated.  False where it does not fit, is no UTF-8, or holds a control
 * character.
 */
bool unitext_encode(const char *text, char *out, size_t size);

#endif
