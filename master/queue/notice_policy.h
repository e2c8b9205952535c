/* SPDX-License-Identifier: ISC */
/*
 * Who is to be told what of a recipient (RFC 3461, 5.2; RFC 2852, 4.1; RFC 5321,
 * 4.5.5).  Pure.
 */
#ifndef MASTER_QUEUE_NOTICE_POLICY_H
#define MASTER_QUEUE_NOTICE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/outcome.h"

/* What a recipient's notice in the store says: a kind, and who reads it. */
#define NOTICE_KIND          0x0fu
#define NOTICE_TO_SENDER     0x10u
#define NOTICE_TO_POSTMASTER 0x20u

enum notice_kind {
	NOTICE_NONE,
	NOTICE_FAILED,
	NOTICE_DELAYED,
	NOTICE_LATE, /* a delay beyond BY, which is not to be returned */
	NOTICE_DELIVERED,
	NOTICE_RELAYED,
};

/* Which template is used, and what stands in one notice together. */
enum notice_class {
	NOTICE_FAILURE,
	NOTICE_DELAY,
	NOTICE_SUCCESS,
	NOTICE_CLASSES,
};

/* Bits of a recipient's "warned". */
#define NOTICE_WARNED_DELAY (1u << 0)
#define NOTICE_WARNED_BY    (1u << 1)
/* Of what is held because it failed, and nobody could be told: a notice of ours,
 * or a client's message with the null sender.  The highest of them. */
#define NOTICE_KEPT (1u << 2)

/* What the configuration says of it. */
struct notice_rules {
	bool postmaster_of_failures; /* is to have a copy */
	bool postmaster_of_delays;
	bool postmaster_of_notices; /* of those that fail themselves */
	int64_t delay_warning_ms;   /* 0: none */
};

/* A recipient after an attempt, or while it waits.  Strings are borrowed. */
struct notice_case {
	const char *reverse_path;
	const char *mail_parameters;
	const char *rcpt_parameters;
	uint32_t flags; /* SUBMIT_* of the message */
	uint32_t warned;
	int64_t created_ms;
	int64_t now_ms;
	bool lmtp;
	struct outcome outcome;
};

struct notice_debt {
	uint32_t notice; /* kind and readers; 0: nothing is to be told */
	uint32_t warned; /* bits to set with it */
	bool kept;       /* nobody can be told that it failed: it stays */
};

struct notice_debt notice_policy(const struct notice_rules *rules,
    const struct notice_case *c);

enum notice_class notice_class(uint32_t notice);

/* Whether the recipient's NOTIFY asks for what the notice tells by name: then
 * it is mailed, whoever else was told. */
bool notice_is_asked_for(const char *rcpt_parameters, uint32_t notice);

/* When a sender who set a time by BY with N is to hear that it is over; 0:
 * never. */
int64_t notice_remind_ms(const char *mail_parameters, int64_t created_ms);

#endif
