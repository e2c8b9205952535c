/* SPDX-License-Identifier: ISC */
/* What queue and master answer to operators, on its way to who asked. */
#include "master/operator/operator_internal.h"

#include <stdio.h>
#include <string.h>

#include "common/util.h"
#include "master/operator/reply_json.h"

static void
tell_refused(struct clients *cs, struct request *r, unsigned code,
    const char *dsn, const char *text)
{
	(void)cs;
	request_refuse(r->client, r->ref, code, dsn, text);
}

static void
tell_lost(struct clients *cs, struct request *r)
{
	(void)cs;
	request_refuse(r->client, r->ref, 451, "4.3.2",
	    "the queue was restarted: try again");
}

static void
tell_stopped(struct clients *cs, struct request *r)
{
	(void)cs;
	request_refuse(r->client, r->ref, 451, "4.3.2",
	    "posternd is being stopped");
}

/* Nobody asks for results here. */
const struct asker reply_asker = { .refused = tell_refused,
	.lost = tell_lost,
	.stopped = tell_stopped };

void
reply_on_listed(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_listed *l = m->payload;
	struct request *r = request_find_of_client(ctx, l->request);

	(void)from;
	if (r != NULL)
		request_tell(r->client, reply_json_listed(m));
}

void
reply_on_list_end(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_list_end *e = m->payload;
	struct request *r = request_find_of_client(ctx, e->request);

	(void)from;
	if (r == NULL)
		return;
	request_tell(r->client, reply_json_list_end(m));
	request_free(ctx, r);
}

void
reply_on_transcript_part(void *ctx, struct channel *from,
    const struct message *m)
{
	const struct msg_request *part = m->payload;
	struct request *r = request_find_of_client(ctx, part->request);

	(void)from;
	if (r != NULL)
		request_tell(r->client, reply_json_transcript_part(m));
}

void
reply_on_transcripts_end(void *ctx, struct channel *from,
    const struct message *m)
{
	const struct msg_transcripts_end *e = m->payload;
	struct request *r = request_find_of_client(ctx, e->request);

	(void)from;
	if (r == NULL)
		return;
	request_tell(r->client, reply_json_transcripts_end(m));
	request_free(ctx, r);
}

/* Events for a slow reader are dropped, and counted for it. */
static bool
reply_is_lost(struct request *r, uint32_t before)
{
	char text[64];

	if (!r->of_tail)
		return false;
	if (request_is_lost(r, before))
		return true;
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
reply_on_told(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_told *told = m->payload;
	struct request *r = request_find_of_client(ctx, told->request);

	(void)from;
	if (r == NULL)
		return;
	if (!reply_is_lost(r, told->lost))
		request_tell(r->client,
		    strndup((const char *)m->tail, m->tail_len));
	if (told->last)
		request_free(ctx, r);
}

void
reply_on_body(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_body *body = m->payload;
	struct request *r = request_find_of_client(ctx, body->request);
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
reply_on_status(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_status *s = m->payload;
	struct request *r = request_find_of_client(ctx, s->request);

	(void)from;
	if (r == NULL)
		return;
	request_tell(r->client, reply_json_status(m));
	if (s->last)
		request_free(ctx, r);
}
