/* SPDX-License-Identifier: ISC */
/* See reason.h. */
#include "master/queue/reason.h"

#include <stdio.h>
#include <string.h>

#include "common/util.h"

static const char *const ours[] = { REASON_EXPIRED, REASON_OPERATOR,
	REASON_SUSPENDED };

/* Postfix's words, where it has some. */
static const char *const answered[STEP_COUNT] = {
	[STEP_GREETING] = " (in its greeting)",
	[STEP_EHLO] = " (in reply to EHLO command)",
	[STEP_STARTTLS] = " (in reply to STARTTLS command)",
	[STEP_AUTH] = " (in reply to AUTH command)",
	[STEP_MAIL] = " (in reply to MAIL FROM command)",
	[STEP_RCPT] = " (in reply to RCPT TO command)",
	[STEP_DATA] = " (in reply to DATA command)",
	/* By DATA or by BDAT: the step is the same. */
	[STEP_BODY] = " (while the message was sent)",
	[STEP_FINAL] = " (in reply to end of DATA command)",
	[STEP_RSET] = " (in reply to RSET command)",
	[STEP_VRFY] = " (in reply to VRFY command)",
	[STEP_QUIT] = " (in reply to QUIT command)",
};

/* What stands behind a reply; of a success nobody asks. */
static const char *
behind(const struct outcome *outcome, const char *reply)
{
	const char *words =
	    outcome->step < STEP_COUNT ? answered[outcome->step] : NULL;

	if (words == NULL || outcome->status == OUTCOME_DELIVERED ||
	    reason_quote(outcome->code, reply) == NULL)
		return "";
	return words;
}

const char *
reason_quote(unsigned code, const char *reply)
{
	size_t i = 0;

	if (code == 0)
		return NULL;
	while (i < NELEM(ours)) {
		if (strncmp(reply, ours[i], strlen(ours[i])) != 0) {
			i++;
			continue;
		}
		reply += strlen(ours[i]);
		i = 0; /* there may be another */
	}
	return strspn(reply, "0123456789") == 3 &&
		(reply[3] == ' ' || reply[3] == '-' || reply[3] == '\0')
	    ? reply
	    : NULL;
}

void
reason_keep(char *out, size_t size, const struct outcome *outcome,
    const char *reply)
{
	(void)snprintf(out, size, "%s%s", reply, behind(outcome, reply));
}

unsigned
reason_take(char *out, size_t size, unsigned code, const char *kept)
{
	size_t len = strlen(kept), n;
	unsigned step = STEP_QUEUE, i;

	for (i = 0; reason_quote(code, kept) != NULL && i < STEP_COUNT; i++) {
		n = answered[i] != NULL ? strlen(answered[i]) : 0;
		if (n == 0 || n > len ||
		    strcmp(kept + len - n, answered[i]) != 0)
			continue;
		step = i;
		len -= n;
		break;
	}
	(void)snprintf(out, size, "%.*s", (int)len, kept);
	return step;
}

unsigned
reason_step(unsigned stored, unsigned taken)
{
	return stored != STEP_QUEUE && stored < STEP_COUNT ? stored : taken;
}

void
reason_tell(char *out, size_t size, const struct outcome *outcome,
    const char *relay, const char *reply)
{
	const char *quote = reason_quote(outcome->code, reply);

	if (quote == NULL || relay[0] == '\0' ||
	    outcome->status == OUTCOME_DELIVERED)
		(void)snprintf(out, size, "%s", reply);
	else
		(void)snprintf(out, size, "%.*shost %s said: %s%s",
		    (int)(quote - reply), reply, relay, quote,
		    behind(outcome, reply));
}
