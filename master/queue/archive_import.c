/* SPDX-License-Identifier: ISC */
/*
 * A stream of archive.h comes into a queue.
 */
#include "master/queue/archive.h"

#include <sys/mman.h>

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"
#include "master/queue/archive_row.h"
#include "master/queue/store_internal.h"

enum {
	IMPORT_GROUP = 500, /* messages of one commit */
	IMPORT_SQL_SIZE = 4096,
	IMPORT_COPY_SIZE = 65536,
};

/* Rows of one table, which mostly have the same members. */
struct import_table {
	const char *name;
	const char *columns; /* the query for what it has */
	char text[IMPORT_SQL_SIZE];
	sqlite3_stmt *insert;
};

struct import {
	struct store *store;
	FILE *in;
	struct archive_sum *sum;
	char *error;
	size_t error_size;
	char *line;
	size_t line_size;
	uint64_t nlines;
	uint64_t last_id;
	sqlite3_stmt *find;
	struct import_table message;
	struct import_table recipient;
};

static int import_fail(struct import *im, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Says where; -1. */
static int
import_fail(struct import *im, const char *format, ...)
{
	char why[512];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(why, sizeof(why), format, ap);
	va_end(ap);
	(void)snprintf(im->error, im->error_size, "line %" PRIu64 ": %s",
	    im->nlines, why);
	return -1;
}

static int
import_fail_sql(struct import *im)
{
	return import_fail(im, "the queue: %s", store_error(im->store));
}

/* NULL: the end, or no JSON, which is in error. */
static json_t *
import_read_line(struct import *im)
{
	json_error_t why;
	json_t *object;
	ssize_t n;

	im->nlines++;
	n = getline(&im->line, &im->line_size, im->in);
	if (n <= 0) {
		(void)import_fail(im,
		    "the stream ends before its end: it is "
		    "not whole");
		return NULL;
	}
	object = json_loadb(im->line, (size_t)n, 0, &why);
	if (object == NULL)
		(void)import_fail(im, "it is no line of an export: %s",
		    why.text);
	return object;
}

/* The octets behind a line, in memory of no name; -1: failed. */
static int
import_read_body(struct import *im, uint64_t size)
{
	static char buffer[IMPORT_COPY_SIZE];
	int fd = memfd_create("body", MFD_CLOEXEC);
	size_t want;
	size_t n;

	if (fd == -1)
		return import_fail(im, "%s", strerror(errno));
	while (size > 0) {
		want = size < sizeof(buffer) ? (size_t)size : sizeof(buffer);
		n = fread(buffer, 1, want, im->in);
		if (n == 0 || fd_write(fd, buffer, n) == -1) {
			fd_close(fd);
			return import_fail(im,
			    "the body behind it is not whole");
		}
		size -= n;
	}
	if (fgetc(im->in) != '\n') {
		fd_close(fd);
		return import_fail(im, "its size is not that of its body");
	}
	return fd;
}

static bool
import_has_column(struct import *im, const struct import_table *table,
    const char *name)
{
	sqlite3_stmt *sql = NULL;
	bool found = false;

	if (sqlite3_prepare_v2(im->store->db, table->columns, -1, &sql, NULL) ==
	    SQLITE_OK)
		while (!found && sqlite3_step(sql) == SQLITE_ROW)
			found =
			    strcmp((const char *)sqlite3_column_text(sql, 0),
				name) == 0;
	(void)sqlite3_finalize(sql);
	return found;
}

/* States are counted on their way in (store_tally.c). */
static int
import_write_insert(struct import *im, const struct import_table *table,
    json_t *row, char text[static IMPORT_SQL_SIZE])
{
	char values[IMPORT_SQL_SIZE] = "";
	char value[32];
	const char *name;
	json_t *member;
	int i = 0;

	(void)snprintf(text, IMPORT_SQL_SIZE, "INSERT INTO %s (", table->name);
	json_object_foreach(row, name, member)
	{
		i++;
		(void)snprintf(value, sizeof(value),
		    strcmp(name, "state") == 0 ? "%smoved(NULL, ?%d)" : "%s?%d",
		    i > 1 ? ", " : "", i);
		if (i > 1)
			(void)strlcat(text, ", ", IMPORT_SQL_SIZE);
		(void)strlcat(text, name, IMPORT_SQL_SIZE);
		(void)strlcat(values, value, sizeof(values));
	}
	(void)strlcat(text, ") VALUES (", IMPORT_SQL_SIZE);
	(void)strlcat(text, values, IMPORT_SQL_SIZE);
	if (strlcat(text, ")", IMPORT_SQL_SIZE) >= IMPORT_SQL_SIZE)
		return import_fail(im, "it has too many members");
	return 0;
}

/* The statement for these members; kept while they stay the same. */
static int
import_prepare(struct import *im, struct import_table *table, json_t *row)
{
	char text[IMPORT_SQL_SIZE];
	const char *name;
	json_t *member;

	if (import_write_insert(im, table, row, text) == -1)
		return -1;
	if (table->insert != NULL && strcmp(text, table->text) == 0)
		return 0;
	json_object_foreach(row, name,
	    member) if (!import_has_column(im, table,
			    name)) return import_fail(im,
	    "%s.%.64s: this posternd knows no such thing", table->name, name);
	(void)sqlite3_finalize(table->insert);
	table->insert = NULL;
	if (sqlite3_prepare_v2(im->store->db, text, -1, &table->insert, NULL) !=
	    SQLITE_OK)
		return import_fail_sql(im);
	(void)strlcpy(table->text, text, sizeof(table->text));
	return 0;
}

static int
import_row(struct import *im, struct import_table *table, json_t *row)
{
	const char *name;
	json_t *member;
	int at = 0;
	int rc;

	if (!json_is_object(row))
		return import_fail(im, "%s: it must be an object", table->name);
	if (import_prepare(im, table, row) == -1)
		return -1;
	json_object_foreach(row, name, member)
	{
		at++;
		if (json_is_integer(member))
			(void)sqlite3_bind_int64(table->insert, at,
			    json_integer_value(member));
		else if (json_is_string(member))
			(void)sqlite3_bind_text(table->insert, at,
			    json_string_value(member),
			    (int)json_string_length(member), SQLITE_STATIC);
		else
			(void)sqlite3_bind_null(table->insert, at);
	}
	rc = sqlite3_step(table->insert);
	(void)sqlite3_reset(table->insert); /* its error is the step's */
	return rc == SQLITE_DONE ? 0 : import_fail_sql(im);
}

/* In the row, or as a file, as it was. */
static int
import_body(struct import *im, uint64_t id, bool in_file, int fd, uint64_t size)
{
	sqlite3_stmt *sql = NULL;
	void *octets = NULL;
	int rc;

	if (in_file)
		return store_body_write_file(im->store, id, fd, size) == 0
		    ? 0
		    : import_fail(im, "its body: %s", strerror(errno));
	if (size > 0) {
		octets =
		    mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (octets == MAP_FAILED)
			return import_fail(im, "its body: %s", strerror(errno));
	}
	rc = sqlite3_prepare_v2(im->store->db,
	    "UPDATE message SET body = ?2 WHERE id = ?1", -1, &sql, NULL);
	if (rc == SQLITE_OK) {
		(void)sqlite3_bind_int64(sql, 1, (sqlite3_int64)id);
		(void)sqlite3_bind_blob64(sql, 2, octets != NULL ? octets : "",
		    size, SQLITE_STATIC);
		rc = sqlite3_step(sql);
	}
	(void)sqlite3_finalize(sql); /* its error is the step's */
	if (octets != NULL)
		(void)munmap(octets, (size_t)size);
	return rc == SQLITE_DONE ? 0 : import_fail_sql(im);
}

static bool
import_is_there(struct import *im, uint64_t id)
{
	bool there;

	(void)sqlite3_bind_int64(im->find, 1, (sqlite3_int64)id);
	there = sqlite3_step(im->find) == SQLITE_ROW;
	(void)sqlite3_reset(im->find);
	return there;
}

/* It was exported before it was due: see store_stage(). */
static bool
import_is_staged(const json_t *recipient)
{
	return json_integer_value(json_object_get(recipient, "state")) ==
	    STORE_QUEUED &&
	    !json_is_integer(json_object_get(recipient, "next_attempt"));
}

static int
import_add(struct import *im, uint64_t id, json_t *message, json_t *recipients,
    int fd, uint64_t size)
{
	json_t *recipient;
	bool staged = false;
	size_t i;

	if (import_row(im, &im->message, message) == -1 ||
	    import_body(im, id,
		json_integer_value(json_object_get(message, "in_file")) != 0,
		fd, size) == -1)
		return -1;
	im->store->tally[STORE_TALLY_MESSAGES]++;
	json_array_foreach(recipients, i, recipient)
	{
		if (json_integer_value(json_object_get(recipient, "message")) !=
		    (json_int_t)id)
			return import_fail(im,
			    "a recipient is of another message");
		if (import_row(im, &im->recipient, recipient) == -1)
			return -1;
		im->sum->recipients++;
		staged = staged || import_is_staged(recipient);
	}
	if (staged && store_begin_staged(im->store, id) == -1)
		return import_fail_sql(im);
	im->sum->messages++;
	if (id > im->last_id)
		im->last_id = id;
	return 0;
}

/* One message with its body. */
static int
import_message(struct import *im, json_t *object)
{
	json_t *recipients = json_object_get(object, "recipients");
	json_t *message = json_object_get(object, "message");
	json_int_t size = json_integer_value(json_object_get(object, "size"));
	char buffer[ARCHIVE_WHY_SIZE];
	const char *why;
	json_int_t id;
	int ret;
	int fd;

	id = json_integer_value(json_object_get(message, "id"));
	if (id <= 0 || size < 0 || json_array_size(recipients) == 0)
		return import_fail(im, "it is no message with its recipients");
	why = archive_row_refuse(message, recipients, buffer);
	if (why != NULL)
		return import_fail(im, "%s", why);
	fd = import_read_body(im, (uint64_t)size);
	if (fd == -1)
		return -1;
	if (import_is_there(im, (uint64_t)id)) {
		im->sum->there++;
		ret = 0;
	} else {
		ret = import_add(im, (uint64_t)id, message, recipients, fd,
		    (uint64_t)size);
	}
	fd_close(fd);
	return ret;
}

/* No id of theirs is given again. */
static int
import_end_group(struct import *im)
{
	struct store *store = im->store;

	if (im->last_id >= store->next_id) {
		store->next_id = im->last_id + 1;
		store->reserved_id = store->next_id;
		(void)sqlite3_bind_int64(store->sql[STORE_SQL_SET_NEXT_ID], 1,
		    (sqlite3_int64)store->next_id);
		if (store_run(store, STORE_SQL_SET_NEXT_ID) == -1)
			return import_fail_sql(im);
	}
	if (store_commit(store) == -1)
		return import_fail_sql(im);
	return 0;
}

static int
import_messages(struct import *im)
{
	json_t *object;
	bool at_end = false;
	int ret = 0;
	int n = 0;

	while (ret == 0 && !at_end) {
		object = import_read_line(im);
		if (object == NULL)
			return -1;
		at_end = json_is_true(json_object_get(object, "end"));
		if (!at_end)
			ret = import_message(im, object);
		json_decref(object);
		if (ret == 0 && (at_end || ++n % IMPORT_GROUP == 0))
			ret = import_end_group(im);
		if (ret == 0 && !at_end && n % IMPORT_GROUP == 0 &&
		    store_begin(im->store) == -1)
			ret = import_fail_sql(im);
	}
	return ret;
}

static int
import_header(struct import *im)
{
	json_t *object = import_read_line(im);
	json_int_t version;

	if (object == NULL)
		return -1;
	version = json_integer_value(json_object_get(object, "postern_queue"));
	json_decref(object);
	if (version != 1)
		return import_fail(im,
		    "it is no export of a queue, or of a newer postern");
	return 0;
}

int
archive_import(const char *spool, FILE *in, struct archive_sum *sum,
    char *error, size_t error_size)
{
	struct store_options options = { .spool = spool };
	struct import im = { .in = in,
		.sum = sum,
		.error = error,
		.error_size = error_size,
		.message = { .name = "message",
		    .columns =
			"SELECT name FROM pragma_table_info('message')" },
		.recipient = { .name = "recipient",
		    .columns =
			"SELECT name FROM pragma_table_info('recipient')" } };
	int ret = -1;

	memset(sum, 0, sizeof(*sum));
	if (import_header(&im) == -1 ||
	    store_open(&options, &im.store, error, error_size) == -1)
		goto out;
	if (sqlite3_prepare_v2(im.store->db,
		"SELECT 1 FROM message WHERE id = ?1", -1, &im.find,
		NULL) != SQLITE_OK ||
	    store_begin(im.store) == -1) {
		(void)import_fail_sql(&im);
		goto out;
	}
	ret = import_messages(&im);
out:
	(void)sqlite3_finalize(im.find);
	(void)sqlite3_finalize(im.message.insert);
	(void)sqlite3_finalize(im.recipient.insert);
	store_close(im.store); /* undoes a group that is not whole */
	free(im.line);
	return ret;
}
