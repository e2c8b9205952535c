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
#include <sched.h>
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

/* A root of our own: the folder box->root, or an empty read-only one. */
static void
enter_root(const struct sandbox *box)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1)
		fatal("mount namespace: %s", strerror(errno));
	if (box->root != NULL &&
	    mount(box->root, ROOT_PLACE, NULL, MS_BIND, NULL) == -1)
		fatal("%s: bind mount: %s", box->root, strerror(errno));
	if (box->root == NULL &&
	    mount("none", ROOT_PLACE, "tmpfs", flags | MS_RDONLY,
		"size=4k,mode=0555") == -1)
		fatal("empty root: %s", strerror(errno));
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
	if ((start->namespaces & CLONE_NEWNS) != 0 && !box->keeps_root)
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
	    box->net_connect);
	if (abi == -1)
		fatal("Landlock: %s", strerror(errno));
	ready->landlock_abi = (uint32_t)abi;
	/* A folder that everybody may open: who cannot is behind Landlock. */
	fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ready->landlock_shown = fd == -1 && errno == EACCES && !box->root_files;
	fd_close(fd);
	if (rules != NULL && filter_enter(rules, n) == -1)
		fatal("seccomp filter: %s", strerror(errno));
}
