/* SPDX-License-Identifier: ISC */
/* See answer.h; jansson's doorway for what goes out. */
#include "master/intake/answer.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/util.h"

#define ID_SIZE 20

/* Frees the object. */
static char *
dump(json_t *object)
{
	char *text;

	if (object == NULL)
		return NULL;
	text = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	return text;
}

static void
set_string(json_t *object, const char *name, const char *value)
{
	/* What is no UTF-8 is left out: senders escape, so there is none. */
	(void)json_object_set_new(object, name, json_string(value));
}

static void
set_number(json_t *object, const char *name, uint64_t value)
{
	(void)json_object_set_new(object, name,
	    json_integer((json_int_t)value));
}

static void
set_id(json_t *object, uint64_t id)
{
	char hex[ID_SIZE];

	(void)snprintf(hex, sizeof(hex), "%llX", (unsigned long long)id);
	set_string(object, "id", hex);
}

static json_t *
new_object(const char *ref)
{
	json_t *object = json_object();

	if (object != NULL && ref[0] != '\0')
		set_string(object, "ref", ref);
	return object;
}

static char *
answer_accepted(const char *ref, uint64_t id, const char *status)
{
	json_t *object = new_object(ref);

	set_string(object, "status", status);
	set_id(object, id);
	return dump(object);
}

char *
answer_queued(const char *ref, uint64_t id)
{
	return answer_accepted(ref, id, "queued");
}

char *
answer_taken(const char *ref, uint64_t id)
{
	return answer_accepted(ref, id, "taken");
}

char *
answer_refused(const char *ref, unsigned code, const char *dsn,
    const char *text)
{
	json_t *object = new_object(ref);

	set_string(object, "status", "refused");
	set_number(object, "code", code);
	set_string(object, "dsn", dsn);
	set_string(object, "error", text);
	return dump(object);
}

/* The next string of the tail; an empty one where it ends early. */
static const char *
next(const struct message *m, size_t *at)
{
	const char *s = message_tail_next(m, at);

	return s != NULL ? s : "";
}

static void
set_outcome(json_t *object, const struct outcome *o, const char *relay,
    const char *reply)
{
	char dsn[OUTCOME_DSN_SIZE];

	strlcpy(dsn, message_string_ok(o->dsn, sizeof(o->dsn)) ? o->dsn : "",
	    sizeof(dsn));
	set_string(object, "status", outcome_word(o));
	set_number(object, "code", o->code);
	set_string(object, "dsn", dsn);
	set_string(object, "reply", reply);
	set_string(object, "relay", relay);
	set_string(object, "step", outcome_step_name(o->step));
	(void)json_object_set_new(object, "in_doubt",
	    json_boolean(o->in_doubt));
}

static void
set_tls(json_t *object, const struct tls_info *tls)
{
	json_t *info;

	if (!tls->on ||
	    !message_string_ok(tls->version, sizeof(tls->version)) ||
	    !message_string_ok(tls->cipher, sizeof(tls->cipher))) {
		(void)json_object_set_new(object, "tls", json_null());
		return;
	}
	info = json_object();
	set_string(info, "version", tls->version);
	set_string(info, "cipher", tls->cipher);
	(void)json_object_set_new(info, "verified",
	    json_boolean(tls->verified));
	(void)json_object_set_new(info, "resumed", json_boolean(tls->resumed));
	(void)json_object_set_new(object, "tls", info);
}

char *
answer_result(const char *ref, const struct message *m)
{
	const struct msg_result *r = m->payload;
	json_t *object = new_object(ref);
	const char *rcpt, *relay, *reply;
	size_t at = 0;

	rcpt = next(m, &at);
	relay = next(m, &at);
	reply = next(m, &at);
	set_id(object, r->id);
	set_string(object, "recipient", rcpt);
	set_outcome(object, &r->outcome, relay, reply);
	set_tls(object, &r->tls);
	(void)json_object_set_new(object, "final", json_boolean(r->final));
	return dump(object);
}

char *
answer_results_end(const char *ref, const char *error)
{
	json_t *object = new_object(ref);

	(void)json_object_set_new(object, "done", json_true());
	if (error != NULL)
		set_string(object, "error", error);
	return dump(object);
}

char *
answer_trace(const struct message *m)
{
	const struct msg_trace *t = m->payload;
	json_t *object = json_object();

	set_string(object, "from", t->from_remote ? "remote" : "us");
	(void)json_object_set_new(object, "line",
	    json_stringn((const char *)m->tail, m->tail_len));
	return dump(object);
}

char *
answer_status(const struct message *m)
{
	const struct msg_status *s = m->payload;
	json_t *object = json_object();

	set_string(object, "role", role_name(s->role));
	set_number(object, "pid", s->pid);
	set_number(object, "restarts", s->restarts);
	if (s->since_s != 0)
		set_number(object, "since", s->since_s);
	(void)json_object_set_new(object, "layers",
	    json_stringn((const char *)m->tail, m->tail_len));
	(void)json_object_set_new(object, "done", json_boolean(s->last));
	return dump(object);
}

static const char *
state_name(uint32_t state)
{
	static const char *const names[RECIPIENT_STATES] = { "queued", "active",
		"delivered", "deferred", "failed", "held" };

	return state < NELEM(names) ? names[state] : "state?";
}

/* What few messages have, left out where they have not. */
static void
set_asked(json_t *object, const char *name, const char *value)
{
	if (value[0] != '\0')
		set_string(object, name, value);
}

static void
set_flags(json_t *object, uint32_t flags)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} names[] = {
		{ SUBMIT_8BIT, "8bit" },
		{ SUBMIT_BINARY, "binary" },
		{ SUBMIT_SMTPUTF8, "smtputf8" },
		{ SUBMIT_REQUIRETLS, "require_tls" },
		{ SUBMIT_TLS_OPTIONAL, "tls_optional" },
	};
	json_t *list = NULL;
	size_t i;

	for (i = 0; i < NELEM(names); i++) {
		if ((flags & names[i].bit) == 0)
			continue;
		if (list == NULL)
			list = json_array();
		(void)json_array_append_new(list, json_string(names[i].name));
	}
	if (list != NULL)
		(void)json_object_set_new(object, "flags", list);
}

char *
answer_listed(const struct message *m)
{
	const struct msg_listed *l = m->payload;
	const char *from, *rcpt, *relay, *reply, *ref, *mail, *params, *via;
	json_t *object, *last;
	size_t at = 0;

	from = next(m, &at);
	rcpt = next(m, &at);
	relay = next(m, &at);
	reply = next(m, &at);
	ref = next(m, &at);
	mail = next(m, &at);
	params = next(m, &at);
	via = next(m, &at);
	object = new_object(ref);
	set_id(object, l->id);
	set_number(object, "index", l->index);
	set_string(object, "from", from);
	set_string(object, "recipient", rcpt);
	set_number(object, "size", l->size);
	set_number(object, "uid", l->uid);
	set_number(object, "arrived_ms", (uint64_t)l->arrived_ms);
	set_string(object, "state", state_name(l->state));
	(void)json_object_set_new(object, "in_doubt",
	    json_boolean(l->in_doubt));
	if (l->kept != 0)
		(void)json_object_set_new(object, "kept", json_true());
	set_number(object, "attempts", l->attempts);
	set_number(object, "next_ms", (uint64_t)l->next_ms);
	set_number(object, "recipients", l->nrcpts);
	if (l->finished_ms != 0)
		set_number(object, "finished_ms", (uint64_t)l->finished_ms);
	set_asked(object, "mail_parameters", mail);
	set_asked(object, "rcpt_parameters", params);
	set_asked(object, "via", via);
	set_flags(object, l->flags);
	if (l->outcome.dsn[0] != '\0') {
		last = json_object();
		set_outcome(last, &l->outcome, relay, reply);
		(void)json_object_set_new(object, "last", last);
	}
	return dump(object);
}

char *
answer_transcript_part(const struct message *m)
{
	json_t *object = json_object();
	const char *name, *text;
	size_t at = 0;

	name = next(m, &at);
	text = next(m, &at);
	set_string(object, "transcript", name);
	set_string(object, "text", text);
	return dump(object);
}

char *
answer_transcripts_end(const struct message *m)
{
	const struct msg_transcripts_end *e = m->payload;
	json_t *object = json_object();

	(void)json_object_set_new(object, "more", json_boolean(e->more));
	(void)json_object_set_new(object, "done", json_true());
	return dump(object);
}

char *
answer_list_end(const struct message *m)
{
	const struct msg_list_end *e = m->payload;
	json_t *object = json_object(), *counts = json_object();
	uint32_t i;

	for (i = 0; i < RECIPIENT_STATES; i++)
		set_number(counts, state_name(i), e->counts[i]);
	(void)json_object_set_new(object, "counts", counts);
	set_number(object, "sessions", e->sessions);
	(void)json_object_set_new(object, "more", json_boolean(e->more));
	(void)json_object_set_new(object, "done", json_true());
	return dump(object);
}
