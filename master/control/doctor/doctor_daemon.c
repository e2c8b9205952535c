/* SPDX-License-Identifier: ISC */
/* The doctor on posternd itself: whether it runs, its roles, their walls, and what
 * its queue is about. */
#include "master/control/doctor/doctor.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "master/control/client/control_client.h"
#include "master/control/client/daemon_client.h"

enum {
	QUEUE_GROWS_FROM = 100, /* recipients that wait: fewer are no sign */
};

static pid_t
read_pid(int fd)
{
	char line[32] = "";
	const char *error;
	pid_t pid;

	if (pread(fd, line, sizeof(line) - 1, 0) <= 0)
		return 0;
	line[strcspn(line, "\n")] = '\0';
	pid = (pid_t)strtonum(line, 1, INT32_MAX, &error);
	return error == NULL ? pid : 0;
}

static int
open_control(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd;

	/* It is bound to answer soon, or never. */
	if (doctor_try_connect_unix(NULL, path, SOCK_SEQPACKET) != 0)
		return -1;
	(void)strlcpy(un.sun_path, path, sizeof(un.sun_path));
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd != -1 && connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
		return fd;
	fd_close(fd);
	return -1;
}

/* All rows of an answer, NULL where there is none. */
static json_t *
ask(struct doctor *d, json_t *command)
{
	json_t *rows = json_array(), *row;
	bool done = false;

	if (daemon_client_send(d->control_fd, command, -1) == -1)
		done = true;
	while (!done) {
		row = daemon_client_receive(d->control_fd, DOCTOR_ANSWER_MS);
		done = row == NULL || control_client_is_refusal(row);
		if (done) {
			json_decref(row);
			json_decref(rows);
			return NULL;
		}
		done = json_is_true(json_object_get(row, "done"));
		(void)json_array_append_new(rows, row);
	}
	return rows;
}

/* Who holds the lock of a file that is not ours to open, by proc(5); 0: nobody. */
static pid_t
find_lock(const char *path)
{
	unsigned major, minor;
	unsigned long inode;
	char line[256];
	struct stat st;
	pid_t found = 0;
	int pid;
	FILE *f;

	if (stat(path, &st) == -1)
		return 0;
	f = fopen("/proc/locks", "re");
	while (found == 0 && f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "%*d: FLOCK %*s WRITE %d %x:%x:%lu", &pid,
			&major, &minor, &inode) == 4 &&
		    inode == st.st_ino && makedev(major, minor) == st.st_dev)
			found = pid;
	if (f != NULL)
		fclose(f);
	return found;
}

void
doctor_daemon_find(struct doctor *d)
{
	const struct config *c = d->config;
	int fd = open(c->pid_file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd != -1 && flock(fd, LOCK_SH | LOCK_NB) == -1) {
		d->runs = true;
		d->pid = read_pid(fd);
	} else if (fd == -1 && errno == EACCES) {
		d->pid = find_lock(c->pid_file);
		d->runs = d->pid != 0;
	}
	fd_close(fd);
	/* Whose it is may not be ours to read: then it is no user's of ours. */
	if (d->runs && geteuid() != 0)
		d->switches = access(c->control_socket, W_OK) == -1;
	if (!d->runs)
		return;
	d->control_fd = open_control(c->control_socket);
	if (d->control_fd != -1)
		d->processes = ask(d, json_pack("{s:s}", "command", "status"));
}

void
doctor_daemon(struct doctor *d)
{
	if (!d->runs)
		doctor_say(d, DOCTOR_FAULT,
		    "systemctl start postern, or posternd -c FILE; if it ends "
		    "at once, its last lines say why",
		    "posternd does not run with %s", d->config_name);
	else if (d->control_fd == -1 && geteuid() == 0)
		doctor_say(d, DOCTOR_FAULT,
		    "restart it, and send the log to who looks after it",
		    "posternd [%d] runs, but its control socket does not let "
		    "us in",
		    (int)d->pid);
	else if (d->control_fd != -1 && d->processes == NULL)
		doctor_say(d, DOCTOR_FAULT, "its log says what is the matter",
		    "posternd [%d] runs, but does not answer", (int)d->pid);
	else
		doctor_say(d, DOCTOR_WELL, NULL, "posternd [%d] runs",
		    (int)d->pid);
}

static const char *const role_names[] = { "resolver", "dialer", "agent",
	"queue", "signer", "intake", "control", "metrics" };

static const json_t *
find_role(const struct doctor *d, const char *name)
{
	json_t *row, *last = NULL;
	size_t i;

	json_array_foreach(d->processes, i, row)
	{
		if (strcmp(daemon_client_string(row, "role"), name) == 0)
			last = row;
	}
	return last;
}

void
doctor_daemon_roles(struct doctor *d)
{
	const json_t *row;
	size_t i;

	for (i = 0; i < NELEM(role_names); i++) {
		row = find_role(d, role_names[i]);
		if (row == NULL)
			doctor_say(d, DOCTOR_FAULT,
			    "the log says why it does not start",
			    "the %s does not run", role_names[i]);
		else if (control_client_number(row, "restarts") > 0)
			doctor_say(d, DOCTOR_WARNING,
			    "the log says what it died of; that is a mistake "
			    "to report",
			    "the %s was restarted %lld times", role_names[i],
			    control_client_number(row, "restarts"));
	}
	if (d->findings == 0)
		doctor_say(d, DOCTOR_WELL, NULL, "all %zu run",
		    NELEM(role_names));
}

/* A word of "key=value" words, or "". */
static const char *
word_of(const char *layers, const char *key, char *out, size_t size)
{
	size_t len = strlen(key);
	const char *p = layers;

	out[0] = '\0';
	while ((p = strstr(p, key)) != NULL) {
		if ((p == layers || p[-1] == ' ') && p[len] == '=') {
			(void)strlcpy(out, p + len + 1, size);
			out[strcspn(out, " ")] = '\0';
			break;
		}
		p += len;
	}
	return out;
}

#define NO_LANDLOCK "files and TCP are kept from it by fewer walls"
#define NO_NAMESPACES                                                          \
	"it sees the machine's files, network and processes, though its "      \
	"filter keeps it from using them"

/* What every role must have, the value that shows it, and what it means where it
 * is missing. */
static const struct wall {
	const char *key;
	const char *good; /* the whole value; NULL: anything but the bad one */
	const char *bad;
	enum doctor_level level;
	const char *meaning;
	const char *cure;
} walls[] = {
	{ "seccomp", "filter", NULL, DOCTOR_FAULT,
	    "who takes it over may make any system call",
	    "use a kernel with CONFIG_SECCOMP_FILTER, and a container that "
	    "allows it" },
	{ "no_new_privs", "yes", NULL, DOCTOR_FAULT,
	    "it may gain power by executing something",
	    "this ought not to be: report it" },
	{ "caps", "none", NULL, DOCTOR_FAULT, "it has rights of root",
	    "this ought not to be: report it" },
	{ "landlock", NULL, "no,kernel", DOCTOR_WARNING, NO_LANDLOCK,
	    "use a kernel from 5.13 on with Landlock; in a container, an "
	    "engine whose filter knows it" },
	{ "landlock", NULL, "no,boot", DOCTOR_WARNING, NO_LANDLOCK,
	    "add landlock to the kernel's command line (lsm=landlock,...) and "
	    "start the machine again" },
	{ "landlock", NULL, "no,refused", DOCTOR_WARNING, NO_LANDLOCK,
	    "the filter of the container or of the service refuses it: let "
	    "landlock_create_ruleset, landlock_add_rule and "
	    "landlock_restrict_self through (a seccomp profile of the "
	    "engine, SystemCallFilter= of the unit)" },
	{ "landlock", NULL, "no,error", DOCTOR_WARNING, NO_LANDLOCK,
	    "posternd's log has the reason, where it starts" },
	{ "namespaces_refused", NULL, "clone", DOCTOR_WARNING, NO_NAMESPACES,
	    "start posternd as root with CAP_SYS_ADMIN, or allow user "
	    "namespaces (sysctl user.max_user_namespaces, "
	    "kernel.unprivileged_userns_clone, "
	    "kernel.apparmor_restrict_unprivileged_userns; in a container the "
	    "engine's seccomp profile, in a unit RestrictNamespaces=)" },
	{ "namespaces_refused", NULL, "uid_map", DOCTOR_WARNING, NO_NAMESPACES,
	    "start posternd as root: a user namespace is granted here, and "
	    "nothing inside it" },
	{ "namespaces_refused", NULL, "mount", DOCTOR_WARNING,
	    "it sees the machine's files, though its filter and Landlock keep "
	    "it from opening them",
	    "let it mount inside its own namespace: AppArmor and the engine's "
	    "seccomp profile forbid it here" },
	{ "namespaces_refused", NULL, "pivot_root", DOCTOR_WARNING,
	    "it sees the machine's files, though its filter and Landlock keep "
	    "it from opening them",
	    "let it call pivot_root(), which a seccomp profile forbids here; on "
	    "an initial RAM disk it is not to be had" },
};

static bool
wall_is_good(const struct wall *wall, const char *value)
{
	if (value[0] == '\0' || strcmp(value, "?") == 0)
		return true;
	return wall->good != NULL ? strcmp(value, wall->good) == 0
				  : strcmp(value, wall->bad) != 0;
}

static void
look_at_wall(struct doctor *d, const struct wall *wall)
{
	char value[128], bad[128] = "", roles[256] = "", unseen[256] = "";
	const json_t *row;
	char *list;

	for (size_t i = 0; i < NELEM(role_names); i++) {
		row = find_role(d, role_names[i]);
		if (row == NULL)
			continue;
		(void)word_of(daemon_client_string(row, "layers"), wall->key,
		    value, sizeof(value));
		list = strcmp(value, "?") == 0 ? unseen : roles;
		if (list == roles && wall_is_good(wall, value))
			continue;
		(void)strlcpy(bad, value, sizeof(bad));
		if (list[0] != '\0')
			(void)strlcat(list, ", ", sizeof(roles));
		(void)strlcat(list, role_names[i], sizeof(roles));
	}
	if (unseen[0] != '\0')
		doctor_say(d, DOCTOR_SKIPPED, NULL,
		    "%s of %s: not even posternd may see it here; its log says "
		    "at the start what the host grants",
		    wall->key, unseen);
	if (roles[0] != '\0')
		doctor_say(d, wall->level, wall->cure, "%s=%s of %s: %s",
		    wall->key, bad, roles, wall->meaning);
}

void
doctor_daemon_walls(struct doctor *d)
{
	char value[128] = "?";
	const json_t *row;
	size_t i;

	for (i = 0; i < NELEM(walls); i++)
		look_at_wall(d, &walls[i]);
	for (i = 0; i < NELEM(role_names); i++) {
		row = find_role(d, role_names[i]);
		if (row == NULL)
			continue;
		(void)word_of(daemon_client_string(row, "layers"), "uid", value,
		    sizeof(value));
		if (strcmp(value, "0") == 0)
			doctor_say(d, DOCTOR_FAULT, "see users above",
			    "the %s runs as root", role_names[i]);
		(void)word_of(daemon_client_string(row, "layers"), "landlock",
		    value, sizeof(value));
	}
	if (d->findings == 0)
		doctor_say(d, DOCTOR_WELL, NULL,
		    "filters, namespaces and Landlock (%s) hold round every "
		    "role",
		    value);
}

static void
look_at_pauses(struct doctor *d)
{
	json_t *rows = ask(d, json_pack("{s:s}", "command", "pauses")), *row;
	char cure[DOCTOR_TEXT_SIZE];
	const char *what, *name;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		what = daemon_client_string(row, "paused");
		name = daemon_client_string(row, "name");
		if (what[0] == '\0' || i >= DOCTOR_LINES_MAX)
			continue;
		(void)snprintf(cure, sizeof(cure), "postern resume --%s%s%s",
		    what, name[0] != '\0' ? " " : "", name);
		doctor_say(d, DOCTOR_WARNING, cure, "%s %s is paused",
		    strcmp(what, "all") == 0 ? "every" : what,
		    name[0] != '\0' ? name : "transport");
	}
	json_decref(rows);
}

/* It takes mail, or says that it will, but not what waits for it. */
static void
look_at_throttled(struct doctor *d, const json_t *row, const char *cure)
{
	long long waiting = control_client_number(row, "waiting");
	long long deferred = control_client_number(row, "deferred_60s");

	if (waiting < QUEUE_GROWS_FROM || deferred == 0)
		return;
	doctor_say(d, DOCTOR_WARNING, cure,
	    "%lld recipients wait for %s, which deferred %lld in the last "
	    "minute: %s",
	    waiting, daemon_client_string(row, "next_hop"), deferred,
	    daemon_client_string(row, "last_reply"));
}

static void
look_at_destination(struct doctor *d, const json_t *row)
{
	const char *name = daemon_client_string(row, "next_hop");
	char cure[DOCTOR_TEXT_SIZE];

	if (json_is_true(json_object_get(row, "waits_for_login")))
		doctor_say(d, DOCTOR_WARNING,
		    "auth_password_file or auth_token_command of its transport "
		    "is to blame: the log names it",
		    "mail to %s waits for a secret to log in with", name);
	/* A server of the configuration has its transport's name. */
	if (strcmp(name, daemon_client_string(row, "transport")) == 0)
		(void)snprintf(cure, sizeof(cure),
		    "postern explain --via %s ADDRESS", name);
	else
		(void)snprintf(cure, sizeof(cure),
		    "postern explain postmaster@%s", name);
	if (control_client_number(row, "blocked_until_ms") <= time_real_ms()) {
		look_at_throttled(d, row, cure);
		return;
	}
	doctor_say(d, DOCTOR_WARNING, cure,
	    "%lld recipients wait for %s, which rests: %s",
	    control_client_number(row, "waiting"), name,
	    daemon_client_string(row, "reason"));
}

static void
look_at_top(struct doctor *d, const json_t *row)
{
	const json_t *counts = json_object_get(row, "counts");
	const json_t *last = json_object_get(row, "last");
	long long in, out, waiting, kept;

	waiting = control_client_number(counts, "queued") +
	    control_client_number(counts, "deferred");
	in = control_client_number(json_object_get(last, "accepted"), "60s");
	out = control_client_number(json_object_get(last, "delivered"), "60s") +
	    control_client_number(json_object_get(last, "failed"), "60s");
	if (waiting >= QUEUE_GROWS_FROM && in > out)
		doctor_say(d, DOCTOR_WARNING,
		    "postern top shows which destination is slow, and why",
		    "the queue grows: %lld recipients wait, %lld came in the "
		    "last minute and %lld went",
		    waiting, in, out);
	kept = control_client_number(row, "kept");
	if (kept > 0)
		doctor_say(d, DOCTOR_FAULT,
		    "postern queue list --state held shows why; give notices a "
		    "way by bounce_transport, then postern queue release "
		    "--state held, or "
		    "delete",
		    "%lld notices failed, and nobody could be told: they are "
		    "kept",
		    kept);
	if (control_client_number(counts, "held") > kept)
		doctor_say(d, DOCTOR_WARNING,
		    "postern queue release --state held",
		    "%lld recipients are held",
		    control_client_number(counts, "held") - kept);
}

/* Mail waits for somebody to do something; of a loop it does not even wait. */
static void
look_at_trouble(struct doctor *d, const json_t *row)
{
	bool loop = strcmp(daemon_client_string(row, "kind"), "loop") == 0;

	doctor_say(d, loop ? DOCTOR_WARNING : DOCTOR_FAULT,
	    daemon_client_string(row, "cure"), "%s",
	    daemon_client_string(row, "what"));
}

void
doctor_daemon_queue(struct doctor *d)
{
	json_t *rows, *row;
	size_t i;

	look_at_pauses(d);
	rows = ask(d,
	    json_pack("{s:s,s:i}", "command", "top", "limit",
		DOCTOR_LINES_MAX));
	if (rows == NULL)
		doctor_say(d, DOCTOR_FAULT, "its log says what is the matter",
		    "the queue does not answer");
	json_array_foreach(rows, i, row)
	{
		if (strcmp(daemon_client_string(row, "top"), "queue") == 0)
			look_at_top(d, row);
		else if (strcmp(daemon_client_string(row, "top"),
			     "destination") == 0)
			look_at_destination(d, row);
		else if (strcmp(daemon_client_string(row, "top"), "trouble") ==
		    0)
			look_at_trouble(d, row);
	}
	json_decref(rows);
	if (d->findings == 0)
		doctor_say(d, DOCTOR_WELL, NULL, "it moves");
}
