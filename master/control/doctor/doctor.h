/* SPDX-License-Identifier: ISC */
/*
 * postern doctor: what is wrong with an installation, and its cure.
 *
 *   doctor.def          the checks, one row each, in their order
 *   cmd_doctor.c        reads the arguments, walks the rows, counts what they find
 *   doctor_say.c        prints a finding
 *   doctor_try.c        what may take long or wants another user: in a child
 *   doctor_path.c       who may reach a path, and what keeps him out
 *   doctor_config.c     the configuration, the users, the folders
 *   doctor_daemon.c     whether posternd runs, its roles and their walls, its queue
 *   doctor_socket.c     our sockets: the job's, the control's, the metrics'
 *   doctor_listener.c   those of listeners, and who has a port that we want
 *   doctor_tls.c        certificates and keys of listeners, and what we trust
 *   doctor_dns.c        name servers, the host's name
 *   doctor_transport.c  whether the servers of transports can be reached
 *   doctor_handshake.c  whether these have the TLS that is demanded of them
 *   doctor_machine.c    disk, clock, limits, log, another's sendmail
 */
#ifndef POSTERN_MASTER_CONTROL_DOCTOR_DOCTOR_H
#define POSTERN_MASTER_CONTROL_DOCTOR_DOCTOR_H

#include <sys/socket.h>
#include <sys/types.h>

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "master/config.h"
#include "master/load.h"

enum {
	DOCTOR_TRY_MS = 3000,     /* one server, one socket */
	DOCTOR_LINES_MAX = 10,    /* of one kind; the rest is a number */
	DOCTOR_TEXT_SIZE = 1024,  /* of one finding */
	DOCTOR_ANSWER_MS = 10000, /* one answer of posternd */
};

enum doctor_level {
	DOCTOR_WELL,
	DOCTOR_WARNING, /* mail goes, but look at it */
	DOCTOR_FAULT,   /* mail does not go, or not all of it */
	DOCTOR_SKIPPED, /* not looked at, and why */
};

/* What a check cannot do without. */
enum doctor_needs {
	DOCTOR_NEEDS_CONFIG = 1 << 0,
	DOCTOR_NEEDS_RUNNING = 1 << 1,
	DOCTOR_NEEDS_STOPPED = 1 << 2,
	DOCTOR_NEEDS_CONTROL = 1 << 3, /* the control socket */
	DOCTOR_NEEDS_NETWORK = 1 << 4, /* servers, which --offline leaves alone */
};

struct doctor {
	const char *config_name;
	const char *domain; /* whose MX is asked for and tried; NULL: none */
	bool json;
	bool quiet;
	bool offline; /* no server is asked anything */

	struct config *config; /* NULL: it cannot be read */
	struct load *load;     /* NULL: anything of it is wrong */
	bool switches;         /* each role has a user of its own */
	bool runs;
	pid_t pid;          /* of the master; 0: not known */
	int control_fd;     /* -1: not ours to use */
	json_t *processes;  /* what `postern status` shows; NULL: not known */
	const char *check;  /* the name of the row at work */
	unsigned findings;  /* of that row */
	unsigned counts[4]; /* by level */
};

/* One finding; cure is a sentence, NULL where there is nothing to do. */
void doctor_say(struct doctor *d, enum doctor_level level, const char *cure,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/*
 * doctor_try - run fn in a child, as another user, for at most ms.
 *
 * as: NULL, or where we cannot, who we are.  fn writes words to out and returns 0
 * or an errno, which is returned: ETIMEDOUT where it took too long.  text gets the
 * words (size > 0).
 */
int doctor_try(const struct load_user *as, int ms,
    int (*fn)(const void *arg, int out), const void *arg, char *text,
    size_t size);

/* Connects as somebody, and hangs up: 0 or an errno. */
int doctor_try_connect(const struct load_user *as, const struct sockaddr *to,
    socklen_t len, int type);

/* The same to a Unix socket. */
int doctor_try_connect_unix(const struct load_user *as, const char *path,
    int type);

/*
 * doctor_path_obstacle - what keeps a user from a path: the first folder that he may
 * not enter, or the path itself by its mode.
 *
 * Fills *what and *cure (size octets each); false: nothing that modes tell.
 */
bool doctor_path_obstacle(const char *path, const struct load_user *who,
    unsigned want, char *what, char *cure, size_t size);

/* "0660 of root:postfix" */
const char *doctor_path_owner(mode_t mode, uid_t uid, gid_t gid, char out[80]);

/* The user of a role's parameter: a name, or a number.  false: there is none. */
bool doctor_config_user(const char *name, struct load_user *out);

/* Finds out whether posternd runs, and asks it for its processes. */
void doctor_daemon_find(struct doctor *d);

#define DOCTOR(name, function, needs) void function(struct doctor *d);
#include "master/control/doctor/doctor.def"

#endif
