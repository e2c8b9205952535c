/* SPDX-License-Identifier: ISC */
#include "master/queue/census.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "common/util.h"

#define MINUTE INT64_C(60000)
#define NOW    (INT64_C(100000) * MINUTE)

static void
add(struct census *census, const char *name, enum store_state state,
    int64_t age_ms, const char *reply, int64_t finished_ms)
{
	struct store_recipient recipient = { .state = state,
		.finished_ms = finished_ms };

	census_add(census, 1, 0, name, NOW - age_ms, &recipient, reply);
}

Test(census, a_name_has_states_ages_and_its_last_reply)
{
	struct census *census = census_new(NOW);
	const struct census_row *row;

	add(census, "a.example", STORE_QUEUED, 0, "", 0);
	add(census, "a.example", STORE_DEFERRED, 7 * MINUTE, "450 old", 20);
	add(census, "a.example", STORE_DEFERRED, 2000 * MINUTE, "450 new", 30);
	add(census, "a.example", STORE_DEFERRED, MINUTE, "450 older", 10);
	add(census, "a.example", STORE_HELD, -MINUTE, "", 0);
	add(census, "b.example", STORE_ACTIVE, 0, NULL, 0);
	row = census_find(census, 1, 0, "a.example");
	cr_assert_not_null(row);
	cr_expect_eq(row->total, 5);
	cr_expect_eq(census_waiting(row), 4);
	cr_expect_eq(row->ages[0], 3, "%u", row->ages[0]);
	cr_expect_eq(row->ages[1], 1);
	cr_expect_eq(row->ages[CENSUS_AGES - 1], 1);
	cr_expect_eq(row->oldest_ms, NOW - 2000 * MINUTE);
	cr_expect_str_eq(row->reply->text, "450 new");
	cr_expect_eq(census_waiting(census_find(census, 1, 0, "b.example")), 0);
	cr_expect_null(census_find(census, 1, 1, "a.example"));
	cr_expect_null(census_find(census, 2, 0, "a.example"));
	cr_expect_eq(census_waiting(NULL), 0);
	cr_expect_eq(census_count(census), 2);
	census_free(census);
}

Test(census, the_largest_come_in_order)
{
	const struct census_row *rows[10];
	struct census *census = census_new(NOW);
	char name[32];
	uint32_t i, k, n;

	for (i = 0; i < 200; i++)
		for (k = 0; k < 1 + i * 7 % 31; k++) {
			(void)snprintf(name, sizeof(name), "d%03u", i);
			add(census, name, STORE_QUEUED, 0, NULL, 0);
		}
	cr_expect_eq(census_largest(census, rows, 0), 0);
	n = census_largest(census, rows, NELEM(rows));
	cr_assert_eq(n, NELEM(rows));
	cr_expect_eq(rows[0]->total, 31);
	for (i = 1; i < n; i++)
		cr_expect(rows[i - 1]->total > rows[i]->total ||
		    (rows[i - 1]->total == rows[i]->total &&
			strcmp(rows[i - 1]->name, rows[i]->name) < 0));
	census_free(census);
}

Test(census, too_many_names_are_counted_without_one)
{
	const struct census_row *row;
	struct census *census = census_new(NOW);
	uint64_t total = 0;
	char name[32];
	uint32_t i, at = 0;

	for (i = 0; i < CENSUS_ROWS_MAX + 5; i++) {
		(void)snprintf(name, sizeof(name), "d%u", i);
		add(census, name, STORE_QUEUED, 0, "450 no", 1);
	}
	add(census, "d0", STORE_QUEUED, 0, NULL, 0);
	while ((row = census_next(census, &at)) != NULL)
		total += row->total;
	cr_expect_eq(census_count(census), CENSUS_ROWS_MAX);
	cr_expect_eq(total, CENSUS_ROWS_MAX + 1);
	cr_expect_eq(census_others(census)->total, 5);
	cr_expect_eq(census_find(census, 1, 0, "d0")->total, 2);
	census_free(census);
}

static const struct {
	const char *dsn;
	const char *reply;
	const char *want;
} reasons[] = {
	{ "", "", "not tried yet" },
	{ "4.4.1", "cannot connect: Connection refused",
	    "4.4.1 cannot connect: Connection refused" },
	{ "4.7.1", "450 4.7.1 <ana@a.example>: greylisted, come back",
	    "450 4.7.1 <address> greylisted, come back" },
	{ "4.3.0", "451 4.3.0 try later (4F1A09BC12)",
	    "451 4.3.0 try later <id>" },
	{ "4.0.0", "421 20261130201", "4.0.0 421 <id>" },
	{ "4.4.1", "no answer from mx1.example[192.0.2.101]:25",
	    "4.4.1 no answer from mx1.example[192.0.2.101]:25" },
};

Test(census, a_reason_is_what_many_share)
{
	char name[CENSUS_NAME_SIZE], text[3 * CENSUS_NAME_SIZE];
	size_t i;

	for (i = 0; i < NELEM(reasons); i++) {
		census_reason(reasons[i].dsn, reasons[i].reply, name);
		cr_expect_str_eq(name, reasons[i].want, "%s", name);
	}
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	census_reason("4.0.0", text, name);
	cr_expect_eq(strlen(name), CENSUS_NAME_SIZE - 1);
	for (i = 1; i < sizeof(text) - 1; i += 2)
		text[i] = ' ';
	census_reason("4.0.0", text, name);
	cr_expect_eq(strlen(name), CENSUS_NAME_SIZE - 1);
}
