/* SPDX-License-Identifier: ISC */
/* What `send` and `deliver` print of a recipient's outcome. */
#include <stdio.h>
#include <string.h>

#include "master/control/client/daemon_client.h"
#include "master/control/control.h"

void
control_print_result(const json_t *result, bool json,
    struct control_tally *tally)
{
	const char *status = link_string(result, "status");

	if (strcmp(status, "deferred") == 0)
		tally->deferred++;
	else if (strcmp(status, "failed") == 0 ||
	    strcmp(status, "undeliverable") == 0)
		tally->failed++;
	if (json) {
		(void)json_dumpf(result, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		printf("%s: %s%s (%s) dsn=%s relay=%s step=%s\n",
		    link_string(result, "recipient"), status,
		    json_is_true(json_object_get(result, "in_doubt"))
			? ", perhaps delivered"
			: "",
		    link_string(result, "reply"), link_string(result, "dsn"),
		    link_string(result, "relay"), link_string(result, "step"));
	}
	fflush(stdout);
}

int
control_exit_status(const struct control_tally *tally)
{
	if (tally->deferred > 0)
		return EXIT_DEFERRED;
	return tally->failed > 0 ? EXIT_FAILED : EXIT_ALL_WELL;
}
