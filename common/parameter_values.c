/* SPDX-License-Identifier: ISC */
/* What the values of the parameters may be, one check for each. */
#include "common/parameters.h"

#include <arpa/inet.h>

#include <string.h>

#include "common/address.h"
#include "common/date.h"
#include "common/digits.h"

#define XTEXT_ENVID_MAX  100 /* of the value; RFC 3461, 4.4 */
#define CLIENT_TEXT_SIZE 256 /* of a name, decoded, and NUL */
#define CLIENT_WORD_MAX  500 /* with its keyword: a line of 512 holds it */
#define XTEXT_ORCPT_MAX  500 /* the same; RFC 3461, 4.2 */

/* RFC 3461, 4: two digits in upper case. */
static int
hex_value(char c)
{
	return c >= 'a' ? -1 : digits_hex_value(c);
}

/*
 * Decodes xtext; what it stands for must be printable, for it ends in a
 * delivery status notification (RFC 3461, 4.2 and 4.4).  NUL-terminated.
 */
static bool
read_xtext(const char *in, size_t n, char *out, size_t size)
{
	size_t len = 0;
	int high, low;
	char c;

	for (size_t i = 0; i < n; i++) {
		c = in[i];
		if (c == '+') {
			if (n - i < 3)
				return false;
			high = hex_value(in[i + 1]);
			low = hex_value(in[i + 2]);
			if (high == -1 || low == -1)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		} else if (c == '=' || c <= ' ') {
			return false;
		}
		if (c < ' ' || c > '~' || len + 1 >= size)
			return false;
		out[len++] = c;
	}
	out[len] = '\0';
	return true;
}

/* An optional sign and one to `digits` digits. */
static bool
read_integer(const char *in, size_t n, size_t digits, int64_t *value)
{
	bool negative = n > 0 && in[0] == '-';

	if (negative) {
		in++;
		n--;
	}
	if (n == 0 || n > digits)
		return false;
	*value = 0;
	for (size_t i = 0; i < n; i++) {
		if (!digits_is(in[i]))
			return false;
		*value = *value * 10 + (in[i] - '0');
	}
	if (negative)
		*value = -*value;
	return true;
}

static bool
is_word(const struct parameter_word *word, const char *text)
{
	return word->value_len == strlen(text) &&
	    memcmp(word->value, text, word->value_len) == 0;
}

static const char *
check_ret(const struct parameter_word *word)
{
	if (is_word(word, "FULL") || is_word(word, "HDRS"))
		return NULL;
	return "RET must be FULL or HDRS";
}

static const char *
check_envid(const struct parameter_word *word)
{
	char text[XTEXT_ENVID_MAX + 1];

	if (word->value_len == 0)
		return "the envelope id (ENVID) is empty";
	if (word->value_len > XTEXT_ENVID_MAX)
		return "the envelope id (ENVID) is longer than 100 octets on "
		       "the wire";
	if (!read_xtext(word->value, word->value_len, text, sizeof(text)))
		return "the envelope id (ENVID) must be printable ASCII";
	return NULL;
}

/* An atom (RFC 5322, 3.2.3), ";" and the address. */
static const char *
check_orcpt(const struct parameter_word *word)
{
	static const char bad[] = "the original recipient (ORCPT) must be an "
				  "address type, \";\" and an address";
	const char *semicolon = memchr(word->value, ';', word->value_len);
	char text[XTEXT_ORCPT_MAX + 1];
	size_t n;

	if (word->value_len > XTEXT_ORCPT_MAX)
		return "the original recipient (ORCPT) is longer than 500 "
		       "octets on the wire";
	if (semicolon == NULL || semicolon == word->value)
		return bad;
	for (const char *c = word->value; c < semicolon; c++)
		if (!digits_is(*c) && (*c < 'A' || *c > 'Z') &&
		    (*c < 'a' || *c > 'z') &&
		    (*c == '\0' || strchr("!#$%&'*-/?^_`{|}~", *c) == NULL))
			return bad;
	n = word->value_len - (size_t)(semicolon + 1 - word->value);
	if (n == 0)
		return bad;
	if (!read_xtext(semicolon + 1, n, text, sizeof(text)))
		return "the original recipient (ORCPT) must be printable ASCII";
	return NULL;
}

/* RFC 3461, 4.1: NEVER, or each of the others at most once. */
static const char *
check_notify(const struct parameter_word *word)
{
	static const char *const names[] = { "SUCCESS", "FAILURE", "DELAY" };
	const char *at = word->value, *end = word->value + word->value_len;
	unsigned int seen = 0, i;
	size_t n;

	if (is_word(word, "NEVER"))
		return NULL;
	for (;;) {
		n = strcspn(at, ", ");
		if (n == 5 && memcmp(at, "NEVER", n) == 0)
			return "NOTIFY=NEVER must stand alone";
		for (i = 0; i < 3; i++)
			if (strlen(names[i]) == n &&
			    memcmp(names[i], at, n) == 0)
				break;
		if (i == 3 || (seen >> i & 1) != 0)
			return "NOTIFY must be NEVER, or some of SUCCESS, "
			       "FAILURE and DELAY";
		seen |= 1u << i;
		at += n;
		if (at >= end)
			return NULL;
		if (*at++ != ',')
			return "NOTIFY is malformed";
	}
}

bool
parameters_read_by(const struct parameter_word *word, struct parameter_by *by)
{
	const char *mode = memchr(word->value, ';', word->value_len);
	size_t n;

	if (mode == NULL ||
	    !read_integer(word->value, (size_t)(mode - word->value), 9,
		&by->seconds))
		return false;
	mode++;
	n = word->value_len - (size_t)(mode - word->value);
	by->returns = n > 0 && *mode == 'R';
	by->trace = n == 2 && mode[1] == 'T';
	return (by->returns || (n > 0 && *mode == 'N')) &&
	    (n == 1 || by->trace);
}

static const char *
check_by(const struct parameter_word *word)
{
	struct parameter_by by;

	if (!parameters_read_by(word, &by))
		return "the time to deliver by (BY) must be of at most "
		       "999999999 seconds, and its mode N or R";
	if (by.returns && by.seconds <= 0)
		return "the time to deliver by (BY) must be above 0 where the "
		       "message is to be returned";
	return NULL;
}

uint64_t
parameters_read_number(const struct parameter_word *word)
{
	int64_t value = 0;

	(void)read_integer(word->value, word->value_len, 9, &value);
	return value > 0 ? (uint64_t)value : 0;
}

static const char *
check_holdfor(const struct parameter_word *word)
{
	int64_t value;

	if (read_integer(word->value, word->value_len, 9, &value) && value > 0)
		return NULL;
	return "the time to hold (HOLDFOR) must be from 1 to 999999999 seconds";
}

static const char *
check_holduntil(const struct parameter_word *word)
{
	char date[DATE_SIZE];
	int64_t seconds;

	if (date_read(word->value, word->value_len, &seconds)) {
		date_write(seconds, date);
		if (is_word(word, date))
			return NULL;
	}
	return "the time to hold until (HOLDUNTIL) must be a date-time of "
	       "RFC 3339 in UTC";
}

static const char *
check_mt_priority(const struct parameter_word *word)
{
	int64_t value;

	/* RFC 6710, 7: zero has no sign. */
	if (read_integer(word->value, word->value_len, 1, &value) &&
	    !is_word(word, "-0"))
		return NULL;
	return "the priority (MT-PRIORITY) must be from -9 to 9";
}

/* RFC 4954, 5: a mailbox, or "<>" where nobody vouches for one. */
static const char *
check_auth(const struct parameter_word *word)
{
	char text[500];
	struct address addr;

	if (is_word(word, "<>"))
		return NULL;
	if (word->len >= parameter_descs[PARAMETER_AUTH].octets)
		return "the submitter (AUTH) is too long";
	if (word->value_len > 0 &&
	    read_xtext(word->value, word->value_len, text, sizeof(text)) &&
	    text[0] != '<' && text[0] != '@' &&
	    address_parse_reverse_path(&addr, text, strlen(text)) == ADDRESS_OK)
		return NULL;
	return "the submitter (AUTH) must be an address or <>";
}

/* "192.0.2.1" or "IPV6:2001:db8::1". */
static bool
is_client_address(const struct parameter_word *word)
{
	static const char tag[] = "IPV6:";
	char text[INET6_ADDRSTRLEN + sizeof(tag)];
	struct in6_addr octets;

	if (!read_xtext(word->value, word->value_len, text, sizeof(text)))
		return false;
	if (strncmp(text, tag, sizeof(tag) - 1) == 0)
		return inet_pton(AF_INET6, text + sizeof(tag) - 1, &octets) ==
		    1;
	return inet_pton(AF_INET, text, &octets) == 1;
}

static const char *
check_client(const struct parameter_word *word)
{
	char text[CLIENT_TEXT_SIZE];
	int64_t port;

	switch ((unsigned int)word->parameter) {
	case PARAMETER_CLIENT_ADDR:
		return is_client_address(word)
		    ? NULL
		    : "the client's address must be one of IPv4 or IPv6";
	case PARAMETER_CLIENT_PORT:
		return read_integer(word->value, word->value_len, 5, &port) &&
			port > 0 && port <= 65535
		    ? NULL
		    : "the client's port must be 1 to 65535";
	case PARAMETER_CLIENT_PROTO:
		return is_word(word, "SMTP") || is_word(word, "ESMTP")
		    ? NULL
		    : "the client's protocol must be SMTP or ESMTP";
	case PARAMETER_CLIENT_SOURCE:
		return is_word(word, "LOCAL") || is_word(word, "REMOTE")
		    ? NULL
		    : "the client's source must be LOCAL or REMOTE";
	default:
		return word->value_len > 0 && word->len <= CLIENT_WORD_MAX &&
			read_xtext(word->value, word->value_len, text,
			    sizeof(text))
		    ? NULL
		    : "the client's name, HELO and login must be printable "
		      "ASCII of 1 to 255 characters, and fit a line as "
		      "xtext";
	}
}

static const char *
check_value(const struct parameter_word *word)
{
	switch (word->parameter) {
	case PARAMETER_RET:
		return check_ret(word);
	case PARAMETER_ENVID:
		return check_envid(word);
	case PARAMETER_BY:
		return check_by(word);
	case PARAMETER_HOLDFOR:
		return check_holdfor(word);
	case PARAMETER_HOLDUNTIL:
		return check_holduntil(word);
	case PARAMETER_MT_PRIORITY:
		return check_mt_priority(word);
	case PARAMETER_AUTH:
		return check_auth(word);
	case PARAMETER_NOTIFY:
		return check_notify(word);
	case PARAMETER_ORCPT:
		return check_orcpt(word);
	case PARAMETER_CLIENT_NAME:
	case PARAMETER_CLIENT_ADDR:
	case PARAMETER_CLIENT_PORT:
	case PARAMETER_CLIENT_HELO:
	case PARAMETER_CLIENT_PROTO:
	case PARAMETER_CLIENT_LOGIN:
	case PARAMETER_CLIENT_SOURCE:
		return check_client(word);
	case PARAMETER_COUNT:
		break;
	}
	return "a parameter is not known";
}

/* The string. */

static bool
stands_among(enum parameter_command one, enum parameter_command command)
{
	return one == command ||
	    (one == PARAMETER_OF_CLIENT && command == PARAMETER_OF_MAIL);
}

const char *
parameters_check(const char *text, enum parameter_command command)
{
	struct parameter_word word;
	const char *at = text, *why;
	uint32_t seen = 0;

	while (parameters_next(&at, &word)) {
		if (word.parameter == PARAMETER_COUNT)
			return "a parameter is not known";
		if (!stands_among(parameter_descs[word.parameter].command,
			command))
			return "a parameter is of the other command";
		if ((seen >> word.parameter & 1) != 0)
			return "a parameter is given twice";
		seen |= UINT32_C(1) << word.parameter;
		why = check_value(&word);
		if (why != NULL)
			return why;
		if (*at == '\0' && at[-1] == ' ')
			return "a space ends the parameters";
	}
	if ((seen >> PARAMETER_HOLDFOR & 1) != 0 &&
	    (seen >> PARAMETER_HOLDUNTIL & 1) != 0)
		return "a message is held for a time or until one, not both";
	return NULL;
}

const char *
parameters_check_hold(const char *text, bool notification, int64_t now_ms)
{
	int64_t now = now_ms / 1000, held = INT64_MIN, late = INT64_MAX;
	struct parameter_word word;
	struct parameter_by by;

	while (parameters_next(&text, &word)) {
		if (word.parameter == PARAMETER_HOLDFOR)
			held = now + (int64_t)parameters_read_number(&word);
		else if (word.parameter == PARAMETER_HOLDUNTIL)
			(void)date_read(word.value, word.value_len, &held);
		else if (word.parameter == PARAMETER_BY &&
		    parameters_read_by(&word, &by))
			late = now + by.seconds;
	}
	if (held != INT64_MIN && notification)
		return "a notification, whose sender is empty, is not held";
	if (held >= late)
		return "the message is held until it is to be delivered";
	return NULL;
}
