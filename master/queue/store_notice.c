/* SPDX-License-Identifier: ISC */
/*
 * What senders are still to be told, as the store keeps it: a debt is part of
 * the change that makes it, and goes with the change that adds the notice.
 */
#include "master/queue/store.h"

#include <assert.h>

#include "master/queue/store_internal.h"

/* The id that a statement with at most one row gives.  1, 0: none, or -1. */
static int
notice_one_id(struct store *store, enum store_sql which, uint64_t *idp)
{
	sqlite3_stmt *sql = store->sql[which];
	int ret = 0;
	int rc;

	rc = sqlite3_step(sql);
	if (rc == SQLITE_ROW) {
		*idp = (uint64_t)sqlite3_column_int64(sql, 0);
		ret = 1;
	} else if (rc != SQLITE_DONE) {
		ret = store_fail(store, rc);
	}
	store_reset(store, which);
	return ret;
}

int
store_next_owed(struct store *store, uint64_t after, uint64_t *messagep)
{
	(void)sqlite3_bind_int64(store->sql[STORE_SQL_NEXT_OWED], 1,
	    (sqlite3_int64)after);
	return notice_one_id(store, STORE_SQL_NEXT_OWED, messagep);
}

int
store_load_owed(struct store *store, uint64_t message, store_row_fn row,
    void *arg)
{
	struct store_envelope envelope = { 0 };
	struct store_recipient recipient = { 0 };
	int ret;

	(void)sqlite3_bind_int64(store->sql[STORE_SQL_LOAD_OWED], 1,
	    (sqlite3_int64)message);
	do {
		ret = store_step_row(store, STORE_SQL_LOAD_OWED, &envelope,
		    &recipient);
	} while (ret == 1 && (ret = row(&envelope, &recipient, arg)) == 0);
	store_reset(store, STORE_SQL_LOAD_OWED);
	return ret;
}

int
store_notice_told(struct store *store, uint64_t message, uint32_t index,
    uint32_t kind, uint32_t reader, bool *removedp)
{
	sqlite3_stmt *told = store->sql[STORE_SQL_NOTICE_TOLD];
	sqlite3_stmt *gone = store->sql[STORE_SQL_DELETE_TOLD];

	assert(store->in_group);
	*removedp = false;
	(void)sqlite3_bind_int64(told, 1, (sqlite3_int64)message);
	(void)sqlite3_bind_int64(told, 2, index);
	(void)sqlite3_bind_int64(told, 3, kind);
	(void)sqlite3_bind_int64(told, 4, reader);
	if (store_run(store, STORE_SQL_NOTICE_TOLD) == -1)
		return -1;
	if (sqlite3_changes(store->db) == 0)
		return 0; /* it is gone, or something else is to be told now */
	(void)sqlite3_bind_int64(gone, 1, (sqlite3_int64)message);
	(void)sqlite3_bind_int64(gone, 2, index);
	if (store_run(store, STORE_SQL_DELETE_TOLD) == -1)
		return -1;
	return sqlite3_changes(store->db) == 0
	    ? 0
	    : store_drop_empty(store, message, removedp);
}

int
store_owe(struct store *store, uint64_t message, uint32_t index,
    uint32_t notice, uint32_t warned, bool *changedp)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_OWE];

	assert(store->in_group);
	(void)sqlite3_bind_int64(sql, 1, (sqlite3_int64)message);
	(void)sqlite3_bind_int64(sql, 2, index);
	(void)sqlite3_bind_int64(sql, 3, notice);
	(void)sqlite3_bind_int64(sql, 4, warned);
	if (store_run(store, STORE_SQL_OWE) == -1)
		return -1;
	*changedp = sqlite3_changes(store->db) != 0;
	return 0;
}

int
store_next_remind(struct store *store, int64_t now_ms, uint64_t *messagep)
{
	(void)sqlite3_bind_int64(store->sql[STORE_SQL_NEXT_REMIND], 1, now_ms);
	return notice_one_id(store, STORE_SQL_NEXT_REMIND, messagep);
}

int
store_reminded(struct store *store, uint64_t message)
{
	assert(store->in_group);
	(void)sqlite3_bind_int64(store->sql[STORE_SQL_REMINDED], 1,
	    (sqlite3_int64)message);
	return store_run(store, STORE_SQL_REMINDED);
}
