/* SPDX-License-Identifier: ISC */
/* Times as people write them: "90", "90s", "10m", "2h", "2d", "1w", "1d12h". */
#ifndef POSTERN_COMMON_DURATION_H
#define POSTERN_COMMON_DURATION_H

#include <stddef.h>
#include <stdint.h>

#define DURATION_MAX_S (100 * 366 * 86400LL)
#define DURATION_SIZE  48

/* Seconds, at most DURATION_MAX_S; -1 where the text is no such time. */
int64_t duration_parse(const char *text);

/* The seconds of w, d, h, m or s; -1: it is no unit. */
int64_t duration_unit(char letter);

/* The two units that say most, as "2d3h" or "4m10s"; returns out. */
char *duration_format(int64_t seconds, char out[static DURATION_SIZE]);

#endif
