/* SPDX-License-Identifier: ISC */
/*
 * Actions: each walks the queue by turns of a few milliseconds.  What a turn
 * found goes into the next commit, and the next turn follows that commit, so at
 * no time does one hold more than a piece.
 */
#include "master/queue/action.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/json_out.h"
#include "common/log.h"
#include "common/util.h"
#include "master/queue/census.h"
#include "master/queue/queue_internal.h"
#include "master/queue/summary.h"
#include "master/queue/tell.h"

static void
action_free(struct queue *q, struct action *a)
{
	TAILQ_REMOVE(&q->actions, a, entry);
	q->nactions--;
	selector_free(a->selector);
	census_free(a->census);
	free(a);
}

static struct action *
action_find(const struct queue *q, uint64_t request)
{
	struct action *a;

	TAILQ_FOREACH(a, &q->actions, entry)
		if (a->request == request && !a->cancelled)
			return a;
	return NULL;
}

static void
action_soon(struct queue *q, int64_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000,
		.tv_usec = ms % 1000 * 1000 };

	/* Nothing else would turn it: at once rather than never. */
	if (evtimer_add(q->action_timer, &tv) == -1)
		event_active(q->action_timer, EV_TIMEOUT, 0);
}

/* Whether the configuration has a name; a route to all has none. */
static bool
action_is_configured(const struct queue *q, const char *name)
{
	const struct route *route = config_route_of(q->config, name);
	size_t i;

	for (i = 0; i < q->config->ntransports; i++)
		if (strcasecmp(q->config->transports[i].server, name) == 0)
			return true;
	return config_transport(q->config, name) != NULL ||
	    (route != NULL && strcmp(route->domain, "*") != 0);
}

/* What names nothing, neither here nor in the configuration. */
static enum act_unknown
action_unknown(const struct action *a)
{
	const struct selector *s = a->selector;

	if (a->named || !a->at_end || s->nids > 0)
		return ACT_UNKNOWN_NONE;
	if (s->destination[0] != '\0' &&
	    !action_is_configured(a->queue, s->destination))
		return ACT_UNKNOWN_DESTINATION;
	if (s->domain[0] != '\0' && !action_is_configured(a->queue, s->domain))
		return ACT_UNKNOWN_DOMAIN;
	return ACT_UNKNOWN_NONE;
}

void
action_unknown_out(const struct action *a, struct json_out *out)
{
	enum act_unknown unknown = action_unknown(a);

	if (unknown != ACT_UNKNOWN_NONE)
		json_out_string(out, "unknown",
		    unknown == ACT_UNKNOWN_DOMAIN ? "domain" : "destination");
}

static void
action_tell(struct queue *q, struct action *a, bool last)
{
	struct json_out out;
	char text[512];

	a->told_ms = time_monotonic_ms();
	if (a->cancelled)
		return;
	json_out_begin(&out, text, sizeof(text));
	json_out_string(&out, "action", action_name(a->verb));
	json_out_bool(&out, "dry_run", a->dry);
	json_out_number(&out, "recipients", (int64_t)a->done);
	json_out_number(&out, "in_delivery", (int64_t)a->busy);
	json_out_number(&out, "looked_at", (int64_t)a->seen);
	if (last) {
		json_out_bool(&out, "stopped", a->stopped);
		action_unknown_out(a, &out);
		tell_id(&out, "until", a->selector->until_id);
		json_out_bool(&out, "done", true);
	}
	(void)json_out_end(&out);
	tell(q, a->request, text, last);
}

static void
action_log(const struct action *a)
{
	if (a->dry || a->done + a->busy == 0)
		return;
	log_line(LOG_INFO,
	    "queue %s: uid=%u recipients=%" PRIu64 " in_delivery=%" PRIu64 "%s",
	    action_name(a->verb), a->uid, a->done, a->busy,
	    a->stopped || a->cancelled ? " stopped" : "");
}

static void
action_end(struct queue *q, struct action *a)
{
	if (a->verb == ACT_SUMMARY) {
		summary_end(q, a);
		action_soon(q, 0); /* for those who waited for it */
	} else if (a->verb == ACT_LIST) {
		if (!a->cancelled)
			report_list_end(q, a->request, a->more,
			    action_unknown(a));
	} else {
		action_log(a);
		action_tell(q, a, true);
	}
	action_free(q, a);
}

/* Whether it has the names that are meant, whatever else is asked of it. */
static bool
action_has_names(struct action *a, const struct store_envelope *envelope,
    const struct store_recipient *recipient)
{
	const struct selector *s = a->selector;
	struct selector_way way;

	if (s->domain[0] != '\0' &&
	    strcasecmp(s->domain, recipient->domain) != 0)
		return false;
	if (s->destination[0] == '\0')
		return true;
	action_way(a->queue, envelope, recipient, &way);
	return selector_fits_way(s, &way);
}

/* Another answer than 0 ends a turn, and the row that gave it was taken. */
static int
action_row(const struct store_envelope *envelope,
    const struct store_recipient *recipient, void *arg)
{
	struct action *a = arg;
	struct selector_way way;

	if (a->selector->until_id != 0 &&
	    envelope->id > a->selector->until_id) {
		a->at_end = true;
		return 1;
	}
	a->seen++;
	if (!a->named)
		a->named = action_has_names(a, envelope, recipient);
	if (selector_fits(a->selector, envelope, recipient)) {
		if (a->selector->destination[0] != '\0') {
			action_way(a->queue, envelope, recipient, &way);
			if (!selector_fits_way(a->selector, &way))
				return 0;
		}
		if (action_take(a, envelope, recipient) != 0)
			return 1;
	}
	if (a->len == ACTION_PIECE)
		return 1;
	return a->seen % 16 == 0 && time_monotonic_ms() >= a->turn_until_ms;
}

/* By id where there are ids, else all of it from where we were. */
static int
action_walk(struct queue *q, struct action *a)
{
	const struct selector *s = a->selector;
	struct store_filter filter = { 0 }; /* what fits is ours to see */
	uint64_t before;
	int ret;

	if (s->nids == 0) {
		before = a->seen;
		ret = store_list(q->store, &a->cursor, &filter, ACTION_LOOK,
		    action_row, a);
		if (ret == 0 && a->seen - before < ACTION_LOOK)
			a->at_end = true;
		return ret;
	}
	do {
		filter.message = s->ids[a->next_id];
		/* Another message's: from its first recipient on. */
		if (a->cursor.message != filter.message)
			memset(&a->cursor, 0, sizeof(a->cursor));
		before = a->seen;
		ret = store_list(q->store, &a->cursor, &filter, ACTION_LOOK,
		    action_row, a);
		if (ret == 0 && a->seen - before < ACTION_LOOK)
			a->next_id++;
		a->at_end = a->at_end || a->next_id == s->nids;
	} while (
	    ret == 0 && !a->at_end && time_monotonic_ms() < a->turn_until_ms);
	return ret;
}

/* Whether it changes anything. */
static bool
action_changes(const struct action *a)
{
	return !a->dry && a->verb != ACT_LIST && a->verb != ACT_SUMMARY;
}

/* Whether the store says what we know.  False: not before that time. */
static bool
action_is_current(struct queue *q, const struct action *a, int64_t *wait_msp)
{
	return !action_changes(a) || group_settle_soon(q, wait_msp);
}

static uint32_t
action_rows(const struct change *c)
{
	return ((const struct action *)c)->len;
}

static int
action_apply(struct queue *q, struct change *c)
{
	return action_write_rows(q, (struct action *)c);
}

static void
action_committed(struct queue *q, struct change *c)
{
	struct action *a = (struct action *)c;

	action_tell_rows(q, a);
	a->len = 0;
	a->committing = false;
	if (time_monotonic_ms() - a->told_ms >= ACTION_TELL_MS)
		action_tell(q, a, false);
	/* Some of the time is left to all else. */
	action_soon(q, 1);
}

static const struct change_ops action_ops = {
	.rows = action_rows,
	.apply = action_apply,
	.committed = action_committed,
};

static void
action_commit(struct queue *q, struct action *a)
{
	a->change.ops = &action_ops;
	a->committing = true;
	group_add(q, &a->change);
}

/* One turn; the action may be gone behind it. */
static void
action_turn(struct queue *q, struct action *a)
{
	int64_t begun_ms, wait_ms;

	if (a->stopped || a->cancelled || a->at_end) {
		action_end(q, a);
		return;
	}
	if (!action_is_current(q, a, &wait_ms)) {
		action_soon(q, wait_ms);
		return;
	}
	begun_ms = time_monotonic_ms();
	a->turn_until_ms = begun_ms + ACTION_TURN_MS;
	if (action_walk(q, a) == -1) {
		log_line(LOG_ERROR, "reading the queue: %s",
		    store_error(q->store));
		a->stopped = true;
	}
	a->work_ms += time_monotonic_ms() - begun_ms;
	if (a->len > 0)
		action_commit(q, a);
	if (a->committing)
		return;
	if (a->stopped || a->at_end) {
		action_end(q, a);
		return;
	}
	if (a->is_census)
		summary_progress(q, a);
	else if (a->verb != ACT_LIST &&
	    time_monotonic_ms() - a->told_ms >= ACTION_TELL_MS)
		action_tell(q, a, false);
	/* What nobody asked for leaves as much time to all else as it takes. */
	action_soon(q, a->is_census ? ACTION_TURN_MS : 0);
}

/* A reader that is behind is waited for. */
static bool
action_must_wait(const struct queue *q, const struct action *a)
{
	return a->verb == ACT_LIST && q->control != NULL &&
	    channel_backlog(q->control) > LIST_LIMIT_MAX;
}

void
action_turns(evutil_socket_t fd, short what, void *arg)
{
	struct queue *q = arg;
	struct action *a, *next;
	int64_t until_ms = time_monotonic_ms() + ACTION_TURN_MS;

	(void)fd;
	(void)what;
	if (summary_answer(q))
		action_soon(q, 0);
	for (a = TAILQ_FIRST(&q->actions); a != NULL; a = next) {
		next = TAILQ_NEXT(a, entry);
		if (a->committing)
			continue;
		if (action_must_wait(q, a) || time_monotonic_ms() > until_ms) {
			action_soon(q, 1);
			continue;
		}
		/* The others before it next time. */
		TAILQ_REMOVE(&q->actions, a, entry);
		TAILQ_INSERT_TAIL(&q->actions, a, entry);
		action_turn(q, a);
	}
}

/* One that is about to be committed takes more of the same user's. */
static struct action *
action_wish_of(struct queue *q, uint32_t uid)
{
	struct action *a;

	TAILQ_FOREACH(a, &q->actions, entry)
		if (a->is_wish && a->committing && !a->change.is_written &&
		    a->uid == uid && a->len < ACTION_PIECE)
			return a;
	a = calloc(1, sizeof(*a));
	if (a == NULL)
		return NULL;
	a->queue = q;
	a->uid = uid;
	a->verb = ACT_DELETE;
	a->is_wish = a->cancelled = true; /* who wished has had an answer */
	TAILQ_INSERT_TAIL(&q->actions, a, entry);
	q->nactions++;
	return a;
}

void
action_carry_out(struct queue *q, const struct schedule_recipient *r)
{
	struct action *a = action_wish_of(q, r->wish_uid);

	if (a == NULL) {
		log_line(LOG_ERROR,
		    "%" PRIX64 ": out of memory: a recipient that was in "
		    "delivery is not deleted",
		    r->message->id);
		return;
	}
	action_add_wish(a, r);
	if (!a->committing)
		action_commit(q, a);
}

static struct action *
action_new(struct queue *q, const struct message *m)
{
	const struct msg_act *act = m->payload;
	struct action *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	a->selector = selector_new(m);
	if (a->selector == NULL) {
		free(a);
		return NULL;
	}
	a->queue = q;
	a->request = act->request;
	a->uid = act->uid;
	a->verb = (enum act_verb)act->verb;
	a->by = (enum summary_by)act->by;
	a->dry = act->dry != 0 && a->verb != ACT_LIST;
	a->limit = act->limit < LIST_LIMIT_MAX ? act->limit : LIST_LIMIT_MAX;
	if (a->dry)
		a->limit =
		    act->limit < ACTION_SHOWN ? act->limit : ACTION_SHOWN;
	a->cursor.message = act->after_id;
	a->cursor.index = act->after_index;
	while (a->next_id < a->selector->nids &&
	    a->selector->ids[a->next_id] < act->after_id)
		a->next_id++;
	a->at_end = (a->verb == ACT_LIST && a->limit == 0) ||
	    (a->selector->nids > 0 && a->next_id == a->selector->nids);
	a->told_ms = time_monotonic_ms();
	if (a->verb == ACT_SUMMARY) {
		a->census = census_new(time_real_ms());
		if (a->census == NULL) {
			selector_free(a->selector);
			free(a);
			return NULL;
		}
	}
	/* What comes in later is not meant. */
	if (a->verb != ACT_LIST && a->selector->until_id == 0)
		a->selector->until_id = store_last_id(q->store);
	return a;
}

struct action *
action_count(struct queue *q)
{
	struct action *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	a->selector = selector_new_of_all();
	a->census = census_new(time_real_ms());
	if (a->selector == NULL || a->census == NULL) {
		selector_free(a->selector);
		census_free(a->census);
		free(a);
		return NULL;
	}
	a->queue = q;
	a->verb = ACT_SUMMARY;
	a->by = SUMMARY_DESTINATION;
	a->is_census = true;
	a->selector->until_id = store_last_id(q->store);
	TAILQ_INSERT_TAIL(&q->actions, a, entry);
	q->nactions++;
	action_soon(q, 0);
	return a;
}

void
action_begin(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_act *act = m->payload;
	struct queue *q = ctx;
	struct action *a;
	char why[128];

	(void)from;
	if (q->nactions >= ACTIONS_MAX) {
		tell_refused(q, act->request, 451, "4.3.2",
		    "too many actions run: wait until one has ended");
		return;
	}
	a = action_new(q, m);
	if (a == NULL) {
		tell_refused(q, act->request, errno == EINVAL ? 501 : 451,
		    "4.3.0",
		    errno == EINVAL ? "no such selection" : "no memory");
		return;
	}
	if (a->verb == ACT_MOVE &&
	    config_transport(q->config, a->selector->to) == NULL) {
		(void)snprintf(why, sizeof(why),
		    "the configuration has no transport %s", a->selector->to);
		tell_refused(q, act->request, 501, "5.3.5", why);
		selector_free(a->selector);
		free(a);
		return;
	}
	TAILQ_INSERT_TAIL(&q->actions, a, entry);
	q->nactions++;
	action_turn(q, a);
}

void
action_stop(void *ctx, struct channel *from, const struct message *m)
{
	struct action *a =
	    action_find(ctx, ((const struct msg_request *)m->payload)->request);

	(void)from;
	if (a == NULL)
		return; /* it has just ended */
	a->stopped = true;
	action_soon(ctx, 0);
}

void
action_cancel(struct queue *q, uint64_t request)
{
	struct action *a = action_find(q, request);

	if (a == NULL)
		return;
	a->cancelled = true;
	action_soon(q, 0);
}

/* Nobody is there to hear of any. */
void
action_cancel_all(struct queue *q)
{
	struct action *a;

	TAILQ_FOREACH(a, &q->actions, entry)
		a->cancelled = true;
	action_soon(q, 0);
}

void
action_clear(struct queue *q)
{
	while (!TAILQ_EMPTY(&q->actions))
		action_free(q, TAILQ_FIRST(&q->actions));
}
