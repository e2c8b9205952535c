/* SPDX-License-Identifier: ISC */
/*
 * filters PID: the system calls that a process may make, read from the seccomp
 * programs that the kernel has loaded for it, one a line: name, and "always" or
 * "conditional" (on its arguments).  Walks the programs' instructions with the
 * call's number known and its arguments unknown.  Takes a tracer's rights.
 */
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <err.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/ptrace.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define FILTERS_MAX 8
#define CALLS_MAX   512

struct program {
	struct sock_filter code[BPF_MAXINSNS];
	size_t len;
};

/* What the accumulator holds; an unknown value takes both branches. */
struct value {
	bool known;
	unsigned n;
};

struct walk {
	const struct program *program;
	unsigned call;
	bool allows;
	bool denies;
};

static struct value
load(const struct walk *w, unsigned offset)
{
	if (offset == offsetof(struct seccomp_data, nr))
		return (struct value){ true, w->call };
	if (offset == offsetof(struct seccomp_data, arch))
		return (struct value){ true, AUDIT_ARCH_X86_64 };
	return (struct value){ false, 0 };
}

static bool
compare(unsigned short op, unsigned a, unsigned k)
{
	switch (BPF_OP(op)) {
	case BPF_JEQ:
		return a == k;
	case BPF_JGT:
		return a > k;
	case BPF_JGE:
		return a >= k;
	case BPF_JSET:
		return (a & k) != 0;
	default:
		errx(1, "a jump that no filter of ours has: %#x", op);
	}
}

static void
follow(struct walk *w, size_t pc, struct value a)
{
	const struct sock_filter *i;

	for (;; pc++) {
		if (pc >= w->program->len)
			errx(1, "a program without an end");
		i = &w->program->code[pc];
		switch (BPF_CLASS(i->code)) {
		case BPF_LD:
			a = load(w, i->k);
			break;
		case BPF_ALU:
			a.known = false;
			break;
		case BPF_RET:
			if (i->k == SECCOMP_RET_ALLOW)
				w->allows = true;
			else
				w->denies = true;
			return;
		case BPF_JMP:
			if (BPF_OP(i->code) == BPF_JA) {
				pc += i->k;
			} else if (!a.known) {
				follow(w, pc + 1 + i->jt, a);
				pc += i->jf;
			} else {
				pc += compare(i->code, a.n, i->k) ? i->jt :
								    i->jf;
			}
			break;
		default:
			errx(1, "an instruction that no filter of ours has");
		}
	}
}

static size_t
read_programs(pid_t pid, struct program programs[FILTERS_MAX])
{
	size_t n = 0;
	long len;

	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) == -1 ||
	    ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) == -1 ||
	    waitpid(pid, NULL, __WALL) == -1)
		err(1, "process %d", (int)pid);
	while (n < FILTERS_MAX) {
		len = ptrace(PTRACE_SECCOMP_GET_FILTER, pid, n,
		    programs[n].code);
		if (len == -1)
			break;
		programs[n++].len = (size_t)len;
	}
	(void)ptrace(PTRACE_DETACH, pid, NULL, NULL); /* our end does it too */
	return n;
}

int
main(int argc, char **argv)
{
	static struct program programs[FILTERS_MAX];
	size_t n, i;
	char *name;
	unsigned call;

	if (argc != 2)
		errx(64, "usage: filters PID");
	n = read_programs((pid_t)atoi(argv[1]), programs);
	if (n == 0)
		errx(1, "process %s: no filter", argv[1]);
	for (call = 0; call < CALLS_MAX; call++) {
		struct walk w = { NULL, call, false, false };
		bool allowed = true, conditional = false;

		for (i = 0; i < n; i++) {
			w.program = &programs[i];
			w.allows = w.denies = false;
			follow(&w, 0, (struct value){ false, 0 });
			allowed = allowed && w.allows;
			conditional = conditional || w.denies;
		}
		if (!allowed)
			continue;
		name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64,
		    (int)call);
		printf("%s %s\n", name != NULL ? name : "?",
		    conditional ? "conditional" : "always");
		free(name);
	}
	return 0;
}
