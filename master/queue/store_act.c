/* SPDX-License-Identifier: ISC */
/*
 * What an operator changes by hand: a recipient held, due at once, or sent
 * another way; what is paused; and what rates have left.
 */
#include "master/queue/store.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "master/queue/store_internal.h"

/* Touches what waits or is held, and nothing else. */
int
store_change(struct store *store, const struct store_change *change)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_CHANGE];

	assert(store->in_group);
	(void)sqlite3_bind_int64(sql, 1, (sqlite3_int64)change->message);
	(void)sqlite3_bind_int64(sql, 2, change->index);
	(void)sqlite3_bind_int(sql, 3, (int)change->state);
	if (change->state == STORE_HELD)
		(void)sqlite3_bind_null(sql, 4);
	else
		(void)sqlite3_bind_int64(sql, 4, change->next_attempt_ms);
	if (change->via != NULL)
		(void)sqlite3_bind_text(sql, 5, change->via, -1, SQLITE_STATIC);
	else
		(void)sqlite3_bind_null(sql, 5);
	if (store_run(store, STORE_SQL_CHANGE) == -1)
		return -1;
	if (sqlite3_changes(store->db) == 1)
		return 0;
	errno = ENOENT;
	return -1;
}

uint64_t
store_last_id(const struct store *store)
{
	return store->next_id - 1;
}

int
store_count_kept(struct store *store, uint64_t *countp)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_COUNT_KEPT];
	int rc = sqlite3_step(sql);

	if (rc == SQLITE_ROW)
		*countp = (uint64_t)sqlite3_column_int64(sql, 0);
	else
		(void)store_fail(store, rc);
	store_reset(store, STORE_SQL_COUNT_KEPT);
	return rc == SQLITE_ROW ? 0 : -1;
}

int
store_count_waiting(struct store *store, const char *domain, uint32_t most,
    uint32_t *countp)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_COUNT_WAITING];
	int rc;

	(void)sqlite3_bind_text(sql, 1, domain, -1, SQLITE_STATIC);
	(void)sqlite3_bind_int64(sql, 2, most);
	rc = sqlite3_step(sql);
	if (rc == SQLITE_ROW)
		*countp = (uint32_t)sqlite3_column_int64(sql, 0);
	else
		(void)store_fail(store, rc);
	store_reset(store, STORE_SQL_COUNT_WAITING);
	return rc == SQLITE_ROW ? 0 : -1;
}

/* Alone, outside of any group: it is rare. */
int
store_set_pause(struct store *store, uint32_t kind, const char *name,
    int64_t since_ms)
{
	enum store_sql which =
	    since_ms != 0 ? STORE_SQL_ADD_PAUSE : STORE_SQL_DELETE_PAUSE;
	sqlite3_stmt *sql = store->sql[which];

	assert(!store->in_group);
	(void)sqlite3_bind_int64(sql, 1, kind);
	(void)sqlite3_bind_text(sql, 2, name, -1, SQLITE_STATIC);
	if (since_ms != 0)
		(void)sqlite3_bind_int64(sql, 3, since_ms);
	return store_run(store, which);
}

int
store_list_pauses(struct store *store, store_pause_fn pause, void *arg)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_PAUSES];
	const unsigned char *name;
	int rc;

	while ((rc = sqlite3_step(sql)) == SQLITE_ROW) {
		name = sqlite3_column_text(sql, 1);
		if (pause((uint32_t)sqlite3_column_int64(sql, 0),
			name != NULL ? (const char *)name : "",
			sqlite3_column_int64(sql, 2), arg) != 0)
			break;
	}
	if (rc != SQLITE_DONE && rc != SQLITE_ROW)
		(void)store_fail(store, rc);
	store_reset(store, STORE_SQL_PAUSES);
	return rc == SQLITE_DONE ? 0 : -1;
}

int
store_get_rate(struct store *store, const char *name, int64_t *full_usp)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_GET_RATE];
	int rc;

	(void)sqlite3_bind_text(sql, 1, name, -1, SQLITE_STATIC);
	rc = sqlite3_step(sql);
	*full_usp = rc == SQLITE_ROW ? sqlite3_column_int64(sql, 0) : 0;
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		(void)store_fail(store, rc);
	store_reset(store, STORE_SQL_GET_RATE);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -1;
}

int
store_set_rate(struct store *store, const char *name, int64_t full_us)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_SET_RATE];

	assert(store->in_group);
	(void)sqlite3_bind_text(sql, 1, name, -1, SQLITE_STATIC);
	(void)sqlite3_bind_int64(sql, 2, full_us);
	return store_run(store, STORE_SQL_SET_RATE);
}

int
store_forget_rates(struct store *store, int64_t until_us)
{
	(void)sqlite3_bind_int64(store->sql[STORE_SQL_FORGET_RATES], 1,
	    until_us);
	return store_run(store, STORE_SQL_FORGET_RATES);
}
