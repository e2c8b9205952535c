/* SPDX-License-Identifier: ISC */
/*
 * postern status: what holds the daemon, what an operator has paused, how much is
 * in the queue, and which notices nobody got.
 */
#include <stdio.h>
#include <string.h>

#include "common/util.h"
#include "master/control/client/control_client.h"
#include "master/control/client/daemon_client.h"
#include "master/control/control.h"

#define PAUSES_MS 2000 /* a queue that stands still is not waited for */

struct inspect_options {
	const char *config_name;
	const char *socket;
	bool json;
};

/* The index of the first word that is no option, or -1. */
static int
parse(int argc, char **argv, struct inspect_options *o)
{
	const struct control_option rows[] = {
		{ "config", 'c', &o->config_name, NULL },
		{ "json", 0, NULL, &o->json },
		{ "socket", 0, &o->socket, NULL },
	};

	o->config_name = POSTERN_SYSCONFDIR "/postern.conf";
	return control_options(argc, argv, rows, NELEM(rows));
}

static void
print_process(const json_t *row)
{
	printf("%-8s %7lld restarts=%lld %s\n", link_string(row, "role"),
	    manage_number(row, "pid"), manage_number(row, "restarts"),
	    link_string(row, "layers"));
}

/* What waits on disk. */
static void
print_counts(const json_t *counts, bool json)
{
	json_t *row;

	if (counts == NULL)
		return;
	if (!json) {
		printf("queue: %lld recipients wait: queued=%lld deferred=%lld; "
		       "active=%lld failed=%lld held=%lld\n",
		    manage_number(counts, "queued") +
			manage_number(counts, "deferred"),
		    manage_number(counts, "queued"),
		    manage_number(counts, "deferred"),
		    manage_number(counts, "active"),
		    manage_number(counts, "failed"),
		    manage_number(counts, "held"));
		return;
	}
	row = json_pack("{s:O}", "counts", counts);
	manage_print_json(row);
	json_decref(row);
}

/* How much is in the queue; and what failed, and nobody could be told of: it is
 * easily overlooked. */
static void
print_queue(int fd, bool json)
{
	bool done = false;
	json_t *row;

	if (link_send(fd, json_pack("{s:s,s:i}", "command", "top", "limit", 0),
		-1) == -1)
		return;
	while (!done && (row = link_receive(fd, PAUSES_MS)) != NULL) {
		done = json_is_true(json_object_get(row, "done")) ||
		    manage_is_refusal(row);
		print_counts(json_object_get(row, "counts"), json);
		if (manage_number(row, "kept") > 0 && json)
			printf("{\"kept\":%lld}\n", manage_number(row, "kept"));
		else if (manage_number(row, "kept") > 0)
			printf("%lld notices failed, and nobody could be told: "
			       "they are kept; see postern queue list --state "
			       "held\n",
			    manage_number(row, "kept"));
		json_decref(row);
	}
}

int
control_status(int argc, char **argv)
{
	struct inspect_options o = { 0 };
	bool done = false, refused = false;
	json_t *row;
	int fd;

	if (!control_words(argc, argv, parse(argc, argv, &o), 0, 0, ""))
		return control_usage("status");
	fd = link_open(link_socket(o.socket, o.config_name, true));
	if (fd == -1)
		return EXIT_DEFERRED;
	if (link_send(fd, json_pack("{s:s}", "command", "status"), -1) == -1)
		done = true;
	while (!done && !refused && (row = link_receive(fd, -1)) != NULL) {
		done = json_is_true(json_object_get(row, "done"));
		refused = manage_is_refusal(row);
		if (o.json && !refused)
			manage_print_json(row);
		else if (!refused)
			print_process(row);
		json_decref(row);
	}
	/* A queue that is away says so on stderr: the answer is what runs. */
	if (!done && !refused)
		fprintf(stderr, "postern: posternd closed the connection\n");
	if (done && pause_print(fd, o.json, PAUSES_MS) == 0)
		print_queue(fd, o.json);
	fd_close(fd);
	return done ? EXIT_ALL_WELL : EXIT_DEFERRED;
}
