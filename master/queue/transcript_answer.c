/* SPDX-License-Identifier: ISC */
/* Transcripts for who asks: a page of their heads, or whole ones. */
#include <string.h>

#include "master/queue/transcript.h"
#include "master/queue/transcripts.h"

enum {
	PAGE = 100,
	HEAD_SIZE = 1024,
	PART_SIZE = 16384,
};

/* Octets of one, from `at` on; how many there were. */
static size_t
send_part(struct queue *q, uint64_t request, const struct transcripts_entry *e,
    size_t at, size_t size)
{
	struct msg_request head = { request };
	char tail[TRANSCRIPTS_NAME_SIZE + PART_SIZE + 1];
	char name[TRANSCRIPTS_NAME_SIZE];
	size_t len = 0;
	ssize_t n;

	transcripts_name(e, name);
	(void)message_tail_add(tail, sizeof(tail), &len, name); /* fits */
	n = transcripts_read(q->transcripts, e, at, tail + len, size);
	if (n <= 0 || q->control == NULL)
		return 0;
	len += (size_t)n;
	tail[len++] = '\0';
	(void)channel_send(q->control, MSG_TRANSCRIPT_PART, &head, tail, len,
	    -1);
	return (size_t)n;
}

static void
send_whole(struct queue *q, uint64_t request, const struct transcripts_entry *e)
{
	size_t at = 0, n;

	do {
		n = send_part(q, request, e, at, PART_SIZE);
		at += n;
	} while (n > 0 && at < transcripts_size(e));
}

static void
send_end(struct queue *q, uint64_t request, bool more)
{
	struct msg_transcripts_end end = { request, more, 0 };

	if (q->control != NULL)
		(void)channel_send(q->control, MSG_TRANSCRIPTS_END, &end, NULL,
		    0, -1);
}

static void
send_page(struct queue *q, uint64_t request, const char *name)
{
	const struct transcripts_entry *e;
	char last[TRANSCRIPTS_NAME_SIZE];
	unsigned n;

	(void)strlcpy(last, name, sizeof(last));
	for (n = 0; n < PAGE; n++) {
		e = transcripts_before(q->transcripts, last);
		if (e == NULL)
			break;
		(void)send_part(q, request, e, 0, HEAD_SIZE);
		transcripts_name(e, last);
	}
	send_end(q, request,
	    n == PAGE && transcripts_before(q->transcripts, last) != NULL);
}

/* All there are, the newest first. */
static void
send_all(struct queue *q, uint64_t request)
{
	const struct transcripts_entry *e;
	char last[TRANSCRIPTS_NAME_SIZE] = "";

	while ((e = transcripts_before(q->transcripts, last)) != NULL) {
		send_whole(q, request, e);
		transcripts_name(e, last);
	}
	send_end(q, request, false);
}

void
transcript_asked(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_transcripts *ask = m->payload;
	const struct transcripts_entry *e;
	char name[TRANSCRIPTS_NAME_SIZE] = "";
	struct queue *q = ctx;

	(void)from;
	if (m->tail_len < sizeof(name))
		memcpy(name, m->tail, m->tail_len);
	if (q->transcripts == NULL) {
		send_end(q, ask->request, false);
	} else if (ask->wait) {
		q->transcript_waiter = ask->request;
		transcript_answer_waiting(q);
	} else if (ask->whole) {
		e = transcripts_find(q->transcripts, name);
		if (e != NULL)
			send_whole(q, ask->request, e);
		send_end(q, ask->request, false);
	} else {
		send_page(q, ask->request, name);
	}
}

void
transcript_answer_waiting(struct queue *q)
{
	uint64_t request = q->transcript_waiter;

	if (request == 0 || q->nsessions > 0)
		return;
	q->transcript_waiter = 0;
	send_all(q, request);
}
