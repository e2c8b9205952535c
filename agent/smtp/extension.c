/* SPDX-License-Identifier: ISC */
/* See extension.h. */
#include "agent/smtp/extension.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/date.h"

/* RFC 3463, 3.4 (X.3.3), 3.5 (X.4.7), 3.6 (X.5.4) */
static const struct extension_refusal no_deliver_by = { "5.3.3",
	"the server does not offer DELIVERBY, and the message is to be returned "
	"if it is late" };
static const struct extension_refusal late = { "5.4.7",
	"less time is left to deliver by than the server's DELIVERBY needs" };
static const struct extension_refusal no_future_release = { "5.3.3",
	"the message is to be held, and the server does not offer "
	"FUTURERELEASE" };
static const struct extension_refusal too_long = { "5.5.4",
	"the message is to be held for longer than the server's FUTURERELEASE "
	"allows" };

uint32_t
extension_parameters(const struct capabilities *caps)
{
	static const uint8_t needs[PARAMETER_COUNT] = {
#define PARAMETER(name, keyword, command, capability, octets)                  \
	[PARAMETER_##name] = CAPABILITY_##capability,
#include "common/parameters.def"
#undef PARAMETER
	};
	uint32_t bits = 0;

	for (unsigned int i = 0; i < PARAMETER_COUNT; i++)
		if (parameter_descs[i].command != PARAMETER_OF_CLIENT &&
		    ehlo_offers(caps, (enum capability)needs[i]))
			bits |= UINT32_C(1) << i;
	return bits;
}

static const struct extension_refusal *
refuse_by(const struct capabilities *caps, const struct parameter_word *word)
{
	struct parameter_by by;

	if (!parameters_read_by(word, &by) || !by.returns)
		return NULL;
	if (!ehlo_offers(caps, CAPABILITY_DELIVERBY))
		return &no_deliver_by;
	return by.seconds < (int64_t)caps->deliver_by_min ? &late : NULL;
}

static const struct extension_refusal *
refuse_hold(const struct capabilities *caps, const struct parameter_word *word)
{
	int64_t until;

	if (!ehlo_offers(caps, CAPABILITY_FUTURERELEASE))
		return &no_future_release;
	if (word->parameter == PARAMETER_HOLDFOR)
		return caps->hold_for_max > 0 &&
			parameters_read_number(word) > caps->hold_for_max
		    ? &too_long
		    : NULL;
	return caps->hold_until_max > 0 &&
		date_read(word->value, word->value_len, &until) &&
		until > caps->hold_until_max
	    ? &too_long
	    : NULL;
}

const struct extension_refusal *
extension_refuse(const struct capabilities *caps, const char *parameters)
{
	const struct extension_refusal *refusal = NULL;
	struct parameter_word word;

	while (refusal == NULL && parameters_next(&parameters, &word)) {
		if (word.parameter == PARAMETER_BY)
			refusal = refuse_by(caps, &word);
		else if (word.parameter == PARAMETER_HOLDFOR ||
		    word.parameter == PARAMETER_HOLDUNTIL)
			refusal = refuse_hold(caps, &word);
	}
	return refusal;
}

bool
extension_wants_delay(const struct capabilities *caps, const char *parameters)
{
	struct parameter_word word;
	struct parameter_by by;

	while (parameters_next(&parameters, &word))
		if (word.parameter == PARAMETER_BY &&
		    parameters_read_by(&word, &by))
			return !by.returns && by.seconds > 0 &&
			    !ehlo_offers(caps, CAPABILITY_DELIVERBY) &&
			    ehlo_offers(caps, CAPABILITY_DSN);
	return false;
}

static bool
lists(const struct parameter_word *word, const char *what)
{
	return memmem(word->value, word->value_len, what, strlen(what)) != NULL;
}

void
extension_add_delay(char out[PARAMETERS_RCPT_SIZE], const char *parameters)
{
	char notify[64] = "FAILURE,DELAY", orcpt[PARAMETERS_RCPT_SIZE] = "";
	struct parameter_word word;

	while (parameters_next(&parameters, &word))
		if (word.parameter == PARAMETER_NOTIFY)
			(void)snprintf(notify, sizeof(notify), "%.*s%s",
			    (int)word.value_len, word.value,
			    lists(&word, "NEVER") || lists(&word, "DELAY")
				? ""
				: ",DELAY");
		else if (word.parameter == PARAMETER_ORCPT)
			(void)snprintf(orcpt, sizeof(orcpt), "%.*s",
			    (int)word.value_len, word.value);
	out[0] = '\0';
	(void)parameters_add(out, PARAMETERS_RCPT_SIZE, PARAMETER_NOTIFY,
	    notify);
	if (orcpt[0] != '\0')
		(void)parameters_add(out, PARAMETERS_RCPT_SIZE, PARAMETER_ORCPT,
		    orcpt);
}
