/* SPDX-License-Identifier: ISC */
/* postern queue summary: how much waits, for what, and how old it is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/duration.h"
#include "common/util.h"
#include "master/control/client/control_client.h"
#include "master/control/client/daemon_client.h"
#include "master/control/control.h"

enum {
	SUMMARY_SHOWN = 20,
	SUMMARY_MOST = 1000,
	SUMMARY_NAME = 40, /* columns of a name */
};

static const char *const kinds[] = { "destination", "domain", "reason",
	"sender", "age" };

bool
cmd_summary_check(const struct manage_options *o)
{
	size_t i;

	if (o->by == NULL)
		return true;
	for (i = 0; i < NELEM(kinds); i++)
		if (strcmp(o->by, kinds[i]) == 0)
			return true;
	fprintf(stderr,
	    "postern: --by %s: it is destination, domain, reason, sender or "
	    "age\n",
	    o->by);
	return false;
}

/* The columns of qshape(1): minutes, each bucket up to its head. */
static void
print_head(const json_t *sum)
{
	const json_t *minutes = json_object_get(sum, "age_minutes"), *value;
	long long last = 0;
	size_t i;

	printf("%-*s %8s", SUMMARY_NAME, "", "T");
	json_array_foreach(minutes, i, value)
	{
		last = json_integer_value(value);
		printf(" %6lld", last);
	}
	printf(" %5lld+\n", last);
}

static void
print_counts(const char *name, const json_t *row)
{
	const json_t *value;
	size_t i;

	printf("%-*.*s %8lld", SUMMARY_NAME, SUMMARY_NAME, name,
	    control_client_number(row, "recipients"));
	json_array_foreach(json_object_get(row, "ages"), i, value)
	{
		printf(" %6lld", (long long)json_integer_value(value));
	}
	putchar('\n');
}

/* A server of the configuration under its transport's name; a domain by MX. */
static void
name_destination(const json_t *row, char *out, size_t size)
{
	const char *transport = daemon_client_string(row, "transport");
	const char *hop = daemon_client_string(row, "next_hop");

	if (transport[0] == '\0')
		(void)snprintf(out, size, "%s (no route)", hop);
	else if (strcmp(transport, hop) == 0)
		(void)snprintf(out, size, "%s (%s)", transport,
		    daemon_client_string(row, "server"));
	else
		(void)snprintf(out, size, "%s (by %s)", hop, transport);
}

/* What is wrong with it, if anything is. */
static void
print_now(const json_t *row)
{
	const json_t *now = json_object_get(row, "now");
	long long until = control_client_number(now, "blocked_until_ms");
	char left[DURATION_SIZE];

	if (control_client_number(now, "deferred_60s") > 0)
		printf("    deferred in the last minute: %lld\n",
		    control_client_number(now, "deferred_60s"));
	if (json_object_get(now, "paused") != NULL)
		printf("    paused by an operator\n");
	if (until > time_real_ms())
		printf("    rests for %s, after %lld failures in a row\n",
		    duration_format((until - time_real_ms() + 999) / 1000,
			left),
		    control_client_number(now, "failures"));
	if (daemon_client_string(row, "last_reply")[0] != '\0')
		printf("    last reply: %s\n",
		    daemon_client_string(row, "last_reply"));
}

static void
print_row(const json_t *row)
{
	const char *kind = daemon_client_string(row, "summary");
	char name[1024];

	if (json_is_true(json_object_get(row, "others"))) {
		print_counts("(too many names: the others)", row);
		return;
	}
	if (strcmp(kind, "destination") == 0)
		name_destination(row, name, sizeof(name));
	else
		(void)strlcpy(name, daemon_client_string(row, kind),
		    sizeof(name));
	if (strcmp(kind, "sender") == 0 && name[0] == '\0')
		(void)strlcpy(name, "<>", sizeof(name));
	if (strcmp(kind, "domain") == 0 && name[0] == '\0')
		(void)strlcpy(name, "(no domain)", sizeof(name));
	print_counts(name, row);
	if (strcmp(kind, "destination") == 0)
		print_now(row);
}

/* A reason is a sentence: it has the line to itself, without columns. */
static void
print_reason(const json_t *row)
{
	if (json_is_true(json_object_get(row, "others")))
		printf("%8lld (too many reasons: the others)\n",
		    control_client_number(row, "recipients"));
	else
		printf("%8lld %s\n", control_client_number(row, "recipients"),
		    daemon_client_string(row, "reason"));
}

static void
print_age(const json_t *row)
{
	const json_t *states = json_object_get(row, "states"), *value;
	long long below = control_client_number(row, "below_minutes");
	const char *name;
	char head[32] = "older";
	json_t *own = json_copy((json_t *)(uintptr_t)states);

	if (below > 0)
		(void)snprintf(head, sizeof(head), "below %lld min", below);
	printf("%-16s %8lld ", head, control_client_number(row, "recipients"));
	json_object_foreach(own, name, value)
	{
		printf(" %s=%lld", name, (long long)json_integer_value(value));
	}
	putchar('\n');
	json_decref(own);
}

static void
print_words(const json_t *rows, const json_t *sum, const char *by)
{
	const json_t *row;
	long long hidden = control_client_number(sum, "rows") -
	    control_client_number(sum, "shown");
	size_t i;

	if (strcmp(by, "reason") != 0 && strcmp(by, "age") != 0) {
		print_head(sum);
		print_counts("TOTAL", sum);
	} else {
		printf("%lld recipients\n",
		    control_client_number(sum, "recipients"));
	}
	json_array_foreach(rows, i, row)
	{
		if (strcmp(by, "reason") == 0)
			print_reason(row);
		else if (strcmp(by, "age") == 0)
			print_age(row);
		else
			print_row(row);
	}
	if (hidden > 0)
		printf("%lld more: --limit shows as many as it says\n", hidden);
	if (json_is_true(json_object_get(sum, "stopped")))
		printf("the queue could not be read to its end\n");
}

/* The rows of one answer, *sum its last object; NULL after a word on stderr. */
static json_t *
receive(int fd, json_t **sum, int *status)
{
	json_t *rows = json_array(), *row;

	while ((row = control_client_receive(fd)) != NULL &&
	    !control_client_is_refusal(row)) {
		if (json_is_true(json_object_get(row, "done"))) {
			*sum = row;
			return rows;
		}
		if (json_object_get(row, "summary") != NULL)
			(void)json_array_append(rows, row);
		json_decref(row); /* else how far it is */
	}
	*status = daemon_client_refusal_status(row);
	json_decref(row);
	json_decref(rows);
	return NULL;
}

int
cmd_summary(int fd, const struct manage_options *o)
{
	const char *by = o->by != NULL ? o->by : kinds[0];
	long long limit = control_client_limit(o, SUMMARY_MOST, SUMMARY_SHOWN);
	json_t *ask, *rows, *row, *sum = NULL;
	int ret = EXIT_ALL_WELL;
	size_t i;

	if (limit == -1)
		return EXIT_USAGE;
	ask = json_pack("{s:s,s:s,s:I}", "command", "summary", "by", by,
	    "limit", (json_int_t)limit);
	if (selection_add(ask, &o->selection, 0) == -1) {
		json_decref(ask);
		return EXIT_USAGE;
	}
	if (daemon_client_send(fd, ask, -1) == -1)
		return EXIT_DEFERRED;
	rows = receive(fd, &sum, &ret);
	if (rows == NULL)
		return ret;
	if (control_client_is_unknown(sum, o))
		ret = EXIT_FAILED;
	if (o->json) {
		json_array_foreach(rows, i, row)
		{
			control_client_print_json(row);
		}
		control_client_print_json(sum);
	} else {
		print_words(rows, sum, by);
	}
	if (json_is_true(json_object_get(sum, "stopped")))
		ret = EXIT_DEFERRED;
	json_decref(rows);
	json_decref(sum);
	return ret;
}
