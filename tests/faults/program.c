/* SPDX-License-Identifier: ISC */
/*
 * Linked into the posternd and postern that run the session tests with both
 * sanitizers.  The walls are off, by linking alone: no configuration and no
 * environment takes them from the programs that are installed.
 *
 * Findings are written to sanitizer.* in the folder that the program was started
 * in; a process looks for leaks at its end.  If there is a file `faults` there (see
 * struct plan), the calls of each role are counted in it, and one of them
 * fails.
 */
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/malloc_tuning.h"
#include "calls.h"
#include "common/filter.h"
#include "common/role.h"
#include "master/spawn.h"

#define SLOTS       16
#define FEW         64 /* a limit of no more descriptors is the worker's */
#define UNSANITIZED __attribute__((no_sanitize("address", "undefined")))
#define FILENAME    "faults"

/* Written by tests/session/faults.py, shared by all processes of one case. */
struct plan {
	char role[16]; /* one of whose calls fails, or "" */
	uint64_t at;   /* the number of that call */
	uint64_t fired;
	uint64_t
	    where; /* it was made from, as an address of the program's file */
	char name[32];
	struct slot {
		char role[16];
		uint64_t calls;
	} slots[SLOTS];
};

extern const char __executable_start[];
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);
const char *__lsan_default_suppressions(void);
void __lsan_do_leak_check(void);

static struct plan *plan;
static struct slot *slot;
static bool is_armed, is_role;

/*
 * The name is one for each process: numbers are used again.  Called before the
 * sanitizers work: nothing here may use them, or a function that they replace.
 */
UNSANITIZED const char *
__asan_default_options(void)
{
	static char options[] =
	    "log_path=sanitizer.0123456789abcdef:"
	    "exitcode=77:detect_leaks=1:allocator_may_return_null=1:"
	    "handle_abort=1:handle_segv=1:handle_sigbus=1:handle_sigill=1:"
	    "handle_sigfpe=1:detect_stack_use_after_return=0:"
	    "external_symbolizer_path=" SYMBOLIZER;
	static const char digits[] = "0123456789abcdef";
	struct timespec ts;
	char *at = options + sizeof("log_path=sanitizer.") - 1;
	uint64_t now;

	(void)syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts);
	now = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
	for (unsigned shift = 64; shift > 0; shift -= 4)
		*at++ = digits[now >> (shift - 4) & 15];
	return options;
}

const char *
__ubsan_default_options(void)
{
	return "exitcode=77:print_stacktrace=1";
}

const char *
__lsan_default_suppressions(void)
{
	return "leak:libcrypto.so\n";
}

/* Calls. */

bool
faults_fails(enum fault_kind kind, const char *name, void *where)
{
	(void)kind;
	if (!is_armed || slot == NULL || gettid() != getpid())
		return false;
	if (__atomic_add_fetch(&slot->calls, 1, __ATOMIC_RELAXED) != plan->at ||
	    strncmp(plan->role, slot->role, sizeof(slot->role)) != 0)
		return false;
	plan->where = (uint64_t)((const char *)where - __executable_start);
	(void)strlcpy(plan->name, name, sizeof(plan->name));
	plan->fired++;
	return true;
}

bool
faults_go_on(void)
{
	return false;
}

/* The place of this role in the plan; none: its calls do not count. */
static void
become(const char *role)
{
	slot = NULL;
	for (size_t i = 0; plan != NULL && i < SLOTS; i++)
		if (strncmp(plan->slots[i].role, role,
			sizeof(plan->slots[i].role)) == 0)
			slot = &plan->slots[i];
}

static void
open_plan(void)
{
	int fd = open(FILENAME, O_RDWR | O_CLOEXEC);
	struct stat st;
	void *p;

	if (fd == -1)
		return;
	if (fstat(fd, &st) == 0 && st.st_size == sizeof(*plan)) {
		p = mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE,
		    MAP_SHARED, fd, 0);
		plan = p != MAP_FAILED ? p : NULL;
	}
	(void)close(fd);
}

__attribute__((constructor)) static void
begin(int argc, char *argv[])
{
	const char *name = strrchr(argv[0], '/');

	name = name != NULL ? name + 1 : argv[0];
	open_plan();
	if (strcmp(name, "posternd") != 0) {
		become("client");
		is_armed = true;
	} else if (argc == 3 && strcmp(argv[1], "-r") == 0) {
		is_role = true;
		become(argv[2]);
	} else {
		become("master");
	}
	json_set_alloc_funcs(calls_json_malloc, free);
}

pid_t __real_spawn_role(const char *name, int fd, uint32_t namespaces);
pid_t __wrap_spawn_role(const char *name, int fd, uint32_t namespaces);
void __real_role_loop(struct role *role, const struct msg_ready *ready);
void __wrap_role_loop(struct role *role, const struct msg_ready *ready);
int __wrap_filter_load(const struct sock_fprog *prog);
int __wrap_filter_enter(const struct filter_rule *rules, size_t n);
int __wrap_filter_enter_threads(const struct filter_rule *rules, size_t n);

/* What fails before is a start that fails. */
pid_t
__wrap_spawn_role(const char *name, int fd, uint32_t namespaces)
{
	is_armed = true;
	return __real_spawn_role(name, fd, namespaces);
}

void
__wrap_role_loop(struct role *role, const struct msg_ready *ready)
{
	is_armed = true;
	__real_role_loop(role, ready);
}

/* The agent's child. */
int
__wrap_filter_load(const struct sock_fprog *prog)
{
	(void)prog;
	become("worker");
	return 0;
}

/* Of themselves these load nothing, but say so, which tests do not expect. */
int
__wrap_filter_enter(const struct filter_rule *rules, size_t n)
{
	(void)rules;
	(void)n;
	return 0;
}

int
__wrap_filter_enter_threads(const struct filter_rule *rules, size_t n)
{
	(void)rules;
	(void)n;
	return 0;
}

/* Ends. */

_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status);
_Noreturn void __real_exit(int status);
_Noreturn void __wrap_exit(int status);

/* fatal() frees nothing, and need not. */
_Noreturn void
__wrap_exit(int status)
{
	(void)fflush(NULL);
	if (status != 0)
		__real__exit(status);
	__real_exit(status);
}

/* A role that ends so frees nothing: what nobody knows of any more is lost. */
_Noreturn void
__wrap__exit(int status)
{
	is_armed = false;
	if (is_role)
		__lsan_do_leak_check();
	__real__exit(status);
}

/* Walls. */

int __real_setrlimit(int resource, const struct rlimit *limit);
int __wrap_setrlimit(int resource, const struct rlimit *limit);
uint32_t __wrap_spawn_namespaces(uint32_t wanted,
    struct spawn_refusal *refusal);
void __wrap_malloc_tuning_set(void);
void __wrap_malloc_tuning_settle(void);

/*
 * The worker's: a report takes descriptors, files and a process.  The sanitizers
 * call it, too, before they work.
 */
UNSANITIZED int
__wrap_setrlimit(int resource, const struct rlimit *limit)
{
	if (limit->rlim_max < FEW)
		return 0;
	return __real_setrlimit(resource, limit);
}

/* A process that looks for leaks wants its own number in /proc. */
uint32_t
__wrap_spawn_namespaces(uint32_t wanted, struct spawn_refusal *refusal)
{
	(void)wanted;
	refusal->step = NULL;
	return 0;
}

void
__wrap_malloc_tuning_set(void)
{
}

/* Would take all memory: the sanitizers' heap is not one after the other. */
void
__wrap_malloc_tuning_settle(void)
{
}
