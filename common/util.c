/* SPDX-License-Identifier: ISC */
/* Clocks and descriptors, as every role wants them. */
#include "common/util.h"

#include <sys/mman.h>

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

static int64_t
clock_ms(clockid_t id)
{
	struct timespec ts = { 0 };

	(void)clock_gettime(id, &ts); /* fails for no clock that we name */
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t
time_monotonic_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

int64_t
time_monotonic_us(void)
{
	struct timespec ts = { 0 };

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* as above */
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t
time_real_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}

void
fd_close(int fd)
{
	int saved = errno;

	if (fd != -1)
		close(fd);
	errno = saved;
}

int
fd_open_standard(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd != -1 && fd <= STDERR_FILENO);
	if (fd == -1)
		return -1;
	fd_close(fd);
	return 0;
}

int
fd_write(int fd, const void *buf, size_t n)
{
	const uint8_t *p = buf;
	ssize_t w;

	while (n > 0) {
		w = write(fd, p, n);
		if (w == -1 && errno == EINTR)
			continue;
		if (w == -1)
			return -1;
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

int
fd_pwrite(int fd, const void *buf, size_t n, uint64_t at)
{
	const uint8_t *p = buf;
	ssize_t w;

	while (n > 0) {
		w = pwrite(fd, p, n, (off_t)at);
		if (w == -1 && errno == EINTR)
			continue;
		if (w == -1)
			return -1;
		p += w;
		at += (uint64_t)w;
		n -= (size_t)w;
	}
	return 0;
}

int
fd_sealed(const char *name, const void *octets, size_t n)
{
	int fd;

	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd == -1)
		return -1;
	if (fd_write(fd, octets, n) == -1 ||
	    fcntl(fd, F_ADD_SEALS, FD_SEALS) == -1) {
		fd_close(fd);
		return -1;
	}
	return fd;
}
