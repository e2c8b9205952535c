/* SPDX-License-Identifier: ISC */
/*
 * How long each process is away from its loop: the time from the end of one
 * epoll_wait() to the next, by the wall clock.
 *
 * Preloaded into posternd.  The file TURNS holds a slot for each process, which
 * is mapped before a process is confined; to write there takes no system call.
 */
#include <sys/epoll.h>
#include <sys/mman.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

enum {
	SLOTS = 4096,
};

struct slot {
	int64_t pid;
	int64_t turns;
	int64_t longest_ns;
	int64_t over_10ms;
	int64_t over_50ms;
	int64_t busy_50ms;    /* of them, without what they waited for the disk */
	int64_t longest_disk; /* ns of the longest one's wait for the disk */
};

struct slots {
	int64_t used;
	struct slot slot[SLOTS];
};

static struct slots *slots;
static struct slot *own;
static int64_t woke_ns;
static int64_t disk_ns; /* of this turn */
static int (*next)(int, struct epoll_event *, int, int);

static int64_t
now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void
shim_forked(void)
{
	int64_t i = __atomic_fetch_add(&slots->used, 1, __ATOMIC_RELAXED);

	own = i < SLOTS ? &slots->slot[i] : NULL;
	if (own != NULL)
		own->pid = getpid();
	woke_ns = 0;
}

__attribute__((constructor)) static void
shim_start(void)
{
	void *map;
	int fd;

	*(void **)&next = dlsym(RTLD_NEXT, "epoll_wait");
	fd = open(TURNS, O_RDWR | O_CLOEXEC);
	if (fd == -1)
		return;
	map = mmap(NULL, sizeof(*slots), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
	    0);
	(void)close(fd);
	if (map == MAP_FAILED)
		return;
	slots = map;
	shim_forked();
	(void)pthread_atfork(NULL, NULL, shim_forked);
}

static void
shim_turn(void)
{
	int64_t turn_ns;

	if (own == NULL || woke_ns == 0)
		return;
	turn_ns = now_ns() - woke_ns;
	own->turns++;
	own->over_10ms += turn_ns > 10000000;
	own->over_50ms += turn_ns > 50000000;
	own->busy_50ms += turn_ns - disk_ns > 50000000;
	if (turn_ns > own->longest_ns) {
		own->longest_ns = turn_ns;
		own->longest_disk = disk_ns;
	}
}

int
epoll_wait(int fd, struct epoll_event *events, int n, int timeout)
{
	int ret;

	shim_turn();
	ret = next(fd, events, n, timeout);
	if (own != NULL)
		woke_ns = now_ns();
	disk_ns = 0;
	return ret;
}

/* A call that can wait for the disk: its time is of the disk. */
#define DISK_CALL(type, name, takes, gives)           \
	type name takes                               \
	{                                             \
		static type(*call) takes;             \
		int64_t began = now_ns();             \
		type ret;                             \
                                                      \
		if (call == NULL)                     \
			*(void **)&call = dlsym(RTLD_NEXT, #name); \
		ret = call gives;                     \
		if (own != NULL)                      \
			disk_ns += now_ns() - began;  \
		return ret;                           \
	}

DISK_CALL(int, fdatasync, (int fd), (fd))
DISK_CALL(int, fsync, (int fd), (fd))
DISK_CALL(ssize_t, pwrite64, (int fd, const void *p, size_t n, off64_t at),
    (fd, p, n, at))
DISK_CALL(ssize_t, pread64, (int fd, void *p, size_t n, off64_t at),
    (fd, p, n, at))
DISK_CALL(int, unlinkat, (int fd, const char *name, int flags),
    (fd, name, flags))
DISK_CALL(int, ftruncate64, (int fd, off64_t size), (fd, size))
