/* SPDX-License-Identifier: ISC */
/* What the master makes in the file system, and what it leaves alone there. */
#include "master/listen.h"

#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

static char folder[] = "/tmp/postern-listen-XXXXXX";
static char path[64];

static void
set_up(void)
{
	cr_assert_not_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/job", folder);
}

static void
tear_down(void)
{
	(void)unlink(path);
	(void)rmdir(path);
	(void)rmdir(folder);
}

TestSuite(listen, .init = set_up, .fini = tear_down);

static mode_t
mode_of(const char *name)
{
	struct stat st;

	cr_assert_eq(lstat(name, &st), 0, "%s", strerror(errno));
	return st.st_mode;
}

static ino_t
inode_of(const char *name)
{
	struct stat st;

	cr_assert_eq(lstat(name, &st), 0, "%s", strerror(errno));
	return st.st_ino;
}

/* A client of the socket at path; -1 where nobody accepts. */
static int
connect_to(int type)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	strlcpy(un.sun_path, path, sizeof(un.sun_path));
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
		return fd;
	close(fd);
	return -1;
}

Test(listen, a_socket_listens_with_its_mode_whatever_the_umask)
{
	mode_t mask = umask(0777);
	int fd = listen_open(path, SOCK_SEQPACKET, 0660, (gid_t)-1);

	cr_assert_neq(fd, -1, "%s", strerror(errno));
	cr_expect_eq(umask(mask), 0777, "the umask is as it was");
	cr_expect_eq(mode_of(path), S_IFSOCK | 0660);
	cr_expect_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	cr_expect_neq(connect_to(SOCK_SEQPACKET), -1);
	close(fd);
}

Test(listen, a_stale_socket_is_replaced)
{
	int fd = listen_open(path, SOCK_SEQPACKET, 0600, (gid_t)-1);

	cr_assert_neq(fd, -1);
	close(fd); /* as when its posternd was killed */
	cr_assert_eq(connect_to(SOCK_SEQPACKET), -1);
	fd = listen_open(path, SOCK_SEQPACKET, 0666, (gid_t)-1);
	cr_assert_neq(fd, -1, "%s", strerror(errno));
	cr_expect_eq(mode_of(path), S_IFSOCK | 0666);
	cr_expect_neq(connect_to(SOCK_SEQPACKET), -1);
	close(fd);
}

Test(listen, a_living_socket_stays)
{
	int fd = listen_open(path, SOCK_SEQPACKET, 0600, (gid_t)-1);
	ino_t inode;

	cr_assert_neq(fd, -1);
	inode = inode_of(path);
	cr_expect_eq(listen_open(path, SOCK_SEQPACKET, 0600, (gid_t)-1), -1);
	cr_expect_eq(errno, EADDRINUSE);
	cr_expect_eq(inode_of(path), inode);
	close(fd);
}

/* A listening socket of another make. */
static int
listen_as(int type, int backlog)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	strlcpy(un.sun_path, path, sizeof(un.sun_path));
	cr_assert_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	if (type != SOCK_DGRAM)
		cr_assert_eq(listen(fd, backlog), 0);
	return fd;
}

Test(listen, a_living_socket_of_another_type_stays)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM };

	for (size_t i = 0; i < 2; i++) {
		int fd = listen_as(types[i], 1);

		cr_expect_eq(listen_open(path, SOCK_SEQPACKET, 0600, (gid_t)-1),
		    -1);
		cr_expect_eq(errno, EADDRINUSE);
		close(fd);
		(void)unlink(path);
	}
}

Test(listen, a_living_socket_with_a_full_queue_stays_and_keeps_nobody_waiting,
    .timeout = 10)
{
	int fd = listen_as(SOCK_SEQPACKET, 0);

	while (connect_to(SOCK_SEQPACKET) != -1)
		;
	cr_expect_eq(listen_open(path, SOCK_SEQPACKET, 0600, (gid_t)-1), -1);
	cr_expect_eq(errno, EADDRINUSE);
	close(fd);
}

Test(listen, a_socket_that_was_never_finished_is_stale)
{
	int fd = listen_as(SOCK_SEQPACKET, 1);

	cr_assert_eq(chmod(path, 0), 0);
	close(fd);
	fd = listen_open(path, SOCK_SEQPACKET, 0600, (gid_t)-1);
	cr_expect_neq(fd, -1, "%s", strerror(errno));
	close(fd);
}

Test(listen, what_is_no_socket_stays)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	close(fd);
	cr_expect_eq(listen_open(path, SOCK_SEQPACKET, 0600, (gid_t)-1), -1);
	cr_expect_eq(errno, EEXIST);
	cr_expect_eq(mode_of(path), S_IFREG | 0600);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(symlink("/etc/passwd", path), 0);
	cr_expect_eq(listen_open(path, SOCK_SEQPACKET, 0600, (gid_t)-1), -1);
	cr_expect_eq(errno, EEXIST);
	cr_expect(S_ISLNK(mode_of(path)));
}

/* Whoever may write there could have us change what a link of theirs leads to. */
Test(listen, a_folder_in_which_others_may_write_is_refused)
{
	static const mode_t modes[] = { 0770, 0707, 01777 };
	int fd;

	if (geteuid() == 0)
		cr_assert_eq(chown(folder, 0, 61001), 0);
	for (size_t i = getegid() == 0 && geteuid() != 0; i < 3; i++) {
		cr_assert_eq(chmod(folder, modes[i]), 0);
		cr_expect_eq(listen_open(path, SOCK_SEQPACKET, 0600, (gid_t)-1),
		    -1);
		cr_expect_eq(errno, EPERM);
		cr_expect_eq(access(path, F_OK), -1, "nothing is made");
	}
	cr_assert_eq(chmod(folder, 0700), 0);
	if (geteuid() != 0)
		return;
	/* A volume of a container. */
	cr_assert_eq(chown(folder, 0, 0), 0);
	cr_assert_eq(chmod(folder, 0770), 0);
	fd = listen_open(path, SOCK_SEQPACKET, 0600, (gid_t)-1);
	cr_expect_neq(fd, -1);
	close(fd);
	(void)unlink(path);
	cr_assert_eq(chown(folder, 61001, (gid_t)-1), 0);
	cr_expect_eq(listen_open(path, SOCK_SEQPACKET, 0600, (gid_t)-1), -1);
	cr_expect_eq(errno, EPERM);
}

Test(listen, a_socket_gets_another_mode_and_a_link_does_not)
{
	char target[80];
	int fd = listen_open(path, SOCK_SEQPACKET, 0600, (gid_t)-1);

	cr_assert_neq(fd, -1);
	cr_expect_eq(listen_give(path, 0666, getegid()), 0);
	cr_expect_eq(mode_of(path), S_IFSOCK | 0666);
	cr_assert_eq(unlink(path), 0);
	(void)snprintf(target, sizeof(target), "%s-target", path);
	close(open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	cr_assert_eq(symlink(target, path), 0);
	cr_expect_eq(listen_give(path, 0666, getegid()), -1);
	cr_expect_eq(mode_of(target), S_IFREG | 0600);
	(void)unlink(target);
	close(fd);
}

/* As a name of another user could be. */
Test(listen, a_pid_file_with_a_second_name_is_not_written)
{
	char target[80];

	(void)snprintf(target, sizeof(target), "%s-target", path);
	close(open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	cr_assert_eq(link(target, path), 0);
	cr_expect_eq(listen_pid_file(path), -1);
	cr_expect_eq(errno, EPERM);
	cr_expect_eq(mode_of(target), S_IFREG | 0644);
	(void)unlink(target);
}

Test(listen, a_path_that_no_address_holds_is_refused)
{
	char longer[200] = "/tmp/";

	memset(longer + 5, 'x', 190);
	cr_expect_eq(listen_open(longer, SOCK_SEQPACKET, 0600, (gid_t)-1), -1);
	cr_expect_eq(errno, ENAMETOOLONG);
	cr_expect_eq(
	    listen_open("/no/such/folder/job", SOCK_SEQPACKET, 0600, (gid_t)-1),
	    -1);
	cr_expect_eq(errno, ENOENT);
}

/* Folders. */

Test(listen, a_folder_is_made_with_its_mode_whatever_the_umask)
{
	mode_t mask = umask(0777);

	cr_expect_eq(listen_directory(path, 0750, (uid_t)-1, (gid_t)-1), 0);
	umask(mask);
	cr_expect_eq(mode_of(path), S_IFDIR | 0750);
	cr_assert_eq(chmod(path, 0700), 0);
	cr_expect_eq(listen_directory(path, 0750, (uid_t)-1, (gid_t)-1), 0);
	cr_expect_eq(mode_of(path), S_IFDIR | 0700, "one that stands stays");
	cr_expect_eq(listen_directory(path, 0750, geteuid(), (gid_t)-1), 0);
	cr_expect_eq(listen_directory(path, 0750, geteuid() + 1, (gid_t)-1),
	    -1);
	cr_expect_eq(errno, EPERM);
	/* One that others write in is not its owner's. */
	cr_assert_eq(chmod(path, 0720), 0);
	errno = 0;
	cr_expect_eq(listen_directory(path, 0750, geteuid(), (gid_t)-1), -1);
	cr_expect_eq(errno, EPERM);
	cr_assert_eq(chmod(path, 01707), 0);
	cr_expect_eq(listen_directory(path, 0750, geteuid(), (gid_t)-1), -1);
}

Test(listen, a_file_is_no_folder)
{
	close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	cr_expect_eq(listen_directory(path, 0750, (uid_t)-1, (gid_t)-1), -1);
	cr_expect_eq(errno, ENOTDIR);
}

/* The pid file. */

static int
pid_in_file(void)
{
	char text[64];
	FILE *f = fopen(path, "re");
	int pid = -1;

	cr_assert_not_null(f);
	if (fgets(text, sizeof(text), f) != NULL)
		pid = atoi(text);
	cr_expect_null(fgets(text, sizeof(text), f), "one line");
	fclose(f);
	return pid;
}

Test(listen, a_pid_file_of_a_former_life_is_taken_over)
{
	FILE *f = fopen(path, "we");
	struct stat st;
	int fd;

	fputs("123456789012345\nmore\n", f);
	fclose(f);
	fd = listen_pid_file(path);
	cr_assert_neq(fd, -1);
	cr_expect_eq(pid_in_file(), getpid());
	cr_expect_eq(fstat(fd, &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0600, "nobody else may lock it");
	close(fd);
	fd = listen_pid_file(path);
	cr_expect_neq(fd, -1, "the lock ends with its holder");
	close(fd);
}

Test(listen, a_pid_file_that_is_locked_stays)
{
	int fd = listen_pid_file(path), status;
	pid_t pid;

	cr_assert_neq(fd, -1);
	pid = fork();
	if (pid == 0)
		_exit(listen_pid_file(path) == -1 && errno == EWOULDBLOCK ? 0
									  : 1);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0);
	cr_expect_eq(pid_in_file(), getpid());
	close(fd);
}

Test(listen, a_pid_file_is_not_written_through_a_link)
{
	cr_assert_eq(symlink("/tmp/postern-must-not-be", path), 0);
	cr_expect_eq(listen_pid_file(path), -1);
	cr_expect_eq(errno, ELOOP);
	cr_expect_eq(access("/tmp/postern-must-not-be", F_OK), -1);
}

static uint16_t
port_of(int fd)
{
	struct sockaddr_in at;
	socklen_t len = sizeof(at);

	cr_assert_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	return ntohs(at.sin_port);
}

Test(listen, a_tcp_socket_sends_at_once_and_is_one_of_its_port)
{
	int fd = listen_open_tcp("127.0.0.1", 0), on = 0;
	socklen_t len = sizeof(on);

	cr_assert_neq(fd, -1);
	cr_expect_eq(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
	cr_expect_neq(on, 0);
	on = 0;
	cr_expect_eq(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, &len), 0);
	cr_expect_neq(on, 0, "who is gone is never noticed");
	cr_expect_eq(listen_open_tcp("127.0.0.1", port_of(fd)), -1);
	cr_expect_eq(errno, EADDRINUSE);
	close(fd);
	cr_expect_eq(listen_open_tcp("192.0.2.254", 0), -1);
	cr_expect_eq(errno, EADDRNOTAVAIL);
	cr_expect_eq(listen_open_tcp("localhost", 0), -1);
	cr_expect_eq(errno, EINVAL);
}
