/* SPDX-License-Identifier: ISC */
/*
 * Tables of counts as text: OpenMetrics 1.0, or the older format of Prometheus
 * (text/plain; version=0.0.4).  Pure.
 */
#ifndef MASTER_METRICS_RENDER_H
#define MASTER_METRICS_RENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/metrics.h"

/* More than all rows and groups take with the longest names and numbers. */
#define RENDER_SIZE (1024 * 1024)

enum render_format {
	RENDER_OPENMETRICS,
	RENDER_PROMETHEUS,
};

/*
 * render - write what the tables hold, summed up.
 *
 * A table may be NULL.  Whoever writes one may be hostile: nothing is taken for
 * what it should be.  Returns the octets in out, which ends with a NUL; 0 where
 * they do not fit.
 */
size_t render(const struct metrics_table *const tables[METRICS_WRITERS],
    enum render_format format, int64_t now_s, char *out, size_t size);

/* By the value of a field Accept; NULL: none. */
enum render_format render_negotiate(const char *accept);
const char *render_content_type(enum render_format format);

#endif
