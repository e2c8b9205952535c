/* SPDX-License-Identifier: ISC */
/*
 * Takes a server's word apart.  Pure: looks nothing up.
 */
#include "master/next_hop.h"

#include <sys/socket.h>

#include <arpa/inet.h>

#include <stdlib.h>
#include <string.h>

#include "common/address.h"

#define UNIX_PREFIX "unix:"

static bool
address_is_legal(const char *address)
{
	struct in6_addr any;

	return inet_pton(AF_INET, address, &any) == 1 ||
	    inet_pton(AF_INET6, address, &any) == 1;
}

static const char *
parse_port(const char *digits, uint16_t *port)
{
	unsigned long value;
	size_t len = strlen(digits);

	if (len < 1 || len > 5 || strspn(digits, "0123456789") != len)
		return "the port must be a number from 1 to 65535";
	value = strtoul(digits, NULL, 10);
	if (value < 1 || value > 65535)
		return "the port must be a number from 1 to 65535";
	*port = (uint16_t)value;
	return NULL;
}

static const char *
parse_path(const char *path, struct next_hop *out)
{
	out->kind = NEXT_HOP_UNIX;
	if (path[0] != '/')
		return "the path behind unix: must be absolute";
	if (strlcpy(out->path, path, sizeof(out->path)) >= sizeof(out->path))
		return "a socket's path has at most 107 octets";
	return NULL;
}

/* The host without its brackets; *rest is what stands behind it. */
static const char *
split_host(const char *word, struct next_hop *out, const char **rest)
{
	bool bracketed = word[0] == '[';
	size_t len;

	if (bracketed)
		word++;
	len = strcspn(word, bracketed ? "]" : ":");
	if (bracketed && word[len] != ']')
		return "the bracket is not closed";
	if (len >= sizeof(out->host))
		return "a host name has at most 253 octets";
	memcpy(out->host, word, len);
	out->host[len] = '\0';
	*rest = word + len + (bracketed ? 1 : 0);
	return NULL;
}

static const char *
parse_host(const char *word, struct next_hop *out)
{
	const char *rest, *wrong;

	if (word[0] != '[' && address_is_legal(word) && strchr(word, ':'))
		return "an IPv6 address must stand in brackets";
	wrong = split_host(word, out, &rest);
	if (wrong != NULL)
		return wrong;
	if (address_is_legal(out->host))
		out->kind = NEXT_HOP_ADDRESS;
	else if (address_domain_is_dns_name(out->host))
		out->kind = NEXT_HOP_HOST;
	else
		return "no legal host name or address: a name has letters, "
		       "digits and hyphens, in labels of 1 to 63 octets";
	if (*rest == '\0')
		return NULL;
	if (*rest != ':')
		return "only :PORT may follow the host";
	return parse_port(rest + 1, &out->port);
}

const char *
next_hop_parse(const char *word, uint16_t default_port, struct next_hop *out)
{
	memset(out, 0, sizeof(*out));
	out->kind = NEXT_HOP_MX;
	out->port = default_port;
	if (word[0] == '\0')
		return NULL;
	if (strncmp(word, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0)
		return parse_path(word + strlen(UNIX_PREFIX), out);
	if (word[0] == '/')
		return "a path is written unix:/PATH";
	return parse_host(word, out);
}
