/* SPDX-License-Identifier: ISC */
/* See postpone.h. */
#include "master/queue/postpone.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "master/queue/queue_internal.h"

static bool
may_go_on(const struct session *s, const struct outcome *outcome)
{
	if (s->quit_sent)
		return false;
	return outcome->again == OUTCOME_AGAIN_ANEW ||
	    (outcome->again == OUTCOME_AGAIN_ELSEWHERE && s->more);
}

/* The next address may still say yes to what is deferred; of two of a kind the
 * one that came furthest says most. */
static bool
says_more(const struct outcome *before, const struct outcome *now)
{
	if (now->status == OUTCOME_DELIVERED || now->in_doubt ||
	    (now->status == OUTCOME_FAILED &&
		now->again != OUTCOME_AGAIN_ELSEWHERE))
		return false;
	if (before->status != now->status)
		return before->status == OUTCOME_DEFERRED;
	return before->step > now->step;
}

const struct postponed *
postpone_prefer(const struct job *job, uint32_t i,
    const struct outcome *outcome)
{
	const struct postponed *p =
	    job->postponed == NULL ? NULL : job->postponed[i];

	if (p == NULL || (!p->is_pending && !says_more(&p->outcome, outcome)))
		return NULL;
	return p;
}

bool
postpone_is_pending(const struct job *job, uint32_t i)
{
	return job->postponed != NULL && job->postponed[i] != NULL &&
	    job->postponed[i]->is_pending;
}

bool
postpone_has_any(const struct job *job)
{
	for (uint32_t i = 0; job->postponed != NULL && i < job->nrcpt; i++)
		if (job->recipients[i] != NULL && job->postponed[i] != NULL)
			return true;
	return false;
}

static struct postponed *
new_postponed(const struct outcome *outcome, const char *relay,
    const char *reply)
{
	size_t relay_size = strlen(relay) + 1;
	size_t reply_size = strlen(reply) + 1;
	struct postponed *p = calloc(1, sizeof(*p) + relay_size + reply_size);

	if (p == NULL)
		return NULL;
	memcpy(p->text, relay, relay_size);
	memcpy(p->text + relay_size, reply, reply_size);
	p->relay = p->text;
	p->reply = p->text + relay_size;
	p->outcome = *outcome;
	return p;
}

bool
postpone_take(struct job *job, uint32_t i, const struct outcome *outcome,
    const char *reply)
{
	struct session *s = job->session;
	struct postponed *p;

	if (!may_go_on(s, outcome))
		return false;
	if (job->postponed == NULL)
		job->postponed = calloc(job->nrcpt, sizeof(struct postponed *));
	if (job->postponed == NULL)
		return false;
	p = job->postponed[i];
	if (p == NULL || !says_more(&p->outcome, outcome)) {
		p = new_postponed(outcome, s->relay, reply);
		if (p == NULL)
			return false;
		free(job->postponed[i]);
		job->postponed[i] = p;
	}
	p->is_pending = true;
	if (outcome->in_doubt)
		job->recipients[i]->in_doubt = true;
	job->npostponed++;
	job->nlacking += outcome->status == OUTCOME_FAILED;
	job->left--;
	hosts_tried_add(&s->hosts_tried, s->relay, reply);
	log_line(LOG_INFO,
	    "session %u: %s: %" PRIX64 ": <%s>: %s%s: %s is tried", s->number,
	    s->relay, job->message->id, job->recipients[i]->address,
	    outcome->in_doubt ? "perhaps delivered: " : "", reply,
	    outcome->again == OUTCOME_AGAIN_ANEW
		? "the same server, another way,"
		: "the next address");
	return true;
}

/* As the worker decides it: it leaves its host for these jobs alone. */
static bool
leads_on(const struct job *job)
{
	return job->npostponed > 0 &&
	    (job->nlacking > 0 || job->ndelivered == 0) &&
	    !job->session->quit_sent;
}

static void
settle_kept(struct job *job)
{
	for (uint32_t i = 0; i < job->nrcpt; i++) {
		const struct postponed *p =
		    job->postponed == NULL ? NULL : job->postponed[i];

		if (p == NULL || !p->is_pending)
			continue;
		job->left++;
		transaction_settle(job, i, &p->outcome, p->reply, p->relay);
	}
}

bool
postpone_end(struct job *job)
{
	uint32_t left = 0, i;

	if (!leads_on(job)) {
		settle_kept(job);
		return false;
	}
	/* The worker counts those that it is sent. */
	for (i = 0; i < job->nrcpt; i++) {
		if (job->recipients[i] == NULL) {
			free(job->postponed[i]);
			continue;
		}
		job->recipients[left] = job->recipients[i];
		job->postponed[left] = job->postponed[i];
		job->postponed[left++]->is_pending = false;
	}
	job->left = job->nrcpt = left;
	job->npostponed = job->nlacking = job->ndelivered = 0;
	job->sent = job->begun = job->committing = job->unanswered = false;
	job->session->leaves = true;
	return true;
}

void
postpone_clear(struct job *job)
{
	for (uint32_t i = 0; job->postponed != NULL && i < job->nrcpt; i++)
		free(job->postponed[i]);
	free(job->postponed);
	job->postponed = NULL;
}
