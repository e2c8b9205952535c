/* SPDX-License-Identifier: ISC */
/* The master: executes the roles, tells them of each other, restarts what dies,
 * reloads, and stops all.  Reads nothing but its configuration. */
#ifndef POSTERN_MASTER_MASTER_H
#define POSTERN_MASTER_MASTER_H

#include <stdbool.h>
#include <stdint.h>

struct master_options {
	const char *config_name; /* a file */
	int client_fd; /* one connected client instead of sockets, or -1; ours */
	int control_fd; /* where it has questions; -1: it has none */
	int kin_fd;    /* to the generation that we take over from, or -1 */
	/* Whose rights the dialer has, whatever the configuration says; -1: that. */
	int64_t dialer_uid, dialer_gid;
	bool quiet;    /* only warnings and errors are logged */
	bool json;     /* log lines are JSON, whatever log_format says */
};

/*
 * master_run - the daemon, until SIGTERM or SIGINT, or the one client's end.
 *
 * Returns the exit status: 0 after a stop that was asked for.
 */
int master_run(const struct master_options *options);

/*
 * master_check - read the configuration, and print every error to stderr.
 *
 * Also asks the system about users, groups and files that it names.  Returns
 * whether it is good.
 */
bool master_check(const char *config_name);

/* Print the configuration with its defaults; whether it is good. */
bool master_dump(const char *config_name, bool changed);

#endif
