/* SPDX-License-Identifier: ISC */
/*
 * The walls of a role, seen from inside: a child puts them up and tries.  What
 * takes root, or a kernel that has the wall, skips itself and says so.
 */
#include "common/sandbox.h"

#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "common/landlock.h"
#include "common/log.h"
#include "common/util.h"

#define NOBODY 65534

static char folder[] = "/tmp/postern-sandbox-XXXXXX";

static void
make_folder(void)
{
	char path[64];
	int fd;

	cr_assert_not_null(mkdtemp(folder));
	cr_assert_eq(chmod(folder, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/file", folder);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	cr_assert_neq(fd, -1);
	close(fd);
}

static void
remove_folder(void)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/file", folder);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/new", folder);
	(void)unlink(path);
	(void)rmdir(folder);
}

/* Runs what in a child; fails with the line that it ended at. */
static void
expect_inside(int (*what)(void))
{
	int status;
	pid_t pid = fork();

	cr_assert_neq(pid, -1);
	if (pid == 0) {
		log_set_least(LOG_ERROR);
		_exit(what());
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0, "status %#x", status);
}

/* In a child: which step was not as it must be is the exit status. */
#define WANT(n, condition)                                                     \
	do {                                                                   \
		if (!(condition))                                              \
			return n;                                              \
	} while (0)

static bool
has_landlock(void)
{
	return syscall(444, NULL, 0, 1) >= 1;
}

static int
refused_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd != -1)
		close(fd);
	return fd == -1 && errno == EACCES;
}

static int
refused_connect(int port)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return fd != -1 &&
	    connect(fd, (struct sockaddr *)&in, sizeof(in)) == -1 &&
	    errno == EACCES;
}

static int
behind_landlock(void)
{
	char path[64];
	int abi;

	WANT(1, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	abi = landlock_enter(NULL, NULL);
	WANT(2, abi >= 1);
	WANT(3, refused_open("/etc/passwd", O_RDONLY));
	WANT(4, refused_open("/", O_RDONLY | O_DIRECTORY));
	(void)snprintf(path, sizeof(path), "%s/new", folder);
	WANT(5, refused_open(path, O_WRONLY | O_CREAT));
	WANT(6, execl("/bin/true", "true", NULL) == -1 && errno == EACCES);
	WANT(7, abi < 4 || refused_connect(9));
	WANT(8, abi < 6 || (kill(getppid(), 0) == -1 && errno == EPERM));
	return 0;
}

Test(landlock, no_file_no_program_no_connection_no_signal)
{
	if (!has_landlock())
		cr_skip_test("this kernel has no Landlock");
	make_folder();
	expect_inside(behind_landlock);
	remove_folder();
}

static int
below_a_folder(void)
{
	static const uint16_t nine[] = { 9, 10 };
	static const struct landlock_ports ports = { nine, 2, false };
	char path[64];
	int abi;

	WANT(1, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	abi = landlock_enter(folder, &ports);
	WANT(2, abi >= 1);
	(void)snprintf(path, sizeof(path), "%s/file", folder);
	WANT(3, open(path, O_RDWR | O_CLOEXEC) != -1);
	(void)snprintf(path, sizeof(path), "%s/new", folder);
	WANT(4, open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) != -1);
	WANT(5, unlink(path) == 0);
	WANT(6, refused_open("/etc/passwd", O_RDONLY));
	(void)snprintf(path, sizeof(path), "%s-beside", folder);
	WANT(7, refused_open(path, O_WRONLY | O_CREAT));
	WANT(8, !refused_connect(9)); /* it may, though nobody is there */
	WANT(9, !refused_connect(10));
	WANT(10, abi < 4 || refused_connect(11));
	return 0;
}

Test(landlock, files_below_one_folder_and_connections_where_asked_for)
{
	if (!has_landlock())
		cr_skip_test("this kernel has no Landlock");
	make_folder();
	expect_inside(below_a_folder);
	remove_folder();
}

static int
below_nothing(void)
{
	WANT(1, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	WANT(2, landlock_enter("/no/such/folder", NULL) == -1);
	WANT(3, errno == ENOENT);
	return 0;
}

Test(landlock, a_folder_that_is_not_there_is_an_error)
{
	if (!has_landlock())
		cr_skip_test("this kernel has no Landlock");
	expect_inside(below_nothing);
}

/* clang-format off */
static const struct filter_rule rules[] = {
	ALLOW(exit_group, "the end")
	ALLOW(getuid,     "the test")
};
/* clang-format on */

static int
confined(void)
{
	static const struct sandbox box = { 0 };
	struct msg_ready ready = { 0 };
	cap_t caps, none = cap_init();
	int differ;

	sandbox_confine(&box, NULL, NULL, 0, &ready);
	caps = cap_get_proc();
	WANT(1, caps != NULL && none != NULL);
	differ = cap_compare(caps, none);
	WANT(2, differ == 0);
	WANT(3, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	WANT(4, prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
	WANT(5, geteuid() != 0 || prctl(PR_CAPBSET_READ, 0, 0, 0, 0) == 0);
	WANT(6, ready.landlock_abi == 0 || ready.landlock_shown == 1);
	cap_free(caps);
	cap_free(none);
	return 0;
}

Test(sandbox, a_confined_role_has_no_capability_and_gets_none)
{
	expect_inside(confined);
}

static int
without_code(void)
{
	static const struct sandbox box = { 0 };
	struct msg_ready ready;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p;

	sandbox_confine(&box, NULL, NULL, 0, &ready);
	p = mmap(NULL, page, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	WANT(1, p != MAP_FAILED);
	WANT(2, mprotect(p, page, PROT_READ | PROT_EXEC) == -1);
	WANT(3,
	    mmap(NULL, page, PROT_WRITE | PROT_EXEC,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
	return 0;
}

Test(sandbox, memory_that_was_written_never_becomes_code)
{
	/* PR_GET_MDWE, from Linux 6.3 on */
	if (prctl(66, 0, 0, 0, 0) == -1)
		cr_skip_test("this kernel has no memory-deny-write-execute");
	expect_inside(without_code);
}

static int
behind_a_filter(void)
{
	static const struct sandbox box = { 0 };
	struct msg_ready ready;

	sandbox_confine(&box, NULL, rules, NELEM(rules), &ready);
	(void)syscall(SYS_getuid);
	(void)syscall(SYS_getppid); /* the end */
	return 0;
}

Test(sandbox, the_filter_is_the_last_wall)
{
	int status;
	pid_t pid = fork();

	cr_assert_neq(pid, -1);
	if (pid == 0)
		_exit(behind_a_filter());
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	if (filter_mode() == FILTER_NAMES)
		cr_expect_eq(WEXITSTATUS(status), FILTER_NAMED_STATUS);
	else
		cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS,
		    "%#x", status);
}

/* A container's root may be one without that right. */
static bool
may_mount(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
			    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ==
				0
			? 0
			: 1);
	return waitpid(pid, &status, 0) == pid && status == 0;
}

static size_t
entries(const char *path)
{
	struct dirent *e;
	DIR *d = opendir(path);
	size_t n = 0;

	if (d == NULL)
		return 999;
	while ((e = readdir(d)) != NULL)
		n +=
		    strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return n;
}

static int
in_an_empty_root(void)
{
	static const struct sandbox box = { 0 };
	struct msg_start start = { .switch_user = 1,
		.uid = NOBODY,
		.gid = NOBODY,
		.namespaces = CLONE_NEWNS };
	uid_t uid[3];
	gid_t gid[3];

	WANT(1, unshare(CLONE_NEWNS) == 0);
	sandbox_root(&box, &start);
	WANT(2, entries("/") == 0);
	WANT(3, mkdir("/x", 0700) == -1);
	WANT(4, access("/etc/passwd", F_OK) == -1);
	WANT(5, access("../../../etc/passwd", F_OK) == -1);
	WANT(6, getresuid(&uid[0], &uid[1], &uid[2]) == 0);
	WANT(7, uid[0] == NOBODY && uid[1] == NOBODY && uid[2] == NOBODY);
	WANT(8, getresgid(&gid[0], &gid[1], &gid[2]) == 0);
	WANT(9, gid[0] == NOBODY && gid[1] == NOBODY && gid[2] == NOBODY);
	WANT(10, getgroups(0, NULL) == 0);
	WANT(11, setuid(0) == -1);
	WANT(12, prctl(PR_CAPBSET_READ, 0, 0, 0, 0) == 0);
	return 0;
}

Test(sandbox, an_empty_root_and_an_ordinary_user)
{
	if (!may_mount())
		cr_skip_test("takes root");
	expect_inside(in_an_empty_root);
}

static int
in_a_root_of_its_own(void)
{
	struct sandbox box = { .root = folder, .root_files = true };
	struct msg_start start = { .namespaces = CLONE_NEWNS };
	struct msg_ready ready;

	WANT(1, unshare(CLONE_NEWNS) == 0);
	sandbox_root(&box, &start);
	WANT(2, entries("/") == 1);
	WANT(3, access("/file", F_OK) == 0);
	WANT(4, access("/etc", F_OK) == -1);
	sandbox_confine(&box, "/", NULL, 0, &ready);
	WANT(5, open("/new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) != -1);
	WANT(6, unlink("/new") == 0);
	WANT(7, ready.landlock_shown == 0); /* it may open "/" */
	return 0;
}

Test(sandbox, a_root_of_its_own_with_its_files)
{
	if (!may_mount())
		cr_skip_test("takes root");
	make_folder();
	expect_inside(in_a_root_of_its_own);
	remove_folder();
}

/* One of them is below the place that the new root hides. */
static int
with_some_folders(void)
{
	const char *const folders[] = { folder, "/usr/bin", "/no/such" };
	const struct sandbox box = { .folders = folders, .nfolders = 3 };
	struct msg_start start = { .namespaces = CLONE_NEWNS };
	char path[64];

	WANT(1, unshare(CLONE_NEWNS) == 0);
	(void)umask(077);
	sandbox_root(&box, &start);
	WANT(2, access("/etc", F_OK) == -1 && errno == ENOENT);
	(void)snprintf(path, sizeof(path), "%s/file", folder);
	WANT(3, access(path, F_OK) == 0);
	WANT(4, access("/usr/bin/env", F_OK) == 0);
	WANT(5, access("/usr/lib", F_OK) == -1);
	WANT(6, mkdir("/new", 0700) == -1 && errno == EROFS);
	WANT(7, mkdir("/usr/new", 0700) == -1 && errno == EROFS);
	WANT(8, setresuid(NOBODY, NOBODY, NOBODY) == 0);
	WANT(9, access(path, F_OK) == 0);
	return 0;
}

Test(sandbox, an_empty_root_with_the_folders_that_are_named)
{
	if (!may_mount())
		cr_skip_test("takes root");
	make_folder();
	expect_inside(with_some_folders);
	remove_folder();
}

static int
a_promise_that_fails(void)
{
	static const struct sandbox box = { .root = "/no/such/folder" };
	struct msg_start start = { .namespaces = CLONE_NEWNS };

	WANT(2, unshare(CLONE_NEWNS) == 0);
	log_set_least(0); /* its line is no news here */
	sandbox_root(&box, &start);
	return 0; /* fatal() says 1 */
}

Test(sandbox, a_wall_that_cannot_stand_is_no_start)
{
	int status;
	pid_t pid;

	if (!may_mount())
		cr_skip_test("takes root");
	pid = fork();
	cr_assert_neq(pid, -1);
	if (pid == 0)
		_exit(a_promise_that_fails());
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(WEXITSTATUS(status), 1);
}
