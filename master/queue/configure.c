/* SPDX-License-Identifier: ISC */
/*
 * A configuration becomes the queue's: the first, and each that a reload brings.
 */
#include "master/queue/configure.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "master/config_fd.h"
#include "master/descriptors.h"
#include "master/queue/limits.h"
#include "master/queue/notice.h"
#include "master/queue/outlet.h"
#include "master/queue/pause.h"
#include "master/queue/queue_internal.h"
#include "master/queue/strand.h"
#include "master/queue/transcript.h"
#include "master/queue/transient.h"

/* The slot of a transport's name; -1 where it cannot be had. */
static int
configure_slot(struct queue *q, const char *name)
{
	struct queue_transport *grown;
	uint32_t i;

	for (i = 0; i < q->ntransports; i++)
		if (strcmp(q->transports[i].name, name) == 0)
			return (int)i;
	grown = recallocarray(q->transports, q->ntransports,
	    q->ntransports + 1U, sizeof(*grown));
	if (grown == NULL)
		return -1;
	q->transports = grown;
	grown[i].name = strdup(name);
	if (grown[i].name == NULL)
		return -1;
	q->ntransports++;
	return (int)i;
}

static void
configure_feedback(const struct transport *t, struct feedback_rules *rules)
{
	memset(rules, 0, sizeof(*rules));
	rules->initial = (uint32_t)t->initial_destination_concurrency;
	rules->limit = (uint32_t)t->destination_concurrency_limit;
	if (rules->initial > rules->limit)
		rules->initial = rules->limit;
	/* The configuration was checked. */
	(void)feedback_parse(t->destination_concurrency_positive_feedback,
	    &rules->positive);
	(void)feedback_parse(t->destination_concurrency_negative_feedback,
	    &rules->negative);
	rules->failed_cohorts =
	    (uint32_t)t->destination_concurrency_failed_cohort_limit;
}

int
configure_transports(struct queue *q)
{
	const struct transport *t;
	struct schedule_transport limits;
	size_t i;
	int slot;

	for (i = 0; i < q->ntransports; i++)
		q->transports[i].config = NULL;
	for (i = 0; i < q->config->ntransports; i++) {
		t = &q->config->transports[i];
		slot = configure_slot(q, t->name);
		if (slot == -1)
			return -1;
		q->transports[slot].config = t;
		q->transports[slot].index = (uint32_t)i;
		q->transports[slot].trust =
		    (uint32_t)config_trust(q->config, i);
		limits.process_limit = (uint32_t)q->config->process_limit;
		configure_feedback(t, &limits.feedback);
		/* Each recipient's message is its own. */
		limits.recipient_limit = t->delivered_to
		    ? 1
		    : (uint32_t)t->destination_recipient_limit;
		if (schedule_set_transport(q->schedule, (uint32_t)slot,
			&limits) == -1)
			return -1;
	}
	limits_configure(q);
	return 0;
}

/* Configuration. */

/* To be routed anew. */
void
configure_unload(struct queue *q)
{
	struct schedule_destination *d;
	struct schedule_recipients recipients;
	struct target *t;

	for (d = schedule_first_destination(q->schedule); d != NULL;
	     d = TAILQ_NEXT(d, entry)) {
		TAILQ_INIT(&recipients);
		schedule_suspend(q->schedule, d, &recipients);
		schedule_put_back(q->schedule, &recipients);
		t = d->data;
		if (t != NULL)
			t->plan_until_ms = 0;
		d->keep_until_ms = 0;
		schedule_block(q->schedule, d, 0);
	}
	q->scan_again = true;
}

static void
configure_limits(struct queue *q)
{
	q->limits.active_recipients =
	    (uint32_t)q->config->qmgr_recipient_active_limit;
	q->limits.minimal_backoff_ms =
	    (int64_t)q->config->minimal_backoff_time * 1000;
	q->limits.maximal_backoff_ms =
	    (int64_t)q->config->maximal_backoff_time * 1000;
	if (q->schedule != NULL)
		schedule_set_limits(q->schedule, &q->limits);
}

/* Our copy says how many there can be, to all that read it here: the scheduler,
 * top, explain and metrics. */
static void
configure_sessions(struct queue *q)
{
	uint32_t most = descriptors_sessions(q->descriptors);

	if ((uint32_t)q->config->process_limit <= most)
		return;
	log_line(LOG_WARN,
	    "process_limit = %d: with %" PRIu64
	    " open files a process there can be %u sessions; raise LimitNOFILE= "
	    "of the unit (ulimit -Hn) to %" PRIu64 ", or lower process_limit",
	    q->config->process_limit, q->descriptors, most,
	    descriptors_wanted((uint32_t)q->config->process_limit));
	q->config->process_limit = (int)most;
}

/* The master has checked the text; what fails here leaves the old one. */
void
configure_take(void *ctx, struct channel *from, const struct message *m)
{
	struct queue *q = ctx;
	struct config *config = config_from_fd(m); /* logs why not */
	struct config *old = q->config;

	(void)from;
	if (config == NULL && old == NULL)
		fatal("the configuration cannot be read");
	if (config == NULL) {
		log_line(LOG_ERROR,
		    "the new configuration cannot be read; "
		    "the old one stays");
		return;
	}
	q->config = config;
	configure_sessions(q);
	/* By this one transports are meant, and with them their secrets. */
	q->generation = ((const struct msg_config *)m->payload)->generation;
	configure_limits(q);
	transcript_configure(q);
	notices_configure(q);
	if (q->schedule == NULL) /* setting up; old is one never used */
		goto out;
	store_set_inline_limit(q->store, q->config->inline_body_limit);
	outlet_configure(q);
	session_quit_all(q);
	configure_unload(q);
	login_forget_all(q);
	if (configure_transports(q) == -1)
		log_line(LOG_ERROR,
		    "out of memory: some transports wait for "
		    "the next reload");
	pause_apply(q);
	strand_reloaded(q, old);
	transient_run(q);
	queue_pump_soon(q);
out:
	config_free(old);
}
