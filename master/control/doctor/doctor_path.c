/* SPDX-License-Identifier: ISC */
/* See doctor.h: the modes on the way to a file. */
#include "master/control/doctor/doctor.h"

#include <sys/stat.h>

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"

/* Whether a file of that mode and owner lets a user do `want`: bits of 07. */
static bool
user_may(mode_t mode, uid_t uid, gid_t gid, const struct load_user *who,
    unsigned want)
{
	unsigned shift = who->uid == uid ? 6 : who->gid == gid ? 3 : 0;

	return who->uid == 0 || ((mode >> shift) & want) == want;
}

static void
name_user(uid_t uid, char *out, size_t size)
{
	const struct passwd *pw = getpwuid(uid);

	if (pw != NULL)
		(void)strlcpy(out, pw->pw_name, size);
	else
		(void)snprintf(out, size, "%u", (unsigned)uid);
}

static void
name_group(gid_t gid, char *out, size_t size)
{
	const struct group *gr = getgrgid(gid);

	if (gr != NULL)
		(void)strlcpy(out, gr->gr_name, size);
	else
		(void)snprintf(out, size, "%u", (unsigned)gid);
}

const char *
doctor_path_owner(mode_t mode, uid_t uid, gid_t gid, char out[80])
{
	char user[33], group[33];

	name_user(uid, user, sizeof(user));
	name_group(gid, group, sizeof(group));
	(void)snprintf(out, 80, "%04o of %s:%s", (unsigned)mode & 07777, user,
	    group);
	return out;
}

/* One part of the way; true: it is in the way. */
static bool
stops(const char *path, const struct load_user *who, unsigned want, char *what,
    char *cure, size_t size)
{
	char owner[80], group[33];
	struct stat st;

	if (stat(path, &st) == -1) {
		(void)snprintf(what, size, "%s: %s", path, strerror(errno));
		(void)snprintf(cure, size,
		    errno == EACCES
			? "run this as root, who sees what is behind it"
			: "make it, or name another path");
		return true;
	}
	if (user_may(st.st_mode, st.st_uid, st.st_gid, who, want))
		return false;
	(void)doctor_path_owner(st.st_mode, st.st_uid, st.st_gid, owner);
	name_group(who->gid, group, sizeof(group));
	if (S_ISDIR(st.st_mode)) {
		(void)snprintf(what, size, "the folder %s has mode %s", path,
		    owner);
		(void)snprintf(cure, size, "chmod o+x %s", path);
	} else {
		(void)snprintf(what, size, "%s has mode %s", path, owner);
		(void)snprintf(cure, size, "chgrp %s %s; chmod g+%s %s", group,
		    path, want == 4 ? "r" : "rw", path);
	}
	return true;
}

bool
doctor_path_obstacle(const char *path, const struct load_user *who,
    unsigned want, char *what, char *cure, size_t size)
{
	char *real = realpath(path, NULL), *copy, *slash;
	bool found = false;

	/* Behind links, where they lead; else as far as we come. */
	copy = real != NULL ? real : strdup(path);
	for (slash = copy; !found && slash != NULL && *slash == '/';) {
		slash = strchr(slash + 1, '/');
		if (slash == NULL)
			break;
		*slash = '\0';
		found = stops(copy, who, 1, what, cure, size);
		*slash = '/';
	}
	if (!found && copy != NULL)
		found = stops(copy, who, want, what, cure, size);
	free(copy);
	return found;
}
