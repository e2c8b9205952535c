/* SPDX-License-Identifier: ISC */
/* The manual has every metric and every member of a record. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <jansson.h>

#include "common/metrics.h"
#include "master/queue/event.h"

static char page[256 * 1024];

static void
read_page(void)
{
	FILE *f = fopen("master/metrics/postern-metrics.5", "re");

	cr_assert_not_null(f, "run from the top folder");
	page[fread(page, 1, sizeof(page) - 1, f)] = '\0';
	(void)fclose(f);
}

static void
expect_item(const char *name)
{
	char line[128];

	(void)snprintf(line, sizeof(line), "\n.It Ic %s\n", name);
	cr_expect_not_null(strstr(page, line), "no paragraph on %s", name);
}

TestSuite(metrics_page, .init = read_page);

Test(metrics_page, every_metric_has_a_paragraph_with_its_labels)
{
	const struct metrics_desc *d;
	char name[64];
	size_t i;

	for (i = 0; i < METRIC_COUNT; i++) {
		d = &metrics_descs[i];
		expect_item(d->name);
		(void)strlcpy(name, d->labels[0], sizeof(name));
		name[strcspn(name, "=")] = '\0';
		cr_expect_not_null(strstr(page, name), "%s: %s", d->name, name);
	}
}

Test(metrics_page, every_member_of_a_record_has_a_paragraph)
{
	struct event event = { .reverse_path = "a",
		.change = "held",
		.recipient = "b",
		.relay = "c",
		.reply = "d",
		.ref = "e",
		.reader = "sender",
		.notice = "delay notification" };
	char text[4096], quoted[64];
	const char *name;
	json_t *object, *value;
	int kind;

	for (kind = 0; kind < EVENT_KINDS; kind++) {
		event.kind = (enum event_kind)kind;
		event_json(&event, text, sizeof(text));
		object = json_loads(text, 0, NULL);
		cr_assert_not_null(object, "%s", text);
		json_object_foreach(object, name, value)
		{
			expect_item(name);
			if (strcmp(name, "event") != 0)
				continue;
			(void)snprintf(quoted, sizeof(quoted), "%s",
			    json_string_value(value));
			cr_expect_not_null(strstr(page, quoted), "%s", quoted);
		}
		json_decref(object);
	}
}
