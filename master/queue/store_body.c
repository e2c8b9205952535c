/* SPDX-License-Identifier: ISC */
/*
 * Bodies: the large ones as files, and all of them as sealed memfds.
 *
 * A file is complete and synced, and its directory too, before the envelope
 * that names it is committed; it goes after the commit that removes the
 * envelope.  So a crash leaves at most a file too many, for the sweep.
 */
#include "master/queue/store.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "master/queue/store_internal.h"

enum {
	STORE_FILES_STEP = 64
};

/* Remembers a file for the end of the group. */
int
store_files_add(struct store_files *files, uint64_t id)
{
	uint64_t *ids;

	if (files->len == files->size) {
		ids = recallocarray(files->ids, files->size,
		    files->size + STORE_FILES_STEP, sizeof(*ids));
		if (ids == NULL)
			return -1;
		files->ids = ids;
		files->size += STORE_FILES_STEP;
	}
	files->ids[files->len++] = id;
	return 0;
}

void
store_files_unlink(struct store *store, struct store_files *files)
{
	char name[STORE_ID_SIZE];
	size_t i;

	for (i = 0; i < files->len; i++) {
		store_id_format(files->ids[i], name);
		/* What stays behind is swept at the next start. */
		(void)unlinkat(store->bodies_fd, name, 0);
	}
	files->len = 0;
}

/* Copies size octets from the start of one descriptor to that of another. */
static int
store_copy(struct store *store, int from_fd, int to_fd, uint64_t size)
{
	uint64_t at = 0;
	size_t want;
	ssize_t n;

	while (at < size) {
		want = size - at < store->buffer_size ? (size_t)(size - at)
						      : store->buffer_size;
		n = pread(from_fd, store->buffer, want, (off_t)at);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EBADMSG; /* shorter than it was */
		if (n <= 0)
			return -1;
		if (fd_pwrite(to_fd, store->buffer, (size_t)n, at) == -1)
			return -1;
		at += (uint64_t)n;
	}
	return 0;
}

int
store_body_write_file(struct store *store, uint64_t id, int body_fd,
    uint64_t size)
{
	char name[STORE_ID_SIZE];
	int ret = -1;
	int fd;

	if (store_files_add(&store->added, id) == -1)
		return -1;
	store_id_format(id, name);
	fd = openat(store->bodies_fd, name,
	    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1)
		return -1;
	if (store_copy(store, body_fd, fd, size) == -1)
		goto out;
	if (fsync(fd) == -1)
		goto out;
	if (fsync(store->bodies_fd) == -1)
		goto out;
	ret = 0;
out:
	fd_close(fd); /* synced, or given up */
	return ret;
}

static int
store_file_to_memfd(struct store *store, uint64_t id, int fd)
{
	char name[STORE_ID_SIZE];
	struct stat st;
	int ret = -1;
	int from_fd;

	store_id_format(id, name);
	from_fd =
	    openat(store->bodies_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (from_fd == -1)
		return -1;
	if (fstat(from_fd, &st) == -1)
		goto out;
	ret = store_copy(store, from_fd, fd, (uint64_t)st.st_size);
out:
	fd_close(from_fd);
	return ret;
}

int
store_body_source(struct store *store, uint64_t message, int *fdp)
{
	char name[STORE_ID_SIZE];
	int in_file;

	in_file = store_body_in_file(store, message);
	if (in_file == 0)
		return store_body_fd(store, message, fdp);
	if (in_file == -1)
		return -1;
	store_id_format(message, name);
	*fdp =
	    openat(store->bodies_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return *fdp != -1 ? 0 : -1;
}

/* Writes the body of the row that BODY stands on. */
static int
store_row_to_memfd(struct store *store, uint64_t id, int fd)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_BODY];
	const uint8_t *octets;
	int n;

	if (sqlite3_column_int(sql, 0) != 0)
		return store_file_to_memfd(store, id, fd);
	octets = sqlite3_column_blob(sql, 1);
	n = sqlite3_column_bytes(sql, 1);
	if (octets == NULL && n > 0) {
		errno = ENOMEM;
		return -1;
	}
	return fd_pwrite(fd, octets, (size_t)n, 0);
}

int
store_body_fd(struct store *store, uint64_t message, int *fdp)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_BODY];
	int fd = -1;
	int ret = -1;
	int saved;
	int rc;

	(void)sqlite3_bind_int64(sql, 1, (sqlite3_int64)message);
	rc = sqlite3_step(sql);
	if (rc != SQLITE_ROW) {
		(void)store_fail(store, rc);
		if (rc == SQLITE_DONE)
			errno = ENOENT;
		goto out;
	}
	fd = memfd_create("body", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd == -1)
		goto out;
	if (store_row_to_memfd(store, message, fd) == -1)
		goto out;
	if (fcntl(fd, F_ADD_SEALS, FD_SEALS) == -1)
		goto out;
	*fdp = fd; /* the caller's from here on */
	fd = -1;
	ret = 0;
out:
	saved = errno;
	store_reset(store, STORE_SQL_BODY);
	errno = saved;
	fd_close(fd);
	return ret;
}

int
store_body_in_file(struct store *store, uint64_t id)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_IN_FILE];
	int ret = 0;
	int rc;

	(void)sqlite3_bind_int64(sql, 1, (sqlite3_int64)id);
	rc = sqlite3_step(sql);
	if (rc == SQLITE_ROW)
		ret = sqlite3_column_int(sql, 0) != 0;
	else if (rc != SQLITE_DONE)
		ret = store_fail(store, rc);
	store_reset(store, STORE_SQL_IN_FILE);
	return ret;
}

static int
store_sweep_files(struct store *store, DIR *dir, uint64_t *countp)
{
	struct dirent *entry;
	uint64_t id;
	int named;

	for (;;) {
		errno = 0;
		entry = readdir(dir);
		if (entry == NULL)
			return errno == 0 ? 0 : -1;
		if (store_id_parse(entry->d_name, &id) == -1)
			continue; /* ".", "..", and what is not ours */
		named = store_body_in_file(store, id);
		if (named == -1)
			return -1;
		if (named == 1)
			continue;
		if (unlinkat(store->bodies_fd, entry->d_name, 0) == -1)
			return -1;
		(*countp)++;
	}
}

/* The other way round: an envelope whose file is gone is worth a warning. */
static int
store_count_lost(struct store *store, uint64_t *countp)
{
	sqlite3_stmt *sql = store->sql[STORE_SQL_FILES_AFTER];
	char name[STORE_ID_SIZE];
	struct stat st;
	uint64_t id = 0;
	int rc;

	for (;;) {
		(void)sqlite3_bind_int64(sql, 1, (sqlite3_int64)id);
		rc = sqlite3_step(sql);
		if (rc == SQLITE_ROW)
			id = (uint64_t)sqlite3_column_int64(sql, 0);
		else if (rc != SQLITE_DONE)
			(void)store_fail(store, rc);
		store_reset(store, STORE_SQL_FILES_AFTER);
		if (rc != SQLITE_ROW)
			return rc == SQLITE_DONE ? 0 : -1;
		store_id_format(id, name);
		if (fstatat(store->bodies_fd, name, &st, AT_SYMLINK_NOFOLLOW) ==
		    -1)
			(*countp)++;
	}
}

int
store_body_sweep(struct store *store, struct store_recovered *recovered)
{
	DIR *dir;
	int ret = -1;
	int saved;
	int fd;

	if (store->bodies_fd == -1)
		return 0;
	fd = openat(store->bodies_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return -1;
	dir = fdopendir(fd);
	if (dir == NULL) {
		fd_close(fd);
		return -1;
	}
	if (store_sweep_files(store, dir, &recovered->swept_bodies) == -1)
		goto out;
	ret = store_count_lost(store, &recovered->lost_bodies);
out:
	saved = errno;
	(void)closedir(dir); /* only read; closes fd */
	errno = saved;
	return ret;
}
