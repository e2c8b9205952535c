/* SPDX-License-Identifier: ISC */
/*
 * What a message costs in the store: N bodies of 4 KiB come in, are marked
 * active, and are delivered, each step in groups of 100.
 *
 * usage: store_bench [-a already-queued] [-n messages] DIRECTORY
 */
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>

#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "master/queue/store.h"

enum {
	GROUP = 100,
	BODY = 4096
};

static double
seconds(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_MONOTONIC, &ts) == -1)
		err(1, "clock_gettime");
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double
cpu_seconds(void)
{
	struct rusage ru;

	if (getrusage(RUSAGE_SELF, &ru) == -1)
		err(1, "getrusage");
	return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
	    (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
}

static void
add_group(struct store *store, int body_fd, unsigned int *seed, uint64_t *ids)
{
	struct store_envelope envelope = { .created_ms = 1,
		.size = BODY,
		.nrcpts = 1,
		.reverse_path = "sender@example.org",
		.ref = "",
		.via = "" };
	char address[64];
	const char *addresses[1] = { address };
	size_t i;

	if (store_begin(store) == -1)
		err(1, "begin");
	for (i = 0; i < GROUP; i++) {
		(void)snprintf(address, sizeof(address),
		    "user%u@host%u.example", *seed, *seed % 200);
		(*seed)++;
		if (store_add_message(store, &envelope, addresses, NULL,
			body_fd, &ids[i]) == -1)
			errx(1, "add: %s", store_error(store));
	}
	if (store_commit(store) == -1)
		err(1, "commit");
}

static void
activate_group(struct store *store, const uint64_t *ids)
{
	size_t i;

	if (store_begin(store) == -1)
		err(1, "begin");
	for (i = 0; i < GROUP; i++)
		if (store_mark_active(store, ids[i], 0) == -1)
			err(1, "mark");
	if (store_commit(store) == -1)
		err(1, "commit");
}

static void
finish_group(struct store *store, const uint64_t *ids)
{
	struct store_outcome outcome = { .state = STORE_DELIVERED };
	bool removed;
	size_t i;

	if (store_begin(store) == -1)
		err(1, "begin");
	for (i = 0; i < GROUP; i++) {
		outcome.message = ids[i];
		if (store_set_outcome(store, &outcome, &removed) == -1 ||
		    !removed)
			err(1, "outcome");
	}
	if (store_commit(store) == -1)
		err(1, "commit");
}

static void
report(const char *what, uint64_t n, double wall, double cpu)
{
	printf("%-24s %8" PRIu64 " messages  %9.0f /s  %6.1f us CPU each\n",
	    what, n, (double)n / wall, cpu / (double)n * 1e6);
}

int
main(int argc, char *argv[])
{
	struct store_options options = { .inline_body_limit = 65536 };
	struct store *store;
	uint64_t ids[GROUP];
	uint64_t already = 0;
	uint64_t n = 20000;
	uint64_t i;
	double cpu[3] = { 0 };
	double wall[3] = { 0 };
	double t;
	double c;
	unsigned int seed = 0;
	char error[512];
	char body[BODY];
	int opt;
	int fd;

	while ((opt = getopt(argc, argv, "a:n:")) != -1) {
		if (opt == 'a')
			already = strtoull(optarg, NULL, 10);
		else if (opt == 'n')
			n = strtoull(optarg, NULL, 10);
		else
			return 64;
	}
	if (optind != argc - 1)
		errx(64, "usage: store_bench [-a queued] [-n messages] DIR");
	options.spool = argv[optind];
	if (store_open(&options, &store, error, sizeof(error)) == -1)
		errx(1, "%s", error);
	fd = memfd_create("body", MFD_CLOEXEC);
	memset(body, 'x', sizeof(body));
	if (fd == -1 || write(fd, body, sizeof(body)) != sizeof(body))
		err(1, "body");
	for (i = 0; i < already; i += GROUP)
		add_group(store, fd, &seed, ids);
	for (i = 0; i < n; i += GROUP) {
		t = seconds();
		c = cpu_seconds();
		add_group(store, fd, &seed, ids);
		wall[0] += seconds() - t;
		cpu[0] += cpu_seconds() - c;
		t = seconds();
		c = cpu_seconds();
		activate_group(store, ids);
		wall[1] += seconds() - t;
		cpu[1] += cpu_seconds() - c;
		t = seconds();
		c = cpu_seconds();
		finish_group(store, ids);
		wall[2] += seconds() - t;
		cpu[2] += cpu_seconds() - c;
	}
	report("insert", n, wall[0], cpu[0]);
	report("activate", n, wall[1], cpu[1]);
	report("finish", n, wall[2], cpu[2]);
	report("all", n, wall[0] + wall[1] + wall[2], cpu[0] + cpu[1] + cpu[2]);
	store_close(store);
	return 0;
}
