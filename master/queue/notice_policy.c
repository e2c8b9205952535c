/* SPDX-License-Identifier: ISC */
/* See notice_policy.h. */
#include "master/queue/notice_policy.h"

#include <string.h>

#include "common/message.h"
#include "common/parameters.h"

/* NOTIFY of a recipient (RFC 3461, 4.1). */
struct notify {
	bool given;
	bool success;
	bool failure;
	bool delay;
	bool never;
};

static bool
lists(const struct parameter_word *word, const char *what)
{
	return memmem(word->value, word->value_len, what, strlen(what)) != NULL;
}

static struct notify
notify_read(const char *parameters)
{
	struct notify n = { 0 };
	struct parameter_word word;

	while (parameters_next(&parameters, &word)) {
		if (word.parameter != PARAMETER_NOTIFY)
			continue;
		n.given = true;
		n.never = lists(&word, "NEVER");
		n.success = lists(&word, "SUCCESS");
		n.failure = lists(&word, "FAILURE");
		n.delay = lists(&word, "DELAY");
	}
	return n;
}

static bool
read_by(const char *parameters, struct parameter_by *by)
{
	struct parameter_word word;

	while (parameters_next(&parameters, &word))
		if (word.parameter == PARAMETER_BY &&
		    parameters_read_by(&word, by))
			return true;
	return false;
}

int64_t
notice_remind_ms(const char *mail_parameters, int64_t created_ms)
{
	struct parameter_by by;

	if (mail_parameters[0] == '\0' || !read_by(mail_parameters, &by) ||
	    by.returns)
		return 0;
	return created_ms + by.seconds * 1000;
}

/* One that is itself a notice, or is treated as one: its sender cannot be told, so
 * the postmaster is, and where that fails too it stays in the queue. */
static void
settle_null(const struct notice_rules *rules, const struct notice_case *c,
    struct notice_debt *debt)
{
	if (c->outcome.status != OUTCOME_FAILED)
		return;
	if (rules->postmaster_of_notices &&
	    (c->flags & SUBMIT_FOR_POSTMASTER) == 0)
		debt->notice = NOTICE_FAILED | NOTICE_TO_POSTMASTER;
	else
		debt->kept = true;
}

/* RFC 3461, 5.2.6 */
static void
settle_failed(const struct notice_rules *rules, const struct notify *n,
    struct notice_debt *debt)
{
	if (!n->given || n->failure)
		debt->notice |= NOTICE_TO_SENDER;
	if (rules->postmaster_of_failures)
		debt->notice |= NOTICE_TO_POSTMASTER;
	if (debt->notice != 0)
		debt->notice |= NOTICE_FAILED;
}

/*
 * Whether the sender is told of a relay that was not asked for: where the time
 * that it set goes on without us (RFC 2852, 4.1.4 and 4.1.4.2).
 */
static bool
relay_is_told(const struct notice_case *c, const struct notify *n)
{
	struct parameter_by by;

	if (n->never || c->lmtp || c->mail_parameters[0] == '\0' ||
	    !read_by(c->mail_parameters, &by))
		return false;
	if (by.trace)
		return true;
	return !by.returns && c->now_ms < c->created_ms + by.seconds * 1000 &&
	    (c->outcome.offers & OUTCOME_OFFERS_DELIVERBY) == 0;
}

/* A server with DSN tells of success itself (RFC 3461, 5.2.1); one without gets
 * the message relayed (5.2.2), or, by LMTP, delivered (5.2.3). */
static void
settle_delivered(const struct notice_case *c, const struct notify *n,
    struct notice_debt *debt)
{
	if (n->success && (c->outcome.offers & OUTCOME_OFFERS_DSN) == 0)
		debt->notice = NOTICE_TO_SENDER |
		    (uint32_t)(c->lmtp ? NOTICE_DELIVERED : NOTICE_RELAYED);
	else if (relay_is_told(c, n))
		debt->notice = NOTICE_TO_SENDER | NOTICE_RELAYED;
}

/* RFC 3461, 5.2.5; RFC 2852, 4.1.3 */
static void
settle_delayed(const struct notice_rules *rules, const struct notice_case *c,
    const struct notify *n, struct notice_debt *debt)
{
	int64_t late_ms = notice_remind_ms(c->mail_parameters, c->created_ms);
	bool may = !n->given || n->delay;

	if (late_ms != 0 && c->now_ms >= late_ms && may &&
	    (c->warned & NOTICE_WARNED_BY) == 0) {
		debt->notice = NOTICE_TO_SENDER | NOTICE_LATE;
		debt->warned = NOTICE_WARNED_BY;
		return;
	}
	if (rules->delay_warning_ms == 0 ||
	    c->now_ms < c->created_ms + rules->delay_warning_ms ||
	    (c->warned & NOTICE_WARNED_DELAY) != 0)
		return;
	if (may)
		debt->notice |= NOTICE_TO_SENDER;
	if (rules->postmaster_of_delays)
		debt->notice |= NOTICE_TO_POSTMASTER;
	if (debt->notice == 0)
		return;
	debt->notice |= NOTICE_DELAYED;
	debt->warned = NOTICE_WARNED_DELAY;
}

struct notice_debt
notice_policy(const struct notice_rules *rules, const struct notice_case *c)
{
	struct notice_debt debt = { 0 };
	struct notify n;

	if ((c->flags & SUBMIT_ONCE) != 0)
		return debt;
	if (c->reverse_path[0] == '\0') {
		settle_null(rules, c, &debt);
		return debt;
	}
	n = notify_read(c->rcpt_parameters);
	if (c->outcome.status == OUTCOME_FAILED)
		settle_failed(rules, &n, &debt);
	else if (c->outcome.status == OUTCOME_DELIVERED)
		settle_delivered(c, &n, &debt);
	else
		settle_delayed(rules, c, &n, &debt);
	return debt;
}

enum notice_class
notice_class(uint32_t notice)
{
	switch (notice & NOTICE_KIND) {
	case NOTICE_DELAYED:
	case NOTICE_LATE:
		return NOTICE_DELAY;
	case NOTICE_DELIVERED:
	case NOTICE_RELAYED:
		return NOTICE_SUCCESS;
	default:
		return NOTICE_FAILURE;
	}
}

bool
notice_is_asked_for(const char *rcpt_parameters, uint32_t notice)
{
	struct notify n = notify_read(rcpt_parameters);

	switch (notice_class(notice)) {
	case NOTICE_FAILURE:
		return n.failure;
	case NOTICE_DELAY:
		return n.delay;
	case NOTICE_SUCCESS:
	case NOTICE_CLASSES:
		break;
	}
	return true; /* nobody is told of success unasked */
}
