/* SPDX-License-Identifier: ISC */
/* postern send: hands a message in over the job socket. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/util.h"
#include "master/control/client/daemon_client.h"
#include "master/control/client/job_result.h"
#include "master/control/client/options.h"
#include "master/control/client/usage.h"
#include "master/control/control.h"

struct send_options {
	struct link_job job;
	const char *config_name;
	const char *socket;
	bool json;
};

static int
parse(int argc, char **argv, struct send_options *o)
{
	const struct control_option rows[] = {
		{ "binary", 0, NULL, &o->job.binary },
		{ "config", 'c', &o->config_name, NULL },
		{ "from", 'f', &o->job.from, NULL },
		{ "json", 0, NULL, &o->json },
		{ "ref", 0, &o->job.ref, NULL },
		{ "socket", 0, &o->socket, NULL },
		{ "require-tls", 0, NULL, &o->job.require_tls },
#define ENVELOPE_OPTION(name, member)                                          \
	{ name, 0, &o->job.envelope.member, NULL },
#include "master/control/client/envelope_options.def"
#undef ENVELOPE_OPTION
		{ "via", 0, &o->job.via, NULL },
		{ "wait", 0, &o->job.wait, NULL },
	};
	int first = options_read(argc, argv, rows, NELEM(rows));

	if (!options_words(argc, argv, first, 1, argc, "a recipient") ||
	    !options_has(argv[0], o->job.from, "--from ADDRESS"))
		return -1;
	o->job.rcpts = argv + first;
	o->job.nrcpts = (size_t)(argc - first);
	return 0;
}

static int
print_refusal(const json_t *answer, bool json)
{
	if (json) {
		(void)json_dumpf(answer, stdout, JSON_COMPACT);
		putchar('\n');
	}
	fprintf(stderr, "postern: refused: %s\n",
	    daemon_client_refusal_text(answer));
	return daemon_client_refusal_status(answer);
}

static void
print_queued(const json_t *answer, bool json)
{
	if (json) {
		(void)json_dumpf(answer, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		printf("queued as %s\n", daemon_client_string(answer, "id"));
	}
	fflush(stdout);
}

/* Who waits for the last result counts none before it. */
static bool
counts(const struct send_options *o, const json_t *result)
{
	return o->job.wait == NULL || strcmp(o->job.wait, "final") != 0 ||
	    json_is_true(json_object_get(result, "final"));
}

/* All that will be said was said; with an error not all that there is to say. */
static int
end_status(const json_t *answer, const struct job_result_tally *tally)
{
	int status = job_result_exit_status(tally);
	const char *error = daemon_client_string(answer, "error");

	if (error[0] == '\0')
		return status;
	fprintf(stderr, "postern: %s\n", error);
	return status == EXIT_ALL_WELL ? EXIT_DEFERRED : status;
}

/* Prints answers until the last one that this job's wait brings. */
static int
print_answers(int fd, const struct send_options *o)
{
	struct job_result_tally tally = { 0, 0 };
	struct job_result_tally uncounted = { 0, 0 };
	const char *status;
	json_t *answer;
	bool waits;
	int ret = -1;

	waits = o->job.wait != NULL && strcmp(o->job.wait, "queued") != 0;
	while (ret == -1) {
		answer = daemon_client_receive(fd, -1);
		if (answer == NULL) {
			fprintf(stderr,
			    "postern: posternd closed the connection%s%s\n",
			    errno != 0 ? ": " : "",
			    errno != 0 ? strerror(errno) : "");
			return EXIT_DEFERRED;
		}
		status = daemon_client_string(answer, "status");
		if (strcmp(status, "refused") == 0)
			ret = print_refusal(answer, o->json);
		else if (json_is_true(json_object_get(answer, "done")))
			ret = end_status(answer, &tally);
		else if (strcmp(status, "queued") != 0)
			job_result_print(answer, o->json,
			    counts(o, answer) ? &tally : &uncounted);
		else {
			print_queued(answer, o->json);
			ret = waits ? -1 : EXIT_ALL_WELL;
		}
		json_decref(answer);
	}
	return ret;
}

static int
check_wait(const char *wait)
{
	if (wait == NULL || strcmp(wait, "queued") == 0 ||
	    strcmp(wait, "attempt") == 0 || strcmp(wait, "final") == 0)
		return 0;
	fprintf(stderr, "postern: --wait: must be queued, attempt or final\n");
	return -1;
}

/* What JSON cannot hold; what is wrong with the rest the daemon says. */
static int
check_texts(const struct send_options *o)
{
	size_t i;

	if ((o->job.from[0] != '\0' &&
		!options_is_name("--from", o->job.from)) ||
	    !options_is_name("--via", o->job.via) ||
	    (o->job.ref != NULL && o->job.ref[0] != '\0' &&
		!options_is_name("--ref", o->job.ref)))
		return -1;
	for (i = 0; i < o->job.nrcpts; i++)
		if (!options_is_name("a recipient", o->job.rcpts[i]))
			return -1;
	return 0;
}

int
cmd_send(int argc, char **argv)
{
	struct send_options o = { .config_name =
				      POSTERN_SYSCONFDIR "/postern.conf" };
	int fd = -1, ret = EXIT_DEFERRED;

	if (parse(argc, argv, &o) == -1)
		return usage_print("send");
	if (check_wait(o.job.wait) == -1 || check_texts(&o) == -1 ||
	    envelope_options_check(&o.job.envelope, o.job.nrcpts) == -1)
		return EXIT_USAGE;
	o.job.message_fd = daemon_client_read_message();
	if (o.job.message_fd == -1)
		return EXIT_DEFERRED;
	fd = daemon_client_open(
	    daemon_client_socket(o.socket, o.config_name, false));
	if (fd == -1)
		goto out;
	if (daemon_client_send_job(fd, &o.job) == -1) {
		/* The control socket takes no descriptor (SO_PASSRIGHTS). */
		ret = errno == EPERM ? EXIT_USAGE : EXIT_DEFERRED;
		if (errno == EPERM)
			fprintf(stderr,
			    "postern: this socket takes no message: jobs are "
			    "for the job socket, which is job_socket in "
			    "postern.conf(5)\n");
		else
			fprintf(stderr, "postern: sending the job: %s\n",
			    strerror(errno));
		goto out;
	}
	ret = print_answers(fd, &o);
out:
	fd_close(fd);
	fd_close(o.job.message_fd);
	return ret;
}
