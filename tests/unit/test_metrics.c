/* SPDX-License-Identifier: ISC */
/* Counts, and the text that is made of them. */
#include "common/metrics.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "common/util.h"
#include "master/metrics/render.h"

static struct metrics_table queue, master;
static char text[RENDER_SIZE];

static const char *
rendered(enum render_format format)
{
	const struct metrics_table *const tables[METRICS_WRITERS] = {
		[METRICS_OF_QUEUE] = &queue,
		[METRICS_OF_MASTER] = &master
	};

	cr_assert_gt(render(tables, format, 1000, text, sizeof(text)), 0);
	return text;
}

static void
expect_line(const char *line)
{
	char with_ends[512];

	(void)snprintf(with_ends, sizeof(with_ends), "\n%s\n", line);
	cr_expect_not_null(strstr(text, with_ends), "no line %s", line);
}

Test(metrics, codes_and_enhanced_codes_have_their_labels)
{
	static const struct {
		unsigned code;
		const char *label;
	} codes[] = {
		{ 0, "code=\"none\"" },
		{ 199, "code=\"none\"" },
		{ 600, "code=\"none\"" },
		{ 65535, "code=\"none\"" },
		{ 250, "code=\"250\"" },
		{ 253, "code=\"2xx\"" },
		{ 354, "code=\"2xx\"" },
		{ 421, "code=\"421\"" },
		{ 499, "code=\"4xx\"" },
		{ 554, "code=\"554\"" },
		{ 599, "code=\"5xx\"" },
	};
	static const struct {
		const char *dsn;
		const char *label;
	} dsns[] = {
		{ "2.0.0", "class=\"2\",subject=\"0\"" },
		{ "4.4.1", "class=\"4\",subject=\"4\"" },
		{ "5.7.123", "class=\"5\",subject=\"7\"" },
		{ "5.8.1", "class=\"5\",subject=\"0\"" },
		{ "5.10.1", "class=\"5\",subject=\"0\"" },
		{ "", "class=\"2\",subject=\"0\"" },
		{ "5", "class=\"5\",subject=\"0\"" },
	};
	size_t i;

	for (i = 0; i < NELEM(codes); i++)
		cr_expect_str_eq(metrics_descs[METRIC_REPLIES]
				     .labels[metrics_label_code(codes[i].code)],
		    codes[i].label, "%u", codes[i].code);
	for (i = 0; i < NELEM(dsns); i++)
		cr_expect_str_eq(metrics_descs[METRIC_DSN]
				     .labels[metrics_label_dsn(dsns[i].dsn)],
		    dsns[i].label, "%s", dsns[i].dsn);
}

Test(metrics, rows_lie_side_by_side_and_none_touches_another)
{
	const struct metrics_desc *d;
	size_t at = 0, i;

	for (i = 0; i < METRIC_COUNT; i++) {
		d = &metrics_descs[i];
		cr_expect_eq(d->at, at, "%s", d->name);
		at += (size_t)d->ngroups * d->nlabels * d->nvalues;
		cr_expect_eq(strncmp(d->name, "postern_", 8), 0);
		cr_expect(d->unit[0] == '\0' ||
			strcmp(d->name + strlen(d->name) - strlen(d->unit),
			    d->unit) == 0,
		    "%s does not end in its unit", d->name);
	}
	cr_expect_eq(at, METRICS_SIZE);
}

Test(metrics, what_a_label_that_is_none_would_count_counts_for_the_first)
{
	metrics_add(&queue, METRIC_OUTCOMES, 1u << 30, 1u << 30, 1);
	rendered(RENDER_OPENMETRICS);
	expect_line("postern_outcomes_total{transport=\"other\",group="
		    "\"other\",status=\"delivered\"} 1");
}

Test(metrics, values_come_out_as_they_went_in)
{
	unsigned group = metrics_group(&queue, "mx", "big \"one\"");

	cr_assert_eq(group, 1);
	cr_expect_eq(metrics_group(&queue, "mx", "big \"one\""), 1);
	metrics_add(&queue, METRIC_OUTCOMES, group, 2, 7);
	metrics_set(&queue, METRIC_RECIPIENTS, 3, 12);
	metrics_set(&queue, METRIC_OLDEST, 0, 940);
	metrics_observe(&queue, METRIC_DELAY, group, 0, 10);
	metrics_observe(&queue, METRIC_DELAY, group, 0, 11);
	metrics_observe(&queue, METRIC_DELAY, group, 0, 1234567890123);
	metrics_observe(&queue, METRIC_DELAY, group, 0, -5);
	metrics_add(&master, METRIC_ROLE_DEATHS, 0, 1, 2);
	metrics_add(&queue, METRIC_ROLE_DEATHS, 0, 1, 1);
	rendered(RENDER_OPENMETRICS);
	expect_line("# TYPE postern_outcomes counter");
	expect_line("postern_outcomes_total{transport=\"mx\",group="
		    "\"big \\\"one\\\"\",status=\"failed\"} 7");
	expect_line("postern_queue_recipients{state=\"deferred\"} 12");
	expect_line("postern_queue_oldest_age_seconds 60");
	expect_line("# UNIT postern_delivery_delay_seconds seconds");
	expect_line("postern_delivery_delay_seconds_bucket{transport=\"mx\","
		    "group=\"big \\\"one\\\"\",le=\"0.01\"} 2");
	expect_line("postern_delivery_delay_seconds_bucket{transport=\"mx\","
		    "group=\"big \\\"one\\\"\",le=\"1.0\"} 3");
	expect_line("postern_delivery_delay_seconds_bucket{transport=\"mx\","
		    "group=\"big \\\"one\\\"\",le=\"+Inf\"} 4");
	expect_line("postern_delivery_delay_seconds_sum{transport=\"mx\","
		    "group=\"big \\\"one\\\"\"} 1234567890.144");
	expect_line("postern_role_deaths_total{role=\"queue\"} 3");
	cr_expect_str_eq(text + strlen(text) - 6, "# EOF\n");
}

Test(metrics, the_older_format_has_its_own_names)
{
	static const uint64_t buckets[METRICS_BOUNDS_AGE + 1] = { 1, 2 };

	metrics_set_buckets(&queue, METRIC_AGE, buckets, 300);
	rendered(RENDER_PROMETHEUS);
	expect_line("# TYPE postern_outcomes_total counter");
	expect_line("# TYPE postern_queue_age_seconds histogram");
	expect_line("postern_queue_age_seconds_sum 300");
	expect_line("postern_queue_age_seconds_bucket{le=\"300.0\"} 3");
	cr_expect_null(strstr(text, "# UNIT"));
	cr_expect_null(strstr(text, "# EOF"));
	rendered(RENDER_OPENMETRICS);
	expect_line("# TYPE postern_queue_age_seconds gaugehistogram");
	expect_line("postern_queue_age_seconds_gsum 300");
	expect_line("postern_queue_age_seconds_gcount 3");
}

Test(metrics, groups_beyond_the_bound_share_one)
{
	char name[16];
	unsigned i;

	for (i = 1; i < METRICS_GROUPS; i++) {
		(void)snprintf(name, sizeof(name), "t%u", i);
		cr_expect_eq(metrics_group(&queue, name, ""), i);
	}
	cr_expect_eq(metrics_group(&queue, "one more", ""), 0);
	cr_expect_eq(metrics_group(&queue, "t63", ""), 63);
}

Test(metrics, a_hostile_table_is_text_all_the_same)
{
	size_t i;

	memset(&queue, 0xff, sizeof(queue));
	rendered(RENDER_OPENMETRICS);
	for (i = 0; text[i] != '\0'; i++)
		cr_assert(text[i] == '\n' || (text[i] >= ' ' && text[i] < 127));
	memset(queue.groups, '"', sizeof(queue.groups));
	rendered(RENDER_PROMETHEUS); /* the longest there is: it fits */
	cr_expect_lt(strlen(text), sizeof(text) / 2);
}

Test(metrics, what_does_not_fit_is_none)
{
	const struct metrics_table *const none[METRICS_WRITERS] = { NULL };

	cr_expect_eq(render(none, RENDER_OPENMETRICS, 0, text, 100), 0);
	cr_expect_gt(render(none, RENDER_OPENMETRICS, 0, text, sizeof(text)),
	    0);
}

Test(metrics, a_table_to_be_read_cannot_be_written)
{
	char path[64];
	int fd = memfd_create("t", MFD_CLOEXEC), read_fd;
	const struct metrics_table *seen;
	struct metrics_table *own;

	cr_expect_null(metrics_map(fd, true)); /* of no size */
	cr_assert_eq(ftruncate(fd, sizeof(struct metrics_table)), 0);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	read_fd = open(path, O_RDONLY | O_CLOEXEC);
	own = metrics_map(fd, true);
	seen = metrics_map(read_fd, false);
	cr_assert(own != NULL && seen != NULL);
	cr_expect_null(metrics_map(read_fd, true));
	metrics_add(own, METRIC_DOUBTS, 0, 0, 3);
	cr_expect_eq(seen->values[METRICS_AT_DOUBTS], 3);
	fd_close(fd);
	fd_close(read_fd);
}

Test(metrics, the_format_is_what_was_asked_for_by_name)
{
	cr_expect_eq(render_negotiate(NULL), RENDER_PROMETHEUS);
	cr_expect_eq(render_negotiate("text/plain"), RENDER_PROMETHEUS);
	cr_expect_eq(render_negotiate("application/openmetrics-text;"
				      "version=1.0.0,text/plain;q=0.5"),
	    RENDER_OPENMETRICS);
}
