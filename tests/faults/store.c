/* SPDX-License-Identifier: ISC */
/*
 * Every function of the store, while one of its calls fails: what was committed
 * is there afterwards, as it was, and what was not is not.
 */
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "master/queue/store.h"

enum {
	MESSAGES = 8,
	LARGE = 5000,
	STAGED = 6, /* recipients of the one that comes in parts */
};

static struct store *store;
static int body_fd;

/* What a commit has confirmed. */
static uint64_t added[MESSAGES];
static size_t nadded;
static uint64_t staged_id;
static bool is_staged, is_taken, is_released;

static int
open_store(void)
{
	const struct store_options options = { .spool = faults_folder(),
		.inline_body_limit = 1000 };
	char error[512] = "";

	if (store_open(&options, &store, error, sizeof(error)) == 0)
		return 0;
	if (error[0] == '\0')
		faults_fail("the store cannot be opened, and says nothing");
	store = NULL;
	return -1;
}

static int
see(const struct store_envelope *envelope,
    const struct store_recipient *recipient, void *arg)
{
	uint32_t *n = arg;

	if (envelope->reverse_path == NULL || recipient->address == NULL ||
	    recipient->domain == NULL)
		faults_fail("a row without its strings");
	(*n)++;
	return 0;
}

static void
add(size_t size, uint32_t nrcpts)
{
	static const char *const addresses[] = { "a@b.example", "c@d.example" };
	static const char *const parameters[] = { "NOTIFY=NEVER", NULL };
	const struct store_envelope envelope = { .created_ms = 1000,
		.size = size,
		.nrcpts = nrcpts,
		.reverse_path = "s@e.example",
		.parameters = "",
		.ref = "ref",
		.via = "" };
	uint64_t id;

	if (store_begin(store) == -1)
		return;
	if (store_add_message(store, &envelope, addresses, parameters, body_fd,
		&id) == -1) {
		store_rollback(store);
		return;
	}
	if (store_commit(store) == 0)
		added[nadded++] = id;
}

static void
add_in_parts(void)
{
	static const char *const addresses[STAGED] = { "a@b.example",
		"b@b.example", "c@b.example", "d@c.example", "e@c.example",
		"f@c.example" };
	struct store_envelope envelope = { .created_ms = 2000,
		.size = LARGE,
		.nrcpts = STAGED,
		.reverse_path = "s@e.example",
		.parameters = "",
		.ref = "",
		.via = "" };
	uint32_t n;

	for (uint32_t at = 0; at < STAGED; at += 3) {
		if (store_begin(store) == -1)
			return;
		if (store_stage(store, &envelope, addresses, NULL, at, at + 3,
			&envelope.id) == -1) {
			store_rollback(store);
			return;
		}
		if (store_commit(store) == -1)
			return;
		staged_id = envelope.id;
	}
	is_staged = true;
	if (store_begin(store) == -1)
		return;
	if (store_add_staged(store, &envelope, body_fd) == -1) {
		store_rollback(store);
		return;
	}
	is_taken = store_commit(store) == 0;
	if (!is_taken || store_begin(store) == -1)
		return;
	if (store_release_part(store, staged_id, 0, STAGED, 2000, &n) == -1 ||
	    store_end_staged(store, staged_id) == -1) {
		store_rollback(store);
		return;
	}
	is_released = store_commit(store) == 0;
}

/* A group of one change. */
static bool
group(int (*change)(uint64_t id), uint64_t id)
{
	if (store_begin(store) == -1)
		return false;
	if (change(id) == -1) {
		store_rollback(store);
		return false;
	}
	return store_commit(store) == 0;
}

static int
activate(uint64_t id)
{
	return store_mark_active(store, id, 0);
}

static int
defer(uint64_t id)
{
	const struct store_outcome outcome = { .message = id,
		.state = STORE_DEFERRED,
		.next_attempt_ms = 3000,
		.finished_ms = 2500,
		.begun = true,
		.dsn = "4.2.0",
		.reply = "later",
		.relay = "mx" };
	bool removed;

	return store_set_outcome(store, &outcome, &removed);
}

static int
deliver(uint64_t id)
{
	const struct store_outcome outcome = { .message = id,
		.state = STORE_DELIVERED,
		.finished_ms = 4000,
		.begun = true };
	bool removed;

	return store_set_outcome(store, &outcome, &removed);
}

static int
hold(uint64_t id)
{
	const struct store_change change = { .message = id,
		.state = STORE_HELD,
		.via = "other" };

	return store_change(store, &change);
}

static int
report(uint64_t id)
{
	uint32_t count;

	if (store_add_report(store, 1, "{}") == -1)
		return -1;
	return store_forget_reports(store, id, 10, &count);
}

static int
owe(uint64_t id)
{
	bool changed;

	return store_owe(store, id, 0, 0x11, 1, &changed);
}

static int
rate(uint64_t id)
{
	(void)id;
	return store_set_rate(store, "limit", 5000) == -1 ||
		store_hasten(store, "b.example", 0, 10000, 1, 10) == -1 ||
		store_keep(store, id) == -1
	    ? -1
	    : 0;
}

/* All that only reads: it may fail, and gives nothing then. */
static void
read_all(void)
{
	const struct store_filter all = { 0 };
	struct store_cursor cursor = { 0 };
	char domain[STORE_DOMAIN_SIZE], text[64];
	int64_t when_ms;
	uint64_t id = 0;
	uint32_t n = 0, lane;
	int fd;

	(void)store_list(store, &cursor, &all, 100, see, &n);
	memset(&cursor, 0, sizeof(cursor));
	(void)store_load_due(store, "b.example", 0, &cursor, 10000, 10, see, &n,
	    &lane);
	memset(&cursor, 0, sizeof(cursor));
	(void)store_load_older(store, &cursor, 10000, 10, see, &n);
	memset(&cursor, 0, sizeof(cursor));
	(void)store_load_late(store, &cursor, 10000, 10, see, &n);
	(void)store_load_active(store, 10, see, &n);
	(void)store_next_source(store, NULL, 0, domain, &lane, &when_ms);
	(void)store_next_due(store, "b.example", 0, 0, &when_ms);
	(void)store_next_owed(store, 0, &id);
	(void)store_next_remind(store, 10000, &id);
	(void)store_next_report(store, 0, &id, &when_ms, text, sizeof(text));
	(void)store_get_rate(store, "limit", &when_ms);
	for (size_t i = 0; i < nadded; i++) {
		if (store_body_fd(store, added[i], &fd) == 0)
			fd_close(fd);
		if (store_body_source(store, added[i], &fd) == 0)
			fd_close(fd);
	}
}

/* With calls that work: as what was confirmed has it. */
static void
check(bool delivered)
{
	struct store_recovered recovered;
	struct store_filter filter = { 0 };
	struct store_cursor cursor;
	uint32_t n;
	int fd;

	if (open_store() == -1)
		faults_fail("the store cannot be opened afterwards");
	if (store_recover(store, 5000, &recovered) == -1)
		faults_fail("recovery: %s", store_error(store));
	if (recovered.lost_bodies > 0)
		faults_fail("a body is lost");
	for (size_t i = delivered ? 1 : 0; i < nadded; i++) {
		memset(&cursor, 0, sizeof(cursor));
		filter.message = added[i];
		n = 0;
		if (store_list(store, &cursor, &filter, 10, see, &n) == -1 ||
		    n == 0)
			faults_fail("message %zu was committed, and is gone",
			    i);
		if (store_body_fd(store, added[i], &fd) == -1)
			faults_fail("its body is gone: %s", strerror(errno));
		fd_close(fd);
	}
	filter.message = staged_id;
	memset(&cursor, 0, sizeof(cursor));
	n = 0;
	if (is_taken &&
	    (store_list(store, &cursor, &filter, 10, see, &n) == -1 ||
		n != STAGED))
		faults_fail("of a message that came in parts %u are left", n);
	store_close(store);
}

static void
change_all(void)
{
	struct store_recovered recovered;

	(void)store_recover(store, 1000, &recovered);
	add(100, 2);
	add(LARGE, 1);
	add(100, 1);
	add_in_parts();
	for (size_t i = 0; i < nadded; i++)
		(void)group(activate, added[i]);
	read_all();
	if (nadded > 1)
		(void)group(defer, added[1]);
	if (nadded > 2 && group(defer, added[2]))
		(void)group(hold, added[2]);
	(void)group(report, 1);
	if (nadded > 1)
		(void)group(owe, added[1]);
	if (nadded > 0)
		(void)group(rate, added[0]);
	(void)store_set_pause(store, 1, "name", 5);
	read_all();
	(void)store_share(store);
	(void)store_alone(store);
	add(LARGE, 1);
}

static void
run(void)
{
	bool delivered = false;
	char body[LARGE];
	uint64_t counts[STORE_STATE_COUNT];

	memset(body, 'x', sizeof(body));
	body_fd = fd_sealed("body", body, sizeof(body));
	faults_arm();
	if (open_store() == 0) {
		change_all();
		if (nadded > 0)
			delivered = group(deliver, added[0]);
		store_count_states(store, counts);
		store_close(store);
	} else if (!faults_fired()) {
		faults_fail("the store cannot be opened");
	}
	faults_disarm();
	check(delivered);
	fd_close(body_fd);
}

const struct scenario store_scenario = { "store", run };
