/* SPDX-License-Identifier: ISC */
/*
 * The packets of the job socket, postern-job(5): JSON in, and nothing else is
 * done here.  No I/O, no clock.
 */
#ifndef POSTERN_MASTER_INTAKE_JOB_JOB_PARSE_H
#define POSTERN_MASTER_INTAKE_JOB_JOB_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/message.h"
#include "common/parameters.h"
#include "master/clients/client.h"
#include "master/clients/value.h"

/* The tail of one SUBMIT or SUBMIT_MORE. */
#define JOB_TAIL_SIZE 32768

/* One packet: the first of a job, or one that continues its recipients. */
struct job_packet {
	bool first;     /* it has "from": a job begins */
	bool more;      /* another packet continues it */
	uint32_t wait;  /* enum submit_wait */
	uint32_t flags; /* SUBMIT_VERBOSE, _ONCE, _BINARY, ... */
	bool smtputf8;  /* UTF-8 in its header asks for SMTPUTF8 */
	char from[MSG_ADDRESS_SIZE];
	char parameters[PARAMETERS_MAIL_SIZE]; /* of MAIL */
	char ref[CLIENT_REF_SIZE];
	char via[VALUE_NAME_SIZE];
	const char *client; /* with SUBMIT_LOGGED: for the log; borrowed */
	char *rcpts; /* nrcpts times a path and its parameters; owned */
	size_t rcpts_len;
	size_t nrcpts;
};

/*
 * job_parse - read one packet of the job socket.
 *
 * begun says that a former packet said "more", and so which members are
 * allowed.  Addresses are checked and normalised (common/address.h).  0 with
 * *job filled (free with job_parse_clear), or -1 with one sentence in error
 * and errno (master/clients/value.h).
 */
int job_parse(struct job_packet *job, const char *text, size_t len, bool begun,
    char error[VALUE_ERROR_SIZE]);

void job_parse_clear(struct job_packet *job);

#endif
