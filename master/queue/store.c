/* SPDX-License-Identifier: ISC */
/*
 * The queue on disk: opening, groups, and what goes wrong.
 *
 * Its tables are in store_schema.c, their numbers in store_tally.c; rows are
 * written in store_write.c and read in store_read.c; bodies are in
 * store_body.c, room on the disk in store_space.c, and what two processes need in
 * store_share.c.  The database is in WAL mode, and mostly held by one process with
 * locking_mode=EXCLUSIVE, which spares it every lock.  The first write, here,
 * opens the WAL and its index, so that nothing is left to open when the process
 * is confined; it is made with locking_mode=NORMAL, for an index that lived in
 * our memory alone could never be shared.
 */
#include "master/queue/store.h"

#include <sys/stat.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "master/queue/store_internal.h"

enum {
	/* Below this a whole check is cheap enough for every start. */
	STORE_CHECK_BYTES = 32 * 1024 * 1024,
};

static const char *const store_texts[STORE_SQL_COUNT] = {
#define SQL(name, text) [STORE_SQL_##name] = text,
#include "master/queue/store_sql.def"
#undef SQL
};

int
store_fail(struct store *store, int rc)
{
	int system;

	switch (rc & 0xff) {
	case SQLITE_FULL:
		errno = ENOSPC;
		break;
	case SQLITE_NOMEM:
		errno = ENOMEM;
		break;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		errno = EBADMSG;
		break;
	case SQLITE_READONLY:
		errno = EROFS;
		break;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		errno = EBUSY;
		break;
	default:
		system = sqlite3_system_errno(store->db);
		errno = system != 0 ? system : EIO;
		break;
	}
	return -1;
}

void
store_reset(struct store *store, enum store_sql which)
{
	/* Repeats the step's own error, which was seen already. */
	(void)sqlite3_reset(store->sql[which]);
}

int
store_run(struct store *store, enum store_sql which)
{
	int rc;

	rc = sqlite3_step(store->sql[which]);
	if (rc != SQLITE_DONE)
		(void)store_fail(store, rc);
	store_reset(store, which);
	return rc == SQLITE_DONE ? 0 : -1;
}

const char *
store_error(const struct store *store)
{
	return store->db != NULL ? sqlite3_errmsg(store->db) : "not open";
}

int
store_pragma(struct store *store, const char *text, int64_t *valuep)
{
	sqlite3_stmt *sql = NULL;
	int rc;

	rc = sqlite3_prepare_v2(store->db, text, -1, &sql, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(sql);
	if (rc == SQLITE_ROW) {
		*valuep = sqlite3_column_int64(sql, 0);
		rc = SQLITE_OK;
	}
	(void)sqlite3_finalize(sql); /* its error is the step's */
	return rc == SQLITE_OK ? 0 : store_fail(store, rc);
}

int
store_exec(struct store *store, const char *text)
{
	int rc;

	rc = sqlite3_exec(store->db, text, NULL, NULL, NULL);
	return rc == SQLITE_OK ? 0 : store_fail(store, rc);
}

static int
store_configure(struct store *store)
{
	/*
	 * Pages of 4 KiB cost least where much is queued, as each change of an
	 * index writes one.
	 */
	if (store->log_pages == 0)
		store->log_pages = STORE_WAL_PAGES; /* in memory */
	store_watch_log(store);
	return store_exec(store,
	    "PRAGMA page_size = 4096;"
	    "PRAGMA locking_mode = NORMAL;"
	    "PRAGMA journal_mode = WAL;"
	    "PRAGMA synchronous = FULL;"
	    "PRAGMA temp_store = MEMORY;"
	    "PRAGMA journal_size_limit = 67108864;"
	    "PRAGMA cache_size = -32768;"
	    "PRAGMA trusted_schema = OFF;");
}

/* What a damaged database says differs; what to do about it does not. */
static int
store_say_damaged(struct store *store, const char *path, char *error,
    size_t error_size, const char *what)
{
	int saved = errno;

	(void)snprintf(error, error_size,
	    "%s: the queue database is damaged (%s); nothing was changed.  Save "
	    "what can be read by \"postern queue export FILE\", move the spool "
	    "away, and hand it to the new one by \"postern queue import FILE\"",
	    path, what != NULL ? what : store_error(store));
	errno = saved;
	return -1;
}

int
store_quick_check(struct store *store, const char *path, char *error,
    size_t error_size)
{
	sqlite3_stmt *sql = NULL;
	int64_t pages = 0;
	int64_t page_size = 0;
	int ret = -1;
	int rc;

	if (store_pragma(store, "PRAGMA page_count", &pages) == -1 ||
	    store_pragma(store, "PRAGMA page_size", &page_size) == -1)
		return -1;
	if (pages * page_size > STORE_CHECK_BYTES)
		return 0; /* damage shows when it is read: EBADMSG */
	rc = sqlite3_prepare_v2(store->db, "PRAGMA quick_check(1)", -1, &sql,
	    NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(sql);
	if (rc != SQLITE_ROW) {
		(void)store_fail(store, rc);
		goto out;
	}
	if (strcmp((const char *)sqlite3_column_text(sql, 0), "ok") != 0) {
		errno = EBADMSG;
		(void)store_say_damaged(store, path, error, error_size,
		    (const char *)sqlite3_column_text(sql, 0));
		goto out;
	}
	ret = 0;
out:
	(void)sqlite3_finalize(sql);
	return ret;
}

static int
store_prepare(struct store *store)
{
	size_t i;
	int rc;

	for (i = 0; i < STORE_SQL_COUNT; i++) {
		rc = sqlite3_prepare_v3(store->db, store_texts[i], -1,
		    SQLITE_PREPARE_PERSISTENT, &store->sql[i], NULL);
		if (rc != SQLITE_OK)
			return store_fail(store, rc);
	}
	return 0;
}

int
store_read_next_id(struct store *store, uint64_t *idp)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_GET_NEXT_ID];
	int rc;

	rc = sqlite3_step(sql);
	if (rc == SQLITE_ROW)
		*idp = (uint64_t)sqlite3_column_int64(sql, 0);
	else
		(void)store_fail(store,
		    rc == SQLITE_DONE ? SQLITE_CORRUPT : rc);
	store_reset(store, STORE_SQL_GET_NEXT_ID);
	return rc == SQLITE_ROW ? 0 : -1;
}

/* Reserves ids by a write that is on disk before one of them is given. */
static int
store_reserve_first(struct store *store)
{
	/* This first write also opens the WAL. */
	if (store_begin(store) == -1)
		return -1;
	if (store_read_next_id(store, &store->next_id) == -1) {
		store_rollback(store);
		return -1;
	}
	store->reserved_id = store->next_id;
	(void)sqlite3_bind_int64(store->sql[STORE_SQL_SET_NEXT_ID], 1,
	    (sqlite3_int64)store->next_id);
	if (store_run(store, STORE_SQL_SET_NEXT_ID) == -1) {
		store_rollback(store);
		return -1;
	}
	return store_commit(store);
}

static int
store_open_bodies(struct store *store, const char *spool)
{
	int spool_fd;
	int ret = -1;

	spool_fd = open(spool, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (spool_fd == -1)
		return -1;
	if (mkdirat(spool_fd, "bodies", 0700) == -1 && errno != EEXIST)
		goto out;
	store->bodies_fd = openat(spool_fd, "bodies",
	    O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (store->bodies_fd == -1)
		goto out;
	if (store_reserve_open(store, spool_fd) == -1)
		goto out;
	if (fsync(spool_fd) == -1)
		goto out;
	ret = 0;
out:
	(void)close(spool_fd); /* only read */
	return ret;
}

/* shown: the path as people know it, outside of our root. */
static int
store_open_database(struct store *store, const char *path, const char *shown,
    bool beside, char *error, size_t error_size)
{
	mode_t mask;
	int rc;

	mask = umask(077);
	rc = sqlite3_open_v2(path, &store->db,
	    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
		SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE,
	    NULL);
	(void)umask(mask);
	if (store->db == NULL) {
		errno = ENOMEM;
		return -1;
	}
	if (rc != SQLITE_OK)
		return store_fail(store, rc);
	if (sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1,
		(int *)NULL) != SQLITE_OK) {
		errno = EINVAL;
		return -1;
	}
	/* The WAL stays where it is at the end: no file has to be removed.  A
	 * database in memory has none. */
	if (strcmp(path, ":memory:") != 0 &&
	    sqlite3_file_control(store->db, "main", SQLITE_FCNTL_PERSIST_WAL,
		&(int){ 1 }) != SQLITE_OK) {
		errno = EINVAL;
		return -1;
	}
	store->is_shared = beside;
	store_wait_for_lock(store, beside);
	store_reserve_start(store);
	if (store_configure(store) == -1 ||
	    store_schema(store, shown, error, error_size) == -1 ||
	    store_tally_init(store) == -1 || store_prepare(store) == -1 ||
	    store_tally_read(store) == -1)
		return -1;
	if (store_reserve_first(store) == -1)
		return -1;
	if (beside || store_alone(store) == 1)
		return 0;
	errno = EBUSY;
	return -1;
}

/* The sentence for what failed without one of its own. */
static void
store_say(struct store *store, const char *path, char *error, size_t error_size)
{
	int saved = errno;

	if (error_size == 0 || error[0] != '\0')
		return;
	if (saved == EBADMSG)
		(void)store_say_damaged(store, path, error, error_size, NULL);
	else if (saved == EBUSY)
		(void)snprintf(error, error_size,
		    "%s: another posternd has this queue open; stop it first",
		    path);
	else if (saved == EROFS)
		(void)snprintf(error, error_size,
		    "%s: %s; mount it for writing, after a check where its "
		    "errors made it so",
		    path, strerror(saved));
	else if (saved == ENOSPC || saved == EDQUOT)
		(void)snprintf(error, error_size,
		    "%s: %s, and no reserve is left; make room", path,
		    strerror(saved));
	else
		(void)snprintf(error, error_size, "%s: %s (%s)", path,
		    strerror(saved), store_error(store));
	errno = saved;
}

int
store_open(const struct store_options *options, struct store **storep,
    char *error, size_t error_size)
{
	struct store *store;
	const char *name =
	    options->name != NULL ? options->name : options->spool;
	char path[4096];
	char shown[4096];
	bool in_memory;
	int n, m;

	if (error_size > 0)
		error[0] = '\0';
	/* One thread, no statistics; refused, harmlessly, once in use. */
	(void)sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);

	in_memory = strcmp(options->spool, ":memory:") == 0;
	n = snprintf(path, sizeof(path), in_memory ? "%s" : "%s/queue.db",
	    options->spool);
	m = snprintf(shown, sizeof(shown), in_memory ? "%s" : "%s/queue.db",
	    name);
	store = calloc(1, sizeof(*store));
	if (store == NULL) {
		(void)strlcpy(error, "out of memory", error_size);
		return -1;
	}
	store->bodies_fd = -1;
	store->reserve_fd = -1;
	store->inline_body_limit =
	    in_memory ? UINT64_MAX : options->inline_body_limit;
	if (n < 0 || (size_t)n >= sizeof(path) || m < 0 ||
	    (size_t)m >= sizeof(shown)) {
		errno = ENAMETOOLONG;
		goto fail;
	}
	store->buffer_size = STORE_BUFFER_SIZE;
	store->buffer = malloc(store->buffer_size);
	if (store->buffer == NULL)
		goto fail;
	if (!in_memory && store_open_bodies(store, options->spool) == -1)
		goto fail;
	if (store_open_database(store, path, shown, options->beside, error,
		error_size) == -1)
		goto fail;
	*storep = store;
	return 0;
fail:
	store_say(store, shown, error, error_size);
	store_close(store);
	return -1;
}

void
store_close(struct store *store)
{
	int saved = errno;
	size_t i;

	if (store == NULL)
		return;
	if (store->in_group)
		store_rollback(store);
	for (i = 0; i < STORE_SQL_COUNT; i++)
		(void)sqlite3_finalize(store->sql[i]);
	(void)sqlite3_close(store->db);
	if (store->bodies_fd != -1)
		(void)close(store->bodies_fd);
	if (store->reserve_fd != -1)
		(void)close(store->reserve_fd);
	free(store->added.ids);
	free(store->removed.ids);
	free(store->buffer);
	free(store);
	errno = saved;
}

void
store_set_inline_limit(struct store *store, uint64_t octets)
{
	if (store->bodies_fd != -1) /* else there are no files */
		store->inline_body_limit = octets;
}

int
store_recover(struct store *store, int64_t now_ms,
    struct store_recovered *recovered)
{
	memset(recovered, 0, sizeof(*recovered));
	if (store_begin(store) == -1)
		return -1;
	(void)sqlite3_bind_int64(store->sql[STORE_SQL_RECOVER], 1, now_ms);
	if (store_run(store, STORE_SQL_RECOVER) == -1)
		goto fail;
	recovered->in_doubt = (uint64_t)sqlite3_changes64(store->db);
	if (store_keep_none(store) == -1)
		goto fail;
	if (store_commit(store) == -1)
		return -1;
	recovered->messages = (uint64_t)store->tally[STORE_TALLY_MESSAGES];
	return store_body_sweep(store, recovered);
fail:
	store_rollback(store);
	return -1;
}

int
store_begin(struct store *store)
{
	assert(!store->in_group);
	if (store_run(store, STORE_SQL_BEGIN) == -1)
		return -1;
	store->in_group = true;
	if (store->is_shared && store_tally_read(store) == -1) {
		store_rollback(store);
		return -1;
	}
	store_tally_begin(store);
	return 0;
}

int
store_commit(struct store *store)
{
	assert(store->in_group);
	if (store_tally_write(store) == -1 ||
	    store_run(store, STORE_SQL_COMMIT) == -1) {
		store_rollback(store);
		return -1;
	}
	store->in_group = false;
	store->added.len = 0;
	store_files_unlink(store, &store->removed);
	return 0;
}

void
store_rollback(struct store *store)
{
	int saved = errno;

	if (!store->in_group)
		return;
	store->in_group = false;
	store_tally_rollback(store);
	/* A full disk has undone the group already: then this is refused. */
	if (sqlite3_get_autocommit(store->db) == 0)
		(void)store_run(store, STORE_SQL_ROLLBACK);
	store->removed.len = 0;
	store_files_unlink(store, &store->added);
	/* The reservation may be undone too; what was given is not given again. */
	store->reserved_id = store->next_id;
	errno = saved;
}
