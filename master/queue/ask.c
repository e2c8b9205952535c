/* SPDX-License-Identifier: ISC */
/* See ask.h. */
#include "master/queue/ask.h"

#include <sys/stat.h>

#include <errno.h>
#include <string.h>

#include "common/log.h"
#include "common/util.h"
#include "master/queue/explain.h"
#include "master/queue/pause.h"
#include "master/queue/queue_internal.h"
#include "master/queue/summary.h"
#include "master/queue/tail.h"
#include "master/queue/tell.h"
#include "master/queue/top.h"

/* The message as it is in the queue: sealed, so that nobody alters it. */
static void
ask_cat(struct queue *q, const struct ask *ask)
{
	struct msg_body body;
	struct stat st;
	int fd = -1;

	if (store_body_fd(q->store, ask->id, &fd) == -1) {
		tell_refused(q, ask->request, errno == ENOENT ? 550 : 451,
		    "5.1.0",
		    errno == ENOENT ? "no such message is in the queue"
				    : "the queue cannot read the message");
		return;
	}
	memset(&body, 0, sizeof(body));
	body.request = ask->request;
	body.size = fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	if (q->control != NULL)
		(void)channel_send(q->control, MSG_BODY, &body, NULL, 0, fd);
	fd_close(fd);
}

static void (*const answers[ASK_COUNT])(struct queue *, const struct ask *) = {
	[ASK_CAT] = ask_cat,
	[ASK_PAUSE] = pause_ask,
	[ASK_RESUME] = pause_ask_resume,
	[ASK_PAUSES] = pause_ask_list,
	[ASK_EXPLAIN] = explain_ask,
	[ASK_TAIL] = tail_ask,
	[ASK_TOP] = top_ask,
};

void
ask_begin(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_ask *msg = m->payload;

	(void)from;
	/* How much waits for a destination is counted first. */
	if (((msg->what == ASK_TOP && msg->limit > 0) ||
		msg->what == ASK_EXPLAIN) &&
	    summary_wait(ctx, m))
		return;
	ask_answer(ctx, m);
}

void
ask_answer(struct queue *q, const struct message *m)
{
	const struct msg_ask *msg = m->payload;
	struct ask ask = { .request = msg->request,
		.id = msg->id,
		.limit = msg->limit,
		.uid = msg->uid,
		.kind = (enum pause_kind)msg->kind };
	const char **const strings[] = { &ask.name, &ask.sender, &ask.via,
		&ask.status };
	size_t at = 0, i;

	for (i = 0; i < NELEM(strings); i++) {
		*strings[i] = message_tail_next(m, &at);
		if (*strings[i] == NULL)
			*strings[i] = "";
	}
	if (msg->what < ASK_COUNT && answers[msg->what] != NULL)
		answers[msg->what](q, &ask);
	else
		tell_refused(q, msg->request, 501, "5.5.4",
		    "nothing that can be asked");
}

void
ask_cancel(struct queue *q, uint64_t request)
{
	tail_cancel(q, request);
	summary_cancel(q, request);
	explain_cancel(q, request);
}

void
ask_cancel_all(struct queue *q)
{
	tail_cancel_all(q);
	summary_cancel_all(q);
	explain_cancel_all(q);
}
