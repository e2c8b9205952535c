/* SPDX-License-Identifier: ISC */
/*
 * Any string is a list of parameters or is not; one that is stays one in the
 * queue, fits into its room, and a date keeps its meaning.
 */
#include "common/date.h"
#include "common/parameters.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* So many octets does a command's line grow, at most. */
static size_t
granted(const char *text)
{
	struct parameter_word word;
	size_t octets = 0;

	while (parameters_next(&text, &word)) {
		assert(word.parameter < PARAMETER_COUNT);
		assert(word.value + word.value_len == word.text + word.len);
		/* What goes before MAIL is none of its line's. */
		octets += parameter_descs[word.parameter].command ==
			PARAMETER_OF_CLIENT
		    ? word.len + 1
		    : parameter_descs[word.parameter].octets;
	}
	return octets;
}

static void
check_good(const char *text, enum parameter_command command)
{
	char aged[PARAMETERS_MAIL_SIZE];

	for (const char *c = text; *c != '\0'; c++)
		assert(*c >= ' ' && *c <= '~');
	assert(text[0] == '\0' || strlen(text) + 1 <= granted(text));
	if (command == PARAMETER_OF_RCPT) {
		assert(strlen(text) < PARAMETERS_RCPT_SIZE);
		return;
	}
	assert(strlen(text) < PARAMETERS_MAIL_SIZE);
	if (parameters_age(aged, text, 0, 5000))
		assert(parameters_check(aged, PARAMETER_OF_MAIL) == NULL);
	else
		assert(parameters_deadline_ms(text, 0) <= 5000);
	assert(
	    parameters_age(aged, text, 0, 0) && strlen(aged) <= strlen(text));
}

static void
check_xtext(const char *text)
{
	char out[PARAMETERS_MAIL_SIZE] = "";
	struct parameter_word word;
	const char *at = out;

	if (!parameters_add_xtext(out, sizeof(out), PARAMETER_ENVID, "",
		text)) {
		assert(out[0] == '\0');
		return;
	}
	assert(parameters_next(&at, &word) && *at == '\0');
	assert(word.value_len >= strlen(text));
	for (size_t i = 0; i < word.value_len; i++)
		assert(word.value[i] > ' ' && word.value[i] <= '~' &&
		    word.value[i] != '=');
}

static void
check_date(const char *text)
{
	char out[DATE_SIZE];
	int64_t seconds, again;

	if (!date_read(text, strlen(text), &seconds))
		return;
	date_write(seconds, out);
	assert(date_read(out, strlen(out), &again));
	assert(again == seconds);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char text[2048];

	if (n >= sizeof(text))
		return 0;
	memcpy(text, data, n);
	text[n] = '\0';
	for (int command = 0; command <= PARAMETER_OF_RCPT; command++)
		if (parameters_check(text, (enum parameter_command)command) ==
		    NULL)
			check_good(text, (enum parameter_command)command);
	check_xtext(text);
	check_date(text);
	return 0;
}
