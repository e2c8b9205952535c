/* SPDX-License-Identifier: ISC */
/* See server_match.h. */
#include "master/server_match.h"

#include <sys/socket.h>

#include <arpa/inet.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/address.h"

#define NETWORK_WORD_SIZE 64  /* the longest one, in brackets, and NUL */
#define WEIGHT_OF_NAMES   256 /* above that of any network: 129 at most */

static unsigned
width(int family)
{
	return family == AF_INET ? 32 : 128;
}

static const char *
parse_name(const char *word, struct server_match *out)
{
	if (!address_domain_is_dns_name(word + (word[0] == '.' ? 1 : 0)))
		return "no legal host name, address or network; write "
		       "mx.example.net, .example.net for all below it, "
		       "192.0.2.1 or 2001:db8::/32";
	(void)strlcpy(out->name, word, sizeof(out->name)); /* it is shorter */
	for (char *c = out->name; *c != '\0'; c++)
		*c = (char)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
	return NULL;
}

/* Takes the brackets away, wherever the length stands. */
static bool
unwrap(const char *word, char out[static NETWORK_WORD_SIZE])
{
	char *close;

	if (strlcpy(out, word + (word[0] == '[' ? 1 : 0), NETWORK_WORD_SIZE) >=
	    NETWORK_WORD_SIZE)
		return false;
	close = strchr(out, ']');
	if ((close != NULL) != (word[0] == '['))
		return false;
	if (close != NULL && close[1] != '\0' && close[1] != '/')
		return false;
	if (close != NULL)
		memmove(close, close + 1, strlen(close));
	if (strncasecmp(out, "IPv6:", 5) != 0)
		return true;
	memmove(out, out + 5, strlen(out + 5) + 1);
	return strchr(out, ':') != NULL;
}

/* No bit of the address may stand behind those that count. */
static bool
ends_with_its_bits(const struct server_match *m)
{
	for (unsigned i = m->bits; i < width(m->family); i++)
		if ((m->addr[i / 8] & (0x80u >> i % 8)) != 0)
			return false;
	return true;
}

static const char *
parse_bits(const char *digits, struct server_match *out)
{
	unsigned most = width(out->family);
	unsigned long bits = strtoul(digits, NULL, 10);

	if (digits[0] == '\0' || strlen(digits) > 3 ||
	    digits[strspn(digits, "0123456789")] != '\0' || bits > most)
		return most == 32 ? "the number after / must be 0 to 32"
				  : "the number after / must be 0 to 128";
	out->bits = (uint8_t)bits;
	if (!ends_with_its_bits(out))
		return "the address has bits behind those that / counts; "
		       "write it with zeros there";
	return NULL;
}

/* False where it does not look like a network at all. */
static bool
parse_network(const char *word, struct server_match *out, const char **wrong)
{
	char text[NETWORK_WORD_SIZE], plain[INET6_ADDRSTRLEN];
	char *slash;

	if (!unwrap(word, text))
		return false;
	slash = strchr(text, '/');
	if (slash != NULL)
		*slash = '\0';
	if (inet_pton(AF_INET, text, out->addr) == 1)
		out->family = AF_INET;
	else if (inet_pton(AF_INET6, text, out->addr) == 1)
		out->family = AF_INET6;
	else
		return false;
	out->bits = (uint8_t)width(out->family);
	*wrong = slash != NULL ? parse_bits(slash + 1, out) : NULL;
	(void)inet_ntop(out->family, out->addr, plain, sizeof(plain));
	(void)strlcpy(out->name, plain, sizeof(out->name)); /* they fit */
	if (out->bits < width(out->family))
		(void)snprintf(out->name, sizeof(out->name), "%s/%u", plain,
		    out->bits);
	return true;
}

const char *
server_match_parse(const char *word, struct server_match *out)
{
	const char *wrong = NULL;

	memset(out, 0, sizeof(*out));
	if (parse_network(word, out, &wrong))
		return wrong;
	memset(out, 0, sizeof(*out));
	return parse_name(word, out);
}

static unsigned
weigh_name(const char *name, const char *host)
{
	size_t len = strlen(name), host_len = strlen(host);

	if (name[0] != '.')
		return strcasecmp(name, host) == 0
		    ? WEIGHT_OF_NAMES + SERVER_MATCH_SIZE
		    : 0;
	if (host_len <= len || strcasecmp(host + host_len - len, name) != 0)
		return 0;
	return WEIGHT_OF_NAMES + (unsigned)len;
}

unsigned
server_match_weigh(const struct server_match *match, const char *host,
    int family, const uint8_t *addr)
{
	unsigned whole = match->bits / 8, rest = match->bits % 8;

	if (family != AF_INET && family != AF_INET6)
		return 0;
	if (match->family == 0)
		return weigh_name(match->name, host);
	if (match->family != family || memcmp(match->addr, addr, whole) != 0)
		return 0;
	if (rest > 0 && (match->addr[whole] ^ addr[whole]) >> (8 - rest) != 0)
		return 0;
	return 1 + match->bits;
}
