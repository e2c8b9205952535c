/* SPDX-License-Identifier: ISC */
/*
 * postern deliver: one delivery now, without a daemon.  Starts a private
 * posternd whose queue is in memory and whose one client we are, so what runs
 * is the same code in the same cage.  postern verify: the same, but that nothing
 * is delivered.
 */
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/address.h"
#include "common/outcome.h"
#include "common/sort.h"
#include "common/util.h"
#include "master/control/client/daemon_client.h"
#include "master/control/client/job_result.h"
#include "master/control/client/usage.h"
#include "master/control/control.h"
#include "master/control/deliver/deliver_options.h"
#include "master/control/deliver/private_daemon.h"

#define CONFIG_SIZE 32768
/* Beyond --timeout: what a session's own end may take to reach us. */
#define GRACE_MS 3000

/* A recipient as results name it; the list is in the order of these. */
struct entry {
	char *path;
	size_t at;    /* its place among the options */
	size_t taken; /* at the first of its path: how many have a result */
};

struct deliver {
	struct deliver_options options;
	struct job_result_tally tally;
	struct entry *entries; /* of each recipient */
	bool *decided;         /* the same, in the order of the options */
	bool queued;           /* so an end without a result leaves doubt */
	int config_fd;
	struct private_daemon daemon;
};

static int
make_config(struct deliver *d)
{
	char text[CONFIG_SIZE];
	size_t len;

	len = deliver_options_write(&d->options, text, sizeof(text));
	if (len == 0) {
		fprintf(stderr, "postern: the options are too long\n");
		return -1;
	}
	d->config_fd = private_daemon_config(text, len, deliver_options_names);
	return d->config_fd == -1 ? -1 : 0;
}

static void
print_trace(const json_t *line)
{
	fprintf(stderr, "%s %s\n",
	    strcmp(daemon_client_string(line, "from"), "remote") == 0 ? "<"
								      : ">",
	    daemon_client_string(line, "line"));
}

static int
compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int order = strcmp(x->path, y->path);

	return order != 0 ? order : x->at < y->at ? -1 : x->at > y->at;
}

static int
list_recipients(struct deliver *d)
{
	const struct link_job *job = &d->options.job;
	struct address addr;

	d->decided = calloc(job->nrcpts, sizeof(*d->decided));
	d->entries = calloc(job->nrcpts, sizeof(*d->entries));
	for (size_t i = 0; d->entries != NULL && i < job->nrcpts; i++) {
		(void)address_parse_forward_path(&addr, job->rcpts[i],
		    strlen(job->rcpts[i]));
		d->entries[i].at = i;
		d->entries[i].path = strdup(addr.path);
		if (d->entries[i].path == NULL)
			break;
	}
	if (d->decided == NULL || d->entries == NULL ||
	    d->entries[job->nrcpts - 1].path == NULL) {
		fprintf(stderr, "postern: no memory\n");
		return -1;
	}
	sort_array(d->entries, job->nrcpts, sizeof(*d->entries),
	    compare_entries);
	return 0;
}

static void
clear_recipients(struct deliver *d)
{
	for (size_t i = 0; d->entries != NULL && i < d->options.job.nrcpts; i++)
		free(d->entries[i].path);
	free(d->entries);
	free(d->decided);
}

/* One of that path has its result; which of several is no matter. */
static void
decide(struct deliver *d, const char *path)
{
	size_t low = 0, high = d->options.job.nrcpts, middle;

	while (low < high) { /* the first of that path */
		middle = low + (high - low) / 2;
		if (strcmp(d->entries[middle].path, path) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == d->options.job.nrcpts)
		return;
	middle = low + d->entries[low].taken;
	if (middle == d->options.job.nrcpts ||
	    strcmp(d->entries[middle].path, path) != 0)
		return;
	d->entries[low].taken++;
	d->decided[d->entries[middle].at] = true;
}

/* What is said of the configuration's server is said of the option's. */
static void
name_option(json_t *result)
{
	static const char prefix[] = "server ", suffix[] = " of the configuration";
	const char *reply = daemon_client_string(result, "reply");
	const char *end = strstr(reply, suffix);
	size_t n = strlen(prefix);

	if (end == NULL || strncmp(reply, prefix, n) != 0)
		return;
	(void)json_object_set_new(result, "reply",
	    json_sprintf("--server %.*s%s", (int)(end - reply - (ptrdiff_t)n),
		reply + n, end + strlen(suffix)));
}

/* Drops what belongs to the queue alone, and prints the rest. */
static void
take_result(struct deliver *d, json_t *result)
{
	name_option(result);
	decide(d, daemon_client_string(result, "recipient"));
	(void)json_object_del(result, "id");
	(void)json_object_del(result, "final");
	job_result_print(result, d->options.json, &d->tally);
}

/* Why the rest has no result of its own. */
struct ending {
	char why[512]; /* empty: all is said */
	bool is_usage; /* words of the command line, and nothing was tried */
	char dsn[OUTCOME_DSN_SIZE];
};

static void
end_for(struct ending *end, const char *dsn, const char *why)
{
	strlcpy(end->dsn, dsn, sizeof(end->dsn));
	strlcpy(end->why, why, sizeof(end->why));
}

/* Refused before it was queued: for good, or for now, as the code says. */
static void
end_by_refusal(struct ending *end, const json_t *answer)
{
	json_int_t code = json_integer_value(json_object_get(answer, "code"));
	const char *dsn = daemon_client_string(answer, "dsn");

	if (dsn[0] == '\0')
		dsn = code >= 500 ? "5.3.0" : "4.3.0";
	end_for(end, dsn, daemon_client_refusal_text(answer));
	end->is_usage = daemon_client_refusal_status(answer) == EXIT_USAGE;
}

/* Who had no result until the end has this one. */
static void
settle_rest(struct deliver *d, const struct ending *end)
{
	const char *status = end->dsn[0] == '5' ? "failed" : "deferred";
	json_t *result;
	size_t i;

	for (i = 0; i < d->options.job.nrcpts; i++) {
		if (d->decided[i])
			continue;
		result = json_pack("{s:s,s:s,s:i,s:s,s:s,s:s,s:s,s:b,s:n}",
		    "recipient", d->options.job.rcpts[i], "status", status,
		    "code", 0, "dsn", end->dsn, "reply", end->why, "relay", "",
		    "step", "queue", "in_doubt", (int)d->queued, "tls");
		job_result_print(result, d->options.json, &d->tally);
		json_decref(result);
	}
}

static int
time_left(const struct deliver *d, int64_t started_ms)
{
	int64_t left;

	if (d->options.timeout == NULL)
		return -1;
	left = started_ms + (int64_t)atoi(d->options.timeout) * 1000 +
	    GRACE_MS - time_monotonic_ms();
	return left > 0 ? (int)left : 0;
}

static void
take_answers(struct deliver *d, int64_t started_ms, struct ending *end)
{
	json_t *answer;
	bool done = false;

	while (!done) {
		answer = daemon_client_receive(d->daemon.link_fd,
		    time_left(d, started_ms));
		if (answer == NULL) {
			end_for(end, "4.4.7",
			    errno == ETIMEDOUT
				? "the time for the whole run is over"
				: "the private posternd ended early");
			return;
		}
		if (json_object_get(answer, "line") != NULL) {
			print_trace(answer);
		} else if (json_object_get(answer, "recipient") != NULL) {
			take_result(d, answer);
		} else if (strcmp(daemon_client_string(answer, "status"),
			       "refused") == 0) {
			end_by_refusal(end, answer);
			done = true;
		} else {
			d->queued = true;
			done = json_is_true(json_object_get(answer, "done"));
		}
		json_decref(answer);
	}
}

/* As many jobs as it takes, one after the other. */
static void
send_all(struct deliver *d, struct ending *end)
{
	const struct link_job *all = &d->options.job;
	int64_t started_ms = time_monotonic_ms();
	struct link_job part = *all;
	size_t at;

	for (at = 0; at < all->nrcpts && end->why[0] == '\0';
	     at += part.nrcpts) {
		part.rcpts = all->rcpts + at;
		part.nrcpts = all->nrcpts - at < DELIVER_RECIPIENTS
		    ? all->nrcpts - at
		    : DELIVER_RECIPIENTS;
		if (daemon_client_send_job(d->daemon.link_fd, &part) == -1)
			end_for(end, "4.3.0",
			    "the private posternd did not start");
		else
			take_answers(d, started_ms, end);
	}
}

/* Of each session that failed, once all are over; else there is no file. */
static void
take_transcript(struct deliver *d)
{
	const char *name = d->options.transcript;
	json_t *ask =
	    json_pack("{s:s,s:b}", "command", "transcripts", "wait", 1);
	int64_t started_ms = time_monotonic_ms();
	bool done = false;
	json_t *part;
	FILE *f = NULL;

	if (daemon_client_send(d->daemon.control_fd, ask, -1) == -1)
		return;
	while (!done &&
	    (part = daemon_client_receive(d->daemon.control_fd,
		 time_left(d, started_ms))) != NULL) {
		done = json_is_true(json_object_get(part, "done"));
		if (!done && f == NULL && (f = fopen(name, "we")) == NULL) {
			(void)deliver_options_complain("--transcript", name,
			    strerror(errno));
			done = true;
		}
		if (!done)
			fputs(daemon_client_string(part, "text"), f);
		json_decref(part);
	}
	if (f != NULL && fclose(f) == EOF)
		(void)deliver_options_complain("--transcript", name,
		    strerror(errno));
	else if (f != NULL)
		fprintf(stderr, "postern: transcript=%s\n", name);
}

static int
deliver(struct deliver *d)
{
	const char *server = d->options.server;
	struct ending end = { .why = "" };
	struct private_user user;
	bool by_socket = server != NULL && strncmp(server, "unix:", 5) == 0 &&
	    private_daemon_socket_user(server + 5, &user);

	if (private_daemon_start(&d->daemon, d->config_fd,
		d->options.transcript != NULL, by_socket ? &user : NULL) == -1)
		return EXIT_DEFERRED;
	send_all(d, &end);
	if (end.why[0] != '\0') {
		fprintf(stderr, "postern: %s\n", end.why);
		end.is_usage = end.is_usage && !d->queued;
		if (!end.is_usage)
			settle_rest(d, &end);
	} else if (d->options.transcript != NULL) {
		take_transcript(d);
	}
	private_daemon_stop(&d->daemon);
	if (end.is_usage)
		return EXIT_USAGE;
	return job_result_exit_status(&d->tally);
}

static int
run(int argc, char **argv, bool verify)
{
	struct deliver d = { 0 };
	int ret = EXIT_USAGE;

	d.options.job.verify = verify;
	d.config_fd = d.daemon.link_fd = d.daemon.control_fd =
	    d.options.job.message_fd = -1;
	if (deliver_options_read(argc, argv, &d.options) == -1)
		return usage_print(argv[0]);
	d.options.job.wait = "attempt";
	d.options.job.once = true;
	if (deliver_options_check(&d.options) == -1 || make_config(&d) == -1)
		goto out;
	ret = EXIT_DEFERRED;
	if (list_recipients(&d) == -1)
		goto out;
	signal(SIGPIPE, SIG_IGN);
	if (!verify)
		d.options.job.message_fd = daemon_client_read_message();
	if (verify || d.options.job.message_fd != -1)
		ret = deliver(&d);
out:
	fd_close(d.options.job.message_fd);
	fd_close(d.config_fd);
	clear_recipients(&d);
	return ret;
}

int
cmd_deliver(int argc, char **argv)
{
	return run(argc, argv, false);
}

int
cmd_verify(int argc, char **argv)
{
	return run(argc, argv, true);
}
