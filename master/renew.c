/* SPDX-License-Identifier: ISC */
/*
 * Another agent in the place of one: workers are copies of their agent, so what
 * a crash of one tells of its memory holds for the next.  The new one is warm
 * before it takes over, so that no session waits for it; the one before ends
 * with its last worker.
 */
#include "master/master_internal.h"

#include <sys/queue.h>

#include <signal.h>

#include "common/log.h"
#include "common/role.h"

static struct servant *
find_coming(struct master *m)
{
	struct servant *s;

	TAILQ_FOREACH(s, &m->servants, entry) {
		if (s->coming)
			return s;
	}
	return NULL;
}

void
renew_begin(void *ctx, struct channel *from, const struct message *msg)
{
	const struct msg_renew *renew = msg->payload;
	struct master *m = ctx;
	struct servant *old = servant_find(m, ROLE_AGENT), *s;

	(void)from;
	if (m->stopping || old == NULL || old->pid == -1 ||
	    (uint32_t)old->pid != renew->pid || find_coming(m) != NULL)
		return; /* there is another already, or will be */
	s = servant_new(m, old->desc);
	if (s == NULL) {
		log_line(LOG_ERROR,
		    "out of memory: no new agent; the one in "
		    "place goes on");
		return;
	}
	s->coming = true;
	s->was_ready = true;
	s->restarts = old->restarts;
	servant_start(s);
}

void
renew_ready(struct servant *s)
{
	struct servant *old = servant_find(s->master, s->desc->role);

	if (s->master->stopping)
		return;
	s->coming = false;
	if (old != NULL)
		old->retired = true;
	servant_link(s);
	if (old == NULL)
		return;
	if (old->pid == -1)
		servant_free(old); /* it died meanwhile */
	else
		servant_send(old, MSG_DRAIN);
}

/* It has been sent DRAIN; an agent that is in place is not meant. */
static void
expect_end(struct servant *s)
{
	if (s->retired && s->pid != -1)
		servant_expect_end(s);
}

void
renew_dismissed(void *ctx, struct channel *from, const struct message *msg)
{
	const struct msg_renew *renew = msg->payload;
	struct servant *s = servant_process(ctx, ROLE_AGENT, renew->pid);

	(void)from;
	if (s != NULL)
		expect_end(s);
}

void
renew_queue_gone(struct master *m)
{
	struct servant *s;

	TAILQ_FOREACH(s, &m->servants, entry) {
		if (s->desc->role == ROLE_AGENT)
			expect_end(s);
	}
}

void
renew_cancel(struct master *m)
{
	struct servant *s = find_coming(m);

	if (s == NULL)
		return;
	s->coming = false;
	s->retired = true;
	if (s->pid != -1)
		(void)kill(s->pid, SIGKILL);
	else
		servant_free(s); /* it could not be executed */
}
