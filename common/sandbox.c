/* SPDX-License-Identifier: ISC */
/* See sandbox.h.  Each step is one function, in the order they are taken. */
#include "common/sandbox.h"

#include <sys/capability.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/landlock.h"
#include "common/log.h"
#include "common/util.h"

/* Newer than Debian 12's headers (kernel 6.3). */
#define SANDBOX_SET_MDWE    65
#define SANDBOX_MDWE_REFUSE 1ul

/* Any folder that every system has: the new root is mounted over it. */
#define ROOT_PLACE "/tmp"

/* The folders above a place below ROOT_PLACE, and that one. */
static int
make_place(char *path)
{
	char *at;

	for (at = path + sizeof(ROOT_PLACE); *at != '\0'; at++) {
		if (*at != '/')
			continue;
		*at = '\0';
		(void)mkdir(path, 0755); /* it may be there */
		*at = '/';
	}
	return mkdir(path, 0755) == -1 && errno != EEXIST ? -1 : 0;
}

/* One folder in the new root; opened before, for that may hide it. */
static void
show_folder(const char *folder, int fd)
{
	char path[PATH_MAX], source[64];

	if (snprintf(path, sizeof(path), ROOT_PLACE "%s", folder) >=
	    (int)sizeof(path))
		return;
	(void)snprintf(source, sizeof(source), "/proc/self/fd/%d", fd);
	/* In a user namespace a folder shows with all that is mounted in it. */
	if (make_place(path) == -1 ||
	    (mount(source, path, NULL, MS_BIND, NULL) == -1 &&
		mount(source, path, NULL, MS_BIND | MS_REC, NULL) == -1))
		log_line(LOG_WARN, "%s: not in the root of this role: %s",
		    folder, strerror(errno));
}

static void
show_folders(const struct sandbox *box, const int *fds)
{
	mode_t mask = umask(0);
	size_t i;

	for (i = 0; i < box->nfolders; i++)
		if (fds[i] != -1)
			show_folder(box->folders[i], fds[i]);
	(void)umask(mask);
	if (mount(NULL, ROOT_PLACE, NULL,
		MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV |
		    MS_NOEXEC,
		NULL) == -1)
		fatal("empty root: read-only: %s", strerror(errno));
}

/* A root of our own: the folder box->root, or an empty read-only one. */
static void
enter_root(const struct sandbox *box)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC |
	    (box->nfolders == 0 ? MS_RDONLY : 0);
	int *fds = calloc(box->nfolders + 1, sizeof(*fds));
	size_t i;

	if (fds == NULL)
		fatal("no memory");
	for (i = 0; i < box->nfolders; i++)
		fds[i] = open(box->folders[i],
		    O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1)
		fatal("mount namespace: %s", strerror(errno));
	if (box->root != NULL &&
	    mount(box->root, ROOT_PLACE, NULL, MS_BIND, NULL) == -1)
		fatal("%s: bind mount: %s", box->root, strerror(errno));
	if (box->root == NULL &&
	    mount("none", ROOT_PLACE, "tmpfs", flags, "size=64k,mode=0755") ==
		-1)
		fatal("empty root: %s", strerror(errno));
	if (box->nfolders > 0)
		show_folders(box, fds);
	for (i = 0; i < box->nfolders; i++)
		fd_close(fds[i]);
	free(fds);
	if (chdir(ROOT_PLACE) == -1 ||
	    syscall(SYS_pivot_root, ".", ".") == -1 ||
	    umount2(".", MNT_DETACH) == -1 || chdir("/") == -1)
		fatal("changing the root folder: %s", strerror(errno));
}

static void
become_user(const struct msg_start *start)
{
	if (setgroups(0, NULL) == -1 ||
	    setresgid(start->gid, start->gid, start->gid) == -1 ||
	    setresuid(start->uid, start->uid, start->uid) == -1)
		fatal("becoming user %u, group %u: %s", start->uid, start->gid,
		    strerror(errno));
}

/* What no exec may ever give back; emptying it takes a capability. */
static void
drop_bounding_set(void)
{
	int i;

	for (i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++) {
		/* EPERM: we hold no CAP_SETPCAP, so nothing to lose */
		if (prctl(PR_CAPBSET_DROP, i, 0, 0, 0) == -1 && errno != EPERM)
			fatal("capability bounding set: %s", strerror(errno));
	}
}

static void
drop_capabilities(void)
{
	cap_t none;

	drop_bounding_set();
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	none = cap_init(); /* all three sets empty */
	if (none == NULL || cap_set_proc(none) == -1)
		fatal("dropping capabilities: %s", strerror(errno));
	cap_free(none);
}

void
sandbox_root(const struct sandbox *box, const struct msg_start *start)
{
	if ((start->namespaces & CLONE_NEWNS) != 0)
		enter_root(box);
	if (start->switch_user) {
		drop_bounding_set(); /* the user's change takes the right to */
		become_user(start);
	}
}

void
sandbox_confine(const struct sandbox *box, const char *files_root,
    const struct filter_rule *rules, size_t n, struct msg_ready *ready)
{
	int abi, fd;

	memset(ready, 0, sizeof(*ready));
	drop_capabilities();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		fatal("no_new_privs: %s", strerror(errno));
	(void)prctl(SANDBOX_SET_MDWE, SANDBOX_MDWE_REFUSE, 0, 0,
	    0); /* 6.3 on */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
		fatal("dumpable: %s", strerror(errno));
	abi = landlock_enter(box->root_files ? files_root : NULL,
	    box->ports);
	if (abi == -1)
		fatal("Landlock: %s", strerror(errno));
	ready->landlock_abi = (uint32_t)abi;
	ready->landlock_error = abi == 0 ? (uint32_t)errno : 0;
	/* A folder that everybody may open: who cannot is behind Landlock. */
	fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ready->landlock_shown = fd == -1 && errno == EACCES && !box->root_files;
	fd_close(fd);
	if (rules != NULL && filter_enter(rules, n) == -1)
		fatal("seccomp filter: %s", strerror(errno));
}
