/* SPDX-License-Identifier: ISC */
/*
 * postern reload and postern upgrade: the master is asked by its signals, which
 * takes the right to send them, and no more power for anybody else.
 */
#include <sys/file.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/util.h"
#include "master/config.h"
#include "master/control/control.h"
#include "master/control/link.h"

enum {
	RENEW_TURN_MS = 50,
	RENEW_UPGRADE_MS = 90000, /* a bit more than the master allows */
};

/* The pid file of the configuration: who wrote it holds its lock. */
static int
open_pid_file(const struct config *config)
{
	int fd = open(config->pid_file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd == -1) {
		fprintf(stderr, "postern: %s: %s: is posternd running?\n",
		    config->pid_file, strerror(errno));
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
	pid_t pid;

	if (!control_words(argc, argv,
		control_options(argc, argv, rows, NELEM(rows)), 0, 0, ""))
		return control_usage(name);
	config = link_config(config_name);
	if (config == NULL) {
		fprintf(stderr,
		    "postern: %s: it has errors, or cannot be read: posternd "
		    "-n names them\n",
		    config_name);
		return EXIT_DEFERRED;
	}
	fd = open_pid_file(config);
	if (fd != -1 && tell(fd, number, &pid) == 0) {
		status = EXIT_ALL_WELL;
		if (number == SIGUSR2)
			status = wait_for_other(fd, pid, json);
		else if (json)
			printf("{\"pid\":%d}\n", (int)pid);
		else
			printf("posternd [%d] reads %s again: its log says "
			       "whether it takes it\n",
			    (int)pid, config_name);
	}
	fd_close(fd);
	config_free(config);
	return status;
}

int
control_reload(int argc, char **argv)
{
	return renew(argc, argv, "reload", SIGHUP);
}

int
control_upgrade(int argc, char **argv)
{
	return renew(argc, argv, "upgrade", SIGUSR2);
}
