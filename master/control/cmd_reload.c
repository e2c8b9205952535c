/* SPDX-License-Identifier: ISC */
/*
 * postern reload and postern upgrade: the master is asked by its signals, which
 * takes the right to send them, and no more power for anybody else; what came of
 * it, it says in files that the same right lets us read.
 */
#include <sys/file.h>

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/util.h"
#include "master/config.h"
#include "master/control/client/daemon_client.h"
#include "master/control/client/options.h"
#include "master/control/client/usage.h"
#include "master/control/control.h"
#include "master/verdict.h"

enum {
	RENEW_TURN_MS = 20,
	RENEW_RELOAD_MS = 30000,  /* a bit more than the master waits */
	RENEW_UPGRADE_MS = 90000, /* a bit more than the master allows */
};

/* The pid file of the configuration: who wrote it holds its lock. */
static int
open_pid_file(const struct config *config)
{
	int fd = open(config->pid_file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd == -1) {
		fprintf(stderr, "postern: %s: %s%s\n", config->pid_file,
		    strerror(errno),
		    errno == EACCES
			? ": only root and the user that started posternd may "
			  "do this"
			: ": is posternd running, with this configuration?");
	} else if (flock(fd, LOCK_SH | LOCK_NB) == 0) {
		fprintf(stderr, "postern: %s: posternd is not running\n",
		    config->pid_file);
		fd_close(fd);
		fd = -1;
	}
	return fd;
}

/* 0: there is none. */
static pid_t
read_pid(int fd)
{
	char line[32] = "";
	const char *error;
	ssize_t n = pread(fd, line, sizeof(line) - 1, 0);
	pid_t pid;

	if (n <= 0)
		return 0;
	line[strcspn(line, "\n")] = '\0';
	pid = (pid_t)strtonum(line, 1, INT32_MAX, &error);
	return error == NULL ? pid : 0;
}

static int
tell(int fd, int number, pid_t *pidp)
{
	*pidp = read_pid(fd);
	if (*pidp != 0 && kill(*pidp, number) == 0)
		return 0;
	fprintf(stderr, "postern: posternd [%d]: %s\n", (int)*pidp,
	    *pidp != 0 ? strerror(errno) : "its process id is not known");
	return -1;
}

/* The generation that takes over writes its own id. */
static int
wait_for_other(int fd, pid_t old, bool json)
{
	const struct timespec turn = { .tv_nsec = RENEW_TURN_MS * 1000000L };
	pid_t pid;
	int ms;

	for (ms = 0; ms < RENEW_UPGRADE_MS; ms += RENEW_TURN_MS) {
		pid = read_pid(fd);
		if (pid != 0 && pid != old) {
			printf(json
				? "{\"pid\":%d,\"old_pid\":%d}\n"
				: "posternd [%d] has taken over from [%d]\n",
			    (int)pid, (int)old);
			return EXIT_ALL_WELL;
		}
		(void)nanosleep(&turn, NULL);
	}
	fprintf(stderr, "postern: posternd [%d] goes on: its log says why\n",
	    (int)old);
	return EXIT_DEFERRED;
}

static int64_t
now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* it cannot fail */
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void
print_json(const struct verdict *v, pid_t pid)
{
	json_t *o = json_pack("{s:i,s:b,s:I,s:[]}", "pid", (int)pid, "taken",
	    v->taken, "generation", (json_int_t)v->generation, "reasons");
	const char *line, *end;

	for (line = v->reasons; (end = strchr(line, '\n')) != NULL;
	     line = end + 1)
		(void)json_array_append_new(json_object_get(o, "reasons"),
		    json_stringn(line, (size_t)(end - line)));
	if (json_dumpf(o, stdout, JSON_COMPACT) == 0)
		printf("\n");
	json_decref(o);
}

static int
print_verdict(const struct verdict *v, pid_t pid, const char *config_name,
    bool json)
{
	if (json)
		print_json(v, pid);
	else if (v->taken)
		printf("posternd [%d] has taken %s over: configuration "
		       "generation %u\n",
		    (int)pid, config_name, v->generation);
	if (v->taken)
		return EXIT_ALL_WELL;
	fprintf(stderr,
	    "%spostern: posternd [%d]: %s is not in force as it is: "
	    "configuration generation %u goes on\n",
	    v->reasons, (int)pid, config_name, v->generation);
	return EXIT_BAD_CONFIG;
}

/* Of a reload that began after since_ns. */
static int
wait_for_verdict(int fd, pid_t pid, const struct config *config,
    int64_t since_ns, const char *config_name, bool json)
{
	const struct timespec turn = { .tv_nsec = RENEW_TURN_MS * 1000000L };
	static char text[VERDICT_SIZE];
	struct verdict v;
	int ms;

	for (ms = 0; ms < RENEW_RELOAD_MS; ms += RENEW_TURN_MS) {
		if (verdict_read(config->pid_file, text, &v) == 0 &&
		    v.begun_ns >= since_ns)
			return print_verdict(&v, pid, config_name, json);
		if (flock(fd, LOCK_SH | LOCK_NB) == 0) {
			fprintf(stderr, "postern: posternd [%d] has ended\n",
			    (int)pid);
			return EXIT_DEFERRED;
		}
		(void)nanosleep(&turn, NULL);
	}
	fprintf(stderr,
	    "postern: posternd [%d] has not answered in %d s: its log says "
	    "why\n",
	    (int)pid, RENEW_RELOAD_MS / 1000);
	return EXIT_DEFERRED;
}

/* NULL: it has errors, all of which were printed. */
static struct config *
read_config(const char *config_name)
{
	struct config_errors *errors = calloc(1, sizeof(*errors));
	struct config *config = NULL;

	if (errors == NULL) {
		fprintf(stderr, "postern: no memory\n");
		return NULL;
	}
	errno = 0;
	config = daemon_client_read_config(config_name, errors);
	if (config == NULL && errors->nlines == 0)
		fprintf(stderr, "postern: %s: %s\n", config_name,
		    strerror(errno));
	for (size_t i = 0; i < errors->nlines; i++)
		fprintf(stderr, "%s\n", errors->lines[i]);
	if (errors->nlines > 0)
		fprintf(stderr,
		    "postern: %s has errors: what runs goes on as it is\n",
		    config_name);
	free(errors);
	return config;
}

static int
renew(int argc, char **argv, const char *name, int number)
{
	const char *config_name = POSTERN_SYSCONFDIR "/postern.conf";
	bool json = false;
	const struct control_option rows[] = {
		{ "config", 'c', &config_name, NULL },
		{ "json", 0, NULL, &json },
	};
	struct config *config;
	int fd, status = EXIT_DEFERRED;
	int64_t since_ns;
	pid_t pid;

	if (!options_words(argc, argv,
		options_read(argc, argv, rows, NELEM(rows)), 0, 0, ""))
		return usage_print(name);
	config = read_config(config_name);
	if (config == NULL)
		return EXIT_BAD_CONFIG;
	fd = open_pid_file(config);
	since_ns = now_ns();
	if (fd != -1 && tell(fd, number, &pid) == 0) {
		status = EXIT_ALL_WELL;
		if (number == SIGUSR2)
			status = wait_for_other(fd, pid, json);
		else
			status = wait_for_verdict(fd, pid, config, since_ns,
			    config_name, json);
	}
	fd_close(fd);
	config_free(config);
	return status;
}

int
cmd_reload(int argc, char **argv)
{
	return renew(argc, argv, "reload", SIGHUP);
}

int
cmd_upgrade(int argc, char **argv)
{
	return renew(argc, argv, "upgrade", SIGUSR2);
}
