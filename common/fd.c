/* SPDX-License-Identifier: ISC */
/* See fd.h. */
#include "common/fd.h"

#include <sys/mman.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

ssize_t
fd_send(int sock, struct iovec *pieces, size_t n, int fd, int flags)
{
	union {
		struct cmsghdr align;
		uint8_t room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr mh = { .msg_iov = pieces, .msg_iovlen = n };
	struct cmsghdr *c;

	if (fd != -1) {
		mh.msg_control = &control;
		mh.msg_controllen = sizeof(control.room);
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	return sendmsg(sock, &mh, flags | MSG_NOSIGNAL);
}

char *
fd_read_all(int fd, size_t max, size_t *n)
{
	char *text = malloc(max + 1);
	ssize_t got = 1;

	*n = 0;
	while (text != NULL && got > 0 && *n <= max) {
		got = pread(fd, text + *n, max + 1 - *n, (off_t)*n);
		if (got == -1 && errno == EINTR)
			got = 1;
		else if (got > 0)
			*n += (size_t)got;
	}
	if (text != NULL && (got == -1 || *n > max)) {
		errno = got == -1 ? errno : EFBIG;
		freezero(text, *n);
		return NULL;
	}
	return text;
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
