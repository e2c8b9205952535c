/* SPDX-License-Identifier: ISC */
/*
 * What the options of `send` and `deliver` ask of MAIL and RCPT, as members of
 * a job (postern-job(5)).  Their form is checked here, the rest by the intake.
 */
#ifndef POSTERN_MASTER_CONTROL_CLIENT_ENVELOPE_OPTIONS_H
#define POSTERN_MASTER_CONTROL_CLIENT_ENVELOPE_OPTIONS_H

#include <jansson.h>
#include <stddef.h>

#include "common/date.h"
#include "common/parameters.h"

/* Arguments as they stand; NULL: not given. */
struct envelope_options {
#define ENVELOPE_OPTION(name, member) const char *member;
#include "master/control/client/envelope_options.def"
#undef ENVELOPE_OPTION
};

/*
 * envelope_options_check - whether the options can be put into a job.
 *
 * 0, or -1 after a word on stderr.
 */
int envelope_options_check(const struct envelope_options *e, size_t nrcpts);

/* Where the arguments are kept that envelope_options_read() makes. */
struct envelope_text {
	char deliver_by[32];
	char hold_for[16];
	char hold_until[DATE_SIZE];
};

/* The options that asked for those parameters of MAIL which decide whether a
 * server can have the message (common/parameters.h); e is cleared. */
void envelope_options_read(struct envelope_options *e,
    struct envelope_text *text, const char *parameters);

/* Adds the members of the message. */
void envelope_options_add(json_t *job, const struct envelope_options *e);

/* A recipient as it stands in a job; NULL where it is no UTF-8. */
json_t *envelope_options_rcpt(const struct envelope_options *e,
    const char *address);

#endif
