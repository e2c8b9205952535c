/* SPDX-License-Identifier: ISC */
/*
 * The calls of wrapped.def, each of which may fail; calls.h says who decides.
 * And the walls, which a process with sanitizers cannot work inside.
 */
#include "calls.h"

#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/sandbox.h"

/* clang-format off */
#define WRAP(kind, type, name, parameters, arguments, bad, error)              \
	type __real_##name parameters;                                         \
	type __wrap_##name parameters;                                         \
	type __wrap_##name parameters                                          \
	{                                                                      \
		if (faults_fails(kind, #name, __builtin_return_address(0))) {         \
			errno = error;                                         \
			return bad;                                            \
		}                                                              \
		return __real_##name arguments;                                \
	}
#define WRAP_BY_HAND(name)
#include "wrapped.def"
#undef WRAP
/* clang-format on */

void *
calls_json_malloc(size_t n)
{
	if (faults_fails(MEMORY, "malloc of jansson",
		__builtin_return_address(0)))
		return NULL;
	return __real_malloc(n);
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, mode_t mode);
int __real_openat(int at, const char *path, int flags, ...);
int __wrap_openat(int at, const char *path, int flags, mode_t mode);
int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, long value);
int __wrap_asprintf(char **text, const char *format, ...);
ssize_t __real_sendmsg(int fd, const struct msghdr *m, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *m, int flags);
ssize_t __real_write(int fd, const void *p, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n);
void __wrap_sandbox_root(const struct sandbox *box,
    const struct msg_start *start);
void __wrap_sandbox_confine(const struct sandbox *box, const char *files_root,
    const struct filter_rule *rules, size_t n, struct msg_ready *ready);
int __wrap_closer_start(void);

int
__wrap_open(const char *path, int flags, mode_t mode)
{
	if (faults_fails(FD, "open", __builtin_return_address(0))) {
		errno = EMFILE;
		return -1;
	}
	return __real_open(path, flags, mode);
}

int
__wrap_openat(int at, const char *path, int flags, mode_t mode)
{
	if (faults_fails(FD, "openat", __builtin_return_address(0))) {
		errno = EMFILE;
		return -1;
	}
	return __real_openat(at, path, flags, mode);
}

int
__wrap_fcntl(int fd, int command, long value)
{
	if ((command == F_DUPFD_CLOEXEC || command == F_DUPFD) &&
	    faults_fails(FD, "fcntl", __builtin_return_address(0))) {
		errno = EMFILE;
		return -1;
	}
	return __real_fcntl(fd, command, value);
}

int
__wrap_asprintf(char **text, const char *format, ...)
{
	va_list ap;
	int n;

	if (faults_fails(MEMORY, "asprintf", __builtin_return_address(0))) {
		*text = NULL;
		errno = ENOMEM;
		return -1;
	}
	va_start(ap, format);
	n = vasprintf(text, format, ap);
	va_end(ap);
	return n;
}

/* Two ways to fail: for good, and for once, after which it waits. */
ssize_t
__wrap_sendmsg(int fd, const struct msghdr *m, int flags)
{
	if (faults_fails(SEND, "sendmsg", __builtin_return_address(0))) {
		errno = ENOBUFS;
		return -1;
	}
	if ((flags & MSG_DONTWAIT) != 0 && !faults_go_on() &&
	    faults_fails(SEND, "sendmsg (EAGAIN)",
		__builtin_return_address(0))) {
		errno = EAGAIN;
		return -1;
	}
	return __real_sendmsg(fd, m, flags);
}

/* But for the log's, which has to say the rest. */
ssize_t
__wrap_write(int fd, const void *p, size_t n)
{
	if (fd != STDERR_FILENO &&
	    faults_fails(IO, "write", __builtin_return_address(0))) {
		errno = ENOSPC;
		return -1;
	}
	return __real_write(fd, p, n);
}

/* The sanitizers work inside no walls; filters they have none (filter.h). */
void
__wrap_sandbox_root(const struct sandbox *box, const struct msg_start *start)
{
	(void)box;
	(void)start;
}

void
__wrap_sandbox_confine(const struct sandbox *box, const char *files_root,
    const struct filter_rule *rules, size_t n, struct msg_ready *ready)
{
	(void)box;
	(void)files_root;
	(void)rules;
	(void)n;
	memset(ready, 0, sizeof(*ready));
}

/* Its threads' descriptors stay for as long as the process lives, in which others are
 * counted; and a thread of its own takes part in no order of calls. */
int
__wrap_closer_start(void)
{
	return 0;
}
