/* SPDX-License-Identifier: ISC */
/* See closer.h. */
#include "common/closer.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

enum {
	CLOSER_THREADS = 4,
	/* Of one thread; a pipe holds as many, whatever its size. */
	CLOSER_WAITING_MAX = 1024,
};

/*
 * What waits for one thread is all of the user that it works for: who makes it
 * wait makes nobody else wait, as long as there is a thread for each of those.
 */
struct thread {
	int to; /* numbers of descriptors go there */
	uid_t uid;
	size_t given;
	atomic_size_t closed;
};

static struct thread threads[CLOSER_THREADS];
static bool started;

struct ends {
	struct thread *thread;
	int fds;   /* numbers of descriptors come from here */
	int ready; /* one octet goes there: all calls of a start are made */
};

/* Allocates nothing and logs nothing: the filter lets it read, write and close. */
static void *
closer_run(void *arg)
{
	const struct ends *ends = arg;
	struct thread *thread = ends->thread;
	int fds = ends->fds, fd;

	(void)fd_write(ends->ready, "", 1);
	for (;;) {
		if (read(fds, &fd, sizeof(fd)) != (ssize_t)sizeof(fd))
			continue;
		(void)close(fd); /* it is gone, whatever it says */
		atomic_fetch_add(&thread->closed, 1);
	}
	return NULL;
}

static int
start_thread(struct thread *thread)
{
	int fds[2] = { -1, -1 }, ready[2] = { -1, -1 }, error, ret = -1;
	struct ends ends;
	pthread_t id;
	char octet;

	if (pipe2(fds, O_CLOEXEC) == -1 || pipe2(ready, O_CLOEXEC) == -1 ||
	    fcntl(fds[1], F_SETFL, O_NONBLOCK) == -1)
		goto out;
	ends.thread = thread;
	ends.fds = fds[0];
	ends.ready = ready[1];
	error = pthread_create(&id, NULL, closer_run, &ends);
	if (error != 0) {
		errno = error;
		goto out;
	}
	if (read(ready[0], &octet, 1) != 1)
		goto out;
	thread->to = fds[1];
	fds[0] = fds[1] = -1; /* for as long as we live */
	ret = 0;
out:
	fd_close(fds[0]);
	fd_close(fds[1]);
	fd_close(ready[0]);
	fd_close(ready[1]);
	return ret;
}

int
closer_start(void)
{
	for (size_t i = 0; i < NELEM(threads); i++)
		if (start_thread(&threads[i]) == -1)
			return -1;
	started = true;
	return 0;
}

static size_t
waiting(const struct thread *thread)
{
	return thread->given - atomic_load(&thread->closed);
}

/* Theirs, else one without work, else the one with least. */
static struct thread *
thread_of(uid_t uid)
{
	struct thread *best = &threads[0];

	for (size_t i = 0; i < NELEM(threads); i++) {
		if (threads[i].uid == uid && waiting(&threads[i]) > 0)
			return &threads[i];
		if (waiting(&threads[i]) < waiting(best))
			best = &threads[i];
	}
	return best;
}

/* File systems whose close() waits for nobody but this machine's disk. */
static bool
is_local(const struct statfs *fs)
{
	/* f_type is signed, and narrower on some machines. */
	switch ((uint32_t)fs->f_type) {
	case TMPFS_MAGIC:
	case EXT4_SUPER_MAGIC:
	case XFS_SUPER_MAGIC:
	case BTRFS_SUPER_MAGIC:
		return true;
	default:
		return false;
	}
}

/*
 * A memfd, which only these have seals; or a regular file of a local disk.  A FUSE
 * file system that is not ours refuses fstat() without asking its server, unless it
 * was mounted with allow_other: a client's file was looked at before, of another
 * role's that is not risked.
 */
static bool
is_harmless(int fd, uid_t uid)
{
	struct statfs fs;
	struct stat st;

	if (fcntl(fd, F_GET_SEALS) != -1)
		return true;
	return uid != CLOSER_ROLES && fstat(fd, &st) == 0 &&
	    S_ISREG(st.st_mode) && fstatfs(fd, &fs) == 0 && is_local(&fs);
}

void
closer_give(int fd, uid_t uid)
{
	struct thread *thread = thread_of(uid);

	if (fd == -1)
		return;
	/* Of so many, there is no other way. */
	if (!started || waiting(thread) >= CLOSER_WAITING_MAX ||
	    write(thread->to, &fd, sizeof(fd)) != (ssize_t)sizeof(fd)) {
		fd_close(fd);
		return;
	}
	thread->uid = uid;
	thread->given++;
}

void
closer_close(int fd, uid_t uid)
{
	if (fd == -1)
		return;
	/* Where it was not started, the filter may not let us look. */
	if (!started || is_harmless(fd, uid))
		fd_close(fd);
	else
		closer_give(fd, uid);
}

void
closer_take(struct msghdr *mh, uid_t uid)
{
	struct cmsghdr *c;
	size_t i, n;
	int fd;

	for (c = CMSG_FIRSTHDR(mh); c != NULL; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			closer_close(fd, uid);
		}
	}
}

/* Where as many users as there are threads do it, all are cut off, and one who may
 * have ids of a user namespace (subuid(5)) is as many as they like: but for root. */
bool
closer_is_choked(uid_t uid)
{
	return started && uid != 0 && waiting(thread_of(uid)) >= CLOSER_CHOKED;
}
