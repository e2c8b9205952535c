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
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/address.h"
#include "common/log.h"
#include "common/outcome.h"
#include "common/util.h"
#include "master/config.h"
#include "master/control/control.h"
#include "master/control/link.h"
#include "master/control/private.h"

#define CONFIG_SIZE 8192
/* Beyond --timeout: what a session's own end may take to reach us. */
#define GRACE_MS 3000

struct deliver_options {
	struct link_job job;
	const char *server;
	const char *tls;
	const char *ca;
	const char *tls_name;
	const char *ehlo;
	const char *timeout;
	const char *step_timeout;
	const char *user;
	const char *password_file;
	const char *token_file;
	const char *mechanism;
	const char *without;
	const char *transcript;
	bool lmtp;
	bool implicit_tls;
	bool json;
};

struct deliver {
	struct deliver_options options;
	struct control_tally tally;
	bool *decided; /* of each recipient */
	bool queued;   /* so an end without a result leaves doubt */
	int config_fd;
	struct private_daemon daemon;
};

static int
parse(int argc, char **argv, struct deliver_options *o)
{
	const struct control_option rows[] = {
		{ "auth", 0, &o->mechanism, NULL },
		{ "binary", 0, NULL, &o->job.binary },
		{ "ca", 0, &o->ca, NULL },
		{ "ehlo", 0, &o->ehlo, NULL },
		{ "from", 'f', &o->job.from, NULL },
		{ "implicit-tls", 0, NULL, &o->implicit_tls },
		{ "json", 0, NULL, &o->json },
		{ "lmtp", 0, NULL, &o->lmtp },
		{ "password-file", 0, &o->password_file, NULL },
		{ "server", 0, &o->server, NULL },
		{ "step-timeout", 0, &o->step_timeout, NULL },
		{ "timeout", 0, &o->timeout, NULL },
		{ "tls", 0, &o->tls, NULL },
		{ "tls-name", 0, &o->tls_name, NULL },
		{ "require-tls", 0, NULL, &o->job.require_tls },
#define ENVELOPE_OPTION(name, member)                                          \
	{ name, 0, &o->job.envelope.member, NULL },
#include "master/control/envelope.def"
#undef ENVELOPE_OPTION
		{ "token-file", 0, &o->token_file, NULL },
		{ "transcript", 0, &o->transcript, NULL },
		{ "user", 0, &o->user, NULL },
		{ "verbose", 'v', NULL, &o->job.verbose },
		{ "without", 0, &o->without, NULL },
	};
	int first = control_options(argc, argv, rows, NELEM(rows));

	if (o->job.verify && o->job.from == NULL)
		o->job.from = "";
	if (first == -1 || o->job.from == NULL || first == argc)
		return -1;
	o->job.rcpts = argv + first;
	o->job.nrcpts = (size_t)(argc - first);
	return 0;
}

static int
complain(const char *what, const char *value, const char *why)
{
	char quote[1024];

	log_escape(quote, sizeof(quote), value, strlen(value));
	fprintf(stderr, "postern: %s %s: %s\n", what, quote, why);
	return -1;
}

static int
check_seconds(const char *option, const char *text, long most)
{
	const char *error = NULL;

	if (text == NULL)
		return 0;
	(void)strtonum(text, 1, most, &error);
	if (error == NULL)
		return 0;
	fprintf(stderr, "postern: %s %s: must be 1 to %ld seconds\n", option,
	    text, most);
	return -1;
}

/* A word that may stand between quotes in the configuration. */
static int
check_word(const char *option, const char *text)
{
	const char *p;

	for (p = text; p != NULL && *p != '\0'; p++) {
		if (*p <= ' ' || *p > '~' || *p == '"' || *p == '\\' ||
		    *p == '$')
			return complain(option, text,
			    "holds a character that it may not");
	}
	return 0;
}

/* The daemon reads it as who we are, and would only say that it ended. */
static int
check_file(const char *option, const char *path)
{
	if (path == NULL || access(path, R_OK) == 0)
		return 0;
	return complain(option, path, strerror(errno));
}

static int
check_addresses(const struct link_job *job)
{
	enum address_error e;
	struct address addr;
	size_t i;

	e = address_parse_reverse_path(&addr, job->from, strlen(job->from));
	if (e != ADDRESS_OK)
		return complain("--from", job->from, address_error_text(e));
	for (i = 0; i < job->nrcpts; i++) {
		e = address_parse_forward_path(&addr, job->rcpts[i],
		    strlen(job->rcpts[i]));
		if (e != ADDRESS_OK)
			return complain("recipient", job->rcpts[i],
			    address_error_text(e));
	}
	return 0;
}

static int
check(const struct deliver_options *o)
{
	if (check_addresses(&o->job) == -1 ||
	    envelope_check(&o->job.envelope, o->job.nrcpts) == -1 ||
	    check_seconds("--timeout", o->timeout, 86400) == -1 ||
	    check_seconds("--step-timeout", o->step_timeout, 3600) == -1 ||
	    check_word("--server", o->server) == -1 ||
	    check_word("--tls", o->tls) == -1 ||
	    check_word("--ca", o->ca) == -1 ||
	    check_word("--tls-name", o->tls_name) == -1 ||
	    check_word("--ehlo", o->ehlo) == -1 ||
	    check_word("--user", o->user) == -1 ||
	    check_word("--password-file", o->password_file) == -1 ||
	    check_word("--token-file", o->token_file) == -1 ||
	    check_file("--password-file", o->password_file) == -1 ||
	    check_file("--token-file", o->token_file) == -1 ||
	    check_word("--auth", o->mechanism) == -1 ||
	    check_word("--without", o->without) == -1)
		return -1;
	/* Unset in somebody's script, rather than a wish for the MX. */
	if (o->server != NULL && o->server[0] == '\0')
		return complain("--server", "\"\"", "names no server");
	if (o->lmtp && o->server == NULL)
		return complain("--lmtp", "", "needs --server: LMTP has no MX");
	return 0;
}

static void
add_string(FILE *f, const char *name, const char *value)
{
	if (value != NULL)
		fprintf(f, "\t%s = \"%s\"\n", name, value);
}

/* What is found from here is found by the daemon, too. */
static void
add_path(FILE *f, const char *name, const char *value)
{
	char path[PATH_MAX];

	if (value != NULL && realpath(value, path) != NULL)
		add_string(f, name, path);
	else
		add_string(f, name, value);
}

/* "A,B" as a list of words. */
static void
add_list(FILE *f, const char *name, const char *words)
{
	bool first = true;
	size_t n;

	if (words == NULL)
		return;
	fprintf(f, "\t%s = {", name);
	for (; *words != '\0'; words += n + (words[n] == ',')) {
		n = strcspn(words, ",");
		fprintf(f, "%s \"%.*s\"", first ? "" : ",", (int)n, words);
		first = false;
	}
	fprintf(f, " }\n");
}

static void
add_timers(FILE *f, const char *seconds)
{
	static const char *const names[] = { "connect_timeout",
		"greeting_timeout", "helo_timeout", "starttls_timeout",
		"mail_timeout", "rcpt_timeout", "data_init_timeout",
		"data_xfer_timeout", "data_done_timeout", "auth_timeout",
		"quit_timeout" };
	size_t i;

	for (i = 0; seconds != NULL && i < NELEM(names); i++) {
		/* QUIT is never worth more than its default */
		if (strcmp(names[i], "quit_timeout") != 0 || atoi(seconds) < 5)
			fprintf(f, "\t%s = %ss\n", names[i], seconds);
	}
}

/* The whole configuration of the private daemon. */
static size_t
write_config(const struct deliver_options *o, char *text, size_t size)
{
	FILE *f;
	long len;

	f = fmemopen(text, size, "w");
	if (f == NULL)
		return 0;
	fprintf(f, "queue_store = \"memory\"\nstop_timeout = 2s\n");
	fprintf(f, "broken_server_time = 0\ntranscript_keep_time = %s\n",
	    o->transcript != NULL ? "1d" : "0");
	if (o->timeout != NULL)
		fprintf(f, "resolver_timeout = %ds\n",
		    atoi(o->timeout) < 600 ? atoi(o->timeout) : 600);
	fprintf(f, "transport deliver {\n");
	fprintf(f, "\tprotocol = %s\n", o->lmtp ? "lmtp" : "smtp");
	add_string(f, "server", o->server);
	add_string(f, "tls_security_level", o->tls);
	add_path(f, "tls_CAfile", o->ca);
	add_string(f, "tls_name", o->tls_name);
	add_string(f, "ehlo_name", o->ehlo);
	add_string(f, "auth_user", o->user);
	add_path(f, "auth_password_file", o->password_file);
	add_path(f, "auth_token_file", o->token_file);
	add_list(f, "auth_mechanisms", o->mechanism);
	add_list(f, "discard_ehlo_keywords", o->without);
	if (o->implicit_tls)
		fprintf(f, "\ttls_wrappermode = yes\n");
	if (o->timeout != NULL)
		fprintf(f, "\tsession_timeout = %ss\n", o->timeout);
	add_timers(f, o->step_timeout);
	fprintf(f,
	    "\tconnection_reuse_time_limit = 0\n}\n"
	    "route \"*\" {\n\ttransport = deliver\n}\n");
	len = ftell(f);
	fclose(f);
	return len > 0 ? (size_t)len : 0;
}

static int
make_config(struct deliver *d)
{
	char text[CONFIG_SIZE];
	size_t len;

	len = write_config(&d->options, text, sizeof(text));
	if (len == 0)
		return complain("deliver", "", "the options are too long");
	d->config_fd = private_config(text, len);
	return d->config_fd == -1 ? -1 : 0;
}

static void
print_trace(const json_t *line)
{
	fprintf(stderr, "%s %s\n",
	    strcmp(link_string(line, "from"), "remote") == 0 ? "<" : ">",
	    link_string(line, "line"));
}

/* Drops what belongs to the queue alone, and prints the rest. */
static void
take_result(struct deliver *d, json_t *result)
{
	const char *rcpt = link_string(result, "recipient");
	struct address addr;
	size_t i;

	for (i = 0; i < d->options.job.nrcpts; i++) {
		(void)address_parse_forward_path(&addr, d->options.job.rcpts[i],
		    strlen(d->options.job.rcpts[i]));
		if (!d->decided[i] && strcmp(addr.path, rcpt) == 0) {
			d->decided[i] = true;
			break;
		}
	}
	(void)json_object_del(result, "id");
	(void)json_object_del(result, "final");
	control_print_result(result, d->options.json, &d->tally);
}

/* Why the rest has no result of its own. */
struct ending {
	char why[512]; /* empty: all is said */
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
	const char *dsn = link_string(answer, "dsn");

	if (dsn[0] == '\0')
		dsn = code >= 500 ? "5.3.0" : "4.3.0";
	end_for(end, dsn, link_string(answer, "error"));
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
		control_print_result(result, d->options.json, &d->tally);
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
take_answers(struct deliver *d, struct ending *end)
{
	int64_t started_ms = time_monotonic_ms();
	json_t *answer;
	bool done = false;

	while (!done) {
		answer =
		    link_receive(d->daemon.link_fd, time_left(d, started_ms));
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
		} else if (strcmp(link_string(answer, "status"), "refused") ==
		    0) {
			end_by_refusal(end, answer);
			done = true;
		} else {
			d->queued = true;
			done = json_is_true(json_object_get(answer, "done"));
		}
		json_decref(answer);
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

	if (link_send(d->daemon.link_fd, ask, -1) == -1)
		return;
	while (!done &&
	    (part = link_receive(d->daemon.link_fd,
		 time_left(d, started_ms))) != NULL) {
		done = json_is_true(json_object_get(part, "done"));
		if (!done && f == NULL && (f = fopen(name, "we")) == NULL) {
			(void)complain("--transcript", name, strerror(errno));
			done = true;
		}
		if (!done)
			fputs(link_string(part, "text"), f);
		json_decref(part);
	}
	if (f != NULL && fclose(f) == EOF)
		(void)complain("--transcript", name, strerror(errno));
	else if (f != NULL)
		fprintf(stderr, "postern: transcript=%s\n", name);
}

static int
deliver(struct deliver *d)
{
	struct ending end = { "", "" };

	if (private_start(&d->daemon, d->config_fd) == -1)
		return EXIT_DEFERRED;
	if (link_send_job(d->daemon.link_fd, &d->options.job) == -1)
		end_for(&end, "4.3.0", "the private posternd did not start");
	else
		take_answers(d, &end);
	if (end.why[0] != '\0') {
		fprintf(stderr, "postern: %s\n", end.why);
		settle_rest(d, &end);
	} else if (d->options.transcript != NULL) {
		take_transcript(d);
	}
	private_stop(&d->daemon);
	return control_exit_status(&d->tally);
}

static int
run(int argc, char **argv, bool verify)
{
	struct deliver d = { 0 };
	int ret = EXIT_USAGE;

	d.options.job.verify = verify;
	d.config_fd = d.daemon.link_fd = d.options.job.message_fd = -1;
	if (parse(argc, argv, &d.options) == -1)
		return control_usage(argv[0]);
	d.options.job.wait = "attempt";
	d.options.job.once = true;
	d.decided = calloc(d.options.job.nrcpts, sizeof(*d.decided));
	if (d.decided == NULL || check(&d.options) == -1 ||
	    make_config(&d) == -1)
		goto out;
	ret = EXIT_DEFERRED;
	signal(SIGPIPE, SIG_IGN);
	if (!verify)
		d.options.job.message_fd = link_read_message();
	if (verify || d.options.job.message_fd != -1)
		ret = deliver(&d);
out:
	fd_close(d.options.job.message_fd);
	fd_close(d.config_fd);
	free(d.decided);
	return ret;
}

int
control_deliver(int argc, char **argv)
{
	return run(argc, argv, false);
}

int
control_verify(int argc, char **argv)
{
	return run(argc, argv, true);
}
