/* SPDX-License-Identifier: ISC */
/* See event.h. */
#include "master/queue/event.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "master/queue/store.h"

enum {
	EVENT_ADDRESS_SIZE = 4 * 260,
	EVENT_REPLY_SIZE = 4 * 512,
	EVENT_DELAY_SIZE = 24,
};

const char *
event_status(const struct outcome *outcome)
{
	static const char *const words[] = {
		[OUTCOME_DELIVERED] = "sent",
		[OUTCOME_DEFERRED] = "deferred",
		[OUTCOME_FAILED] = "bounced",
	};

	/* As Postfix's verify(8) does. */
	if (outcome->step == STEP_VRFY && outcome->status != OUTCOME_DEFERRED)
		return outcome_word(outcome);
	return outcome->status < sizeof(words) / sizeof(words[0])
	    ? words[outcome->status]
	    : "status?";
}

/* Seconds with two digits that matter, as Postfix writes them. */
static const char *
event_delay(char out[static EVENT_DELAY_SIZE], int64_t ms)
{
	if (ms < 0)
		ms = 0;
	if (ms >= 10000)
		(void)snprintf(out, EVENT_DELAY_SIZE, "%" PRId64,
		    (ms + 500) / 1000);
	else if (ms >= 10)
		(void)snprintf(out, EVENT_DELAY_SIZE, "%.2g",
		    (double)ms / 1000);
	else
		(void)snprintf(out, EVENT_DELAY_SIZE, "%.1g",
		    (double)ms / 1000);
	return out;
}

static int64_t
event_total_ms(const struct event *event)
{
	return event->delays_ms[0] + event->delays_ms[1] + event->delays_ms[2] +
	    event->delays_ms[3];
}

/* What stands in the parentheses: replies carry text of others. */
static void
event_reason(const struct event *event, char *out, size_t size)
{
	const char *reply = event->reply != NULL ? event->reply : "";
	size_t n = 0;

	if (event->outcome.in_doubt &&
	    event->outcome.status != OUTCOME_DELIVERED)
		n = strlcpy(out, "perhaps delivered: ", size);
	(void)log_escape(out + n, size - n, reply, strlen(reply));
}

static void
event_outcome_text(const struct event *event, const char *id, char *out,
    size_t size)
{
	char to[EVENT_ADDRESS_SIZE];
	char reason[EVENT_REPLY_SIZE];
	char delay[5][EVENT_DELAY_SIZE];
	bool reached = event->relay != NULL && event->relay[0] != '\0';
	int i;

	(void)log_escape(to, sizeof(to), event->recipient,
	    strlen(event->recipient));
	event_reason(event, reason, sizeof(reason));
	for (i = 0; i < 4; i++)
		(void)event_delay(delay[i], event->delays_ms[i]);
	(void)event_delay(delay[4], event_total_ms(event));
	(void)snprintf(out, size,
	    "%s: to=<%s>, relay=%s, delay=%s, delays=%s/%s/%s/%s, dsn=%s, "
	    "status=%s (%s)",
	    id, to, reached ? event->relay : "none", delay[4], delay[0],
	    delay[1], delay[2], delay[3], event->outcome.dsn,
	    event_status(&event->outcome), reason);
}

void
event_text(const struct event *event, char *out, size_t size)
{
	char from[EVENT_ADDRESS_SIZE];
	char id[STORE_ID_SIZE];

	store_id_format(event->id, id);
	switch (event->kind) {
	case EVENT_ACTIVE:
		(void)log_escape(from, sizeof(from), event->reverse_path,
		    strlen(event->reverse_path));
		(void)snprintf(out, size,
		    "%s: from=<%s>, size=%" PRIu64 ", nrcpt=%u (queue active)",
		    id, from, event->size, event->nrcpt);
		break;
	case EVENT_OUTCOME:
		event_outcome_text(event, id, out, size);
		break;
	case EVENT_REMOVED:
		(void)snprintf(out, size, "%s: removed", id);
		break;
	case EVENT_CHANGED:
		(void)log_escape(from, sizeof(from), event->recipient,
		    strlen(event->recipient));
		(void)snprintf(out, size, "%s: to=<%s>, %s by uid %u", id, from,
		    event->change, event->uid);
		break;
	case EVENT_NOTICE:
		(void)snprintf(out, size, "%s: %s %s: %" PRIX64, id,
		    event->reader, event->notice, event->notice_id);
		break;
	case EVENT_DROPPED:
		(void)log_escape(from, sizeof(from), event->recipient,
		    strlen(event->recipient));
		(void)snprintf(out, size,
		    "%s: undeliverable notification to <%s> discarded", id,
		    from);
		break;
	}
}

static void
event_outcome_json(const struct event *event, const char *id, char *out,
    size_t size)
{
	char to[EVENT_ADDRESS_SIZE + EVENT_ADDRESS_SIZE / 2];
	char reply[EVENT_REPLY_SIZE];
	char relay[EVENT_ADDRESS_SIZE];
	const char *text = event->reply != NULL ? event->reply : "";
	const char *host = event->relay != NULL ? event->relay : "";

	(void)log_escape_json(to, sizeof(to), event->recipient,
	    strlen(event->recipient));
	(void)log_escape_json(reply, sizeof(reply), text, strlen(text));
	(void)log_escape_json(relay, sizeof(relay), host, strlen(host));
	(void)snprintf(out, size,
	    "\"event\":\"outcome\",\"id\":\"%s\",\"to\":\"%s\","
	    "\"relay\":\"%s\",\"delay_ms\":%" PRId64 ",\"delays_ms\":[%" PRId64
	    ",%" PRId64 ",%" PRId64 ",%" PRId64
	    "],\"dsn\":\"%s\",\"status\":\"%s\",\"code\":%u,"
	    "\"step\":\"%s\",\"in_doubt\":%s,\"reply\":\"%s\"",
	    id, to, relay, event_total_ms(event), event->delays_ms[0],
	    event->delays_ms[1], event->delays_ms[2], event->delays_ms[3],
	    event->outcome.dsn, event_status(&event->outcome),
	    event->outcome.code, outcome_step_name(event->outcome.step),
	    event->outcome.in_doubt ? "true" : "false", reply);
}

void
event_json(const struct event *event, char *out, size_t size)
{
	char from[EVENT_ADDRESS_SIZE + EVENT_ADDRESS_SIZE / 2];
	char id[STORE_ID_SIZE];

	store_id_format(event->id, id);
	switch (event->kind) {
	case EVENT_ACTIVE:
		(void)log_escape_json(from, sizeof(from), event->reverse_path,
		    strlen(event->reverse_path));
		(void)snprintf(out, size,
		    "\"event\":\"active\",\"id\":\"%s\",\"from\":\"%s\","
		    "\"size\":%" PRIu64 ",\"nrcpt\":%u",
		    id, from, event->size, event->nrcpt);
		break;
	case EVENT_OUTCOME:
		event_outcome_json(event, id, out, size);
		break;
	case EVENT_REMOVED:
		(void)snprintf(out, size, "\"event\":\"removed\",\"id\":\"%s\"",
		    id);
		break;
	case EVENT_CHANGED:
		(void)log_escape_json(from, sizeof(from), event->recipient,
		    strlen(event->recipient));
		(void)snprintf(out, size,
		    "\"event\":\"%s\",\"id\":\"%s\",\"to\":\"%s\","
		    "\"uid\":%u",
		    event->change, id, from, event->uid);
		break;
	case EVENT_NOTICE:
		(void)snprintf(out, size,
		    "\"event\":\"notice\",\"id\":\"%s\",\"reader\":\"%s\","
		    "\"notice\":\"%s\",\"notice_id\":\"%" PRIX64 "\"",
		    id, event->reader, event->notice, event->notice_id);
		break;
	case EVENT_DROPPED:
		(void)log_escape_json(from, sizeof(from), event->recipient,
		    strlen(event->recipient));
		(void)snprintf(out, size,
		    "\"event\":\"dropped\",\"id\":\"%s\",\"to\":\"%s\"", id,
		    from);
		break;
	}
}
