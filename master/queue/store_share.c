/* SPDX-License-Identifier: ISC */
/*
 * Two processes with one store, while a generation of posternd hands it to the
 * next: each waits for the other's group, reads the numbers anew that the other
 * may have changed, and leaves alone what the other keeps.
 *
 * What is kept stands in a table, written with what makes it so, since a message
 * that the ending one has just taken must never be seen by the other as free.
 */
#include "master/queue/store.h"

#include <assert.h>
#include <errno.h>

#include "master/queue/store_internal.h"

enum {
	STORE_SHARED_WAIT_MS = 5000, /* for the other's group */
};

void
store_wait_for_lock(struct store *store, bool wait)
{
	(void)sqlite3_busy_timeout(store->db, wait ? STORE_SHARED_WAIT_MS : 0);
}

bool
store_is_shared(const struct store *store)
{
	return store->is_shared;
}

/* A change of the locking mode holds from the next group on. */
static int
set_locking(struct store *store, const char *mode)
{
	if (store_exec(store, mode) == -1 ||
	    store_run(store, STORE_SQL_BEGIN) == -1)
		return -1;
	if (store_run(store, STORE_SQL_COMMIT) == 0)
		return 0;
	(void)store_run(store, STORE_SQL_ROLLBACK); /* it may be undone */
	return -1;
}

int
store_share(struct store *store)
{
	assert(!store->in_group);
	if (store->bodies_fd == -1) {
		errno = ENOTSUP; /* in memory, which nobody shares */
		return -1;
	}
	if (set_locking(store, "PRAGMA locking_mode = NORMAL") == -1)
		return -1;
	store->is_shared = true;
	store_wait_for_lock(store, true);
	return 0;
}

int
store_alone(struct store *store)
{
	int saved;

	assert(!store->in_group);
	store_wait_for_lock(store, false);
	if (set_locking(store, "PRAGMA locking_mode = EXCLUSIVE") == 0) {
		store->is_shared = false;
		/* The other's last numbers are ours from here on. */
		return store_tally_read(store) == 0 ? 1 : -1;
	}
	saved = errno;
	/* What was locked on the way there is free again with a group's end. */
	(void)set_locking(store, "PRAGMA locking_mode = NORMAL");
	store_wait_for_lock(store, true);
	errno = saved;
	return saved == EBUSY ? 0 : -1;
}

int
store_keep(struct store *store, uint64_t message)
{
	assert(store->in_group);
	(void)sqlite3_bind_int64(store->sql[STORE_SQL_KEEP], 1,
	    (sqlite3_int64)message);
	return store_run(store, STORE_SQL_KEEP);
}

/* Whether the statement finds a row: 1, 0 or -1. */
static int
store_finds(struct store *store, enum store_sql which)
{
	int rc = sqlite3_step(store->sql[which]);

	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		(void)store_fail(store, rc);
	store_reset(store, which);
	if (rc == SQLITE_ROW)
		return 1;
	return rc == SQLITE_DONE ? 0 : -1;
}

int
store_is_kept(struct store *store, uint64_t message)
{
	(void)sqlite3_bind_int64(store->sql[STORE_SQL_IS_KEPT], 1,
	    (sqlite3_int64)message);
	return store_finds(store, STORE_SQL_IS_KEPT);
}

int
store_is_taken(struct store *store, uint64_t message, int64_t created_ms)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_IS_TAKEN];

	(void)sqlite3_bind_int64(sql, 1, (sqlite3_int64)message);
	(void)sqlite3_bind_int64(sql, 2, created_ms);
	return store_finds(store, STORE_SQL_IS_TAKEN);
}

int
store_keep_none(struct store *store)
{
	assert(store->in_group);
	return store_run(store, STORE_SQL_KEEP_NONE);
}

int
store_recover_one(struct store *store, uint64_t message, uint32_t index,
    int64_t now_ms)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_RECOVER_ONE];

	assert(store->in_group);
	(void)sqlite3_bind_int64(sql, 1, (sqlite3_int64)message);
	(void)sqlite3_bind_int64(sql, 2, index);
	(void)sqlite3_bind_int64(sql, 3, now_ms);
	return store_run(store, STORE_SQL_RECOVER_ONE);
}
