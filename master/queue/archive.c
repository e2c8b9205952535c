/* SPDX-License-Identifier: ISC */
/*
 * Reading a queue that is perhaps damaged: its export, and its check.
 *
 * The database is opened for itself, not as a store: nothing is upgraded,
 * recovered or swept, and what a page of it has lost takes no other with it.
 */
#include "master/queue/archive.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "master/queue/store.h"

enum {
	ARCHIVE_GAP_MAX = 10000000, /* ids tried one by one */
	ARCHIVE_COPY_SIZE = 65536,
};

struct archive {
	sqlite3 *db;
	const char *spool;
	FILE *out;
	archive_say_fn say;
	void *arg;
	struct archive_sum *sum;
	sqlite3_stmt *rows;  /* of a message's recipients */
	sqlite3_stmt *next;  /* the message behind an id */
	sqlite3_stmt *prior; /* the message before one */
	sqlite3_stmt *one;   /* the message of one */
	int faults;
};

static void archive_fault(struct archive *a, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void
archive_fault(struct archive *a, const char *format, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	a->faults++;
	a->say(text, a->arg);
}

static int
archive_say_sql(const struct archive *a, char *error, size_t error_size)
{
	int rc = a->db != NULL ? sqlite3_errcode(a->db) & 0xff : SQLITE_NOMEM;

	if (rc == SQLITE_BUSY || rc == SQLITE_LOCKED)
		(void)snprintf(error, error_size,
		    "%s/queue.db: a posternd has this queue open; stop it first",
		    a->spool);
	else
		(void)snprintf(error, error_size, "%s/queue.db: %s", a->spool,
		    a->db != NULL ? sqlite3_errmsg(a->db) : "out of memory");
	return -1;
}

static int
archive_pragma(struct archive *a, const char *text, int64_t *valuep)
{
	sqlite3_stmt *sql = NULL;
	int rc;

	rc = sqlite3_prepare_v2(a->db, text, -1, &sql, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(sql);
	if (rc == SQLITE_ROW)
		*valuep = sqlite3_column_int64(sql, 0);
	(void)sqlite3_finalize(sql); /* its error is the step's */
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -1;
}

/* What its log holds is seen, but not written back: nothing changes. */
static int
archive_open(struct archive *a, const char *spool, char *error,
    size_t error_size)
{
	char path[4096];
	int64_t version;
	int n;

	a->spool = spool;
	n = snprintf(path, sizeof(path), "%s/queue.db", spool);
	if (n < 0 || (size_t)n >= sizeof(path)) {
		(void)snprintf(error, error_size, "%s: the path is too long",
		    spool);
		return -1;
	}
	if (access(path, R_OK) == -1) {
		(void)snprintf(error, error_size, "%s: %s", path,
		    strerror(errno));
		return -1;
	}
	if (sqlite3_open_v2(path, &a->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
		NULL) != SQLITE_OK ||
	    sqlite3_db_config(a->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1,
		(int *)NULL) != SQLITE_OK ||
	    sqlite3_file_control(a->db, "main", SQLITE_FCNTL_PERSIST_WAL,
		&(int){ 1 }) != SQLITE_OK ||
	    sqlite3_exec(a->db,
		"PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF",
		NULL, NULL, NULL) != SQLITE_OK ||
	    archive_pragma(a, "PRAGMA user_version", &version) == -1)
		return archive_say_sql(a, error, error_size);
	return 0;
}

static void
archive_close(struct archive *a)
{
	(void)sqlite3_finalize(a->rows);
	(void)sqlite3_finalize(a->next);
	(void)sqlite3_finalize(a->prior);
	(void)sqlite3_finalize(a->one);
	(void)sqlite3_close(a->db);
}

/* Export. */

/* A column as JSON; octets that are no text become question marks. */
static json_t *
archive_value(sqlite3_stmt *sql, int at)
{
	const char *text;
	json_t *value;
	char *copy;
	size_t i, n;

	if (sqlite3_column_type(sql, at) == SQLITE_INTEGER)
		return json_integer(sqlite3_column_int64(sql, at));
	if (sqlite3_column_type(sql, at) != SQLITE_TEXT)
		return json_null();
	text = (const char *)sqlite3_column_text(sql, at);
	n = (size_t)sqlite3_column_bytes(sql, at);
	value = text != NULL ? json_stringn(text, n) : json_null();
	if (value != NULL)
		return value;
	copy = strndup(text, n);
	for (i = 0; copy != NULL && copy[i] != '\0'; i++)
		if ((copy[i] & 0x80) != 0)
			copy[i] = '?';
	value = copy != NULL ? json_string(copy) : NULL;
	free(copy);
	return value;
}

/* All columns of a row but the body, by their names. */
static json_t *
archive_row(sqlite3_stmt *sql)
{
	json_t *row = json_object();
	int i;

	for (i = 0; i < sqlite3_column_count(sql); i++)
		if (strcmp(sqlite3_column_name(sql, i), "body") != 0)
			(void)json_object_set_new(row,
			    sqlite3_column_name(sql, i), archive_value(sql, i));
	return row;
}

/* NULL: one of them cannot be read, or there is none. */
static json_t *
archive_recipients(struct archive *a, int64_t id)
{
	json_t *list = json_array();
	int rc;

	(void)sqlite3_bind_int64(a->rows, 1, id);
	while ((rc = sqlite3_step(a->rows)) == SQLITE_ROW)
		(void)json_array_append_new(list, archive_row(a->rows));
	(void)sqlite3_reset(a->rows);
	if (rc == SQLITE_DONE && json_array_size(list) > 0)
		return list;
	json_decref(list);
	return NULL;
}

static int
archive_body_open(const struct archive *a, int64_t id, uint64_t *sizep)
{
	char name[STORE_ID_SIZE];
	char path[4096];
	struct stat st;
	int fd;

	store_id_format((uint64_t)id, name);
	(void)snprintf(path, sizeof(path), "%s/bodies/%s", a->spool, name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd == -1)
		return -1;
	if (fstat(fd, &st) == -1) {
		fd_close(fd);
		return -1;
	}
	*sizep = (uint64_t)st.st_size;
	return fd;
}

/* A file that ends early is filled up: the stream keeps its form. */
static bool
archive_copy(struct archive *a, int fd, uint64_t size)
{
	static char buffer[ARCHIVE_COPY_SIZE];
	bool is_whole = true;
	size_t want;
	ssize_t n;

	while (size > 0) {
		want = size < sizeof(buffer) ? (size_t)size : sizeof(buffer);
		n = is_whole ? read(fd, buffer, want) : -1;
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0) {
			is_whole = false;
			memset(buffer, ' ', want);
			n = (ssize_t)want;
		}
		(void)fwrite(buffer, 1, (size_t)n, a->out);
		size -= (uint64_t)n;
	}
	return is_whole;
}

static void
archive_line(struct archive *a, json_t *object)
{
	(void)json_dumpf(object, a->out, JSON_COMPACT);
	(void)fputc('\n', a->out);
	json_decref(object);
}

static bool
archive_write_body(struct archive *a, sqlite3_stmt *sql, int fd, uint64_t size)
{
	bool is_whole = true;
	int i;

	if (fd != -1) {
		is_whole = archive_copy(a, fd, size);
	} else {
		for (i = 0; i < sqlite3_column_count(sql); i++)
			if (strcmp(sqlite3_column_name(sql, i), "body") == 0)
				(void)fwrite(sqlite3_column_blob(sql, i), 1,
				    (size_t)size, a->out);
	}
	(void)fputc('\n', a->out);
	return is_whole;
}

static int
archive_column(sqlite3_stmt *sql, const char *name)
{
	int i;

	for (i = 0; i < sqlite3_column_count(sql); i++)
		if (strcmp(sqlite3_column_name(sql, i), name) == 0)
			return i;
	return -1;
}

/* The message of the row that sql stands on. */
static void
archive_message(struct archive *a, sqlite3_stmt *sql, int64_t id)
{
	json_t *recipients = archive_recipients(a, id);
	int body = archive_column(sql, "body");
	int in_file = archive_column(sql, "in_file");
	uint64_t size = 0;
	int fd = -1;

	if (recipients == NULL) {
		archive_fault(a, "%" PRIX64 ": its recipients are lost", id);
		a->sum->lost++;
		return;
	}
	if (in_file != -1 && sqlite3_column_int(sql, in_file) != 0) {
		fd = archive_body_open(a, id, &size);
		if (fd == -1) {
			archive_fault(a, "%" PRIX64 ": its body is lost: %s",
			    id, strerror(errno));
			a->sum->lost++;
			json_decref(recipients);
			return;
		}
	} else if (body != -1 && sqlite3_column_blob(sql, body) != NULL) {
		size = (uint64_t)sqlite3_column_bytes(sql, body);
	}
	a->sum->messages++;
	a->sum->recipients += json_array_size(recipients);
	archive_line(a,
	    json_pack("{s:o,s:o,s:I}", "message", archive_row(sql),
		"recipients", recipients, "size", (json_int_t)size));
	if (!archive_write_body(a, sql, fd, size)) {
		archive_fault(a, "%" PRIX64 ": the end of its body is lost",
		    id);
		a->sum->lost++;
	}
	fd_close(fd);
}

/* 1: the row at or beside *idp was written, and *idp is its id; 0: there is
 * none; -1: it cannot be read. */
static int
archive_step(struct archive *a, sqlite3_stmt *sql, int64_t *idp)
{
	int at = archive_column(sql, "id");
	int ret = 0;
	int rc;

	(void)sqlite3_bind_int64(sql, 1, *idp);
	rc = sqlite3_step(sql);
	if (rc == SQLITE_ROW && at != -1) {
		*idp = sqlite3_column_int64(sql, at);
		archive_message(a, sql, *idp);
		ret = 1;
	} else if (rc != SQLITE_DONE) {
		ret = -1;
	}
	(void)sqlite3_reset(sql);
	return ret;
}

/* Behind what cannot be read: from the other end, then each id between. */
static void
archive_around(struct archive *a, int64_t from)
{
	int64_t to = INT64_MAX;
	int64_t id = to;

	(void)sqlite3_bind_int64(a->prior, 2, from);
	while (archive_step(a, a->prior, &id) == 1)
		to = id;
	if (to == INT64_MAX || to - from > ARCHIVE_GAP_MAX) {
		archive_fault(a, "what is behind %" PRIX64 " is lost", from);
		a->sum->lost++;
		return;
	}
	archive_fault(a,
	    "between %" PRIX64 " and %" PRIX64 " the database is damaged: what "
	    "is missing there is lost",
	    from, to);
	for (id = from + 1; id < to; id++)
		if (archive_step(a, a->one, &id) == -1)
			a->sum->lost++;
}

static int
archive_prepare(struct archive *a, char *error, size_t error_size)
{
	const struct {
		sqlite3_stmt **sql;
		const char *text;
	} rows[] = {
		{ &a->rows, "SELECT * FROM recipient WHERE message = ?1" },
		{ &a->next,
		    "SELECT * FROM message WHERE id > ?1 ORDER BY id LIMIT 1" },
		{ &a->prior,
		    "SELECT * FROM message WHERE id < ?1 AND id > ?2"
		    " ORDER BY id DESC LIMIT 1" },
		{ &a->one, "SELECT * FROM message WHERE id = ?1" },
	};
	size_t i;

	for (i = 0; i < NELEM(rows); i++)
		if (sqlite3_prepare_v2(a->db, rows[i].text, -1, rows[i].sql,
			NULL) != SQLITE_OK)
			return archive_say_sql(a, error, error_size);
	return 0;
}

int
archive_export(const char *spool, FILE *out, archive_say_fn say, void *arg,
    struct archive_sum *sum, char *error, size_t error_size)
{
	struct archive a = { .out = out, .say = say, .arg = arg, .sum = sum };
	int64_t version = 0;
	int64_t id = 0;
	int ret = -1;
	int more;

	memset(sum, 0, sizeof(*sum));
	if (archive_open(&a, spool, error, error_size) == -1 ||
	    archive_prepare(&a, error, error_size) == -1)
		goto out;
	(void)archive_pragma(&a, "PRAGMA user_version", &version);
	archive_line(&a,
	    json_pack("{s:i,s:I}", "postern_queue", 1, "schema",
		(json_int_t)version));
	while ((more = archive_step(&a, a.next, &id)) == 1)
		;
	if (more == -1)
		archive_around(&a, id);
	archive_line(&a,
	    json_pack("{s:b,s:I,s:I,s:I}", "end", 1, "messages",
		(json_int_t)sum->messages, "recipients",
		(json_int_t)sum->recipients, "lost", (json_int_t)sum->lost));
	if (fflush(out) != 0 || ferror(out)) {
		(void)snprintf(error, error_size, "writing: %s",
		    strerror(errno));
		goto out;
	}
	ret = 0;
out:
	archive_close(&a);
	return ret;
}

/* Check. */

/* One fault for each row; its first column is text. */
static void
archive_check_rows(struct archive *a, const char *text, const char *what)
{
	sqlite3_stmt *sql = NULL;
	int rc;

	rc = sqlite3_prepare_v2(a->db, text, -1, &sql, NULL);
	while (rc == SQLITE_OK || rc == SQLITE_ROW) {
		rc = sqlite3_step(sql);
		if (rc != SQLITE_ROW)
			break;
		if (strcmp((const char *)sqlite3_column_text(sql, 0), "ok") !=
		    0)
			archive_fault(a, "%s%s", sqlite3_column_text(sql, 0),
			    what);
	}
	if (rc != SQLITE_DONE)
		archive_fault(a, "cannot be read: %s", sqlite3_errmsg(a->db));
	(void)sqlite3_finalize(sql);
}

/* But for one that was being added in parts, which the next start removes; an
 * older posternd knew none such. */
static void
archive_check_messages(struct archive *a)
{
	static const char what[] = ": a recipient without a message";
	int64_t has_staged = 0;

	(void)archive_pragma(a,
	    "SELECT count(*) FROM sqlite_schema WHERE name = 'staged'",
	    &has_staged);
	archive_check_rows(a,
	    has_staged != 0
		? "SELECT printf('%X', message) FROM recipient r WHERE NOT "
		  "EXISTS (SELECT 1 FROM message WHERE id = r.message) AND "
		  "message NOT IN (SELECT message FROM staged)"
		: "SELECT printf('%X', message) FROM recipient r WHERE NOT "
		  "EXISTS (SELECT 1 FROM message WHERE id = r.message)",
	    what);
}

static void
archive_check_bodies(struct archive *a)
{
	sqlite3_stmt *sql = NULL;
	uint64_t size;
	int64_t id;
	int fd;

	if (sqlite3_prepare_v2(a->db,
		"SELECT id FROM message WHERE in_file = 1", -1, &sql,
		NULL) != SQLITE_OK)
		return; /* told by the others */
	while (sqlite3_step(sql) == SQLITE_ROW) {
		id = sqlite3_column_int64(sql, 0);
		fd = archive_body_open(a, id, &size);
		if (fd == -1)
			archive_fault(a, "%" PRIX64 ": its body file: %s", id,
			    strerror(errno));
		fd_close(fd);
	}
	(void)sqlite3_finalize(sql);
}

int
archive_check(const char *spool, archive_say_fn say, void *arg, char *error,
    size_t error_size)
{
	struct archive_sum sum = { 0 };
	struct archive a = { .say = say, .arg = arg, .sum = &sum };
	int ret = -1;

	if (archive_open(&a, spool, error, error_size) == -1)
		goto out;
	archive_check_rows(&a, "PRAGMA integrity_check(100)", "");
	archive_check_messages(&a);
	archive_check_rows(&a,
	    "SELECT printf('%X', id) FROM message m WHERE NOT EXISTS"
	    " (SELECT 1 FROM recipient WHERE message = m.id)",
	    ": a message without a recipient");
	archive_check_bodies(&a);
	ret = a.faults;
out:
	archive_close(&a);
	return ret;
}
