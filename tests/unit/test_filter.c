/* SPDX-License-Identifier: ISC */
/*
 * Filters as rows, seen from inside: each case is a child that loads them, makes
 * one call, and lives or dies by SIGSYS.
 */
#include "common/filter.h"

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "common/util.h"

#define HIGH (1ul << 32) /* a bit that a 32-bit comparison would miss */

/* clang-format off */
static const struct filter_rule rules[] = {
	ALLOW(exit_group, "the end")
	ALLOW(getpid,     "no condition")
	ALLOW(getppid,    ARG(0, EQ, 7), "one value")
	ALLOW(getuid,     ARG(0, LE, 2), "a bound")
	ALLOW(getgid,     ARG_MASK(0, 4, 0), "a bit that is not set")
	ALLOW(geteuid,    ARG(0, EQ, 1), "one of two rows")
	ALLOW(geteuid,    ARG(0, EQ, 2), "the other one")
	ALLOW(getegid,    ARG(0, EQ, 1), ARG(1, EQ, 2), ARG(5, EQ, 3), "three conditions")
};
/* clang-format on */

static const struct call {
	long number;
	unsigned long args[6];
	bool allowed;
} calls[] = {
	{ SYS_getpid, { 0 }, true }, { SYS_getpid, { 99, HIGH }, true },
	{ SYS_getppid, { 7 }, true }, { SYS_getppid, { 6 }, false },
	{ SYS_getppid, { 7 | HIGH }, false },
	{ SYS_getppid, { 7 | 1ul << 63 }, false }, { SYS_getuid, { 0 }, true },
	{ SYS_getuid, { 2 }, true }, { SYS_getuid, { 3 }, false },
	{ SYS_getuid, { HIGH }, false }, { SYS_getuid, { -1ul }, false },
	{ SYS_getgid, { 3 | HIGH }, true }, { SYS_getgid, { 4 }, false },
	{ SYS_getgid, { 7 }, false }, { SYS_geteuid, { 1 }, true },
	{ SYS_geteuid, { 2 }, true }, { SYS_geteuid, { 3 }, false },
	{ SYS_geteuid, { 1 | HIGH }, false },
	{ SYS_getegid, { 1, 2, 0, 0, 0, 3 }, true },
	{ SYS_getegid, { 1, 2, 0, 0, 0, 4 }, false },
	{ SYS_getegid, { 1, 1, 0, 0, 0, 3 }, false },
	{ SYS_getegid, { 1, 2, 0, 0, 0, 3 | HIGH }, false },
	{ SYS_getegid, { 2, 1, 0, 0, 0, 3 }, false },
	{ SYS_openat, { 0 }, false }, { SYS_socket, { 0 }, false },
	{ SYS_execve, { 0 }, false }, { SYS_fork, { 0 }, false },
	{ SYS_exit, { 0 }, false }, /* exit_group is another call */
#ifdef __x86_64__
	{ SYS_getpid | 0x40000000, { 0 }, false }, /* x32 */
#endif
	{ 100000, { 0 }, false }, /* no call at all */
};

/* By the filter; a DEBUG build names most calls before. */
static bool
was_ended(int status)
{
	if (filter_mode() == FILTER_NAMES && WIFEXITED(status))
		return WEXITSTATUS(status) == FILTER_NAMED_STATUS;
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

/* Makes the call behind the rows, in a child; returns its wait status. */
static int
status_of(const struct filter_rule *rows, size_t n, const struct call *c)
{
	const unsigned long *a = c->args;
	int status;
	pid_t pid = fork();

	cr_assert_neq(pid, -1);
	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
		    filter_enter(rows, n) == -1)
			_exit(99);
		syscall(c->number, a[0], a[1], a[2], a[3], a[4], a[5]);
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static void
expect_call(const struct filter_rule *rows, size_t n, const struct call *c)
{
	int status = status_of(rows, n, c);

	if (c->allowed)
		cr_expect_eq(status, 0, "call %ld: %#x", c->number, status);
	else
		cr_expect(was_ended(status), "call %ld(%#lx, %#lx): %#x",
		    c->number, c->args[0], c->args[1], status);
}

Test(filter, a_call_lives_where_a_row_holds_in_all_64_bits_and_else_dies)
{
	for (size_t i = 0; i < NELEM(calls); i++)
		expect_call(rules, NELEM(rules), &calls[i]);
}

#ifdef __x86_64__
Test(filter, calls_of_the_32_bit_kind_die)
{
	int status;
	pid_t pid = fork();

	cr_assert_neq(pid, -1);
	if (pid == 0) {
		long ret = 20; /* getpid there, writev here */

		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
		    filter_enter(rules, NELEM(rules)) == -1)
			_exit(99);
		__asm__ volatile("int $0x80" : "+a"(ret) : : "memory");
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	/* SIGSEGV: a kernel without that kind */
	cr_expect(WIFSIGNALED(status) &&
		(WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV),
	    "%#x", status);
}
#endif

/* clang-format off */
static const struct filter_rule random_rules[] = {
	ALLOW(exit_group, "the end")
	ALLOW(getrandom,  "the only call")
};
/* clang-format on */

/* The C library's function, which may be more than the call: glibc 2.41. */
Test(filter, getrandom_needs_no_other_call)
{
	uint8_t octets[16];
	int status;
	pid_t pid = fork();

	cr_assert_neq(pid, -1);
	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
		    filter_enter(random_rules, NELEM(random_rules)) == -1)
			_exit(99);
		_exit(getrandom(octets, sizeof(octets), 0) != sizeof(octets));
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0, "%#x", status);
}

static void *
try_socket(void *arg)
{
	int *go = arg;
	char octet;

	(void)!read(go[0], &octet, 1);
	syscall(SYS_getegid, 1); /* no row holds */
	return NULL;
}

/* clang-format off */
static const struct filter_rule thread_rules[] = {
	ALLOW(exit_group, "the end")
	ALLOW(write,      "go")
	ALLOW(read,       "the other thread's wait")
	ALLOW(futex,      "join")
};
/* clang-format on */

Test(filter, every_thread_is_behind_it)
{
	pthread_t thread;
	int go[2], status;
	pid_t pid;

	cr_assert_eq(pipe(go), 0);
	pid = fork();
	cr_assert_neq(pid, -1);
	if (pid == 0) {
		if (pthread_create(&thread, NULL, try_socket, go) != 0 ||
		    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
		    filter_enter_threads(thread_rules, NELEM(thread_rules)) ==
			-1)
			_exit(99);
		(void)!write(go[1], "", 1);
		pthread_join(thread, NULL);
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect(was_ended(status), "%#x", status);
}

Test(filter, without_no_new_privs_an_ordinary_user_loads_none)
{
	int status;
	pid_t pid = fork();

	cr_assert_neq(pid, -1);
	if (pid == 0) {
		if (geteuid() == 0 && setuid(65534) == -1)
			_exit(98);
		_exit(filter_enter(rules, NELEM(rules)) == -1 && errno == EACCES
			? 0
			: 1);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0);
}

Test(filter, a_program_is_compiled_once_and_cleared)
{
	struct sock_fprog prog;

	cr_assert_eq(filter_compile(rules, NELEM(rules), &prog), 0);
	cr_expect_gt(prog.len, 8);
	cr_expect_not_null(prog.filter);
	filter_clear(&prog);
	cr_expect_null(prog.filter);
	filter_clear(&prog);
}

Test(filter, a_row_that_names_no_call_is_refused)
{
	struct filter_rule wrong = { .call = __NR_SCMP_ERROR };
	struct sock_fprog prog;

	cr_expect_eq(filter_compile(&wrong, 1, &prog), -1);
	cr_expect_neq(errno, 0);
	cr_expect_null(prog.filter);
}

/* The lists of the roles, as data. */

/* clang-format off */
static const struct filter_rule common_rules[] = {
#include "common/role_filter.def"
};
static const struct filter_rule worker_rules[] = {
#include "agent/worker_filter.def"
};
static const struct filter_rule agent_rules[] = {
#include "agent/agent_filter.def"
};
static const struct filter_rule intake_rules[] = {
#include "master/intake/intake_filter.def"
};
static const struct filter_rule control_rules[] = {
#include "master/operator/control_filter.def"
};
static const struct filter_rule queue_rules[] = {
#include "master/queue/queue_filter.def"
};
static const struct filter_rule resolver_rules[] = {
#include "master/resolver/resolver_filter.def"
};
static const struct filter_rule signer_rules[] = {
#include "master/signer/signer_filter.def"
};
static const struct filter_rule dialer_rules[] = {
#include "master/dialer/dialer_filter.def"
};

static const struct list {
	const char *role;
	const struct filter_rule *rules;
	size_t n;
} lists[] = {
	{ "worker", worker_rules, NELEM(worker_rules) },
	{ "agent", agent_rules, NELEM(agent_rules) },
	{ "intake", intake_rules, NELEM(intake_rules) },
	{ "control", control_rules, NELEM(control_rules) },
	{ "queue", queue_rules, NELEM(queue_rules) },
	{ "resolver", resolver_rules, NELEM(resolver_rules) },
	{ "dialer", dialer_rules, NELEM(dialer_rules) },
	{ "signer", signer_rules, NELEM(signer_rules) },
};
/* clang-format on */

static bool
has_call(const struct list *list, int call)
{
	for (size_t i = 0; i < list->n; i++) {
		if (list->rules[i].call == call)
			return true;
	}
	return false;
}

Test(filter, the_lists_of_all_roles_compile_and_each_row_has_its_reason)
{
	struct sock_fprog prog;

	for (size_t i = 0; i < NELEM(lists); i++) {
		cr_expect_eq(filter_compile(lists[i].rules, lists[i].n, &prog),
		    0, "%s", lists[i].role);
		filter_clear(&prog);
		for (size_t j = 0; j < lists[i].n; j++)
			cr_expect_gt(strlen(lists[i].rules[j].why), 2, "%s: %s",
			    lists[i].role, lists[i].rules[j].name);
	}
}

Test(filter, no_role_may_execute_trace_or_mount)
{
	static const int never[] = { SCMP_SYS(execve), SCMP_SYS(execveat),
		SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv),
		SCMP_SYS(process_vm_writev), SCMP_SYS(mount), SCMP_SYS(unshare),
		SCMP_SYS(setns), SCMP_SYS(bpf), SCMP_SYS(io_uring_setup),
		SCMP_SYS(userfaultfd), SCMP_SYS(pidfd_getfd), SCMP_SYS(keyctl),
		SCMP_SYS(perf_event_open), SCMP_SYS(personality) };

	for (size_t i = 0; i < NELEM(lists); i++) {
		for (size_t j = 0; j < NELEM(never); j++)
			cr_expect_not(has_call(&lists[i], never[j]), "%s: %d",
			    lists[i].role, never[j]);
	}
}

Test(filter, a_worker_has_at_most_12_calls_and_its_agent_has_them_too)
{
	const struct list *worker = &lists[0], *agent = &lists[1];
	size_t n = 0;

	for (size_t i = 0; i < worker->n; i++) {
		const struct list before = { "", worker->rules, i };

		n += !has_call(&before, worker->rules[i].call);
		cr_expect(has_call(agent, worker->rules[i].call), "%s",
		    worker->rules[i].name);
	}
	cr_expect_leq(n, 12, "%zu", n);
}

/* Of the list that all loops share; a role may widen it, with its reason. */
static bool
is_common(const struct filter_rule *rule)
{
	for (size_t i = 0; i < NELEM(common_rules); i++) {
		if (common_rules[i].call == rule->call &&
		    strcmp(common_rules[i].why, rule->why) == 0)
			return true;
	}
	return false;
}

/* Whether b allows nothing that a does not. */
static bool
covers(const struct filter_rule *a, const struct filter_rule *b)
{
	return a->call == b->call &&
	    (a->nargs == 0 ||
		(a->nargs == b->nargs &&
		    memcmp(a->args, b->args, sizeof(a->args)) == 0));
}

Test(filter, no_row_makes_another_void)
{
	const struct filter_rule *a, *b;

	for (size_t i = 0; i < NELEM(lists); i++) {
		for (size_t j = 0; j < lists[i].n * lists[i].n; j++) {
			a = &lists[i].rules[j / lists[i].n];
			b = &lists[i].rules[j % lists[i].n];
			if (a != b && !is_common(b))
				cr_expect_not(covers(a, b), "%s: %s",
				    lists[i].role, a->name);
		}
	}
}
