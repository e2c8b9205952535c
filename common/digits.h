/* SPDX-License-Identifier: ISC */
/* Digits.  The C library's classes depend on the locale; the RFCs' do not. */
#ifndef POSTERN_COMMON_DIGITS_H
#define POSTERN_COMMON_DIGITS_H

#include <stdbool.h>

#define DIGITS_HEX "0123456789abcdef"

static inline bool
digits_is(char c)
{
	return c >= '0' && c <= '9';
}

/* Of a hexadecimal digit in either case; -1: it is none. */
static inline int
digits_hex_value(char c)
{
	if (digits_is(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

#endif
