/* SPDX-License-Identifier: ISC */
/*
 * The parameters of MAIL and RCPT that come with a job, as one string from the
 * intake through the store to the worker: words as on the wire, "KEYWORD=value",
 * values already in xtext, one space between them; most often none at all.
 *
 * What they mean and what they may be is decided here, once.  Which of them a
 * server gets, the worker knows.  Pure.
 */
#ifndef POSTERN_COMMON_PARAMETERS_H
#define POSTERN_COMMON_PARAMETERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PARAMETERS_MAIL_SIZE 1664 /* all of MAIL at their longest, and NUL */
#define PARAMETERS_RCPT_SIZE 544  /* all of RCPT */

/* By so many octets at most parameters_age() makes them longer: "BY=1;N" may
 * become "BY=-999999999;N". */
#define PARAMETERS_AGE_MORE 9

/* RFC 2852, 4; RFC 4865, 3: nine digits. */
#define PARAMETERS_SECONDS_MAX 999999999

enum parameter {
#define PARAMETER(name, keyword, command, capability, octets) PARAMETER_##name,
#include "common/parameters.def"
#undef PARAMETER
	PARAMETER_COUNT
};

enum parameter_command {
	PARAMETER_OF_MAIL,
	PARAMETER_OF_RCPT,
	PARAMETER_OF_CLIENT, /* before MAIL, among whose words they stand */
};

struct parameter_desc {
	const char *keyword;
	enum parameter_command command;
	size_t octets; /* by which its command's line may be longer */
};

extern const struct parameter_desc parameter_descs[PARAMETER_COUNT];

/* A word of the string; nothing of it ends in NUL. */
struct parameter_word {
	enum parameter parameter; /* PARAMETER_COUNT: none that we know */
	const char *text;
	size_t len;
	const char *value; /* within text, behind "=" */
	size_t value_len;
};

/* BY=seconds;mode[trace] (RFC 2852, 4). */
struct parameter_by {
	int64_t seconds;
	bool returns; /* "R": fail once the time is over; else "N", notify */
	bool trace;
};

/* Which of XFORWARD's and XCLIENT's a name is; PARAMETER_COUNT: none. */
enum parameter parameters_find_client(const char *name, size_t n);

/* The next word at *at, which moves behind it; false at the end. */
bool parameters_next(const char **at, struct parameter_word *word);

/*
 * parameters_check - whether the string is one of MAIL's or RCPT's.
 *
 * NULL, or what is wrong as a sentence without a full stop.
 */
const char *parameters_check(const char *text, enum parameter_command command);

/*
 * parameters_check_hold - whether a message may be held as they say.
 *
 * Not a notification, whose reverse-path is empty, and not until it is to be
 * delivered already (RFC 4865, 5.1.1, 5.2.1 and 5.3.1).  NULL, or as above.
 */
const char *parameters_check_hold(const char *text, bool notification,
    int64_t now_ms);

/*
 * parameters_add - append a word; what it may be, parameters_check() tells.
 *
 * parameters_add_xtext() encodes value (RFC 3461, 4) behind prefix, which
 * goes as it is.  False, and text as it was, where there is no room.
 */
bool parameters_add(char *text, size_t size, enum parameter parameter,
    const char *value);
bool parameters_add_xtext(char *text, size_t size, enum parameter parameter,
    const char *prefix, const char *value);

/* False where it is malformed.  The value is one that parameters_check() took,
 * in the next. */
bool parameters_read_by(const struct parameter_word *word,
    struct parameter_by *by);
uint64_t parameters_read_number(const struct parameter_word *word);

/*
 * parameters_age - the same words after a time in the queue.
 *
 * BY and HOLDFOR are less by what has passed (RFC 2852, 4.1.4; a server is
 * to hold for the rest alone), and a hold that is over is left out.  False where
 * a message is to be returned, for its time is over.  out holds
 * PARAMETERS_MAIL_SIZE.
 */
bool parameters_age(char *out, const char *text, int64_t created_ms,
    int64_t now_ms);

/* When a message is to be returned if it is not delivered; INT64_MAX: never
 * for this. */
int64_t parameters_deadline_ms(const char *text, int64_t created_ms);

#endif
