/* SPDX-License-Identifier: ISC */
/* See listen.h. */
#include "master/listen.h"

#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"

#define LISTEN_BACKLOG 256

#ifndef SO_PASSRIGHTS /* Linux 6.16 */
#define SO_PASSRIGHTS 83
#endif

/* A kernel answers in the place of a socket that was closed for a minute. */
static const int keepalive_idle_s = 60;
static const int keepalive_interval_s = 15;
static const int keepalive_probes = 8;

/* Whether nobody holds the socket at un, of whatever type, any more.  One of
 * mode 0 was never finished; who is not root cannot ask it. */
static bool
is_stale(const struct sockaddr_un *un, mode_t mode)
{
	bool stale;
	int fd;

	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return false;
	stale = connect(fd, (const struct sockaddr *)un, sizeof(*un)) == -1 &&
	    (errno == ECONNREFUSED || (errno == EACCES && (mode & 0777) == 0));
	fd_close(fd);
	return stale;
}

/* Takes away what is left of a former posternd's socket. */
static int
clear_stale(const struct sockaddr_un *un)
{
	struct stat st;

	if (lstat(un->sun_path, &st) == -1)
		return errno == ENOENT ? 0 : -1;
	if (!S_ISSOCK(st.st_mode)) {
		errno = EEXIST;
		return -1;
	}
	if (!is_stale(un, st.st_mode)) {
		errno = EADDRINUSE;
		return -1;
	}
	return unlink(un->sun_path);
}

/* root's own group has no others: so are volumes made for containers, which run
 * with an id that nobody knows beforehand, in that group. */
static bool
is_open_to_others(const struct stat *st)
{
	return (st->st_uid != 0 && st->st_uid != geteuid()) ||
	    (st->st_mode & S_IWOTH) != 0 ||
	    ((st->st_mode & S_IWGRP) != 0 && st->st_gid != 0);
}

/*
 * The folder of a path.  Who else may write in it could put a link in the place of
 * a socket, and wait for what we do to it, or take its name while we are not there.
 * -1 with errno: EPERM.
 */
static int
open_folder(const char *path)
{
	char folder[PATH_MAX];
	struct stat st;
	char *slash;
	int fd;

	if (strlcpy(folder, path, sizeof(folder)) >= sizeof(folder)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	slash = strrchr(folder, '/');
	if (slash == NULL)
		(void)strlcpy(folder, ".", sizeof(folder));
	else
		slash[slash == folder ? 1 : 0] = '\0';
	fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return -1;
	if (fstat(fd, &st) == -1)
		goto fail;
	if (is_open_to_others(&st)) {
		errno = EPERM;
		goto fail;
	}
	return fd;
fail:
	fd_close(fd);
	return -1;
}

/* The last part of a path. */
static const char *
name_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/* Of what is open with O_PATH: that has no name which somebody could change. */
static int
give(int fd, mode_t mode, uid_t uid, gid_t gid)
{
	char proc[64];

	(void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	if (fchownat(fd, "", uid, gid, AT_EMPTY_PATH) == -1)
		return -1;
	return chmod(proc, mode);
}

int
listen_give(const char *path, mode_t mode, gid_t gid)
{
	struct stat st;
	int folder, fd = -1, ret = -1;

	folder = open_folder(path);
	if (folder == -1)
		return -1;
	fd = openat(folder, name_of(path), O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1 || fstat(fd, &st) == -1)
		goto out;
	if (!S_ISSOCK(st.st_mode)) {
		errno = EEXIST;
		goto out;
	}
	ret = give(fd, mode, (uid_t)-1, gid);
out:
	fd_close(fd);
	fd_close(folder);
	return ret;
}

int
listen_open(const char *path, int type, mode_t mode, gid_t gid)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int folder, fd = -1, ret = -1;
	mode_t mask;

	if (strlcpy(un.sun_path, path, sizeof(un.sun_path)) >=
	    sizeof(un.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	folder = open_folder(path);
	if (folder == -1)
		return -1;
	if (clear_stale(&un) == -1)
		goto out;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* What bind() makes has the socket's own mode: no name is changed after
	 * it, by which something else could be meant. */
	if (fd == -1 || fchmod(fd, mode) == -1)
		goto out;
	mask = umask(0);
	ret = bind(fd, (struct sockaddr *)&un, sizeof(un));
	umask(mask);
	if (ret == -1)
		goto out;
	ret = -1;
	/* Nobody connects before it is what it is to be: it does not listen. */
	if (fchownat(folder, name_of(path), (uid_t)-1, gid,
		AT_SYMLINK_NOFOLLOW) == -1)
		goto out;
	ret = listen(fd, LISTEN_BACKLOG);
out:
	fd_close(folder);
	if (ret == -1) {
		fd_close(fd);
		return -1;
	}
	return fd;
}

void
listen_refuse_rights(int fd)
{
	const int off = 0;

	/* ENOPROTOOPT of a kernel without, EOPNOTSUPP of TCP. */
	(void)setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off));
}

/* The octets of sockaddr filled, or 0. */
socklen_t
listen_address(const char *address, uint16_t port, struct sockaddr_storage *out)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
	struct sockaddr_in *in = (struct sockaddr_in *)out;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, address, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		return sizeof(*in);
	}
	if (inet_pton(AF_INET6, address, &in6->sin6_addr) != 1)
		return 0;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	return sizeof(*in6);
}

/* Accepted sockets have it from their listener.  Of a client that waits for an
 * answer nothing else shows that it is gone: its FIN may mean that it sends no more. */
static int
set_keepalive(int fd)
{
	const int on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) == -1 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &keepalive_idle_s,
		sizeof(keepalive_idle_s)) == -1 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &keepalive_interval_s,
		sizeof(keepalive_interval_s)) == -1)
		return -1;
	return setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &keepalive_probes,
	    sizeof(keepalive_probes));
}

int
listen_open_tcp(const char *address, uint16_t port)
{
	struct sockaddr_storage at;
	socklen_t len = listen_address(address, port, &at);
	const int on = 1;
	int fd;

	if (len == 0) {
		errno = EINVAL;
		return -1;
	}
	fd =
	    socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == -1 ||
	    (at.ss_family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) ==
		    -1) ||
	    set_keepalive(fd) == -1 ||
	    bind(fd, (struct sockaddr *)&at, len) == -1 ||
	    listen(fd, LISTEN_BACKLOG) == -1) {
		fd_close(fd);
		return -1;
	}
	return fd;
}

/* One that we have just made, if it is still that. */
static int
give_directory(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
	struct stat st;
	int fd, ret = -1;

	fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1 || fstat(fd, &st) == -1)
		goto out;
	if (st.st_uid != geteuid()) {
		errno = EPERM;
		goto out;
	}
	ret = give(fd, mode, uid, gid); /* whatever the umask is */
out:
	fd_close(fd);
	return ret;
}

int
listen_directory(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
	struct stat st;

	if (mkdir(path, mode) == 0)
		return give_directory(path, mode, uid, gid);
	if (errno != EEXIST || stat(path, &st) == -1)
		return -1;
	if (!S_ISDIR(st.st_mode)) {
		errno = ENOTDIR;
		return -1;
	}
	/* Who may write in it may put another database in the place of ours. */
	if (uid != (uid_t)-1 &&
	    (st.st_uid != uid || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)) {
		errno = EPERM;
		return -1;
	}
	return 0;
}

int
listen_write_pid(int fd)
{
	char line[32];
	int n;

	n = snprintf(line, sizeof(line), "%d\n", (int)getpid());
	if (fd_pwrite(fd, line, (size_t)n, 0) == -1)
		return -1;
	return ftruncate(fd, n);
}

int
listen_pid_file(const char *path)
{
	struct stat st;
	int fd;

	/* Who can open a file can lock it: nobody else may. */
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1)
		return -1;
	/* A name that another made may be a second one of any file of ours. */
	if (fstat(fd, &st) == 0 &&
	    (!S_ISREG(st.st_mode) || st.st_nlink > 1 ||
		st.st_uid != geteuid())) {
		fd_close(fd);
		errno = EPERM;
		return -1;
	}
	if (fchmod(fd, 0600) == -1 || flock(fd, LOCK_EX | LOCK_NB) == -1 ||
	    listen_write_pid(fd) == -1) {
		fd_close(fd);
		return -1;
	}
	return fd;
}
