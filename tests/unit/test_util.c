/* SPDX-License-Identifier: ISC */
/* Clocks, descriptors, and the words for outcomes and roles. */
#include "common/util.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "common/outcome.h"
#include "common/roles.h"

Test(util, clocks_tell_milliseconds)
{
	int64_t before = time_monotonic_ms(), real = time_real_ms();
	struct timespec pause = { 0, 20 * 1000 * 1000 };

	nanosleep(&pause, NULL);
	cr_expect_geq(time_monotonic_ms(), before + 20);
	cr_expect_lt(time_monotonic_ms(), before + 10000);
	cr_expect_leq(real / 1000 - (int64_t)time(NULL), 1);
	cr_expect_geq(real / 1000 - (int64_t)time(NULL), -2);
}

Test(util, descriptors_that_are_closed_lead_nowhere)
{
	struct stat null, is;
	int saved = dup(2), fd;

	cr_assert_eq(stat("/dev/null", &null), 0);
	close(0);
	close(2);
	cr_expect_eq(fd_open_standard(), 0);
	fd = open("/", O_RDONLY);
	cr_expect_gt(fd, 2);
	close(fd);
	cr_expect_eq(fstat(0, &is), 0);
	cr_expect_eq(is.st_rdev, null.st_rdev);
	cr_expect_eq(fstat(2, &is), 0);
	cr_expect_eq(is.st_rdev, null.st_rdev);
	dup2(saved, 2);
}

Test(util, closing_keeps_errno_and_takes_no_descriptor)
{
	int fd = dup(0);

	errno = EDOM;
	fd_close(-1);
	cr_expect_eq(errno, EDOM);
	fd_close(fd);
	cr_expect_eq(errno, EDOM);
	cr_expect_eq(fcntl(fd, F_GETFD), -1);
	errno = EDOM;
	fd_close(fd); /* fails, and is silent */
	cr_expect_eq(errno, EDOM);
}

static void
tick(int sig)
{
	(void)sig;
}

/* A child reads slowly and compares. */
Test(util, a_write_is_whole_in_spite_of_short_ones_and_signals)
{
	static uint8_t octets[1 << 20], got[4096];
	struct sigaction sa = { .sa_handler = tick };
	struct itimerval often = { { 0, 1000 }, { 0, 1000 } }, never = { 0 };
	int fds[2], status;
	size_t at = 0;
	ssize_t n;
	pid_t pid;

	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (uint8_t)(i * 7 + i / 256);
	cr_assert_eq(pipe(fds), 0);
	pid = fork();
	cr_assert_neq(pid, -1);
	if (pid == 0) {
		close(fds[1]);
		while ((n = read(fds[0], got, sizeof(got))) > 0) {
			if (memcmp(got, octets + at, (size_t)n) != 0)
				_exit(1);
			at += (size_t)n;
			usleep(100);
		}
		_exit(at == sizeof(octets) ? 0 : 2);
	}
	close(fds[0]);
	sigaction(SIGALRM, &sa, NULL); /* no SA_RESTART */
	setitimer(ITIMER_REAL, &often, NULL);
	cr_expect_eq(fd_write(fds[1], octets, sizeof(octets)), 0);
	setitimer(ITIMER_REAL, &never, NULL);
	close(fds[1]);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0);
}

Test(util, a_write_that_fails_says_why)
{
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	cr_assert_neq(fd, -1);
	cr_expect_eq(fd_write(fd, "", 0), 0);
	cr_expect_eq(fd_write(fd, "x", 1), -1);
	cr_expect_eq(errno, ENOSPC);
	close(fd);
}

Test(util, nobody_alters_what_is_sealed)
{
	int fd = fd_sealed("test", "octets", 6);
	char got[8] = "";

	cr_assert_neq(fd, -1);
	cr_expect_eq(pread(fd, got, sizeof(got), 0), 6);
	cr_expect_str_eq(got, "octets");
	cr_expect_eq(fcntl(fd, F_GET_SEALS), FD_SEALS);
	cr_expect_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	cr_expect_eq(pwrite(fd, "x", 1, 0), -1);
	cr_expect_eq(errno, EPERM);
	cr_expect_eq(ftruncate(fd, 0), -1);
	cr_expect_eq(ftruncate(fd, 100), -1);
	cr_expect_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), -1);
	cr_expect_eq(mmap(NULL, 6, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0),
	    MAP_FAILED);
	close(fd);
}

Test(outcome, every_number_has_a_word_and_no_two_the_same)
{
	for (unsigned i = 0; i < STEP_COUNT; i++) {
		cr_expect_neq(outcome_step_name(i)[0], '\0');
		for (unsigned j = 0; j < i; j++)
			cr_expect_str_neq(outcome_step_name(i),
			    outcome_step_name(j));
	}
	cr_expect_str_eq(outcome_status_name(OUTCOME_DELIVERED), "delivered");
	cr_expect_str_eq(outcome_status_name(OUTCOME_DEFERRED), "deferred");
	cr_expect_str_eq(outcome_status_name(OUTCOME_FAILED), "failed");
	cr_expect_str_eq(outcome_step_name(STEP_CONNECT), "connect");
	cr_expect_str_eq(outcome_step_name(STEP_QUIT), "quit");
}

Test(outcome, a_number_from_a_false_peer_has_a_word_too)
{
	cr_expect_str_eq(outcome_status_name(3), "status?");
	cr_expect_str_eq(outcome_status_name(~0u), "status?");
	cr_expect_str_eq(outcome_step_name(STEP_COUNT), "step?");
	cr_expect_str_eq(outcome_step_name(~0u), "step?");
	cr_expect_str_eq(role_name(ROLE_WORKER), "worker");
	cr_expect_str_eq(role_name(ROLE_MASTER), "master");
	cr_expect_str_eq(role_name(0), "role?");
	cr_expect_str_eq(role_name(ROLE_MASTER | ROLE_QUEUE), "role?");
	cr_expect_str_eq(role_name(1u << 20), "role?");
}
