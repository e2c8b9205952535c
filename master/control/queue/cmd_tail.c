/* SPDX-License-Identifier: ISC */
/* postern tail: events as JSON lines, as they fall. */
#include <stdio.h>
#include <string.h>

#include "common/util.h"
#include "master/control/client/control_client.h"
#include "master/control/client/daemon_client.h"
#include "master/control/client/options.h"
#include "master/control/client/usage.h"
#include "master/control/control.h"

static void
set(json_t *object, const char *name, const char *value)
{
	if (value != NULL)
		(void)json_object_set_new(object, name, json_string(value));
}

/* Until the daemon ends it, or we are told to stop. */
static int
follow(int fd)
{
	json_t *row;
	int ret;

	while ((row = control_client_receive(fd)) != NULL) {
		if (control_client_is_refusal(row)) {
			ret = daemon_client_refusal_status(row);
			json_decref(row);
			return ret;
		}
		if (strcmp(daemon_client_string(row, "event"), "listening") !=
		    0) {
			control_client_print_json(row);
			if (fflush(stdout) != 0) {
				json_decref(row);
				return EXIT_FAILED; /* nobody reads */
			}
		}
		json_decref(row);
	}
	return EXIT_DEFERRED;
}

int
cmd_tail(int argc, char **argv)
{
	const char *config_name = POSTERN_SYSCONFDIR "/postern.conf";
	const char *socket = NULL, *sender = NULL, *recipient = NULL;
	const char *destination = NULL, *id = NULL, *status = NULL;
	bool json = false;
	const struct control_option rows[] = {
		{ "config", 'c', &config_name, NULL },
		{ "destination", 0, &destination, NULL },
		{ "id", 0, &id, NULL },
		{ "json", 0, NULL, &json }, /* as everywhere: it always is */
		{ "recipient", 0, &recipient, NULL },
		{ "sender", 0, &sender, NULL },
		{ "socket", 0, &socket, NULL },
		{ "status", 0, &status, NULL },
	};
	json_t *ask;
	int fd, ret = EXIT_DEFERRED;

	if (!options_words(argc, argv,
		options_read(argc, argv, rows, NELEM(rows)), 0, 0, ""))
		return usage_print("tail");
	if (!options_is_name("--sender", sender) ||
	    !options_is_name("--recipient", recipient) ||
	    !options_is_name("--destination", destination) ||
	    !options_is_name("--id", id) ||
	    !options_is_name("--status", status))
		return EXIT_USAGE;
	fd =
	    daemon_client_open(daemon_client_socket(socket, config_name, true));
	if (fd == -1)
		return EXIT_DEFERRED;
	ask = json_pack("{s:s}", "command", "tail");
	set(ask, "sender", sender);
	set(ask, "recipient", recipient);
	set(ask, "destination", destination);
	set(ask, "status", status);
	set(ask, "id", id);
	if (daemon_client_send(fd, ask, -1) == 0)
		ret = follow(fd);
	fd_close(fd);
	return ret;
}
