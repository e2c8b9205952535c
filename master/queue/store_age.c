/* SPDX-License-Identifier: ISC */
/* How old what waits is: a walk through the messages, some at a time. */
#include "master/queue/store.h"

#include "master/queue/store_internal.h"

int
store_walk_ages(struct store *store, uint64_t *afterp, uint32_t limit,
    store_age_fn age, void *arg)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_AGES];
	uint32_t n = 0;
	int rc = SQLITE_DONE, ret = 0;

	(void)sqlite3_bind_int64(sql, 1, (sqlite3_int64)*afterp);
	(void)sqlite3_bind_int64(sql, 2, limit);
	while (ret == 0 && (rc = sqlite3_step(sql)) == SQLITE_ROW) {
		n++;
		*afterp = (uint64_t)sqlite3_column_int64(sql, 0);
		ret = age(sqlite3_column_int64(sql, 1),
		    sqlite3_column_int(sql, 2) != 0, arg);
	}
	if (ret == 0 && rc != SQLITE_DONE)
		ret = store_fail(store, rc);
	store_reset(store, STORE_SQL_AGES);
	if (ret == 0 && n < limit)
		*afterp = 0;
	return ret;
}

uint64_t
store_count_messages(const struct store *store)
{
	int64_t n = store->tally[STORE_TALLY_MESSAGES];

	return n > 0 ? (uint64_t)n : 0;
}
