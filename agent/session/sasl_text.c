/* SPDX-License-Identifier: ISC */
/* The pure parts of SASL: what tokens travel in, and what SCRAM may ask. */
#include <stdio.h>
#include <string.h>

#include "agent/session/sasl.h"

#define KVSEP "\1" /* RFC 7628, 3.1 */

/* RFC 5801, 4: a saslname, in which "," and "=" are written otherwise. */
static bool
write_saslname(const char *name, char *out, size_t size)
{
	size_t len = 0;
	const char *c;

	for (c = name; *c != '\0'; c++) {
		if (len + 4 > size)
			return false;
		if (*c == ',' || *c == '=')
			len += (size_t)snprintf(out + len, size - len, "=%s",
			    *c == ',' ? "2C" : "3D");
		else
			out[len++] = *c;
	}
	out[len] = '\0';
	return true;
}

/* RFC 6750, 2.1: nothing in a token is a control character, or a space. */
static bool
token_ok(const char *token)
{
	const char *c;

	for (c = token; *c != '\0'; c++)
		if (*c <= ' ' || *c > '~')
			return false;
	return c > token;
}

size_t
sasl_text_write_bearer(enum auth_mechanism mechanism,
    const struct sasl_login *login, char *out, size_t size)
{
	char name[3 * AUTH_USER_MAX + 4];
	const char *who =
	    login->authzid[0] != '\0' ? login->authzid : login->user;
	int n;

	if (!token_ok(login->secret) || !auth_name_ok(who) ||
	    !auth_name_ok(login->host))
		return 0;
	if (mechanism == AUTH_MECHANISM_XOAUTH2)
		n = snprintf(out, size,
		    "user=%s" KVSEP "auth=Bearer %s" KVSEP KVSEP, login->user,
		    login->secret);
	else if (!write_saslname(who, name, sizeof(name)))
		return 0;
	else if (login->host[0] != '\0')
		n = snprintf(out, size,
		    "n,a=%s," KVSEP "host=%s" KVSEP
		    "auth=Bearer %s" KVSEP KVSEP,
		    name, login->host, login->secret);
	else
		n = snprintf(out, size,
		    "n,a=%s," KVSEP "auth=Bearer %s" KVSEP KVSEP, name,
		    login->secret);
	return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

/* The number that fills n octets, or -1. */
static int32_t
number(const char *digits, size_t n)
{
	int64_t value = 0;

	if (n == 0 || n > 10)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (digits[i] < '0' || digits[i] > '9')
			return -1;
		value = value * 10 + (digits[i] - '0');
	}
	return value >= 1 && value <= INT32_MAX ? (int32_t)value : -1;
}

int32_t
sasl_text_iterations(const char *message, size_t n)
{
	const char *comma;
	int32_t found = -1;
	size_t len;

	for (; n > 0; message += len, n -= len) {
		comma = memchr(message, ',', n);
		len = comma != NULL ? (size_t)(comma - message) : n;
		if (len >= 2 && message[0] == 'i' && message[1] == '=') {
			if (found != -1)
				return -1; /* whichever the library takes */
			found = number(message + 2, len - 2);
			if (found == -1)
				return -1;
		}
		len += comma != NULL;
	}
	return found;
}
