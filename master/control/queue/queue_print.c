/* SPDX-License-Identifier: ISC */
/* Rows of the queue, as words. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "master/control/client/control_client.h"
#include "master/control/client/daemon_client.h"

static void
print_time(const char *before, long long ms, const char *after)
{
	time_t seconds = (time_t)(ms / 1000);
	char text[32];
	struct tm tm;

	if (ms == 0 || localtime_r(&seconds, &tm) == NULL)
		return;
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	printf("%s%s%s", before, text, after);
}

/* What is held because nobody could be told of its failure is both. */
static const char *
state_of(const json_t *row)
{
	return json_is_true(json_object_get(row, "kept"))
	    ? "failed,kept"
	    : daemon_client_string(row, "state");
}

void
queue_print(const json_t *row)
{
	const json_t *last = json_object_get(row, "last");

	printf("%s %s%s from=<%s> to=<%s> size=%lld attempts=%lld",
	    daemon_client_string(row, "id"), state_of(row),
	    json_is_true(json_object_get(row, "in_doubt"))
		? ",perhaps-delivered"
		: "",
	    daemon_client_string(row, "from"),
	    daemon_client_string(row, "recipient"),
	    control_client_number(row, "size"),
	    control_client_number(row, "attempts"));
	print_time(" arrived=", control_client_number(row, "arrived_ms"), "");
	print_time(" next=", control_client_number(row, "next_ms"), "");
	if (daemon_client_string(row, "via")[0] != '\0')
		printf(" via=%s", daemon_client_string(row, "via"));
	if (last != NULL)
		printf(" last=%s dsn=%s relay=%s (%s)",
		    daemon_client_string(last, "status"),
		    daemon_client_string(last, "dsn"),
		    daemon_client_string(last, "relay")[0] != '\0'
			? daemon_client_string(last, "relay")
			: "none",
		    daemon_client_string(last, "reply"));
	putchar('\n');
}

static void
print_flags(const json_t *flags)
{
	size_t i;

	for (i = 0; i < json_array_size(flags); i++)
		printf("%s%s", i == 0 ? "  needs:      " : ", ",
		    json_string_value(json_array_get(flags, i)));
	if (i > 0)
		putchar('\n');
}

static void
print_member(const json_t *row, const char *name, const char *label)
{
	const char *value = daemon_client_string(row, name);

	if (value[0] != '\0')
		printf("  %-11s %s\n", label, value);
}

/* The message, once above its recipients. */
static void
print_message(const json_t *row)
{
	printf("%s from=<%s>\n", daemon_client_string(row, "id"),
	    daemon_client_string(row, "from"));
	print_time("  arrived:    ", control_client_number(row, "arrived_ms"),
	    "\n");
	printf("  size:       %lld octets\n",
	    control_client_number(row, "size"));
	printf("  recipients: %lld came with it\n",
	    control_client_number(row, "recipients"));
	printf("  uid:        %lld\n", control_client_number(row, "uid"));
	print_member(row, "ref", "ref:");
	print_member(row, "mail_parameters", "MAIL:");
	print_flags(json_object_get(row, "flags"));
}

static void
print_last(const json_t *last)
{
	printf("    last:     %s %s", daemon_client_string(last, "status"),
	    daemon_client_string(last, "dsn"));
	if (daemon_client_string(last, "relay")[0] != '\0')
		printf(" by %s", daemon_client_string(last, "relay"));
	printf(" (%s)\n", daemon_client_string(last, "reply"));
}

void
queue_print_whole(const json_t *row)
{
	static char message[32];
	const json_t *last = json_object_get(row, "last");

	if (strcmp(message, daemon_client_string(row, "id")) != 0)
		print_message(row);
	(void)snprintf(message, sizeof(message), "%s",
	    daemon_client_string(row, "id"));
	printf("  to=<%s> %s%s, %lld attempt%s\n",
	    daemon_client_string(row, "recipient"), state_of(row),
	    json_is_true(json_object_get(row, "in_doubt"))
		? ", perhaps delivered"
		: "",
	    control_client_number(row, "attempts"),
	    control_client_number(row, "attempts") == 1 ? "" : "s");
	print_time("    next:     ", control_client_number(row, "next_ms"),
	    "\n");
	print_time("    tried:    ", control_client_number(row, "finished_ms"),
	    "\n");
	print_member(row, "rcpt_parameters", "  RCPT:");
	print_member(row, "via", "  via:");
	if (last != NULL)
		print_last(last);
}

void
queue_print_pause(const json_t *row)
{
	const char *name = daemon_client_string(row, "name");

	printf("paused: %s%s%s", daemon_client_string(row, "paused"),
	    name[0] != '\0' ? " " : "", name);
	print_time(" since ", control_client_number(row, "since_ms"), "\n");
}

void
queue_print_counts(const json_t *end)
{
	const json_t *counts = json_object_get(end, "counts");

	printf("recipients: queued=%lld active=%lld deferred=%lld failed=%lld "
	       "held=%lld; sessions=%lld\n",
	    control_client_number(counts, "queued"),
	    control_client_number(counts, "active"),
	    control_client_number(counts, "deferred"),
	    control_client_number(counts, "failed"),
	    control_client_number(counts, "held"),
	    control_client_number(end, "sessions"));
}
