/* SPDX-License-Identifier: ISC */
/* A hosts file as people write them. */
#include <sys/socket.h>

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/util.h"
#include "master/resolver/hosts.h"

static const char text[] = "# a comment\n"
			   "127.0.0.1\tlocalhost\n"
			   "\n"
			   "::1 localhost ip6-localhost # of IPv6\n"
			   "  192.0.2.1   b.example B2.example.\r\n"
			   "192.0.2.2 b.example\n"
			   "192.0.2.300 wrong.example\n"
			   "fe80::1%lo scoped.example\n"
			   "192.0.2.3\n"
			   "nonsense\n"
			   "192.0.2.4 last.example";

static const struct {
	const char *name;
	size_t count;
	const char *address; /* one of them */
} cases[] = {
	{ "localhost", 2, "::1" },
	{ "ip6-localhost", 1, "::1" },
	{ "b.example", 2, "192.0.2.2" },
	{ "B.EXAMPLE", 2, "192.0.2.1" },
	{ "b2.example", 1, "192.0.2.1" },
	{ "last.example", 1, "192.0.2.4" },
	{ "example", 0, NULL },
	{ "wrong.example", 0, NULL },
	{ "scoped.example", 0, NULL },
	{ "of", 0, NULL },
	{ "", 0, NULL },
};

static struct hosts *
hosts_of(const char *octets, size_t len)
{
	FILE *f = fmemopen((void *)(uintptr_t)octets, len, "r");
	struct hosts *hosts;

	cr_assert_not_null(f);
	hosts = hosts_read(f);
	cr_assert_not_null(hosts);
	fclose(f);
	return hosts;
}

Test(hosts, a_name_has_the_addresses_of_its_lines)
{
	struct hosts *hosts = hosts_of(text, strlen(text));
	const struct hosts_entry *entry;
	char address[INET6_ADDRSTRLEN];
	size_t count;
	bool seen;

	for (size_t i = 0; i < NELEM(cases); i++) {
		entry = hosts_find(hosts, cases[i].name, &count);
		cr_expect_eq(count, cases[i].count, "%s", cases[i].name);
		cr_expect_eq(entry == NULL, count == 0);
		seen = count == 0;
		for (; count > 0; count--, entry++) {
			inet_ntop(entry->family, entry->addr, address,
			    sizeof(address));
			seen = seen || strcmp(address, cases[i].address) == 0;
		}
		cr_expect(seen, "%s", cases[i].name);
	}
	hosts_free(hosts);
}

Test(hosts, no_file_and_an_empty_one_have_no_names)
{
	struct hosts *hosts = hosts_of("\n", 1);
	size_t count = 1;

	cr_expect_null(hosts_find(NULL, "a", &count));
	cr_expect_eq(count, 0);
	cr_expect_null(hosts_find(hosts, "a", &count));
	cr_expect_eq(count, 0);
	hosts_free(hosts);
	hosts_free(NULL);
}

Test(hosts, a_huge_file_is_read_up_to_its_bound)
{
	size_t size = 2 * HOSTS_MAX * 24, len = 0, count;
	char *octets = malloc(size);
	struct hosts *hosts;

	cr_assert_not_null(octets);
	for (unsigned i = 0; i < 2 * HOSTS_MAX; i++)
		len += (size_t)snprintf(octets + len, size - len,
		    "192.0.2.1 n%u\n", i);
	hosts = hosts_of(octets, len);
	cr_expect_not_null(hosts_find(hosts, "n0", &count));
	cr_expect_not_null(hosts_find(hosts, "n65535", &count));
	cr_expect_null(hosts_find(hosts, "n65536", &count));
	hosts_free(hosts);
	free(octets);
}
