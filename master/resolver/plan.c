/* SPDX-License-Identifier: ISC */
/* See plan.h. */
#include "master/resolver/plan.h"

#include <sys/socket.h>

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

/* A name as in a packet, uncompressed, to text without its last dot.  False
 * where it is cut off or too long.  "" is the root. */
static bool
read_name(const uint8_t *in, size_t len, char *out, size_t size)
{
	size_t at = 0, o = 0, label;

	while (at < len && in[at] != 0) {
		label = in[at++];
		if (label > 63 || label > len - at || o + label + 2 > size ||
		    memchr(in + at, '.', label) != NULL)
			return false;
		if (o > 0)
			out[o++] = '.';
		memcpy(out + o, in + at, label);
		o += label;
		at += label;
	}
	out[o] = '\0';
	return at + 1 == len && memchr(out, '\0', o) == NULL;
}

static bool
is_plausible(const char *name)
{
	return strspn(name,
		   "abcdefghijklmnopqrstuvwxyz"
		   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == strlen(name);
}

/* Before whom a host comes. */
static bool
precedes(const struct plan_host *a, const struct plan_host *b)
{
	if (a->preference != b->preference)
		return a->preference < b->preference;
	return a->order < b->order;
}

/* Puts a host into its place; the last one falls off where all are taken. */
static void
insert(struct plan *plan, const struct plan_host *host)
{
	size_t i = 0, n;

	while (i < plan->nhosts && !precedes(host, &plan->hosts[i]))
		i++;
	if (i == PLAN_HOSTS_MAX)
		return;
	n = plan->nhosts < PLAN_HOSTS_MAX ? plan->nhosts : PLAN_HOSTS_MAX - 1;
	memmove(&plan->hosts[i + 1], &plan->hosts[i],
	    (n - i) * sizeof(plan->hosts[0]));
	plan->hosts[i] = *host;
	plan->nhosts = n + 1;
}

void
plan_add_mx(struct plan *plan, const uint8_t *rdata, size_t len,
    plan_random *random)
{
	struct plan_host host;

	memset(&host, 0, sizeof(host));
	if (len < 3 ||
	    !read_name(rdata + 2, len - 2, host.name, sizeof(host.name)))
		return;
	host.preference = (uint16_t)(rdata[0] << 8 | rdata[1]);
	if (host.name[0] == '\0') {
		plan->null_mx = true;
		return;
	}
	if (!is_plausible(host.name))
		return;
	host.order = random(UINT32_MAX);
	insert(plan, &host);
}

void
plan_add_host(struct plan *plan, const char *name)
{
	struct plan_host host;

	memset(&host, 0, sizeof(host));
	if (strlcpy(host.name, name, sizeof(host.name)) < sizeof(host.name))
		insert(plan, &host);
}

void
plan_add_address(struct plan *plan, size_t i, int family, const uint8_t *octets,
    uint16_t port)
{
	struct plan_host *host = &plan->hosts[i];
	struct plan_address *a;
	size_t n = 0, j;

	for (j = 0; j < host->naddresses; j++)
		n += host->addresses[j].family == family;
	if (n == PLAN_HOST_ADDRESSES_MAX)
		return;
	a = &host->addresses[host->naddresses++];
	memset(a, 0, sizeof(*a));
	a->family = (uint8_t)family;
	a->port = port;
	a->preference = host->preference;
	memcpy(a->addr, octets, family == AF_INET ? 4 : 16);
	strlcpy(a->host, host->name, sizeof(a->host));
}

/* The octets of an IPv4 address, IPv4-mapped ones included; NULL: it is none.
 * A socket for IPv6 connects to those by IPv4 (RFC 3493, 3.7). */
static const uint8_t *
ipv4_of(const struct plan_address *a)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (a->family == AF_INET)
		return a->addr;
	return memcmp(a->addr, mapped, sizeof(mapped)) == 0 ? a->addr + 12
							    : NULL;
}

static bool
same_address(const struct plan_address *a, const struct plan_address *b)
{
	const uint8_t *p = ipv4_of(a), *q = ipv4_of(b);

	if (p != NULL && q != NULL)
		return memcmp(p, q, 4) == 0;
	return p == NULL && q == NULL &&
	    memcmp(a->addr, b->addr, sizeof(a->addr)) == 0;
}

/* Loopback, or the unspecified address, which leads there too. */
static bool
is_loopback(const struct plan_address *a)
{
	static const uint8_t zero[16];
	const uint8_t *p = ipv4_of(a);

	if (p != NULL)
		return p[0] == 127 || p[0] == 0;
	return memcmp(a->addr, zero, 15) == 0 && a->addr[15] <= 1;
}

/* Whether it bears our name, or leads to loopback. */
static bool
is_our_name(const struct plan_host *host, const struct plan_self *self,
    bool loopback)
{
	size_t i;

	if (self->hostname[0] != '\0' &&
	    strcasecmp(host->name, self->hostname) == 0)
		return true;
	for (i = 0; i < host->naddresses; i++)
		if (!loopback && is_loopback(&host->addresses[i]))
			return true;
	return false;
}

static bool
has_our_address(const struct plan_host *host, const struct plan_self *self)
{
	size_t i, j;

	for (i = 0; i < host->naddresses; i++) {
		if (is_loopback(&host->addresses[i]))
			continue;
		for (j = 0; j < self->naddresses; j++) {
			if (same_address(&host->addresses[i],
				&self->addresses[j]))
				return true;
		}
	}
	return false;
}

void
plan_drop_loops(struct plan *plan, const struct plan_self *self, bool loopback)
{
	size_t i, keep = 0;
	bool named;

	for (i = 0; i < plan->nhosts; i++) {
		named = is_our_name(&plan->hosts[i], self, loopback);
		if (!named && !has_our_address(&plan->hosts[i], self))
			continue;
		plan->had_loop = true;
		plan->loop_by_address = !named;
		while (keep < plan->nhosts &&
		    plan->hosts[keep].preference < plan->hosts[i].preference)
			keep++;
		plan->nhosts = keep;
		return;
	}
}

static void
swap(struct plan_address *a, struct plan_address *b)
{
	struct plan_address t = *a;

	*a = *b;
	*b = t;
}

/* Shuffles, then brings the preferred family to the front. */
static void
order_addresses(struct plan_host *host, unsigned prefer, plan_random *random)
{
	int family = prefer == 4 ? AF_INET : prefer == 6 ? AF_INET6 : 0;
	size_t i, front = 0;

	for (i = host->naddresses; i > 1; i--)
		swap(&host->addresses[i - 1],
		    &host->addresses[random((uint32_t)i)]);
	for (i = 0; i < host->naddresses; i++) {
		if (host->addresses[i].family == family)
			swap(&host->addresses[front++], &host->addresses[i]);
	}
}

size_t
plan_finish(struct plan *plan, unsigned prefer, struct plan_address *out,
    size_t max, plan_random *random)
{
	size_t i, j, n = 0;

	for (i = 0; i < plan->nhosts; i++) {
		order_addresses(&plan->hosts[i], prefer, random);
		for (j = 0; j < plan->hosts[i].naddresses && n < max; j++)
			out[n++] = plan->hosts[i].addresses[j];
	}
	return n;
}

bool
plan_parse_literal(const char *text, bool bare, struct plan_address *out)
{
	char inner[MSG_HOST_SIZE];
	size_t len = strlen(text);
	const char *p = inner;
	bool tagged = false;

	memset(out, 0, sizeof(*out));
	if (len >= sizeof(inner))
		return false;
	strlcpy(inner, text, sizeof(inner));
	if (inner[0] != '[' && !bare)
		return false;
	if (inner[0] == '[' && len > 2 && inner[len - 1] == ']') {
		inner[len - 1] = '\0';
		p = inner + 1;
		tagged = strncasecmp(p, "IPv6:", 5) == 0;
		p += tagged ? 5 : 0;
	}
	out->family = AF_INET;
	if (!tagged && inet_pton(AF_INET, p, out->addr) == 1)
		return true;
	out->family = AF_INET6;
	return inet_pton(AF_INET6, p, out->addr) == 1;
}
