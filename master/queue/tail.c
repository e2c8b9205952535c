/* SPDX-License-Identifier: ISC */
/* Events as they fall: a log line each, and an object for whoever listens. */
#include "master/queue/tail.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/pattern.h"
#include "common/util.h"
#include "master/queue/count.h"
#include "master/queue/queue_internal.h"
#include "master/queue/tell.h"

static bool
tail_fits(const char *pattern, const char *text)
{
	return pattern[0] == '\0' ||
	    (text != NULL && pattern_matches(pattern, text));
}

/* The domain of the recipient, or a part of the relay's name. */
static bool
tail_fits_destination(const char *name, const struct event *event)
{
	char domain[STORE_DOMAIN_SIZE];

	if (name[0] == '\0')
		return true;
	if (event->recipient == NULL)
		return false;
	store_address_domain(event->recipient, domain);
	return pattern_matches(name, domain) ||
	    (event->relay != NULL && event->relay[0] != '\0' &&
		pattern_found(name, event->relay));
}

static const char *
tail_status(const struct event *event)
{
	switch (event->kind) {
	case EVENT_ACCEPTED:
		return "accepted";
	case EVENT_ACTIVE:
		return "active";
	case EVENT_EXPIRED:
		return "expired";
	case EVENT_OUTCOME:
		return event_status(&event->outcome);
	case EVENT_REMOVED:
		return "removed";
	case EVENT_CHANGED:
		return event->change;
	case EVENT_NOTICE:
		return "notice";
	case EVENT_KEPT:
		return "kept";
	case EVENT_KINDS:
		break;
	}
	return "";
}

/* All that tail_status() may say. */
#define STATUS_WORDS                                                           \
	"accepted, active, sent, deferred, bounced, deliverable, "             \
	"undeliverable, expired, removed, held, released, deleted, moved, "    \
	"notice, kept"

/* Whether any event has a status that fits the pattern. */
static bool
has_status(const char *pattern)
{
	static const char words[] = STATUS_WORDS;
	char word[16];
	size_t at, n;

	for (at = 0; words[at] != '\0'; at += n + strspn(words + at + n, ", ")) {
		n = strcspn(words + at, ",");
		memcpy(word, words + at, n);
		word[n] = '\0';
		if (pattern_matches(pattern, word))
			return true;
	}
	return pattern[0] == '\0';
}

bool
tail_wants(const struct tail_filter *filter, const struct event *event)
{
	if (filter->id != 0 && filter->id != event->id)
		return false;
	if (strcmp(filter->sender, "<>") == 0
		? event->reverse_path == NULL || event->reverse_path[0] != '\0'
		: !tail_fits(filter->sender, event->reverse_path))
		return false;
	return tail_fits(filter->recipient, event->recipient) &&
	    tail_fits(filter->status, tail_status(event)) &&
	    tail_fits_destination(filter->destination, event);
}

static void
tail_send(struct queue *q, struct tail *tail, const char *object)
{
	struct msg_told told;

	if (q->control == NULL || channel_backlog(q->control) >= TAIL_BEHIND) {
		tail->lost++;
		return;
	}
	memset(&told, 0, sizeof(told));
	told.request = tail->request;
	told.lost = tail->lost;
	tail->lost = 0;
	(void)channel_send(q->control, MSG_TOLD, &told, object, strlen(object),
	    -1);
}

static void
tail_tell(struct queue *q, const struct event *event)
{
	char object[LOG_LINE_MAX];
	struct tail *tail;

	object[0] = '\0';
	TAILQ_FOREACH(tail, &q->tails, entry) {
		if (!tail_wants(&tail->filter, event))
			continue;
		if (object[0] == '\0')
			event_json(event, object, sizeof(object));
		tail_send(q, tail, object);
	}
}

static void
event_log(const struct event *event)
{
	const char *process = event_process(event);
	char line[LOG_LINE_MAX];

	if (log_is_json())
		event_json(event, line, sizeof(line));
	else
		event_text(event, line, sizeof(line));
	log_event(event_level(event), process, line);
}

/* One fact: a line, an object for who listens, and what is counted of it. */
void
event_tell(struct queue *q, struct event *event)
{
	if (event->time_ms == 0)
		event->time_ms = time_real_ms();
	count_event(q, event);
	event_log(event);
	if (q->ntails > 0)
		tail_tell(q, event);
}

static char *
tail_keep(char **at, const char *text)
{
	size_t size = strlen(text) + 1;
	char *kept = memcpy(*at, text, size);

	*at += size;
	return kept;
}

void
tail_ask(struct queue *q, const struct ask *ask)
{
	struct tail *tail;
	char *at;

	if (!has_status(ask->status)) {
		tell_refused(q, ask->request, 501, "5.5.4",
		    "no event has such a status: they are " STATUS_WORDS);
		return;
	}
	tail = q->ntails < TAILS_MAX
	    ? calloc(1,
		  sizeof(*tail) + strlen(ask->name) + strlen(ask->sender) +
		      strlen(ask->via) + strlen(ask->status) + 4)
	    : NULL;
	if (tail == NULL) {
		tell_refused(q, ask->request, 451, "4.3.2",
		    "too many listen already: end another tail");
		return;
	}
	at = tail->text;
	tail->request = ask->request;
	tail->filter.id = ask->id;
	tail->filter.recipient = tail_keep(&at, ask->name);
	tail->filter.sender = tail_keep(&at, ask->sender);
	tail->filter.destination = tail_keep(&at, ask->via);
	tail->filter.status = tail_keep(&at, ask->status);
	TAILQ_INSERT_TAIL(&q->tails, tail, entry);
	q->ntails++;
	tell(q, ask->request, "{\"event\":\"listening\"}", false);
}

static void
tail_drop(struct queue *q, struct tail *tail)
{
	TAILQ_REMOVE(&q->tails, tail, entry);
	q->ntails--;
	free(tail);
}

void
tail_cancel(struct queue *q, uint64_t request)
{
	struct tail *tail;

	TAILQ_FOREACH(tail, &q->tails, entry)
		if (tail->request == request)
			break;
	if (tail != NULL)
		tail_drop(q, tail);
}

void
tail_cancel_all(struct queue *q)
{
	while (!TAILQ_EMPTY(&q->tails))
		tail_drop(q, TAILQ_FIRST(&q->tails));
}
