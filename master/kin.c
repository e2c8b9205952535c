/* SPDX-License-Identifier: ISC */
/* See kin.h. */
#include "master/kin.h"

#include <sys/socket.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/util.h"

union control {
	struct cmsghdr align;
	char room[CMSG_SPACE(sizeof(int))];
};

int
kin_send(int sock, int fd, const char *fmt, ...)
{
	char text[KIN_SIZE];
	struct iovec iov = { text, 0 };
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		return -1;
	iov.iov_len = (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
	return fd_send(sock, &iov, 1, fd, MSG_DONTWAIT) == -1 ? -1 : 0;
}

int
kin_receive(int sock, char text[static KIN_SIZE], int *fdp, int flags)
{
	union control control = { 0 };
	struct iovec iov = { text, KIN_SIZE - 1 };
	struct msghdr mh = { 0 };
	struct cmsghdr *c;
	ssize_t n;

	*fdp = -1;
	mh.msg_iov = &iov;
	mh.msg_iovlen = 1;
	mh.msg_control = &control;
	mh.msg_controllen = sizeof(control.room);
	/* One that ended with packets of ours unread leaves ECONNRESET, once, and
	 * before what it sent itself. */
	do {
		n = recvmsg(sock, &mh, flags | MSG_CMSG_CLOEXEC);
	} while (n == -1 && (errno == EINTR || errno == ECONNRESET));
	if (n <= 0)
		return (int)n;
	c = CMSG_FIRSTHDR(&mh);
	if (c != NULL && c->cmsg_level == SOL_SOCKET &&
	    c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fdp, CMSG_DATA(c), sizeof(*fdp));
	text[n] = '\0';
	return 1;
}

size_t
kin_words(char *text, char **words, size_t n)
{
	size_t count = 0;

	while (count < n && text != NULL && *text != '\0') {
		words[count++] = text;
		if (count < n) {
			text = strchr(text, ' ');
			if (text != NULL)
				*text++ = '\0';
		}
	}
	return count;
}
