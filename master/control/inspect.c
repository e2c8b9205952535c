/* SPDX-License-Identifier: ISC */
/* postern queue and postern status: what the daemon holds, and what holds it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/util.h"
#include "master/control/control.h"
#include "master/control/link.h"

#define LIST_PAGE 500 /* rows asked for at a time */

struct inspect_options {
	const char *config_name;
	const char *socket;
	const char *domain;
	bool json;
};

/* Whether a word is for who works on the spool itself. */
static bool
is_for_archive(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "check") == 0 ||
		    strcmp(argv[i], "export") == 0 ||
		    strcmp(argv[i], "import") == 0)
			return true;
	return false;
}

/* The index of the first word that is no option, or -1. */
static int
parse(int argc, char **argv, struct inspect_options *o)
{
	const struct control_option rows[] = {
		{ "config", 'c', &o->config_name, NULL },
		{ "domain", 0, &o->domain, NULL },
		{ "json", 0, NULL, &o->json },
		{ "socket", 0, &o->socket, NULL },
	};

	o->config_name = POSTERN_SYSCONFDIR "/postern.conf";
	return control_options(argc, argv, rows, NELEM(rows));
}

static void
print_json(const json_t *object)
{
	(void)json_dumpf(object, stdout, JSON_COMPACT);
	putchar('\n');
}

static long long
number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static void
print_time(const char *word, long long ms)
{
	time_t seconds = (time_t)(ms / 1000);
	char text[32];
	struct tm tm;

	if (ms == 0 || localtime_r(&seconds, &tm) == NULL)
		return;
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	printf(" %s=%s", word, text);
}

static void
print_recipient(const json_t *row)
{
	const json_t *last = json_object_get(row, "last");

	printf("%s %s%s from=<%s> to=<%s> size=%lld attempts=%lld",
	    link_string(row, "id"), link_string(row, "state"),
	    json_is_true(json_object_get(row, "in_doubt"))
		? ",perhaps-delivered"
		: "",
	    link_string(row, "from"), link_string(row, "recipient"),
	    number(row, "size"), number(row, "attempts"));
	print_time("arrived", number(row, "arrived_ms"));
	print_time("next", number(row, "next_ms"));
	if (last != NULL)
		printf(" last=%s dsn=%s relay=%s (%s)",
		    link_string(last, "status"), link_string(last, "dsn"),
		    link_string(last, "relay"), link_string(last, "reply"));
	putchar('\n');
}

static void
print_counts(const json_t *end)
{
	const json_t *counts = json_object_get(end, "counts");

	printf("recipients: queued=%lld active=%lld deferred=%lld failed=%lld "
	       "held=%lld; sessions=%lld\n",
	    number(counts, "queued"), number(counts, "active"),
	    number(counts, "deferred"), number(counts, "failed"),
	    number(counts, "held"), number(end, "sessions"));
}

/* Whether posternd will not answer; then it is said. */
static bool
is_refusal(const json_t *row)
{
	if (strcmp(link_string(row, "status"), "refused") != 0)
		return false;
	fprintf(stderr, "postern: %s\n", link_string(row, "error"));
	return true;
}

/* One page of rows; the cursor moves on.  1: there is more, 0: that was all,
 * -1: it failed and has been said. */
static int
print_page(int fd, const struct inspect_options *o, json_t *cursor,
    size_t *nrows)
{
	json_t *row;
	int more;

	if (link_send(fd, json_copy(cursor), -1) == -1)
		return -1;
	while ((row = link_receive(fd, -1)) != NULL &&
	    !json_is_true(json_object_get(row, "done"))) {
		if (is_refusal(row)) {
			json_decref(row);
			return -1;
		}
		if (o->json)
			print_json(row);
		else
			print_recipient(row);
		(*nrows)++;
		(void)json_object_set(cursor, "after",
		    json_object_get(row, "id"));
		(void)json_object_set(cursor, "after_index",
		    json_object_get(row, "index"));
		json_decref(row);
	}
	if (row == NULL) {
		fprintf(stderr, "postern: posternd closed the connection\n");
		return -1;
	}
	more = json_is_true(json_object_get(row, "more"));
	if (!more && o->json)
		print_json(row);
	else if (!more && json_object_get(cursor, "id") == NULL)
		print_counts(row);
	json_decref(row);
	return more;
}

int
control_queue(int argc, char **argv)
{
	struct inspect_options o = { 0 };
	json_t *cursor;
	size_t nrows = 0;
	int fd, first, more = 1;

	if (is_for_archive(argc, argv))
		return control_archive(argc, argv);
	first = parse(argc, argv, &o);
	if (first == -1)
		return control_usage("queue");
	cursor = json_pack("{s:s,s:i}", "command", "list", "limit", LIST_PAGE);
	argc -= first;
	argv += first;
	if (argc == 2 && strcmp(argv[0], "show") == 0) {
		(void)json_object_set_new(cursor, "id", json_string(argv[1]));
	} else if (argc != 1 || strcmp(argv[0], "list") != 0) {
		json_decref(cursor);
		return control_usage("queue");
	}
	if (o.domain != NULL)
		(void)json_object_set_new(cursor, "domain",
		    json_string(o.domain));
	fd = link_open(link_socket(o.socket, o.config_name, true));
	while (fd != -1 && more == 1)
		more = print_page(fd, &o, cursor, &nrows);
	if (more == 0 && argc == 2 && nrows == 0)
		fprintf(stderr, "postern: %s is not in the queue\n", argv[1]);
	fd_close(fd);
	json_decref(cursor);
	if (fd == -1 || more == -1)
		return EXIT_DEFERRED;
	return argc == 2 && nrows == 0 ? EXIT_FAILED : EXIT_ALL_WELL;
}

static void
print_process(const json_t *row)
{
	printf("%-8s %7lld restarts=%lld %s\n", link_string(row, "role"),
	    number(row, "pid"), number(row, "restarts"),
	    link_string(row, "layers"));
}

int
control_status(int argc, char **argv)
{
	struct inspect_options o = { 0 };
	bool done = false, refused = false;
	json_t *row;
	int fd;

	if (parse(argc, argv, &o) != argc)
		return control_usage("status");
	fd = link_open(link_socket(o.socket, o.config_name, true));
	if (fd == -1)
		return EXIT_DEFERRED;
	if (link_send(fd, json_pack("{s:s}", "command", "status"), -1) == -1)
		done = true;
	while (!done && !refused && (row = link_receive(fd, -1)) != NULL) {
		done = json_is_true(json_object_get(row, "done"));
		refused = is_refusal(row);
		if (o.json && !refused)
			print_json(row);
		else if (!refused)
			print_process(row);
		json_decref(row);
	}
	if (!done && !refused)
		fprintf(stderr, "postern: posternd closed the connection\n");
	fd_close(fd);
	return done ? EXIT_ALL_WELL : EXIT_DEFERRED;
}
