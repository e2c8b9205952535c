/* SPDX-License-Identifier: ISC */
/* mailq: the queue in the words of Postfix's, which people and scripts read. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/util.h"
#include "master/control/client/control_client.h"
#include "master/control/client/daemon_client.h"
#include "master/control/sendmail/sendmail.h"

#define MAILQ_PAGE 1000

struct mailq {
	char id[32]; /* of the message whose recipients are printed */
	long long octets;
	long long requests;
};

static char
mark(const char *state)
{
	if (strcmp(state, "active") == 0)
		return '*';
	return strcmp(state, "held") == 0 ? '!' : ' ';
}

static void
print_row(void *arg, const json_t *row)
{
	struct mailq *q = arg;
	const char *id = daemon_client_string(row, "id");
	const char *from = daemon_client_string(row, "from");
	const json_t *last = json_object_get(row, "last");
	const char *reply = daemon_client_string(last, "reply");
	time_t arrived =
	    (time_t)(control_client_number(row, "arrived_ms") / 1000);
	char when[32] = "", named[sizeof(q->id) + 1];
	struct tm tm;

	/* A recipient that is final waits for nothing. */
	if (strcmp(daemon_client_string(row, "state"), "failed") == 0)
		return;
	if (strcmp(q->id, id) != 0) {
		if (q->requests == 0)
			printf("-Queue ID-  --Size-- ----Arrival Time---- "
			       "-Sender/Recipient-------\n");
		else
			putchar('\n');
		(void)strlcpy(q->id, id, sizeof(q->id));
		(void)snprintf(named, sizeof(named), "%s%c", q->id,
		    mark(daemon_client_string(row, "state")));
		if (localtime_r(&arrived, &tm) != NULL)
			(void)strftime(when, sizeof(when), "%a %b %e %H:%M:%S",
			    &tm);
		printf("%-11s %8lld %s  %s\n", named,
		    control_client_number(row, "size"), when,
		    from[0] != '\0' ? from : "MAILER-DAEMON");
		q->octets += control_client_number(row, "size");
		q->requests++;
	}
	if (reply[0] != '\0')
		printf("%*s(%s)\n", 8, "", reply);
	printf("%*s%s\n", 41, "", daemon_client_string(row, "recipient"));
}

int
cmd_mailq(const char *config_name)
{
	struct mailq q = { .id = "" };
	json_t *cursor, *end;
	int fd, more;

	fd = daemon_client_open(daemon_client_socket(NULL, config_name, true));
	if (fd == -1)
		return EXIT_DEFERRED;
	cursor = json_pack("{s:s,s:i}", "command", "list", "limit", MAILQ_PAGE);
	do {
		more = control_client_page(fd, cursor, print_row, &q, &end);
		json_decref(end);
	} while (more == 1);
	json_decref(cursor);
	fd_close(fd);
	if (more == -1)
		return EXIT_DEFERRED;
	if (q.requests == 0)
		printf("Mail queue is empty\n");
	else
		printf("\n-- %lld Kbytes in %lld Request%s.\n",
		    (q.octets + 1023) / 1024, q.requests,
		    q.requests == 1 ? "" : "s");
	return EXIT_ALL_WELL;
}
