/* SPDX-License-Identifier: ISC */
/* The doctor on the configuration, the users of the roles, and the folders. */
#include "master/control/doctor/doctor.h"

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "master/config_doubts.h"
#include "master/config_include.h"

#define SPOOL_FILES_MAX 1000 /* looked at */

/* What is wrong with the text alone, where more is: the other checks go on with
 * it.  NULL: it is not even that. */
static struct config *
read_alone(const char *name)
{
	struct config_errors *errors = calloc(1, sizeof(*errors));
	struct config *config = NULL;
	size_t n = 0;
	char *text = config_include_read(name, &n);

	if (text != NULL && errors != NULL)
		config = config_read(name, text, n, errors);
	free(text);
	free(errors);
	return config;
}

/* Who is not root cannot know of what it may not read. */
static void
say_error(struct doctor *d, const char *line)
{
	bool of_user = strstr(line, "_user: there is no user ") != NULL &&
	    strstr(line, "transport ") == NULL &&
	    strstr(line, "outcome_") == NULL;

	if (of_user)
		return; /* the next check tells more of it */
	if (strstr(line, ": cannot be opened") != NULL)
		doctor_say(d, DOCTOR_FAULT,
		    "name it by -c; conf/postern.conf is one to begin with",
		    "%s", line);
	else if (geteuid() != 0 && strstr(line, strerror(EACCES)) != NULL)
		doctor_say(d, DOCTOR_SKIPPED, NULL, "%s: root may look at it",
		    line);
	else
		doctor_say(d, DOCTOR_FAULT,
		    "mend that line; postern.conf(5) says what it may be", "%s",
		    line);
}

/* What may be meant so, and is often not. */
static void
look_at_doors(struct doctor *d)
{
	const struct config *c = d->config;

	if ((c->control_socket_mode & 02) != 0)
		doctor_say(d, DOCTOR_FAULT, "control_socket_mode = 0600",
		    "control_socket_mode is %04o: every local user may read "
		    "and remove the mail of the queue",
		    (unsigned)c->control_socket_mode);
	if ((c->job_socket_mode & 02) != 0 && c->job_users.count == 0)
		doctor_say(d, DOCTOR_WARNING,
		    "name who may in job_users, or use job_socket_group with "
		    "mode 0660",
		    "job_socket_mode is %04o: every local user may send mail",
		    (unsigned)c->job_socket_mode);
	for (size_t i = 0; i < c->nlisteners; i++)
		if (c->listeners[i].everybody &&
		    c->listeners[i].at.kind != NEXT_HOP_UNIX)
			doctor_say(d, DOCTOR_WARNING,
			    "name addresses and networks in clients",
			    "listener %s takes mail from everybody at %s: an "
			    "open relay, unless something else guards it",
			    c->listeners[i].name, c->listeners[i].listen);
}

static void
say_doubt(void *arg, int line, const char *what, const char *cure)
{
	struct doctor *d = arg;
	const char *file;

	if (line > 0) {
		line = config_places_find(&d->config->places, d->config_name,
		    line, &file);
		doctor_say(d, DOCTOR_WARNING, cure, "%s:%d: %s", file, line,
		    what);
	} else {
		doctor_say(d, DOCTOR_WARNING, cure, "%s", what);
	}
}

/* Who may change a file of the configuration decides what root starts. */
static void
look_at_file(struct doctor *d, const char *name)
{
	struct stat st;

	if (stat(name, &st) == -1)
		return; /* and that was said */
	if ((st.st_mode & 022) != 0)
		doctor_say(d, DOCTOR_FAULT, "chmod go-w that file",
		    "%s has mode %04o: others may change the configuration",
		    name, (unsigned)st.st_mode & 07777);
	else if (d->switches && st.st_uid != 0)
		doctor_say(d, DOCTOR_WARNING, "chown root that file",
		    "%s belongs to user %u, who may change the configuration",
		    name, (unsigned)st.st_uid);
}

static void
look_at_files(struct doctor *d)
{
	const char *file;
	size_t at = 0;

	look_at_file(d, d->config_name);
	while ((file = config_places_next(&d->config->places, &at)) != NULL)
		look_at_file(d, file);
}

void
doctor_config_file(struct doctor *d)
{
	struct config_errors *errors = calloc(1, sizeof(*errors));
	size_t i;

	if (errors == NULL)
		return;
	d->switches = load_switches_users();
	d->load = load_read(d->config_name, errors);
	d->config = d->load != NULL ? d->load->config : NULL;
	for (i = 0; i < errors->nlines; i++)
		say_error(d, errors->lines[i]);
	free(errors);
	if (d->config == NULL)
		d->config = read_alone(d->config_name);
	if (d->config == NULL)
		return;
	doctor_daemon_find(d);
	look_at_files(d);
	look_at_doors(d);
	config_doubts(d->config, say_doubt, d);
	config_doubts_of_files(d->config, say_doubt, d);
	if (d->findings == 0)
		doctor_say(d, DOCTOR_WELL, NULL,
		    "%s: %zu transport%s, %zu listener%s", d->config_name,
		    d->config->ntransports,
		    d->config->ntransports == 1 ? "" : "s",
		    d->config->nlisteners,
		    d->config->nlisteners == 1 ? "" : "s");
}

bool
doctor_config_user(const char *name, struct load_user *out)
{
	const struct passwd *pw = getpwnam(name);
	uint32_t number;
	const char *error;

	if (pw != NULL) {
		*out = (struct load_user){ pw->pw_uid, pw->pw_gid };
		return true;
	}
	number = (uint32_t)strtonum(name, 0, INT32_MAX, &error);
	*out = (struct load_user){ number, number };
	return error == NULL;
}

static void
say_no_user(struct doctor *d, const char *parameter, const char *name)
{
	char cure[DOCTOR_TEXT_SIZE];

	(void)snprintf(cure, sizeof(cure),
	    "useradd --system --user-group --no-create-home --home-dir "
	    "/nonexistent --shell /usr/sbin/nologin %s (" POSTERN_LIBDIR
	    "/users makes them all), or name another user",
	    name);
	doctor_say(d, DOCTOR_FAULT, cure, "%s: there is no user %s", parameter,
	    name);
}

void
doctor_config_users(struct doctor *d)
{
	const struct config *c = d->config;
	const struct {
		const char *parameter;
		const char *name;
	} rows[] = { { "control_user", c->control_user },
		{ "intake_user", c->intake_user },
		{ "queue_user", c->queue_user },
		{ "resolver_user", c->resolver_user },
		{ "dialer_user", c->dialer_user },
		{ "agent_user", c->agent_user },
		{ "signer_user", c->signer_user },
		{ "metrics_user", c->metrics_user } };
	struct load_user users[NELEM(rows)];
	size_t i, k;

	if (!d->switches) {
		doctor_say(d, DOCTOR_WARNING,
		    "run posternd as root, who can give each a user of its own",
		    "all roles run as uid %u", (unsigned)geteuid());
		return;
	}
	for (i = 0; i < NELEM(rows); i++) {
		if (!doctor_config_user(rows[i].name, &users[i])) {
			say_no_user(d, rows[i].parameter, rows[i].name);
			users[i].uid = (uid_t)-1;
		} else if (users[i].uid == 0) {
			doctor_say(d, DOCTOR_FAULT, "name a user without power",
			    "%s: %s is root", rows[i].parameter, rows[i].name);
		}
		for (k = 0; k < i; k++)
			if (users[i].uid == users[k].uid &&
			    users[i].uid != (uid_t)-1)
				doctor_say(d, DOCTOR_WARNING,
				    "give each role a user of its own",
				    "%s and %s are the same user: who takes "
				    "one over may reach the other",
				    rows[k].parameter, rows[i].parameter);
	}
	if (d->findings == 0)
		doctor_say(d, DOCTOR_WELL, NULL, "each role has one");
}

/* The folder that it would be made in. */
static void
say_missing_folder(struct doctor *d, const char *parameter, const char *path)
{
	char *copy = strdup(path), *parent;
	struct stat st;

	parent = copy != NULL ? dirname(copy) : NULL;
	if (parent == NULL)
		return;
	if (stat(parent, &st) == -1)
		doctor_say(d, DOCTOR_FAULT,
		    "make the folder above it; posternd makes the last one",
		    "%s %s: there is no %s to make it in", parameter, path,
		    parent);
	else if (access(parent, W_OK) == -1 && geteuid() != 0)
		doctor_say(d, DOCTOR_FAULT,
		    "make it as root, for the user that starts posternd",
		    "%s %s: it is not there, and you may not make it",
		    parameter, path);
	else if (d->runs)
		doctor_say(d, DOCTOR_FAULT,
		    strcmp(parameter, "spool_directory") == 0
			? "postern flush delivers what can still be delivered; "
			  "then restart posternd, and find out who removed it"
			: "restart posternd, and find out who removed it",
		    "%s %s: it is gone, although posternd runs", parameter,
		    path);
	free(copy);
}

static void
look_at_run(struct doctor *d, const char *path)
{
	char owner[80], cure[DOCTOR_TEXT_SIZE];
	struct stat st;

	if (stat(path, &st) == -1) {
		say_missing_folder(d, "run_directory", path);
		return;
	}
	(void)doctor_path_owner(st.st_mode, st.st_uid, st.st_gid, owner);
	(void)snprintf(cure, sizeof(cure), "chown root %s; chmod 0755 %s", path,
	    path);
	if (!S_ISDIR(st.st_mode))
		doctor_say(d, DOCTOR_FAULT, "name a folder",
		    "run_directory %s is no folder", path);
	else if (((st.st_mode & 02) != 0 ||
		     ((st.st_mode & 020) != 0 && st.st_gid != 0 &&
			 st.st_gid != getegid())) &&
	    (st.st_mode & S_ISVTX) == 0)
		doctor_say(d, DOCTOR_FAULT, cure,
		    "run_directory %s has mode %s: others could put sockets of "
		    "their own in the place of ours",
		    path, owner);
	else if ((st.st_mode & 01) == 0)
		doctor_say(d, DOCTOR_WARNING, cure,
		    "run_directory %s has mode %s: only they reach the "
		    "sockets in it",
		    path, owner);
}

/* The files in it: a copy from elsewhere often belongs to who made it. */
static void
look_into_spool(struct doctor *d, const char *path, uid_t uid)
{
	char cure[DOCTOR_TEXT_SIZE];
	unsigned n = 0, others = 0;
	struct dirent *e;
	struct stat st;
	DIR *dir = opendir(path);

	while (
	    dir != NULL && n++ < SPOOL_FILES_MAX && (e = readdir(dir)) != NULL)
		if (strcmp(e->d_name, "..") != 0 &&
		    fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) ==
			0 &&
		    st.st_uid != uid)
			others++;
	(void)snprintf(cure, sizeof(cure), "chown -R %u %s", (unsigned)uid,
	    path);
	if (others > 0)
		doctor_say(d, DOCTOR_FAULT, cure,
		    "spool_directory %s: %u of its files belong to another "
		    "than queue_user",
		    path, others);
	if (dir != NULL)
		closedir(dir);
}

static void
look_at_spool(struct doctor *d, const char *path)
{
	struct load_user queue = { geteuid(), getegid() };
	char owner[80], cure[DOCTOR_TEXT_SIZE];
	struct stat st;

	if (d->switches && !doctor_config_user(d->config->queue_user, &queue))
		return; /* that was said */
	if (stat(path, &st) == -1) {
		say_missing_folder(d, "spool_directory", path);
		return;
	}
	(void)doctor_path_owner(st.st_mode, st.st_uid, st.st_gid, owner);
	(void)snprintf(cure, sizeof(cure),
	    "chown -R %u:%u %s; chmod 0700 %s: then look at what is in it",
	    (unsigned)queue.uid, (unsigned)queue.gid, path, path);
	if (!S_ISDIR(st.st_mode))
		doctor_say(d, DOCTOR_FAULT, "name a folder",
		    "spool_directory %s is no folder", path);
	else if (geteuid() != 0 && st.st_uid == 0)
		doctor_say(d, DOCTOR_SKIPPED, NULL,
		    "spool_directory %s is root's: run this as root", path);
	else if (st.st_uid != queue.uid)
		doctor_say(d, DOCTOR_FAULT, cure,
		    "spool_directory %s has mode %s, and is not queue_user's: "
		    "posternd does not start",
		    path, owner);
	else if ((st.st_mode & 022) != 0)
		doctor_say(d, DOCTOR_FAULT, cure,
		    "spool_directory %s has mode %s: others could put another "
		    "queue there; posternd does not start",
		    path, owner);
	else if ((st.st_mode & 055) != 0)
		doctor_say(d, DOCTOR_WARNING, cure,
		    "spool_directory %s has mode %s: others see what is in it",
		    path, owner);
	else
		look_into_spool(d, path, queue.uid);
}

void
doctor_config_folders(struct doctor *d)
{
	const struct config *c = d->config;

	look_at_run(d, c->run_directory);
	if (c->queue_store == CONFIG_QUEUE_STORE_MEMORY)
		doctor_say(d, DOCTOR_WARNING, "queue_store = sqlite",
		    "queue_store is memory: what is queued is lost when "
		    "posternd ends");
	else
		look_at_spool(d, c->spool_directory);
	if (d->findings == 0)
		doctor_say(d, DOCTOR_WELL, NULL, "%s, %s", c->run_directory,
		    c->spool_directory);
}
