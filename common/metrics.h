/* SPDX-License-Identifier: ISC */
/*
 * Counts, in memory that the master makes and the metrics role may only read.
 *
 * Each process that counts has a table of its own, so that none can touch what
 * another counted; who tells them adds the tables up.  They outlive the process.
 * Writing is a few additions: no lock, no call, no message.
 */
#ifndef POSTERN_COMMON_METRICS_H
#define POSTERN_COMMON_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	METRICS_GROUPS = 64,     /* of destinations; the first is "other" */
	METRICS_NAME_SIZE = 64,  /* of a transport or group, and its NUL */
	METRICS_BOUNDS_MAX = 15, /* buckets of a histogram, but for +Inf */
};

enum metrics_type {
	METRICS_COUNTER,
	METRICS_GAUGE,
	METRICS_AGE,
	METRICS_HISTOGRAM,
	METRICS_GAUGEHISTOGRAM,
};

enum {
	METRICS_PLAIN = 1, /* how many groups a row has */
	METRICS_GROUPED = METRICS_GROUPS,
};

/* A set of labels, and of bounds, by the count of its members. */
enum {
#define LABELS(name, count, ...)           METRICS_LABELS_##name = count,
#define BOUNDS(name, count, per_unit, ...) METRICS_BOUNDS_##name = count,
#include "common/metrics.def"
};

enum metrics_id {
#define METRIC(id, name, type, unit, groups, labels, bounds, help) METRIC_##id,
#include "common/metrics.def"
	METRIC_COUNT,
};

/* One value; with bounds, as many buckets, one beyond them, and the sum. */
#define METRICS_VALUES(bounds)                                                 \
	(METRICS_BOUNDS_##bounds == 0 ? 1 : METRICS_BOUNDS_##bounds + 2)

/* Where the values of each row begin. */
enum {
#define METRIC(id, name, type, unit, groups, labels, bounds, help)             \
	METRICS_AT_##id,                                                       \
	    METRICS_END_##id = METRICS_AT_##id +                               \
	    METRICS_##groups * METRICS_LABELS_##labels *                       \
		METRICS_VALUES(bounds) -                                       \
	    1,
#include "common/metrics.def"
	METRICS_SIZE,
};

struct metrics_group {
	char transport[METRICS_NAME_SIZE]; /* empty: not given yet */
	char group[METRICS_NAME_SIZE];
};

struct metrics_table {
	struct metrics_group groups[METRICS_GROUPS];
	uint64_t values[METRICS_SIZE];
};

/* A row of metrics.def. */
struct metrics_desc {
	const char *name;
	const char *unit;
	const char *help;
	const char *const *labels;
	const int64_t *bounds;
	enum metrics_type type;
	unsigned ngroups;
	unsigned nlabels;
	unsigned nbounds;
	unsigned nvalues; /* of one label set */
	int64_t per_unit; /* of a bound, or of the sum */
	size_t at;
};

extern const struct metrics_desc metrics_descs[METRIC_COUNT];

/* Whose tables there are. */
enum metrics_writer {
	METRICS_OF_QUEUE,
	METRICS_OF_MASTER,
	METRICS_WRITERS,
};

/*
 * metrics_map - the table behind a descriptor, which stays the caller's.
 *
 * NULL with errno: it is not of this size, or cannot be mapped so.
 */
struct metrics_table *metrics_map(int fd, bool writable);

/* A table that only this process sees: where nobody asks for one. */
struct metrics_table *metrics_private(void);

/* Counters and gauges; label is a place in the row's set. */
void metrics_add(struct metrics_table *table, enum metrics_id id,
    unsigned group, unsigned label, uint64_t n);
void metrics_set(struct metrics_table *table, enum metrics_id id,
    unsigned label, uint64_t value);

/* One more value of a histogram, in the unit of its bounds. */
void metrics_observe(struct metrics_table *table, enum metrics_id id,
    unsigned group, unsigned label, int64_t value);

/* A gauge histogram as it is now: counts of each bucket, and the sum. */
void metrics_set_buckets(struct metrics_table *table, enum metrics_id id,
    const uint64_t *buckets, uint64_t sum);

/* The bucket of a value. */
unsigned metrics_bucket(const struct metrics_desc *desc, int64_t value);

/* The place of a group, found or given; 0, "other", where there is none left. */
unsigned metrics_group(struct metrics_table *table, const char *transport,
    const char *group);

/* The labels of outcomes. */
unsigned metrics_label_code(unsigned code);
unsigned metrics_label_dsn(const char *dsn);

#endif
