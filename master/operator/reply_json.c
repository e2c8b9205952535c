/* SPDX-License-Identifier: ISC */
/* See reply_json.h. */
#include "master/operator/reply_json.h"

#include "common/util.h"
#include "master/clients/answer.h"

char *
reply_json_status(const struct message *m)
{
	const struct msg_status *s = m->payload;
	json_t *object = json_object();

	answer_set_string(object, "role", role_name(s->role));
	answer_set_number(object, "pid", s->pid);
	answer_set_number(object, "restarts", s->restarts);
	if (s->since_s != 0)
		answer_set_number(object, "since", s->since_s);
	(void)json_object_set_new(object, "layers",
	    json_stringn((const char *)m->tail, m->tail_len));
	(void)json_object_set_new(object, "done", json_boolean(s->last));
	return answer_dump(object);
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
		answer_set_string(object, name, value);
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
reply_json_listed(const struct message *m)
{
	const struct msg_listed *l = m->payload;
	const char *from, *rcpt, *relay, *reply, *ref, *mail, *params, *via;
	json_t *object, *last;
	size_t at = 0;

	from = answer_next(m, &at);
	rcpt = answer_next(m, &at);
	relay = answer_next(m, &at);
	reply = answer_next(m, &at);
	ref = answer_next(m, &at);
	mail = answer_next(m, &at);
	params = answer_next(m, &at);
	via = answer_next(m, &at);
	object = answer_new(ref);
	answer_set_id(object, l->id);
	answer_set_number(object, "index", l->index);
	answer_set_string(object, "from", from);
	answer_set_string(object, "recipient", rcpt);
	answer_set_number(object, "size", l->size);
	answer_set_number(object, "uid", l->uid);
	answer_set_number(object, "arrived_ms", (uint64_t)l->arrived_ms);
	answer_set_string(object, "state", state_name(l->state));
	(void)json_object_set_new(object, "in_doubt",
	    json_boolean(l->in_doubt));
	if (l->kept != 0)
		(void)json_object_set_new(object, "kept", json_true());
	answer_set_number(object, "attempts", l->attempts);
	answer_set_number(object, "next_ms", (uint64_t)l->next_ms);
	answer_set_number(object, "recipients", l->nrcpts);
	if (l->finished_ms != 0)
		answer_set_number(object, "finished_ms",
		    (uint64_t)l->finished_ms);
	set_asked(object, "mail_parameters", mail);
	set_asked(object, "rcpt_parameters", params);
	set_asked(object, "via", via);
	set_flags(object, l->flags);
	if (l->outcome.dsn[0] != '\0') {
		last = json_object();
		answer_set_outcome(last, &l->outcome, relay, reply);
		(void)json_object_set_new(object, "last", last);
	}
	return answer_dump(object);
}

char *
reply_json_transcript_part(const struct message *m)
{
	json_t *object = json_object();
	const char *name, *text;
	size_t at = 0;

	name = answer_next(m, &at);
	text = answer_next(m, &at);
	answer_set_string(object, "transcript", name);
	answer_set_string(object, "text", text);
	return answer_dump(object);
}

char *
reply_json_transcripts_end(const struct message *m)
{
	const struct msg_transcripts_end *e = m->payload;
	json_t *object = json_object();

	(void)json_object_set_new(object, "more", json_boolean(e->more));
	(void)json_object_set_new(object, "done", json_true());
	return answer_dump(object);
}

char *
reply_json_list_end(const struct message *m)
{
	const struct msg_list_end *e = m->payload;
	json_t *object = json_object(), *counts = json_object();
	uint32_t i;

	for (i = 0; i < RECIPIENT_STATES; i++)
		answer_set_number(counts, state_name(i), e->counts[i]);
	(void)json_object_set_new(object, "counts", counts);
	answer_set_number(object, "sessions", e->sessions);
	(void)json_object_set_new(object, "more", json_boolean(e->more));
	if (e->unknown != ACT_UNKNOWN_NONE)
		answer_set_string(object, "unknown",
		    e->unknown == ACT_UNKNOWN_DOMAIN ? "domain"
						     : "destination");
	(void)json_object_set_new(object, "done", json_true());
	return answer_dump(object);
}
