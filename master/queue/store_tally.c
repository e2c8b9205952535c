/* SPDX-License-Identifier: ISC */
/*
 * How many messages the store has, and recipients of each state.
 *
 * Statements that change a state pass it through a function of ours, which counts
 * in memory; what a group has changed is written with it, as one row.
 */
#include <string.h>

#include "master/queue/store_internal.h"

static bool
is_state(sqlite3_value *value)
{
	int state = sqlite3_value_int(value);

	return sqlite3_value_type(value) == SQLITE_INTEGER && state >= 0 &&
	    state < STORE_STATE_COUNT;
}

/* moved(old, new): the new one; old NULL: a row that comes in. */
static void
tally_moved(sqlite3_context *context, int n, sqlite3_value **values)
{
	struct store *store = sqlite3_user_data(context);

	(void)n;
	if (is_state(values[0]))
		store->tally[sqlite3_value_int(values[0])]--;
	if (is_state(values[1]))
		store->tally[sqlite3_value_int(values[1])]++;
	sqlite3_result_value(context, values[1]);
}

/* gone(state): true; the row is removed. */
static void
tally_gone(sqlite3_context *context, int n, sqlite3_value **values)
{
	struct store *store = sqlite3_user_data(context);

	(void)n;
	if (is_state(values[0]))
		store->tally[sqlite3_value_int(values[0])]--;
	sqlite3_result_int(context, 1);
}

int
store_tally_init(struct store *store)
{
	int rc;

	rc = sqlite3_create_function_v2(store->db, "moved", 2,
	    SQLITE_UTF8 | SQLITE_DIRECTONLY, store, tally_moved, NULL, NULL,
	    NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_create_function_v2(store->db, "gone", 1,
		    SQLITE_UTF8 | SQLITE_DIRECTONLY, store, tally_gone, NULL,
		    NULL, NULL);
	return rc == SQLITE_OK ? 0 : store_fail(store, rc);
}

int
store_tally_read(struct store *store)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_GET_TALLY];
	int rc;
	int i;

	rc = sqlite3_step(sql);
	if (rc == SQLITE_ROW) {
		store->tally[STORE_TALLY_MESSAGES] =
		    sqlite3_column_int64(sql, 0);
		for (i = 0; i < STORE_STATE_COUNT; i++)
			store->tally[i] = sqlite3_column_int64(sql, i + 1);
	} else {
		(void)store_fail(store,
		    rc == SQLITE_DONE ? SQLITE_CORRUPT : rc);
	}
	store_reset(store, STORE_SQL_GET_TALLY);
	return rc == SQLITE_ROW ? 0 : -1;
}

void
store_tally_begin(struct store *store)
{
	memcpy(store->tally_before, store->tally, sizeof(store->tally));
}

int
store_tally_write(struct store *store)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_SET_TALLY];
	int i;

	if (memcmp(store->tally_before, store->tally, sizeof(store->tally)) ==
	    0)
		return 0;
	(void)sqlite3_bind_int64(sql, 1, store->tally[STORE_TALLY_MESSAGES]);
	for (i = 0; i < STORE_STATE_COUNT; i++)
		(void)sqlite3_bind_int64(sql, i + 2, store->tally[i]);
	return store_run(store, STORE_SQL_SET_TALLY);
}

void
store_tally_rollback(struct store *store)
{
	memcpy(store->tally, store->tally_before, sizeof(store->tally));
}

void
store_count_states(struct store *store,
    uint64_t counts[static STORE_STATE_COUNT])
{
	int i;

	if (store->is_shared && !store->in_group)
		(void)store_tally_read(store); /* else as of our last group */
	for (i = 0; i < STORE_STATE_COUNT; i++)
		counts[i] = store->tally[i] > 0 ? (uint64_t)store->tally[i] : 0;
}
