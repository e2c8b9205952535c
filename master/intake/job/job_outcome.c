/* SPDX-License-Identifier: ISC */
/* What the queue says of jobs, on its way to who handed them in. */
#include "master/intake/intake_internal.h"

#include "master/intake/job/job_answer.h"

/* What a client of the job socket is told. */

static void
tell_accepted(struct clients *cs, struct request *r, uint64_t id)
{
	(void)cs;
	request_tell(r->client,
	    r->transient ? job_answer_taken(r->ref, id)
			 : job_answer_queued(r->ref, id));
}

static void
tell_refused(struct clients *cs, struct request *r, unsigned code,
    const char *dsn, const char *text)
{
	(void)cs;
	request_refuse(r->client, r->ref, code, dsn, text);
}

static void
tell_result(struct clients *cs, struct request *r, const struct message *m)
{
	(void)cs;
	request_tell(r->client, job_answer_result(r->ref, m));
}

static void
tell_results_end(struct clients *cs, struct request *r)
{
	(void)cs;
	request_tell(r->client,
	    job_answer_results_end(r->ref,
		r->lost > 0 ? "some results were dropped, for they were not "
			      "read in time: they are in the log"
			    : NULL));
}

static void
tell_lost(struct clients *cs, struct request *r)
{
	(void)cs;
	if (!r->answered)
		request_refuse(r->client, r->ref, 451, "4.3.2",
		    "the queue was restarted: try again");
	else
		request_tell(r->client,
		    job_answer_results_end(r->ref,
			r->transient
			    ? "the queue was restarted: whoever has no result "
			      "is perhaps delivered, and was not stored"
			    : "the queue was restarted: the job is kept and "
			      "goes on, its results are in the log"));
}

static void
tell_stopped(struct clients *cs, struct request *r)
{
	(void)cs;
	if (!r->answered)
		request_refuse(r->client, r->ref, 451, "4.3.2",
		    r->whole ? "posternd is being stopped, and the queue has "
			       "not answered: perhaps the job is taken"
			     : "posternd is being stopped: try again");
	else
		request_tell(r->client,
		    job_answer_results_end(r->ref,
			r->transient
			    ? "posternd is being stopped: whoever has no "
			      "result is perhaps delivered, and was not stored"
			    : "posternd is being stopped: the job is kept and "
			      "goes on, its results are in the log"));
}

const struct asker job_outcome_asker = { tell_accepted, tell_refused,
	tell_result, tell_results_end, tell_lost, tell_stopped };

void
job_outcome_on_accepted(void *ctx, struct channel *from,
    const struct message *m)
{
	const struct msg_accepted *a = m->payload;
	struct request *r = request_find(ctx, a->request);

	(void)from;
	if (r == NULL)
		return; /* the client is gone */
	r->asker->accepted(ctx, r, a->id);
	request_answered(ctx, r);
	/* This queue does not know that somebody waits. */
	if (r->asked && r->wait != WAIT_QUEUED)
		r->asker->lost(ctx, r);
	if (r->asked || r->wait == WAIT_QUEUED)
		request_free(ctx, r);
}

void
job_outcome_on_result(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_result *result = m->payload;
	struct request *r = request_find(ctx, result->request);

	(void)from;
	if (r != NULL)
		r->asker->result(ctx, r, m);
}

void
job_outcome_on_end(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_results_end *end = m->payload;
	struct request *r = request_find(ctx, end->request);

	(void)from;
	if (r == NULL)
		return;
	r->lost = end->lost;
	r->asker->results_end(ctx, r);
	request_free(ctx, r);
}

/* A line of the dialogue; or, for a slow reader, how many are missing. */
void
job_outcome_on_trace(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_trace *t = m->payload;
	struct request *r = request_find_of_client(ctx, t->request);

	(void)from;
	if (r == NULL || request_is_lost(r, t->lost))
		return;
	if (r->lost > 0)
		request_tell(r->client, job_answer_lines_lost(r->lost));
	r->lost = 0;
	request_tell(r->client, job_answer_trace(m));
}
