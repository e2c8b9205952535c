/* SPDX-License-Identifier: ISC */
/* Internationalised domain names (RFC 5890), and libidn2's one doorway. */
#ifndef POSTERN_COMMON_IDN_H
#define POSTERN_COMMON_IDN_H

#include <stdbool.h>
#include <stddef.h>

#define IDN_NAME_SIZE 256 /* a domain name of A-labels, and NUL */

/*
 * idn_to_ascii - a domain of U-labels, n octets of UTF-8, as A-labels
 * (RFC 5891, 5; UTS 46 without its transitional mappings).  False where a
 * label is none that DNS could hold.  Without memory the process ends: it must not
 * refuse an address for good for that.
 */
bool idn_to_ascii(const char *in, size_t n, char out[IDN_NAME_SIZE]);

#endif
