/* SPDX-License-Identifier: ISC */
/*
 * postern queue check, export and import: a queue that no posternd runs on.
 *
 * As root they become the user to whom the spool belongs, before they open it:
 * what they make is then posternd's, and a spool that lies cannot use them.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "master/control/client/daemon_client.h"
#include "master/control/client/options.h"
#include "master/control/client/usage.h"
#include "master/control/control.h"
#include "master/listen.h"
#include "master/load.h"
#include "master/queue/archive.h"

struct archive_options {
	const char *config_name;
	const char *spool;
	bool json;
};

static void
say(const char *fault, void *arg)
{
	(void)arg;
	fprintf(stderr, "postern: %s\n", fault);
}

/* The spool of the configuration, made where it is not there, as posternd
 * would.  0, or -1 after a word. */
static int
find_spool(const struct archive_options *o, bool make, char *spool, size_t size)
{
	struct config_errors *errors = calloc(1, sizeof(*errors));
	struct load *load = NULL;
	int ret = -1;
	size_t i;

	if (errors == NULL)
		return -1;
	load = load_read(o->config_name, errors);
	for (i = 0; load == NULL && i < errors->nlines; i++)
		fprintf(stderr, "postern: %s\n", errors->lines[i]);
	if (load == NULL)
		goto out;
	(void)strlcpy(spool, load->config->spool_directory, size);
	if (make &&
	    listen_directory(spool, 0700,
		load_switches_users() ? load->queue.uid : geteuid(),
		load_switches_users() ? load->queue.gid : (gid_t)-1) == -1) {
		fprintf(stderr, "postern: spool_directory %s: %s\n", spool,
		    errno == EPERM ? "it is another user's" : strerror(errno));
		goto out;
	}
	ret = 0;
out:
	load_free(load);
	free(errors);
	return ret;
}

static int
become_owner(const char *spool)
{
	struct stat st;

	if (stat(spool, &st) == -1) {
		fprintf(stderr, "postern: %s: %s\n", spool, strerror(errno));
		return -1;
	}
	if (geteuid() != 0 || st.st_uid == 0)
		return 0;
	if (setgroups(0, NULL) == -1 ||
	    setresgid(st.st_gid, st.st_gid, st.st_gid) == -1 ||
	    setresuid(st.st_uid, st.st_uid, st.st_uid) == -1) {
		fprintf(stderr, "postern: becoming user %u: %s\n", st.st_uid,
		    strerror(errno));
		return -1;
	}
	return 0;
}

static int
check(const char *spool, bool json)
{
	char error[1024] = "";
	int faults;

	faults = archive_check(spool, say, NULL, error, sizeof(error));
	if (faults == -1) {
		fprintf(stderr, "postern: %s\n", error);
		return EXIT_DEFERRED;
	}
	if (json)
		printf("{\"faults\":%d}\n", faults);
	else if (faults > 0)
		printf("%s: %d faults\n", spool, faults);
	else
		printf("%s: no fault\n", spool);
	return faults > 0 ? EXIT_FAILED : EXIT_ALL_WELL;
}

static int
export_queue(const char *spool, FILE *file, bool json)
{
	struct archive_sum sum;
	char error[1024] = "";

	if (archive_export(spool, file, say, NULL, &sum, error,
		sizeof(error)) == -1) {
		fprintf(stderr, "postern: %s\n", error);
		return EXIT_DEFERRED;
	}
	fprintf(stderr,
	    json ? "{\"messages\":%" PRIu64 ",\"recipients\":%" PRIu64
		   ",\"lost\":%" PRIu64 "}\n"
		 : "exported %" PRIu64 " messages, %" PRIu64
		   " recipients; %" PRIu64 " losses\n",
	    sum.messages, sum.recipients, sum.lost);
	return sum.lost == 0 ? EXIT_ALL_WELL : EXIT_FAILED;
}

static int
import_queue(const char *spool, FILE *file, bool json)
{
	struct archive_sum sum;
	char error[1024] = "";

	if (archive_import(spool, file, &sum, error, sizeof(error)) == -1) {
		fprintf(stderr,
		    "postern: %s (what was read so far may be imported; to run "
		    "it again does no harm)\n",
		    error);
		return EXIT_DEFERRED;
	}
	printf(json ? "{\"messages\":%" PRIu64 ",\"recipients\":%" PRIu64
		      ",\"there\":%" PRIu64 "}\n"
		    : "imported %" PRIu64 " messages, %" PRIu64
		      " recipients; %" PRIu64 " messages were there\n",
	    sum.messages, sum.recipients, sum.there);
	return EXIT_ALL_WELL;
}

/* A file that has nothing in it: made here, or by a run that came to nothing and
 * had no right to remove it any more. */
static int
open_new(const char *name)
{
	struct stat st;
	int fd;

	fd = open(name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd == -1)
		return -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0 &&
	    st.st_uid == geteuid() && fchmod(fd, 0600) == 0)
		return fd;
	fd_close(fd);
	errno = EEXIST;
	return -1;
}

/* "-" is the standard stream. */
static FILE *
open_stream(const char *name, bool writes)
{
	FILE *file;
	int fd;

	if (strcmp(name, "-") == 0)
		return writes ? stdout : stdin;
	fd = writes ? open_new(name) : open(name, O_RDONLY | O_CLOEXEC);
	file = fd != -1 ? fdopen(fd, writes ? "w" : "r") : NULL;
	if (file == NULL)
		fprintf(stderr, "postern: %s: %s\n", name, strerror(errno));
	return file;
}

int
cmd_archive(int argc, char **argv)
{
	struct archive_options o = { .config_name =
					 POSTERN_SYSCONFDIR "/postern.conf" };
	const struct control_option rows[] = {
		{ "config", 'c', &o.config_name, NULL },
		{ "json", 0, NULL, &o.json },
		{ "spool", 0, &o.spool, NULL },
	};
	char spool[4096];
	FILE *file = NULL;
	bool imports, exports;
	int first, words, ret;

	first = options_read(argc, argv, rows, NELEM(rows));
	if (!options_words(argc, argv, first, 1, argc, "what to do"))
		return usage_print("queue");
	exports = strcmp(argv[first], "export") == 0;
	imports = strcmp(argv[first], "import") == 0;
	words = exports || imports ? 2 : 1;
	if (!options_words(argc, argv, first, words, words, "the file"))
		return usage_print("queue");
	if (exports || imports) {
		file = open_stream(argv[first + 1], exports);
		if (file == NULL)
			return EXIT_USAGE;
	}
	if (o.spool != NULL &&
	    strlcpy(spool, o.spool, sizeof(spool)) >= sizeof(spool)) {
		fprintf(stderr, "postern: --spool: the path is too long\n");
		return EXIT_USAGE;
	}
	if (o.spool == NULL &&
	    find_spool(&o, imports, spool, sizeof(spool)) == -1)
		return EXIT_USAGE;
	if (become_owner(spool) == -1)
		return EXIT_USAGE;
	if (!exports && !imports)
		return check(spool, o.json);
	ret = exports ? export_queue(spool, file, o.json)
		      : import_queue(spool, file, o.json);
	if (fclose(file) != 0 && exports) {
		fprintf(stderr, "postern: %s: %s\n", argv[first + 1],
		    strerror(errno));
		ret = EXIT_DEFERRED;
	}
	return ret;
}
