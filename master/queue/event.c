/* SPDX-License-Identifier: ISC */
/* See event.h. */
#include "master/queue/event.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/json_out.h"
#include "common/log.h"
#include "master/queue/reason.h"
#include "master/queue/store.h"

enum {
	EVENT_ADDRESS_SIZE = 4 * 1001,
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

int64_t
event_total_ms(const struct event *event)
{
	return event->delays_ms[0] + event->delays_ms[1] + event->delays_ms[2] +
	    event->delays_ms[3];
}

/* What stands in the parentheses: replies carry text of others. */
static void
event_reason(const struct event *event, char *out, size_t size)
{
	char text[REASON_SIZE];
	size_t n = 0;

	reason_tell(text, sizeof(text), &event->outcome,
	    event->relay != NULL ? event->relay : "",
	    event->reply != NULL ? event->reply : "");
	if (event->outcome.in_doubt &&
	    event->outcome.status != OUTCOME_DELIVERED)
		n = strlcpy(out, "perhaps delivered: ", size);
	(void)log_escape(out + n, size - n, text, strlen(text));
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

	assert(event->recipient != NULL); /* each outcome is somebody's */
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

const char *
event_process(const struct event *event)
{
	static const char *const processes[EVENT_KINDS] = {
		[EVENT_ACCEPTED] = "pickup",
		[EVENT_ACTIVE] = "qmgr",
		[EVENT_OUTCOME] = "smtp",
		[EVENT_EXPIRED] = "qmgr",
		[EVENT_REMOVED] = "qmgr",
		[EVENT_CHANGED] = "postsuper",
		[EVENT_NOTICE] = "bounce",
		[EVENT_KEPT] = "bounce",
	};

	if (event->kind == EVENT_OUTCOME && event->lmtp)
		return "lmtp";
	if (event->kind == EVENT_ACCEPTED && event->client != NULL)
		return "smtpd";
	return processes[event->kind];
}

unsigned
event_level(const struct event *event)
{
	return event->kind == EVENT_KEPT ? LOG_WARN : LOG_INFO;
}

static void
event_accepted_text(const struct event *event, const char *id,
    const char *sender, char *out, size_t size)
{
	const char *ref = event->ref != NULL ? event->ref : "";
	char escaped[EVENT_ADDRESS_SIZE];

	(void)log_escape(escaped, sizeof(escaped), ref, strlen(ref));
	if (event->client != NULL)
		(void)snprintf(out, size, "%s: client=%s, ref=%s", id,
		    event->client, escaped);
	else
		(void)snprintf(out, size, "%s: uid=%u from=<%s>%s%s", id,
		    event->uid, sender, ref[0] != '\0' ? ", ref=" : "",
		    escaped);
}

void
event_text(const struct event *event, char *out, size_t size)
{
	const char *address =
	    event->recipient != NULL ? event->recipient : event->reverse_path;
	char escaped[EVENT_ADDRESS_SIZE];
	char id[STORE_ID_SIZE];

	if (event->kind == EVENT_EXPIRED)
		address = event->reverse_path;
	if (address == NULL)
		address = "";
	(void)log_escape(escaped, sizeof(escaped), address, strlen(address));
	store_id_format(event->id, id);
	switch (event->kind) {
	case EVENT_ACCEPTED:
		event_accepted_text(event, id, escaped, out, size);
		break;
	case EVENT_ACTIVE:
		(void)snprintf(out, size,
		    "%s: from=<%s>, size=%" PRIu64 ", nrcpt=%u (queue active)",
		    id, escaped, event->size, event->nrcpt);
		break;
	case EVENT_OUTCOME:
		event_outcome_text(event, id, out, size);
		break;
	case EVENT_EXPIRED:
		(void)snprintf(out, size,
		    "%s: from=<%s>, status=expired, returned to sender", id,
		    escaped);
		break;
	case EVENT_REMOVED:
		(void)snprintf(out, size, "%s: removed", id);
		break;
	case EVENT_CHANGED:
		(void)snprintf(out, size, "%s: recipient: <%s>, %s by uid %u",
		    id, escaped, event->change, event->uid);
		break;
	case EVENT_NOTICE:
		(void)snprintf(out, size, "%s: %s %s: %" PRIX64, id,
		    event->reader, event->notice, event->notice_id);
		break;
	case EVENT_KEPT:
		(void)snprintf(out, size,
		    "%s: undeliverable notification to <%s> kept in the queue "
		    "as failed",
		    id, escaped);
		break;
	case EVENT_KINDS:
		break;
	}
}

static void
event_protection(const struct event *event, struct json_out *json)
{
	const struct tls_info *tls = event->tls;
	bool on = tls != NULL && tls->on &&
	    memchr(tls->version, '\0', sizeof(tls->version)) != NULL;

	json_out_string(json, "tls", on ? tls->version : "");
	json_out_bool(json, "verified", on && tls->verified);
}

static void
event_outcome_json(const struct event *event, struct json_out *json)
{
	int i;

	json_out_string(json, "to", event->recipient);
	json_out_string(json, "status", event_status(&event->outcome));
	json_out_bool(json, "final", event->final);
	json_out_number(json, "code", event->outcome.code);
	json_out_string(json, "dsn", event->outcome.dsn);
	json_out_string(json, "step", outcome_step_name(event->outcome.step));
	json_out_bool(json, "in_doubt", event->outcome.in_doubt);
	json_out_string(json, "protocol", event->lmtp ? "lmtp" : "smtp");
	json_out_string(json, "transport",
	    event->transport != NULL ? event->transport : "");
	json_out_string(json, "relay",
	    event->relay != NULL ? event->relay : "");
	event_protection(event, json);
	json_out_number(json, "delay_ms", event_total_ms(event));
	json_out_list(json, "delays_ms");
	for (i = 0; i < 4; i++)
		json_out_number(json, NULL, event->delays_ms[i]);
	json_out_close(json);
	json_out_string(json, "reply",
	    event->reply != NULL ? event->reply : "");
}

static const char *
event_name(const struct event *event)
{
	static const char *const names[EVENT_KINDS] = {
		[EVENT_ACCEPTED] = "accepted",
		[EVENT_ACTIVE] = "active",
		[EVENT_OUTCOME] = "outcome",
		[EVENT_EXPIRED] = "expired",
		[EVENT_REMOVED] = "removed",
		[EVENT_NOTICE] = "notice",
		[EVENT_KEPT] = "kept",
	};

	return event->kind == EVENT_CHANGED ? event->change
					    : names[event->kind];
}

void
event_json(const struct event *event, char *out, size_t size)
{
	char id[STORE_ID_SIZE];
	struct json_out json;

	json_out_begin(&json, out, size);
	json_out_string(&json, "event", event_name(event));
	json_out_number(&json, "time_ms", event->time_ms);
	store_id_format(event->id, id);
	json_out_string(&json, "id", id);
	if (event->reverse_path != NULL)
		json_out_string(&json, "from", event->reverse_path);
	switch (event->kind) {
	case EVENT_ACCEPTED:
		json_out_number(&json, "uid", event->uid);
		json_out_number(&json, "client_pid", event->pid);
		json_out_string(&json, "client",
		    event->client != NULL ? event->client : "");
		json_out_string(&json, "ref",
		    event->ref != NULL ? event->ref : "");
		__attribute__((fallthrough));
	case EVENT_ACTIVE:
		json_out_number(&json, "size", (int64_t)event->size);
		json_out_number(&json, "nrcpt", event->nrcpt);
		break;
	case EVENT_OUTCOME:
		event_outcome_json(event, &json);
		break;
	case EVENT_CHANGED:
		json_out_string(&json, "to", event->recipient);
		json_out_number(&json, "uid", event->uid);
		break;
	case EVENT_NOTICE:
		json_out_string(&json, "reader", event->reader);
		json_out_string(&json, "notice", event->notice);
		store_id_format(event->notice_id, id);
		json_out_string(&json, "notice_id", id);
		break;
	case EVENT_EXPIRED:
	case EVENT_KEPT:
		json_out_string(&json, "to", event->recipient);
		break;
	case EVENT_REMOVED:
	case EVENT_KINDS:
		break;
	}
	(void)json_out_end(&json); /* what did not fit is not there */
}
