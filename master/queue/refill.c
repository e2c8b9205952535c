/* SPDX-License-Identifier: ISC */
/*
 * From the store into memory: which recipients become part of the active set.
 *
 * A scan walks the domains that wait, a few at a time, and takes of each what
 * is due and has room.  What a scan found but had no room for is remembered
 * with its domain and fetched as room comes free.
 */
#include "master/queue/queue_internal.h"

#include <errno.h>
#include <string.h>

#include "common/log.h"
#include "common/util.h"
#include "master/queue/pause.h"

enum {
	REFILL_BATCH = 1000,        /* recipients of a domain at once */
	REFILL_DOMAINS_A_TURN = 64, /* so that the loop is not held up */
	REFILL_SCAN_PAUSE_MS = 1000,
	REFILL_SCAN_MAX_MS = 60000, /* looks again, whatever it expects */
	REFILL_EXPIRE_BATCH = 100,
};

struct refill_walk {
	struct queue *queue;
	struct schedule_domain *domain;
	uint32_t placed;
};

/* What is the same in every attempt that ends before a session. */
static struct attempt
refill_attempt(const struct store_envelope *envelope,
    const struct store_recipient *recipient)
{
	return (struct attempt){ .id = envelope->id,
		.index = recipient->index,
		.flags = envelope->flags,
		.created_ms = envelope->created_ms,
		.attempts = recipient->attempts,
		.was_in_doubt = recipient->in_doubt,
		.parameters = envelope->parameters,
		.reverse_path = envelope->reverse_path,
		.recipient = recipient->address,
		.relay = "" };
}

/* The reason is that of the destination's last failure. */
static void
refill_settle_blocked(struct queue *q, const struct store_envelope *envelope,
    const struct store_recipient *recipient, const struct target *t)
{
	char reply[QUEUE_REPLY_SIZE + 64];
	struct attempt a = refill_attempt(envelope, recipient);

	a.relay = t->relay;
	a.reply = reply;
	a.outcome = t->outcome;
	a.not_before_ms = time_real_ms() +
	    (t->destination->blocked_until_ms - time_monotonic_ms());
	(void)strlcpy(reply, "delivery temporarily suspended: ", sizeof(reply));
	(void)strlcat(reply, t->reply, sizeof(reply));
	settle(q, &a);
}

/* It can go nowhere. */
static void
refill_settle(struct queue *q, const struct store_envelope *envelope,
    const struct store_recipient *recipient, const char *dsn, const char *why)
{
	struct attempt a = refill_attempt(envelope, recipient);

	a.reply = why;
	settle_outcome(&a.outcome, OUTCOME_FAILED, STEP_QUEUE, dsn);
	settle(q, &a);
}

static void
refill_log_active(struct queue *q, const struct store_envelope *envelope)
{
	struct event event = { .kind = EVENT_ACTIVE,
		.id = envelope->id,
		.reverse_path = envelope->reverse_path,
		.size = envelope->size,
		.nrcpt = envelope->nrcpts };

	event_tell(q, &event, "qmgr");
}

/*
 * A recipient that is due finds its destination, which may be blocked: a new
 * one is told why and deferred, one of the store is left there.  False: that.
 */
static bool
refill_place(struct queue *q, const struct store_envelope *envelope,
    const struct store_recipient *recipient, struct schedule_domain *domain,
    bool is_new)
{
	const struct queue_transport *transport;
	const char *next_hop;
	const char *dsn, *why;
	enum security security;
	struct target *t;
	uint32_t index;
	bool first;

	transport = queue_route(q,
	    recipient->via[0] != '\0' ? recipient->via : envelope->via,
	    recipient->domain, &next_hop, &index);
	if (transport == NULL) {
		/* RFC 3463, 3.5: X.4.4, unable to route. */
		refill_settle(q, envelope, recipient, "5.4.4",
		    "no route of the configuration fits this domain");
		return true;
	}
	security = security_of(transport->config, envelope->flags,
	    envelope->reverse_path);
	why = security_refuse(transport->config, security, true, &dsn);
	if (why != NULL) {
		refill_settle(q, envelope, recipient, dsn, why);
		return true;
	}
	t = target_of(q, index, next_hop, security);
	if (t == NULL) {
		q->scan_again = true; /* no memory now */
		return false;
	}
	/* An operator wants it to stay in the store. */
	if (t->destination->stopped) {
		domain->stopped++;
		return true;
	}
	/* A block without a failure is only a pause. */
	if (t->destination->failures > 0 &&
	    t->destination->blocked_until_ms > time_monotonic_ms()) {
		/* A variant blocks none of its domain but its own. */
		if (security != SECURITY_POLICY) {
			refill_settle_blocked(q, envelope, recipient, t);
			return true;
		}
		domain->blocked_until_ms = t->destination->blocked_until_ms;
		if (is_new)
			refill_settle_blocked(q, envelope, recipient, t);
		return is_new;
	}
	first = schedule_find_message(q->schedule, envelope->id) == NULL;
	if (schedule_add(q->schedule, t->destination, envelope, recipient,
		time_real_ms()) == -1) {
		if (errno != EEXIST)
			q->scan_again = true;
		return errno == EEXIST;
	}
	if (first)
		refill_log_active(q, envelope);
	return true;
}

/* Its time may be before that of rows that were read before its commit. */
static void
refill_look_back(struct store_cursor *cursor,
    const struct store_recipient *recipient)
{
	if (recipient->next_attempt_ms > cursor->next_attempt_ms)
		return;
	cursor->next_attempt_ms = recipient->next_attempt_ms;
	cursor->message = recipient->message - 1;
	cursor->index = UINT32_MAX;
}

void
refill_new(struct queue *q, const struct store_envelope *envelope,
    const struct store_recipient *recipient)
{
	int64_t now_ms = time_monotonic_ms();
	struct schedule_domain *domain;

	domain = schedule_domain(q->schedule, recipient->domain);
	if (domain == NULL) {
		q->scan_again = true;
		return;
	}
	/* Others of its domain wait in the store: it waits behind them. */
	if (domain->has_more ||
	    (domain->blocked_until_ms <= now_ms &&
		schedule_room(q->schedule, recipient->domain, now_ms) == 0)) {
		domain->has_more = true;
		refill_look_back(&domain->cursor, recipient);
		return;
	}
	/*
	 * The cursor stays: between it and this one a deferred recipient may
	 * come due.  That both are seen again costs less than to miss it.
	 */
	(void)refill_place(q, envelope, recipient, domain, true);
}

static int
refill_row(const struct store_envelope *envelope,
    const struct store_recipient *recipient, void *arg)
{
	struct refill_walk *walk = arg;

	if (schedule_is_loaded(walk->queue->schedule, envelope->id,
		recipient->index))
		return 0;
	if (!refill_place(walk->queue, envelope, recipient, walk->domain,
		false))
		return 1;
	walk->placed++;
	return 0;
}

/* Whether the store says what we know: a recipient whose outcome is on its way
 * to the disk looks there as if it were due, and would be tried once more. */
static bool
refill_is_current(struct queue *q)
{
	if (q->nops > 0)
		group_commit(q);
	return q->nops == 0; /* else the store fails, and we wait */
}

static void
refill_domain(struct queue *q, const char *name)
{
	struct refill_walk walk = { .queue = q };
	struct schedule_domain *domain;
	uint32_t limit;
	uint32_t n;
	int ret;

	if (!refill_is_current(q)) {
		refill_later(q, time_real_ms() + QUEUE_RETRY_MS);
		return;
	}
	limit = schedule_room(q->schedule, name, time_monotonic_ms());
	if (limit > REFILL_BATCH)
		limit = REFILL_BATCH;
	domain = schedule_domain(q->schedule, name);
	if (domain == NULL) {
		q->scan_again = true;
		return;
	}
	if (limit == 0) {
		domain->has_more = true;
		return;
	}
	/* With nothing of it in memory, nothing can come twice. */
	if (domain->loaded == 0 &&
	    (!domain->has_more || domain->stopped == 0)) {
		memset(&domain->cursor, 0, sizeof(domain->cursor));
		domain->stopped = 0;
	}
	walk.domain = domain;
	ret = store_load_due(q->store, name, &domain->cursor, time_real_ms(),
	    limit, refill_row, &walk, &n);
	if (ret == -1) {
		log_line(LOG_ERROR, "reading the queue: %s",
		    store_error(q->store));
		refill_later(q, time_real_ms() + QUEUE_RETRY_MS);
		return;
	}
	domain->has_more = n == limit || ret == 1;
	pause_rest(domain, time_monotonic_ms());
	if (walk.placed > 0)
		queue_pump_soon(q);
}

/* Whether fetching more of a domain is worth a question. */
static bool
refill_is_worth(const struct queue *q, const struct schedule_domain *domain)
{
	uint32_t room;

	if (!domain->has_more)
		return false;
	room = schedule_room(q->schedule, domain->name, time_monotonic_ms());
	return room > 0 &&
	    (domain->loaded < REFILL_BATCH / 4 || room >= REFILL_BATCH / 4);
}

static void
refill_known(struct queue *q)
{
	struct schedule_domain *domain;
	struct schedule_domain *next;

	for (domain = schedule_first_domain(q->schedule); domain != NULL;
	     domain = next) {
		next = TAILQ_NEXT(domain, entry);
		if (refill_is_worth(q, domain))
			refill_domain(q, domain->name);
	}
}

static void
refill_begin_scan(struct queue *q)
{
	q->scanning = true;
	q->scan_started = false;
	q->scan_again = false;
	q->scan_last_ms = time_monotonic_ms();
	q->scan_min_ms = time_real_ms() + REFILL_SCAN_MAX_MS;
	q->scan_wake_ms = INT64_MAX;
}

static void
refill_end_scan(struct queue *q)
{
	q->scanning = false;
	refill_later(q, q->scan_min_ms);
}

/* What of a domain is due now, and when the scan has to come again for it. */
static void
refill_scan_domain(struct queue *q, int64_t earliest_ms)
{
	int64_t now_ms = time_real_ms();

	if (earliest_ms <= now_ms) {
		refill_domain(q, q->scan_domain);
		if (store_next_due(q->store, q->scan_domain, now_ms,
			&earliest_ms) != 1)
			return;
	}
	if (earliest_ms < q->scan_min_ms)
		q->scan_min_ms = earliest_ms;
}

static void
refill_scan(struct queue *q)
{
	int64_t earliest_ms;
	int more;
	int i;

	for (i = 0; i < REFILL_DOMAINS_A_TURN; i++) {
		more = store_next_domain(q->store,
		    q->scan_started ? q->scan_domain : NULL, q->scan_domain,
		    &earliest_ms);
		if (more != 1) {
			refill_end_scan(q);
			return;
		}
		q->scan_started = true;
		refill_scan_domain(q, earliest_ms);
	}
}

void
refill_later(struct queue *q, int64_t due_ms)
{
	if (due_ms < q->scan_wake_ms)
		q->scan_wake_ms = due_ms;
}

static int64_t
refill_scan_wait_ms(const struct queue *q)
{
	int64_t wait_ms;
	int64_t pause_ms;

	wait_ms = q->scan_again ? 0 : q->scan_wake_ms - time_real_ms();
	pause_ms = q->scan_last_ms + REFILL_SCAN_PAUSE_MS - time_monotonic_ms();
	return wait_ms > pause_ms ? wait_ms : pause_ms;
}

int64_t
refill_wait_ms(const struct queue *q)
{
	int64_t wait_ms = q->scanning ? 0 : refill_scan_wait_ms(q);

	return wait_ms > 0 ? wait_ms : 0;
}

void
refill_run(struct queue *q)
{
	if (q->draining)
		return;
	refill_known(q);
	if (!q->scanning && refill_scan_wait_ms(q) <= 0) {
		/* A scan must see every deferral that it is to remember. */
		if (refill_is_current(q))
			refill_begin_scan(q);
		else /* not again at once */
			q->scan_last_ms = time_monotonic_ms();
	}
	if (q->scanning)
		refill_scan(q);
}

/* One whose time is over while its destination is never tried. */
static int
refill_expire_row(const struct store_envelope *envelope,
    const struct store_recipient *recipient, void *arg)
{
	struct queue *q = arg;
	struct attempt a = { .id = envelope->id,
		.index = recipient->index,
		.flags = envelope->flags,
		.created_ms = envelope->created_ms,
		.attempts = recipient->attempts,
		.was_in_doubt = recipient->in_doubt,
		.parameters = envelope->parameters,
		.reverse_path = envelope->reverse_path,
		.recipient = recipient->address,
		.relay = recipient->relay,
		.reply = recipient->reply };

	if (schedule_is_loaded(q->schedule, envelope->id, recipient->index))
		return 0;
	settle_outcome(&a.outcome, OUTCOME_DEFERRED, STEP_QUEUE, "4.4.7");
	settle(q, &a); /* which finds its lifetime over */
	return 0;
}

/* Those to be returned at a time, whose destination is not tried then. */
static void
refill_return_late(struct queue *q)
{
	if (store_load_late(q->store, time_real_ms(), REFILL_EXPIRE_BATCH,
		refill_expire_row, q) == -1)
		log_line(LOG_ERROR, "reading the queue: %s",
		    store_error(q->store));
}

void
refill_expire(struct queue *q)
{
	int64_t backoff_ms = q->limits.maximal_backoff_ms;
	int64_t lifetime_ms = (int64_t)q->config->maximal_queue_lifetime * 1000;
	struct queue_op *op;
	uint32_t nops;

	/* On a full disk the same changes would pile up at each sweep. */
	if (!refill_is_current(q))
		return;
	op = group_new_op(OP_EXPIRE, 0);
	if (op != NULL) {
		op->before_ms = time_real_ms() -
		    (int64_t)q->config->failed_keep_time * 1000;
		group_add(q, op);
	}
	nops = q->nops;
	refill_return_late(q);
	if (q->nops != nops)
		return; /* whoever is among the older too, is settled once */
	/* After a long stop each has its chance of one more attempt first. */
	if (time_monotonic_ms() - q->started_ms < 2 * backoff_ms)
		return;
	if (lifetime_ms < backoff_ms)
		lifetime_ms = backoff_ms;
	if (store_load_older(q->store,
		time_real_ms() - lifetime_ms - backoff_ms, REFILL_EXPIRE_BATCH,
		refill_expire_row, q) == -1)
		log_line(LOG_ERROR, "reading the queue: %s",
		    store_error(q->store));
}
