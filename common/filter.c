/* SPDX-License-Identifier: ISC */
/* From rows to a loaded seccomp program; libseccomp's doorway. */
#include "common/filter.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <errno.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"

static int
add_rules(scmp_filter_ctx ctx, const struct filter_rule *rules, size_t n)
{
	size_t i;
	int e;

	for (i = 0; i < n; i++) {
		e = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, rules[i].call,
		    rules[i].nargs, rules[i].args);
		if (e != 0 && e != -EEXIST) {
			errno = -e;
			return -1;
		}
	}
	return 0;
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
	ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
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
	if (add_rules(ctx, rules, n) == -1)
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
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, prog);
}

void
filter_clear(struct sock_fprog *prog)
{
	free(prog->filter);
	memset(prog, 0, sizeof(*prog));
}

static int
enter(const struct filter_rule *rules, size_t n, unsigned flags)
{
	struct sock_fprog prog;
	int ret;

	if (filter_compile(rules, n, &prog) == -1)
		return -1;
	ret = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
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
