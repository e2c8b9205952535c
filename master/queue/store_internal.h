/* SPDX-License-Identifier: ISC */
/*
 * What the files of the store share; nobody else includes it.
 */
#ifndef MASTER_QUEUE_STORE_INTERNAL_H
#define MASTER_QUEUE_STORE_INTERNAL_H

#include <sqlite3.h>

#include "master/queue/store.h"

enum store_sql {
#define SQL(name, text) STORE_SQL_##name,
#include "master/queue/store_sql.def"
#undef SQL
	STORE_SQL_COUNT
};

enum {
	STORE_TALLY_MESSAGES = STORE_STATE_COUNT, /* behind the states */
	STORE_TALLY_COUNT,
	STORE_BUFFER_SIZE = 64 * 1024,
	STORE_ID_BLOCK = 4096, /* ids reserved by one write */
	/* Of the log, at most; those that every group touches are then written
	 * once for many groups. */
	STORE_WAL_PAGES = 4000,
};

/* Files whose rows a group adds or removes: their fate is the commit's. */
struct store_files {
	uint64_t *ids;
	size_t len;
	size_t size;
};

struct store {
	sqlite3 *db;
	sqlite3_stmt *sql[STORE_SQL_COUNT];
	uint64_t inline_body_limit;
	uint64_t next_id;
	uint64_t reserved_id; /* ids below it are ours to give, on disk */
	int bodies_fd;        /* the directory; -1 in memory */
	int reserve_fd;       /* store_space.c; -1 in memory */
	bool has_reserve;
	bool is_tight; /* the reserve is in use */
	int log_pages; /* of the WAL, at most, before they go into the database */
	int log_len;   /* what it has, of those */
	bool in_group;
	bool is_shared; /* another process may write */
	int64_t tally[STORE_TALLY_COUNT];
	int64_t tally_before[STORE_TALLY_COUNT]; /* the group */
	struct store_files added;                /* unlinked by a rollback */
	struct store_files removed;              /* unlinked after a commit */
	uint8_t *buffer; /* STORE_BUFFER_SIZE or the inline limit */
	size_t buffer_size;
};

/* Sets errno from the engine's code, and returns -1. */
int store_fail(struct store *store, int rc);

/* Runs a statement that gives no rows, and makes it ready for the next use. */
int store_run(struct store *store, enum store_sql which);

/* Ends a use of a statement that failed or gave its rows. */
void store_reset(struct store *store, enum store_sql which);

/* One number out of a pragma, and statements without rows, while none is
 * prepared yet. */
int store_pragma(struct store *store, const char *text, int64_t *valuep);
int store_exec(struct store *store, const char *text);

/* The first id that nobody has reserved. */
int store_read_next_id(struct store *store, uint64_t *idp);

/* Looks for damage where that is cheap. */
int store_quick_check(struct store *store, const char *path, char *error,
    size_t error_size);

/* store_schema.c: makes the tables, brings older ones up to date, or refuses
 * what is not ours. */
int store_schema(struct store *store, const char *path, char *error,
    size_t error_size);

/* store_space.c */
void store_watch_log(struct store *store);
int store_reserve_open(struct store *store, int spool_fd);
void store_reserve_start(struct store *store);

/* store_share.c: waits for the other process, or not. */
void store_wait_for_lock(struct store *store, bool wait);

/* store_tally.c: how many there are of each state. */
int store_tally_init(struct store *store); /* before statements are made */
int store_tally_read(struct store *store);
void store_tally_begin(struct store *store);
int store_tally_write(struct store *store); /* part of the group */
void store_tally_rollback(struct store *store);

/* Steps once.  1: a row; 0: the end; -1: failed. */
int store_step_row(struct store *store, enum store_sql which,
    struct store_envelope *envelope, struct store_recipient *recipient);

/* Removes the message where none of its recipients is left; says so. */
int store_drop_empty(struct store *store, uint64_t message, bool *removedp);

/* store_body.c */
int store_files_add(struct store_files *files, uint64_t id);
void store_files_unlink(struct store *store, struct store_files *files);
int store_body_write_file(struct store *store, uint64_t id, int body_fd,
    uint64_t size);
/* 1: the message has its body in a file; 0: it has not, or is not there. */
int store_body_in_file(struct store *store, uint64_t id);
int store_body_sweep(struct store *store, struct store_recovered *recovered);

#endif
