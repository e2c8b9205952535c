/* SPDX-License-Identifier: ISC */
/* The client's side of the job and control sockets, postern-job(5). */
#ifndef POSTERN_MASTER_CONTROL_CLIENT_DAEMON_CLIENT_H
#define POSTERN_MASTER_CONTROL_CLIENT_DAEMON_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "master/control/client/envelope_options.h"

/* sysexits.h's numbers, as the manual names them. */
enum exit_status {
	EXIT_ALL_WELL = 0,
	EXIT_ANOTHER = 1,  /* a replay had another outcome */
	EXIT_FINDINGS = 1, /* the doctor found a fault */
	EXIT_USAGE = 64,   /* wrong arguments */
	EXIT_NO_TRANSCRIPT = 65,
	EXIT_FAILED = 69,   /* some recipients failed, none is deferred */
	EXIT_DEFERRED = 75, /* some are deferred, or the daemon is away */
	EXIT_NOT_CONFIRMED =
	    77, /* many would be changed, and nobody said yes */
	EXIT_BAD_CONFIG = 78, /* it was not taken over */
};

struct config;

struct link_job {
	const char *from;
	const char *via;  /* NULL: by the routes */
	const char *wait; /* NULL: "queued" */
	const char *ref;  /* NULL: none */
	bool verbose;
	bool once;
	bool require_tls;
	bool verify; /* no message: ask VRFY */
	bool handshake; /* not that either: only come up */
	bool binary; /* octets as they are: BINARYMIME */
	struct envelope_options envelope;
	char *const *rcpts;
	size_t nrcpts;
	int message_fd;
};

/*
 * daemon_client_open - connect to a socket; NULL: there is none.  On failure says on stderr
 * what to do, unless daemon_client_socket has, and returns -1.
 */
int daemon_client_open(const char *path);

/*
 * daemon_client_socket - the path of the daemon's job or control socket: given, or from
 * the configuration, or the default one.  NULL, with the reason on stderr, where a
 * configuration that is not the default one cannot be read or has errors.  Static
 * storage.
 */
const char *daemon_client_socket(const char *given, const char *config_name,
    bool control);

/* A configuration as a client reads it; NULL, with the errors there are in its text,
 * or none and errno where it cannot be read. */
struct config_errors;
struct config *daemon_client_read_config(const char *config_name,
    struct config_errors *errors);

/* The configuration, the caller's to free; NULL where it is not there, may not be
 * read, or is wrong, which is said. */
struct config *daemon_client_config(const char *config_name);

/* Send a job, its recipients in as many packets as it takes.  0, or -1. */
int daemon_client_send_job(int fd, const struct link_job *job);

/* Send one object, which is freed.  0, or -1 with errno. */
int daemon_client_send(int fd, json_t *object, int passed_fd);

/*
 * daemon_client_receive - the next answer, within timeout_ms (-1: for ever).
 *
 * The caller's to json_decref().  NULL with errno: ETIMEDOUT, or 0 where the
 * daemon closed.
 */
json_t *daemon_client_receive(int fd, int timeout_ms);

/* The same without a limit, and with the descriptor that may come: *passed_fd is
 * the caller's, -1 where none came. */
json_t *daemon_client_receive_fd(int fd, int *passed_fd);

/*
 * daemon_client_refusal_status - how a command ends whose request was refused.
 *
 * EXIT_USAGE where its words were at fault (501 and 5.5.4), EXIT_FAILED where it will
 * be refused again, else EXIT_DEFERRED; also where answer is NULL.
 */
int daemon_client_refusal_status(const json_t *answer);

/* Why it was, the members of the request in words of options: "hold_until" becomes
 * --hold-until.  Static storage. */
const char *daemon_client_refusal_text(const json_t *answer);

/* A string member, or "". */
const char *daemon_client_string(const json_t *object, const char *name);

/* All of standard input in a memfd; -1 after a word on stderr. */
int daemon_client_read_message(void);

#endif
