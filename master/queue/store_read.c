/* SPDX-License-Identifier: ISC */
/*
 * What the scheduler and the operator ask of the store, and its small words.
 */
#include "master/queue/store.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/queue/store_internal.h"

enum {
	STORE_LATE_DEADLINE = 28, /* LOAD_LATE: the column after ROW_COLUMNS */
};

static const char *
store_column_text(sqlite3_stmt *sql, int at)
{
	const unsigned char *text = sqlite3_column_text(sql, at);

	return text != NULL ? (const char *)text : "";
}

/* The columns of ROW_COLUMNS, in its order. */
static void
store_read_row(sqlite3_stmt *sql, struct store_envelope *envelope,
    struct store_recipient *recipient)
{
	envelope->id = (uint64_t)sqlite3_column_int64(sql, 0);
	envelope->created_ms = sqlite3_column_int64(sql, 1);
	envelope->size = (uint64_t)sqlite3_column_int64(sql, 2);
	envelope->flags = (uint32_t)sqlite3_column_int64(sql, 3);
	envelope->uid = (uint32_t)sqlite3_column_int64(sql, 4);
	envelope->nrcpts = (uint32_t)sqlite3_column_int64(sql, 5);
	envelope->reverse_path = store_column_text(sql, 6);
	envelope->ref = store_column_text(sql, 7);
	envelope->via = store_column_text(sql, 8);
	recipient->message = envelope->id;
	recipient->index = (uint32_t)sqlite3_column_int64(sql, 9);
	recipient->state = (enum store_state)sqlite3_column_int(sql, 10);
	recipient->next_attempt_ms = sqlite3_column_int64(sql, 11);
	recipient->finished_ms = sqlite3_column_int64(sql, 12);
	recipient->attempts = (uint32_t)sqlite3_column_int64(sql, 13);
	recipient->code = sqlite3_column_int(sql, 14);
	recipient->in_doubt = sqlite3_column_int(sql, 15) != 0;
	recipient->address = store_column_text(sql, 16);
	recipient->domain = store_column_text(sql, 17);
	recipient->dsn = store_column_text(sql, 18);
	recipient->reply = store_column_text(sql, 19);
	recipient->relay = store_column_text(sql, 20);
	envelope->parameters = store_column_text(sql, 21);
	recipient->parameters = store_column_text(sql, 22);
	recipient->lane = (uint32_t)sqlite3_column_int64(sql, 23);
	recipient->via = store_column_text(sql, 24);
	recipient->notice = (uint32_t)sqlite3_column_int64(sql, 25);
	recipient->warned = (uint32_t)sqlite3_column_int64(sql, 26);
	recipient->step = (uint32_t)sqlite3_column_int64(sql, 27);
}

int
store_step_row(struct store *store, enum store_sql which,
    struct store_envelope *envelope, struct store_recipient *recipient)
{
	int rc;

	rc = sqlite3_step(store->sql[which]);
	if (rc == SQLITE_DONE)
		return 0;
	if (rc != SQLITE_ROW)
		return store_fail(store, rc);
	store_read_row(store->sql[which], envelope, recipient);
	if ((unsigned int)recipient->state < STORE_STATE_COUNT)
		return 1;
	errno = EBADMSG;
	return -1;
}

int
store_next_source(struct store *store, const char *after, uint32_t after_lane,
    char domain[static STORE_DOMAIN_SIZE], uint32_t *lanep,
    int64_t *earliest_ms)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_NEXT_SOURCE];
	int ret = 0;
	int rc;

	/* "after" may be the very buffer that is filled: bind a copy. */
	(void)sqlite3_bind_text(sql, 1, after != NULL ? after : "", -1,
	    SQLITE_TRANSIENT);
	(void)sqlite3_bind_int64(sql, 2,
	    after != NULL ? (sqlite3_int64)after_lane : -1);
	rc = sqlite3_step(sql);
	if (rc == SQLITE_ROW) {
		(void)strlcpy(domain, store_column_text(sql, 0),
		    STORE_DOMAIN_SIZE);
		*lanep = (uint32_t)sqlite3_column_int64(sql, 1);
		*earliest_ms = sqlite3_column_int64(sql, 2);
		ret = 1;
	} else if (rc != SQLITE_DONE) {
		ret = store_fail(store, rc);
	}
	store_reset(store, STORE_SQL_NEXT_SOURCE);
	return ret;
}

int
store_next_due(struct store *store, const char *domain, uint32_t lane,
    int64_t after_ms, int64_t *due_ms)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_NEXT_DUE];
	int ret = 0;
	int rc;

	(void)sqlite3_bind_text(sql, 1, domain, -1, SQLITE_STATIC);
	(void)sqlite3_bind_int64(sql, 2, after_ms);
	(void)sqlite3_bind_int64(sql, 3, lane);
	rc = sqlite3_step(sql);
	if (rc == SQLITE_ROW) {
		*due_ms = sqlite3_column_int64(sql, 0);
		ret = 1;
	} else if (rc != SQLITE_DONE) {
		ret = store_fail(store, rc);
	}
	store_reset(store, STORE_SQL_NEXT_DUE);
	return ret;
}

int
store_load_due(struct store *store, const char *domain, uint32_t lane,
    struct store_cursor *cursor, int64_t now_ms, uint32_t limit,
    store_row_fn row, void *arg, uint32_t *countp)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_LOAD_DUE];
	struct store_envelope envelope = { 0 };
	struct store_recipient recipient = { 0 };
	int ret;

	*countp = 0;
	(void)sqlite3_bind_text(sql, 1, domain, -1, SQLITE_STATIC);
	(void)sqlite3_bind_int64(sql, 2, cursor->next_attempt_ms);
	(void)sqlite3_bind_int64(sql, 3, (sqlite3_int64)cursor->message);
	(void)sqlite3_bind_int64(sql, 4, cursor->index);
	(void)sqlite3_bind_int64(sql, 5, now_ms);
	(void)sqlite3_bind_int64(sql, 6, limit);
	(void)sqlite3_bind_int64(sql, 7, lane);
	for (;;) {
		ret = store_step_row(store, STORE_SQL_LOAD_DUE, &envelope,
		    &recipient);
		if (ret != 1)
			break;
		(*countp)++;
		ret = row(&envelope, &recipient, arg);
		if (ret != 0)
			break; /* not taken: to be seen again */
		cursor->next_attempt_ms = recipient.next_attempt_ms;
		cursor->message = recipient.message;
		cursor->index = recipient.index;
	}
	store_reset(store, STORE_SQL_LOAD_DUE);
	return ret;
}

/* From *indexp on, which moves behind what was taken. */
static int
store_load_waiting(struct store *store, uint64_t message, uint32_t *indexp,
    store_row_fn row, void *arg)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_LOAD_WAITING];
	struct store_envelope envelope = { 0 };
	struct store_recipient recipient = { 0 };
	int ret;

	(void)sqlite3_bind_int64(sql, 1, (sqlite3_int64)message);
	(void)sqlite3_bind_int64(sql, 2, *indexp);
	while ((ret = store_step_row(store, STORE_SQL_LOAD_WAITING, &envelope,
		    &recipient)) == 1) {
		*indexp = recipient.index + 1;
		ret = row(&envelope, &recipient, arg);
		if (ret != 0)
			break;
	}
	store_reset(store, STORE_SQL_LOAD_WAITING);
	return ret;
}

/* The next of the messages as old; false: there is none, or it failed. */
static bool
store_step_older(struct store *store, struct store_cursor *cursor,
    int64_t before_ms, int *rcp)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_OLDER];
	uint64_t id;

	*rcp = sqlite3_step(sql);
	/* Ids rise with time: behind the first younger one are more. */
	if (*rcp != SQLITE_ROW || sqlite3_column_int64(sql, 1) >= before_ms)
		return false;
	id = (uint64_t)sqlite3_column_int64(sql, 0);
	if (id != cursor->message)
		cursor->index = 0;
	cursor->message = id;
	return true;
}

int
store_load_older(struct store *store, struct store_cursor *cursor,
    int64_t before_ms, uint32_t limit, store_row_fn row, void *arg)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_OLDER];
	int rc = SQLITE_ROW, ret = 0;

	(void)sqlite3_bind_int64(sql, 1, (sqlite3_int64)cursor->message);
	(void)sqlite3_bind_int64(sql, 2, limit);
	for (; limit > 0; limit--) {
		if (!store_step_older(store, cursor, before_ms, &rc)) {
			memset(cursor, 0, sizeof(*cursor));
			break;
		}
		ret = store_load_waiting(store, cursor->message, &cursor->index,
		    row, arg);
		if (ret != 0)
			break;
		cursor->message++;
		cursor->index = 0;
	}
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		ret = store_fail(store, rc);
	store_reset(store, STORE_SQL_OLDER);
	return ret;
}

int
store_load_active(struct store *store, uint32_t limit, store_row_fn row,
    void *arg)
{
	struct store_envelope envelope = { 0 };
	struct store_recipient recipient = { 0 };
	int ret;

	(void)sqlite3_bind_int64(store->sql[STORE_SQL_LOAD_ACTIVE], 1, limit);
	do {
		ret = store_step_row(store, STORE_SQL_LOAD_ACTIVE, &envelope,
		    &recipient);
	} while (ret == 1 && (ret = row(&envelope, &recipient, arg)) == 0);
	store_reset(store, STORE_SQL_LOAD_ACTIVE);
	return ret;
}

int
store_load_late(struct store *store, struct store_cursor *cursor,
    int64_t now_ms, uint32_t limit, store_row_fn row, void *arg)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_LOAD_LATE];
	struct store_envelope envelope = { 0 };
	struct store_recipient recipient = { 0 };
	uint32_t n = 0;
	int ret;

	(void)sqlite3_bind_int64(sql, 1, now_ms);
	(void)sqlite3_bind_int64(sql, 2, limit);
	(void)sqlite3_bind_int64(sql, 3, cursor->next_attempt_ms);
	(void)sqlite3_bind_int64(sql, 4, (sqlite3_int64)cursor->message);
	(void)sqlite3_bind_int64(sql, 5, cursor->index);
	while ((ret = store_step_row(store, STORE_SQL_LOAD_LATE, &envelope,
		    &recipient)) == 1) {
		n++;
		cursor->next_attempt_ms =
		    sqlite3_column_int64(sql, STORE_LATE_DEADLINE);
		cursor->message = recipient.message;
		cursor->index = recipient.index;
		ret = row(&envelope, &recipient, arg);
		if (ret != 0)
			break;
	}
	store_reset(store, STORE_SQL_LOAD_LATE);
	if (ret == 0 && n < limit)
		memset(cursor, 0, sizeof(*cursor));
	return ret;
}

int
store_list(struct store *store, struct store_cursor *cursor,
    const struct store_filter *filter, uint32_t limit, store_row_fn row,
    void *arg)
{
	enum store_sql which =
	    filter->message != 0 ? STORE_SQL_LIST_MESSAGE : STORE_SQL_LIST;
	sqlite3_stmt *sql = store->sql[which];
	struct store_envelope envelope = { 0 };
	struct store_recipient recipient = { 0 };
	int ret;

	/* Message ids start above 0, so (0, 0) is before them all. */
	(void)sqlite3_bind_int64(sql, 1, (sqlite3_int64)cursor->message);
	(void)sqlite3_bind_int64(sql, 2,
	    cursor->message == 0 ? -1 : (sqlite3_int64)cursor->index);
	(void)sqlite3_bind_int64(sql, 3, filter->states);
	if (filter->domain != NULL)
		(void)sqlite3_bind_text(sql, 4, filter->domain, -1,
		    SQLITE_STATIC);
	else
		(void)sqlite3_bind_null(sql, 4);
	(void)sqlite3_bind_int64(sql, 5, limit);
	if (which == STORE_SQL_LIST_MESSAGE)
		(void)sqlite3_bind_int64(sql, 6,
		    (sqlite3_int64)filter->message);
	for (;;) {
		ret = store_step_row(store, which, &envelope, &recipient);
		if (ret != 1)
			break;
		cursor->message = recipient.message;
		cursor->index = recipient.index;
		ret = row(&envelope, &recipient, arg);
		if (ret != 0)
			break;
	}
	store_reset(store, which);
	return ret;
}

void
store_address_domain(const char *address, char domain[static STORE_DOMAIN_SIZE])
{
	const char *at = strrchr(address, '@');
	size_t i;

	domain[0] = '\0';
	if (at == NULL)
		return;
	(void)strlcpy(domain, at + 1, STORE_DOMAIN_SIZE);
	for (i = 0; domain[i] != '\0'; i++)
		if (domain[i] >= 'A' && domain[i] <= 'Z')
			domain[i] = (char)(domain[i] - 'A' + 'a');
}

void
store_id_format(uint64_t id, char text[static STORE_ID_SIZE])
{
	(void)snprintf(text, STORE_ID_SIZE, "%" PRIX64, id);
}

int
store_id_parse(const char *text, uint64_t *idp)
{
	uint64_t id = 0;
	size_t i;

	for (i = 0; isxdigit((unsigned char)text[i]); i++) {
		if (i == STORE_ID_SIZE - 1)
			break;
		id = id << 4 |
		    (uint64_t)(text[i] <= '9' ? text[i] - '0'
					      : (text[i] | 0x20) - 'a' + 10);
	}
	if (i == 0 || text[i] != '\0' || id == 0 || id > INT64_MAX) {
		errno = EINVAL;
		return -1;
	}
	*idp = id;
	return 0;
}

int
store_next_staged(struct store *store, uint64_t after,
    struct store_staged *staged)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_NEXT_STAGED];
	int rc, ret = 0;

	(void)sqlite3_bind_int64(sql, 1, (sqlite3_int64)after);
	rc = sqlite3_step(sql);
	if (rc == SQLITE_ROW) {
		staged->message = (uint64_t)sqlite3_column_int64(sql, 0);
		staged->created_ms = sqlite3_column_int64(sql, 1);
		staged->end = (uint32_t)sqlite3_column_int64(sql, 2);
		staged->is_complete = sqlite3_column_int(sql, 3) != 0;
		ret = 1;
	} else if (rc != SQLITE_DONE) {
		ret = store_fail(store, rc);
	}
	store_reset(store, STORE_SQL_NEXT_STAGED);
	return ret;
}
