/* SPDX-License-Identifier: ISC */
/* postern top: what goes on, once or again and again. */
#include <sys/ioctl.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/duration.h"
#include "common/util.h"
#include "master/control/client/control_client.h"
#include "master/control/client/daemon_client.h"
#include "master/control/client/options.h"
#include "master/control/client/usage.h"
#include "master/control/control.h"

/* Of a terminal that does not say how large it is, and of no terminal. */
#define ROWS_DEFAULT 24
#define COLUMNS_MAX  200

struct top_options {
	const char *config_name;
	const char *socket;
	const char *limit;
	const char *interval;
	bool once;
	bool json;
};

static volatile sig_atomic_t ended;

static void
on_end(int number)
{
	(void)number;
	ended = 1;
}

/* A line that fits the screen; what is beyond is cut. */
static void
print_line(char *line, int columns)
{
	if (columns > 0 && strlen(line) > (size_t)columns)
		line[columns] = '\0';
	puts(line);
}

static void
print_rates(const json_t *row, char *line, size_t size)
{
	static const char *const names[] = { "accepted", "delivered",
		"deferred", "failed" };
	const json_t *last = json_object_get(row, "last"), *rate;
	size_t len = 0, i;

	for (i = 0; i < NELEM(names) && len < size; i++) {
		rate = json_object_get(last, names[i]);
		len += (size_t)snprintf(line + len, size - len,
		    "%s%s %.1f/s (%.1f/s)", i > 0 ? "  " : "", names[i],
		    (double)control_client_number(rate, "10s") / 10,
		    (double)control_client_number(rate, "60s") / 60);
	}
}

static void
print_queue(const json_t *row, int columns)
{
	const json_t *c = json_object_get(row, "counts");
	char line[512];

	(void)snprintf(line, sizeof(line),
	    "recipients: queued %lld  active %lld  deferred %lld  failed %lld  "
	    "held %lld   in memory %lld/%lld",
	    control_client_number(c, "queued"),
	    control_client_number(c, "active"),
	    control_client_number(c, "deferred"),
	    control_client_number(c, "failed"),
	    control_client_number(c, "held"),
	    control_client_number(row, "in_memory"),
	    control_client_number(row, "in_memory_limit"));
	print_line(line, columns);
	print_rates(row, line, sizeof(line));
	print_line(line, columns);
	(void)snprintf(line, sizeof(line), "sessions: %lld/%lld%s",
	    control_client_number(row, "sessions"),
	    control_client_number(row, "sessions_limit"),
	    control_client_number(row, "pauses") > 0
		? "   PAUSED: see postern status"
		: "");
	print_line(line, columns);
}

/* What is in the way now, else what failed last. */
static void
describe_reason(const json_t *row, char *out, size_t size)
{
	const json_t *held = json_object_get(row, "held_by");

	if (daemon_client_string(row, "reason")[0] != '\0')
		(void)strlcpy(out, daemon_client_string(row, "reason"), size);
	else if (held == NULL)
		(void)strlcpy(out, daemon_client_string(row, "last_reply"),
		    size);
	else
		(void)snprintf(out, size, "%s of %s %s",
		    control_client_number(held, "wait_ms") > 0 ? "the rate"
			: json_is_true(json_object_get(held, "sessions_full"))
			? "all sessions"
			: "others wait for the rate",
		    daemon_client_string(held, "of"),
		    daemon_client_string(held, "name"));
}

static void
describe_block(const json_t *row, char *out, size_t size)
{
	char left[DURATION_SIZE];
	const json_t *held = json_object_get(row, "held_by");
	long long until = control_client_number(row, "blocked_until_ms");

	out[0] = '\0';
	if (json_object_get(row, "paused") != NULL)
		(void)strlcpy(out, "paused", size);
	else if (until != 0)
		(void)snprintf(out, size, "rests %s",
		    duration_format((until - time_real_ms() + 999) / 1000,
			left));
	else if (json_is_true(json_object_get(row, "resolving")))
		(void)strlcpy(out, "resolving", size);
	else if (json_is_true(json_object_get(row, "waits_for_login")))
		(void)strlcpy(out, "no secret", size);
	else if (control_client_number(held, "wait_ms") > 0)
		(void)snprintf(out, size, "rate %s",
		    duration_format(
			(control_client_number(held, "wait_ms") + 999) / 1000,
			left));
	else if (held != NULL)
		(void)strlcpy(out, "limited", size);
}

static void
print_destination(const json_t *row, int columns)
{
	char line[2048], block[64], reason[512];

	describe_block(row, block, sizeof(block));
	describe_reason(row, reason, sizeof(reason));
	(void)snprintf(line, sizeof(line),
	    "%-12.12s %-28.28s %7lld %9lld %4lld/%-4lld %-13.13s %s",
	    daemon_client_string(row, "transport"),
	    daemon_client_string(row, "next_hop"),
	    control_client_number(row, "waiting"),
	    control_client_number(row, "deferred_60s"),
	    control_client_number(row, "sessions"),
	    control_client_number(row, "concurrency"), block, reason);
	print_line(line, columns);
}

static void
print_session(const json_t *row, int columns)
{
	char line[2048], age[DURATION_SIZE];

	(void)snprintf(line, sizeof(line),
	    "%7lld %-28.28s %-10.10s %6lld %4lld %8.8s %-7.7s %s",
	    control_client_number(row, "session"),
	    daemon_client_string(row, "next_hop"),
	    daemon_client_string(row, "state"),
	    control_client_number(row, "messages"),
	    control_client_number(row, "in_hand"),
	    duration_format(control_client_number(row, "age_ms") / 1000, age),
	    daemon_client_string(row, "tls"),
	    daemon_client_string(row, "relay"));
	print_line(line, columns);
}

/* A row under the heading of its kind, while there is room on the screen. */
static void
print_row(const json_t *row, const char *former, int columns)
{
	const char *kind = daemon_client_string(row, "top");
	char line[512];

	if (strcmp(kind, "counting") == 0)
		return; /* it takes a while */
	if (strcmp(kind, "queue") == 0) {
		print_queue(row, columns);
		return;
	}
	if (strcmp(kind, "trouble") == 0) {
		(void)snprintf(line, sizeof(line), "! %s",
		    daemon_client_string(row, "what"));
		print_line(line, columns);
		return;
	}
	if (strcmp(kind, former) != 0) {
		(void)snprintf(line, sizeof(line), "%s",
		    strcmp(kind, "session") == 0
			? "SESSION DESTINATION                  STATE       "
			  " SENT HAND      AGE TLS     RELAY"
			: "TRANSPORT    DESTINATION                  WAITING "
			  "DEFER/MIN SESSIONS  STATE         REASON");
		puts("");
		print_line(line, columns);
	}
	if (strcmp(kind, "session") == 0)
		print_session(row, columns);
	else
		print_destination(row, columns);
}

/* One look.  0, or -1 after a word on stderr. */
static int
look(int fd, const struct top_options *o, int limit, int columns)
{
	char former[16] = "queue";
	bool done = false;
	json_t *row;

	if (daemon_client_send(fd,
		json_pack("{s:s,s:i}", "command", "top", "limit", limit),
		-1) == -1)
		return -1;
	while (!done) {
		row = control_client_receive(fd);
		if (row == NULL || control_client_is_refusal(row)) {
			json_decref(row);
			return -1;
		}
		done = json_is_true(json_object_get(row, "done"));
		if (o->json)
			control_client_print_json(row);
		else if (!done)
			print_row(row, former, columns);
		(void)strlcpy(former, daemon_client_string(row, "top"),
		    sizeof(former));
		json_decref(row);
	}
	fflush(stdout);
	return 0;
}

/* Again and again, on a screen of its own, until a signal. */
static int
watch(int fd, const struct top_options *o, int limit, int64_t seconds)
{
	struct timespec pause = { (time_t)seconds, 0 };
	struct sigaction action = { .sa_handler = on_end };
	struct winsize size;
	int ret = 0, rows;

	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	fputs("\033[?1049h", stdout);
	while (!ended && ret == 0) {
		if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == -1 ||
		    size.ws_row == 0)
			size = (struct winsize){ .ws_row = ROWS_DEFAULT,
				.ws_col = COLUMNS_MAX };
		rows = (size.ws_row - 8) / 2;
		if (rows > limit)
			rows = limit;
		fputs("\033[H\033[J", stdout);
		ret = look(fd, o, rows > 0 ? rows : 1, size.ws_col);
		if (!ended && ret == 0)
			(void)nanosleep(&pause, NULL);
	}
	fputs("\033[?1049l", stdout);
	fflush(stdout);
	return ended ? 0 : ret;
}

static int
parse(int argc, char **argv, struct top_options *o, int *limit,
    int64_t *seconds)
{
	const struct control_option rows[] = {
		{ "config", 'c', &o->config_name, NULL },
		{ "interval", 0, &o->interval, NULL },
		{ "json", 0, NULL, &o->json },
		{ "limit", 0, &o->limit, NULL },
		{ "once", 0, NULL, &o->once },
		{ "socket", 0, &o->socket, NULL },
	};
	const char *why = NULL;

	o->config_name = POSTERN_SYSCONFDIR "/postern.conf";
	o->interval = "2s";
	o->limit = "20";
	if (!options_words(argc, argv,
		options_read(argc, argv, rows, NELEM(rows)), 0, 0, ""))
		return -1;
	*limit = (int)strtonum(o->limit, 0, 100, &why);
	*seconds = duration_parse(o->interval);
	if (why == NULL && *seconds >= 1 && *seconds <= 3600)
		return 0;
	fprintf(stderr,
	    why != NULL ? "postern: --limit is a number of rows from 0 to 100\n"
			: "postern: --interval is a time from 1s to 1h\n");
	return EXIT_USAGE;
}

int
cmd_top(int argc, char **argv)
{
	struct top_options o = { 0 };
	int64_t seconds = 0;
	int fd, limit = 0, ret;

	ret = parse(argc, argv, &o, &limit, &seconds);
	if (ret != 0)
		return ret == -1 ? usage_print("top") : ret;
	fd = daemon_client_open(
	    daemon_client_socket(o.socket, o.config_name, true));
	if (fd == -1)
		return EXIT_DEFERRED;
	if (o.once || o.json || !isatty(STDOUT_FILENO))
		ret = look(fd, &o, limit, 0);
	else
		ret = watch(fd, &o, limit, seconds);
	fd_close(fd);
	return ret == 0 ? EXIT_ALL_WELL : EXIT_DEFERRED;
}
