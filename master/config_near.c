/* SPDX-License-Identifier: ISC */
/* See config_near.h. */
#include "master/config_near.h"

#include <string.h>

#include "common/util.h"

enum {
	NEAR_MAX = 63,
};

static unsigned
least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

unsigned
config_near_distance(const char *a, size_t a_len, const char *b, size_t b_len,
    unsigned most)
{
	unsigned rows[3][NEAR_MAX + 1];
	unsigned *before = rows[0], *last = rows[1], *now = rows[2], *swap;
	size_t i, j;

	if (a_len > NEAR_MAX || b_len > NEAR_MAX || a_len > b_len + most ||
	    b_len > a_len + most)
		return most + 1;
	for (j = 0; j <= b_len; j++)
		before[j] = last[j] = (unsigned)j;
	for (i = 1; i <= a_len; i++) {
		now[0] = (unsigned)i;
		for (j = 1; j <= b_len; j++) {
			now[j] = least(least(last[j], now[j - 1]) + 1,
			    last[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				now[j] = least(now[j], before[j - 2] + 1);
		}
		swap = before;
		before = last;
		last = now;
		now = swap;
	}
	return least(last[b_len], most + 1);
}

const char *
config_near_postfix(const char *name, size_t len)
{
	static const struct {
		const char *name;
		const char *here;
	} rows[] = {
		{ "myhostname", "here it is hostname" },
		{ "relayhost",
		    "here it is transport relay { server = \"HOST\" } with "
		    "route \"*\" { transport = relay }" },
		{ "transport_maps",
		    "here each is a block, route DOMAIN { transport = NAME }" },
		{ "default_transport",
		    "here it is route \"*\" { transport = NAME }" },
		{ "queue_directory", "here it is spool_directory" },
		{ "smtp_tls_security_level",
		    "here it is tls_security_level, in a block transport NAME "
		    "{ ... }" },
		{ "smtp_tls_CAfile",
		    "here it is tls_CAfile, in a block transport NAME { ... }" },
		{ "smtp_tls_wrappermode",
		    "here it is tls_wrappermode, in a block transport NAME "
		    "{ ... }" },
		{ "smtp_sasl_password_maps",
		    "here they are auth_user and auth_password_file, in a "
		    "block transport NAME { ... }" },
		{ "smtp_bind_address",
		    "here it is bind_address, in a block transport NAME { ... }" },
		{ "smtp_helo_name",
		    "here it is ehlo_name, in a block transport NAME { ... }" },
		{ "default_process_limit", "here it is process_limit" },
		{ "mynetworks",
		    "here it is clients, in a block listener NAME { ... }" },
		{ "inet_interfaces",
		    "here it is listen, in a block listener NAME { ... }" },
		{ "notify_classes",
		    "here they are bounce_notice_recipient, "
		    "delay_notice_recipient and double_bounce_recipient" },
	};

	for (size_t i = 0; i < NELEM(rows); i++)
		if (strlen(rows[i].name) == len &&
		    memcmp(rows[i].name, name, len) == 0)
			return rows[i].here;
	return NULL;
}
