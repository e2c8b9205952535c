/* SPDX-License-Identifier: ISC */
/* What two generations tell each other. */
#include "master/kin.h"

#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "common/util.h"

Test(kin, words_stand_between_spaces_and_the_last_has_the_rest)
{
	static const struct {
		const char *text;
		size_t most, want;
		const char *words[3];
	} cases[] = {
		{ "up 42", 3, 2, { "up", "42" } },
		{ "failed it is not there", 2, 2,
		    { "failed", "it is not there" } },
		{ "yours", 2, 1, { "yours" } },
		{ "", 2, 0, { NULL } },
		{ "a b c", 3, 3, { "a", "b", "c" } },
		{ "pid-file ", 3, 1, { "pid-file" } },
	};
	char text[64], *words[3];
	size_t i, k, n;

	for (i = 0; i < NELEM(cases); i++) {
		strlcpy(text, cases[i].text, sizeof(text));
		n = kin_words(text, words, cases[i].most);
		cr_expect_eq(n, cases[i].want, "%s", cases[i].text);
		for (k = 0; k < n && k < cases[i].want; k++)
			cr_expect_str_eq(words[k], cases[i].words[k]);
	}
}

Test(kin, a_packet_brings_its_words_and_its_descriptor)
{
	char text[KIN_SIZE];
	int fds[2], fd = -1;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	cr_assert_eq(kin_send(fds[0], fds[0], "listener %s ours", "job"), 0);
	cr_assert_eq(kin_send(fds[0], -1, "start %u", 2U), 0);
	cr_assert_eq(kin_receive(fds[1], text, &fd, 0), 1);
	cr_expect_str_eq(text, "listener job ours");
	cr_expect_neq(fd, -1);
	cr_expect((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	close(fd);
	cr_assert_eq(kin_receive(fds[1], text, &fd, 0), 1);
	cr_expect_str_eq(text, "start 2");
	cr_expect_eq(fd, -1);
	cr_expect_eq(kin_receive(fds[1], text, &fd, MSG_DONTWAIT), -1);
	cr_expect_eq(errno, EAGAIN);
	close(fds[1]);
	cr_expect_eq(kin_send(fds[0], -1, "yours"), -1);
	close(fds[0]);
}

Test(kin, the_last_words_of_one_that_ended_are_heard)
{
	char text[KIN_SIZE];
	int fds[2], fd;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	cr_assert_eq(kin_send(fds[0], -1, "unread"), 0);
	cr_assert_eq(kin_send(fds[1], -1, "failed why"), 0);
	close(fds[1]);
	cr_assert_eq(kin_receive(fds[0], text, &fd, 0), 1);
	cr_expect_str_eq(text, "failed why");
	cr_expect_eq(kin_receive(fds[0], text, &fd, 0), 0);
	close(fds[0]);
}

Test(kin, what_is_too_long_is_cut)
{
	char text[KIN_SIZE], long_text[2 * KIN_SIZE];
	int fds[2], fd;

	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	cr_assert_eq(kin_send(fds[0], -1, "failed %s", long_text), 0);
	cr_assert_eq(kin_receive(fds[1], text, &fd, 0), 1);
	cr_expect_eq(strlen(text), KIN_SIZE - 1);
	close(fds[0]);
	close(fds[1]);
}
