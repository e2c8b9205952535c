/* SPDX-License-Identifier: ISC */
/*
 * The tables of the store, and how those of an older posternd become ours.
 *
 * What is read with each recipient stands before the body: behind it, SQLite
 * would walk through the pages of a body to find it.  A deadline is read from
 * its index alone.
 */
#include "master/queue/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "common/util.h"
#include "master/queue/store_internal.h"

enum {
	STORE_APPLICATION_ID = 0x504f5354, /* "POST" */
};

#define MESSAGE_COLUMNS                                                        \
	"(id INTEGER PRIMARY KEY, created INTEGER NOT NULL,"                   \
	" size INTEGER NOT NULL, flags INTEGER NOT NULL,"                      \
	" uid INTEGER NOT NULL, nrcpts INTEGER NOT NULL,"                      \
	" reverse_path TEXT NOT NULL, parameters TEXT NOT NULL DEFAULT '',"    \
	" ref TEXT NOT NULL, via TEXT NOT NULL, in_file INTEGER NOT NULL,"     \
	" body BLOB, deadline INTEGER"
#define MESSAGE_INDEXES                                                        \
	"CREATE INDEX in_file ON message (id) WHERE in_file = 1;"              \
	"CREATE INDEX late ON message (deadline) WHERE deadline IS NOT NULL;"
/* remind: when its sender is to be told that it is late. */
#define MESSAGE_REMIND "remind INTEGER"
#define MESSAGE_REMINDED                                                       \
	"CREATE INDEX remind ON message (remind) WHERE remind IS NOT NULL;"

/* lane: whose turn it is within a domain; via: another transport than the
 * message's; notice: a notice that is to be written (bits of notice_policy.h);
 * warned: which ones of a delay have been. */
#define RECIPIENT_LANE   "lane INTEGER NOT NULL DEFAULT 0"
#define RECIPIENT_VIA    "via TEXT NOT NULL DEFAULT ''"
#define RECIPIENT_NOTICE "notice INTEGER NOT NULL DEFAULT 0"
#define RECIPIENT_WARNED "warned INTEGER NOT NULL DEFAULT 0"
#define RECIPIENT_3                                                            \
	" " RECIPIENT_LANE ", " RECIPIENT_VIA ", " RECIPIENT_NOTICE            \
	", " RECIPIENT_WARNED
#define OWED_3 "CREATE INDEX owed ON recipient (message) WHERE notice != 0;"
/* What an operator has stopped: kind is the caller's, name "" for all. */
#define PAUSE_3                                                                \
	"CREATE TABLE pause (kind INTEGER NOT NULL, name TEXT NOT NULL,"       \
	" since INTEGER NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID;"

/* Messages that an ending generation keeps to itself (store_share.c). */
#define KEPT_4 "CREATE TABLE kept (message INTEGER PRIMARY KEY);"

/* What waits, by domain and lane: a lane with much is not walked to find the
 * next.  What a worker had when we ended is found by an index of few rows. */
#define DUE_3                                                                  \
	"CREATE INDEX due ON recipient (domain, lane, next_attempt)"           \
	" WHERE next_attempt IS NOT NULL;"
#define ACTIVE_3 "CREATE INDEX active ON recipient (message) WHERE state = 1;"
/* How many messages there are, and recipients of each state: to count them
 * would be to read all of a large queue. */
#define TALLY_3                                                                \
	"CREATE TABLE tally (messages INTEGER NOT NULL,"                       \
	" queued INTEGER NOT NULL, active INTEGER NOT NULL,"                   \
	" delivered INTEGER NOT NULL, deferred INTEGER NOT NULL,"              \
	" failed INTEGER NOT NULL, held INTEGER NOT NULL);"
#define TALLY_OF(state)                                                        \
	"(SELECT count(*) FROM recipient WHERE state = " state ")"

/* To count what is held and marked as kept (notice_policy.h) is to read that
 * alone.  Nothing but speed depends on it, so it has no version of its own: it is
 * made where it is missing, and an older posternd keeps it up as well. */
#define HELD                                                                   \
	"CREATE INDEX IF NOT EXISTS held ON recipient (warned)"                \
	" WHERE state = 5;"

/* Messages to many that are being added in parts (store.h).  It too is made where
 * it is missing: an older posternd has none such. */
#define STAGED                                                                 \
	"CREATE TABLE IF NOT EXISTS staged (message INTEGER PRIMARY KEY);"

/* When the bucket of a rate will be full (rates_kept.h), microseconds since 1970.
 * It too is made where it is missing. */
#define RATE                                                                   \
	"CREATE TABLE IF NOT EXISTS rate (name TEXT PRIMARY KEY,"              \
	" full INTEGER NOT NULL) WITHOUT ROWID;"

/* At which step the last attempt was decided (outcome.h).  Nothing but what people are
 * told depends on it, so it has no version of its own either: an older posternd names
 * the columns that it writes, and leaves this one alone. */
#define STEP "ALTER TABLE recipient ADD COLUMN step INTEGER;"

/* AUTOINCREMENT: who gets a report knows by its number whether he had it. */
#define REPORT_4                                                               \
	"CREATE TABLE report (id INTEGER PRIMARY KEY AUTOINCREMENT,"           \
	" created INTEGER NOT NULL, text TEXT NOT NULL);"

/*
 * Ids start where they have six hex digits, which readers of Postfix's logs
 * expect of a queue id.
 */
static const char schema[] =
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;"
    "INSERT INTO meta VALUES ('next_id', 1048576);"
    "CREATE TABLE message " MESSAGE_COLUMNS ", " MESSAGE_REMIND
    ");" MESSAGE_INDEXES MESSAGE_REMINDED
    "CREATE TABLE recipient (message INTEGER NOT NULL, idx INTEGER NOT NULL,"
    " address TEXT NOT NULL, domain TEXT NOT NULL, state INTEGER NOT NULL,"
    " next_attempt INTEGER, finished INTEGER, attempts INTEGER NOT NULL"
    " DEFAULT 0, in_doubt INTEGER NOT NULL DEFAULT 0, code INTEGER, dsn TEXT,"
    " reply TEXT, relay TEXT, parameters TEXT NOT NULL DEFAULT ''," RECIPIENT_3
    ", PRIMARY KEY (message, idx)) WITHOUT ROWID;" PAUSE_3 DUE_3 ACTIVE_3
	TALLY_3 "INSERT INTO tally VALUES (0, 0, 0, 0, 0, 0, 0);"
    "CREATE INDEX failed ON recipient (finished) WHERE state = 4;" OWED_3 KEPT_4
	REPORT_4 "PRAGMA application_id = 1347375956;"
    "PRAGMA user_version = 4;";

/*
 * From each version to the next.  What a step names is what the tables were in
 * its time: MESSAGE_COLUMNS goes into the step once a later version differs.
 */
static const char *const steps[] = {
	/* to 2: parameters of MAIL and RCPT */
	[1] =
	    "ALTER TABLE recipient ADD COLUMN parameters TEXT NOT NULL"
	    " DEFAULT '';"
	    "CREATE TABLE message_2 " MESSAGE_COLUMNS ");"
	    "INSERT INTO message_2 (id, created, size, flags, uid, nrcpts,"
	    " reverse_path, ref, via, in_file, body) SELECT id, created, size,"
	    " flags, uid, nrcpts, reverse_path, ref, via, in_file, body"
	    " FROM message;"
	    "DROP TABLE message;"
	    "ALTER TABLE message_2 RENAME TO message;" MESSAGE_INDEXES
	    "PRAGMA user_version = 2;",
	/* to 3: turns, holds, notices, numbers that are kept */
	[2] =
	    "ALTER TABLE recipient ADD COLUMN " RECIPIENT_LANE ";"
	    "ALTER TABLE recipient ADD COLUMN " RECIPIENT_VIA ";"
	    "ALTER TABLE recipient ADD COLUMN " RECIPIENT_NOTICE ";"
	    "ALTER TABLE recipient ADD COLUMN " RECIPIENT_WARNED ";"
	    "ALTER TABLE message ADD COLUMN " MESSAGE_REMIND ";"
	    "DROP INDEX due;" MESSAGE_REMINDED OWED_3 PAUSE_3 DUE_3 ACTIVE_3
		TALLY_3 "INSERT INTO tally SELECT"
	    " (SELECT count(*) FROM message)," TALLY_OF("0") "," TALLY_OF("1") "," TALLY_OF(
		"2") "," TALLY_OF("3") "," TALLY_OF("4") "," TALLY_OF("5") ";"
									   "PRAGMA user_version = 3;",
	/* to 4: generations, outcome reports */
	[3] = KEPT_4 REPORT_4 "PRAGMA user_version = 4;",
};

enum {
	STORE_SCHEMA_VERSION = sizeof(steps) / sizeof(steps[0]),
};

/* All or nothing: a start that is cut short leaves what it found. */
static int
schema_change(struct store *store, const char *const *texts, size_t n)
{
	int saved;

	if (store_exec(store, "BEGIN IMMEDIATE") == -1)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (store_exec(store, texts[i]) == -1)
			goto fail;
	if (store_exec(store, "COMMIT") == 0)
		return 0;
fail:
	saved = errno;
	(void)store_exec(store, "ROLLBACK"); /* it may be undone already */
	errno = saved;
	return -1;
}

static int
schema_add_step(struct store *store)
{
	static const char *const step[] = { STEP };
	int64_t n = 0;

	if (store_pragma(store,
		"SELECT count(*) FROM pragma_table_info('recipient')"
		" WHERE name = 'step'",
		&n) == -1)
		return -1;
	return n > 0 ? 0 : schema_change(store, step, NELEM(step));
}

static int
schema_refuse(int64_t version, const char *path, char *error, size_t error_size)
{
	if (version < 1)
		(void)snprintf(error, error_size,
		    "%s: the queue has schema %" PRId64
		    ", which no posternd ever wrote",
		    path, version);
	else
		(void)snprintf(error, error_size,
		    "%s: the queue has schema %" PRId64
		    ", this posternd knows %d; start the newer posternd that "
		    "wrote it, or let that one empty it first",
		    path, version, STORE_SCHEMA_VERSION);
	errno = EINVAL;
	return -1;
}

/* A failure says why, and what was asked of the disk. */
static int
schema_upgrade(struct store *store, int64_t version, const char *path,
    char *error, size_t error_size)
{
	size_t n = STORE_SCHEMA_VERSION - (size_t)version;
	int saved;

	if (schema_change(store, steps + version, n) == 0)
		return 0;
	saved = errno;
	(void)snprintf(error, error_size,
	    "%s: the queue of an older posternd cannot be brought to schema %d "
	    "(%s); it is as it was, and needs as much free space as it has "
	    "octets",
	    path, STORE_SCHEMA_VERSION, store_error(store));
	errno = saved;
	return -1;
}

int
store_schema(struct store *store, const char *path, char *error,
    size_t error_size)
{
	static const char *const whole[] = { schema, HELD, STAGED, RATE };
	static const char *const held[] = { HELD, STAGED, RATE };
	int64_t tables = 0;
	int64_t application = 0;
	int64_t version = 0;

	if (store_pragma(store, "SELECT count(*) FROM sqlite_schema",
		&tables) == -1 ||
	    store_pragma(store, "PRAGMA application_id", &application) == -1 ||
	    store_pragma(store, "PRAGMA user_version", &version) == -1)
		return -1;
	if (tables == 0 && version == 0)
		return schema_change(store, whole, NELEM(whole)) == 0
		    ? schema_add_step(store)
		    : -1;
	if (application != STORE_APPLICATION_ID) {
		(void)snprintf(error, error_size,
		    "%s: not a queue of postern; move it away or name another "
		    "spool_directory",
		    path);
		errno = EINVAL;
		return -1;
	}
	if (version < 1 || version > STORE_SCHEMA_VERSION)
		return schema_refuse(version, path, error, error_size);
	if (store->is_shared && version != STORE_SCHEMA_VERSION) {
		(void)snprintf(error, error_size,
		    "%s: the queue has schema %" PRId64
		    ", this posternd has %d: stop the running one and start "
		    "this",
		    path, version, STORE_SCHEMA_VERSION);
		errno = EINVAL;
		return -1;
	}
	if (!store->is_shared &&
	    store_quick_check(store, path, error, error_size) == -1)
		return -1;
	if (version != STORE_SCHEMA_VERSION &&
	    schema_upgrade(store, version, path, error, error_size) == -1)
		return -1;
	if (schema_change(store, held, NELEM(held)) == -1)
		return -1;
	return schema_add_step(store);
}
