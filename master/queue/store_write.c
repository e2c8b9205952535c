/* SPDX-License-Identifier: ISC */
/*
 * The store's changes: a message comes in, is tried, and goes.
 */
#include "master/queue/store.h"

#include <sys/stat.h>

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "master/queue/store_internal.h"

/* Strings outlive the step, and are bound without a copy. */
static void
store_bind_text(sqlite3_stmt *sql, int at, const char *text)
{
	if (text != NULL)
		(void)sqlite3_bind_text(sql, at, text, -1, SQLITE_STATIC);
	else
		(void)sqlite3_bind_null(sql, at);
}

static void
store_bind_time(sqlite3_stmt *sql, int at, int64_t time_ms, bool present)
{
	if (present)
		(void)sqlite3_bind_int64(sql, at, time_ms);
	else
		(void)sqlite3_bind_null(sql, at);
}

static int
store_take_id(struct store *store, uint64_t *idp)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_SET_NEXT_ID];

	uint64_t first;

	if (store->next_id == store->reserved_id) {
		/* Another process may have taken some; never those again that
		 * a group which was undone had. */
		if (store_read_next_id(store, &first) == -1)
			return -1;
		if (first > store->next_id)
			store->next_id = first;
		first = store->next_id + STORE_ID_BLOCK;
		(void)sqlite3_bind_int64(sql, 1, (sqlite3_int64)first);
		if (store_run(store, STORE_SQL_SET_NEXT_ID) == -1)
			return -1;
		store->reserved_id = first;
	}
	*idp = store->next_id++;
	return 0;
}

/* Reads a body that becomes part of its row into the store's buffer. */
static int
store_read_body(struct store *store, int fd, size_t size)
{
	uint8_t *grown;
	size_t at = 0;
	ssize_t n;

	if (size > store->buffer_size) {
		grown = realloc(store->buffer, size);
		if (grown == NULL)
			return -1;
		store->buffer = grown;
		store->buffer_size = size;
	}
	while (at < size) {
		n = pread(fd, store->buffer + at, size - at, (off_t)at);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EBADMSG; /* shorter than it was */
		if (n <= 0)
			return -1;
		at += (size_t)n;
	}
	return 0;
}

static int
store_add_body(struct store *store, uint64_t id, int body_fd)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_ADD_MESSAGE];
	struct stat st;
	uint64_t size;

	if (fstat(body_fd, &st) == -1)
		return -1;
	size = (uint64_t)st.st_size;
	if (size > store->inline_body_limit) {
		(void)sqlite3_bind_int(sql, 10, 1);
		(void)sqlite3_bind_null(sql, 11);
		return store_body_write_file(store, id, body_fd, size);
	}
	if (size > INT_MAX) {
		errno = EFBIG;
		return -1;
	}
	if (store_read_body(store, body_fd, (size_t)size) == -1)
		return -1;
	(void)sqlite3_bind_int(sql, 10, 0);
	(void)sqlite3_bind_blob(sql, 11, store->buffer, (int)size,
	    SQLITE_STATIC);
	return 0;
}

/* Those from first up to end; each due at once, or at no time. */
static int
store_add_recipients(struct store *store, const struct store_envelope *envelope,
    uint64_t id, const char *const *addresses, const char *const *parameters,
    uint32_t first, uint32_t end, bool due)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_ADD_RCPT];
	char domain[STORE_DOMAIN_SIZE];
	const char *text;
	uint32_t i;

	(void)sqlite3_bind_int64(sql, 1, (sqlite3_int64)id);
	store_bind_time(sql, 5, envelope->created_ms, due);
	(void)sqlite3_bind_int64(sql, 7, envelope->lane);
	for (i = first; i < end; i++) {
		store_address_domain(addresses[i], domain);
		(void)sqlite3_bind_int64(sql, 2, i);
		store_bind_text(sql, 3, addresses[i]);
		store_bind_text(sql, 4, domain);
		text = parameters != NULL ? parameters[i] : NULL;
		store_bind_text(sql, 6, text != NULL ? text : "");
		if (store_run(store, STORE_SQL_ADD_RCPT) == -1)
			return -1;
	}
	return 0;
}

static int
store_insert_message(struct store *store, const struct store_envelope *envelope,
    uint64_t id, int body_fd)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_ADD_MESSAGE];

	if (store_add_body(store, id, body_fd) == -1)
		return -1;
	(void)sqlite3_bind_int64(sql, 1, (sqlite3_int64)id);
	(void)sqlite3_bind_int64(sql, 2, envelope->created_ms);
	(void)sqlite3_bind_int64(sql, 3, (sqlite3_int64)envelope->size);
	(void)sqlite3_bind_int64(sql, 4, envelope->flags);
	(void)sqlite3_bind_int64(sql, 5, envelope->uid);
	(void)sqlite3_bind_int64(sql, 6, envelope->nrcpts);
	store_bind_text(sql, 7, envelope->reverse_path);
	store_bind_text(sql, 8, envelope->ref != NULL ? envelope->ref : "");
	store_bind_text(sql, 9, envelope->via != NULL ? envelope->via : "");
	store_bind_text(sql, 12,
	    envelope->parameters != NULL ? envelope->parameters : "");
	store_bind_time(sql, 13, envelope->deadline_ms,
	    envelope->deadline_ms != 0);
	store_bind_time(sql, 14, envelope->remind_ms, envelope->remind_ms != 0);
	if (store_run(store, STORE_SQL_ADD_MESSAGE) == -1)
		return -1;
	store->tally[STORE_TALLY_MESSAGES]++;
	return 0;
}

int
store_add_message(struct store *store, const struct store_envelope *envelope,
    const char *const *addresses, const char *const *parameters, int body_fd,
    uint64_t *idp)
{
	uint64_t id;

	assert(store->in_group);
	if (store_take_id(store, &id) == -1 ||
	    store_insert_message(store, envelope, id, body_fd) == -1 ||
	    store_add_recipients(store, envelope, id, addresses, parameters, 0,
		envelope->nrcpts, true) == -1)
		return -1;
	*idp = id;
	return 0;
}

/* A statement about the recipients of a message from first up to end. */
static int
store_run_part(struct store *store, enum store_sql which, uint64_t message,
    uint32_t first, uint32_t end)
{
	sqlite3_stmt *sql = store->sql[which];

	assert(store->in_group);
	(void)sqlite3_bind_int64(sql, 1, (sqlite3_int64)message);
	(void)sqlite3_bind_int64(sql, 2, first);
	(void)sqlite3_bind_int64(sql, 3, end);
	return store_run(store, which);
}

static int
store_run_one(struct store *store, enum store_sql which, uint64_t message)
{
	assert(store->in_group);
	(void)sqlite3_bind_int64(store->sql[which], 1, (sqlite3_int64)message);
	return store_run(store, which);
}

int
store_begin_staged(struct store *store, uint64_t message)
{
	return store_run_one(store, STORE_SQL_STAGE, message);
}

int
store_stage(struct store *store, const struct store_envelope *envelope,
    const char *const *addresses, const char *const *parameters, uint32_t first,
    uint32_t end, uint64_t *idp)
{
	uint64_t id = *idp;

	assert(store->in_group);
	if (id == 0 &&
	    (store_take_id(store, &id) == -1 ||
		store_begin_staged(store, id) == -1))
		return -1;
	if (store_add_recipients(store, envelope, id, addresses, parameters,
		first, end, false) == -1)
		return -1;
	*idp = id;
	return 0;
}

int
store_add_staged(struct store *store, const struct store_envelope *envelope,
    int body_fd)
{
	assert(store->in_group);
	return store_insert_message(store, envelope, envelope->id, body_fd);
}

int
store_release_part(struct store *store, uint64_t message, uint32_t first,
    uint32_t end, int64_t due_ms, uint32_t *countp)
{
	(void)sqlite3_bind_int64(store->sql[STORE_SQL_RELEASE_PART], 4, due_ms);
	if (store_run_part(store, STORE_SQL_RELEASE_PART, message, first,
		end) == -1)
		return -1;
	*countp = (uint32_t)sqlite3_changes(store->db);
	return 0;
}

int
store_unstage_part(struct store *store, uint64_t message, uint32_t first,
    uint32_t end)
{
	return store_run_part(store, STORE_SQL_UNSTAGE_PART, message, first,
	    end);
}

int
store_end_staged(struct store *store, uint64_t message)
{
	return store_run_one(store, STORE_SQL_END_STAGED, message);
}

int
store_mark_active(struct store *store, uint64_t message,
    uint32_t recipient_index)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_MARK_ACTIVE];

	assert(store->in_group);
	(void)sqlite3_bind_int64(sql, 1, (sqlite3_int64)message);
	(void)sqlite3_bind_int64(sql, 2, recipient_index);
	if (store_run(store, STORE_SQL_MARK_ACTIVE) == -1)
		return -1;
	if (sqlite3_changes(store->db) == 1)
		return 0;
	errno = ENOENT;
	return -1;
}

/* 1: some recipient is left; 0: none. */
static int
store_has_recipient(struct store *store, uint64_t message)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_HAS_RCPT];
	int rc;

	(void)sqlite3_bind_int64(sql, 1, (sqlite3_int64)message);
	rc = sqlite3_step(sql);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		(void)store_fail(store, rc);
	store_reset(store, STORE_SQL_HAS_RCPT);
	if (rc == SQLITE_ROW)
		return 1;
	return rc == SQLITE_DONE ? 0 : -1;
}

static int
store_delete_message(struct store *store, uint64_t message)
{
	int in_file;

	in_file = store_body_in_file(store, message);
	if (in_file == -1)
		return -1;
	if (in_file == 1 && store_files_add(&store->removed, message) == -1)
		return -1;
	(void)sqlite3_bind_int64(store->sql[STORE_SQL_DELETE_MSG], 1,
	    (sqlite3_int64)message);
	store->tally[STORE_TALLY_MESSAGES]--;
	return store_run(store, STORE_SQL_DELETE_MSG);
}

int
store_drop_empty(struct store *store, uint64_t message, bool *removedp)
{
	int left;

	left = store_has_recipient(store, message);
	if (left != 0)
		return left == 1 ? 0 : -1;
	*removedp = true;
	return store_delete_message(store, message);
}

/* Removes a recipient, and the message with the last of them. */
static int
store_delete_recipient(struct store *store, uint64_t message, uint32_t at,
    bool *removedp)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_DELETE_RCPT];

	(void)sqlite3_bind_int64(sql, 1, (sqlite3_int64)message);
	(void)sqlite3_bind_int64(sql, 2, at);
	if (store_run(store, STORE_SQL_DELETE_RCPT) == -1)
		return -1;
	if (sqlite3_changes(store->db) != 1) {
		errno = ENOENT;
		return -1;
	}
	return store_drop_empty(store, message, removedp);
}

/* When the attempt ended, and what is to be told of it. */
static void
store_bind_end(sqlite3_stmt *sql, const struct store_outcome *outcome,
    bool waits)
{
	store_bind_time(sql, 5, outcome->finished_ms,
	    !waits || (outcome->begun && outcome->finished_ms != 0));
	/* One that waits keeps the notice of its delay. */
	if (outcome->notice != 0 || !waits)
		(void)sqlite3_bind_int64(sql, 12, outcome->notice);
	else
		(void)sqlite3_bind_null(sql, 12);
	(void)sqlite3_bind_int64(sql, 13, outcome->warned);
}

int
store_set_outcome(struct store *store, const struct store_outcome *outcome,
    bool *removedp)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_SET_OUTCOME];
	bool waits;

	assert(store->in_group);
	*removedp = false;
	if (outcome->state == STORE_DELIVERED && outcome->notice == 0)
		return store_delete_recipient(store, outcome->message,
		    outcome->index, removedp);
	waits =
	    outcome->state == STORE_QUEUED || outcome->state == STORE_DEFERRED;
	(void)sqlite3_bind_int64(sql, 1, (sqlite3_int64)outcome->message);
	(void)sqlite3_bind_int64(sql, 2, outcome->index);
	(void)sqlite3_bind_int(sql, 3, (int)outcome->state);
	store_bind_time(sql, 4, outcome->next_attempt_ms, waits);
	store_bind_end(sql, outcome, waits);
	if (outcome->dsn != NULL)
		(void)sqlite3_bind_int(sql, 6, outcome->code);
	else
		(void)sqlite3_bind_null(sql, 6);
	if (outcome->dsn != NULL)
		(void)sqlite3_bind_int64(sql, 14, outcome->step);
	else
		(void)sqlite3_bind_null(sql, 14);
	(void)sqlite3_bind_int(sql, 7, outcome->in_doubt ? 1 : 0);
	store_bind_text(sql, 8, outcome->dsn);
	store_bind_text(sql, 9, outcome->reply);
	store_bind_text(sql, 10, outcome->relay);
	(void)sqlite3_bind_int(sql, 11, outcome->begun ? 0 : 1);
	if (store_run(store, STORE_SQL_SET_OUTCOME) == -1)
		return -1;
	if (sqlite3_changes(store->db) == 1)
		return 0;
	errno = ENOENT;
	return -1;
}

int
store_hasten(struct store *store, const char *domain, uint32_t lane,
    int64_t after_ms, int64_t due_ms, uint32_t limit)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_HASTEN];

	assert(store->in_group);
	store_bind_text(sql, 1, domain);
	(void)sqlite3_bind_int64(sql, 2, lane);
	(void)sqlite3_bind_int64(sql, 3, after_ms);
	(void)sqlite3_bind_int64(sql, 4, due_ms);
	(void)sqlite3_bind_int64(sql, 5, limit);
	return store_run(store, STORE_SQL_HASTEN);
}

int
store_expire_failed(struct store *store, int64_t before_ms, uint32_t limit,
    uint32_t *countp)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_EXPIRED];
	uint64_t message = 0;
	uint32_t at = 0;
	bool removed;
	int rc;

	assert(store->in_group);
	for (*countp = 0; *countp < limit; (*countp)++) {
		(void)sqlite3_bind_int64(sql, 1, before_ms);
		rc = sqlite3_step(sql);
		if (rc == SQLITE_ROW) {
			message = (uint64_t)sqlite3_column_int64(sql, 0);
			at = (uint32_t)sqlite3_column_int64(sql, 1);
		} else if (rc != SQLITE_DONE) {
			(void)store_fail(store, rc);
		}
		store_reset(store, STORE_SQL_EXPIRED);
		if (rc != SQLITE_ROW)
			return rc == SQLITE_DONE ? 0 : -1;
		removed = false;
		if (store_delete_recipient(store, message, at, &removed) == -1)
			return -1;
	}
	return 0;
}
