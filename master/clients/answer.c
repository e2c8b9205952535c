/* SPDX-License-Identifier: ISC */
/* See answer.h; jansson's doorway for what goes out. */
#include "master/clients/answer.h"

#include <stdio.h>
#include <string.h>

#include "common/util.h"

#define ID_SIZE 20

/* Frees the object. */
char *
answer_dump(json_t *object)
{
	char *text;

	if (object == NULL)
		return NULL;
	text = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	return text;
}

void
answer_set_string(json_t *object, const char *name, const char *value)
{
	/* What is no UTF-8 is left out: senders escape, so there is none. */
	(void)json_object_set_new(object, name, json_string(value));
}

void
answer_set_number(json_t *object, const char *name, uint64_t value)
{
	(void)json_object_set_new(object, name,
	    json_integer((json_int_t)value));
}

void
answer_set_id(json_t *object, uint64_t id)
{
	char hex[ID_SIZE];

	(void)snprintf(hex, sizeof(hex), "%llX", (unsigned long long)id);
	answer_set_string(object, "id", hex);
}

json_t *
answer_new(const char *ref)
{
	json_t *object = json_object();

	if (object != NULL && ref[0] != '\0')
		answer_set_string(object, "ref", ref);
	return object;
}

char *
answer_refused(const char *ref, unsigned code, const char *dsn,
    const char *text)
{
	json_t *object = answer_new(ref);

	answer_set_string(object, "status", "refused");
	answer_set_number(object, "code", code);
	answer_set_string(object, "dsn", dsn);
	answer_set_string(object, "error", text);
	return answer_dump(object);
}

/* The next string of the tail; an empty one where it ends early. */
const char *
answer_next(const struct message *m, size_t *at)
{
	const char *s = message_tail_next(m, at);

	return s != NULL ? s : "";
}

void
answer_set_outcome(json_t *object, const struct outcome *o, const char *relay,
    const char *reply)
{
	char dsn[OUTCOME_DSN_SIZE];

	strlcpy(dsn, message_string_ok(o->dsn, sizeof(o->dsn)) ? o->dsn : "",
	    sizeof(dsn));
	answer_set_string(object, "status", outcome_word(o));
	answer_set_number(object, "code", o->code);
	answer_set_string(object, "dsn", dsn);
	answer_set_string(object, "reply", reply);
	answer_set_string(object, "relay", relay);
	answer_set_string(object, "step", outcome_step_name(o->step));
	(void)json_object_set_new(object, "in_doubt",
	    json_boolean(o->in_doubt));
}
