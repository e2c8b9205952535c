/* SPDX-License-Identifier: ISC */
/*
 * See receipts.h.  A queue may die between any two of the stores below, so each
 * place is empty while it is changed.
 */
#include "master/queue/receipts.h"

#include <sys/mman.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"
#include "master/queue/queue_internal.h"
#include "master/queue/store.h"

enum receipt_state {
	RECEIPT_NONE, /* what fresh memory holds */
	RECEIPT_NOTED,
	RECEIPT_MARKED,
};

struct receipt {
	uint64_t request;
	uint64_t id;
	int64_t created_ms; /* an id whose commit failed may be given again */
	uint64_t state;     /* enum receipt_state */
};

struct receipts {
	uint64_t intake; /* its process */
	struct receipt places[RECEIPTS_MAX];
};

struct receipts *
receipts_map(int fd)
{
	struct receipts *rs;

	if (ftruncate(fd, sizeof(*rs)) == -1)
		return NULL;
	rs = mmap(NULL, sizeof(*rs), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return rs != MAP_FAILED ? rs : NULL;
}

static struct receipt *
receipts_place(struct receipts *rs, uint64_t request)
{
	return &rs->places[request % RECEIPTS_MAX];
}

static void
set_state(struct receipt *r, enum receipt_state state)
{
	__atomic_store_n(&r->state, state, __ATOMIC_SEQ_CST);
}

static void
receipts_clear(struct receipts *rs)
{
	for (size_t i = 0; i < NELEM(rs->places); i++)
		/* No page is touched that was not used. */
		if (rs->places[i].state != RECEIPT_NONE)
			set_state(&rs->places[i], RECEIPT_NONE);
}

void
receipts_of_intake(struct receipts *rs, uint32_t pid)
{
	if (rs == NULL || rs->intake == pid)
		return;
	receipts_clear(rs);
	__atomic_store_n(&rs->intake, pid, __ATOMIC_SEQ_CST);
}

void
receipts_note(struct receipts *rs, uint64_t request, uint64_t id,
    int64_t created_ms)
{
	struct receipt *r;

	if (rs == NULL)
		return;
	r = receipts_place(rs, request);
	set_state(r, RECEIPT_NONE);
	r->request = request;
	r->id = id;
	r->created_ms = created_ms;
	set_state(r, RECEIPT_NOTED);
}

void
receipts_mark(struct receipts *rs, uint64_t request)
{
	struct receipt *r;

	if (rs == NULL)
		return;
	r = receipts_place(rs, request);
	if (r->state == RECEIPT_NOTED && r->request == request)
		set_state(r, RECEIPT_MARKED);
}

/* What cannot be read is not known to be there: its client tries again. */
void
receipts_settle(struct receipts *rs, struct store *store)
{
	struct receipt *r;

	if (rs == NULL)
		return;
	if (store == NULL) {
		receipts_clear(rs);
		return;
	}
	for (size_t i = 0; i < NELEM(rs->places); i++) {
		r = &rs->places[i];
		if (r->state != RECEIPT_NOTED)
			continue;
		set_state(r,
		    store_is_taken(store, r->id, r->created_ms) == 1
			? RECEIPT_MARKED
			: RECEIPT_NONE);
	}
}

bool
receipts_find(const struct receipts *rs, uint64_t request, uint64_t *idp)
{
	const struct receipt *r;

	if (rs == NULL)
		return false;
	r = &rs->places[request % RECEIPTS_MAX];
	*idp = r->id;
	return r->state == RECEIPT_MARKED && r->request == request;
}

void
receipts_take(void *ctx, struct channel *from, const struct message *m)
{
	struct queue *q = ctx;

	(void)from;
	if (q->receipts == NULL)
		q->receipts = receipts_map(m->fd);
	fd_close(m->fd);
	if (q->receipts == NULL)
		log_line(LOG_ERROR,
		    "memory for receipts: %s: after a restart clients whose "
		    "jobs are on disk are told to try again",
		    strerror(errno));
}

/* Nothing but its answer was lost: who waits for results gets none. */
void
receipts_asked(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_request *msg = m->payload;
	struct msg_accepted accepted;
	struct queue *q = ctx;

	memset(&accepted, 0, sizeof(accepted));
	accepted.request = msg->request;
	if (!receipts_find(q->receipts, msg->request, &accepted.id)) {
		submit_refuse(q, msg->request, 451, "4.3.2",
		    "the queue was restarted: try again");
		return;
	}
	log_line(LOG_INFO,
	    "%" PRIX64 ": was on disk when the queue ended: its client is "
	    "answered now",
	    accepted.id);
	(void)channel_send(from, MSG_ACCEPTED, &accepted, NULL, 0, -1);
}
