/* SPDX-License-Identifier: ISC */
/*
 * Plans as sessions hold them: the resolver's order, with the hosts of equal
 * preference taking turns (RFC 5321, 5.1).
 */
#include "master/queue/queue_internal.h"

#include <sys/socket.h>

#include <stdlib.h>
#include <string.h>

struct plan *
plan_new(uint32_t count)
{
	struct plan *plan;

	plan = calloc(1, sizeof(*plan) + count * sizeof(plan->addresses[0]));
	if (plan == NULL)
		return NULL;
	plan->refs = 1;
	plan->count = count;
	return plan;
}

struct plan *
plan_hold(struct plan *plan)
{
	plan->refs++;
	return plan;
}

void
plan_release(struct plan *plan)
{
	if (plan != NULL && --plan->refs == 0)
		free(plan);
}

/* Loopback, or the unspecified address, which leads there too; a socket for IPv6
 * connects to IPv4-mapped ones by IPv4 (RFC 3493, 3.7). */
bool
plan_is_loopback(const struct plan_address *a)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	static const uint8_t zero[15];

	if (a->family == AF_INET)
		return a->addr[0] == 127 || a->addr[0] == 0;
	if (memcmp(a->addr, mapped, sizeof(mapped)) == 0)
		return a->addr[12] == 127 || a->addr[12] == 0;
	return memcmp(a->addr, zero, sizeof(zero)) == 0 && a->addr[15] <= 1;
}

static bool
same_preference(const struct plan_address *a, const struct plan_address *b)
{
	return a->preference == b->preference;
}

static bool
same_host(const struct plan_address *a, const struct plan_address *b)
{
	return same_preference(a, b) && strcmp(a->host, b->host) == 0;
}

static bool
same_kind(const struct plan_address *a, const struct plan_address *b)
{
	return same_host(a, b) && a->family == b->family;
}

/* Where the addresses end that are alike from `from` on. */
static uint32_t
run_end(const struct plan *plan, uint32_t from,
    bool (*alike)(const struct plan_address *, const struct plan_address *))
{
	uint32_t i = from;

	while (i < plan->count &&
	    alike(&plan->addresses[from], &plan->addresses[i]))
		i++;
	return i;
}

/* Copies the run [from, end) of a plan, beginning with its `first`. */
static void
copy_turned(struct plan *to, const struct plan *plan, uint32_t from,
    uint32_t first, uint32_t end)
{
	uint32_t front = end - first;

	memcpy(&to->addresses[from], &plan->addresses[first],
	    front * sizeof(plan->addresses[0]));
	memcpy(&to->addresses[from + front], &plan->addresses[from],
	    (first - from) * sizeof(plan->addresses[0]));
}

/* The host whose turn it is among those of one preference: at least one. */
static uint32_t
host_at_turn(const struct plan *plan, uint32_t from, uint32_t end,
    uint32_t turn)
{
	uint32_t hosts = 0, i = from;

	do {
		i = run_end(plan, i, same_host);
		hosts++;
	} while (i < end);
	i = from;
	for (turn %= hosts; turn > 0; turn--)
		i = run_end(plan, i, same_host);
	return i;
}

struct plan *
plan_turned(const struct plan *plan, uint32_t turn)
{
	struct plan *hosts = plan_new(plan->count);
	struct plan *turned = plan_new(plan->count);
	uint32_t i, end;

	for (i = 0; hosts != NULL && turned != NULL && i < plan->count;
	     i = end) {
		end = run_end(plan, i, same_preference);
		copy_turned(hosts, plan, i, host_at_turn(plan, i, end, turn),
		    end);
	}
	/* A host's addresses take turns too, each family where it stood. */
	for (i = 0; hosts != NULL && turned != NULL && i < plan->count;
	     i = end) {
		end = run_end(hosts, i, same_kind);
		copy_turned(turned, hosts, i, i + turn % (end - i), end);
	}
	plan_release(hosts);
	return turned;
}
