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
};

struct slots {
	int64_t used;
	struct slot slot[SLOTS];
};

static struct slots *slots;
static struct slot *own;
static int64_t woke_ns;
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
	if (turn_ns > own->longest_ns)
		own->longest_ns = turn_ns;
}

int
epoll_wait(int fd, struct epoll_event *events, int n, int timeout)
{
	int ret;

	shim_turn();
	ret = next(fd, events, n, timeout);
	if (own != NULL)
		woke_ns = now_ns();
	return ret;
}
