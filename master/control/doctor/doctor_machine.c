/* SPDX-License-Identifier: ISC */
/* The doctor on the machine: disk and spool, clock, limits, the log, who takes
 * outcomes, and another's sendmail. */
#include "master/control/doctor/doctor.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/timex.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"
#include "master/clients/clients.h"
#include "master/control/client/daemon_client.h"
#include "master/descriptors.h"
#include "master/queue/archive.h"

enum {
	INODES_LEAST = 1000,
	/* Of the intake: clients of the job socket, and what it has besides. */
	FILES_BESIDES = CLIENTS_MAX + 100,
	SPOOL_CHECK_MS = 30000,
};

/* The folder, or what is there of the way to it. */
static void
nearest(const char *path, char *out, size_t size)
{
	struct stat st;
	char *slash;

	(void)strlcpy(out, path, size);
	while (stat(out, &st) == -1 && errno == ENOENT) {
		slash = strrchr(out, '/');
		if (slash == NULL || slash == out) {
			(void)strlcpy(out, "/", size);
			return;
		}
		*slash = '\0';
	}
}

static void
look_at_kind(struct doctor *d, const char *path)
{
	/* statfs(2) has the numbers. */
	static const struct {
		unsigned long magic;
		const char *name;
		const char *why;
	} rows[] = {
		{ 0x6969, "NFS",
		    "locks and syncs of a database over a network "
		    "are not to be relied on" },
		{ 0xff534d42, "CIFS",
		    "locks and syncs of a database over a "
		    "network are not to be relied on" },
		{ 0xfe534d42, "SMB2",
		    "locks and syncs of a database over a "
		    "network are not to be relied on" },
		{ 0x01021997, "9p",
		    "locks and syncs of a database over it are "
		    "not to be relied on" },
		{ 0x01021994, "tmpfs",
		    "what is queued is lost when the power "
		    "goes" },
	};
	struct statfs fs;
	size_t i;

	if (statfs(path, &fs) == -1)
		return;
	for (i = 0; i < NELEM(rows); i++)
		if (((unsigned long)fs.f_type & 0xffffffff) == rows[i].magic)
			doctor_say(d, DOCTOR_WARNING,
			    "put spool_directory on a local disk",
			    "the spool is on %s: %s", rows[i].name,
			    rows[i].why);
}

void
doctor_machine_disk(struct doctor *d)
{
	uint64_t least = d->config->queue_minfree, left;
	char path[4096];
	struct statvfs fs;

	if (d->config->queue_store == CONFIG_QUEUE_STORE_MEMORY) {
		doctor_say(d, DOCTOR_WELL, NULL, "the queue is in memory");
		return;
	}
	nearest(d->config->spool_directory, path, sizeof(path));
	if (statvfs(path, &fs) == -1) {
		doctor_say(d, DOCTOR_SKIPPED, NULL, "%s: %s", path,
		    strerror(errno));
		return;
	}
	left = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (left < least)
		doctor_say(d, DOCTOR_FAULT, "make room, or lower queue_minfree",
		    "%" PRIu64 " MiB are free for the spool, less than "
		    "queue_minfree (%" PRIu64 " MiB): no mail is taken",
		    left >> 20, least >> 20);
	else if (left < 4 * least)
		doctor_say(d, DOCTOR_WARNING, "make room",
		    "%" PRIu64 " MiB are free for the spool, with "
		    "queue_minfree (%" PRIu64 " MiB) no mail is taken",
		    left >> 20, least >> 20);
	if (fs.f_files > 0 && fs.f_favail < INODES_LEAST)
		doctor_say(d, DOCTOR_FAULT, "remove small files",
		    "%" PRIu64 " inodes are left for the spool",
		    (uint64_t)fs.f_favail);
	look_at_kind(d, path);
	if (d->findings == 0)
		doctor_say(d, DOCTOR_WELL, NULL,
		    "%" PRIu64 " MiB are free for the spool", left >> 20);
}

static void
write_fault(const char *fault, void *arg)
{
	dprintf(*(const int *)arg, "%s\n", fault);
}

/* In a child, as the user whose spool it is. */
static int
check_spool(const void *arg, int out)
{
	const char *spool = arg;
	char error[512] = "";
	int faults =
	    archive_check(spool, write_fault, &out, error, sizeof(error));

	if (faults == -1)
		write_fault(error, &out);
	return faults == 0 ? 0 : 1;
}

void
doctor_machine_spool(struct doctor *d)
{
	struct load_user queue = { geteuid(), getegid() };
	const char *spool = d->config->spool_directory;
	char text[DOCTOR_TEXT_SIZE], path[4096];
	struct stat st;
	int error;

	(void)snprintf(path, sizeof(path), "%s/queue.db", spool);
	if (d->config->queue_store == CONFIG_QUEUE_STORE_MEMORY ||
	    (stat(path, &st) == -1 && errno == ENOENT) ||
	    (d->switches &&
		!doctor_config_user(d->config->queue_user, &queue))) {
		doctor_say(d, DOCTOR_WELL, NULL, "there is none yet");
		return;
	}
	error = doctor_try(&queue, SPOOL_CHECK_MS, check_spool, spool, text,
	    sizeof(text));
	text[strcspn(text, "\n")] = '\0';
	if (error == ETIMEDOUT)
		doctor_say(d, DOCTOR_SKIPPED, NULL,
		    "it is large: postern queue check takes its time");
	else if (error != 0)
		doctor_say(d, DOCTOR_FAULT,
		    "postern queue check shows all; postern queue export saves "
		    "what can be read, import adds it to a new spool",
		    "%s: %s", spool, text[0] != '\0' ? text : "damaged");
	else
		doctor_say(d, DOCTOR_WELL, NULL, "%s is whole", spool);
}

/* The limit of the daemon, else the one it would get from here. */
static uint64_t
files_limit(const struct doctor *d)
{
	char path[64], line[128];
	struct rlimit own;
	unsigned long long n = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/limits", (int)d->pid);
	f = d->runs ? fopen(path, "re") : NULL;
	while (n == 0 && f != NULL && fgets(line, sizeof(line), f) != NULL)
		(void)sscanf(line, "Max open files %*s %llu", &n);
	if (f != NULL)
		fclose(f);
	if (n > 0)
		return n;
	/* posternd raises the soft limit to the hard one */
	return getrlimit(RLIMIT_NOFILE, &own) == 0 ? own.rlim_max : UINT64_MAX;
}

/* A limit is each process's own: the queue has the sessions, the intake those of
 * listeners. */
void
doctor_machine_limits(struct doctor *d)
{
	uint64_t have = files_limit(d);
	uint32_t sessions = descriptors_sessions(have);
	uint64_t queue = descriptors_wanted((uint32_t)d->config->process_limit);
	uint64_t intake = FILES_BESIDES;

	for (size_t i = 0; i < d->config->nlisteners; i++)
		intake += (uint64_t)d->config->listeners[i].session_limit;
	if (have < queue)
		doctor_say(d, DOCTOR_WARNING,
		    "raise LimitNOFILE= of the unit or ulimit -Hn, or lower "
		    "process_limit",
		    "%" PRIu64 " open files are allowed: enough for %u "
		    "sessions, where process_limit is %d; that takes %" PRIu64,
		    have, sessions, d->config->process_limit, queue);
	if (have < intake)
		doctor_say(d, DOCTOR_WARNING,
		    "raise LimitNOFILE= of the unit or ulimit -Hn, or lower "
		    "session_limit",
		    "%" PRIu64 " open files are allowed, clients and "
		    "session_limit may take %" PRIu64,
		    have, intake);
	if (have >= queue && have >= intake)
		doctor_say(d, DOCTOR_WELL, NULL,
		    "%" PRIu64 " open files are allowed, %" PRIu64
		    " may be needed",
		    have, queue > intake ? queue : intake);
}

void
doctor_machine_clock(struct doctor *d)
{
	struct timex t = { 0 };
	struct stat st;
	time_t now = time(NULL);

	if (stat("/proc/self/exe", &st) == 0 && now + 86400 < st.st_mtime)
		doctor_say(d, DOCTOR_FAULT, "set the clock; run an NTP client",
		    "it is earlier than this program was made: retries, "
		    "lifetimes and certificates go wrong");
	else if (adjtimex(&t) == TIME_ERROR && (t.status & STA_UNSYNC) != 0)
		doctor_say(d, DOCTOR_WARNING,
		    "run an NTP client (systemd-timesyncd, chrony); in a "
		    "virtual machine whose host does it is of no matter",
		    "the kernel does not know it to be synchronised");
	else
		doctor_say(d, DOCTOR_WELL, NULL, "synchronised");
}

void
doctor_machine_log(struct doctor *d)
{
	char path[64], to[256];
	ssize_t n;
	int fd;

	if (d->config->log == CONFIG_LOG_SYSLOG) {
		fd = log_connect_syslog();
		if (fd == -1)
			doctor_say(d, DOCTOR_FAULT,
			    "install rsyslog, or set log = stderr",
			    "/dev/log: %s: the log is lost", strerror(errno));
		else
			doctor_say(d, DOCTOR_WELL, NULL, "syslog takes it");
		fd_close(fd);
		return;
	}
	if (!d->runs || d->pid == 0) {
		doctor_say(d, DOCTOR_WELL, NULL,
		    "to the standard error output");
		return;
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/fd/2", (int)d->pid);
	n = readlink(path, to, sizeof(to) - 1);
	to[n > 0 ? n : 0] = '\0';
	if (n <= 0)
		doctor_say(d, DOCTOR_SKIPPED, NULL, "root sees where it goes");
	else if (strcmp(to, "/dev/null") == 0)
		doctor_say(d, DOCTOR_WARNING,
		    "start posternd with its standard error output going to a "
		    "file, or set log = syslog",
		    "it goes to /dev/null");
	else
		doctor_say(d, DOCTOR_WELL, NULL, "to %s", to);
}

void
doctor_machine_outcomes(struct doctor *d)
{
	const struct config *c = d->config;
	int error;

	if (c->outcome_socket[0] != '\0') {
		error = doctor_try_connect_unix(NULL, c->outcome_socket,
		    SOCK_STREAM);
		if (error != 0)
			doctor_say(d, DOCTOR_FAULT,
			    "start who listens there: records wait in the "
			    "spool until then",
			    "outcome_socket %s: %s", c->outcome_socket,
			    strerror(error));
	}
	if (c->outcome_command.count > 0 &&
	    access(c->outcome_command.words[0], X_OK) == -1)
		doctor_say(d, DOCTOR_FAULT, "name a program that is there",
		    "outcome_command %s: %s", c->outcome_command.words[0],
		    strerror(errno));
	if (d->findings == 0)
		doctor_say(d, DOCTOR_WELL, NULL,
		    c->outcome_socket[0] != '\0' || c->outcome_command.count > 0
			? "their receiver is there"
			: "they are reported to nobody");
}

/* Behind an MTA its sendmail is as it should be: mail comes by a listener. */
void
doctor_machine_sendmail(struct doctor *d)
{
	static const char usual[] = "/usr/sbin/sendmail";
	char *to = realpath(usual, NULL);
	const char *name = to != NULL ? strrchr(to, '/') + 1 : "";

	if (to == NULL)
		doctor_say(d, DOCTOR_WELL, NULL,
		    "there is no %s; ours is in " POSTERN_LIBDIR, usual);
	else if (strcmp(name, "postern") == 0)
		doctor_say(d, DOCTOR_WELL, NULL, "%s is ours", usual);
	else if (d->config != NULL && d->config->nlisteners > 0)
		doctor_say(d, DOCTOR_WELL, NULL,
		    "%s is another's (%s), and mail comes by listeners", usual,
		    to);
	else
		doctor_say(d, DOCTOR_WARNING,
		    "point programs at " POSTERN_LIBDIR
		    "/sendmail, or have that "
		    "MTA hand its mail to a listener",
		    "%s is another's (%s): what calls it does not come to us",
		    usual, to);
	free(to);
}
