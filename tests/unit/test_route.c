/* SPDX-License-Identifier: ISC */
/* How long a route has a recipient wait. */
#include "master/queue/route.h"

#include <criterion/criterion.h>

#include <string.h>

#include "master/config.h"
#include "master/queue/queue_internal.h"

static const char text[] =
    "transport local { server = \"127.0.0.1:24\" }\n"
    "route a.org { transport = local\nretry_schedule = { 5m, 1h }\n"
    "retry_jitter = 0 }\n"
    "route b.org { transport = local\nretry_jitter = 0 }\n";

/* A server that the configuration names is tried again within seconds, unless
 * the operator chose the times. */
Test(route, a_schedule_that_is_configured_is_kept_to)
{
	static const struct {
		const char *recipient;
		uint32_t attempts;
		bool brief;
		int64_t want_s;
	} cases[] = {
		{ "x@a.org", 1, false, 300 },
		{ "x@a.org", 1, true, 300 },
		{ "x@a.org", 2, true, 3600 },
		{ "x@b.org", 1, false, 200 },
		{ "x@b.org", 1, true, 1 },
		{ "x@b.org", 3, true, 4 },
	};
	static struct config_errors errors;
	static struct queue q;

	q.config = config_read("f", text, strlen(text), &errors);
	cr_assert_not_null(q.config);
	q.limits.minimal_backoff_ms = 200000;
	q.limits.maximal_backoff_ms = 4000000;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_eq(route_retry_ms(&q, 1, "", cases[i].recipient,
				 cases[i].attempts, cases[i].brief),
		    cases[i].want_s * 1000, "case %zu", i);
}
