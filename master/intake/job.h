/* SPDX-License-Identifier: ISC */
/*
 * The packets of the job socket, postern-job(5): JSON in, and nothing else is
 * done here.  No I/O, no clock.
 */
#ifndef POSTERN_MASTER_INTAKE_JOB_H
#define POSTERN_MASTER_INTAKE_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/message.h"
#include "common/parameters.h"

#define JOB_PACKET_MAX      65536 /* octets of one packet */
#define JOB_REF_SIZE        128   /* of the client's own reference, and NUL */
#define JOB_NAME_SIZE       128   /* of a transport's name, and NUL */
#define JOB_ERROR_SIZE      512
#define JOB_TRANSCRIPT_SIZE 32 /* of a transcript's name, and NUL */
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
	char ref[JOB_REF_SIZE];
	char via[JOB_NAME_SIZE];
	const char *client; /* with SUBMIT_LOGGED: for the log; borrowed */
	char *rcpts; /* nrcpts times a path and its parameters; owned */
	size_t rcpts_len;
	size_t nrcpts;
};

/* Once, before the role is confined: jansson opens /dev/urandom. */
void job_init(void);

/*
 * job_parse - read one packet of the job socket.
 *
 * begun says that a former packet said "more", and so which members are
 * allowed.  Addresses are checked and normalised (common/address.h).  0 with
 * *job filled (free with job_clear), or -1 with one sentence in error.
 */
int job_parse(struct job_packet *job, const char *text, size_t len, bool begun,
    char error[JOB_ERROR_SIZE]);

void job_clear(struct job_packet *job);

#endif
