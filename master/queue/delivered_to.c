/* SPDX-License-Identifier: ISC */
/* See delivered_to.h. */
#include "master/queue/delivered_to.h"

#include <sys/mman.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/loop.h"
#include "common/util.h"

enum {
	DELIVERED_TO_PIECE = 64 * 1024,
};

/* Copies the body, and looks at its header on the way. */
static int
copy_body(int from, uint64_t size, int to, uint64_t shift, struct loop *l)
{
	static uint8_t piece[DELIVERED_TO_PIECE];
	uint64_t at = 0;
	ssize_t n;

	while (at < size) {
		n = pread(from, piece, sizeof(piece), (off_t)at);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EBADMSG; /* shorter than it was */
		if (n <= 0)
			return -1;
		loop_feed(l, piece, (size_t)n);
		if (l->returned)
			return 0;
		if (fd_pwrite(to, piece, (size_t)n, at + shift) == -1)
			return -1;
		at += (uint64_t)n;
	}
	loop_end(l);
	return 0;
}

int
delivered_to_mark(int body_fd, uint64_t size, const char *recipient, int *fdp,
    uint64_t *sizep)
{
	struct loop l = { .recipient = recipient };
	char field[LOOP_FIELD_SIZE];
	int ret = -1;
	size_t n;
	int fd;

	fd = memfd_create("body", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd == -1)
		return -1;
	n = (size_t)snprintf(field, sizeof(field), "Delivered-To: %s\r\n",
	    recipient);
	if (n >= sizeof(field)) {
		errno = EMSGSIZE;
		goto out;
	}
	if (fd_pwrite(fd, (const uint8_t *)field, n, 0) == -1 ||
	    copy_body(body_fd, size, fd, n, &l) == -1)
		goto out;
	if (l.returned) {
		ret = 1;
		goto out;
	}
	if (fcntl(fd, F_ADD_SEALS, FD_SEALS) == -1)
		goto out;
	*sizep = size + n;
	*fdp = fd; /* the caller's from here on */
	fd = -1;
	ret = 0;
out:
	fd_close(fd);
	return ret;
}
