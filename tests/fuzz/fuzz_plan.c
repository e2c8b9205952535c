/* SPDX-License-Identifier: ISC */
/*
 * Any answer of a name server makes a plan that keeps its order and bounds.
 * The input is a list of records: a length, and so many octets, which are an MX
 * record's data, or an address where the length is 4 or 16 and a host is there.
 */
#include "master/resolver/plan.h"

#include <sys/socket.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static uint32_t state;

static uint32_t
random_below(uint32_t n)
{
	state = state * 1664525 + 1013904223;
	return (state >> 8) % n;
}

static void
check_hosts(const struct plan *plan)
{
	const struct plan_host *h;
	size_t i;

	assert(plan->nhosts <= PLAN_HOSTS_MAX);
	for (i = 0; i < plan->nhosts; i++) {
		h = &plan->hosts[i];
		assert(message_string_ok(h->name, sizeof(h->name)));
		assert(h->name[0] != '\0');
		assert(h->naddresses <= 2 * PLAN_HOST_ADDRESSES_MAX);
		assert(i == 0 || h[-1].preference <= h->preference);
	}
}

/* Takes one record; what is no legal data of an MX changes nothing. */
static void
add(struct plan *plan, const uint8_t *in, size_t len)
{
	uint8_t *rdata;

	if (len == 4 || len == 16) {
		if (plan->nhosts > 0)
			plan_add_address(plan, in[0] % plan->nhosts,
			    len == 4 ? AF_INET : AF_INET6, in, 25);
		return;
	}
	rdata = malloc(len + 1); /* of its own: what lies beyond is watched */
	assert(rdata != NULL);
	memcpy(rdata, in, len);
	plan_add_mx(plan, rdata, len, random_below);
	free(rdata);
}

static void
check_order(const struct plan_address *out, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		assert(out[i].family == AF_INET || out[i].family == AF_INET6);
		assert(message_string_ok(out[i].host, sizeof(out[i].host)));
		assert(i == 0 || out[i - 1].preference <= out[i].preference);
	}
}

/* Of one host, none of the preferred family stands behind another. */
static void
check_families(const struct plan *plan, unsigned prefer)
{
	int family = prefer == 4 ? AF_INET : AF_INET6;
	const struct plan_host *h;
	size_t i, j;

	for (i = 0; prefer != 0 && i < plan->nhosts; i++) {
		h = &plan->hosts[i];
		for (j = 1; j < h->naddresses; j++)
			assert(h->addresses[j].family != family ||
			    h->addresses[j - 1].family == family);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct plan_address out[PLAN_ADDRESSES_MAX];
	static struct plan plan;
	struct plan_address ours;
	struct plan_self self = { "me.example", &ours, 1 };
	size_t len, hosts;
	unsigned prefer;
	char text[64];

	memset(&plan, 0, sizeof(plan));
	assert(plan_parse_literal("192.0.2.99", true, &ours));
	if (n < 2)
		return 0;
	state = data[0];
	prefer = data[1] % 3 * 2 + (data[1] % 3 != 0 ? 2 : 0); /* 0, 4, 6 */
	len = n - 2 < sizeof(text) - 1 ? n - 2 : sizeof(text) - 1;
	memcpy(text, data + 2, len);
	text[len] = '\0';
	(void)plan_parse_literal(text, (data[1] & 4) != 0, &out[0]);
	for (data += 2, n -= 2; n > 0; data += len, n -= len) {
		len = data[0] < n - 1 ? data[0] : n - 1;
		data++;
		n--;
		add(&plan, data, len);
		check_hosts(&plan);
	}
	hosts = plan.nhosts;
	plan_drop_loops(&plan, &self, false);
	assert((plan.nhosts < hosts) == plan.had_loop);
	check_hosts(&plan);
	n = plan_finish(&plan, prefer, out, PLAN_ADDRESSES_MAX, random_below);
	assert(n <= PLAN_ADDRESSES_MAX);
	check_order(out, n);
	check_families(&plan, prefer);
	return 0;
}
