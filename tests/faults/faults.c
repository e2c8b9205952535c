/* SPDX-License-Identifier: ISC */
/*
 * Runs each scenario for n = 1, 2, ... until a run has no call left to fail, or
 * for as many of these as there is time for.
 *
 * usage: faults [-a] [-j jobs] [-n n] [-o] [-r runs] [-s seed] [SCENARIO ...]
 *   -a  each n, however many there are
 *   -n  this n alone, with all that is said; -o: once, not from then on
 *   -r  runs of a scenario, unless -a
 */
#include "faults.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "calls.h"

enum {
	JOBS_MAX = 64,
	FAILED = 70,    /* status of faults_fail() */
	SANITIZER = 77, /* and of a sanitizer's finding */
	LIMIT_S = 60,   /* for one run */
	SHOWN_MAX = 10, /* failures of a scenario that are shown */
};

/* One for each process that runs at a time; its children share it. */
struct state {
	uint64_t calls; /* so far, while armed */
	uint64_t at;    /* this one fails; 0: none does */
	uint64_t fired; /* so many did */
	void *where;
	char name[32];
	enum fault_kind kind; /* of what failed, and goes on failing */
	bool forever;
	bool is_asked_to_end;
};

static struct state *state;
static bool is_armed;
static unsigned *role_descriptors; /* of a role without faults, at its end */

static void role_ends(void);

/* The calls. */

bool
faults_fails(enum fault_kind kind, const char *name, void *where)
{
	uint64_t n;

	/* Of a second thread no call is meant: which one it is were chance. */
	if (!is_armed || gettid() != getpid())
		return false;
	n = __atomic_add_fetch(&state->calls, 1, __ATOMIC_RELAXED);
	if (state->fired > 0 && state->forever && state->kind == kind) {
		state->fired++;
		return true;
	}
	if (n != state->at)
		return false;
	state->fired++;
	state->kind = kind;
	state->where = where;
	(void)snprintf(state->name, sizeof(state->name), "%s", name);
	return true;
}

bool
faults_go_on(void)
{
	return state->forever;
}

_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status);
_Noreturn void __real_exit(int status);
_Noreturn void __wrap_exit(int status);
void __lsan_do_leak_check(void);

/* fatal() frees nothing, and need not. */
_Noreturn void
__wrap_exit(int status)
{
	(void)fflush(NULL);
	if (is_armed && status != 0)
		__real__exit(status);
	__real_exit(status);
}

/* A role that ends so frees nothing: what nobody knows of any more is lost. */
_Noreturn void
__wrap__exit(int status)
{
	if (is_armed) {
		is_armed = false;
		role_ends();
		__lsan_do_leak_check();
	}
	(void)fflush(NULL);
	__real__exit(status);
}

const char *__asan_default_options(void);
const char *__ubsan_default_options(void);
void __sanitizer_symbolize_pc(void *pc, const char *format, char *out,
    size_t size);

const char *
__asan_default_options(void)
{
	return "exitcode=77:detect_leaks=1:allocator_may_return_null=1:"
	       "handle_abort=1:detect_stack_use_after_return=0";
}

const char *
__ubsan_default_options(void)
{
	return "exitcode=77:print_stacktrace=1";
}

/* What scenarios use. */

void
faults_arm(void)
{
	is_armed = true;
}

void
faults_disarm(void)
{
	is_armed = false;
}

bool
faults_fired(void)
{
	return state->fired > 0;
}

bool
faults_are_over(void)
{
	return state->at == 0 || (state->fired > 0 && !state->forever);
}

/* Of a role that ends by _exit(), no more descriptors may be open than of one
 * without a fault. */
static void
role_ends(void)
{
	unsigned n = faults_descriptors();

	/* It has clients yet; or it ends by itself, with what it has, because its
	 * calls fail from then on. */
	if (!state->is_asked_to_end || (state->forever && state->fired > 0))
		return;
	if (state->at == 0)
		*role_descriptors = n;
	else if (n > *role_descriptors)
		faults_fail("the role ends with %u descriptors, %u are usual",
		    n, *role_descriptors);
}

void
faults_role_may_end(void)
{
	state->is_asked_to_end = true;
}

void
faults_fail(const char *format, ...)
{
	va_list ap;

	is_armed = false;
	va_start(ap, format);
	(void)vfprintf(stderr, format, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
	(void)fflush(NULL);
	__real__exit(FAILED);
}

unsigned
faults_descriptors(void)
{
	struct rlimit limit = { .rlim_cur = 1024 };
	unsigned n = 0;

	(void)getrlimit(RLIMIT_NOFILE, &limit);
	for (int fd = 3; fd < (int)limit.rlim_cur; fd++)
		if (fcntl(fd, F_GETFD, 0) != -1)
			n++;
	return n;
}

static char folder[64];

const char *
faults_folder(void)
{
	return folder;
}

static void
folder_make(void)
{
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	(void)snprintf(folder, sizeof(folder), "%s/postern-faults.XXXXXX",
	    base);
	if (mkdtemp(folder) == NULL)
		faults_fail("mkdtemp: %s", strerror(errno));
}

static void
folder_remove(const char *path)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", path);
	if (system(command) != 0)
		warnx("%s: cannot be removed", path);
}

/* Running. */

struct run {
	pid_t pid; /* 0: none */
	uint64_t n;
	bool forever;
	int said_fd;
	struct state *state;
	char folder[64];
};

static struct run runs[JOBS_MAX];
static struct state *states;
static unsigned jobs = 12; /* of the roles: they wait more than they work */
static bool is_loud;
static const struct scenario *at_work;
static unsigned shown, passed, failed;

static void
child(struct run *r)
{
	unsigned before;

	state = r->state;
	if (!is_loud)
		(void)dup2(r->said_fd, STDERR_FILENO);
	if (r->said_fd > STDERR_FILENO)
		(void)close(r->said_fd);
	(void)setpgid(0, 0);
	(void)alarm(LIMIT_S);
	(void)strlcpy(folder, r->folder, sizeof(folder));
	before = faults_descriptors();
	at_work->run();
	faults_disarm();
	if (faults_descriptors() != before)
		faults_fail("%u descriptors before, %u after", before,
		    faults_descriptors());
	exit(0); /* looks for leaks */
}

static void
begin(struct run *r, uint64_t n, bool forever)
{
	folder_make();
	r->n = n;
	r->forever = forever;
	memset(r->state, 0, sizeof(*r->state));
	r->state->at = n;
	r->state->forever = forever;
	(void)strlcpy(r->folder, folder, sizeof(r->folder));
	r->said_fd = memfd_create("said", MFD_CLOEXEC);
	(void)fflush(NULL);
	r->pid = fork();
	if (r->pid == -1 || r->said_fd == -1)
		err(1, "cannot start a run");
	if (r->pid == 0)
		child(r);
}

static void
show(const struct run *r, int status)
{
	char where[256] = "nowhere", text[8192];
	ssize_t n;

	if (r->state->fired > 0)
		__sanitizer_symbolize_pc((char *)r->state->where - 1,
		    "%f %s:%l", where, sizeof(where));
	printf("FAILED %s: -n %llu%s: %s in %s%s: %s %d\n", at_work->name,
	    (unsigned long long)r->n, r->forever ? "" : " -o", r->state->name,
	    where, r->forever ? ", from then on" : "",
	    WIFSIGNALED(status) ? "signal" : "status",
	    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	if (shown++ >= SHOWN_MAX)
		return;
	n = pread(r->said_fd, text, sizeof(text) - 1, 0);
	printf("%.*s\n", n > 0 ? (int)n : 0, text);
}

static void
end(struct run *r, int status)
{
	if (status == 0) {
		passed++;
	} else {
		failed++;
		show(r, status);
	}
	(void)kill(-r->pid, SIGKILL); /* what it left of its own */
	(void)close(r->said_fd);
	folder_remove(r->folder);
	r->pid = 0;
}

/* Waits until one has ended, and returns its place. */
static struct run *
reap(void)
{
	int status;
	pid_t pid = wait(&status);

	for (unsigned i = 0; i < JOBS_MAX; i++)
		if (pid > 0 && runs[i].pid == pid) {
			end(&runs[i], status);
			return &runs[i];
		}
	return NULL;
}

static struct run *
take_place(void)
{
	struct run *r;

	for (unsigned i = 0; i < jobs; i++)
		if (runs[i].pid == 0)
			return &runs[i];
	do
		r = reap();
	while (r == NULL);
	return r;
}

static void
reap_all(void)
{
	for (unsigned i = 0; i < jobs; i++)
		while (runs[i].pid != 0)
			(void)reap();
}

/* The first run has no fault: it says how many calls there are. */
static uint64_t
count_calls(void)
{
	begin(&runs[0], 0, false);
	reap_all();
	return runs[0].state->calls;
}

static uint64_t seed;

static uint64_t
draw(uint64_t below)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
	return (seed >> 33) % below;
}

static void
scenario_run(const struct scenario *s, uint64_t most)
{
	uint64_t calls, n, step = 1;
	unsigned before_passed = passed, before_failed = failed;
	time_t began = time(NULL);

	at_work = s;
	shown = 0;
	calls = count_calls();
	if (failed == before_failed && calls == 0)
		errx(1, "%s: nothing can fail", s->name);
	while (most > 0 && 2 * calls / step > most)
		step++;
	for (n = 1; n <= calls; n += step) {
		begin(take_place(), n + draw(step), false);
		begin(take_place(), n + draw(step), true);
	}
	reap_all();
	printf("%s: %llu calls, each %s of them, once and from then on: "
	       "%u passed, %u failed in %lld s\n",
	    s->name, (unsigned long long)calls, step == 1 ? "one" : "few",
	    passed - before_passed, failed - before_failed,
	    (long long)(time(NULL) - began));
	(void)fflush(stdout);
}

static bool
is_named(const char *name, char *const names[])
{
	if (names[0] == NULL)
		return true;
	for (; *names != NULL; names++)
		if (strcmp(name, *names) == 0)
			return true;
	return false;
}

static void
faults_run(const struct scenario *s, char *const names[], int64_t only,
    bool forever, uint64_t most)
{
	if (!is_named(s->name, names))
		return;
	if (only < 0) {
		scenario_run(s, most);
		return;
	}
	at_work = s;
	if (only > 0)
		(void)count_calls();
	is_loud = true;
	begin(&runs[0], (uint64_t)only, forever);
	reap_all();
}

int
main(int argc, char *argv[])
{
	static const struct scenario *const single[] = { &config_scenario,
		&job_scenario, &schedule_scenario, &store_scenario,
		&worker_scenario };
	int64_t only = -1;
	uint64_t most = 100;
	bool forever = true;
	int opt;

	seed = (uint64_t)time(NULL);
	while ((opt = getopt(argc, argv, "aj:n:or:s:")) != -1) {
		if (opt == 'a')
			most = 0;
		else if (opt == 'j')
			jobs = (unsigned)strtoul(optarg, NULL, 10);
		else if (opt == 'n')
			only = strtoll(optarg, NULL, 10);
		else if (opt == 'o')
			forever = false;
		else if (opt == 'r')
			most = strtoull(optarg, NULL, 10);
		else if (opt == 's')
			seed = strtoull(optarg, NULL, 10);
		else
			return 64;
	}
	if (jobs == 0 || jobs > JOBS_MAX)
		errx(64, "jobs: 1 to %d", JOBS_MAX);
	states = mmap(NULL, sizeof(*states) * JOBS_MAX, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (states == MAP_FAILED)
		err(1, "mmap");
	for (unsigned i = 0; i < JOBS_MAX; i++)
		runs[i].state = &states[i];
	state = &states[0];
	role_descriptors = mmap(NULL, sizeof(*role_descriptors),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (role_descriptors == MAP_FAILED)
		err(1, "mmap");
	json_set_alloc_funcs(calls_json_malloc, free);
	(void)setrlimit(RLIMIT_NOFILE,
	    &(struct rlimit){ .rlim_cur = 256, .rlim_max = 256 });
	(void)signal(SIGPIPE, SIG_IGN);
	printf("seed %llu\n", (unsigned long long)seed);
	for (size_t i = 0; i < sizeof(single) / sizeof(single[0]); i++)
		faults_run(single[i], argv + optind, only, forever, most);
	for (const struct scenario *s = queue_scenarios; s->name != NULL; s++)
		faults_run(s, argv + optind, only, forever, most);
	for (const struct scenario *s = front_scenarios; s->name != NULL; s++)
		faults_run(s, argv + optind, only, forever, most);
	printf("%u passed, %u failed\n", passed, failed);
	return failed > 0;
}
