/* SPDX-License-Identifier: ISC */
/* postern tail: events as JSON lines, as they fall. */
#include <stdio.h>
#include <string.h>

#include "common/util.h"
#include "master/control/client/control_client.h"
#include "master/control/client/daemon_client.h"
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

	while ((row = manage_receive(fd)) != NULL) {
		if (manage_is_refusal(row)) {
			ret = link_refusal_status(row);
			json_decref(row);
			return ret;
		}
		if (strcmp(link_string(row, "event"), "listening") != 0) {
			manage_print_json(row);
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
control_tail(int argc, char **argv)
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

	if (!control_words(argc, argv,
		control_options(argc, argv, rows, NELEM(rows)), 0, 0, ""))
		return control_usage("tail");
	if (!control_is_name("--sender", sender) ||
	    !control_is_name("--recipient", recipient) ||
	    !control_is_name("--destination", destination) ||
	    !control_is_name("--id", id) ||
	    !control_is_name("--status", status))
		return EXIT_USAGE;
	fd = link_open(link_socket(socket, config_name, true));
	if (fd == -1)
		return EXIT_DEFERRED;
	ask = json_pack("{s:s}", "command", "tail");
	set(ask, "sender", sender);
	set(ask, "recipient", recipient);
	set(ask, "destination", destination);
	set(ask, "status", status);
	set(ask, "id", id);
	if (link_send(fd, ask, -1) == 0)
		ret = follow(fd);
	fd_close(fd);
	return ret;
}
