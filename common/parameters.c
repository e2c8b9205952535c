/* SPDX-License-Identifier: ISC */
/*
 * The parameters of MAIL and RCPT: a reader of words, a writer, and what time
 * does to them.  What a value may be is in parameter_values.c.
 */
#include "common/parameters.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/date.h"

const struct parameter_desc parameter_descs[PARAMETER_COUNT] = {
#define PARAMETER(name, keyword, command, capability, octets)                  \
	[PARAMETER_##name] = { keyword, PARAMETER_OF_##command, octets },
#include "common/parameters.def"
#undef PARAMETER
};

static enum parameter
find(const char *keyword, size_t n)
{
	unsigned int i;

	for (i = 0; i < PARAMETER_COUNT; i++)
		if (strlen(parameter_descs[i].keyword) == n &&
		    memcmp(parameter_descs[i].keyword, keyword, n) == 0)
			break;
	return (enum parameter)i;
}

enum parameter
parameters_find_client(const char *name, size_t n)
{
	enum parameter parameter = find(name, n);

	return parameter != PARAMETER_COUNT &&
		parameter_descs[parameter].command == PARAMETER_OF_CLIENT
	    ? parameter
	    : PARAMETER_COUNT;
}

bool
parameters_next(const char **at, struct parameter_word *word)
{
	const char *equals;

	if (**at == '\0')
		return false;
	word->text = *at;
	word->len = strcspn(*at, " ");
	*at += word->len;
	if (**at == ' ')
		++*at;
	equals = memchr(word->text, '=', word->len);
	if (equals == NULL)
		equals = word->text + word->len;
	word->parameter = find(word->text, (size_t)(equals - word->text));
	word->value = equals + (equals < word->text + word->len ? 1 : 0);
	word->value_len = (size_t)(word->text + word->len - word->value);
	return true;
}

/* Where a word's value begins, behind what text holds; NULL: no room. */
static char *
begin_word(char *text, size_t size, enum parameter parameter, size_t *room)
{
	const char *keyword = parameter_descs[parameter].keyword;
	size_t len = strlen(text), n = strlen(keyword);

	if (size - len < n + 3)
		return NULL;
	if (len > 0)
		text[len++] = ' ';
	memcpy(text + len, keyword, n);
	len += n;
	text[len++] = '=';
	*room = size - len;
	return text + len;
}

bool
parameters_add(char *text, size_t size, enum parameter parameter,
    const char *value)
{
	size_t was = strlen(text), room;
	char *out = begin_word(text, size, parameter, &room);

	if (out != NULL && strlcpy(out, value, room) < room)
		return true;
	text[was] = '\0';
	return false;
}

bool
parameters_add_xtext(char *text, size_t size, enum parameter parameter,
    const char *prefix, const char *value)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t was = strlen(text), room, n;
	char *out = begin_word(text, size, parameter, &room);

	if (out == NULL || strlcpy(out, prefix, room) >= room)
		goto fail;
	for (n = strlen(prefix); *value != '\0'; value++) {
		if (room - n < 4)
			goto fail;
		if (*value > ' ' && *value <= '~' && *value != '+' &&
		    *value != '=') {
			out[n++] = *value;
			continue;
		}
		out[n++] = '+';
		out[n++] = digits[(unsigned char)*value >> 4];
		out[n++] = digits[*value & 0xf];
	}
	out[n] = '\0';
	return true;
fail:
	text[was] = '\0';
	return false;
}

/* Time. */

/* What is left of BY; false: nothing, and the message goes back. */
static bool
age_by(char *out, const struct parameter_word *word, int64_t elapsed)
{
	struct parameter_by by;
	char value[32];

	if (!parameters_read_by(word, &by))
		return true;
	by.seconds -= elapsed;
	if (by.seconds < -PARAMETERS_SECONDS_MAX)
		by.seconds = -PARAMETERS_SECONDS_MAX;
	if (by.returns && by.seconds <= 0)
		return false;
	(void)snprintf(value, sizeof(value), "%" PRId64 ";%s%s", by.seconds,
	    by.returns ? "R" : "N", by.trace ? "T" : "");
	(void)parameters_add(out, PARAMETERS_MAIL_SIZE, PARAMETER_BY, value);
	return true;
}

static void
age_hold(char *out, const struct parameter_word *word, int64_t elapsed)
{
	int64_t left = (int64_t)parameters_read_number(word) - elapsed;
	char value[32];

	if (left <= 0)
		return;
	(void)snprintf(value, sizeof(value), "%" PRId64, left);
	(void)parameters_add(out, PARAMETERS_MAIL_SIZE, PARAMETER_HOLDFOR,
	    value);
}

static void
copy_word(char *out, const struct parameter_word *word)
{
	size_t len = strlen(out);

	if (PARAMETERS_MAIL_SIZE - len < word->len + 2)
		return;
	if (len > 0)
		out[len++] = ' ';
	memcpy(out + len, word->text, word->len);
	out[len + word->len] = '\0';
}

bool
parameters_age(char *out, const char *text, int64_t created_ms, int64_t now_ms)
{
	/* A clock that was set back gives no time. */
	int64_t elapsed =
	    now_ms > created_ms ? (now_ms - created_ms) / 1000 : 0;
	struct parameter_word word;
	int64_t until;

	out[0] = '\0';
	while (parameters_next(&text, &word)) {
		if (word.parameter == PARAMETER_BY) {
			if (!age_by(out, &word, elapsed))
				return false;
		} else if (word.parameter == PARAMETER_HOLDFOR) {
			age_hold(out, &word, elapsed);
		} else if (word.parameter != PARAMETER_HOLDUNTIL ||
		    !date_read(word.value, word.value_len, &until) ||
		    until > now_ms / 1000) {
			copy_word(out, &word);
		}
	}
	return true;
}

int64_t
parameters_deadline_ms(const char *text, int64_t created_ms)
{
	struct parameter_word word;
	struct parameter_by by;

	while (parameters_next(&text, &word))
		if (word.parameter == PARAMETER_BY &&
		    parameters_read_by(&word, &by) && by.returns)
			return created_ms + by.seconds * 1000;
	return INT64_MAX;
}
