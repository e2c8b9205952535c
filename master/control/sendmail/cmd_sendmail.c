/* SPDX-License-Identifier: ISC */
/*
 * sendmail, mailq and newaliases: the options of the command that programs have
 * called for forty years, and what of them means something here.
 *
 * It runs as whoever called it, without further rights: a message goes over the
 * job socket, and the questions over the control socket, to those who may.
 */
#include "master/control/sendmail/sendmail.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "master/config.h"
#include "master/control/client/daemon_client.h"
#include "master/control/client/options.h"
#include "master/control/client/usage.h"
#include "master/control/control.h"
#include "master/control/sendmail/sendmail_options.h"

/* job_recipient_limit, unless we can read another. */
#define JOB_RECIPIENTS 1000

static int
complain(const char *what, const char *value, const char *cure)
{
	fprintf(stderr, "sendmail: %s%s%s: %s\n", what,
	    value[0] != '\0' ? " " : "", value, cure);
	return EXIT_USAGE;
}

/* Addresses. */

static int
find_sender(struct sendmail *s, const char *given)
{
	struct mailbox_list list = { 0 };

	if (given == NULL) {
		(void)strlcpy(s->sender, s->login, sizeof(s->sender));
	} else if (given[0] == '\0' || strcmp(given, "<>") == 0) {
		s->sender[0] = '\0';
		return 0;
	} else {
		list.in = given;
		list.n = strlen(given);
		if (mailbox_next(&list, s->sender) != MAILBOX_ADDRESS)
			return complain("-f", given, "is no address");
	}
	return sendmail_recipients_qualify(s, s->sender) == 0
	    ? 0
	    : complain("-f", s->sender, "is no address");
}

/* Who calls, and where: a line of a file, without its end. */
static bool
read_line(const char *path, char *out, size_t size)
{
	FILE *f = fopen(path, "re");
	bool ok = f != NULL && fgets(out, (int)size, f) != NULL;

	if (f != NULL)
		fclose(f);
	if (ok)
		out[strcspn(out, " \t\r\n")] = '\0';
	return ok && out[0] != '\0';
}

static void
find_origin(struct sendmail *s, const char *config_name)
{
	struct config *config = daemon_client_config(config_name);
	const char *origin = config != NULL ? config->myorigin : "";

	if (origin[0] != '\0')
		(void)strlcpy(s->origin, origin, sizeof(s->origin));
	else if (!read_line("/etc/mailname", s->origin, sizeof(s->origin))) {
		if (config != NULL && config->hostname[0] != '\0')
			(void)strlcpy(s->origin, config->hostname,
			    sizeof(s->origin));
		else if (gethostname(s->origin, sizeof(s->origin) - 1) == -1)
			(void)strlcpy(s->origin, "localhost",
			    sizeof(s->origin));
	}
	s->job_limit = config != NULL ? (size_t)config->job_recipient_limit
				      : JOB_RECIPIENTS;
	config_free(config);
}

static void
find_user(struct sendmail *s)
{
	const struct passwd *pw = getpwuid(getuid());

	if (pw != NULL)
		(void)strlcpy(s->login, pw->pw_name, sizeof(s->login));
	else
		(void)snprintf(s->login, sizeof(s->login), "uid%u",
		    (unsigned)getuid());
}

/* Sending. */

/* Of the recipients, in their order: from first to before last. */
struct part {
	size_t first, last;
};

/* What became of all parts so far. */
struct handing {
	const struct sendmail *s;
	const struct sendmail_options *a;
	int message_fd;
	size_t limit;                    /* recipients of one job */
	size_t queued, deferred, failed; /* recipients */
	bool away;                       /* the daemon is: no use to go on */
	bool wrong_words;                /* of the command line */
};

/* Which recipients a complaint is about, where they are not all. */
static void
name_part(const struct handing *h, const struct part *p)
{
	char *const *words = h->s->rcpts.words;

	fputs("sendmail: ", stderr);
	if (p->last - p->first < h->s->rcpts.n)
		fprintf(stderr,
		    "recipients %zu to %zu of %zu (%s to %s): ", p->first + 1,
		    p->last, h->s->rcpts.n, words[p->first],
		    words[p->last - 1]);
}

static bool
is_too_many(const json_t *answer)
{
	return strcmp(daemon_client_string(answer, "status"), "refused") == 0 &&
	    strcmp(daemon_client_string(answer, "dsn"), "4.5.3") == 0;
}

/* The answer to a job of these recipients, the caller's; NULL: none came, which was
 * said, and will not to those after them. */
static json_t *
ask(struct handing *h, struct part *p)
{
	struct link_job job = { .from = h->s->sender,
		.envelope = h->a->envelope,
		.rcpts = h->s->rcpts.words + p->first,
		.nrcpts = p->last - p->first,
		.message_fd = h->message_fd };
	json_t *answer = NULL;
	int fd;

	fd = daemon_client_open(
	    daemon_client_socket(NULL, h->a->config_name, false));
	if (fd != -1 && daemon_client_send_job(fd, &job) == 0)
		answer = daemon_client_receive(fd, -1);
	if (answer == NULL) {
		h->away = true;
		p->last = h->s->rcpts.n;
	}
	if (answer == NULL && (fd != -1 || p->first > 0)) {
		name_part(h, p);
		fputs(fd == -1 ? "not handed over\n"
			       : "posternd closed the connection\n",
		    stderr);
	}
	fd_close(fd);
	return answer;
}

/* In words of sendmail's own options, and of who has one for it. */
static const char *
refusal_text(const json_t *answer, char *out, size_t size)
{
	static const struct {
		const char *option, *ours;
	} rows[] = {
		{ "--binary", "postern send --binary" },
		{ "--envid", "-V" },
		{ "--notify", "-N" },
		{ "--ret", "-R" },
	};
	const char *text = daemon_client_refusal_text(answer), *at;

	for (size_t i = 0; i < NELEM(rows); i++) {
		at = strstr(text, rows[i].option);
		if (at == NULL)
			continue;
		(void)snprintf(out, size, "%.*s%s%s", (int)(at - text), text,
		    rows[i].ours, at + strlen(rows[i].option));
		return out;
	}
	return text;
}

static void
take_answer(struct handing *h, const struct part *p, const json_t *answer)
{
	json_int_t code = json_integer_value(json_object_get(answer, "code"));
	size_t n = p->last - p->first;
	char why[512];

	if (answer == NULL) {
		h->deferred += n;
	} else if (strcmp(daemon_client_string(answer, "status"), "queued") ==
	    0) {
		h->queued += n;
		if (h->a->verbose)
			printf("queued as %s: %zu recipient%s\n",
			    daemon_client_string(answer, "id"), n,
			    n == 1 ? "" : "s");
	} else {
		name_part(h, p);
		fprintf(stderr, "refused: %s\n",
		    refusal_text(answer, why, sizeof(why)));
		h->wrong_words |=
		    daemon_client_refusal_status(answer) == EXIT_USAGE;
		h->deferred += code < 500 ? n : 0;
		h->failed += code >= 500 ? n : 0;
	}
}

/* As many jobs as it takes.  What the daemon allows now may be less than our
 * configuration says, and need not be readable to us. */
static int
hand_over(const struct sendmail *s, const struct sendmail_options *a,
    int message_fd)
{
	struct handing h = { .s = s,
		.a = a,
		.message_fd = message_fd,
		.limit = s->job_limit };
	struct part p = { 0, 0 };
	json_t *answer;

	while (p.last < s->rcpts.n && !h.away) {
		p.first = p.last;
		p.last = s->rcpts.n - p.first < h.limit ? s->rcpts.n
							: p.first + h.limit;
		answer = ask(&h, &p);
		if (is_too_many(answer) && p.last - p.first > 1) {
			h.limit = (p.last - p.first) / 2;
			p.last = p.first;
		} else {
			take_answer(&h, &p, answer);
		}
		json_decref(answer);
	}
	if (h.queued > 0 && h.queued < s->rcpts.n)
		fprintf(stderr,
		    "sendmail: %zu of %zu recipients are queued, the others "
		    "are not: do not send to all again\n",
		    h.queued, s->rcpts.n);
	if (h.wrong_words && h.queued == 0)
		return EXIT_USAGE;
	return h.failed > 0  ? EXIT_FAILED
	    : h.deferred > 0 ? EXIT_DEFERRED
			     : EXIT_ALL_WELL;
}

static int
send_message(const struct sendmail_options *a, int argc, char **argv)
{
	struct sendmail s = { .full_name = a->full_name,
		.dots = a->dots,
		.of_message = a->of_message };
	int fd = -1, ret, i;

	find_user(&s);
	find_origin(&s, a->config_name);
	ret = find_sender(&s, a->sender);
	for (i = 0; ret == 0 && i < argc; i++)
		ret = sendmail_recipients_add(&s, "argument", argv[i],
		    strlen(argv[i]));
	if (ret == 0 && s.rcpts.n == 0 && !s.of_message)
		ret = complain("no recipients", "",
		    "name them, or say -t if they are in the message");
	if (ret == 0)
		ret = envelope_options_check(&a->envelope, 1) == 0 ? 0
								   : EXIT_USAGE;
	if (ret == 0)
		ret = sendmail_message(&s, &fd);
	if (ret == 0 && s.rcpts.n == 0) {
		fprintf(stderr,
		    "sendmail: the message names no recipients in To, Cc or "
		    "Bcc: nothing was sent\n");
		ret = EXIT_DATA_ERROR;
	}
	if (ret == 0)
		ret = sendmail_recipients_drop_duplicates(&s);
	if (ret == 0)
		ret = hand_over(&s, a, fd);
	fd_close(fd);
	while (s.rcpts.n > 0)
		free(s.rcpts.words[--s.rcpts.n]);
	free(s.rcpts.words);
	return ret;
}

/* -q: all; -qR and -qS: of a destination; -qI: one message. */
static int
flush(const struct sendmail_options *a)
{
	char flush_word[] = "flush", queue_word[] = "queue", retry[] = "retry";
	char config[] = "--config", destination[] = "--destination";
	char value[MAILBOX_SIZE], path[4096];
	char *all[] = { flush_word, config, path, NULL };
	char *some[] = { flush_word, config, path, destination, value, NULL };
	char *one[] = { queue_word, config, path, retry, value, NULL };

	if (strlcpy(path, a->config_name, sizeof(path)) >= sizeof(path))
		return complain("-C", a->config_name, "is too long a path");
	optind = 0; /* another list of words */
	if (a->queue_run[0] == '\0')
		return cmd_flush((int)NELEM(all) - 1, all);
	if (strlcpy(value, a->queue_run + 1, sizeof(value)) >= sizeof(value))
		return complain("-q", a->queue_run, "is too long");
	switch (a->queue_run[0]) {
	case 'R':
	case 'S':
		return cmd_flush((int)NELEM(some) - 1, some);
	case 'I':
		return cmd_queue((int)NELEM(one) - 1, one);
	default:
		return complain("-q", a->queue_run,
		    "posternd tries again by itself: say -q alone to have all "
		    "tried now");
	}
}

int
cmd_sendmail(int argc, char **argv)
{
	struct sendmail_options a;
	char why[SENDMAIL_WHY_SIZE];
	int first;

	/* -h alone; sendmail's has a hop count. */
	if (argc == 2 &&
	    (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return usage_help("sendmail");
	if (options_is_described())
		return EXIT_USAGE;
	first = sendmail_options_read(&a, argc, argv, why);
	if (first == -1) {
		fprintf(stderr, "sendmail: %s\n", why);
		return EXIT_USAGE;
	}
	switch (a.mode) {
	case SENDMAIL_MAILQ:
		return cmd_mailq(a.config_name);
	case SENDMAIL_NEWALIASES:
		return EXIT_ALL_WELL; /* there are no aliases */
	case SENDMAIL_FLUSH:
		return flush(&a);
	case SENDMAIL_SEND:
		break;
	}
	return send_message(&a, argc - first, argv + first);
}
