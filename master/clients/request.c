/* SPDX-License-Identifier: ISC */
/*
 * Requests: each question or job of a client from the moment the queue (or the
 * master) hears of it until nothing more will be said; and what is said.
 */
#include "master/clients/clients.h"

#include <sys/cdefs.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/util.h"
#include "master/clients/answer.h"

/* A client's jobs that are not yet on disk, before we stop reading it. */
#define UNANSWERED_MAX 256
/* Jobs whose clients wait for results, perhaps for days: each takes memory here
 * and in the queue, and a CANCEL where its client goes. */
#define WAITING_MAX           32768
#define WAITING_OF_CLIENT_MAX 4096
/* Of these, for root and for mail that comes in by LMTP and SMTP. */
#define WAITING_OF_ROOT 4096
/* Times message_size_limit: over this much in memory, not on disk yet, we stop
 * reading who sends more. */
#define OCTETS_PAUSE 2
/* Packets in a row that are refused for good, before their client is cut off. */
#define ERRORS_MAX 20
/* Answers that wait for a slow reader, before events and lines of a dialogue are
 * dropped. */
#define LOSSY_BACKLOG 1024
/* Packets that wait for a slow queue, most with a message's descriptor, before
 * we stop reading who sends more. */
#define BACKLOG_PAUSE 512

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
	if (client_kind(c) != LISTENER_JOB || code < 500 ||
	    ++*client_errors(c) != ERRORS_MAX)
		return;
	log_line(LOG_WARN,
	    "uid %u [%d]: %d packets in a row were refused: "
	    "its connection is closed",
	    client_uid(c), (int)client_pid(c), ERRORS_MAX);
	request_tell(c,
	    answer_refused("", 421, "4.7.0",
		"too many errors: the connection is closed"));
	client_end(c);
}

void
request_refuse_packet(struct client *c, const char *ref, const char *why)
{
	if (errno == ENOMEM) /* ours, not the client's: no outcome for good */
		request_refuse(c, ref, 451, "4.3.0", why);
	else
		request_refuse(c, ref, 501, "5.5.4", why);
}

bool
request_may_wait(const struct clients *cs, struct client *c)
{
	const struct share *share = *client_share(c);

	if (client_uid(c) == 0)
		return cs->open < WAITING_MAX &&
		    *client_open(c) < WAITING_OF_CLIENT_MAX;
	return share_is_fair(share->open, cs->open,
		   WAITING_MAX - WAITING_OF_ROOT) &&
	    *client_open(c) < WAITING_OF_CLIENT_MAX;
}

bool
request_may_wait_mail(const struct clients *cs)
{
	return cs->open < WAITING_MAX;
}

static struct request *
request_add(struct clients *cs, const struct asker *asker, struct share *share)
{
	struct request *r;

	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return NULL;
	r->asker = asker;
	r->share = share;
	r->number = ++cs->last_request;
	RB_INSERT(requests, &cs->requests, r);
	cs->open++;
	share->open++;
	cs->unanswered++;
	return r;
}

struct request *
request_new(struct clients *cs, struct client *c, const struct asker *asker)
{
	struct request *r = request_add(cs, asker, *client_share(c));

	if (r == NULL)
		return NULL;
	r->client = c;
	r->uid = client_uid(c);
	r->pid = (uint32_t)client_pid(c);
	LIST_INSERT_HEAD(client_requests(c), r, of_client);
	++*client_open(c);
	if (++*client_unanswered(c) == UNANSWERED_MAX)
		client_pause(c, true);
	return r;
}

struct request *
request_new_mail(struct clients *cs, struct smtpd *d, const struct asker *asker,
    struct share *share)
{
	struct request *r = request_add(cs, asker, share);

	if (r != NULL)
		r->smtpd = d;
	return r;
}

void
request_hold(struct clients *cs, struct request *r, uint64_t size)
{
	r->size = size;
	share_hold(cs, r->share, size);
}

static void
request_release(struct clients *cs, struct request *r)
{
	share_release(cs, r->share, r->size);
	r->size = 0;
}

/* The answer of one of its jobs lets it go on: so none may be half given. */
void
request_brake(const struct clients *cs, struct client *c)
{
	if (cs->queue != NULL &&
	    (channel_backlog(cs->queue) >= BACKLOG_PAUSE ||
		cs->octets >=
		    OCTETS_PAUSE * (uint64_t)cs->config->message_size_limit))
		client_pause(c, true);
}

void
request_brake_half(const struct clients *cs, struct client *c)
{
	if (cs->queue != NULL && channel_backlog(cs->queue) >= BACKLOG_PAUSE)
		client_pause(c, true);
}

void
request_release_all(struct clients *cs)
{
	struct client *c;

	for (c = client_next(NULL); c != NULL && !cs->leaving && !cs->dismissed;
	     c = client_next(c))
		if (*client_unanswered(c) < UNANSWERED_MAX)
			client_pause(c, false);
}

bool
request_is_lost(struct request *r, uint32_t before)
{
	r->lost += before;
	if (client_backlog(r->client) < LOSSY_BACKLOG)
		return false;
	r->lost++;
	return true;
}

/* It is on disk, or not taken: it is no load any more, and a stop need not wait. */
static void
request_settled(struct clients *cs, struct request *r)
{
	if (r->settled)
		return;
	r->settled = true;
	request_release(cs, r);
	cs->unanswered--;
	if (r->client != NULL) {
		(*client_unanswered(r->client))--;
		client_pause(r->client, false);
	}
	clients_stop_if_done(cs);
}

void
request_answered(struct clients *cs, struct request *r)
{
	r->answered = true;
	if (r->client != NULL)
		*client_errors(r->client) = 0;
	if (!r->transient)
		request_settled(cs, r);
	else if (r->client != NULL)
		/* It stays in memory, but that its client leaves must be seen. */
		client_pause(r->client, false);
}

void
request_free(struct clients *cs, struct request *r)
{
	request_settled(cs, r);
	if (r->client != NULL) {
		if (*client_begun(r->client) == r)
			*client_begun(r->client) = NULL;
		LIST_REMOVE(r, of_client);
		--*client_open(r->client);
	}
	cs->open--;
	r->share->open--;
	if (cs->leaving && r->client != NULL && *client_open(r->client) == 0)
		leave_client_done(cs, r->client);
	RB_REMOVE(requests, &cs->requests, r);
	free(r);
}

struct request *
request_find(struct clients *cs, uint64_t number)
{
	struct request key = { .number = number };

	return RB_FIND(requests, &cs->requests, &key);
}

struct request *
request_find_of_client(struct clients *cs, uint64_t number)
{
	struct request *r = request_find(cs, number);

	return r != NULL && r->client != NULL ? r : NULL;
}

void
request_send(struct clients *cs, enum msg_type type, uint64_t number)
{
	struct msg_request request = { number };

	if (cs->queue != NULL)
		(void)channel_send(cs->queue, type, &request, NULL, 0, -1);
}

void
request_cancel(struct clients *cs, struct request *r)
{
	request_send(cs, MSG_CANCEL, r->number);
	request_free(cs, r);
}

void
request_cancel_all(struct clients *cs, struct client *c)
{
	struct request *r, *next;

	for (r = LIST_FIRST(client_requests(c)); r != NULL; r = next) {
		next = LIST_NEXT(r, of_client);
		request_cancel(cs, r);
	}
}

bool
request_only_watches(struct client *c)
{
	const struct request *r;

	LIST_FOREACH(r, client_requests(c), of_client)
		if (!r->of_tail)
			return false;
	return !LIST_EMPTY(client_requests(c));
}

void
request_stop_all(struct clients *cs, struct client *c)
{
	const struct request *r;

	LIST_FOREACH(r, client_requests(c), of_client)
		if (r->of_action)
			request_send(cs, MSG_STOP, r->number);
}

void
request_end_job(struct clients *cs, struct request *r)
{
	r->whole = true;
	request_send(cs, MSG_SUBMIT_END, r->number);
}

/* Only the store knows whether this job is taken. */
static bool
is_undecided(const struct request *r)
{
	return r->whole && !r->answered && !r->transient;
}

void
request_fail_all(struct clients *cs)
{
	struct request *r, *next;

	for (r = RB_MIN(requests, &cs->requests); r != NULL; r = next) {
		next = RB_NEXT(requests, &cs->requests, r);
		if (r->of_status || is_undecided(r))
			continue;
		r->asker->lost(cs, r);
		request_free(cs, r);
	}
}

static void
dismiss(struct clients *cs, bool watchers_only)
{
	struct request *r, *next;

	for (r = RB_MIN(requests, &cs->requests); r != NULL; r = next) {
		next = RB_NEXT(requests, &cs->requests, r);
		if (watchers_only && !r->of_tail)
			continue;
		r->asker->stopped(cs, r);
		request_cancel(cs, r);
	}
}

void
request_dismiss_all(struct clients *cs)
{
	dismiss(cs, false);
}

void
request_dismiss_watchers(struct clients *cs)
{
	dismiss(cs, true);
}

void
request_ask_all(struct clients *cs)
{
	struct request *r;

	RB_FOREACH(r, requests, &cs->requests)
	{
		if (!is_undecided(r))
			continue;
		r->asked = true;
		request_send(cs, MSG_SUBMIT_ASK, r->number);
	}
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
