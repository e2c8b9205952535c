/* SPDX-License-Identifier: ISC */
/* See smtpd_xforward.h. */
#include "master/intake/smtpd/smtpd_xforward.h"

#include <string.h>
#include <strings.h>

#include "common/util.h"

static const struct {
	const char *name;
	enum parameter parameter; /* PARAMETER_COUNT: it is for our log */
} attributes[SMTPD_ATTRIBUTES] = {
	[SMTPD_NAME] = { "NAME", PARAMETER_CLIENT_NAME },
	[SMTPD_ADDR] = { "ADDR", PARAMETER_CLIENT_ADDR },
	[SMTPD_PORT] = { "PORT", PARAMETER_CLIENT_PORT },
	[SMTPD_PROTO] = { "PROTO", PARAMETER_CLIENT_PROTO },
	[SMTPD_HELO] = { "HELO", PARAMETER_CLIENT_HELO },
	[SMTPD_IDENT] = { "IDENT", PARAMETER_COUNT },
	[SMTPD_SOURCE] = { "SOURCE", PARAMETER_CLIENT_SOURCE },
};

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* RFC 3461, 4; what is not printable becomes "?". */
static bool
decode(const char *in, size_t n, char out[SMTPD_XFORWARD_SIZE])
{
	size_t len = 0;
	int high, low;
	char c;

	for (size_t i = 0; i < n; i++) {
		c = in[i];
		if (c == '+') {
			high = n - i > 2 ? hex_value(in[i + 1]) : -1;
			low = n - i > 2 ? hex_value(in[i + 2]) : -1;
			if (high == -1 || low == -1)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (len + 1 >= SMTPD_XFORWARD_SIZE)
			return false;
		out[len++] = (c >= ' ' && c <= '~') ? c : '?';
	}
	out[len] = '\0';
	return true;
}

static bool
is_unknown(const char *value)
{
	return strcasecmp(value, "[UNAVAILABLE]") == 0 ||
	    strcasecmp(value, "[TEMPUNAVAIL]") == 0;
}

static bool
read_one(struct smtpd_xforward *x, const char *in, size_t n)
{
	const char *equals = memchr(in, '=', n);
	size_t len = equals != NULL ? (size_t)(equals - in) : 0;
	char *value;

	for (size_t i = 0; i < SMTPD_ATTRIBUTES && len > 0; i++) {
		if (strlen(attributes[i].name) != len ||
		    strncasecmp(attributes[i].name, in, len) != 0)
			continue;
		value = x->values[i];
		if (!decode(equals + 1, n - len - 1, value))
			return false;
		if (is_unknown(value))
			value[0] = '\0';
		return true;
	}
	return false;
}

bool
smtpd_xforward_read(struct smtpd_xforward *x, const char *in, size_t n,
    struct smtpd_reply *wrong)
{
	size_t len;

	wrong->code = 501;
	wrong->dsn = "5.5.4";
	wrong->text = "Syntax: XFORWARD attribute=value...";
	if (n == 0)
		return false;
	while (n > 0) {
		for (len = 0; len < n && in[len] != ' '; len++)
			;
		if (len > 0 && !read_one(x, in, len))
			return false;
		in += len < n ? len + 1 : len;
		n -= len < n ? len + 1 : len;
	}
	x->told = true;
	return true;
}

void
smtpd_xforward_add(const struct smtpd_xforward *x,
    char parameters[PARAMETERS_MAIL_SIZE])
{
	size_t was;

	for (size_t i = 0; i < SMTPD_ATTRIBUTES; i++) {
		if (x->values[i][0] == '\0' ||
		    attributes[i].parameter == PARAMETER_COUNT)
			continue;
		was = strlen(parameters);
		if (parameters_add_xtext(parameters, PARAMETERS_MAIL_SIZE,
			attributes[i].parameter, "", x->values[i]) &&
		    parameters_check(parameters, PARAMETER_OF_MAIL) != NULL)
			parameters[was] = '\0';
	}
}
