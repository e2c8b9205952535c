/* SPDX-License-Identifier: ISC */
/*
 * Attack code for a live worker; linked into ATTACKS=1 builds alone, in which the
 * linker puts __wrap_session_init() in the place of session_init().  When a worker
 * has all its descriptors, it does what a taken-over one would try, named by the
 * first label of an EHLO name "attack-NAME.invalid"; any other name does nothing.
 *
 * By syscall(), so that no library's own check comes first.
 */
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "agent/session/session.h"
#include "common/util.h"

#define ATTACK_SURVIVED 77 /* the call came back: the cage did not hold */
#define X32_BIT 0x40000000L

static char octets[64];

static void
attack_open(void)
{
	syscall(SYS_open, "/etc/passwd", O_RDONLY);
}

static void
attack_openat(void)
{
	syscall(SYS_openat, AT_FDCWD, "/", O_RDONLY | O_DIRECTORY);
}

static void
attack_create(void)
{
	syscall(SYS_openat, AT_FDCWD, "/x", O_WRONLY | O_CREAT, 0600);
}

static void
attack_socket(void)
{
	syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
}

static void
attack_socketpair(void)
{
	int fds[2];

	syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, fds);
}

static void
attack_connect(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET };

	in.sin_port = htons(25);
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	syscall(SYS_connect, 4, &in, sizeof(in));
}

/* A connected TCP socket can be dissolved and connected elsewhere. */
static void
attack_reconnect(void)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	syscall(SYS_connect, 4, &none, sizeof(none));
}

static void
attack_bind(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET };

	syscall(SYS_bind, 4, &in, sizeof(in));
}

static void
attack_accept(void)
{
	syscall(SYS_accept4, 4, NULL, NULL, 0);
}

static void
attack_execve(void)
{
	char path[] = "/bin/sh";
	char *argv[] = { path, NULL };

	syscall(SYS_execve, path, argv, NULL);
}

static void
attack_fork(void)
{
	syscall(SYS_fork);
}

static void
attack_clone(void)
{
	syscall(SYS_clone, (unsigned long)SIGCHLD, NULL, NULL, NULL, 0ul);
}

static void
attack_mmap_exec(void)
{
	syscall(SYS_mmap, NULL, 4096ul, PROT_READ | PROT_WRITE | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0l);
}

static void
attack_mmap(void)
{
	syscall(SYS_mmap, NULL, 4096ul, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0l);
}

static void
attack_mprotect(void)
{
	uintptr_t page = (uintptr_t)octets & ~(uintptr_t)4095;

	syscall(SYS_mprotect, page, 4096ul, PROT_READ | PROT_EXEC);
}

static void
attack_brk(void)
{
	syscall(SYS_brk, 0ul);
}

static void
attack_ptrace(void)
{
	syscall(SYS_ptrace, PTRACE_ATTACH, 1, NULL, NULL);
}

static void
attack_vm_readv(void)
{
	struct iovec iov = { octets, sizeof(octets) };

	syscall(SYS_process_vm_readv, 1, &iov, 1ul, &iov, 1ul, 0ul);
}

/* All that it may signal: its siblings, the workers of others. */
static void
attack_kill_siblings(void)
{
	syscall(SYS_kill, -1, SIGKILL);
}

static void
attack_tgkill(void)
{
	syscall(SYS_tgkill, 2, 2, SIGKILL);
}

/* 3 is for recvmsg and write alone, 4 for read and write, 5 for pread64. */
static void
attack_read_control(void)
{
	syscall(SYS_read, 3, octets, sizeof(octets));
}

static void
attack_read_null(void)
{
	syscall(SYS_read, 0, octets, sizeof(octets));
}

static void
attack_pread_remote(void)
{
	syscall(SYS_pread64, 4, octets, sizeof(octets), 0l);
}

static void
attack_recvmsg_remote(void)
{
	struct msghdr mh = { 0 };

	syscall(SYS_recvmsg, 4, &mh, MSG_DONTWAIT);
}

static void
attack_write_body(void)
{
	syscall(SYS_write, 5, octets, sizeof(octets));
}

static void
attack_write_stderr(void)
{
	syscall(SYS_write, 2, octets, sizeof(octets));
}

/* The upper half of a register is no way round a condition. */
static void
attack_read_high(void)
{
	syscall(SYS_read, 0x100000003l, octets, sizeof(octets));
}

static void
attack_send_descriptor(void)
{
	union {
		struct cmsghdr align;
		uint8_t room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { octets, 1 };
	struct msghdr mh = { 0 };
	struct cmsghdr *c;
	int fd = 4;

	mh.msg_iov = &iov;
	mh.msg_iovlen = 1;
	mh.msg_control = &control;
	mh.msg_controllen = sizeof(control.room);
	c = CMSG_FIRSTHDR(&mh);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	syscall(SYS_sendmsg, 3, &mh, 0);
}

static void
attack_dup(void)
{
	syscall(SYS_dup, 4);
}

/* Descriptor 0 is the line from the dialer: sockets come out, nothing goes in. */
static void
attack_write_line(void)
{
	syscall(SYS_write, 0, octets, sizeof(octets));
}

static void
attack_close_line(void)
{
	syscall(SYS_close, 0);
}

static void
attack_close_control(void)
{
	syscall(SYS_close, 3);
}

static void
attack_prctl(void)
{
	syscall(SYS_prctl, PR_SET_DUMPABLE, 1ul, 0ul, 0ul, 0ul);
}

static void
attack_seccomp(void)
{
	syscall(SYS_seccomp, 0u, 0u, NULL);
}

static void
attack_ioctl(void)
{
	syscall(SYS_ioctl, 4, 0x5401ul, octets);
}

static void
attack_setsockopt(void)
{
	int on = 1;

	syscall(SYS_setsockopt, 4, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
}

static void
attack_unshare(void)
{
	syscall(SYS_unshare, CLONE_NEWUSER);
}

static void
attack_setuid(void)
{
	syscall(SYS_setuid, 0);
}

static void
attack_memfd(void)
{
	syscall(SYS_memfd_create, "x", 0u);
}

static void
attack_io_uring(void)
{
	syscall(SYS_io_uring_setup, 1u, octets);
}

static void
attack_getrandom_flags(void)
{
	syscall(SYS_getrandom, octets, sizeof(octets), 2u);
}

static void
attack_ppoll_many(void)
{
	struct pollfd pfds[3] = { { 3, 0, 0 }, { 4, 0, 0 }, { 5, 0, 0 } };
	struct timespec zero = { 0, 0 };

	syscall(SYS_ppoll, pfds, 3ul, &zero, NULL, 8ul);
}

static void
attack_x32(void)
{
	syscall(SYS_getpid | X32_BIT);
}

/* The 32-bit gate, where 20 is getpid. */
static void
attack_int80(void)
{
#ifdef __x86_64__
	long ret;

	__asm__ volatile("int $0x80" : "=a"(ret) : "a"(20L) : "memory");
#endif
}

static void
attack_abort(void)
{
	raise(SIGABRT);
}

/* No attack: shows that a worker which comes back is told apart. */
static void
attack_nothing(void)
{
}

static const struct attack {
	const char *name;
	void (*run)(void);
} attacks[] = {
#define ATTACK(name, text) { #name, attack_##name },
#include "tests/confine/attacks.def"
#undef ATTACK
};

static void
attack_run(const char *ehlo_name)
{
	static const char prefix[] = "attack-";
	char name[64];
	size_t i;

	if (strncmp(ehlo_name, prefix, sizeof(prefix) - 1) != 0)
		return;
	strlcpy(name, ehlo_name + sizeof(prefix) - 1, sizeof(name));
	name[strcspn(name, ".")] = '\0';
	for (i = 0; name[i] != '\0'; i++) {
		if (name[i] == '-')
			name[i] = '_'; /* no letter of a host name */
	}
	for (i = 0; i < NELEM(attacks); i++) {
		if (strcmp(name, attacks[i].name) == 0) {
			attacks[i].run();
			_exit(ATTACK_SURVIVED);
		}
	}
}

/* Between the worker's session and what it asks for. */

void __real_session_init(struct session *s, const struct session_ops *ops,
    void *arg);
void __wrap_session_init(struct session *s, const struct session_ops *ops,
    void *arg);

static const struct session *session;
static void (*report)(void *arg, enum msg_type type, const void *payload,
    const char *tail, size_t len);

static void
report_and_attack(void *arg, enum msg_type type, const void *payload,
    const char *tail, size_t len)
{
	report(arg, type, payload, tail, len);
	if (type == MSG_BEGUN) /* all descriptors are there */
		attack_run(session->conf.ehlo_name);
}

void
__wrap_session_init(struct session *s, const struct session_ops *ops, void *arg)
{
	static struct session_ops with_attack;

	with_attack = *ops;
	with_attack.report = report_and_attack;
	report = ops->report;
	session = s;
	__real_session_init(s, &with_attack, arg);
}
