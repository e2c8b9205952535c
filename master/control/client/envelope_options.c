/* SPDX-License-Identifier: ISC */
/* See envelope_options.h. */
#include "master/control/client/envelope_options.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A number of JSON; what it may be, the intake says. */
static int
check_number(const char *option, const char *text)
{
	const char *error = NULL;

	if (text == NULL)
		return 0;
	(void)strtonum(text, INT64_MIN, INT64_MAX, &error);
	if (error == NULL)
		return 0;
	fprintf(stderr, "postern: %s: must be a whole number\n", option);
	return -1;
}

/* Takes "SECONDS[:MODE[:trace]]" apart; false where it is none. */
static bool
read_deliver_by(const char *text, int64_t *seconds, const char **mode,
    bool *trace)
{
	static const char *const modes[] = { "return", "notify" };
	const char *error = NULL;
	char digits[32];
	size_t n = strcspn(text, ":"), len;

	*mode = modes[0];
	*trace = false;
	if (n >= sizeof(digits))
		return false;
	memcpy(digits, text, n);
	digits[n] = '\0';
	*seconds = strtonum(digits, INT64_MIN, INT64_MAX, &error);
	if (error != NULL)
		return false;
	if (text[n] == '\0')
		return true;
	text += n + 1;
	len = strcspn(text, ":");
	if (len == 6 && strncmp(text, modes[1], len) == 0)
		*mode = modes[1];
	else if (len != 6 || strncmp(text, modes[0], len) != 0)
		return false;
	*trace = strcmp(text + len, ":trace") == 0;
	return *trace || text[len] == '\0';
}

static bool
is_priority_word(const char *text)
{
	return strcmp(text, "low") == 0 || strcmp(text, "normal") == 0 ||
	    strcmp(text, "high") == 0;
}

static int
check_priority(const char *text)
{
	if (text != NULL && is_priority_word(text))
		return 0;
	return check_number("--priority", text);
}

static int
check_utf8(const char *option, const char *text)
{
	json_t *string = text != NULL ? json_string(text) : NULL;
	bool bad = text != NULL && string == NULL;

	json_decref(string);
	if (bad)
		fprintf(stderr, "postern: %s: is no UTF-8\n", option);
	return bad ? -1 : 0;
}

int
envelope_options_check(const struct envelope_options *e, size_t nrcpts)
{
	const char *mode;
	int64_t seconds;
	bool trace;

	if (e->deliver_by != NULL &&
	    !read_deliver_by(e->deliver_by, &seconds, &mode, &trace)) {
		fprintf(stderr,
		    "postern: --deliver-by: must be "
		    "SECONDS[:return|notify[:trace]]\n");
		return -1;
	}
	if (e->orcpt != NULL && nrcpts != 1) {
		fprintf(stderr, "postern: --orcpt: is for one recipient\n");
		return -1;
	}
	if (check_number("--hold-for", e->hold_for) == -1 ||
	    check_priority(e->priority) == -1 ||
	    check_utf8("--ret", e->ret) == -1 ||
	    check_utf8("--envid", e->envid) == -1 ||
	    check_utf8("--hold-until", e->hold_until) == -1 ||
	    check_utf8("--submitter", e->submitter) == -1 ||
	    check_utf8("--notify", e->notify) == -1 ||
	    check_utf8("--orcpt", e->orcpt) == -1)
		return -1;
	return 0;
}

void
envelope_options_read(struct envelope_options *e, struct envelope_text *text,
    const char *parameters)
{
	struct parameter_word word;
	struct parameter_by by;

	memset(e, 0, sizeof(*e));
	while (parameters_next(&parameters, &word)) {
		if (word.parameter == PARAMETER_BY &&
		    parameters_read_by(&word, &by)) {
			(void)snprintf(text->deliver_by,
			    sizeof(text->deliver_by), "%lld:%s%s",
			    (long long)by.seconds,
			    by.returns ? "return" : "notify",
			    by.trace ? ":trace" : "");
			e->deliver_by = text->deliver_by;
		} else if (word.parameter == PARAMETER_HOLDFOR) {
			(void)snprintf(text->hold_for, sizeof(text->hold_for),
			    "%.*s", (int)word.value_len, word.value);
			e->hold_for = text->hold_for;
		} else if (word.parameter == PARAMETER_HOLDUNTIL) {
			(void)snprintf(text->hold_until,
			    sizeof(text->hold_until), "%.*s",
			    (int)word.value_len, word.value);
			e->hold_until = text->hold_until;
		}
	}
}

static void
set(json_t *object, const char *name, json_t *value)
{
	(void)json_object_set_new(object, name, value); /* takes NULL */
}

static void
set_string(json_t *object, const char *name, const char *value)
{
	if (value != NULL)
		set(object, name, json_string(value));
}

static void
set_number(json_t *object, const char *name, const char *value)
{
	if (value != NULL)
		set(object, name,
		    json_integer(strtonum(value, INT64_MIN, INT64_MAX, NULL)));
}

void
envelope_options_add(json_t *job, const struct envelope_options *e)
{
	const char *mode;
	int64_t seconds;
	bool trace;

	set_string(job, "ret", e->ret);
	set_string(job, "envid", e->envid);
	if (e->deliver_by != NULL &&
	    read_deliver_by(e->deliver_by, &seconds, &mode, &trace))
		set(job, "deliver_by",
		    json_pack("{s:I,s:s,s:b}", "seconds", (json_int_t)seconds,
			"mode", mode, "trace", (int)trace));
	set_number(job, "hold_for", e->hold_for);
	set_string(job, "hold_until", e->hold_until);
	if (e->priority != NULL && is_priority_word(e->priority))
		set_string(job, "priority", e->priority);
	else
		set_number(job, "priority", e->priority);
	set_string(job, "auth", e->submitter);
}

/* The words between commas. */
static json_t *
words(const char *text)
{
	json_t *list = json_array();
	size_t n;

	for (;; text += n + 1) {
		n = strcspn(text, ",");
		(void)json_array_append_new(list, json_stringn(text, n));
		if (text[n] == '\0')
			return list;
	}
}

json_t *
envelope_options_rcpt(const struct envelope_options *e, const char *address)
{
	json_t *string = json_string(address);
	json_t *rcpt;

	if (string == NULL || (e->notify == NULL && e->orcpt == NULL))
		return string;
	rcpt = json_object();
	set(rcpt, "address", string);
	if (e->notify != NULL)
		set(rcpt, "notify", words(e->notify));
	set_string(rcpt, "orcpt", e->orcpt);
	return rcpt;
}
