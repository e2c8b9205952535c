/* SPDX-License-Identifier: ISC */
/* See job_answer.h. */
#include "master/intake/job/job_answer.h"

#include "master/clients/answer.h"

static char *
accepted(const char *ref, uint64_t id, const char *status)
{
	json_t *object = answer_new(ref);

	answer_set_string(object, "status", status);
	answer_set_id(object, id);
	return answer_dump(object);
}

char *
job_answer_queued(const char *ref, uint64_t id)
{
	return accepted(ref, id, "queued");
}

char *
job_answer_taken(const char *ref, uint64_t id)
{
	return accepted(ref, id, "taken");
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
	answer_set_string(info, "version", tls->version);
	answer_set_string(info, "cipher", tls->cipher);
	(void)json_object_set_new(info, "verified",
	    json_boolean(tls->verified));
	(void)json_object_set_new(info, "resumed", json_boolean(tls->resumed));
	(void)json_object_set_new(object, "tls", info);
}

char *
job_answer_result(const char *ref, const struct message *m)
{
	const struct msg_result *r = m->payload;
	json_t *object = answer_new(ref);
	const char *rcpt, *relay, *reply;
	size_t at = 0;

	rcpt = answer_next(m, &at);
	relay = answer_next(m, &at);
	reply = answer_next(m, &at);
	answer_set_id(object, r->id);
	answer_set_string(object, "recipient", rcpt);
	answer_set_outcome(object, &r->outcome, relay, reply);
	set_tls(object, &r->tls);
	(void)json_object_set_new(object, "final", json_boolean(r->final));
	return answer_dump(object);
}

char *
job_answer_results_end(const char *ref, const char *error)
{
	json_t *object = answer_new(ref);

	(void)json_object_set_new(object, "done", json_true());
	if (error != NULL)
		answer_set_string(object, "error", error);
	return answer_dump(object);
}

char *
job_answer_trace(const struct message *m)
{
	const struct msg_trace *t = m->payload;
	json_t *object = json_object();

	answer_set_string(object, "from", t->from_remote ? "remote" : "us");
	(void)json_object_set_new(object, "line",
	    json_stringn((const char *)m->tail, m->tail_len));
	return answer_dump(object);
}

char *
job_answer_lines_lost(uint64_t count)
{
	json_t *object = json_object();

	answer_set_string(object, "from", "us");
	answer_set_string(object, "line",
	    "(lines are missing here: they were not read in time)");
	answer_set_number(object, "lost", count);
	return answer_dump(object);
}
