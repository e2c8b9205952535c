/* SPDX-License-Identifier: ISC */
/*
 * inject PID: what a process whose code is an attacker's can do, found by having
 * the process itself do it.  Each line of standard input is one system call that
 * PID makes where it now waits; a line of the answer says what came of it:
 *
 *	CALL ARG ...         "returns N", "fails ERRNO NAME", or "dies SIGNAL"
 *	send FD HEX [FD2]    sendmsg() of octets, with a descriptor
 *
 * An argument is a number, $ (what the call before it returned), "text" (a pointer to it, and a NUL) or @HEX (a pointer
 * to octets).  PID goes on where it was unless it died.  Takes a tracer's rights.
 */
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SCRATCH_SIZE 65536
#define RED_ZONE     4096
#define ARGS_MAX     6

static pid_t pid;
static struct user_regs_struct saved;
static uint8_t scratch[SCRATCH_SIZE];
static size_t used;
static uint64_t returned;

static uint64_t
base(void)
{
	return (saved.rsp - RED_ZONE - SCRATCH_SIZE) & ~(uint64_t)63;
}

/* Puts octets into the process's memory, once flush() runs; their address. */
static uint64_t
put(const void *octets, size_t n)
{
	uint64_t at = base() + used;

	if (used + n > SCRATCH_SIZE)
		errx(1, "arguments are too long");
	memcpy(scratch + used, octets, n);
	used += (n + 15) & ~(size_t)15;
	return at;
}

static void
flush(void)
{
	char path[64];
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	f = fopen(path, "r+e");
	if (f == NULL || fseek(f, (long)base(), SEEK_SET) == -1 ||
	    fwrite(scratch, 1, SCRATCH_SIZE, f) != SCRATCH_SIZE ||
	    fclose(f) == EOF)
		err(1, "%s", path);
}

static uint64_t
put_hex(const char *hex)
{
	static uint8_t octets[SCRATCH_SIZE];
	unsigned octet;
	size_t n = 0;

	for (; sscanf(hex, "%2x", &octet) == 1 && n < sizeof(octets); hex += 2)
		octets[n++] = (uint8_t)octet;
	return put(octets, n);
}

static uint64_t
argument(const char *word)
{
	if (word[0] == '$')
		return returned;
	if (word[0] == '"')
		return put(word + 1, strlen(word + 1) + 1);
	if (word[0] == '@')
		return put_hex(word + 1);
	return (uint64_t)strtoll(word, NULL, 0);
}

/* The address of a msghdr for octets and perhaps a descriptor. */
static uint64_t
put_message(const char *hex, const char *fd_word)
{
	struct msghdr mh = { 0 };
	struct iovec iov;
	union {
		struct cmsghdr head;
		uint8_t room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	int fd;

	iov.iov_len = strlen(hex) / 2;
	iov.iov_base = (void *)(uintptr_t)put_hex(hex);
	mh.msg_iov = (void *)(uintptr_t)put(&iov, sizeof(iov));
	mh.msg_iovlen = 1;
	if (fd_word != NULL) {
		fd = atoi(fd_word);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
		mh.msg_control =
		    (void *)(uintptr_t)put(&control, sizeof(control));
		mh.msg_controllen = sizeof(control);
	}
	return put(&mh, sizeof(mh));
}

/* A filter's verdict is a signal that comes after the call's own end. */
static bool
is_condemned(void)
{
	struct __ptrace_peeksiginfo_args args = { 0, 0, 1 };
	siginfo_t info;

	return ptrace(PTRACE_PEEKSIGINFO, pid, &args, &info) == 1 &&
	    info.si_signo == SIGSYS;
}

/* To the next stop; false where there is none any more. */
static bool
go_on(void)
{
	int status;

	if (ptrace(PTRACE_SYSCALL, pid, NULL, NULL) == -1 ||
	    waitpid(pid, &status, __WALL) == -1)
		err(1, "process %d", (int)pid);
	if (WIFSTOPPED(status))
		return true;
	if (WIFSIGNALED(status))
		printf("dies %s\n", sigabbrev_np(WTERMSIG(status)));
	else
		printf("exits %d\n", WEXITSTATUS(status));
	return false;
}

static bool
make_call(int call, const uint64_t args[ARGS_MAX])
{
	struct user_regs_struct regs = saved;
	int64_t ret;

	flush();
	regs.rip = saved.rip - 2; /* the instruction it waits behind */
	regs.rax = (uint64_t)call;
	regs.orig_rax = (uint64_t)-1;
	regs.rdi = args[0];
	regs.rsi = args[1];
	regs.rdx = args[2];
	regs.r10 = args[3];
	regs.r8 = args[4];
	regs.r9 = args[5];
	if (ptrace(PTRACE_SETREGS, pid, NULL, &regs) == -1)
		err(1, "registers");
	if (!go_on() || !go_on() || (is_condemned() && !go_on()))
		return false;
	if (ptrace(PTRACE_GETREGS, pid, NULL, &regs) == -1)
		err(1, "registers");
	ret = (int64_t)regs.rax;
	returned = regs.rax;
	if (ret < 0 && ret > -4096)
		printf("fails %d %s\n", (int)-ret,
		    strerrorname_np((int)-ret) != NULL
			? strerrorname_np((int)-ret)
			: "?");
	else
		printf("returns %lld\n", (long long)ret);
	return true;
}

static bool
do_line(char *line)
{
	uint64_t args[ARGS_MAX] = { 0 };
	char *words[ARGS_MAX + 1] = { NULL }, *at;
	int n = 0, call;

	line[strcspn(line, "\n")] = '\0';
	for (at = strtok(line, " "); at != NULL && n <= ARGS_MAX;
	     at = strtok(NULL, " "))
		words[n++] = at;
	if (n == 0)
		return true;
	used = 0;
	if (strcmp(words[0], "send") == 0 && n >= 3) {
		args[0] = argument(words[1]);
		args[1] = put_message(words[2], words[3]);
		args[2] = MSG_NOSIGNAL | MSG_DONTWAIT;
		return make_call(SCMP_SYS(sendmsg), args);
	}
	call = seccomp_syscall_resolve_name(words[0]);
	if (call == __NR_SCMP_ERROR)
		errx(64, "no such call: %s", words[0]);
	for (int i = 1; i < n; i++)
		args[i - 1] = argument(words[i]);
	return make_call(call, args);
}

static bool
is_in_a_call(void)
{
	long word;

	if (ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) == -1 ||
	    waitpid(pid, NULL, __WALL) == -1 ||
	    ptrace(PTRACE_GETREGS, pid, NULL, &saved) == -1)
		err(1, "process %d", (int)pid);
	word = ptrace(PTRACE_PEEKTEXT, pid, saved.rip - 2, NULL);
	return (word & 0xffff) == 0x050f;
}

/* One that has just work to do is left to do it. */
static void
stop_in_a_call(void)
{
	const struct timespec pause = { .tv_nsec = 2 * 1000 * 1000 };

	for (int i = 0; i < 5000; i++) {
		if (is_in_a_call())
			return;
		if (ptrace(PTRACE_CONT, pid, NULL, NULL) == -1)
			err(1, "process %d", (int)pid);
		(void)nanosleep(&pause, NULL);
	}
	errx(1, "process %d waits in no system call", (int)pid);
}

int
main(int argc, char **argv)
{
	static char line[4 * SCRATCH_SIZE];
	if (argc != 2)
		errx(64, "usage: inject PID");
	setvbuf(stdout, NULL, _IOLBF, 0);
	pid = (pid_t)atoi(argv[1]);
	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) == -1)
		err(1, "process %d", (int)pid);
	stop_in_a_call();
	while (fgets(line, sizeof(line), stdin) != NULL)
		if (!do_line(line))
			return 0;
	(void)ptrace(PTRACE_SETREGS, pid, NULL, &saved);
	(void)ptrace(PTRACE_DETACH, pid, NULL, NULL);
	return 0;
}
