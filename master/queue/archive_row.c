/* SPDX-License-Identifier: ISC */
/* See archive_row.h. */
#include "master/queue/archive_row.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/message.h"
#include "common/parameters.h"
#include "common/util.h"
#include "master/queue/store.h"

#define ROW_NUMBER_MAX (INT64_C(1) << 60) /* room to add to: ids, times */

enum {
	ROW_RCPTS_MAX = 100000, /* job_recipient_limit at its most */
};

/* A column: a number up to most, or a text of less than size octets. */
struct row_column {
	const char *name;
	int64_t most;
	size_t size; /* 0: a number */
};

static const struct row_column of_message[] = {
	{ "id", ROW_NUMBER_MAX, 0 },
	{ "created", ROW_NUMBER_MAX, 0 },
	{ "size", ROW_NUMBER_MAX, 0 },
	{ "flags", UINT32_MAX, 0 },
	{ "uid", UINT32_MAX, 0 },
	{ "nrcpts", ROW_RCPTS_MAX, 0 },
	{ "in_file", 1, 0 },
	{ "deadline", ROW_NUMBER_MAX, 0 },
	{ "remind", ROW_NUMBER_MAX, 0 },
	{ "reverse_path", 0, MSG_ADDRESS_SIZE },
	{ "parameters", 0, PARAMETERS_MAIL_SIZE },
	{ "ref", 0, MSG_ADDRESS_SIZE },
	{ "via", 0, MSG_ADDRESS_SIZE },
};

static const struct row_column of_recipient[] = {
	{ "message", ROW_NUMBER_MAX, 0 },
	{ "idx", ROW_RCPTS_MAX - 1, 0 },
	{ "state", STORE_STATE_COUNT - 1, 0 },
	{ "next_attempt", ROW_NUMBER_MAX, 0 },
	{ "finished", ROW_NUMBER_MAX, 0 },
	{ "attempts", UINT32_MAX, 0 },
	{ "in_doubt", 1, 0 },
	{ "code", 999, 0 },
	{ "step", STEP_COUNT - 1, 0 },
	{ "lane", UINT32_MAX, 0 },
	{ "notice", UINT8_MAX, 0 },
	{ "warned", UINT8_MAX, 0 },
	{ "address", 0, MSG_ADDRESS_SIZE },
	{ "domain", 0, STORE_DOMAIN_SIZE },
	{ "parameters", 0, PARAMETERS_RCPT_SIZE },
	{ "via", 0, MSG_ADDRESS_SIZE },
	{ "dsn", 0, OUTCOME_DSN_SIZE },
	{ "reply", 0, 4096 },
	{ "relay", 0, 1024 },
};

static bool
is_text(const json_t *value, size_t size)
{
	const char *at = json_string_value(value);

	if (at == NULL || json_string_length(value) >= size)
		return false;
	for (; *at != '\0'; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			return false;
	return true;
}

static bool
is_number(const json_t *value, int64_t most)
{
	return json_is_integer(value) && json_integer_value(value) >= 0 &&
	    json_integer_value(value) <= most;
}

static const char *
refuse_columns(const json_t *row, const struct row_column *columns, size_t n,
    char why[static ARCHIVE_WHY_SIZE])
{
	const json_t *value;
	size_t i;

	for (i = 0; i < n; i++) {
		value = json_object_get(row, columns[i].name);
		if (value == NULL || json_is_null(value) ||
		    (columns[i].size > 0 ? is_text(value, columns[i].size)
					 : is_number(value, columns[i].most)))
			continue;
		(void)snprintf(why, ARCHIVE_WHY_SIZE,
		    columns[i].size > 0
			? "\"%s\" is no text, too long or has controls"
			: "\"%s\" is no number that can be",
		    columns[i].name);
		return why;
	}
	return NULL;
}

static const char *
text_of(const json_t *row, const char *name)
{
	const char *text = json_string_value(json_object_get(row, name));

	return text != NULL ? text : "";
}

/* Who waits has a time to be tried at, and nobody else has. */
static bool
has_its_time(const json_t *recipient)
{
	json_int_t state =
	    json_integer_value(json_object_get(recipient, "state"));
	bool waits = state == STORE_QUEUED || state == STORE_DEFERRED;

	return waits ==
	    json_is_integer(json_object_get(recipient, "next_attempt"));
}

static const char *
refuse_recipient(const json_t *recipient, json_int_t nrcpts,
    char why[static ARCHIVE_WHY_SIZE])
{
	char domain[STORE_DOMAIN_SIZE];

	if (refuse_columns(recipient, of_recipient, NELEM(of_recipient), why) !=
	    NULL)
		return why;
	if (json_integer_value(json_object_get(recipient, "idx")) >= nrcpts)
		return "a recipient is beyond the last of its message";
	if (text_of(recipient, "address")[0] == '\0')
		return "a recipient has no address";
	store_address_domain(text_of(recipient, "address"), domain);
	if (strcmp(domain, text_of(recipient, "domain")) != 0)
		return "a recipient's domain is not that of its address";
	if (!has_its_time(recipient))
		return "a recipient's state and its next attempt are at odds";
	return parameters_check(text_of(recipient, "parameters"),
	    PARAMETER_OF_RCPT);
}

const char *
archive_row_refuse(const json_t *message, const json_t *recipients,
    char why[static ARCHIVE_WHY_SIZE])
{
	json_int_t nrcpts =
	    json_integer_value(json_object_get(message, "nrcpts"));
	const char *wrong;
	size_t i;

	wrong = refuse_columns(message, of_message, NELEM(of_message), why);
	if (wrong == NULL)
		wrong = parameters_check(text_of(message, "parameters"),
		    PARAMETER_OF_MAIL);
	for (i = 0; wrong == NULL && i < json_array_size(recipients); i++)
		wrong = refuse_recipient(json_array_get(recipients, i), nrcpts,
		    why);
	return wrong;
}
