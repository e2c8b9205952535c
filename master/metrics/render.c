/* SPDX-License-Identifier: ISC */
/* See render.h. */
#include "master/metrics/render.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/util.h"
#include "common/version.h"

enum {
	NAME_SIZE = 2 * METRICS_NAME_SIZE, /* escaped */
	LABELS_SIZE = 2 * NAME_SIZE + 128,
	NUMBER_SIZE = 32,
};

struct text {
	const struct metrics_table *const *tables;
	enum render_format format;
	int64_t now_s;
	char *out;
	size_t size;
	size_t len;
	bool cut;
};

static void add(struct text *t, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
add(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->out + t->len, t->size - t->len, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= t->size - t->len)
		t->cut = true;
	else
		t->len += (size_t)n;
	t->out[t->len] = '\0';
}

/* One value: what each process counted, added up. */
static uint64_t
value_at(const struct text *t, size_t at)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < METRICS_WRITERS; i++)
		if (t->tables[i] != NULL)
			sum += __atomic_load_n(&t->tables[i]->values[at],
			    __ATOMIC_RELAXED);
	return sum;
}

/* A label's value: printable ASCII, escaped; its writer may alter it meanwhile. */
static void
escape(const char from[static METRICS_NAME_SIZE], char out[static NAME_SIZE])
{
	char in[METRICS_NAME_SIZE];
	size_t i, n = 0;

	memcpy(in, from, sizeof(in));
	for (i = 0; i < sizeof(in) - 1 && in[i] != '\0'; i++) {
		if (in[i] == '"' || in[i] == '\\')
			out[n++] = '\\';
		out[n++] = (char)(in[i] < ' ' || in[i] > '~' ? '?' : in[i]);
	}
	out[n] = '\0';
}

/* Labels of a row without braces; false: there is no such group. */
static bool
labels_of(const struct text *t, const struct metrics_desc *d, unsigned group,
    unsigned label, char out[static LABELS_SIZE])
{
	const struct metrics_table *table = t->tables[METRICS_OF_QUEUE];
	char transport[NAME_SIZE] = "other", name[NAME_SIZE] = "other";

	if (d->ngroups == METRICS_PLAIN) {
		(void)strlcpy(out, d->labels[label], LABELS_SIZE);
		return true;
	}
	if (group > 0) {
		if (table == NULL || group >= NELEM(table->groups))
			return false;
		escape(table->groups[group].transport, transport);
		escape(table->groups[group].group, name);
	}
	if (transport[0] == '\0')
		return false;
	(void)snprintf(out, LABELS_SIZE, "transport=\"%s\",group=\"%s\"%s%s",
	    transport, name, d->labels[label][0] != '\0' ? "," : "",
	    d->labels[label]);
	return true;
}

/* A number of so many to a unit: a power of ten. */
static const char *
decimal(uint64_t n, int64_t per_unit, char out[static NUMBER_SIZE])
{
	uint64_t unit = (uint64_t)per_unit;
	int digits = 0;

	for (; unit > 1; unit /= 10)
		digits++;
	if (digits == 0)
		(void)snprintf(out, NUMBER_SIZE, "%" PRIu64, n);
	else
		(void)snprintf(out, NUMBER_SIZE, "%" PRIu64 ".%0*" PRIu64,
		    n / (uint64_t)per_unit, digits, n % (uint64_t)per_unit);
	return out;
}

/* A bound as OpenMetrics wants it: "0.25", "1.0", "+Inf". */
static const char *
bound(const struct metrics_desc *d, unsigned i, char out[static NUMBER_SIZE])
{
	size_t n;

	if (i == d->nbounds)
		return "+Inf";
	(void)decimal((uint64_t)d->bounds[i], d->per_unit, out);
	if (strchr(out, '.') == NULL)
		(void)strlcat(out, ".0", NUMBER_SIZE);
	for (n = strlen(out); out[n - 1] == '0' && out[n - 2] != '.'; n--)
		out[n - 1] = '\0';
	return out;
}

static void
sample(struct text *t, const struct metrics_desc *d, const char *suffix,
    const char *labels, const char *value)
{
	if (labels[0] == '\0')
		add(t, "%s%s %s\n", d->name, suffix, value);
	else
		add(t, "%s%s{%s} %s\n", d->name, suffix, labels, value);
}

static void
buckets(struct text *t, const struct metrics_desc *d, size_t at,
    const char *labels)
{
	bool gauge = d->type == METRICS_GAUGEHISTOGRAM &&
	    t->format == RENDER_OPENMETRICS;
	char with_le[LABELS_SIZE + NUMBER_SIZE], number[NUMBER_SIZE];
	uint64_t count = 0;
	unsigned i;

	for (i = 0; i <= d->nbounds; i++) {
		count += value_at(t, at + i);
		(void)snprintf(with_le, sizeof(with_le), "%s%sle=\"%s\"",
		    labels, labels[0] != '\0' ? "," : "", bound(d, i, number));
		sample(t, d, "_bucket", with_le, decimal(count, 1, number));
	}
	sample(t, d, gauge ? "_gsum" : "_sum", labels,
	    decimal(value_at(t, at + i), d->per_unit, number));
	sample(t, d, gauge ? "_gcount" : "_count", labels,
	    decimal(count, 1, number));
}

/* A time, as what has passed since; 0 stays so. */
static uint64_t
age(const struct text *t, uint64_t since_s)
{
	uint64_t now_s = (uint64_t)t->now_s;

	return since_s == 0 || since_s > now_s ? 0 : now_s - since_s;
}

static void
values(struct text *t, const struct metrics_desc *d, size_t at,
    const char *labels)
{
	char number[NUMBER_SIZE];

	switch (d->type) {
	case METRICS_COUNTER:
		sample(t, d, "_total", labels,
		    decimal(value_at(t, at), 1, number));
		break;
	case METRICS_GAUGE:
		sample(t, d, "", labels, decimal(value_at(t, at), 1, number));
		break;
	case METRICS_AGE:
		sample(t, d, "", labels,
		    decimal(age(t, value_at(t, at)), 1, number));
		break;
	case METRICS_HISTOGRAM:
	case METRICS_GAUGEHISTOGRAM:
		buckets(t, d, at, labels);
		break;
	}
}

static void
head(struct text *t, const struct metrics_desc *d)
{
	static const char *const types[] = { "counter", "gauge", "gauge",
		"histogram", "gaugehistogram" };
	bool old = t->format == RENDER_PROMETHEUS;
	const char *type = types[d->type], *suffix = "";

	if (old && d->type == METRICS_GAUGEHISTOGRAM)
		type = "histogram"; /* it knows no better */
	if (old && d->type == METRICS_COUNTER)
		suffix = "_total";
	add(t, "# TYPE %s%s %s\n", d->name, suffix, type);
	if (!old && d->unit[0] != '\0')
		add(t, "# UNIT %s %s\n", d->name, d->unit);
	add(t, "# HELP %s%s %s\n", d->name, suffix, d->help);
}

static void
family(struct text *t, const struct metrics_desc *d)
{
	char labels[LABELS_SIZE];
	unsigned group, label;

	head(t, d);
	for (group = 0; group < d->ngroups; group++)
		for (label = 0; label < d->nlabels; label++)
			if (labels_of(t, d, group, label, labels))
				values(t, d,
				    d->at +
					((size_t)group * d->nlabels + label) *
					    d->nvalues,
				    labels);
}

size_t
render(const struct metrics_table *const tables[METRICS_WRITERS],
    enum render_format format, int64_t now_s, char *out, size_t size)
{
	struct text t = { .tables = tables,
		.format = format,
		.now_s = now_s,
		.out = out,
		.size = size };
	int i;

	if (format == RENDER_OPENMETRICS)
		add(&t, "# TYPE postern_build info\n");
	else
		add(&t, "# TYPE postern_build_info gauge\n");
	add(&t, "postern_build_info{version=\"%s\"} 1\n", POSTERN_VERSION);
	for (i = 0; i < METRIC_COUNT; i++)
		family(&t, &metrics_descs[i]);
	if (format == RENDER_OPENMETRICS)
		add(&t, "# EOF\n");
	return t.cut ? 0 : t.len;
}

/* What asks for it by name gets it; weights are not looked at. */
enum render_format
render_negotiate(const char *accept)
{
	return accept != NULL &&
		strstr(accept, "application/openmetrics-text") != NULL
	    ? RENDER_OPENMETRICS
	    : RENDER_PROMETHEUS;
}

const char *
render_content_type(enum render_format format)
{
	return format == RENDER_OPENMETRICS
	    ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
	    : "text/plain; version=0.0.4; charset=utf-8";
}
