/* SPDX-License-Identifier: ISC */
/*
 * Requests: each question or job of a client from the moment the queue (or the
 * master) hears of it until nothing more will be said; and what is said.
 */
#include "master/intake/intake_internal.h"

#include <sys/cdefs.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/util.h"
#include "master/intake/answer.h"

/* A client's jobs that are not yet on disk, before we stop reading it. */
#define UNANSWERED_MAX 256
/* Jobs whose clients wait for results, perhaps for days: each takes memory here
 * and in the queue, and a CANCEL where its client goes. */
#define WAITING_MAX           32768
#define WAITING_OF_CLIENT_MAX 4096
/* Times message_size_limit: over this much in memory, not on disk yet, we stop
 * reading who sends more. */
#define OCTETS_PAUSE 2
/* Answers that wait for who reads events slowly, before some are dropped. */
#define TAIL_BACKLOG 1024
/* Packets that wait for a slow queue, most with a message's descriptor, before
 * we stop reading who sends more. */
#define BACKLOG_PAUSE 512

static const struct asker client_asker;

static int
request_compare(const struct request *a, const struct request *b)
{
	return a->number < b->number ? -1 : a->number > b->number;
}

/* libbsd disables the macro that RB_GENERATE_STATIC is made of. */
RB_GENERATE_INTERNAL(requests, request, entry, request_compare,
    __attribute__((unused)) static)

/* Sends text, which is ours to free. */
void
request_tell(struct client *c, char *text)
{
	client_send(c, text);
	free(text);
}

void
request_refuse(struct client *c, const char *ref, unsigned code,
    const char *dsn, const char *text)
{
	log_line(LOG_INFO, "refused: uid=%u pid=%d code=%u text=\"%s\"",
	    client_uid(c), (int)client_pid(c), code, text);
	request_tell(c, answer_refused(ref, code, dsn, text));
}

bool
request_may_wait(const struct intake *in, struct client *c)
{
	return in->open < WAITING_MAX &&
	    *client_open(c) < WAITING_OF_CLIENT_MAX;
}

bool
request_may_wait_mail(const struct intake *in)
{
	return in->open < WAITING_MAX;
}

static struct request *
request_add(struct intake *in, const struct asker *asker, struct share *share)
{
	struct request *r;

	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return NULL;
	r->asker = asker;
	r->share = share;
	r->number = ++in->last_request;
	RB_INSERT(requests, &in->requests, r);
	in->open++;
	in->unanswered++;
	return r;
}

struct request *
request_new(struct intake *in, struct client *c)
{
	struct request *r = request_add(in, &client_asker, *client_share(c));

	if (r == NULL)
		return NULL;
	r->client = c;
	r->uid = client_uid(c);
	r->pid = (uint32_t)client_pid(c);
	++*client_open(c);
	if (++*client_unanswered(c) == UNANSWERED_MAX)
		client_pause(c, true);
	return r;
}

struct request *
request_new_mail(struct intake *in, struct smtpd *d, const struct asker *asker,
    struct share *share)
{
	struct request *r = request_add(in, asker, share);

	if (r != NULL)
		r->smtpd = d;
	return r;
}

void
request_hold(struct intake *in, struct request *r, uint64_t size)
{
	r->size = size;
	share_hold(in, r->share, size);
}

static void
request_release(struct intake *in, struct request *r)
{
	share_release(in, r->share, r->size);
	r->size = 0;
}

/* The answer of one of its jobs lets it go on: so none may be half given. */
void
request_brake(const struct intake *in, struct client *c)
{
	if (in->queue != NULL &&
	    (channel_backlog(in->queue) >= BACKLOG_PAUSE ||
		in->octets >=
		    OCTETS_PAUSE * (uint64_t)in->config->message_size_limit))
		client_pause(c, true);
}

/* It is on disk, or not taken: it is no load any more, and a stop need not wait. */
static void
request_settled(struct intake *in, struct request *r)
{
	if (r->settled)
		return;
	r->settled = true;
	request_release(in, r);
	in->unanswered--;
	if (r->client != NULL) {
		(*client_unanswered(r->client))--;
		client_pause(r->client, false);
	}
	intake_stop_if_done(in);
}

static void
request_answered(struct intake *in, struct request *r)
{
	r->answered = true;
	if (!r->transient)
		request_settled(in, r);
	else if (r->client != NULL)
		/* It stays in memory, but that its client leaves must be seen. */
		client_pause(r->client, false);
}

void
request_free(struct intake *in, struct request *r)
{
	request_settled(in, r);
	if (r->client != NULL) {
		if (*client_begun(r->client) == r)
			*client_begun(r->client) = NULL;
		--*client_open(r->client);
	}
	in->open--;
	if (in->leaving && r->client != NULL && *client_open(r->client) == 0)
		leave_client_done(in, r->client);
	RB_REMOVE(requests, &in->requests, r);
	free(r);
}

struct request *
request_find(struct intake *in, uint64_t number)
{
	struct request key = { .number = number };

	return RB_FIND(requests, &in->requests, &key);
}

/* NULL also where no client of a packet socket made it. */
static struct request *
find_of_client(struct intake *in, uint64_t number)
{
	struct request *r = request_find(in, number);

	return r != NULL && r->client != NULL ? r : NULL;
}

void
request_send(struct intake *in, enum msg_type type, uint64_t number)
{
	struct msg_request request = { number };

	if (in->queue != NULL)
		(void)channel_send(in->queue, type, &request, NULL, 0, -1);
}

void
request_cancel(struct intake *in, struct request *r)
{
	request_send(in, MSG_CANCEL, r->number);
	request_free(in, r);
}

void
request_cancel_all(struct intake *in, const struct client *c)
{
	struct request *r, *next;

	for (r = RB_MIN(requests, &in->requests); r != NULL; r = next) {
		next = RB_NEXT(requests, &in->requests, r);
		if (r->client == c)
			request_cancel(in, r);
	}
}

bool
request_only_watches(struct intake *in, const struct client *c)
{
	struct request *r;
	bool watches = false;

	RB_FOREACH(r, requests, &in->requests)
	{
		if (r->client != c)
			continue;
		if (!r->of_tail)
			return false;
		watches = true;
	}
	return watches;
}

void
request_stop_all(struct intake *in, const struct client *c)
{
	struct request *r;

	RB_FOREACH(r, requests, &in->requests)
	if (r->client == c && r->of_action)
		request_send(in, MSG_STOP, r->number);
}

void
request_fail_all(struct intake *in)
{
	struct request *r, *next;

	for (r = RB_MIN(requests, &in->requests); r != NULL; r = next) {
		next = RB_NEXT(requests, &in->requests, r);
		if (r->of_status)
			continue;
		r->asker->lost(in, r);
		request_free(in, r);
	}
}

/* What a client of the job socket, or of the control socket, is told. */

static void
tell_accepted(struct intake *in, struct request *r, uint64_t id)
{
	(void)in;
	request_tell(r->client,
	    r->transient ? answer_taken(r->ref, id)
			 : answer_queued(r->ref, id));
}

static void
tell_refused(struct intake *in, struct request *r, unsigned code,
    const char *dsn, const char *text)
{
	(void)in;
	request_refuse(r->client, r->ref, code, dsn, text);
}

static void
tell_result(struct intake *in, struct request *r, const struct message *m)
{
	(void)in;
	request_tell(r->client, answer_result(r->ref, m));
}

static void
tell_results_end(struct intake *in, struct request *r)
{
	(void)in;
	request_tell(r->client, answer_results_end(r->ref, NULL));
}

static void
tell_lost(struct intake *in, struct request *r)
{
	(void)in;
	if (client_kind(r->client) == LISTENER_CONTROL || !r->answered)
		request_refuse(r->client, r->ref, 451, "4.3.2",
		    "the queue was restarted: try again");
	else
		request_tell(r->client,
		    answer_results_end(r->ref,
			r->transient
			    ? "the queue was restarted: whoever has no result "
			      "is perhaps delivered, and was not stored"
			    : "the queue was restarted: the job is kept and "
			      "goes on, its results are in the log"));
}

static const struct asker client_asker = { tell_accepted, tell_refused,
	tell_result, tell_results_end, tell_lost };

void
request_on_accepted(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_accepted *a = m->payload;
	struct request *r = request_find(ctx, a->request);

	(void)from;
	if (r == NULL)
		return; /* the client is gone */
	r->asker->accepted(ctx, r, a->id);
	request_answered(ctx, r);
	if (r->wait == WAIT_QUEUED)
		request_free(ctx, r);
}

void
request_on_refused(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_refused *f = m->payload;
	struct request *r = request_find(ctx, f->request);
	char text[1024];

	(void)from;
	if (r == NULL || !message_string_ok(f->dsn, sizeof(f->dsn)))
		return;
	log_escape(text, sizeof(text), (const char *)m->tail, m->tail_len);
	r->asker->refused(ctx, r, f->code, f->dsn, text);
	request_free(ctx, r);
}

void
request_on_result(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_result *result = m->payload;
	struct request *r = request_find(ctx, result->request);

	(void)from;
	if (r != NULL)
		r->asker->result(ctx, r, m);
}

void
request_on_results_end(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_request *end = m->payload;
	struct request *r = request_find(ctx, end->request);

	(void)from;
	if (r == NULL)
		return;
	r->asker->results_end(ctx, r);
	request_free(ctx, r);
}

void
request_on_trace(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_trace *t = m->payload;
	struct request *r = find_of_client(ctx, t->request);

	(void)from;
	if (r != NULL)
		request_tell(r->client, answer_trace(m));
}

void
request_on_listed(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_listed *l = m->payload;
	struct request *r = find_of_client(ctx, l->request);

	(void)from;
	if (r != NULL)
		request_tell(r->client, answer_listed(m));
}

void
request_on_list_end(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_list_end *e = m->payload;
	struct request *r = find_of_client(ctx, e->request);

	(void)from;
	if (r == NULL)
		return;
	request_tell(r->client, answer_list_end(m));
	request_free(ctx, r);
}

void
request_on_transcript_part(void *ctx, struct channel *from,
    const struct message *m)
{
	const struct msg_request *part = m->payload;
	struct request *r = find_of_client(ctx, part->request);

	(void)from;
	if (r != NULL)
		request_tell(r->client, answer_transcript_part(m));
}

void
request_on_transcripts_end(void *ctx, struct channel *from,
    const struct message *m)
{
	const struct msg_transcripts_end *e = m->payload;
	struct request *r = find_of_client(ctx, e->request);

	(void)from;
	if (r == NULL)
		return;
	request_tell(r->client, answer_transcripts_end(m));
	request_free(ctx, r);
}

/* Events for a slow reader are dropped, and counted for it. */
static bool
request_is_lost(struct request *r, uint32_t before)
{
	char text[64];

	if (!r->of_tail)
		return false;
	r->lost += before;
	if (client_backlog(r->client) >= TAIL_BACKLOG) {
		r->lost++;
		return true;
	}
	if (r->lost > 0) {
		(void)snprintf(text, sizeof(text),
		    "{\"event\":\"lost\",\"count\":%llu}",
		    (unsigned long long)r->lost);
		client_send(r->client, text);
		r->lost = 0;
	}
	return false;
}

/* The queue's own words, which are JSON already. */
void
request_on_told(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_told *told = m->payload;
	struct request *r = find_of_client(ctx, told->request);

	(void)from;
	if (r == NULL)
		return;
	if (!request_is_lost(r, told->lost))
		request_tell(r->client,
		    strndup((const char *)m->tail, m->tail_len));
	if (told->last)
		request_free(ctx, r);
}

void
request_on_body(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_body *body = m->payload;
	struct request *r = find_of_client(ctx, body->request);
	char text[64];

	(void)from;
	if (r != NULL) {
		(void)snprintf(text, sizeof(text),
		    "{\"size\":%llu,\"done\":true}",
		    (unsigned long long)body->size);
		client_send_fd(r->client, text, m->fd);
		request_free(ctx, r);
	}
	fd_close(m->fd);
}

void
request_on_status(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_status *s = m->payload;
	struct request *r = find_of_client(ctx, s->request);

	(void)from;
	if (r == NULL)
		return;
	request_tell(r->client, answer_status(m));
	if (s->last)
		request_free(ctx, r);
}
