/* SPDX-License-Identifier: ISC */
/*
 * A seccomp filter as a list of rows, which stands in a .def file beside the
 * process that it confines:
 *
 *	ALLOW(recvmsg, ARG(0, EQ, 3), "jobs, connected sockets")
 *
 * A row allows a call where all its conditions (up to three) hold; several rows
 * may name one call.  What no row allows ends the process.  All 64 bits of an
 * argument are compared; other architectures and x32 are refused.
 */
#ifndef POSTERN_COMMON_FILTER_H
#define POSTERN_COMMON_FILTER_H

#include <linux/filter.h>
#include <seccomp.h>
#include <stddef.h>

#define FILTER_ARGS_MAX 3

struct filter_rule {
	int call;
	const char *name;
	const char *why;
	unsigned nargs;
	struct scmp_arg_cmp args[FILTER_ARGS_MAX];
};

/* clang-format off */
#define ARG(n, op, value) (n, SCMP_CMP_##op, value, 0)
/* The bits of mask that the argument has set are exactly value. */
#define ARG_MASK(n, mask, value) (n, SCMP_CMP_MASKED_EQ, mask, value)

#define ALLOW(...)                                                             \
	FILTER_PICK(__VA_ARGS__, FILTER_3, FILTER_2, FILTER_1, FILTER_0, )     \
	(__VA_ARGS__),
#define FILTER_PICK(a, b, c, d, e, f, ...) f
#define FILTER_0(c, why) { SCMP_SYS(c), #c, why, 0, { { 0 } } }
#define FILTER_1(c, x, why)                                                    \
	{ SCMP_SYS(c), #c, why, 1, { FILTER_ARG x } }
#define FILTER_2(c, x, y, why)                                                 \
	{ SCMP_SYS(c), #c, why, 2, { FILTER_ARG x, FILTER_ARG y } }
#define FILTER_3(c, x, y, z, why)                                              \
	{ SCMP_SYS(c), #c, why, 3,                                             \
	    { FILTER_ARG x, FILTER_ARG y, FILTER_ARG z } }
#define FILTER_ARG(n, op, a, b) { n, op, a, b }
/* clang-format on */

/* What a filter does with a call that no row allows, in this build. */
enum filter_mode {
	FILTER_KILLS,  /* ends the process, SIGSYS */
	FILTER_NAMES,  /* DEBUG=1: writes its name to descriptor 2 before */
	FILTER_ABSENT, /* sanitizers: none is loaded; they make calls of
	                  their own */
};

/* Exit status of a process that FILTER_NAMES ended. */
#define FILTER_NAMED_STATUS 159

enum filter_mode filter_mode(void);

/*
 * filter_compile - turn rules into a program for the kernel.
 *
 * *prog is the caller's; filter_clear() frees it.  0, or -1 with errno.
 */
int filter_compile(const struct filter_rule *rules, size_t n,
    struct sock_fprog *prog);

/*
 * filter_load - confine this process, for good.
 *
 * Needs no_new_privs.  0, or -1 with errno.
 */
int filter_load(const struct sock_fprog *prog);

void filter_clear(struct sock_fprog *prog);

/* Compiles, loads and clears; for a role that confines itself alone. */
int filter_enter(const struct filter_rule *rules, size_t n);

/* The same, for every thread of this process. */
int filter_enter_threads(const struct filter_rule *rules, size_t n);

#endif
