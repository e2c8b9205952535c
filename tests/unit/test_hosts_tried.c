/* SPDX-License-Identifier: ISC */
#include "master/queue/hosts_tried.h"

#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

static struct hosts_tried tried;
static struct hosts_tried_kept *kept;

static void
expect(const char *relay, const char *reply, size_t *at)
{
	const char *got;

	cr_assert_str_eq(hosts_tried_next(kept, at, &got), relay);
	cr_expect_str_eq(got, reply);
}

Test(hosts_tried, each_host_once_in_the_order_of_its_last_failure)
{
	const char *reply;
	size_t at = 0;

	hosts_tried_add(&tried, "a[1]:25", "452 full");
	hosts_tried_add(&tried, "b[2]:25", "cannot connect");
	hosts_tried_add(&tried, "a[1]:25", "451 no");
	hosts_tried_keep(&kept, &tried, 17);
	cr_expect_eq(hosts_tried_time(kept), 17);
	expect("b[2]:25", "cannot connect", &at);
	expect("a[1]:25", "451 no", &at);
	cr_expect_null(hosts_tried_next(kept, &at, &reply));
	memset(&tried, 0, sizeof(tried));
	hosts_tried_keep(&kept, &tried, 18);
	cr_expect_null(kept);
}

Test(hosts_tried, what_does_not_fit_is_left_out)
{
	char reply[1000], host[16];
	size_t at = 0, n = 0;
	const char *got;

	memset(reply, 'x', sizeof(reply) - 1);
	reply[sizeof(reply) - 1] = '\0';
	for (int i = 0; i < 100; i++) {
		(void)snprintf(host, sizeof(host), "h%d", i);
		hosts_tried_add(&tried, host, reply);
	}
	cr_expect_leq(tried.len, sizeof(tried.text));
	hosts_tried_keep(&kept, &tried, 0);
	for (; hosts_tried_next(kept, &at, &got) != NULL; n++)
		cr_expect_lt(strlen(got), 300);
	cr_expect_geq(n, 6);
	free(kept);
}
