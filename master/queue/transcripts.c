/* SPDX-License-Identifier: ISC */
/*
 * See transcripts.h.  A name is the time of its making in ms and a hash of its
 * destination, so that names alone tell what has to go: no file is read for it.
 */
#include "master/queue/transcripts.h"

#include <sys/queue.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"

struct transcripts_entry {
	TAILQ_ENTRY(transcripts_entry) entry;
	int64_t time_ms;
	uint32_t hash;
	size_t size;
	char *text; /* NULL: in its file */
};

enum {
	TRANSCRIPTS_BUCKETS = 65536
};

struct transcripts {
	/* How many there are whose hash ends so: where they are few, nobody has
	 * too many, and nothing is walked to find that out. */
	uint32_t counts[TRANSCRIPTS_BUCKETS];
	TAILQ_HEAD(entries, transcripts_entry) entries; /* oldest first */
	struct transcripts_limits limits;
	uint64_t octets;
	int fd; /* of the folder; -1: in memory */
};

/* FNV-1a, of letters in either case. */
static uint32_t
hash_of(const char *destination)
{
	uint32_t hash = 2166136261U;

	for (; *destination != '\0'; destination++)
		hash = (hash ^ ((uint8_t)*destination | 0x20U)) * 16777619U;
	return hash;
}

void
transcripts_name(const struct transcripts_entry *e,
    char name[static TRANSCRIPTS_NAME_SIZE])
{
	(void)snprintf(name, TRANSCRIPTS_NAME_SIZE, "%011" PRIX64 "-%08" PRIX32,
	    (uint64_t)e->time_ms & 0xfffffffffff, e->hash);
}

/* Only what transcripts_name() writes. */
static int
parse_name(const char *name, int64_t *time_ms, uint32_t *hash)
{
	static const char digits[] = "0123456789ABCDEF";

	if (strspn(name, digits) != 11 || name[11] != '-' ||
	    strspn(name + 12, digits) != 8 || name[20] != '\0')
		return -1;
	*time_ms = (int64_t)strtoull(name, NULL, 16);
	*hash = (uint32_t)strtoul(name + 12, NULL, 16);
	return 0;
}

size_t
transcripts_size(const struct transcripts_entry *e)
{
	return e->size;
}

static uint32_t *
count_of(struct transcripts *ts, uint32_t hash)
{
	return &ts->counts[hash % TRANSCRIPTS_BUCKETS];
}

static void
forget(struct transcripts *ts, struct transcripts_entry *e)
{
	(*count_of(ts, e->hash))--;
	TAILQ_REMOVE(&ts->entries, e, entry);
	ts->octets -= e->size;
	free(e->text);
	free(e);
}

static void
drop(struct transcripts *ts, struct transcripts_entry *e)
{
	char name[TRANSCRIPTS_NAME_SIZE];

	transcripts_name(e, name);
	if (ts->fd != -1)
		(void)unlinkat(ts->fd, name, 0); /* else the next start does */
	forget(ts, e);
}

static struct transcripts_entry *
insert(struct transcripts *ts, int64_t time_ms, uint32_t hash, size_t size)
{
	struct transcripts_entry *e = calloc(1, sizeof(*e));
	struct transcripts_entry *before;

	if (e == NULL)
		return NULL;
	e->time_ms = time_ms;
	e->hash = hash;
	e->size = size;
	(*count_of(ts, hash))++;
	TAILQ_FOREACH_REVERSE(before, &ts->entries, entries, entry)
	if (before->time_ms <= time_ms)
		break;
	if (before == NULL)
		TAILQ_INSERT_HEAD(&ts->entries, e, entry);
	else
		TAILQ_INSERT_AFTER(&ts->entries, before, e, entry);
	ts->octets += size;
	return e;
}

static int
read_folder(struct transcripts *ts)
{
	struct dirent *d;
	struct stat st;
	int64_t time_ms;
	uint32_t hash;
	int ret = -1;
	DIR *dir;
	int fd;

	fd = openat(ts->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return -1;
	dir = fdopendir(fd);
	if (dir == NULL) {
		fd_close(fd);
		return -1;
	}
	while ((d = readdir(dir)) != NULL) {
		if (parse_name(d->d_name, &time_ms, &hash) == -1 ||
		    fstatat(ts->fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) == -1)
			continue;
		if (insert(ts, time_ms, hash, (size_t)st.st_size) == NULL)
			goto out;
	}
	ret = 0;
out:
	(void)closedir(dir); /* only read; closes fd */
	return ret;
}

static int
open_folder(const char *spool)
{
	int spool_fd, fd = -1;

	spool_fd = open(spool, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (spool_fd == -1)
		return -1;
	if (mkdirat(spool_fd, "transcripts", 0700) == 0 || errno == EEXIST)
		fd = openat(spool_fd, "transcripts",
		    O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	fd_close(spool_fd);
	return fd;
}

struct transcripts *
transcripts_open(const char *spool)
{
	struct transcripts *ts = calloc(1, sizeof(*ts));

	if (ts == NULL)
		return NULL;
	TAILQ_INIT(&ts->entries);
	ts->fd = -1;
	if (spool == NULL)
		return ts;
	ts->fd = open_folder(spool);
	if (ts->fd != -1 && read_folder(ts) == 0)
		return ts;
	transcripts_free(ts);
	return NULL;
}

void
transcripts_free(struct transcripts *ts)
{
	struct transcripts_entry *e, *next;
	int saved = errno;

	if (ts == NULL)
		return;
	for (e = TAILQ_FIRST(&ts->entries); e != NULL; e = next) {
		next = TAILQ_NEXT(e, entry);
		free(e->text);
		free(e);
	}
	fd_close(ts->fd);
	free(ts);
	errno = saved;
}

void
transcripts_set_limits(struct transcripts *ts,
    const struct transcripts_limits *limits)
{
	ts->limits = *limits;
}

void
transcripts_expire(struct transcripts *ts, int64_t now_ms)
{
	struct transcripts_entry *e;

	while ((e = TAILQ_FIRST(&ts->entries)) != NULL &&
	    e->time_ms < now_ms - ts->limits.keep_ms)
		drop(ts, e);
}

/* The oldest of a destination that has as many as it may, or NULL. */
static struct transcripts_entry *
surplus(struct transcripts *ts, uint32_t hash)
{
	struct transcripts_entry *e, *oldest = NULL;
	uint32_t n = 0;

	if (*count_of(ts, hash) <= ts->limits.of_destination)
		return NULL;
	TAILQ_FOREACH_REVERSE(e, &ts->entries, entries, entry)
	{
		if (e->hash != hash)
			continue;
		oldest = e;
		n++;
	}
	return n > ts->limits.of_destination ? oldest : NULL;
}

static int
write_file(const struct transcripts *ts, const char *name, const char *text,
    size_t len)
{
	size_t at = 0;
	ssize_t n;
	int fd;

	fd = openat(ts->fd, name,
	    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1)
		return -1;
	while (at < len) {
		n = pwrite(fd, text + at, len - at, (off_t)at);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	fd_close(fd); /* a crash may lose it: it is no mail */
	return at == len ? 0 : -1;
}

/* Two of one destination in one ms get two names. */
static int64_t
free_time(const struct transcripts *ts, int64_t time_ms)
{
	const struct transcripts_entry *last;

	last = TAILQ_LAST(&ts->entries, entries);
	return last != NULL && last->time_ms >= time_ms ? last->time_ms + 1
							: time_ms;
}

int
transcripts_add(struct transcripts *ts, int64_t now_ms, const char *destination,
    const char *text, size_t len, char name[static TRANSCRIPTS_NAME_SIZE])
{
	struct transcripts_entry *e, *old;

	e = insert(ts, free_time(ts, now_ms), hash_of(destination), len);
	if (e == NULL)
		return -1;
	transcripts_name(e, name);
	if (ts->fd == -1) {
		e->text = malloc(len + 1);
		if (e->text == NULL) {
			forget(ts, e);
			return -1;
		}
		memcpy(e->text, text, len);
	} else if (write_file(ts, name, text, len) == -1) {
		int saved = errno;

		drop(ts, e);
		errno = saved;
		return -1;
	}
	while ((old = surplus(ts, e->hash)) != NULL && old != e)
		drop(ts, old);
	while (ts->octets > ts->limits.octets &&
	    (old = TAILQ_FIRST(&ts->entries)) != e)
		drop(ts, old);
	return 0;
}

const struct transcripts_entry *
transcripts_find(const struct transcripts *ts, const char *name)
{
	const struct transcripts_entry *e;
	int64_t time_ms;
	uint32_t hash;

	if (parse_name(name, &time_ms, &hash) == -1)
		return NULL;
	TAILQ_FOREACH(e, &ts->entries, entry)
		if (e->time_ms == time_ms && e->hash == hash)
			break;
	return e;
}

const struct transcripts_entry *
transcripts_before(const struct transcripts *ts, const char *name)
{
	const struct transcripts_entry *e;
	int64_t time_ms;
	uint32_t hash;

	if (name[0] == '\0')
		return TAILQ_LAST(&ts->entries, entries);
	if (parse_name(name, &time_ms, &hash) == -1)
		return NULL;
	TAILQ_FOREACH_REVERSE(e, &ts->entries, entries, entry)
	if (e->time_ms < time_ms)
		break;
	return e;
}

ssize_t
transcripts_read(const struct transcripts *ts,
    const struct transcripts_entry *e, size_t at, char *out, size_t size)
{
	char name[TRANSCRIPTS_NAME_SIZE];
	ssize_t n;
	int fd;

	if (e->text != NULL) {
		if (at >= e->size)
			return 0;
		if (size > e->size - at)
			size = e->size - at;
		memcpy(out, e->text + at, size);
		return (ssize_t)size;
	}
	transcripts_name(e, name);
	fd = openat(ts->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd == -1)
		return -1;
	do
		n = pread(fd, out, size, (off_t)at);
	while (n == -1 && errno == EINTR);
	fd_close(fd);
	return n;
}
