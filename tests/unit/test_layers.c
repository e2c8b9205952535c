/* SPDX-License-Identifier: ISC */
/* Which walls stand round a process, as /proc tells it: first our own. */
#include "master/layers.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "common/filter.h"
#include "common/util.h"

static char text[2048];

static bool
has(const char *word)
{
	return strstr(text, word) != NULL;
}

Test(layers, our_own_process_is_described)
{
	char word[32];

	cr_assert_eq(layers_read(getpid(), text, sizeof(text)), 0);
	(void)snprintf(word, sizeof(word), "uid=%d ", (int)getuid());
	cr_expect_eq(strncmp(text, word, strlen(word)), 0, "%s", text);
	cr_expect(has(" namespaces=none "), "%s", text);
	cr_expect(has(" no_new_privs="), "%s", text);
	cr_expect(has(" seccomp="), "%s", text);
	cr_expect(has(" caps="), "%s", text);
	cr_expect(has(" root="), "%s", text);
	cr_expect_not(has(" root=empty"), "%s", text);
	cr_expect_not(has(" pss_kib=0"), "%s", text);
	cr_expect(has(" pss_kib="), "%s", text);
}

Test(layers, of_a_large_process_no_page_is_counted)
{
	size_t size = 80 * 1024 * 1024;
	char *large = malloc(size);
	volatile char *pages = large;

	cr_assert_not_null(large);
	for (size_t i = 0; i < size; i += 1024)
		pages[i] = 1;
	cr_assert_eq(layers_read(getpid(), text, sizeof(text)), 0);
	free(large);
	cr_expect_not(has(" pss_kib="), "%s", text);
	cr_expect(has(" rss_kib="), "%s", text);
}

/* clang-format off */
static const struct filter_rule rules[] = {
	ALLOW(read,       "until the end")
	ALLOW(exit_group, "the end")
};
/* clang-format on */

/* A child behind some walls, that ends with its pipe. */
static pid_t
start_child(int *end)
{
	struct rlimit none = { 0, 0 }, few = { 77, 77 };
	struct sock_fprog prog; /* made before no file may grow */
	int fds[2], ready[2];
	char octet = 0;
	pid_t pid;

	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(pipe(ready), 0);
	pid = fork();
	cr_assert_neq(pid, -1);
	if (pid == 0) {
		close(fds[1]);
		if (filter_compile(rules, NELEM(rules), &prog) == -1 ||
		    setrlimit(RLIMIT_FSIZE, &none) == -1 ||
		    setrlimit(RLIMIT_NOFILE, &few) == -1 ||
		    (geteuid() == 0 && unshare(CLONE_NEWUTS) == -1) ||
		    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
		    write(ready[1], "", 1) != 1 || filter_load(&prog) == -1)
			_exit(1);
		(void)!read(fds[0], &octet, 1);
		_exit(0);
	}
	close(fds[0]);
	close(ready[1]);
	cr_assert_eq(read(ready[0], &octet, 1), 1, "the child's walls");
	close(ready[0]);
	*end = fds[1];
	return pid;
}

static void
end_child(pid_t pid, int end)
{
	int status;

	close(end);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0);
}

Test(layers, walls_are_seen_from_outside)
{
	int end, i;
	pid_t pid = start_child(&end);

	for (i = 0; i < 1000; i++) { /* the filter goes on after its word */
		cr_assert_eq(layers_read(pid, text, sizeof(text)), 0);
		if (has(" seccomp=filter"))
			break;
		usleep(1000);
	}
	cr_expect(has(" seccomp=filter filters="), "%s", text);
	cr_expect(has(" no_new_privs=yes "), "%s", text);
	cr_expect(has(" fsize=0"), "%s", text);
	cr_expect(has(" nofile=77"), "%s", text);
	cr_expect_not(has(" core=unlimited"), "%s", text);
	if (geteuid() == 0)
		cr_expect(has(" namespaces=uts "), "%s", text);
	end_child(pid, end);
}

Test(layers, a_process_that_is_gone_is_said_to_be)
{
	int end;
	pid_t pid = start_child(&end);

	end_child(pid, end);
	cr_expect_eq(layers_read(pid, text, sizeof(text)), -1);
	cr_expect_str_eq(text, "");
	cr_expect_eq(layers_children(pid, &pid, 1), 0);
}

Test(layers, words_that_do_not_fit_are_left_out_whole)
{
	char whole[2048];

	cr_assert_eq(layers_read(getpid(), whole, sizeof(whole)), 0);
	for (size_t size = 1; size < 64; size++) {
		memset(text, '#', sizeof(text));
		cr_assert_eq(layers_read(getpid(), text, size), 0);
		cr_assert_lt(strlen(text), size);
		cr_expect_eq(text[size], '#');
	}
}

Test(layers, children_are_listed)
{
	int ends[3];
	pid_t pids[3], got[8];
	size_t n;

	for (int i = 0; i < 3; i++)
		pids[i] = start_child(&ends[i]);
	n = layers_children(getpid(), got, NELEM(got));
	if (n == 0)
		cr_log_warn("this kernel lists no children");
	else
		cr_expect_eq(n, 3);
	for (size_t i = 0; i < n; i++)
		cr_expect_eq(got[i], pids[i]);
	if (n > 0)
		cr_expect_eq(layers_children(getpid(), got, 2), 2);
	for (int i = 0; i < 3; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
		close(ends[i]);
	}
}
