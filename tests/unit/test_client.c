/* SPDX-License-Identifier: ISC */
/* A connection of the intake: packets and the descriptors that come along. */
#include "master/clients/client.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "common/util.h"

#define FDS_MOST 4

static struct {
	struct event_base *base;
	struct client *client;
	int peer;
	unsigned packets, truncated, with_fd;
	bool gone;
} t;

static void
on_packet(void *ctx, struct client *c, const char *text, size_t len,
    bool truncated, int fd)
{
	(void)ctx;
	(void)c;
	(void)text;
	(void)len;
	t.packets++;
	t.truncated += truncated;
	t.with_fd += fd != -1;
	fd_close(fd);
}

static void
on_gone(void *ctx, struct client *c)
{
	(void)ctx;
	(void)c;
	t.gone = true;
}

static const struct client_handlers handlers = { on_packet, on_gone };

static void
set_up(void)
{
	int pair[2];

	memset(&t, 0, sizeof(t));
	t.base = event_base_new();
	cr_assert_not_null(t.base);
	cr_assert_eq(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	t.peer = pair[0];
	t.client = client_new(t.base, pair[1], LISTENER_JOB, &handlers, NULL);
	cr_assert_not_null(t.client);
}

TestSuite(client, .init = set_up, .timeout = 10);

static unsigned
count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	cr_assert_not_null(dir);
	while (readdir(dir) != NULL)
		n++;
	(void)closedir(dir);
	return n;
}

/* A packet with n copies of a descriptor. */
static void
say(const char *text, size_t n)
{
	union {
		struct cmsghdr align;
		uint8_t room[CMSG_SPACE(FDS_MOST * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	const int fds[FDS_MOST] = { t.peer, t.peer, t.peer, t.peer };
	struct cmsghdr *c;

	if (n > 0) {
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	}
	cr_assert_eq(sendmsg(t.peer, &mh, 0), (ssize_t)strlen(text));
	cr_assert_neq(event_base_loop(t.base, EVLOOP_ONCE), -1);
}

Test(client, one_descriptor_reaches_the_handler)
{
	say("{}", 0);
	say("{}", 1);
	cr_expect_eq(t.packets, 2);
	cr_expect_eq(t.with_fd, 1);
	cr_expect_eq(t.truncated, 0);
}

Test(client, of_several_descriptors_none_stays)
{
	unsigned before = count_fds();
	size_t n;

	for (n = 2; n <= FDS_MOST; n++)
		say("{}", n);
	cr_expect_eq(t.packets, 3);
	cr_expect_eq(t.truncated, 3, "%u of 3 were seen", t.truncated);
	cr_expect_eq(count_fds(), before);
}

Test(client, an_empty_packet_leaves_no_descriptor)
{
	unsigned before = count_fds();

	say("", 1);
	cr_expect(t.gone);
	cr_expect_eq(count_fds(), before - 1); /* that of the client itself */
}

/* Transcripts are large: many of them are too much before many answers are. */
Test(client, who_reads_no_large_answers_is_gone)
{
	static char answer[20001];
	int i;

	memset(answer, 'x', sizeof(answer) - 1);
	for (i = 0; i < 3000 && !t.gone; i++) {
		client_send(t.client, answer);
		(void)event_base_loop(t.base, EVLOOP_NONBLOCK);
	}
	cr_expect(t.gone);
	cr_expect_geq(i, 32 * 1024 * 1024 / 20000);
}

/* Each is a message in memory. */
Test(client, who_takes_no_descriptors_is_gone)
{
	unsigned before = count_fds();
	int i;

	for (i = 0; i < 2000 && !t.gone; i++) {
		client_send_fd(t.client, "{}", t.peer);
		cr_assert_neq(event_base_loop(t.base, EVLOOP_NONBLOCK), -1);
		cr_assert_leq(count_fds(), before + 64);
	}
	cr_expect(t.gone);
	cr_expect_leq(count_fds(), before);
}

/* Another generation has its socket, and what it sent meanwhile. */
Test(client, one_that_is_handed_on_goes_on_there)
{
	int other = dup(client_fd(t.client));
	char octets[8];

	cr_assert_eq(send(t.peer, "{}", 2, 0), 2);
	client_hand_on(t.client);
	cr_expect_eq(recv(other, octets, sizeof(octets), MSG_DONTWAIT), 2);
	cr_expect_eq(send(t.peer, "{}", 2, MSG_NOSIGNAL), 2);
	cr_expect_eq(send(other, "{}", 2, MSG_NOSIGNAL), 2);
	cr_expect_eq(recv(t.peer, octets, sizeof(octets), MSG_DONTWAIT), 2);
	close(other);
}
