/* SPDX-License-Identifier: ISC */
/* What `send` and `deliver` print of a recipient's outcome. */
#include <stdio.h>
#include <string.h>

#include "master/control/client/daemon_client.h"
#include "master/control/client/job_result.h"

void
job_result_print(const json_t *result, bool json,
    struct job_result_tally *tally)
{
	const char *status = daemon_client_string(result, "status");

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
		    daemon_client_string(result, "recipient"), status,
		    json_is_true(json_object_get(result, "in_doubt"))
			? ", perhaps delivered"
			: "",
		    daemon_client_string(result, "reply"),
		    daemon_client_string(result, "dsn"),
		    daemon_client_string(result, "relay"),
		    daemon_client_string(result, "step"));
	}
	fflush(stdout);
}

int
job_result_exit_status(const struct job_result_tally *tally)
{
	if (tally->deferred > 0)
		return EXIT_DEFERRED;
	return tally->failed > 0 ? EXIT_FAILED : EXIT_ALL_WELL;
}
