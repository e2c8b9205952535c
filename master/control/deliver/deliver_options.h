/* SPDX-License-Identifier: ISC */
/*
 * What `postern deliver` and `postern verify` are told to do: read, checked, and
 * as the configuration of the private daemon.
 */
#ifndef POSTERN_MASTER_CONTROL_DELIVER_DELIVER_OPTIONS_H
#define POSTERN_MASTER_CONTROL_DELIVER_DELIVER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "master/control/client/daemon_client.h"
#include "master/control/deliver/private_daemon.h"

/* Of one job of the private daemon: job_recipient_limit at its most. */
#define DELIVER_RECIPIENTS 100000

/* Arguments as they stand; NULL: not given. */
struct deliver_options {
	struct link_job job;
	const char *server;
	const char *tls;
	const char *ca;
	const char *tls_name;
	const char *ehlo;
	const char *timeout;
	const char *step_timeout;
	const char *user;
	const char *password_file;
	const char *token_file;
	const char *mechanism;
	const char *without;
	const char *transcript;
	bool lmtp;
	bool implicit_tls;
	bool json;
};

/* 0, or -1 where they are to be told how it is called. */
int deliver_options_read(int argc, char **argv, struct deliver_options *o);

/* Whether they can be meant so.  0, or -1 after a word on stderr. */
int deliver_options_check(const struct deliver_options *o);

/* "what value: why" on stderr, the value escaped; returns -1. */
int deliver_options_complain(const char *what, const char *value,
    const char *why);

/* Which option each parameter of the configuration comes from. */
extern const struct private_name deliver_options_names[];

/* The whole configuration; how long it is, 0 where size is too small. */
size_t deliver_options_write(const struct deliver_options *o, char *text,
    size_t size);

#endif
