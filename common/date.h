/* SPDX-License-Identifier: ISC */
/* Date-times of RFC 3339, 5.6, and of mail.  Pure. */
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

#define DATE_MAIL_SIZE 32 /* "Mon, 23 Nov 2026 16:17:08 +0000" and NUL */

/* The same as RFC 5322, 3.3, writes it, at a place that is so many seconds east of
 * UTC; of those, whole minutes count. */
void date_write_mail(int64_t seconds, int32_t east_s, char out[DATE_MAIL_SIZE]);

#endif
