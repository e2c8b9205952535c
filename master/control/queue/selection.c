/* SPDX-License-Identifier: ISC */
/* Which recipients are meant: the same options for every verb. */
#include <stdio.h>
#include <string.h>

#include "common/duration.h"
#include "common/util.h"
#include "master/control/client/control_client.h"

static int
add_string(json_t *command, const char *name, const char *value)
{
	json_t *string;

	if (value == NULL)
		return 0;
	string = json_string(value);
	if (string != NULL && value[0] != '\0')
		return json_object_set_new(command, name, string);
	json_decref(string);
	fprintf(stderr,
	    value[0] == '\0'
		? "postern: --%s is empty: leave it out, or say <> for the "
		  "null sender\n"
		: "postern: --%s is no UTF-8\n",
	    name);
	return -1;
}

static int
add_age(json_t *command, const char *name, const char *value)
{
	int64_t seconds;

	if (value == NULL)
		return 0;
	seconds = duration_parse(value);
	if (seconds != -1)
		return json_object_set_new(command, name,
		    json_integer(seconds));
	fprintf(stderr,
	    "postern: --%s %s: an age is a number with w, d, h, m or s, as "
	    "2d or 1h30m\n",
	    name, value);
	return -1;
}

static bool
is_state(const char *word, size_t n)
{
	static const char *const names[] = { "queued", "active", "deferred",
		"failed", "held" };
	size_t i;

	for (i = 0; i < NELEM(names); i++)
		if (strlen(names[i]) == n && memcmp(names[i], word, n) == 0)
			return true;
	return false;
}

/* Words with commas between them. */
static int
add_states(json_t *command, const char *value)
{
	json_t *list;
	size_t n;

	if (value == NULL)
		return 0;
	list = json_array();
	for (;; value += n + 1) {
		n = strcspn(value, ",");
		if (!is_state(value, n)) {
			fprintf(stderr,
			    "postern: --state %.*s: the states are queued, "
			    "active, deferred, failed and held\n",
			    (int)n, value);
			json_decref(list);
			return -1;
		}
		(void)json_array_append_new(list, json_stringn(value, n));
		if (value[n] == '\0')
			break;
	}
	return json_object_set_new(command, "states", list);
}

static int
add_ids(json_t *command, const struct selection *s, size_t first)
{
	json_t *list;
	size_t i, n;

	if (s->nids == 0)
		return 0;
	list = json_array();
	for (i = first; i < s->nids && i - first < MANAGE_IDS_A_PACKET; i++) {
		n = strspn(s->ids[i], "0123456789ABCDEFabcdef");
		if (n == 0 || n > 16 || s->ids[i][n] != '\0') {
			fprintf(stderr,
			    "postern: %s: a queue id is a hexadecimal "
			    "number\n",
			    s->ids[i]);
			json_decref(list);
			return -1;
		}
		(void)json_array_append_new(list, json_string(s->ids[i]));
	}
	return json_object_set_new(command, "ids", list);
}

int
selection_add(json_t *command, const struct selection *s, size_t first)
{
	return add_string(command, "sender", s->sender) == -1 ||
		add_string(command, "recipient", s->recipient) == -1 ||
		add_string(command, "destination", s->destination) == -1 ||
		add_string(command, "domain", s->domain) == -1 ||
		add_string(command, "reason", s->reason) == -1 ||
		add_states(command, s->state) == -1 ||
		add_age(command, "older", s->older) == -1 ||
		add_age(command, "younger", s->younger) == -1 ||
		add_ids(command, s, first) == -1
	    ? -1
	    : 0;
}

bool
selection_is_empty(const struct selection *s)
{
	return s->sender == NULL && s->recipient == NULL &&
	    s->destination == NULL && s->domain == NULL && s->reason == NULL &&
	    s->state == NULL && s->older == NULL && s->younger == NULL &&
	    s->nids == 0;
}
