/* SPDX-License-Identifier: ISC */
/*
 * How many recipients a server takes (RFC 9422): of one transaction, and of how
 * many domains in one session.  Those who are over go back to the queue at once,
 * for another transaction or another session.
 */
#include <string.h>

#include "agent/session/session_internal.h"

/* FNV-1a of the domain, its letters in lower case.  Two that are taken for one
 * cost a refusal, and no more. */
static uint64_t
hash_domain(const char *path)
{
	const char *at = strrchr(path, '@');
	uint64_t hash = UINT64_C(14695981039346656037);

	for (at = at != NULL ? at : ""; *at != '\0'; at++)
		hash = (hash ^
			   (uint8_t)(*at >= 'A' && *at <= 'Z' ? *at | 0x20
							      : *at)) *
		    UINT64_C(1099511628211);
	return hash;
}

/* Whether the session has had this domain, or may still have it. */
static bool
take_domain(struct session *s, const char *path)
{
	uint32_t limit = s->caps.rcpt_domain_limit;
	uint64_t domain;

	if (limit == 0)
		return true;
	if (limit > LIMITS_DOMAINS_MAX)
		limit = LIMITS_DOMAINS_MAX;
	domain = hash_domain(path);
	for (uint32_t i = 0; i < s->ndomains; i++)
		if (s->domains[i] == domain)
			return true;
	if (s->ndomains >= limit)
		return false;
	s->domains[s->ndomains++] = domain;
	return true;
}

/* RFC 5321, 4.5.3.1.10, in our own words: not refused, but not here. */
static void
put_off(struct session *s, uint32_t rcpt)
{
	session_judge(s, "4.5.3",
	    "more recipients than the server's LIMITS allow at once");
	s->verdict.outcome.step = STEP_RCPT;
	s->verdict.outcome.again = 1;
	session_outcome_settle(s, rcpt);
}

static bool
has_room(struct session *s, uint32_t taken, const char *path)
{
	uint32_t limit = s->caps.rcpt_limit;

	return (limit == 0 || taken < limit) && take_domain(s, path);
}

bool
session_limits_choose(struct session *s)
{
	struct transaction *t = &s->trans;
	const char *path = session_path_next(t->envelope);
	uint32_t taken = 0, over = 0;

	if (s->caps.rcpt_limit == 0 && s->caps.rcpt_domain_limit == 0)
		return true;
	for (uint32_t i = 0; i < t->nrcpt; i++) {
		if ((t->rcpts[i] & RCPT_DONE) == 0) {
			if (has_room(s, taken, path))
				taken++;
			else
				t->rcpts[i] |= RCPT_OVER;
			over += (t->rcpts[i] & RCPT_OVER) != 0;
		}
		path = session_path_next(path);
	}
	if (taken == 0)
		return false;
	for (uint32_t i = 0; over > 0 && i < t->nrcpt; i++)
		if (t->rcpts[i] & RCPT_OVER)
			put_off(s, i);
	return true;
}

uint32_t
session_limits_mails_left(const struct session *s)
{
	uint32_t limit = s->caps.mail_limit;

	if (limit == 0)
		return UINT32_MAX;
	return s->mails < limit ? limit - s->mails : 0;
}
