/* SPDX-License-Identifier: ISC */
/* See metrics.h. */
#include "common/metrics.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LABELS(name, count, ...)                                               \
	static const char *const labels_##name[count] = { __VA_ARGS__ };
#define BOUNDS(name, count, per_unit, ...)                                     \
	static const int64_t bounds_##name[] = { __VA_ARGS__ };                \
	enum {                                                                 \
		per_unit_##name = per_unit                                     \
	};                                                                     \
	_Static_assert((count) <= METRICS_BOUNDS_MAX, #name);
#include "common/metrics.def"

const struct metrics_desc metrics_descs[METRIC_COUNT] = {
#define METRIC(id, title, kind, measure, groups, set, limits, text)            \
	[METRIC_##id] = { .name = title,                                       \
		.unit = measure,                                               \
		.help = text,                                                  \
		.labels = labels_##set,                                        \
		.bounds = bounds_##limits,                                     \
		.type = METRICS_##kind,                                        \
		.ngroups = METRICS_##groups,                                   \
		.nlabels = METRICS_LABELS_##set,                               \
		.nbounds = METRICS_BOUNDS_##limits,                            \
		.nvalues = METRICS_VALUES(limits),                             \
		.per_unit = per_unit_##limits,                                 \
		.at = METRICS_AT_##id },
#include "common/metrics.def"
};

struct metrics_table *
metrics_map(int fd, bool writable)
{
	struct stat st;
	void *at;

	if (fstat(fd, &st) == -1)
		return NULL;
	if (st.st_size != (off_t)sizeof(struct metrics_table)) {
		errno = EINVAL;
		return NULL;
	}
	at = mmap(NULL, sizeof(struct metrics_table),
	    writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return NULL;
	return at;
}

struct metrics_table *
metrics_private(void)
{
	return calloc(1, sizeof(struct metrics_table));
}

static uint64_t *
metrics_at(struct metrics_table *table, enum metrics_id id, unsigned group,
    unsigned label)
{
	const struct metrics_desc *d = &metrics_descs[id];

	if (group >= d->ngroups)
		group = 0;
	if (label >= d->nlabels)
		label = 0;
	return &table->values[d->at +
	    ((size_t)group * d->nlabels + label) * d->nvalues];
}

/* Two processes of a role may count at a time, as one takes over. */
void
metrics_add(struct metrics_table *table, enum metrics_id id, unsigned group,
    unsigned label, uint64_t n)
{
	(void)__atomic_fetch_add(metrics_at(table, id, group, label), n,
	    __ATOMIC_RELAXED);
}

void
metrics_set(struct metrics_table *table, enum metrics_id id, unsigned label,
    uint64_t value)
{
	__atomic_store_n(metrics_at(table, id, 0, label), value,
	    __ATOMIC_RELAXED);
}

unsigned
metrics_bucket(const struct metrics_desc *desc, int64_t value)
{
	unsigned i;

	for (i = 0; i < desc->nbounds && value > desc->bounds[i]; i++)
		continue;
	return i;
}

void
metrics_observe(struct metrics_table *table, enum metrics_id id, unsigned group,
    unsigned label, int64_t value)
{
	const struct metrics_desc *d = &metrics_descs[id];
	uint64_t *at = metrics_at(table, id, group, label);

	if (value < 0)
		value = 0; /* the clock was set */
	(void)__atomic_fetch_add(&at[metrics_bucket(d, value)], 1,
	    __ATOMIC_RELAXED);
	(void)__atomic_fetch_add(&at[d->nbounds + 1], (uint64_t)value,
	    __ATOMIC_RELAXED);
}

void
metrics_set_buckets(struct metrics_table *table, enum metrics_id id,
    const uint64_t *buckets, uint64_t sum)
{
	const struct metrics_desc *d = &metrics_descs[id];
	uint64_t *at = metrics_at(table, id, 0, 0);
	unsigned i;

	for (i = 0; i <= d->nbounds; i++)
		__atomic_store_n(&at[i], buckets[i], __ATOMIC_RELAXED);
	__atomic_store_n(&at[i], sum, __ATOMIC_RELAXED);
}

unsigned
metrics_group(struct metrics_table *table, const char *transport,
    const char *group)
{
	struct metrics_group *g;
	unsigned i;

	for (i = 1; i < METRICS_GROUPS; i++) {
		g = &table->groups[i];
		if (g->transport[0] == '\0') {
			(void)strlcpy(g->group, group, sizeof(g->group));
			(void)strlcpy(g->transport, transport,
			    sizeof(g->transport));
			return i;
		}
		if (strncmp(g->transport, transport,
			sizeof(g->transport) - 1) == 0 &&
		    strncmp(g->group, group, sizeof(g->group) - 1) == 0)
			return i;
	}
	return 0;
}

unsigned
metrics_label_code(unsigned code)
{
	enum {
		OF_CLASS = 4
	}; /* those before are no codes */
	const char digits[3] = { (char)('0' + code / 100 % 10),
		(char)('0' + code / 10 % 10), (char)('0' + code % 10) };
	unsigned i;

	if (code < 200 || code > 599)
		return 0;
	for (i = OF_CLASS; i < METRICS_LABELS_CODE; i++)
		if (memcmp(labels_CODE[i] + strlen("code=\""), digits,
			sizeof(digits)) == 0)
			return i;
	return code < 400 ? 1 : code < 500 ? 2 : 3;
}

/* RFC 3463, 2: class "." subject "." detail. */
unsigned
metrics_label_dsn(const char *dsn)
{
	unsigned class = 0, subject = 0;

	if (dsn[0] == '4')
		class = 1;
	else if (dsn[0] == '5')
		class = 2;
	if (dsn[0] != '\0' && dsn[1] == '.' && dsn[2] >= '0' && dsn[2] <= '7' &&
	    dsn[3] == '.')
		subject = (unsigned)(dsn[2] - '0');
	return class * 8 + subject;
}
