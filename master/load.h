/* SPDX-License-Identifier: ISC */
/*
 * A configuration with what the system says to it: the users and groups that it
 * names, and its file as the roles will get it.  Loaded whole or not at all.
 */
#ifndef POSTERN_MASTER_LOAD_H
#define POSTERN_MASTER_LOAD_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/message.h"
#include "master/config.h"

struct load_user {
	uid_t uid;
	gid_t gid;
};

/* The users of a list each: clients and smtpd_authorized_xforward_hosts have at
 * most 256 words, and who started us may always come. */
#define LISTENER_UIDS_MAX 513

/* Of a listener on a Unix socket. */
struct load_listener {
	gid_t group;       /* (gid_t)-1: our own */
	bool any;          /* whomever the socket's mode lets in */
	int chain_fd;      /* tls_cert_file, a sealed memfd; -1: no TLS */
	int pair_fd;       /* and its key with it */
	bool pair_is_good; /* the signer says so */
	size_t count;
	size_t trusted; /* behind the first count of uids */
	uint32_t uids[LISTENER_UIDS_MAX];
};

struct load {
	struct config *config;
	int text_fd; /* its text, a sealed memfd */
	struct load_user intake;
	struct load_user control;
	struct load_user queue;
	struct load_user resolver;
	struct load_user dialer;
	struct load_user agent;
	struct load_user signer;
	struct load_user metrics;
	gid_t job_group; /* (gid_t)-1: our own */
	gid_t control_group;
	gid_t metrics_group;
	uint32_t submitters[SUBMITTERS_MAX];
	size_t nsubmitters;
	uint32_t job_trusted[SUBMITTERS_MAX]; /* job_authorized_xclient_users */
	size_t njob_trusted;
	struct load_listener *listeners; /* as many as the configuration's */
	int *trust_fds;                  /* by config_trust(); -1: not needed */
	int template_fd; /* bounce_template_file, a sealed memfd; empty: none */
};

/*
 * load_read - read the file `name` and look up all that it names.
 *
 * Users are looked up where we are root, for else none is switched to.  NULL
 * where anything is wrong, with every error in errors.  Free with load_free.
 */
struct load *load_read(const char *name, struct config_errors *errors);

/*
 * load_switches_users - whether each role gets a user of its own: as root, and
 * with the right to (a container may have taken it away).
 */
bool load_switches_users(void);

/* NULL is fine. */
void load_free(struct load *load);

#endif
