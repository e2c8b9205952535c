/* SPDX-License-Identifier: ISC */
/* What is too small for a file of its own. */
#ifndef POSTERN_COMMON_UTIL_H
#define POSTERN_COMMON_UTIL_H

#include <stddef.h>
#include <stdint.h>

#include "common/fd.h"

#define NELEM(a) (sizeof(a) / sizeof((a)[0]))

/* CLOCK_MONOTONIC in milliseconds: for timers. */
int64_t time_monotonic_ms(void);

/* The same in microseconds: for what is measured. */
int64_t time_monotonic_us(void);

/* CLOCK_REALTIME in milliseconds: for what is stored and shown. */
int64_t time_real_ms(void);

#endif
