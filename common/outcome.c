/* SPDX-License-Identifier: ISC */
/* The words for outcomes and roles that logs and clients see. */
#include "common/outcome.h"

#include "common/roles.h"
#include "common/util.h"

const char *
outcome_status_name(unsigned status)
{
	static const char *const names[] = { "delivered", "deferred",
		"failed" };

	return status < NELEM(names) ? names[status] : "status?";
}

const char *
outcome_word(const struct outcome *outcome)
{
	if (outcome->step == STEP_VRFY && outcome->status == OUTCOME_DELIVERED)
		return "deliverable";
	if (outcome->step == STEP_VRFY && outcome->status == OUTCOME_FAILED)
		return "undeliverable";
	return outcome_status_name(outcome->status);
}

const char *
outcome_step_name(unsigned step)
{
	static const char *const names[STEP_COUNT] = { "queue", "resolve",
		"connect", "greeting", "ehlo", "starttls", "tls", "auth",
		"mail", "rcpt", "data", "body", "final", "rset", "vrfy",
		"quit" };

	return step < NELEM(names) ? names[step] : "step?";
}

const char *
role_name(unsigned role)
{
	static const char *const names[] = { "master", "intake", "queue",
		"resolver", "dialer", "agent", "worker", "metrics", "signer",
		"control" };
	unsigned i;

	for (i = 0; i < NELEM(names); i++) {
		if (role == 1u << i)
			return names[i];
	}
	return "role?";
}
