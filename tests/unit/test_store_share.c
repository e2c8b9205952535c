/* SPDX-License-Identifier: ISC */
/* Two processes with one store. */
#include "master/queue/store.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "common/util.h"

enum {
	ROUNDS = 2100, /* more ids than one block, together */
};

static char spool[64];

static struct store *
open_store(bool beside)
{
	struct store_options options = { .spool = spool,
		.inline_body_limit = 1000,
		.beside = beside };
	struct store *store = NULL;
	char error[512];

	if (store_open(&options, &store, error, sizeof(error)) == -1)
		return NULL;
	return store;
}

static void
set_up(void)
{
	(void)strlcpy(spool, "/tmp/test_store_share.XXXXXX", sizeof(spool));
	cr_assert_neq(mkdtemp(spool), NULL);
}

static void
tear_down(void)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", spool);
	cr_assert_eq(system(command), 0);
}

TestSuite(store_share, .init = set_up, .fini = tear_down);

/* One message in a group of its own; its id, or 0. */
static uint64_t
add(struct store *store, bool keep)
{
	const char *address = "a@example.org";
	struct store_envelope envelope = { .created_ms = 1,
		.size = 2,
		.nrcpts = 1,
		.reverse_path = "",
		.ref = "",
		.via = "" };
	int fd = memfd_create("test", MFD_CLOEXEC);
	uint64_t id = 0;

	if (fd == -1 || write(fd, "ab", 2) != 2 || store_begin(store) == -1)
		return 0;
	if (store_add_message(store, &envelope, &address, NULL, fd, &id) ==
		-1 ||
	    (keep && store_keep(store, id) == -1) ||
	    store_commit(store) == -1) {
		store_rollback(store);
		id = 0;
	}
	(void)close(fd);
	return id;
}

static void
send_id(int fd, uint64_t id)
{
	if (send(fd, &id, sizeof(id), MSG_NOSIGNAL) != sizeof(id))
		_exit(2);
}

static uint64_t
receive_id(int fd)
{
	uint64_t id = 0;

	(void)recv(fd, &id, sizeof(id), 0);
	return id;
}

/* The other process: begins when it is told to, works, ends.  It is forked before
 * this one has a store: SQLite's locks are a process's, and what it knows of them
 * would be copied. */
static pid_t
other(int fds[2], void (*work)(struct store *store, int fd))
{
	struct store *store;
	pid_t pid;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	fflush(NULL);
	pid = fork();
	if (pid != 0) {
		close(fds[1]);
		return pid;
	}
	close(fds[0]);
	if (receive_id(fds[1]) == 0)
		_exit(4);
	store = open_store(true);
	if (store == NULL)
		_exit(1);
	work(store, fds[1]);
	store_close(store);
	_exit(0);
}

static void
ended(pid_t pid)
{
	int status;

	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Shared with the other, who is told to begin. */
static struct store *
open_shared(int fd)
{
	struct store *store = open_store(false);

	cr_assert_not_null(store);
	cr_assert_eq(store_share(store), 0, "%s", store_error(store));
	send_id(fd, 1);
	return store;
}

static void
add_many(struct store *store, int fd)
{
	send_id(fd, 1);
	for (int i = 0; i < ROUNDS; i++)
		send_id(fd, add(store, false));
}

static int
compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

Test(store_share, both_write_and_neither_loses_or_repeats, .timeout = 300)
{
	static uint64_t ids[2 * ROUNDS];
	uint64_t counts[STORE_STATE_COUNT];
	int fds[2];
	pid_t pid = other(fds, add_many);
	struct store *store = open_shared(fds[0]);

	cr_assert_eq(receive_id(fds[0]), 1);
	for (int i = 0; i < ROUNDS; i++) {
		ids[2 * i] = add(store, false);
		ids[2 * i + 1] = receive_id(fds[0]);
		cr_assert(ids[2 * i] != 0 && ids[2 * i + 1] != 0, "round %d",
		    i);
	}
	ended(pid);
	qsort(ids, NELEM(ids), sizeof(ids[0]), compare);
	for (size_t i = 1; i < NELEM(ids); i++)
		cr_assert_lt(ids[i - 1], ids[i]);
	cr_assert_eq(store_alone(store), 1);
	store_count_states(store, counts);
	cr_expect_eq(counts[STORE_QUEUED], 2 * ROUNDS);
	store_close(store);
}

static void
keep_one(struct store *store, int fd)
{
	send_id(fd, add(store, true));
	send_id(fd, add(store, false));
	(void)receive_id(fd); /* until we are told to end */
}

Test(store_share, what_one_keeps_the_other_sees, .timeout = 60)
{
	uint64_t kept, free_one;
	int fds[2];
	pid_t pid = other(fds, keep_one);
	struct store *store = open_shared(fds[0]);

	kept = receive_id(fds[0]);
	free_one = receive_id(fds[0]);
	cr_expect_eq(store_is_kept(store, kept), 1);
	cr_expect_eq(store_is_kept(store, free_one), 0);
	cr_expect_eq(store_alone(store), 0, "the other one is there");
	cr_expect(store_is_shared(store));
	cr_expect_neq(add(store, false), 0, "nothing is locked by the try");
	close(fds[0]);
	ended(pid);
	cr_expect_eq(store_alone(store), 1);
	cr_expect_not(store_is_shared(store));
	cr_assert_eq(store_begin(store), 0);
	cr_expect_eq(store_keep_none(store), 0);
	cr_assert_eq(store_commit(store), 0);
	cr_expect_eq(store_is_kept(store, kept), 0);
	store_close(store);
}

static void
activate_one(struct store *store, int fd)
{
	uint64_t id = add(store, false);

	if (store_begin(store) == -1 || store_mark_active(store, id, 0) == -1 ||
	    store_commit(store) == -1)
		_exit(3);
	send_id(fd, id);
	(void)receive_id(fd);
	_exit(0); /* as one that was killed */
}

static int
take_row(const struct store_envelope *envelope,
    const struct store_recipient *recipient, void *arg)
{
	struct store_recipient *row = arg;

	(void)envelope;
	*row = *recipient;
	return 0;
}

Test(store_share, what_the_other_had_in_hand_is_recovered_one_by_one,
    .timeout = 60)
{
	struct store_cursor cursor = { 0 };
	struct store_filter filter = { 0 };
	struct store_recipient row = { 0 };
	uint64_t theirs, ours;
	int fds[2];
	pid_t pid = other(fds, activate_one);
	struct store *store = open_shared(fds[0]);

	theirs = receive_id(fds[0]);
	close(fds[0]);
	ended(pid);
	ours = add(store, false);
	cr_assert_eq(store_alone(store), 1);
	cr_assert_eq(store_begin(store), 0);
	cr_assert_eq(store_recover_one(store, theirs, 0, 77), 0);
	cr_assert_eq(store_recover_one(store, ours, 0, 77), 0);
	cr_assert_eq(store_commit(store), 0);
	filter.message = theirs;
	cr_assert_eq(store_list(store, &cursor, &filter, 1, take_row, &row), 0);
	cr_expect_eq(row.state, STORE_QUEUED);
	cr_expect_eq(row.next_attempt_ms, 77);
	cr_expect(row.in_doubt);
	filter.message = ours; /* which was not active */
	memset(&cursor, 0, sizeof(cursor));
	cr_assert_eq(store_list(store, &cursor, &filter, 1, take_row, &row), 0);
	cr_expect_not(row.in_doubt);
	store_close(store);
}

static void
never(struct store *store, int fd)
{
	(void)store;
	(void)fd;
}

Test(store_share, nobody_comes_beside_one_that_does_not_share, .timeout = 60)
{
	struct store *store;
	int fds[2], status;
	pid_t pid = other(fds, never);

	store = open_store(false);
	cr_assert_not_null(store);
	send_id(fds[0], 1);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	cr_expect_neq(add(store, false), 0);
	store_close(store);
}

Test(store_share, a_store_in_memory_is_not_shared)
{
	struct store *store;

	(void)strlcpy(spool, ":memory:", sizeof(spool));
	store = open_store(false);
	cr_assert_not_null(store);
	cr_expect_eq(store_share(store), -1);
	cr_expect_eq(errno, ENOTSUP);
	store_close(store);
}
