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
#include "master/control/client/options.h"
#include "master/control/client/usage.h"
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
	return options_read(argc, argv, rows, NELEM(rows));
}

static void
print_process(const json_t *row)
{
	printf("%-8s %7lld restarts=%lld %s\n",
	    daemon_client_string(row, "role"),
	    control_client_number(row, "pid"),
	    control_client_number(row, "restarts"),
	    daemon_client_string(row, "layers"));
}

/* What waits on disk. */
static void
print_counts(const json_t *counts, bool json)
{
	json_t *row;

	if (counts == NULL)
		return;
	if (!json) {
		printf(
		    "queue: %lld recipients wait: queued=%lld deferred=%lld; "
		    "active=%lld failed=%lld held=%lld\n",
		    control_client_number(counts, "queued") +
			control_client_number(counts, "deferred"),
		    control_client_number(counts, "queued"),
		    control_client_number(counts, "deferred"),
		    control_client_number(counts, "active"),
		    control_client_number(counts, "failed"),
		    control_client_number(counts, "held"));
		return;
	}
	row = json_pack("{s:O}", "counts", counts);
	control_client_print_json(row);
	json_decref(row);
}

/* How much is in the queue; and what failed, and nobody could be told of: it is
 * easily overlooked. */
static void
print_queue(int fd, bool json)
{
	bool done = false;
	json_t *row;

	if (daemon_client_send(fd,
		json_pack("{s:s,s:i}", "command", "top", "limit", 0), -1) == -1)
		return;
	while (!done && (row = daemon_client_receive(fd, PAUSES_MS)) != NULL) {
		done = json_is_true(json_object_get(row, "done")) ||
		    control_client_is_refusal(row);
		print_counts(json_object_get(row, "counts"), json);
		if (control_client_number(row, "kept") > 0 && json)
			printf("{\"kept\":%lld}\n",
			    control_client_number(row, "kept"));
		else if (control_client_number(row, "kept") > 0)
			printf("%lld notices failed, and nobody could be told: "
			       "they are kept; see postern queue list --state "
			       "held\n",
			    control_client_number(row, "kept"));
		json_decref(row);
	}
}

int
cmd_status(int argc, char **argv)
{
	struct inspect_options o = { 0 };
	bool done = false, refused = false;
	json_t *row;
	int fd;

	if (!options_words(argc, argv, parse(argc, argv, &o), 0, 0, ""))
		return usage_print("status");
	fd = daemon_client_open(
	    daemon_client_socket(o.socket, o.config_name, true));
	if (fd == -1)
		return EXIT_DEFERRED;
	if (daemon_client_send(fd, json_pack("{s:s}", "command", "status"),
		-1) == -1)
		done = true;
	while (!done && !refused &&
	    (row = daemon_client_receive(fd, -1)) != NULL) {
		done = json_is_true(json_object_get(row, "done"));
		refused = control_client_is_refusal(row);
		if (o.json && !refused)
			control_client_print_json(row);
		else if (!refused)
			print_process(row);
		json_decref(row);
	}
	/* A queue that is away says so on stderr: the answer is what runs. */
	if (!done && !refused)
		fprintf(stderr, "postern: posternd closed the connection\n");
	if (done && cmd_pause_print(fd, o.json, PAUSES_MS) == 0)
		print_queue(fd, o.json);
	fd_close(fd);
	return done ? EXIT_ALL_WELL : EXIT_DEFERRED;
}
