/* SPDX-License-Identifier: ISC */
/*
 * The store on a real directory: groups, crashes, bodies, and bad files.
 */
#include "master/queue/store.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <sqlite3.h>

static char spool[64];
static struct store *store;

static void
open_store(void)
{
	struct store_options options = { .spool = spool,
		.inline_body_limit = 1000 };
	char error[512];

	cr_assert_eq(store_open(&options, &store, error, sizeof(error)), 0,
	    "%s", error);
}

static void
set_up(void)
{
	(void)strlcpy(spool, "/tmp/test_store.XXXXXX", sizeof(spool));
	cr_assert_neq(mkdtemp(spool), NULL);
	open_store();
}

static void
tear_down(void)
{
	char command[128];

	store_close(store);
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", spool);
	cr_assert_eq(system(command), 0);
}

TestSuite(store, .init = set_up, .fini = tear_down);

static int
body_of(size_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	size_t i;
	char octet;

	for (i = 0; i < size; i++) {
		octet = (char)('a' + i % 26);
		cr_assert_eq(write(fd, &octet, 1), 1);
	}
	return fd;
}

/* One message with one to three recipients, in the group that is open. */
static uint64_t
add(int64_t created_ms, size_t size, const char *a, const char *b)
{
	const char *addresses[2] = { a, b };
	struct store_envelope envelope = { .created_ms = created_ms,
		.size = size,
		.flags = 5,
		.uid = 1000,
		.nrcpts = b != NULL ? 2 : 1,
		.reverse_path = "ana@example.org",
		.ref = "r-1",
		.via = "" };
	uint64_t id = 0;
	int fd = body_of(size);

	cr_assert_eq(
	    store_add_message(store, &envelope, addresses, NULL, fd, &id), 0,
	    "%s", store_error(store));
	(void)close(fd);
	return id;
}

static uint64_t
add_one(int64_t created_ms, size_t size, const char *a, const char *b)
{
	uint64_t id;

	cr_assert_eq(store_begin(store), 0);
	id = add(created_ms, size, a, b);
	cr_assert_eq(store_commit(store), 0);
	return id;
}

static void
activate(uint64_t id, uint32_t at)
{
	cr_assert_eq(store_begin(store), 0);
	cr_assert_eq(store_mark_active(store, id, at), 0);
	cr_assert_eq(store_commit(store), 0);
}

static bool
finish(const struct store_outcome *outcome)
{
	bool removed;

	cr_assert_eq(store_begin(store), 0);
	cr_assert_eq(store_set_outcome(store, outcome, &removed), 0);
	cr_assert_eq(store_commit(store), 0);
	return removed;
}

struct seen {
	size_t n;
	uint64_t id[64];
	uint32_t at[64];
	struct store_recipient last; /* its strings are not kept */
	char address[64];
	char reply[64];
	char reverse_path[64];
	char
	    parameters[128]; /* of the message and, behind "|", its recipient */
	uint32_t flags;
};

static int
see(const struct store_envelope *envelope,
    const struct store_recipient *recipient, void *arg)
{
	struct seen *seen = arg;

	cr_assert_lt(seen->n, 64);
	seen->id[seen->n] = recipient->message;
	seen->at[seen->n++] = recipient->index;
	seen->last = *recipient;
	seen->flags = envelope->flags;
	(void)strlcpy(seen->address, recipient->address, sizeof(seen->address));
	(void)strlcpy(seen->reply, recipient->reply, sizeof(seen->reply));
	(void)strlcpy(seen->reverse_path, envelope->reverse_path,
	    sizeof(seen->reverse_path));
	(void)snprintf(seen->parameters, sizeof(seen->parameters), "%s|%s",
	    envelope->parameters, recipient->parameters);
	return 0;
}

static struct seen
list(uint32_t states)
{
	struct store_filter filter = { .states = states };
	struct store_cursor cursor = { 0 };
	struct seen seen = { 0 };

	cr_assert_eq(store_list(store, &cursor, &filter, 64, see, &seen), 0);
	return seen;
}

static size_t
count_files(void)
{
	char command[128];
	FILE *pipe;
	size_t n = 0;
	int c;

	(void)snprintf(command, sizeof(command), "ls '%s/bodies'", spool);
	pipe = popen(command, "r");
	cr_assert_neq(pipe, NULL);
	while ((c = getc(pipe)) != EOF)
		n += c == '\n';
	(void)pclose(pipe);
	return n;
}

Test(store, an_envelope_comes_back_as_it_went_in)
{
	uint64_t id = add_one(17, 10, "Ben@Example.COM", NULL);
	struct seen seen = list(0);

	cr_expect_eq(seen.n, 1);
	cr_expect_eq(seen.id[0], id);
	cr_expect_eq(seen.last.state, STORE_QUEUED);
	cr_expect_eq(seen.last.next_attempt_ms, 17);
	cr_expect_eq(seen.last.attempts, 0);
	cr_expect_eq(seen.flags, 5);
	cr_expect_str_eq(seen.address, "Ben@Example.COM");
	cr_expect_str_eq(seen.reverse_path, "ana@example.org");
}

Test(store, a_rollback_leaves_nothing_and_gives_no_id_twice)
{
	uint64_t first;

	cr_assert_eq(store_begin(store), 0);
	first = add(1, 5000, "a@b.example", NULL);
	cr_expect_eq(count_files(), 1);
	store_rollback(store);
	cr_expect_eq(count_files(), 0);
	cr_expect_eq(list(0).n, 0);
	cr_expect_gt(add_one(1, 10, "a@b.example", NULL), first);
}

Test(store, ids_are_never_reused_even_after_all_mail_is_gone)
{
	struct store_outcome outcome = { .state = STORE_DELIVERED };
	uint64_t first = add_one(1, 10, "a@b.example", NULL);

	outcome.message = first;
	cr_expect(finish(&outcome));
	store_close(store);
	open_store();
	cr_expect_gt(add_one(1, 10, "a@b.example", NULL), first);
}

Test(store, the_last_delivered_recipient_takes_the_message_along)
{
	struct store_outcome outcome = { .state = STORE_DELIVERED };
	int fd;

	outcome.message = add_one(1, 5000, "a@b.example", "c@d.example");
	cr_expect_eq(count_files(), 1);
	activate(outcome.message, 0);
	cr_expect_not(finish(&outcome));
	cr_expect_eq(list(0).n, 1);
	outcome.index = 1;
	cr_expect(finish(&outcome));
	cr_expect_eq(list(0).n, 0);
	cr_expect_eq(count_files(), 0);
	cr_expect_eq(store_body_fd(store, outcome.message, &fd), -1);
	cr_expect_eq(errno, ENOENT);
}

static const char *const many[] = { "a@x.test", "b@y.test", "c@z.test" };

/* The first two of three, then the message where that is wanted. */
static uint64_t
stage(bool complete)
{
	struct store_envelope envelope = { .created_ms = 1000,
		.size = 10,
		.nrcpts = 3,
		.reverse_path = "ana@example.org",
		.ref = "",
		.via = "" };
	int fd = body_of(10);

	cr_assert_eq(store_begin(store), 0);
	cr_assert_eq(
	    store_stage(store, &envelope, many, NULL, 0, 2, &envelope.id), 0);
	cr_assert_eq(store_commit(store), 0);
	cr_assert_neq(envelope.id, 0);
	if (complete) {
		cr_assert_eq(store_begin(store), 0);
		cr_assert_eq(store_stage(store, &envelope, many, NULL, 2, 3,
				 &envelope.id),
		    0);
		cr_assert_eq(store_add_staged(store, &envelope, fd), 0);
		cr_assert_eq(store_commit(store), 0);
	}
	(void)close(fd);
	return envelope.id;
}

static int
pass_row(const struct store_envelope *envelope,
    const struct store_recipient *recipient, void *arg)
{
	(void)envelope;
	(void)recipient;
	(void)arg;
	return 0;
}

static uint32_t
due(const char *domain)
{
	struct store_cursor cursor = { 0 };
	uint32_t n = 0;

	cr_assert_eq(store_load_due(store, domain, 0, &cursor, 2000, 10,
			 pass_row, NULL, &n),
	    0);
	return n;
}

Test(store, a_message_in_parts_is_nobodys_before_it_is_complete)
{
	struct store_staged found = { 0 };
	uint64_t id = stage(false);

	cr_expect_eq(due("x.test"), 0);
	store_close(store);
	open_store();
	cr_assert_eq(store_next_staged(store, 0, &found), 1);
	cr_expect_eq(found.message, id);
	cr_expect_eq(found.end, 2);
	cr_expect(!found.is_complete);
	cr_assert_eq(store_begin(store), 0);
	cr_assert_eq(store_unstage_part(store, id, 0, 2), 0);
	cr_assert_eq(store_end_staged(store, id), 0);
	cr_assert_eq(store_commit(store), 0);
	cr_expect_eq(store_next_staged(store, 0, &found), 0);
	cr_expect_eq(store_count_messages(store), 0);
}

Test(store, a_message_in_parts_is_due_part_by_part)
{
	struct store_staged found = { 0 };
	uint64_t id = stage(true);
	uint32_t n = 0;

	cr_expect_eq(due("x.test"), 0);
	store_close(store);
	open_store();
	cr_assert_eq(store_next_staged(store, 0, &found), 1);
	cr_expect(found.is_complete);
	cr_expect_eq(found.end, 3);
	cr_expect_eq(found.created_ms, 1000);
	cr_assert_eq(store_begin(store), 0);
	cr_assert_eq(store_release_part(store, id, 0, 1, 1000, &n), 0);
	cr_assert_eq(store_commit(store), 0);
	cr_expect_eq(due("x.test"), 1);
	cr_expect_eq(due("z.test"), 0);
	cr_assert_eq(store_begin(store), 0);
	cr_assert_eq(store_release_part(store, id, 1, 3, 1000, &n), 0);
	cr_assert_eq(store_end_staged(store, id), 0);
	cr_assert_eq(store_commit(store), 0);
	cr_expect_eq(due("z.test"), 1);
	cr_expect_eq(store_next_staged(store, id, &found), 0);
	cr_expect_eq(store_count_messages(store), 1);
}

Test(store, a_failed_recipient_keeps_the_message_until_it_expires)
{
	struct store_outcome outcome = { .state = STORE_FAILED,
		.finished_ms = 100,
		.code = 550,
		.begun = true,
		.dsn = "5.1.1",
		.reply = "550 5.1.1 no such user",
		.relay = "mx.example[192.0.2.1]:25" };
	struct seen seen;
	uint32_t n;

	outcome.message = add_one(1, 10, "a@b.example", NULL);
	activate(outcome.message, 0);
	cr_expect_not(finish(&outcome));
	seen = list(1U << STORE_FAILED);
	cr_expect_eq(seen.n, 1);
	cr_expect_eq(seen.last.code, 550);
	cr_expect_eq(seen.last.attempts, 1);
	cr_expect_str_eq(seen.reply, "550 5.1.1 no such user");
	cr_assert_eq(store_begin(store), 0);
	cr_expect_eq(store_expire_failed(store, 100, 9, &n), 0);
	cr_expect_eq(n, 0, "it was final at 100, which is not before 100");
	cr_expect_eq(store_expire_failed(store, 101, 9, &n), 0);
	cr_assert_eq(store_commit(store), 0);
	cr_expect_eq(n, 1);
	cr_expect_eq(list(0).n, 0);
}

/* Notices. */

static uint64_t
next_owed(uint64_t after)
{
	uint64_t id = 0;

	cr_assert_neq(store_next_owed(store, after, &id), -1);
	return id;
}

static bool
tell(uint64_t id, uint32_t at, uint32_t kind, uint32_t reader)
{
	bool removed;

	cr_assert_eq(store_begin(store), 0);
	cr_assert_eq(store_notice_told(store, id, at, kind, reader, &removed),
	    0);
	cr_assert_eq(store_commit(store), 0);
	return removed;
}

Test(store, who_is_to_be_told_is_found_until_that_is_done)
{
	struct store_outcome outcome = { .state = STORE_FAILED,
		.finished_ms = 100,
		.notice = 0x31,
		.begun = true,
		.dsn = "5.1.1",
		.reply = "no",
		.relay = "" };
	struct seen seen = { 0 };
	uint32_t n;

	add_one(1, 10, "x@b.example", NULL);
	outcome.message = add_one(1, 10, "a@b.example", "c@d.example");
	cr_expect_eq(next_owed(0), 0);
	outcome.index = 1;
	activate(outcome.message, 1);
	(void)finish(&outcome);
	store_close(store); /* or a crash */
	open_store();
	cr_expect_eq(next_owed(0), outcome.message);
	cr_expect_eq(next_owed(outcome.message), 0);
	cr_expect_eq(store_load_owed(store, outcome.message, see, &seen), 0);
	cr_expect_eq(seen.n, 1);
	cr_expect_eq(seen.at[0], 1);
	cr_expect_eq(seen.last.notice, 0x31);
	cr_assert_eq(store_begin(store), 0);
	cr_expect_eq(store_expire_failed(store, 101, 9, &n), 0);
	cr_assert_eq(store_commit(store), 0);
	cr_expect_eq(n, 0, "what is to be told of does not expire");
	(void)tell(outcome.message, 1, 2, 0x10);
	cr_expect_eq(next_owed(0), outcome.message, "another kind");
	(void)tell(outcome.message, 1, 1, 0x10);
	cr_expect_eq(next_owed(0), outcome.message, "another reader is left");
	(void)tell(outcome.message, 1, 1, 0x20);
	cr_expect_eq(next_owed(0), 0);
	cr_expect_eq(list(1U << STORE_FAILED).n, 1, "its row stays");
}

Test(store, a_delivered_recipient_stays_until_that_is_told)
{
	struct store_outcome outcome = { .state = STORE_DELIVERED,
		.finished_ms = 100,
		.notice = 0x14,
		.begun = true,
		.code = 250,
		.dsn = "2.0.0",
		.reply = "250 ok",
		.relay = "mx" };
	uint64_t counts[STORE_STATE_COUNT];

	outcome.message = add_one(1, 5000, "a@b.example", NULL);
	activate(outcome.message, 0);
	cr_expect_not(finish(&outcome));
	cr_expect_eq(list(1U << STORE_DELIVERED).last.finished_ms, 100);
	cr_expect_eq(count_files(), 1);
	cr_expect_not(tell(outcome.message, 0, 5, 0x10));
	cr_expect(tell(outcome.message, 0, 4, 0x10));
	cr_expect_eq(list(0).n, 0);
	cr_expect_eq(count_files(), 0);
	cr_expect_not(tell(outcome.message, 0, 4, 0x10), "it is gone");
	store_count_states(store, counts);
	for (size_t i = 0; i < STORE_STATE_COUNT; i++)
		cr_expect_eq(counts[i], 0, "state %zu", i);
}

static bool
owe(uint64_t id, uint32_t notice, uint32_t warned)
{
	bool changed;

	cr_assert_eq(store_begin(store), 0);
	cr_assert_eq(store_owe(store, id, 0, notice, warned, &changed), 0);
	cr_assert_eq(store_commit(store), 0);
	return changed;
}

Test(store, a_delay_is_owed_once)
{
	struct store_outcome outcome = { .state = STORE_DEFERRED,
		.next_attempt_ms = 7,
		.notice = 0x12,
		.warned = 1,
		.begun = true,
		.dsn = "4.0.0",
		.reply = "",
		.relay = "" };
	uint64_t id = add_one(1, 10, "a@b.example", NULL);

	outcome.message = id;
	cr_expect(owe(id, 0x12, 1));
	cr_expect_not(owe(id, 0x12, 1), "it has one");
	(void)tell(id, 0, 2, 0x10);
	cr_expect_not(owe(id, 0x12, 1), "it had one");
	activate(id, 0);
	(void)finish(&outcome);
	cr_expect_eq(list(0).last.notice, 0, "whoever deferred did not know");
	activate(id, 0);
	cr_expect(owe(id, 0x13, 2), "of another delay, while it is in hand");
	cr_expect_eq(list(0).last.warned, 3);
	(void)finish(&outcome);
	cr_expect_eq(list(0).last.notice, 0x13, "and the attempt's end keeps it");
	/* What ends it takes its place. */
	activate(id, 0);
	outcome.state = STORE_FAILED;
	outcome.notice = 0;
	outcome.warned = 0;
	(void)finish(&outcome);
	cr_expect_eq(list(0).last.notice, 0);
	cr_expect_eq(next_owed(0), 0);
}

Test(store, what_is_to_be_reminded_of_is_found_by_its_time)
{
	const char *addresses[1] = { "b@c.example" };
	struct store_envelope envelope = { .created_ms = 10,
		.size = 10,
		.nrcpts = 1,
		.reverse_path = "",
		.remind_ms = 5000 };
	uint64_t id, found = 0;
	int fd = body_of(10);

	add_one(1, 10, "a@b.example", NULL);
	cr_assert_eq(store_begin(store), 0);
	cr_assert_eq(
	    store_add_message(store, &envelope, addresses, NULL, fd, &id), 0);
	cr_assert_eq(store_commit(store), 0);
	(void)close(fd);
	cr_expect_eq(store_next_remind(store, 4999, &found), 0);
	cr_expect_eq(store_next_remind(store, 5000, &found), 1);
	cr_expect_eq(found, id);
	cr_assert_eq(store_begin(store), 0);
	cr_expect_eq(store_reminded(store, id), 0);
	cr_assert_eq(store_commit(store), 0);
	cr_expect_eq(store_next_remind(store, 5000, &found), 0);
}

Test(store, a_body_is_read_where_it_lies)
{
	char octets[8];
	int fd;

	for (size_t size = 500; size <= 5000; size *= 10) {
		cr_assert_eq(store_body_source(store,
				 add_one(1, size, "a@b.example", NULL), &fd),
		    0);
		cr_expect_eq(pread(fd, octets, 4, (off_t)size - 4), 4);
		cr_expect_eq(octets[0], (char)('a' + (size - 4) % 26));
		(void)close(fd);
	}
	cr_expect_eq(store_body_source(store, 99, &fd), -1);
}

Test(store, an_outcome_for_nobody_is_an_error)
{
	struct store_outcome outcome = { .message = 99,
		.state = STORE_DEFERRED };
	bool removed;

	cr_assert_eq(store_begin(store), 0);
	cr_expect_eq(store_set_outcome(store, &outcome, &removed), -1);
	cr_expect_eq(errno, ENOENT);
	cr_expect_eq(store_mark_active(store, 99, 0), -1);
	cr_expect_eq(errno, ENOENT);
	store_rollback(store);
}

Test(store, an_attempt_that_never_began_is_not_counted)
{
	struct store_outcome outcome = { .state = STORE_QUEUED,
		.next_attempt_ms = 7 };
	struct seen seen;

	outcome.message = add_one(1, 10, "a@b.example", NULL);
	activate(outcome.message, 0);
	cr_expect_not(finish(&outcome));
	seen = list(0);
	cr_expect_eq(seen.last.attempts, 0);
	cr_expect_eq(seen.last.state, STORE_QUEUED);
	cr_expect_not(seen.last.in_doubt);
}

Test(store, doubt_once_there_stays_through_later_deferrals)
{
	struct store_outcome outcome = { .state = STORE_DEFERRED,
		.next_attempt_ms = 7,
		.begun = true,
		.in_doubt = true };

	outcome.message = add_one(1, 10, "a@b.example", NULL);
	activate(outcome.message, 0);
	(void)finish(&outcome);
	cr_expect(list(0).last.in_doubt);
	outcome.in_doubt = false;
	activate(outcome.message, 0);
	(void)finish(&outcome);
	cr_expect(list(0).last.in_doubt);
	cr_expect_eq(list(0).last.attempts, 2);
	/* It failed before it was marked. */
	(void)finish(&outcome);
	cr_expect_eq(list(0).last.attempts, 3);
	outcome.begun = false;
	(void)finish(&outcome);
	cr_expect_eq(list(0).last.attempts, 3);
	activate(outcome.message, 0);
	(void)finish(&outcome);
	cr_expect_eq(list(0).last.attempts, 3, "it was never begun");
}

/* Ends like a crash: no close, no rollback, and the locks go with it. */
static void
crash_with(void (*work)(void))
{
	pid_t pid;
	int status;

	store_close(store);
	store = NULL;
	pid = fork();
	cr_assert_neq(pid, -1);
	if (pid == 0) {
		open_store();
		work();
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	open_store();
}

static void
leave_one_active(void)
{
	activate(add_one(1, 10, "active@b.example", NULL), 0);
	(void)add_one(2, 10, "queued@b.example", NULL);
	cr_assert_eq(store_begin(store), 0);
	(void)add(3, 10, "unconfirmed@b.example", NULL);
}

Test(store, a_crash_returns_active_to_queued_and_in_doubt)
{
	struct store_recovered recovered;
	struct store_filter filter = { 0 };
	struct store_cursor cursor = { 0 };
	struct seen seen = { 0 };

	crash_with(leave_one_active);
	cr_assert_eq(store_recover(store, 50, &recovered), 0);
	cr_expect_eq(recovered.messages, 2, "what was not committed is gone");
	cr_expect_eq(recovered.in_doubt, 1);
	cr_assert_eq(store_list(store, &cursor, &filter, 1, see, &seen), 0);
	cr_expect_eq(seen.last.state, STORE_QUEUED);
	cr_expect_str_eq(seen.address, "active@b.example");
	cr_expect(seen.last.in_doubt);
	cr_expect_eq(seen.last.next_attempt_ms, 50);
	cr_assert_eq(store_list(store, &cursor, &filter, 1, see, &seen), 0);
	cr_expect_str_eq(seen.address, "queued@b.example");
	cr_expect_not(seen.last.in_doubt);
}

static void
leave_files(void)
{
	(void)add_one(1, 5000, "kept@b.example", NULL);
	cr_assert_eq(store_begin(store), 0);
	(void)add(2, 6000, "unconfirmed@b.example", NULL);
}

Test(store, a_sweep_removes_the_bodies_nobody_names)
{
	struct store_recovered recovered;
	int fd;

	crash_with(leave_files);
	cr_expect_eq(count_files(), 2);
	cr_assert_eq(store_recover(store, 50, &recovered), 0);
	cr_expect_eq(recovered.swept_bodies, 1);
	cr_expect_eq(recovered.lost_bodies, 0);
	cr_expect_eq(count_files(), 1);
	cr_assert_eq(store_body_fd(store, list(0).id[0], &fd), 0);
	(void)close(fd);
}

Test(store, a_body_file_that_is_gone_is_counted)
{
	struct store_recovered recovered;
	char command[128];

	(void)add_one(1, 5000, "a@b.example", NULL);
	(void)snprintf(command, sizeof(command), "rm '%s'/bodies/*", spool);
	cr_assert_eq(system(command), 0);
	cr_assert_eq(store_recover(store, 50, &recovered), 0);
	cr_expect_eq(recovered.lost_bodies, 1);
}

static void
expect_sealed(size_t size)
{
	uint64_t id = add_one(1, size, "a@b.example", NULL);
	char buffer[8192] = { 0 };
	struct stat st;
	int fd;

	cr_assert_eq(store_body_fd(store, id, &fd), 0);
	cr_expect_eq(pread(fd, buffer, sizeof(buffer), 0), (ssize_t)size);
	if (size > 26)
		cr_expect_eq(buffer[size - 1], (char)('a' + (size - 1) % 26));
	cr_expect_eq(pwrite(fd, "x", 1, 0), -1);
	cr_expect_eq(errno, EPERM);
	cr_expect_eq(ftruncate(fd, 0), -1 + (size == 0));
	cr_expect_eq(ftruncate(fd, 9000), -1);
	cr_expect_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
	cr_expect_eq(fstat(fd, &st), 0);
	cr_expect_eq(st.st_size, (off_t)size);
	(void)close(fd);
}

Test(store, bodies_small_large_and_empty_come_back_sealed)
{
	expect_sealed(0);
	expect_sealed(100);
	expect_sealed(1000);
	cr_expect_eq(count_files(), 0, "up to the limit they are rows");
	expect_sealed(1001);
	cr_expect_eq(count_files(), 1);
	expect_sealed(8000);
}

/* A recipient of a lane. */
static uint64_t
add_in_lane(uint32_t lane, int64_t created_ms, const char *address)
{
	const char *addresses[1] = { address };
	struct store_envelope envelope = { .created_ms = created_ms,
		.size = 10,
		.nrcpts = 1,
		.reverse_path = "",
		.lane = lane };
	uint64_t id = 0;
	int fd = body_of(10);

	cr_assert_eq(store_begin(store), 0);
	cr_assert_eq(
	    store_add_message(store, &envelope, addresses, NULL, fd, &id), 0);
	cr_assert_eq(store_commit(store), 0);
	(void)close(fd);
	return id;
}

Test(store, lanes_of_domains_are_walked_in_order_with_their_earliest_time)
{
	static const struct {
		const char *domain;
		uint32_t lane;
		int64_t earliest;
	} want[] = { { "", 0, 3 }, { "a.example", 0, 9 }, { "b.example", 0, 5 },
		{ "b.example", 7, 2 }, { "b.example", 4096, 4 } };
	char domain[STORE_DOMAIN_SIZE] = "";
	int64_t earliest = 0;
	uint32_t lane = 0;
	size_t i;

	(void)add_one(5, 10, "x@b.example", NULL);
	(void)add_one(9, 10, "x@B.example", "y@a.example");
	(void)add_one(3, 10, "postmaster", NULL);
	(void)add_in_lane(7, 6, "x@b.example");
	(void)add_in_lane(7, 2, "x@b.example");
	(void)add_in_lane(4096, 4, "x@b.example");
	for (i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		cr_assert_eq(store_next_source(store, i > 0 ? domain : NULL,
				 lane, domain, &lane, &earliest),
		    1);
		cr_expect_str_eq(domain, want[i].domain);
		cr_expect_eq(lane, want[i].lane);
		cr_expect_eq(earliest, want[i].earliest);
	}
	cr_expect_eq(
	    store_next_source(store, domain, lane, domain, &lane, &earliest),
	    0);
}

Test(store, a_lane_is_loaded_without_the_others_of_its_domain)
{
	struct store_cursor cursor = { 0 };
	struct seen seen = { 0 };
	uint64_t id;
	uint32_t n;

	(void)add_one(1, 10, "x@b.example", NULL);
	id = add_in_lane(7, 2, "x@b.example");
	cr_expect_eq(store_load_due(store, "b.example", 7, &cursor, 20, 9, see,
			 &seen, &n),
	    0);
	cr_expect_eq(n, 1);
	cr_expect_eq(seen.id[0], id);
	cr_expect_eq(seen.last.lane, 7);
}

Test(store, due_recipients_come_in_their_order_behind_the_cursor)
{
	struct store_cursor cursor = { 0 };
	struct seen seen = { 0 };
	uint64_t late = add_one(30, 10, "late@b.example", NULL);
	uint64_t pair = add_one(10, 10, "1@b.example", "2@b.example");
	int64_t due_ms = 0;
	uint32_t n;

	(void)add_one(10, 10, "other@c.example", NULL);
	cr_expect_eq(store_load_due(store, "b.example", 0, &cursor, 20, 1, see,
			 &seen, &n),
	    0);
	cr_expect_eq(n, 1);
	cr_expect_eq(seen.id[0], pair);
	cr_expect_eq(seen.at[0], 0);
	cr_expect_eq(store_load_due(store, "b.example", 0, &cursor, 20, 9, see,
			 &seen, &n),
	    0);
	cr_expect_eq(n, 1, "the late one is not due");
	cr_expect_eq(store_next_due(store, "b.example", 0, 20, &due_ms), 1);
	cr_expect_eq(due_ms, 30);
	cr_expect_eq(store_next_due(store, "b.example", 0, 30, &due_ms), 0);
	cr_expect_eq(seen.at[1], 1);
	cr_expect_eq(store_load_due(store, "b.example", 0, &cursor, 30, 9, see,
			 &seen, &n),
	    0);
	cr_expect_eq(n, 1);
	cr_expect_eq(seen.id[2], late);
}

static int
refuse(const struct store_envelope *envelope,
    const struct store_recipient *recipient, void *arg)
{
	(void)envelope;
	(void)recipient;
	(void)arg;
	return 1;
}

/* Else it waits as long as others of its domain keep the cursor where it is. */
Test(store, a_recipient_that_was_not_taken_comes_again)
{
	struct store_cursor cursor = { 0 };
	struct seen seen = { 0 };
	uint64_t id = add_one(10, 10, "1@b.example", "2@b.example");
	uint32_t n;

	cr_expect_eq(store_load_due(store, "b.example", 0, &cursor, 20, 9,
			 refuse, NULL, &n),
	    1);
	cr_expect_eq(n, 1);
	cr_expect_eq(store_load_due(store, "b.example", 0, &cursor, 20, 9, see,
			 &seen, &n),
	    0);
	cr_expect_eq(n, 2);
	cr_expect_eq(seen.id[0], id);
	cr_expect_eq(seen.at[0], 0);
}

Test(store, what_is_active_held_or_final_is_not_due)
{
	struct store_outcome outcome = { .state = STORE_HELD, .index = 1 };
	char domain[STORE_DOMAIN_SIZE];
	int64_t earliest;
	uint32_t lane;

	outcome.message = add_one(1, 10, "1@b.example", "2@b.example");
	activate(outcome.message, 0);
	(void)finish(&outcome);
	cr_expect_eq(
	    store_next_source(store, NULL, 0, domain, &lane, &earliest), 0);
	cr_expect_eq(list(1U << STORE_HELD).n, 1);
}

Test(store, older_messages_come_first_and_younger_ones_not_at_all)
{
	struct store_cursor after = { 0 };
	struct seen seen = { 0 };
	uint64_t first = add_one(10, 10, "a@b.example", NULL);

	(void)add_one(20, 10, "b@b.example", NULL);
	(void)add_one(30, 10, "c@b.example", NULL);
	cr_expect_eq(store_load_older(store, &after, 30, 9, see, &seen), 0);
	cr_expect_eq(seen.n, 2);
	cr_expect_eq(seen.id[0], first);
	cr_expect_eq(after.message, 0, "behind them is nothing as old");
	seen.n = 0;
	cr_expect_eq(store_load_older(store, &after, 30, 1, see, &seen), 0);
	cr_expect_eq(seen.n, 1);
	cr_expect_eq(after.message, first + 1);
	cr_expect_eq(store_load_older(store, &after, 30, 1, see, &seen), 0);
	cr_expect_eq(seen.n, 2);
	cr_expect_neq(seen.id[1], first);
}

Test(store, a_list_goes_on_where_it_ended_and_filters)
{
	struct store_filter filter = { 0 };
	struct store_cursor cursor = { 0 };
	struct seen seen = { 0 };
	uint64_t pair = add_one(1, 10, "1@b.example", "2@c.example");

	(void)add_one(1, 10, "3@b.example", NULL);
	cr_expect_eq(store_list(store, &cursor, &filter, 2, see, &seen), 0);
	cr_expect_eq(seen.n, 2);
	cr_expect_eq(store_list(store, &cursor, &filter, 2, see, &seen), 0);
	cr_expect_eq(seen.n, 3);
	cr_expect_eq(store_list(store, &cursor, &filter, 2, see, &seen), 0);
	cr_expect_eq(seen.n, 3);

	memset(&cursor, 0, sizeof(cursor));
	memset(&seen, 0, sizeof(seen));
	filter.domain = "b.example";
	cr_expect_eq(store_list(store, &cursor, &filter, 9, see, &seen), 0);
	cr_expect_eq(seen.n, 2);

	memset(&cursor, 0, sizeof(cursor));
	memset(&seen, 0, sizeof(seen));
	filter.domain = NULL;
	filter.message = pair;
	cr_expect_eq(store_list(store, &cursor, &filter, 9, see, &seen), 0);
	cr_expect_eq(seen.n, 2);
	cr_expect_eq(seen.id[1], pair);
}

static void
expect_counts(uint64_t queued, uint64_t active, uint64_t deferred,
    uint64_t failed)
{
	uint64_t counts[STORE_STATE_COUNT];

	store_count_states(store, counts);
	cr_expect_eq(counts[STORE_QUEUED], queued);
	cr_expect_eq(counts[STORE_ACTIVE], active);
	cr_expect_eq(counts[STORE_DELIVERED], 0);
	cr_expect_eq(counts[STORE_DEFERRED], deferred);
	cr_expect_eq(counts[STORE_FAILED], failed);
	cr_expect_eq(counts[STORE_HELD], 0);
}

/* They are never counted: what each change says of them must be true. */
Test(store, states_are_counted)
{
	struct store_outcome outcome = { .state = STORE_DEFERRED };
	struct store_recovered recovered;
	uint64_t id = add_one(1, 10, "1@b.example", "2@c.example");
	bool removed;

	expect_counts(2, 0, 0, 0);
	activate(id, 1);
	expect_counts(1, 1, 0, 0);
	store_close(store);
	open_store();
	expect_counts(1, 1, 0, 0);
	cr_assert_eq(store_recover(store, 5, &recovered), 0);
	cr_expect_eq(recovered.in_doubt, 1);
	cr_expect_eq(recovered.messages, 1);
	expect_counts(2, 0, 0, 0);
	outcome.message = id;
	(void)finish(&outcome);
	expect_counts(1, 0, 1, 0);
	outcome.state = STORE_FAILED;
	(void)finish(&outcome);
	expect_counts(1, 0, 0, 1);
	outcome.state = STORE_DELIVERED;
	outcome.index = 1;
	cr_assert_eq(store_begin(store), 0);
	cr_assert_eq(store_set_outcome(store, &outcome, &removed), 0);
	expect_counts(0, 0, 0, 1);
	store_rollback(store);
	expect_counts(1, 0, 0, 1);
	(void)finish(&outcome);
	expect_counts(0, 0, 0, 1);
}

static void
expect_refusal(const char *words, int want_errno)
{
	struct store_options options = { .spool = spool };
	struct store *other = NULL;
	char error[512];

	cr_expect_eq(store_open(&options, &other, error, sizeof(error)), -1);
	cr_expect_eq(errno, want_errno, "%s", strerror(errno));
	cr_expect_neq(strstr(error, words), NULL, "said: %s", error);
	cr_expect_neq(strstr(error, spool), NULL, "said: %s", error);
}

static void
change_database(const char *text)
{
	char path[128];
	sqlite3 *db;

	store_close(store);
	store = NULL;
	(void)snprintf(path, sizeof(path), "%s/queue.db", spool);
	cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	(void)sqlite3_close(db);
}

Test(store, a_long_log_goes_into_the_database_when_that_is_asked)
{
	char path[128];
	struct stat before, after;
	int i;

	(void)snprintf(path, sizeof(path), "%s/queue.db", spool);
	cr_expect_not(store_log_is_long(store));
	cr_assert_eq(stat(path, &before), 0);
	for (i = 0; i < 100000 && !store_log_is_long(store); i++)
		(void)add_one(1000, 100, "b@example.net", NULL);
	cr_assert(store_log_is_long(store));
	cr_assert_eq(stat(path, &after), 0);
	cr_expect_eq(after.st_size, before.st_size, "by a commit");
	store_empty_log(store);
	cr_expect_not(store_log_is_long(store));
	cr_assert_eq(stat(path, &after), 0);
	cr_expect_gt(after.st_size, before.st_size);
	(void)add_one(1000, 100, "b@example.net", NULL);
	cr_expect_not(store_log_is_long(store), "it begins anew");
}

/* The tables of schema 1, as its posternd made them. */
static const char schema_1[] =
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;"
    "INSERT INTO meta VALUES ('next_id', 1048676);"
    "CREATE TABLE message (id INTEGER PRIMARY KEY, created INTEGER NOT NULL,"
    " size INTEGER NOT NULL, flags INTEGER NOT NULL, uid INTEGER NOT NULL,"
    " nrcpts INTEGER NOT NULL, reverse_path TEXT NOT NULL, ref TEXT NOT NULL,"
    " via TEXT NOT NULL, in_file INTEGER NOT NULL, body BLOB);"
    "CREATE INDEX in_file ON message (id) WHERE in_file = 1;"
    "CREATE TABLE recipient (message INTEGER NOT NULL, idx INTEGER NOT NULL,"
    " address TEXT NOT NULL, domain TEXT NOT NULL, state INTEGER NOT NULL,"
    " next_attempt INTEGER, finished INTEGER, attempts INTEGER NOT NULL"
    " DEFAULT 0, in_doubt INTEGER NOT NULL DEFAULT 0, code INTEGER, dsn TEXT,"
    " reply TEXT, relay TEXT, PRIMARY KEY (message, idx)) WITHOUT ROWID;"
    "CREATE INDEX due ON recipient (domain, next_attempt)"
    " WHERE next_attempt IS NOT NULL;"
    "CREATE INDEX failed ON recipient (finished) WHERE state = 4;"
    "PRAGMA application_id = 1347375956;"
    "PRAGMA user_version = 1;"
    "INSERT INTO message VALUES (1048576, 10, 6, 5, 1000, 2,"
    " 'ana@example.org', 'r-1', 'relay', 0, x'626f64790d0a');"
    "INSERT INTO message VALUES (1048577, 20, 6, 1, 1000, 1, '', '', '', 1,"
    " NULL);"
    "INSERT INTO recipient VALUES (1048576, 0, 'b@c.example', 'c.example', 3,"
    " 500, NULL, 2, 1, 451, '4.3.0', 'later', 'mx');"
    "INSERT INTO recipient VALUES (1048576, 1, 'd@c.example', 'c.example', 1,"
    " NULL, NULL, 1, 0, NULL, NULL, NULL, NULL);"
    "INSERT INTO recipient VALUES (1048577, 0, 'e@f.example', 'f.example', 4,"
    " NULL, 30, 1, 0, 550, '5.1.1', 'no', 'mx');";

static void
make_schema_1(const char *more)
{
	char path[128];
	sqlite3 *db;
	int fd;

	store_close(store);
	store = NULL;
	(void)snprintf(path, sizeof(path), "%s/queue.db-wal", spool);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/queue.db", spool);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(db, schema_1, NULL, NULL, NULL), SQLITE_OK,
	    "%s", sqlite3_errmsg(db));
	cr_assert_eq(sqlite3_exec(db, more, NULL, NULL, NULL), SQLITE_OK);
	(void)sqlite3_close(db);
	(void)snprintf(path, sizeof(path), "%s/bodies/100001", spool);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	cr_assert_neq(fd, -1);
	cr_assert_eq(write(fd, "file\r\n", 6), 6);
	(void)close(fd);
}

static void
expect_body(uint64_t id, const char *want)
{
	char octets[64];
	int fd;

	cr_assert_eq(store_body_fd(store, id, &fd), 0, "%s",
	    store_error(store));
	cr_expect_eq(pread(fd, octets, sizeof(octets), 0),
	    (ssize_t)strlen(want));
	cr_expect_eq(memcmp(octets, want, strlen(want)), 0);
	(void)close(fd);
}

Test(store, a_queue_of_schema_1_goes_on_as_it_was)
{
	struct store_recovered recovered;
	struct seen seen;
	uint64_t id;

	make_schema_1("");
	open_store();
	cr_assert_eq(store_recover(store, 600, &recovered), 0);
	cr_expect_eq(recovered.messages, 2);
	cr_expect_eq(recovered.in_doubt, 1);
	cr_expect_eq(recovered.lost_bodies, 0);
	seen = list(1U << STORE_DEFERRED);
	cr_assert_eq(seen.n, 1);
	cr_expect_eq(seen.id[0], 1048576);
	cr_expect_eq(seen.flags, 5);
	cr_expect_eq(seen.last.next_attempt_ms, 500);
	cr_expect_eq(seen.last.code, 451);
	cr_expect(seen.last.in_doubt);
	cr_expect_str_eq(seen.address, "b@c.example");
	cr_expect_str_eq(seen.reply, "later");
	cr_expect_str_eq(seen.reverse_path, "ana@example.org");
	cr_expect_str_eq(seen.parameters, "|");
	cr_expect_eq(list(1U << STORE_FAILED).id[0], 1048577);
	expect_body(1048576, "body\r\n");
	expect_body(1048577, "file\r\n");
	id = add_one(40, 10, "g@h.example", NULL);
	cr_expect_geq(id, 1048676, "no id is given twice");
	/* Again, and nothing is left to do. */
	store_close(store);
	open_store();
	cr_expect_eq(list(0).n, 4);
}

Test(store, an_upgrade_that_fails_leaves_the_old_queue)
{
	char path[128];
	sqlite3 *db;

	make_schema_1("CREATE TABLE message_2 (x)"); /* what it wants to make */
	expect_refusal("cannot be brought to schema 4", EIO);
	(void)snprintf(path, sizeof(path), "%s/queue.db", spool);
	cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
	cr_expect_eq(
	    sqlite3_exec(db,
		"DROP TABLE message_2;"
		"INSERT INTO recipient VALUES (1048577, 1, 'i@f.example',"
		" 'f.example', 0, 1, NULL, 0, 0, NULL, NULL, NULL, NULL)",
		NULL, NULL, NULL),
	    SQLITE_OK, "the tables are not those of schema 1: %s",
	    sqlite3_errmsg(db));
	(void)sqlite3_close(db);
	open_store();
	cr_expect_eq(list(0).n, 4);
}

Test(store, what_is_late_is_found_by_its_deadline)
{
	const char *addresses[2] = { "b@c.example", "d@c.example" };
	struct store_envelope envelope = { .created_ms = 10,
		.size = 10,
		.nrcpts = 2,
		.reverse_path = "",
		.deadline_ms = 5000 };
	struct store_outcome outcome = { .state = STORE_FAILED,
		.dsn = "5.1.1",
		.reply = "no",
		.relay = "" };
	struct store_cursor late = { 0 };
	struct seen seen = { 0 };
	uint64_t id;
	int fd = body_of(10);

	add_one(10, 10, "g@h.example", NULL); /* it has none */
	cr_assert_eq(store_begin(store), 0);
	cr_assert_eq(
	    store_add_message(store, &envelope, addresses, NULL, fd, &id), 0);
	cr_assert_eq(store_commit(store), 0);
	(void)close(fd);
	cr_expect_eq(store_load_late(store, &late, 4999, 10, see, &seen), 0);
	cr_expect_eq(seen.n, 0);
	cr_expect_eq(store_load_late(store, &late, 5000, 10, see, &seen), 0);
	cr_expect_eq(seen.n, 2);
	cr_expect_eq(seen.id[0], id);
	outcome.message = id;
	(void)finish(&outcome);
	activate(id, 1);
	memset(&seen, 0, sizeof(seen));
	cr_expect_eq(store_load_late(store, &late, 5000, 10, see, &seen), 0);
	cr_expect_eq(seen.n, 0, "nobody waits");
}

static int
see_one(const struct store_envelope *envelope,
    const struct store_recipient *recipient, void *arg)
{
	(void)see(envelope, recipient, arg);
	return 1;
}

Test(store, what_is_late_is_walked_through_a_piece_at_a_time)
{
	const char *addresses[2] = { "b@c.example", "d@c.example" };
	struct store_envelope envelope = { .created_ms = 10,
		.size = 10,
		.nrcpts = 2,
		.reverse_path = "",
		.deadline_ms = 5000 };
	struct store_cursor late = { 0 }, older = { 0 };
	struct seen seen = { 0 };
	uint64_t first, second;
	int fd = body_of(10);

	cr_assert_eq(store_begin(store), 0);
	cr_assert_eq(
	    store_add_message(store, &envelope, addresses, NULL, fd, &first),
	    0);
	cr_assert_eq(
	    store_add_message(store, &envelope, addresses, NULL, fd, &second),
	    0);
	cr_assert_eq(store_commit(store), 0);
	(void)close(fd);
	for (uint32_t i = 1; i <= 4; i++) {
		cr_expect_eq(store_load_late(store, &late, 5000, 1, see, &seen),
		    0);
		cr_expect_eq(seen.n, i);
		cr_expect_eq(seen.id[i - 1], i <= 2 ? first : second);
	}
	cr_expect_eq(store_load_late(store, &late, 5000, 1, see, &seen), 0);
	cr_expect_eq(seen.n, 4);
	cr_expect_eq(store_load_late(store, &late, 5000, 1, see, &seen), 0);
	cr_expect_eq(seen.n, 5, "anew");
	seen.n = 0;
	for (uint32_t i = 1; i <= 4; i++) {
		cr_expect_eq(
		    store_load_older(store, &older, 30, 9, see_one, &seen), 1);
		cr_expect_eq(seen.n, i);
		cr_expect_eq(seen.id[i - 1], i <= 2 ? first : second);
	}
	cr_expect_eq(store_load_older(store, &older, 30, 9, see_one, &seen), 0);
	cr_expect_eq(seen.n, 4);
}

Test(store, what_a_rate_has_left_is_kept_until_it_is_full)
{
	int64_t full_us = 7;

	cr_expect_eq(store_get_rate(store, "transport x", &full_us), 0);
	cr_expect_eq(full_us, 0);
	cr_assert_eq(store_begin(store), 0);
	cr_expect_eq(store_set_rate(store, "transport x", 1000), 0);
	cr_expect_eq(store_set_rate(store, "transport x", 2000), 0);
	cr_assert_eq(store_commit(store), 0);
	store_close(store);
	open_store();
	cr_expect_eq(store_get_rate(store, "transport x", &full_us), 0);
	cr_expect_eq(full_us, 2000);
	cr_expect_eq(store_forget_rates(store, 1999), 0);
	cr_expect_eq(store_get_rate(store, "transport x", &full_us), 0);
	cr_expect_eq(full_us, 2000);
	cr_expect_eq(store_forget_rates(store, 2000), 0);
	cr_expect_eq(store_get_rate(store, "transport x", &full_us), 0);
	cr_expect_eq(full_us, 0);
}

Test(store, parameters_are_kept)
{
	const char *addresses[2] = { "b@c.example", "d@c.example" };
	const char *parameters[2] = { NULL, "NOTIFY=NEVER" };
	struct store_envelope envelope = { .created_ms = 10,
		.size = 10,
		.nrcpts = 2,
		.reverse_path = "",
		.parameters = "RET=HDRS ENVID=x" };
	uint64_t id;
	int fd = body_of(10);

	cr_assert_eq(store_begin(store), 0);
	cr_assert_eq(
	    store_add_message(store, &envelope, addresses, parameters, fd, &id),
	    0);
	cr_assert_eq(store_commit(store), 0);
	(void)close(fd);
	store_close(store);
	open_store();
	cr_expect_str_eq(list(0).parameters, "RET=HDRS ENVID=x|NOTIFY=NEVER");
	add_one(40, 10, "g@h.example", NULL);
	cr_expect_str_eq(list(0).parameters, "|");
}

Test(store, a_newer_schema_is_refused)
{
	change_database("PRAGMA user_version = 5");
	expect_refusal("schema 5", EINVAL);
}

Test(store, the_database_of_another_program_is_refused)
{
	change_database("PRAGMA application_id = 7");
	expect_refusal("not a queue of postern", EINVAL);
}

static void
overwrite(const char *octets, size_t n, off_t at)
{
	char path[128];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/queue.db", spool);
	fd = open(path, O_WRONLY);
	cr_assert_neq(fd, -1);
	cr_assert_eq(pwrite(fd, octets, n, at), (ssize_t)n);
	(void)close(fd);
}

Test(store, a_file_that_is_no_database_is_refused)
{
	store_close(store);
	store = NULL;
	overwrite("this is not what it was", 23, 0);
	expect_refusal("is damaged", EBADMSG);
}

Test(store, a_damaged_page_is_refused_with_what_to_do)
{
	char junk[4096];
	int i;

	for (i = 0; i < 50; i++)
		(void)add_one(1, 900, "1@b.example", "2@c.example");
	store_close(store);
	store = NULL;
	memset(junk, 0xa5, sizeof(junk));
	for (i = 2; i < 8; i++)
		overwrite(junk, sizeof(junk), (off_t)i * 4096);
	expect_refusal("postern queue export", EBADMSG);
}

Test(store, a_second_process_is_refused)
{
	pid_t pid;
	int status;

	pid = fork();
	cr_assert_neq(pid, -1);
	if (pid == 0) {
		struct store_options options = { .spool = spool };
		struct store *other = NULL;
		char error[512];
		int ret = store_open(&options, &other, error, sizeof(error));

		_exit(ret == -1 && errno == EBUSY &&
			    strstr(error, "another posternd") != NULL
			? 0
			: 1);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Adds until it fails; says what failed. */
static int
fill(size_t size)
{
	const char *addresses[1] = { "a@b.example" };
	struct store_envelope envelope = { .nrcpts = 1, .reverse_path = "" };
	uint64_t id;
	int fd = body_of(size);
	int failed = 0;
	int i;

	for (i = 0; i < 2000 && failed == 0; i++) {
		if (store_begin(store) == -1 ||
		    store_add_message(store, &envelope, addresses, NULL, fd,
			&id) == -1 ||
		    store_commit(store) == -1)
			failed = errno;
		if (failed != 0)
			store_rollback(store);
	}
	(void)close(fd);
	return failed;
}

/* Sets a limit under which files end; gives back the old one. */
static struct rlimit
limit_files(rlim_t size)
{
	struct rlimit old;
	struct rlimit limit;

	/* The default action of its signal is to die. */
	cr_assert_neq(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
	cr_assert_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = old;
	limit.rlim_cur = size;
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	return old;
}

Test(store, a_body_file_that_cannot_be_written_fails_the_group)
{
	const char *addresses[1] = { "a@b.example" };
	struct store_envelope envelope = { .nrcpts = 1, .reverse_path = "" };
	struct rlimit old;
	uint64_t id;
	int fd = body_of(70000);

	cr_assert_eq(store_begin(store), 0);
	old = limit_files(65536);
	cr_expect_eq(
	    store_add_message(store, &envelope, addresses, NULL, fd, &id), -1);
	cr_expect_eq(errno, EFBIG);
	store_rollback(store);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
	cr_expect_eq(count_files(), 0);
	(void)close(fd);
	(void)add_one(1, 70000, "after@b.example", NULL);
	cr_expect_eq(list(0).n, 1);
}

Test(store, a_database_that_cannot_grow_fails_the_group)
{
	struct store_filter filter = { 0 };
	struct store_cursor cursor = { 0 };
	struct seen seen = { 0 };
	struct rlimit old;
	int failed;

	old = limit_files(512 * 1024);
	failed = fill(900);
	/* The engine may have forgotten which of the two it was. */
	cr_expect(failed == EFBIG || failed == EIO, "%s", strerror(failed));
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
	(void)add_one(1, 900, "after@b.example", NULL);
	store_close(store);
	open_store();
	cr_expect_eq(store_list(store, &cursor, &filter, 1, see, &seen), 0);
	cr_expect_eq(seen.n, 1, "what was committed is there");
}

Test(store, a_full_file_system_is_enospc)
{
	char command[160];

	(void)snprintf(command, sizeof(command),
	    "mount -t tmpfs -o size=1m none '%s' 2>/dev/null", spool);
	store_close(store);
	store = NULL;
	if (geteuid() != 0 || system(command) != 0)
		cr_skip_test("mounting a tmpfs needs root");
	open_store();
	cr_expect_eq(fill(900), ENOSPC, "%s", strerror(errno));
	cr_expect_eq(fill(5000), ENOSPC);
	store_close(store);
	store = NULL;
	(void)snprintf(command, sizeof(command), "umount '%s'", spool);
	cr_expect_eq(system(command), 0);
}

Test(store, a_queue_in_memory_needs_no_directory)
{
	struct store_options options = { .spool = ":memory:" };
	char error[512];
	int fd;

	store_close(store);
	cr_assert_eq(store_open(&options, &store, error, sizeof(error)), 0,
	    "%s", error);
	cr_assert_eq(
	    store_body_fd(store, add_one(1, 90000, "a@b.example", NULL), &fd),
	    0);
	cr_expect_eq(lseek(fd, 0, SEEK_END), 90000);
	(void)close(fd);
}

Test(store_words, a_domain_is_what_follows_the_last_at_in_lower_case)
{
	static const struct {
		const char *address;
		const char *want;
	} cases[] = {
		{ "a@Example.ORG", "example.org" },
		{ "\"x@y\"@Z.example", "z.example" },
		{ "postmaster", "" },
		{ "a@", "" },
		{ "a@[IPv6:2001:DB8::1]", "[ipv6:2001:db8::1]" },
	};
	char domain[STORE_DOMAIN_SIZE];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		store_address_domain(cases[i].address, domain);
		cr_expect_str_eq(domain, cases[i].want);
	}
}

Test(store_words, an_id_is_read_as_it_was_written)
{
	static const char *const bad[] = { "", "G", "1 ", "0", "x1",
		"FFFFFFFFFFFFFFFF", "11111111111111111" };
	char text[STORE_ID_SIZE];
	uint64_t id = 0;
	size_t i;

	store_id_format(UINT64_C(0x4f1a09), text);
	cr_expect_str_eq(text, "4F1A09");
	cr_expect_eq(store_id_parse(text, &id), 0);
	cr_expect_eq(id, 0x4f1a09);
	cr_expect_eq(store_id_parse("4f1a09", &id), 0);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(store_id_parse(bad[i], &id), -1, "%s", bad[i]);
}
