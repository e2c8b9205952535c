/* SPDX-License-Identifier: ISC */
/* What the next queue knows of the jobs of one that died. */
#include "master/queue/receipts.h"

#include <sys/mman.h>

#include <unistd.h>

#include <criterion/criterion.h>

#include "common/util.h"
#include "master/queue/store.h"

static int memory = -1;
static struct receipts *rs;
static struct store *store;

/* The queue dies, and another one maps what it left. */
static void
start_again(void)
{
	rs = receipts_map(memory);
	cr_assert_not_null(rs);
}

static void
set_up(void)
{
	struct store_options options = { .spool = ":memory:" };
	char error[512];

	memory = memfd_create("receipts", MFD_CLOEXEC);
	cr_assert_neq(memory, -1);
	cr_assert_eq(store_open(&options, &store, error, sizeof(error)), 0);
	start_again();
	receipts_of_intake(rs, 42);
}

static void
tear_down(void)
{
	store_close(store);
	fd_close(memory);
}

TestSuite(receipts, .init = set_up, .fini = tear_down);

static uint64_t
commit(int64_t created_ms)
{
	const char *address = "a@example.org";
	struct store_envelope envelope = { .created_ms = created_ms,
		.size = 2,
		.nrcpts = 1,
		.reverse_path = "",
		.ref = "",
		.via = "" };
	int fd = fd_sealed("body", "ab", 2);
	uint64_t id = 0;

	cr_assert_eq(store_begin(store), 0);
	cr_assert_eq(
	    store_add_message(store, &envelope, &address, NULL, fd, &id), 0);
	cr_assert_eq(store_commit(store), 0);
	fd_close(fd);
	return id;
}

static bool
is_found(uint64_t request, uint64_t want)
{
	uint64_t id;

	return receipts_find(rs, request, &id) && id == want;
}

Test(receipts, what_was_marked_is_found_though_the_message_is_gone)
{
	receipts_note(rs, 7, 1000, 1);
	cr_expect_not(is_found(7, 1000), "its commit may fail");
	receipts_mark(rs, 7);
	start_again();
	receipts_settle(rs, store);
	cr_expect(is_found(7, 1000));
	cr_expect_not(is_found(8, 1000));
}

Test(receipts, what_was_noted_is_found_if_the_store_has_it)
{
	uint64_t id = commit(5);

	receipts_note(rs, 1, id, 5);
	receipts_note(rs, 2, id, 6); /* that id was given again */
	receipts_note(rs, 3, id + 1, 5);
	start_again();
	receipts_settle(rs, store);
	cr_expect(is_found(1, id));
	cr_expect_not(is_found(2, id));
	cr_expect_not(is_found(3, id + 1));
}

Test(receipts, nothing_outlives_a_store_in_memory)
{
	receipts_note(rs, 1, 1000, 5);
	receipts_mark(rs, 1);
	start_again();
	receipts_settle(rs, NULL);
	cr_expect_not(is_found(1, 1000));
}

Test(receipts, another_intake_counts_its_requests_anew)
{
	receipts_note(rs, 1, 1000, 5);
	receipts_mark(rs, 1);
	start_again();
	receipts_of_intake(rs, 42);
	cr_expect(is_found(1, 1000));
	receipts_of_intake(rs, 43);
	cr_expect_not(is_found(1, 1000));
}

Test(receipts, a_job_takes_the_place_of_a_far_older_one)
{
	receipts_note(rs, 1, 1000, 5);
	receipts_mark(rs, 1);
	receipts_note(rs, 1 + RECEIPTS_MAX, 1001, 6);
	receipts_mark(rs, 1); /* too late: it is not that one's any more */
	cr_expect_not(is_found(1, 1000));
	cr_expect_not(is_found(1 + RECEIPTS_MAX, 1001));
	receipts_mark(rs, 1 + RECEIPTS_MAX);
	cr_expect(is_found(1 + RECEIPTS_MAX, 1001));
}

Test(receipts, without_memory_nothing_is_known)
{
	uint64_t id;

	receipts_of_intake(NULL, 1);
	receipts_note(NULL, 1, 2, 3);
	receipts_mark(NULL, 1);
	receipts_settle(NULL, store);
	cr_expect_not(receipts_find(NULL, 1, &id));
}
