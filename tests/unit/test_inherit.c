/* SPDX-License-Identifier: ISC */
/* Listening sockets that somebody hands to us. */
#include "master/inherit.h"

#include <sys/un.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "common/util.h"

Test(inherit, names_stand_between_colons)
{
	static const struct {
		const char *list;
		size_t at;
		const char *want;
	} cases[] = {
		{ "job:control", 0, "job" },
		{ "job:control", 1, "control" },
		{ "job:control", 2, "unknown" },
		{ "", 0, "unknown" },
		{ "a::b", 1, "unknown" },
		{ "a::b", 2, "b" },
		{ NULL, 0, "unknown" },
		{ "0123456789abcdef:x", 0, "unknown" },
		{ "0123456789abcdef:x", 1, "x" },
		{ "a:", 1, "unknown" },
	};
	char name[16];

	for (size_t i = 0; i < NELEM(cases); i++) {
		inherit_name(cases[i].list, cases[i].at, name, sizeof(name));
		cr_expect_str_eq(name, cases[i].want, "case %zu", i);
	}
}

static void
offer(const char *pid, const char *n, const char *names)
{
	char own[16];

	(void)snprintf(own, sizeof(own), "%d", (int)getpid());
	setenv("LISTEN_PID", pid != NULL ? pid : own, 1);
	setenv("LISTEN_FDS", n, 1);
	setenv("LISTEN_FDNAMES", names, 1);
}

/* A listening socket as descriptor 3.  0, or -1. */
static int
listen_as_3(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	strlcpy(un.sun_path, path, sizeof(un.sun_path));
	if (bind(s, (struct sockaddr *)&un, sizeof(un)) == -1 ||
	    listen(s, 1) == -1)
		return -1;
	return s == 3 ? 0 : dup2(s, 3) - 3;
}

/* The numbers from 3 on are the test runner's: each case has a process of its
 * own, which ends with the line of what does not hold, or 0. */
static int
in_child(int (*run)(void))
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		close_range(3, ~0u, 0);
		_exit(run());
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define NEED(condition)                                                        \
	do {                                                                   \
		if (!(condition))                                              \
			return __LINE__;                                       \
	} while (0)

static char folder[] = "/tmp/inherit-XXXXXX";

static int
take_by_name(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	bool lent = false;
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/job", folder);
	NEED(listen_as_3(path) == 0);
	offer(NULL, "1", "job");
	NEED(inherit_open() == NULL);
	NEED(getenv("LISTEN_FDS") == NULL);
	NEED(strcmp(inherit_left(), "job") == 0);
	NEED(inherit_take("control", &lent) == -1);
	NEED(inherit_take("job", &lent) == 3);
	NEED(lent);
	NEED(inherit_left() == NULL);
	NEED((fcntl(3, F_GETFD) & FD_CLOEXEC) != 0);
	NEED((fcntl(3, F_GETFL) & O_NONBLOCK) != 0);
	strlcpy(un.sun_path, path, sizeof(un.sun_path));
	NEED(inherit_check(3, SOCK_SEQPACKET, (struct sockaddr *)&un,
		 sizeof(un)) == NULL);
	NEED(inherit_check(3, SOCK_STREAM, (struct sockaddr *)&un,
		 sizeof(un)) != NULL);
	un.sun_path[strlen(path) - 1] = 'x';
	NEED(inherit_check(3, SOCK_SEQPACKET, (struct sockaddr *)&un,
		 sizeof(un)) != NULL);
	return 0;
}

Test(inherit, what_the_environment_offers_is_taken_by_name)
{
	char path[64];

	cr_assert_not_null(mkdtemp(folder));
	cr_expect_eq(in_child(take_by_name), 0);
	(void)snprintf(path, sizeof(path), "%s/job", folder);
	unlink(path);
	rmdir(folder);
}

static int
leave_alone(void)
{
	offer("1", "1", "job");
	NEED(inherit_open() == NULL);
	NEED(inherit_left() == NULL);
	NEED(getenv("LISTEN_FDS") != NULL);
	return 0;
}

Test(inherit, what_is_for_another_process_is_left_alone)
{
	cr_expect_eq(in_child(leave_alone), 0);
}

static int
refuse(void)
{
	offer(NULL, "many", "job");
	NEED(inherit_open() != NULL);
	offer(NULL, "65", "job");
	NEED(inherit_open() != NULL);
	NEED(dup2(0, 3) == 3);
	offer(NULL, "2", "job:control"); /* the second is not open */
	NEED(inherit_open() != NULL);
	return 0;
}

static int
refuse_twice(void)
{
	NEED(dup2(0, 3) == 3 && dup2(0, 4) == 4);
	offer(NULL, "2", "job:job");
	NEED(inherit_open() != NULL);
	return 0;
}

Test(inherit, what_cannot_be_true_is_refused)
{
	cr_expect_eq(in_child(refuse), 0);
	cr_expect_eq(in_child(refuse_twice), 0);
}
