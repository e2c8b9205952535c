/* SPDX-License-Identifier: ISC */
/* postern pause and postern resume. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/util.h"
#include "master/control/client/control_client.h"
#include "master/control/client/daemon_client.h"
#include "master/control/client/options.h"
#include "master/control/client/usage.h"
#include "master/control/control.h"

struct pause_options {
	const char *config_name;
	const char *socket;
	const char *transport;
	const char *destination;
	bool all;
	bool json;
};

int
cmd_pause_print(int fd, bool json, int timeout_ms)
{
	json_t *row;
	bool done = false;

	if (daemon_client_send(fd, json_pack("{s:s}", "command", "pauses"),
		-1) == -1)
		return -1;
	while (!done) {
		row = daemon_client_receive(fd, timeout_ms);
		if (row == NULL)
			fprintf(stderr,
			    errno == ETIMEDOUT
				? "postern: the queue does not answer: what is "
				  "paused is not known\n"
				: "postern: posternd closed the connection\n");
		if (row == NULL || control_client_is_refusal(row)) {
			json_decref(row);
			return -1;
		}
		done = json_is_true(json_object_get(row, "done"));
		if (!done && json)
			control_client_print_json(row);
		else if (!done)
			queue_print_pause(row);
		json_decref(row);
	}
	return 0;
}

static int
say(const char *command, const struct pause_options *o)
{
	json_t *ask = json_pack("{s:s}", "command", command), *end;
	int fd, status;

	if (o->all)
		(void)json_object_set_new(ask, "all", json_true());
	else if (o->transport != NULL)
		(void)json_object_set_new(ask, "transport",
		    json_string(o->transport));
	else
		(void)json_object_set_new(ask, "destination",
		    json_string(o->destination));
	fd = daemon_client_open(
	    daemon_client_socket(o->socket, o->config_name, true));
	if (fd == -1) {
		json_decref(ask);
		return EXIT_DEFERRED;
	}
	end = control_client_ask(fd, ask, &status);
	if (strcmp(daemon_client_string(end, "unknown"), "destination") == 0)
		fprintf(stderr,
		    "postern: destination %s is paused, but no mail in the "
		    "queue goes there now: is that its name?\n",
		    o->destination);
	if (end != NULL && o->json)
		control_client_print_json(end);
	else if (end != NULL && control_client_number(end, "changed") == 0)
		printf("nothing to do\n");
	else if (end != NULL && strcmp(command, "resume") == 0)
		printf("resumed: %lld pause%s ended\n",
		    control_client_number(end, "changed"),
		    control_client_number(end, "changed") == 1 ? "" : "s");
	if (end != NULL && !o->json)
		(void)cmd_pause_print(fd, false, -1);
	json_decref(end);
	fd_close(fd);
	return end != NULL ? EXIT_ALL_WELL : status;
}

static int
run(const char *command, int argc, char **argv)
{
	struct pause_options o = { 0 };
	const struct control_option rows[] = {
		{ "all", 0, NULL, &o.all },
		{ "config", 'c', &o.config_name, NULL },
		{ "destination", 0, &o.destination, NULL },
		{ "json", 0, NULL, &o.json },
		{ "socket", 0, &o.socket, NULL },
		{ "transport", 0, &o.transport, NULL },
	};

	o.config_name = POSTERN_SYSCONFDIR "/postern.conf";
	if (!options_words(argc, argv,
		options_read(argc, argv, rows, NELEM(rows)), 0, 0, ""))
		return usage_print(command);
	if (!options_is_name("--transport", o.transport) ||
	    !options_is_name("--destination", o.destination))
		return EXIT_USAGE;
	if (o.all + (o.transport != NULL) + (o.destination != NULL) == 1)
		return say(command, &o);
	fprintf(stderr,
	    "postern: %s what? say one of --all, --transport NAME and "
	    "--destination NAME\n",
	    command);
	return EXIT_USAGE;
}

int
cmd_pause(int argc, char **argv)
{
	return run("pause", argc, argv);
}

int
cmd_resume(int argc, char **argv)
{
	return run("resume", argc, argv);
}
