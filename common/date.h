/* SPDX-License-Identifier: ISC */
/* A date-time of RFC 3339, 5.6.  Pure. */
#ifndef POSTERN_COMMON_DATE_H
#define POSTERN_COMMON_DATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DATE_SIZE 21 /* "2026-11-23T16:17:08Z" and NUL */

/* As seconds since 1970; false: it is none, or of another age. */
bool date_read(const char *text, size_t n, int64_t *seconds);

/* The same in UTC; seconds came from date_read(). */
void date_write(int64_t seconds, char out[DATE_SIZE]);

#endif
