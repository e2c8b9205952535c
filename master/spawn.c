/* SPDX-License-Identifier: ISC */
/* See spawn.h.  What a role does once executed is its own business. */
#include "master/spawn.h"

#include <sys/capability.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/roles.h"
#include "common/util.h"

#define CHILD_FAILED SPAWN_FAILED

/* Our program: an open descriptor outlives the replacement of its file. */
static int program_fd = -1;

static char program_path[PATH_MAX];

int
spawn_open(void)
{
	ssize_t n;

	n = readlink("/proc/self/exe", program_path, sizeof(program_path) - 1);
	if (n == -1)
		return -1;
	program_path[n] = '\0';
	program_fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	return program_fd == -1 ? -1 : 0;
}

const char *
spawn_path(void)
{
	return program_path;
}

/* WATCHDOG_PID names who feeds the watchdog: that one, from here on. */
static _Noreturn void
become_generation(char *const argv[], int fd, int err_fd)
{
	char pid[32];
	sigset_t none;

	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	sigemptyset(&none);
	if (dup2(err_fd, STDERR_FILENO) == -1 ||
	    dup2(err_fd, STDOUT_FILENO) == -1 ||
	    sigprocmask(SIG_SETMASK, &none, NULL) == -1 ||
	    close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC) == -1 ||
	    fcntl(fd, F_SETFD, 0) == -1 ||
	    (getenv("WATCHDOG_PID") != NULL &&
		setenv("WATCHDOG_PID", pid, 1) == -1))
		_exit(CHILD_FAILED);
	execv(program_path, argv);
	dprintf(STDERR_FILENO, "%s: %s\n", program_path, strerror(errno));
	_exit(CHILD_FAILED);
}

int
spawn_generation(char *const argv[], int fd, int err_fd)
{
	int status;
	pid_t pid;

	/* The service manager's child, not ours, which ends before it. */
	pid = fork();
	if (pid == 0) {
		pid = fork();
		if (pid == 0)
			become_generation(argv, fd, err_fd);
		_exit(pid == -1 ? 1 : 0);
	}
	if (pid == -1)
		return -1;
	while (waitpid(pid, &status, 0) == -1) {
		if (errno != EINTR)
			return -1;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	errno = EAGAIN;
	return -1;
}

static int
write_file(const char *name, const char *text)
{
	int fd, ret;

	fd = open(name, O_WRONLY | O_CLOEXEC);
	if (fd == -1)
		return -1;
	ret = fd_write(fd, text, strlen(text));
	fd_close(fd);
	return ret;
}

/*
 * In a new user namespace: we stay who we are, so that what we are told of
 * other processes' users is still true of our own.
 */
static int
map_ourselves(uid_t uid, gid_t gid)
{
	char line[64];

	if (write_file("/proc/self/setgroups", "deny") == -1)
		return -1;
	(void)snprintf(line, sizeof(line), "%u %u 1\n", uid, uid);
	if (write_file("/proc/self/uid_map", line) == -1)
		return -1;
	(void)snprintf(line, sizeof(line), "%u %u 1\n", gid, gid);
	return write_file("/proc/self/gid_map", line);
}

/* Lets the capabilities of a user namespace outlive exec(), for the role to
 * make its root and then give them up. */
static int
keep_capabilities(void)
{
	static const cap_value_t needed[] = { CAP_SYS_ADMIN, CAP_SETPCAP };
	cap_t caps;
	size_t i;
	int ret = -1;

	caps = cap_get_proc();
	if (caps == NULL)
		return -1;
	if (cap_set_flag(caps, CAP_INHERITABLE, (int)NELEM(needed), needed,
		CAP_SET) == -1 ||
	    cap_set_proc(caps) == -1)
		goto out;
	for (i = 0; i < NELEM(needed); i++) {
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE,
			(unsigned long)needed[i], 0, 0) == -1)
			goto out;
	}
	ret = 0;
out:
	cap_free(caps);
	return ret;
}

/* fork() into new namespaces. */
static pid_t
fork_into(uint32_t namespaces)
{
	return (pid_t)syscall(SYS_clone, (unsigned long)namespaces | SIGCHLD,
	    NULL, NULL, NULL, 0ul);
}

static int
enter_user_namespace(uint32_t namespaces, uid_t uid, gid_t gid)
{
	if ((namespaces & CLONE_NEWUSER) == 0)
		return 0;
	return map_ourselves(uid, gid) == -1 ? -1 : keep_capabilities();
}

/* How far a child came, which its exit status says; 0: all was granted. */
enum probe_step {
	PROBE_DONE,
	PROBE_CLONE,
	PROBE_MAP,
	PROBE_MOUNT,
	PROBE_PIVOT,
};

static const char *const probe_steps[] = { NULL, "clone", "uid_map", "mount",
	"pivot_root" };

/* In the child: its errno goes to out. */
static enum probe_step
probe_inside(uint32_t wanted, uid_t uid, gid_t gid, int out)
{
	enum probe_step step = PROBE_DONE;
	int error;

	if (enter_user_namespace(wanted, uid, gid) == -1)
		step = PROBE_MAP;
	else if ((wanted & CLONE_NEWNS) != 0 &&
	    (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1 ||
		mount("none", "/tmp", "tmpfs", MS_RDONLY, NULL) == -1))
		step = PROBE_MOUNT;
	/* On the file system that the kernel unpacks at its start it is not to
	 * be had. */
	else if ((wanted & CLONE_NEWNS) != 0 &&
	    (chdir("/tmp") == -1 || syscall(SYS_pivot_root, ".", ".") == -1))
		step = PROBE_PIVOT;
	error = errno;
	if (step != PROBE_DONE)
		(void)fd_write(out, &error, sizeof(error));
	return step;
}

static enum probe_step
probe(uint32_t wanted, int *error)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int status, fds[2];
	pid_t pid;

	*error = 0;
	if (pipe2(fds, O_CLOEXEC) == -1) {
		*error = errno;
		return PROBE_CLONE;
	}
	pid = fork_into(wanted);
	if (pid == 0)
		_exit((int)probe_inside(wanted, uid, gid, fds[1]));
	if (pid == -1)
		*error = errno;
	fd_close(fds[1]);
	if (pid != -1 &&
	    read(fds[0], error, sizeof(*error)) != (ssize_t)sizeof(*error))
		*error = 0;
	fd_close(fds[0]);
	if (pid == -1)
		return PROBE_CLONE;
	while (waitpid(pid, &status, 0) == -1) {
		if (errno != EINTR)
			return PROBE_CLONE;
	}
	return WIFEXITED(status) &&
		WEXITSTATUS(status) < (int)NELEM(probe_steps)
	    ? (enum probe_step)WEXITSTATUS(status)
	    : PROBE_CLONE;
}

uint32_t
spawn_namespaces(uint32_t wanted, struct spawn_refusal *refusal)
{
	enum probe_step step;
	int error;

	if (geteuid() != 0)
		wanted |= CLONE_NEWUSER;
	step = probe(wanted, &refusal->error);
	refusal->step = probe_steps[step];
	if (step == PROBE_DONE)
		return wanted;
	if (step != PROBE_MOUNT && step != PROBE_PIVOT)
		return 0;
	wanted &= ~(uint32_t)CLONE_NEWNS;
	return probe(wanted, &error) == PROBE_DONE ? wanted : 0;
}

/* Each session and each client takes descriptors: as many as we may have.  The
 * soft limit is for programs that select(). */
static void
raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* else with what there is */
}

/* The new process, up to its exec(). */
static _Noreturn void
become_role(const char *name, int fd, uint32_t namespaces, uid_t uid, gid_t gid)
{
	/* The thread caches of malloc would cost each worker memory. */
	char tunables[] = "GLIBC_TUNABLES=glibc.malloc.tcache_count=0";
	char program[] = "posternd", option[] = "-r";
	char *argv[] = { program, option, NULL, NULL };
	char *envp[] = { NULL, NULL };
	sigset_t none;
	int null_fd;

	if (strcmp(name, role_name(ROLE_AGENT)) == 0)
		envp[0] = tunables;
	raise_descriptors();
	argv[2] = strdup(name);
	sigemptyset(&none);
	if (argv[2] == NULL || sigprocmask(SIG_SETMASK, &none, NULL) == -1 ||
	    enter_user_namespace(namespaces, uid, gid) == -1 || setsid() == -1)
		_exit(CHILD_FAILED);
	/* 3 may be program_fd, which is only needed up to here: move both. */
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 10);
	program_fd = fcntl(program_fd, F_DUPFD_CLOEXEC, 10);
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (fd == -1 || program_fd == -1 || null_fd == -1 ||
	    dup2(null_fd, STDIN_FILENO) == -1 ||
	    dup2(null_fd, STDOUT_FILENO) == -1 ||
	    dup2(fd, ROLE_PARENT_FD) == -1)
		_exit(CHILD_FAILED);
	(void)close_range(ROLE_PARENT_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC);
	fexecve(program_fd, argv, envp);
	_exit(CHILD_FAILED);
}

pid_t
spawn_role(const char *name, int fd, uint32_t namespaces)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	pid_t pid;

	pid = fork_into(namespaces);
	if (pid == 0)
		become_role(name, fd, namespaces, uid, gid);
	return pid;
}

/* For good: nothing of ours is left to it, nor to what it executes. */
static int
become_user(const struct passwd *user)
{
	const struct rlimit no_core = { 0, 0 };

	if (user != NULL &&
	    (initgroups(user->pw_name, user->pw_gid) == -1 ||
		setresgid(user->pw_gid, user->pw_gid, user->pw_gid) == -1 ||
		setresuid(user->pw_uid, user->pw_uid, user->pw_uid) == -1))
		return -1;
	if (setrlimit(RLIMIT_CORE, &no_core) == -1 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return -1;
	return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

static _Noreturn void
become_command(char *const argv[], const struct passwd *user, int in_fd,
    int out_fd)
{
	char home[PATH_MAX + sizeof("HOME=")] = "HOME=/";
	char path[] = "PATH=/usr/local/bin:/usr/bin:/bin", lang[] = "LANG=C";
	char *envp[] = { path, lang, home, NULL };
	const char *own = getenv("HOME");
	sigset_t none;
	int null_fd;

	if (user != NULL)
		own = user->pw_dir;
	if (own != NULL)
		(void)snprintf(home, sizeof(home), "HOME=%s", own);
	sigemptyset(&none);
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd == -1 || sigprocmask(SIG_SETMASK, &none, NULL) == -1 ||
	    signal(SIGPIPE, SIG_DFL) == SIG_ERR || setsid() == -1 ||
	    dup2(out_fd != -1 ? out_fd : null_fd, STDOUT_FILENO) == -1 ||
	    dup2(in_fd != -1 ? in_fd : null_fd, STDIN_FILENO) == -1 ||
	    dup2(null_fd, STDERR_FILENO) == -1 || chdir("/") == -1 ||
	    become_user(user) == -1 ||
	    close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC) == -1)
		_exit(CHILD_FAILED);
	(void)umask(077);
	execve(argv[0], argv, envp);
	_exit(CHILD_FAILED);
}

pid_t
spawn_command(char *const argv[], const struct passwd *user, int in_fd,
    int out_fd)
{
	pid_t pid;

	pid = fork();
	if (pid == 0)
		become_command(argv, user, in_fd, out_fd);
	return pid;
}
