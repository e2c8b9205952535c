/* SPDX-License-Identifier: ISC */
/*
 * Room on the disk: how much is free, and a reserve for what cannot wait.
 *
 * Mail that is in the queue can leave it only by writes: a recipient is marked
 * in doubt before its message goes out, and its outcome is a row.  Where other
 * programs have filled the disk to the last block, a file that holds nothing
 * is given up, and its blocks serve these writes.
 */
#include "master/queue/store.h"

#include <sys/stat.h>
#include <sys/vfs.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "master/queue/store_internal.h"

enum {
	STORE_RESERVE_SIZE = 16 * 1024 * 1024,
	STORE_RESERVE_SHARE = 16,    /* at most this part of the file system */
	STORE_RESERVE_LEAST = 65536, /* less would be none */
	STORE_PAGES_TIGHT = 256,     /* of the WAL, while the disk is full */
	STORE_PAGES_LEAST = 64,      /* of the WAL */
	STORE_PAGE_SIZE = 4096,      /* store_configure */
	STORE_LITTLE = 1024 * 1024,  /* free octets; nobody starts with less */
};

static int
store_disk(const struct store *store, uint64_t *freep, uint64_t *sizep)
{
	struct statfs fs;

	if (fstatfs(store->bodies_fd, &fs) == -1)
		return -1;
	*freep = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
	*sizep = (uint64_t)fs.f_blocks * (uint64_t)fs.f_bsize;
	return 0;
}

int
store_free_octets(const struct store *store, uint64_t *freep)
{
	uint64_t size;

	*freep = UINT64_MAX;
	if (store->bodies_fd == -1)
		return 0; /* in memory */
	return store_disk(store, freep, &size);
}

static uint64_t
reserve_size(uint64_t disk)
{
	uint64_t size = disk / STORE_RESERVE_SHARE;

	return size > STORE_RESERVE_SIZE ? STORE_RESERVE_SIZE : size;
}

/*
 * What is in the WAL goes into the database later, which then grows by as much.
 * On a disk that is full it is the reserve that gives the room for that: there is
 * never more in the WAL.
 */
static void
store_limit_log(struct store *store)
{
	uint64_t left, size, pages;

	if (store_disk(store, &left, &size) == -1)
		return;
	pages = reserve_size(size) / STORE_PAGE_SIZE;
	if (pages > STORE_WAL_PAGES)
		pages = STORE_WAL_PAGES;
	if (pages < STORE_PAGES_LEAST)
		pages = STORE_PAGES_LEAST;
	store->log_pages = (int)pages;
}

/* After each commit; the number of pages that are in the log by then. */
static int
store_log_grew(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct store *store = arg;

	(void)db;
	(void)name;
	store->log_len = pages;
	if (pages >= store->log_pages)
		store_empty_log(store);
	return SQLITE_OK; /* of the commit, which is done */
}

void
store_watch_log(struct store *store)
{
	(void)sqlite3_wal_hook(store->db, store_log_grew, store);
}

bool
store_log_is_long(const struct store *store)
{
	return store->log_len >= store->log_pages / 4;
}

/* What cannot be written now is written after a later commit. */
void
store_empty_log(struct store *store)
{
	store->log_len = 0;
	(void)sqlite3_wal_checkpoint_v2(store->db, NULL,
	    SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

/* Never so much that our own reserve leaves no room. */
static int
store_reserve_fill(struct store *store)
{
	uint64_t left;
	uint64_t size;

	if (store_disk(store, &left, &size) == -1)
		return -1;
	size = reserve_size(size);
	if (left < 2 * size || size < STORE_RESERVE_LEAST) {
		errno = ENOSPC;
		return -1;
	}
	if (fallocate(store->reserve_fd, 0, 0, (off_t)size) == -1) {
		/* What there is of it serves too, but is tried for again. */
		return -1;
	}
	store->has_reserve = true;
	return 0;
}

int
store_reserve_open(struct store *store, int spool_fd)
{
	struct stat st;

	store->reserve_fd = openat(spool_fd, "reserve",
	    O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (store->reserve_fd == -1 || fstat(store->reserve_fd, &st) == -1)
		return -1;
	store_limit_log(store);
	/* Of the run before; a file system that is full gives no other. */
	store->has_reserve = st.st_blocks > 0;
	if (!store->has_reserve)
		(void)store_reserve_fill(store);
	return 0;
}

/* What opening writes, an upgrade and a recovery must find room too. */
void
store_reserve_start(struct store *store)
{
	uint64_t left;

	if (store_free_octets(store, &left) == 0 && left < STORE_LITTLE)
		(void)store_use_reserve(store);
}

bool
store_use_reserve(struct store *store)
{
	if (store->reserve_fd == -1 || !store->has_reserve)
		return false;
	store->has_reserve = false;
	store->is_tight = true;
	if (ftruncate(store->reserve_fd, 0) == -1)
		return false;
	/* The log starts anew at its beginning, and stays short. */
	store->log_pages = STORE_PAGES_TIGHT;
	store_empty_log(store);
	return true;
}

bool
store_keep_reserve(struct store *store)
{
	if (store->reserve_fd == -1 || store->has_reserve ||
	    store_reserve_fill(store) == -1)
		return false;
	store_limit_log(store);
	if (!store->is_tight)
		return false; /* the first there is */
	store->is_tight = false;
	return true;
}

bool
store_is_tight(const struct store *store)
{
	return store->is_tight;
}

bool
store_is_removed(const struct store *store)
{
	int moved = 0;

	return store->bodies_fd != -1 &&
	    sqlite3_file_control(store->db, "main", SQLITE_FCNTL_HAS_MOVED,
		&moved) == SQLITE_OK &&
	    moved != 0;
}
