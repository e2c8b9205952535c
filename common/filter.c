/* SPDX-License-Identifier: ISC */
/* From rows to a loaded seccomp program; libseccomp's doorway. */
#include "common/filter.h"

#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <errno.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"

#ifdef __has_feature /* clang */
#if __has_feature(address_sanitizer)
#define SANITIZED
#endif
#endif
#ifdef __SANITIZE_ADDRESS__ /* gcc */
#define SANITIZED
#endif

enum filter_mode
filter_mode(void)
{
#if defined(SANITIZED)
	return FILTER_ABSENT;
#elif defined(POSTERN_DEBUG)
	return FILTER_NAMES;
#else
	return FILTER_KILLS;
#endif
}

static int
add_rules(scmp_filter_ctx ctx, const struct filter_rule *rules, size_t n)
{
	size_t i;
	int e;

	for (i = 0; i < n; i++) {
		if (rules[i].call < __NR_SCMP_ERROR)
			continue; /* this architecture has no such call */
		e = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, rules[i].call,
		    rules[i].nargs, rules[i].args);
		if (e != 0 && e != -EEXIST) {
			errno = -e;
			return -1;
		}
	}
	return 0;
}

#ifdef POSTERN_DEBUG
#define DEFAULT_ACTION SCMP_ACT_TRAP
#define CALLS_MAX      512

/* Looked up beforehand: libseccomp allocates, which a handler may not. */
static char call_names[CALLS_MAX][32];

static void
on_forbidden_call(int sig, siginfo_t *info, void *context)
{
	static const char why[] = ": no row of the filter allows this call\n";
	size_t call = (size_t)info->si_syscall;
	const char *name = call < CALLS_MAX ? call_names[call] : "call?";

	(void)sig;
	(void)context;
	/* nothing is left to do where these fail */
	(void)!write(STDERR_FILENO, name, strlen(name));
	(void)!write(STDERR_FILENO, why, sizeof(why) - 1);
	_exit(FILTER_NAMED_STATUS);
}

/* Makes ready to name calls, and lets the name out. */
static int
prepare(scmp_filter_ctx ctx)
{
	static const struct filter_rule out = { SCMP_SYS(write), "write",
		"the name of a forbidden call", 1,
		{ { 0, SCMP_CMP_EQ, STDERR_FILENO, 0 } } };
	struct sigaction sa = { .sa_sigaction = on_forbidden_call,
		.sa_flags = SA_SIGINFO };
	char *name;
	int i;

	for (i = 0; i < CALLS_MAX; i++) {
		name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);
		strlcpy(call_names[i], name != NULL ? name : "call?",
		    sizeof(call_names[i]));
		free(name);
	}
	if (sigaction(SIGSYS, &sa, NULL) == -1)
		return -1;
	return add_rules(ctx, &out, 1);
}
#else
#define DEFAULT_ACTION SCMP_ACT_KILL_PROCESS

static int
prepare(scmp_filter_ctx ctx)
{
	(void)ctx;
	return 0;
}
#endif

/* Confines this process, unless the build cannot be. */
static int
load(const struct sock_fprog *prog, unsigned flags)
{
	if (filter_mode() == FILTER_ABSENT)
		return 0;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, prog);
}

/* Reads the program that libseccomp wrote into fd. */
static int
read_program(int fd, struct sock_fprog *prog)
{
	struct stat st;
	void *octets;

	if (fstat(fd, &st) == -1)
		return -1;
	octets = malloc((size_t)st.st_size);
	if (octets == NULL)
		return -1;
	if (pread(fd, octets, (size_t)st.st_size, 0) != st.st_size) {
		free(octets);
		errno = EIO;
		return -1;
	}
	prog->filter = octets;
	prog->len =
	    (unsigned short)((size_t)st.st_size / sizeof(*prog->filter));
	return 0;
}

int
filter_compile(const struct filter_rule *rules, size_t n,
    struct sock_fprog *prog)
{
	scmp_filter_ctx ctx;
	int fd = -1, ret = -1, e;

	memset(prog, 0, sizeof(*prog));
	ctx = seccomp_init(DEFAULT_ACTION);
	if (ctx == NULL) {
		errno = ENOMEM;
		return -1;
	}
	e = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH,
	    SCMP_ACT_KILL_PROCESS);
	if (e == 0) /* a binary tree: fewer instructions a call */
		e = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (e != 0) {
		errno = -e;
		goto out;
	}
	if (prepare(ctx) == -1 || add_rules(ctx, rules, n) == -1)
		goto out;
	fd = memfd_create("filter", MFD_CLOEXEC);
	if (fd == -1)
		goto out;
	e = seccomp_export_bpf(ctx, fd);
	if (e != 0) {
		errno = -e;
		goto out;
	}
	ret = read_program(fd, prog);
out:
	fd_close(fd);
	seccomp_release(ctx);
	return ret;
}

int
filter_load(const struct sock_fprog *prog)
{
	return load(prog, 0);
}

void
filter_clear(struct sock_fprog *prog)
{
	free(prog->filter);
	memset(prog, 0, sizeof(*prog));
}

/*
 * The first getrandom() of a process maps what the vDSO keeps (glibc 2.41 on Linux
 * 6.11), with calls that no filter has; from then on it is one call, or none.
 */
static void
draw_first_random(void)
{
	uint8_t octet;

	/* only that it was called matters */
	(void)!getrandom(&octet, sizeof(octet), GRND_NONBLOCK);
}

static int
enter(const struct filter_rule *rules, size_t n, unsigned flags)
{
	struct sock_fprog prog;
	int ret;

	draw_first_random();

	if (filter_mode() != FILTER_KILLS)
		log_line(LOG_WARN, "this build is for tests alone: %s",
		    filter_mode() == FILTER_NAMES
			? "forbidden calls are named first"
			: "sanitizers, so no filter");
	if (filter_compile(rules, n, &prog) == -1)
		return -1;
	ret = load(&prog, flags);
	filter_clear(&prog);
	return ret;
}

int
filter_enter(const struct filter_rule *rules, size_t n)
{
	return enter(rules, n, 0);
}

int
filter_enter_threads(const struct filter_rule *rules, size_t n)
{
	return enter(rules, n, SECCOMP_FILTER_FLAG_TSYNC);
}
