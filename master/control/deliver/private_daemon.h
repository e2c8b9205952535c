/* SPDX-License-Identifier: ISC */
/*
 * A posternd of our own, with a queue in memory and us as its one client, for
 * `deliver` and `replay`: what runs is the same code in the same cage.
 */
#ifndef POSTERN_MASTER_CONTROL_DELIVER_PRIVATE_DAEMON_H
#define POSTERN_MASTER_CONTROL_DELIVER_PRIVATE_DAEMON_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct private_daemon {
	int link_fd;    /* -1: none; takes jobs, postern-job(5) */
	int control_fd; /* -1: none; takes questions, postern-control(5) */
	pid_t pid;
	bool silent; /* set before its start: what it logs goes nowhere */
};

/* A parameter by the name of the option that sets it. */
struct private_name {
	const char *parameter; /* NULL: behind the last */
	const char *option;
};

/*
 * private_daemon_config - a configuration that was made of options, as a descriptor.
 *
 * Says what is wrong with it in words of options (names; NULL: none are known),
 * not of a file nobody wrote; then -1.
 */
int private_daemon_config(const char *text, size_t len,
    const struct private_name *names);

/* Whose rights the dialer has. */
struct private_user {
	uid_t uid;
	gid_t gid;
};

/*
 * private_daemon_socket_user - who may connect to a Unix socket, where we are root.
 *
 * Its owner; or root without any capability, where that is the owner or the owner
 * cannot reach it.  False: we are not root, and our own rights are the dialer's; or
 * there is no such socket, which the daemon says.
 */
bool private_daemon_socket_user(const char *path, struct private_user *user);

/* control: whether there will be questions, too.  dialer is NULL for the user of the
 * configuration.  0, or -1 after a word on stderr. */
int private_daemon_start(struct private_daemon *d, int config_fd, bool control,
    const struct private_user *dialer);

/* Waits for its end, which is that of its one client; after a minute it is killed. */
void private_daemon_stop(struct private_daemon *d);

#endif
