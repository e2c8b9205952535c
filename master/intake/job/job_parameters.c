/* SPDX-License-Identifier: ISC */
/*
 * From a job's members to parameters of MAIL and RCPT.  Types are checked here,
 * values by parameters_check().
 */
#include "master/intake/job/job_parameters.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/date.h"
#include "common/parameters.h"
#include "common/unitext.h"
#include "common/util.h"

#define TEXT_SIZE 512 /* of a client's string; longer ones fit into no line */

/* A word of the client's, and what stands for it on the wire. */
struct spelling {
	const char *word;
	const char *wire;
};

static const char *
spell(const struct spelling *list, size_t n, const char *word)
{
	for (size_t i = 0; word != NULL && i < n; i++)
		if (strcmp(list[i].word, word) == 0)
			return list[i].wire;
	return NULL;
}

static int
add(char text[PARAMETERS_MAIL_SIZE], enum parameter parameter,
    const char *value, char error[VALUE_ERROR_SIZE])
{
	if (parameters_add(text, PARAMETERS_MAIL_SIZE, parameter, value))
		return 0;
	return value_complain(error, "%s is too long",
	    parameter_descs[parameter].keyword);
}

/* One of two words. */
static int
add_spelled(const json_t *object, const char *name,
    const struct spelling words[2], enum parameter parameter,
    char text[PARAMETERS_MAIL_SIZE], char error[VALUE_ERROR_SIZE])
{
	const json_t *value = json_object_get(object, name);
	const char *wire;

	if (value == NULL)
		return 0;
	wire = spell(words, 2, json_string_value(value));
	if (wire == NULL)
		return value_complain(error, "\"%s\" must be \"%s\" or \"%s\"",
		    name, words[0].word, words[1].word);
	return add(text, parameter, wire, error);
}

static int
add_ret(const json_t *object, char text[PARAMETERS_MAIL_SIZE],
    char error[VALUE_ERROR_SIZE])
{
	static const struct spelling words[] = { { "full", "FULL" },
		{ "headers", "HDRS" } };

	return add_spelled(object, "ret", words, PARAMETER_RET, text, error);
}

/* A string that is encoded as xtext; "<>" is none at "auth". */
static int
add_xtext(const json_t *object, const char *name, enum parameter parameter,
    char text[PARAMETERS_MAIL_SIZE], char error[VALUE_ERROR_SIZE])
{
	char value[TEXT_SIZE] = "";

	if (json_object_get(object, name) == NULL)
		return 0;
	if (value_string(object, name, value, sizeof(value), error) == -1)
		return -1;
	if (parameters_add_xtext(text, PARAMETERS_MAIL_SIZE, parameter, "",
		value))
		return 0;
	return value_complain(error, "\"%s\" is too long", name);
}

/* A whole number, whatever it is: parameters_check() knows the limits. */
static int
add_number(const json_t *object, const char *name, enum parameter parameter,
    char text[PARAMETERS_MAIL_SIZE], char error[VALUE_ERROR_SIZE])
{
	const json_t *value = json_object_get(object, name);
	char digits[32];

	if (value == NULL)
		return 0;
	if (!json_is_integer(value))
		return value_complain(error, "\"%s\" must be a whole number",
		    name);
	(void)snprintf(digits, sizeof(digits), "%lld",
	    (long long)json_integer_value(value));
	return add(text, parameter, digits, error);
}

/* A number of RFC 6710, or one of its words for three of them. */
static int
add_priority(const json_t *object, char text[PARAMETERS_MAIL_SIZE],
    char error[VALUE_ERROR_SIZE])
{
	static const struct spelling words[] = { { "low", "-4" },
		{ "normal", "0" }, { "high", "4" } };
	const json_t *value = json_object_get(object, "priority");
	const char *wire;

	if (!json_is_string(value))
		return add_number(object, "priority", PARAMETER_MT_PRIORITY,
		    text, error);
	wire = spell(words, NELEM(words), json_string_value(value));
	if (wire == NULL)
		return value_complain(error,
		    "\"priority\" must be a whole number, or \"low\", "
		    "\"normal\" or \"high\"");
	return add(text, PARAMETER_MT_PRIORITY, wire, error);
}

static int
add_deliver_by(json_t *object, char text[PARAMETERS_MAIL_SIZE],
    char error[VALUE_ERROR_SIZE])
{
	static const char *const members[] = { "seconds", "mode", "trace",
		NULL };
	static const struct spelling modes[] = { { "return", "R" },
		{ "notify", "N" } };
	json_t *by = json_object_get(object, "deliver_by");
	char mode[16] = "return", value[64];
	bool trace = false;
	const char *wire;

	if (by == NULL)
		return 0;
	if (!json_is_object(by) ||
	    !json_is_integer(json_object_get(by, "seconds")))
		return value_complain(error,
		    "\"deliver_by\" must be an object with \"seconds\", a "
		    "whole number");
	if (value_members(by, members, error) == -1 ||
	    value_string(by, "mode", mode, sizeof(mode), error) == -1 ||
	    value_flag(by, "trace", &trace, error) == -1)
		return -1;
	wire = spell(modes, NELEM(modes), mode);
	if (wire == NULL)
		return value_complain(error,
		    "\"mode\" must be \"return\" or \"notify\"");
	(void)snprintf(value, sizeof(value), "%lld;%s%s",
	    (long long)json_integer_value(json_object_get(by, "seconds")), wire,
	    trace ? "T" : "");
	return add(text, PARAMETER_BY, value, error);
}

static int
add_hold_until(const json_t *object, char text[PARAMETERS_MAIL_SIZE],
    char error[VALUE_ERROR_SIZE])
{
	char value[64] = "", date[DATE_SIZE];
	int64_t seconds;

	if (json_object_get(object, "hold_until") == NULL)
		return 0;
	if (value_string(object, "hold_until", value, sizeof(value), error) ==
	    -1)
		return -1;
	if (!date_read(value, strlen(value), &seconds))
		return value_complain(error,
		    "\"hold_until\" must be a date-time of RFC 3339, such as "
		    "2026-11-23T16:17:08Z");
	date_write(seconds, date);
	return add(text, PARAMETER_HOLDUNTIL, date, error);
}

static int
check(const char *text, enum parameter_command command,
    char error[VALUE_ERROR_SIZE])
{
	const char *why = parameters_check(text, command);

	return why == NULL ? 0 : value_complain(error, "%s", why);
}

/* "client": who handed the message in, for XFORWARD and XCLIENT. */
static int
add_client(json_t *object, char text[PARAMETERS_MAIL_SIZE],
    char error[VALUE_ERROR_SIZE])
{
	static const char *const words[] = { "name", "address", "port", "helo",
		"protocol", "login", "source", NULL };
	static const struct {
		const char *name;
		enum parameter parameter;
	} texts[] = {
		{ "name", PARAMETER_CLIENT_NAME },
		{ "helo", PARAMETER_CLIENT_HELO },
		{ "login", PARAMETER_CLIENT_LOGIN },
	};
	static const struct spelling protocols[] = { { "smtp", "SMTP" },
		{ "esmtp", "ESMTP" } };
	static const struct spelling sources[] = { { "local", "LOCAL" },
		{ "remote", "REMOTE" } };
	json_t *client = json_object_get(object, "client");
	const char *address, *tag;
	size_t i;

	if (client == NULL)
		return 0;
	if (!json_is_object(client))
		return value_complain(error, "\"client\" must be an object");
	if (value_members(client, words, error) == -1 ||
	    add_number(client, "port", PARAMETER_CLIENT_PORT, text, error) ==
		-1)
		return -1;
	for (i = 0; i < NELEM(texts); i++)
		if (add_xtext(client, texts[i].name, texts[i].parameter, text,
			error) == -1)
			return -1;
	if (add_spelled(client, "protocol", protocols, PARAMETER_CLIENT_PROTO,
		text, error) == -1 ||
	    add_spelled(client, "source", sources, PARAMETER_CLIENT_SOURCE,
		text, error) == -1)
		return -1;
	if (json_object_get(client, "address") == NULL)
		return 0;
	address = json_string_value(json_object_get(client, "address"));
	if (address == NULL)
		return value_complain(error, "\"address\" must be a string");
	tag = strchr(address, ':') != NULL ? "IPV6:" : "";
	if (parameters_add_xtext(text, PARAMETERS_MAIL_SIZE,
		PARAMETER_CLIENT_ADDR, tag, address))
		return 0;
	return value_complain(error, "the client's address is too long");
}

int
job_parameters_mail(json_t *object, char text[PARAMETERS_MAIL_SIZE],
    char error[VALUE_ERROR_SIZE])
{
	if (add_ret(object, text, error) == -1 ||
	    add_xtext(object, "envid", PARAMETER_ENVID, text, error) == -1 ||
	    add_deliver_by(object, text, error) == -1 ||
	    add_number(object, "hold_for", PARAMETER_HOLDFOR, text, error) ==
		-1 ||
	    add_hold_until(object, text, error) == -1 ||
	    add_priority(object, text, error) == -1 ||
	    add_xtext(object, "auth", PARAMETER_AUTH, text, error) == -1 ||
	    add_client(object, text, error) == -1)
		return -1;
	return check(text, PARAMETER_OF_MAIL, error);
}

static int
add_notify(const json_t *object, char text[PARAMETERS_RCPT_SIZE],
    char error[VALUE_ERROR_SIZE])
{
	static const struct spelling words[] = { { "never", "NEVER" },
		{ "success", "SUCCESS" }, { "failure", "FAILURE" },
		{ "delay", "DELAY" } };
	const json_t *list = json_object_get(object, "notify");
	char value[64] = "";
	const char *wire;
	size_t i;

	if (list == NULL)
		return 0;
	if (!json_is_array(list) || json_array_size(list) == 0 ||
	    json_array_size(list) > NELEM(words))
		return value_complain(error,
		    "\"notify\" must be a list of one to four words");
	for (i = 0; i < json_array_size(list); i++) {
		wire = spell(words, NELEM(words),
		    json_string_value(json_array_get(list, i)));
		if (wire == NULL)
			return value_complain(error,
			    "\"notify\" must hold \"never\", or some of "
			    "\"success\", \"failure\" and \"delay\"");
		(void)strlcat(value, i > 0 ? "," : "", sizeof(value));
		(void)strlcat(value, wire, sizeof(value));
	}
	(void)parameters_add(text, PARAMETERS_RCPT_SIZE, PARAMETER_NOTIFY,
	    value); /* as much as four words */
	return 0;
}

/* RFC 6533, 3: an address of its own type is never in xtext. */
static bool
add_utf8_orcpt(char text[PARAMETERS_RCPT_SIZE], const char *type,
    const char *address)
{
	const size_t n = strlen(type);
	char value[TEXT_SIZE];

	memcpy(value, type, n);
	return unitext_encode(address, value + n, sizeof(value) - n) &&
	    parameters_add(text, PARAMETERS_RCPT_SIZE, PARAMETER_ORCPT, value);
}

/* "rfc822;bob@example.org": the type goes as it is, the address as xtext. */
static int
add_orcpt(const json_t *object, char text[PARAMETERS_RCPT_SIZE],
    char error[VALUE_ERROR_SIZE])
{
	char value[TEXT_SIZE] = "";
	char type[TEXT_SIZE];
	size_t n;

	if (json_object_get(object, "orcpt") == NULL)
		return 0;
	if (value_string(object, "orcpt", value, sizeof(value), error) == -1)
		return -1;
	n = strcspn(value, ";");
	if (value[n] == '\0')
		return value_complain(error,
		    "\"orcpt\" must be an address type, \";\" and an address");
	memcpy(type, value, n + 1);
	type[n + 1] = '\0';
	if (strcasecmp(type, "utf-8;") == 0) {
		if (add_utf8_orcpt(text, type, value + n + 1))
			return 0;
	} else if (strpbrk(type, " =+") == NULL &&
	    parameters_add_xtext(text, PARAMETERS_RCPT_SIZE, PARAMETER_ORCPT,
		type, value + n + 1)) {
		return 0;
	}
	return value_complain(error, "\"orcpt\" is too long, or its type none");
}

int
job_parameters_rcpt(json_t *object, char text[PARAMETERS_RCPT_SIZE],
    char error[VALUE_ERROR_SIZE])
{
	static const char *const members[] = { "address", "notify", "orcpt",
		NULL };

	if (value_members(object, members, error) == -1 ||
	    add_notify(object, text, error) == -1 ||
	    add_orcpt(object, text, error) == -1)
		return -1;
	return check(text, PARAMETER_OF_RCPT, error);
}
