/* SPDX-License-Identifier: ISC */
/*
 * submit SOCKET CLIENTS MESSAGES SIZE RECIPIENT: hands messages in over the job
 * socket by so many clients at once, each waiting for its yes before it goes
 * on.  Prints messages a second.
 */
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 256

static int message_fd;
static char job[1024];

static void
make_message(size_t size)
{
	static const char line[] =
	    "0123456789012345678901234567890123456789012345678901234567890\n";
	size_t len = 0;

	message_fd = memfd_create("message", MFD_CLOEXEC);
	len += (size_t)write(message_fd, "Subject: bench\n\n", 16);
	while (len < size)
		len += (size_t)write(message_fd, line, sizeof(line) - 1);
}

static int
open_client(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	if (fd == -1 || connect(fd, (struct sockaddr *)&un, sizeof(un)) == -1)
		err(1, "%s", path);
	return fd;
}

static void
submit(int fd)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { job, strlen(job) };
	struct msghdr mh;

	memset(&mh, 0, sizeof(mh));
	memset(&control, 0, sizeof(control));
	mh.msg_iov = &iov;
	mh.msg_iovlen = 1;
	mh.msg_control = &control;
	mh.msg_controllen = sizeof(control.room);
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &message_fd, sizeof(int));
	if (sendmsg(fd, &mh, 0) == -1)
		err(1, "sendmsg");
}

int
main(int argc, char **argv)
{
	struct pollfd pfds[CLIENTS_MAX];
	long clients, messages, sent = 0, done = 0, i;
	struct timespec from, to;
	char answer[4096];
	ssize_t n;
	double s;

	if (argc != 6)
		errx(64,
		    "usage: submit SOCKET CLIENTS MESSAGES SIZE RECIPIENT");
	clients = atol(argv[2]);
	messages = atol(argv[3]);
	if (clients < 1 || clients > CLIENTS_MAX)
		errx(64, "1 to %d clients", CLIENTS_MAX);
	make_message((size_t)atol(argv[4]));
	snprintf(job, sizeof(job),
	    "{\"from\":\"a@bench.test\",\"rcpts\":[\"%s\"]}", argv[5]);
	for (i = 0; i < clients; i++) {
		pfds[i].fd = open_client(argv[1]);
		pfds[i].events = POLLIN;
	}
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (i = 0; i < clients && sent < messages; i++, sent++)
		submit(pfds[i].fd);
	while (done < messages && poll(pfds, (nfds_t)clients, -1) > 0) {
		for (i = 0; i < clients; i++) {
			if (pfds[i].revents == 0)
				continue;
			n = recv(pfds[i].fd, answer, sizeof(answer) - 1, 0);
			if (n <= 0)
				errx(1, "posternd closed");
			answer[n] = '\0';
			if (strstr(answer, "\"queued\"") == NULL)
				errx(1, "%s", answer);
			done++;
			if (sent < messages) {
				submit(pfds[i].fd);
				sent++;
			}
		}
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	s = (double)(to.tv_sec - from.tv_sec) +
	    (double)(to.tv_nsec - from.tv_nsec) / 1e9;
	printf("%.0f\n", (double)messages / s);
	return 0;
}
