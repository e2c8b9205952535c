/* SPDX-License-Identifier: ISC */
/* Outcome reports: rows that wait until somebody has them. */
#include "master/queue/store.h"

#include <assert.h>
#include <string.h>

#include "master/queue/store_internal.h"

int
store_add_report(struct store *store, int64_t now_ms, const char *text)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_ADD_REPORT];

	assert(store->in_group);
	(void)sqlite3_bind_int64(sql, 1, now_ms);
	(void)sqlite3_bind_text(sql, 2, text, -1, SQLITE_STATIC);
	return store_run(store, STORE_SQL_ADD_REPORT);
}

int
store_next_report(struct store *store, uint64_t after, uint64_t *idp,
    int64_t *created_ms, char *text, size_t size)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_NEXT_REPORT];
	const char *read;
	int rc;

	(void)sqlite3_bind_int64(sql, 1, (sqlite3_int64)after);
	rc = sqlite3_step(sql);
	if (rc == SQLITE_ROW) {
		*idp = (uint64_t)sqlite3_column_int64(sql, 0);
		*created_ms = sqlite3_column_int64(sql, 1);
		read = (const char *)sqlite3_column_text(sql, 2);
		if (read == NULL)
			rc = SQLITE_NOMEM;
		else if (text != NULL)
			(void)strlcpy(text, read, size);
	}
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		(void)store_fail(store, rc);
	store_reset(store, STORE_SQL_NEXT_REPORT);
	if (rc == SQLITE_ROW)
		return 1;
	return rc == SQLITE_DONE ? 0 : -1;
}

int
store_forget_reports(struct store *store, uint64_t until, uint32_t limit,
    uint32_t *countp)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_FORGET_REPORTS];

	assert(store->in_group);
	(void)sqlite3_bind_int64(sql, 1, (sqlite3_int64)until);
	(void)sqlite3_bind_int64(sql, 2, limit);
	if (store_run(store, STORE_SQL_FORGET_REPORTS) == -1)
		return -1;
	*countp = (uint32_t)sqlite3_changes(store->db);
	return 0;
}

int
store_count_reports(struct store *store, uint64_t *countp)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_COUNT_REPORTS];
	int rc;

	rc = sqlite3_step(sql);
	if (rc == SQLITE_ROW)
		*countp = (uint64_t)sqlite3_column_int64(sql, 0);
	else
		(void)store_fail(store, rc);
	store_reset(store, STORE_SQL_COUNT_REPORTS);
	return rc == SQLITE_ROW ? 0 : -1;
}
