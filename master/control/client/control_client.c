/* SPDX-License-Identifier: ISC */
/* See control_client.h: questions to the control socket, and their answers. */
#include "master/control/client/control_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/control/client/daemon_client.h"

bool
control_client_is_refusal(const json_t *row)
{
	if (strcmp(daemon_client_string(row, "status"), "refused") != 0)
		return false;
	fprintf(stderr, "postern: %s\n", daemon_client_refusal_text(row));
	return true;
}

json_t *
control_client_receive(int fd)
{
	json_t *row = daemon_client_receive(fd, -1);

	if (row == NULL)
		fprintf(stderr, "postern: posternd closed the connection\n");
	return row;
}

json_t *
control_client_ask(int fd, json_t *command, int *status)
{
	json_t *row = NULL;

	*status = EXIT_DEFERRED;
	if (daemon_client_send(fd, command, -1) == -1)
		fprintf(stderr, "postern: %s\n", strerror(errno));
	else
		row = control_client_receive(fd);
	if (row == NULL || !control_client_is_refusal(row))
		return row;
	*status = daemon_client_refusal_status(row);
	json_decref(row);
	return NULL;
}

int
control_client_page(int fd, json_t *cursor,
    void (*each)(void *arg, const json_t *row), void *arg, json_t **end)
{
	json_t *row;

	*end = NULL;
	if (daemon_client_send(fd, json_copy(cursor), -1) == -1)
		return -1;
	while ((row = control_client_receive(fd)) != NULL &&
	    !json_is_true(json_object_get(row, "done"))) {
		if (control_client_is_refusal(row)) {
			*end = row;
			return -1;
		}
		each(arg, row);
		(void)json_object_set(cursor, "after",
		    json_object_get(row, "id"));
		(void)json_object_set(cursor, "after_index",
		    json_object_get(row, "index"));
		json_decref(row);
	}
	*end = row;
	if (row == NULL)
		return -1;
	return json_is_true(json_object_get(row, "more"));
}

long long
control_client_limit(const struct manage_options *o, long long most,
    long long fallback)
{
	const char *why;
	long long limit;

	if (o->limit == NULL)
		return fallback;
	limit = strtonum(o->limit, 0, most, &why);
	if (why == NULL)
		return limit;
	fprintf(stderr, "postern: --limit %s: a number of rows from 0 to %lld\n",
	    o->limit, most);
	return -1;
}

bool
control_client_is_unknown(const json_t *end, const struct manage_options *o)
{
	const char *what = daemon_client_string(end, "unknown");

	if (strcmp(what, "destination") == 0)
		fprintf(stderr,
		    "postern: destination %s: no mail in the queue goes there, "
		    "and the configuration has no transport, server or route "
		    "of that name\n",
		    o->selection.destination);
	else if (strcmp(what, "domain") == 0)
		fprintf(stderr,
		    "postern: domain %s: no mail in the queue is for it, and "
		    "the configuration has no route of that name\n",
		    o->selection.domain);
	else
		return false;
	return true;
}

void
control_client_print_json(const json_t *object)
{
	(void)json_dumpf(object, stdout, JSON_COMPACT);
	putchar('\n');
}

long long
control_client_number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}
