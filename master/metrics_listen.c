/* SPDX-License-Identifier: ISC */
/* See metrics_listen.h. */
#include "master/metrics_listen.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"

#define BACKLOG 64

static const char *
parse_ipv4(const char *host, uint16_t port, struct sockaddr_storage *to,
    socklen_t *lenp, bool *loopback)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_port = htons(port) };

	if (inet_pton(AF_INET, host, &in.sin_addr) != 1)
		return "must be ADDRESS:PORT with an IPv4 address, or "
		       "[ADDRESS]:PORT with an IPv6 one";
	*loopback = ntohl(in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	memcpy(to, &in, sizeof(in));
	*lenp = sizeof(in);
	return NULL;
}

static const char *
parse_ipv6(const char *host, uint16_t port, struct sockaddr_storage *to,
    socklen_t *lenp, bool *loopback)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
		.sin6_port = htons(port) };

	if (inet_pton(AF_INET6, host, &in6.sin6_addr) != 1)
		return "[ADDRESS] must be an IPv6 address";
	*loopback = IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
	memcpy(to, &in6, sizeof(in6));
	*lenp = sizeof(in6);
	return NULL;
}

const char *
metrics_listen_parse(const char *text, struct sockaddr_storage *to,
    socklen_t *lenp, bool *loopback)
{
	char host[INET6_ADDRSTRLEN + 2];
	const char *colon = strrchr(text, ':'), *error;
	size_t len = colon != NULL ? (size_t)(colon - text) : 0;
	uint16_t port;

	if (len == 0 || len >= sizeof(host))
		return "must be ADDRESS:PORT or [ADDRESS]:PORT";
	port = (uint16_t)strtonum(colon + 1, 1, UINT16_MAX, &error);
	if (error != NULL)
		return "the port must be a number from 1 to 65535";
	memset(to, 0, sizeof(*to));
	memcpy(host, text, len);
	host[len] = '\0';
	if (host[0] != '[' || host[len - 1] != ']')
		return parse_ipv4(host, port, to, lenp, loopback);
	host[len - 1] = '\0';
	return parse_ipv6(host + 1, port, to, lenp, loopback);
}

int
metrics_listen_tcp(const char *text)
{
	struct sockaddr_storage to;
	const int on = 1;
	socklen_t len;
	bool loopback;
	int fd;

	if (metrics_listen_parse(text, &to, &len, &loopback) != NULL) {
		errno = EINVAL; /* the configuration was checked */
		return -1;
	}
	fd =
	    socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1 ||
	    bind(fd, (struct sockaddr *)&to, len) == -1 ||
	    listen(fd, BACKLOG) == -1) {
		fd_close(fd);
		return -1;
	}
	return fd;
}
