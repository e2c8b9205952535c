/* SPDX-License-Identifier: ISC */
/* Outcome reports on disk, and how old messages are. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "common/util.h"
#include "master/queue/store.h"

static struct store *store;

static void
open_store(void)
{
	struct store_options options = { .spool = ":memory:",
		.inline_body_limit = 65536 };
	char error[256];

	cr_assert_eq(store_open(&options, &store, error, sizeof(error)), 0,
	    "%s", error);
}

static void
add(const char *text)
{
	cr_assert_eq(store_begin(store), 0);
	cr_assert_eq(store_add_report(store, 1000, text), 0);
	cr_assert_eq(store_commit(store), 0);
}

static uint32_t
forget(uint64_t until, uint32_t limit)
{
	uint32_t count = 0;

	cr_assert_eq(store_begin(store), 0);
	cr_assert_eq(store_forget_reports(store, until, limit, &count), 0);
	cr_assert_eq(store_commit(store), 0);
	return count;
}

TestSuite(store_report, .init = open_store);

Test(store_report, reports_come_back_in_order_until_they_are_forgotten)
{
	char text[64];
	int64_t created_ms;
	uint64_t id = 0, count;

	add("{\"a\":1}");
	add("{\"a\":2}");
	add("{\"a\":3}");
	cr_expect_eq(
	    store_next_report(store, 0, &id, &created_ms, text, sizeof(text)),
	    1);
	cr_expect_str_eq(text, "{\"a\":1}");
	cr_expect_eq(created_ms, 1000);
	cr_expect_eq(forget(id, 10), 1);
	cr_expect_eq(
	    store_next_report(store, 0, &id, &created_ms, text, sizeof(text)),
	    1);
	cr_expect_str_eq(text, "{\"a\":2}");
	cr_expect_eq(store_count_reports(store, &count), 0);
	cr_expect_eq(count, 2);
	cr_expect_eq(forget(id + 1, 1), 1); /* some at a time */
	cr_expect_eq(forget(id + 1, 1), 1);
	cr_expect_eq(store_next_report(store, 0, &id, &created_ms, NULL, 0), 0);
	store_close(store);
}

Test(store_report, a_number_is_never_used_again)
{
	int64_t created_ms;
	uint64_t first, second;

	add("{}");
	cr_assert_eq(store_next_report(store, 0, &first, &created_ms, NULL, 0),
	    1);
	cr_expect_eq(forget(first, 1), 1);
	add("{}");
	cr_assert_eq(store_next_report(store, 0, &second, &created_ms, NULL, 0),
	    1);
	cr_expect_gt(second, first);
	store_close(store);
}

struct ages {
	unsigned waiting;
	unsigned all;
};

static int
count_age(int64_t created_ms, bool waits, void *arg)
{
	struct ages *ages = arg;

	cr_expect_eq(created_ms, 5000);
	ages->all++;
	ages->waiting += waits;
	return 0;
}

Test(store_report, a_walk_sees_each_message_once_in_pieces)
{
	static const char *const to[] = { "ana@example.org" };
	struct store_envelope envelope = { .created_ms = 5000,
		.nrcpts = 1,
		.reverse_path = "" };
	struct store_outcome failed = { .state = STORE_FAILED, .dsn = "5.0.0" };
	struct ages ages = { 0, 0 };
	uint64_t id = 0, after = 0;
	bool removed;
	int fd = fd_sealed("body", "x\r\n", 3), i;

	for (i = 0; i < 5; i++) {
		cr_assert_eq(store_begin(store), 0);
		cr_assert_eq(
		    store_add_message(store, &envelope, to, NULL, fd, &id), 0);
		cr_assert_eq(store_commit(store), 0);
	}
	failed.message = id;
	cr_assert_eq(store_begin(store), 0);
	cr_assert_eq(store_set_outcome(store, &failed, &removed), 0);
	cr_assert_eq(store_commit(store), 0);
	for (i = 0; i == 0 || after != 0; i++)
		cr_assert_eq(
		    store_walk_ages(store, &after, 2, count_age, &ages), 0);
	cr_expect_eq(i, 3);
	cr_expect_eq(ages.all, 5);
	cr_expect_eq(ages.waiting, 4);
	cr_expect_eq(store_count_messages(store), 5);
	fd_close(fd);
	store_close(store);
}
