/* SPDX-License-Identifier: ISC */
/*
 * From a recipient's outcome to the reply that its client gets (answer = final).
 * The client is an MTA that believes the reply: a code of the wrong class would
 * have it lose the message, or try for ever.
 */
#include "master/intake/smtpd/smtpd_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Behind "250 " or "250-", and behind "2.0.0 ", where they stand. */
static const char *
skip_codes(const char *reply, bool had_code)
{
	const char *at = reply;
	int dots = 0;

	if (!had_code)
		return reply;
	if (is_digit(at[0]) && is_digit(at[1]) && is_digit(at[2]) &&
	    (at[3] == ' ' || at[3] == '-'))
		at += 4;
	reply = at;
	if (*at < '2' || *at > '5' || at[1] != '.')
		return reply;
	for (; is_digit(*at) || *at == '.'; at++)
		dots += *at == '.';
	return dots == 2 && *at == ' ' ? at + 1 : reply;
}

static unsigned
class_of(const struct outcome *o)
{
	switch (o->status) {
	case OUTCOME_DELIVERED:
		return 2;
	case OUTCOME_FAILED:
		return 5;
	default:
		return 4;
	}
}

static uint16_t
code_of(const struct outcome *o, unsigned class)
{
	static const uint16_t ours[] = { [2] = 250, [4] = 451, [5] = 554 };

	/* A remote's 421 ends its session with us, not ours with the client;
	 * and of the yeses only 250 is one to the end of a message. */
	if (class == 2 || o->code / 100 != class || o->code == 421)
		return ours[class];
	return o->code;
}

/* Whether the words are the remote's, and not ours about it. */
static bool
is_quoted(const struct outcome *o, const char *reply)
{
	char code[8];

	(void)snprintf(code, sizeof(code), "%03u", o->code);
	return o->code != 0 && strncmp(reply, code, 3) == 0 &&
	    (reply[3] == ' ' || reply[3] == '-');
}

static void
write_text(const struct outcome *o, const char *relay, const char *reply,
    char *out, size_t size)
{
	const char *text = skip_codes(reply, o->code != 0);
	bool is_named = relay != NULL && relay[0] != '\0';
	bool in_doubt = o->in_doubt && o->status != OUTCOME_DELIVERED;

	(void)snprintf(out, size, "%s%s%s%s%s",
	    in_doubt ? "perhaps delivered: " : "", is_named ? "host " : "",
	    is_named ? relay : "",
	    !is_named                 ? ""
		: is_quoted(o, reply) ? " said: "
				      : ": ",
	    text[0] != '\0' ? text : "no reason was told"); /* cut is fine */
	for (; *out != '\0'; out++)
		if (*out < ' ' || *out > '~')
			*out = '?';
}

void
smtpd_final_reply_set(struct smtpd_final_reply *result,
    const struct outcome *outcome, const char *relay, const char *reply)
{
	unsigned class = class_of(outcome);
	char line[SMTPD_ANSWER_SIZE];

	if (result->done)
		return;
	result->done = true;
	result->code = code_of(outcome, class);
	if (memchr(outcome->dsn, '\0', sizeof(outcome->dsn)) != NULL &&
	    outcome->dsn[0] == (char)('0' + class))
		strlcpy(result->dsn, outcome->dsn, sizeof(result->dsn));
	else
		(void)snprintf(result->dsn, sizeof(result->dsn), "%u.0.0",
		    class);
	write_text(outcome, relay, reply, line, sizeof(line));
	result->text = strdup(line);
}
