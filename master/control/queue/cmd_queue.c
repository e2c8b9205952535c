/* SPDX-License-Identifier: ISC */
/* postern queue: what waits, and what an operator does to it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "master/control/client/control_client.h"
#include "master/control/client/daemon_client.h"
#include "master/control/client/options.h"
#include "master/control/client/usage.h"
#include "master/control/control.h"

#define LIST_PAGE 500 /* rows asked for at a time */
#define MANY      10  /* recipients that are changed without a question */

/* Of an action, over all packets of ids. */
struct tally {
	long long recipients;
	long long in_delivery;
	long long looked_at;
	bool stopped;
	int refused;    /* the exit status of that; 0: it was not */
	bool unknown;   /* the name that was given is none, and that was said */
	char until[24]; /* the last message that is meant */
};

static volatile sig_atomic_t interrupted;

static void
on_interrupt(int number)
{
	(void)number;
	interrupted = 1;
}

/* Listing. */

static void
print_row(const json_t *row, const struct manage_options *o, bool whole)
{
	if (o->json)
		control_client_print_json(row);
	else if (whole)
		queue_print_whole(row);
	else
		queue_print(row);
}

/* What is printed of a page, and how many rows there were. */
struct listing {
	const struct manage_options *o;
	bool whole;
	long long limit; /* -1: none */
	long long nrows;
	int status;  /* of who was refused */
	json_t *end; /* the last answer: the sums */
};

static void
list_row(void *arg, const json_t *row)
{
	struct listing *l = arg;

	print_row(row, l->o, l->whole);
	l->nrows++;
}

static bool
list_is_full(const struct listing *l)
{
	return l->limit != -1 && l->nrows >= l->limit;
}

/* All pages of a packet of ids.  False where it failed, and that was said. */
static bool
list_packet(int fd, struct listing *l, json_t *cursor)
{
	long long rows;
	json_t *end;
	int more;

	do {
		rows = l->limit != -1 && l->limit - l->nrows < LIST_PAGE
		    ? l->limit - l->nrows
		    : LIST_PAGE;
		(void)json_object_set_new(cursor, "limit", json_integer(rows));
		more = control_client_page(fd, cursor, list_row, l, &end);
		if (more == -1) {
			l->status = daemon_client_refusal_status(end);
			json_decref(end);
			return false;
		}
		json_decref(l->end);
		l->end = end;
	} while (more == 1 && !list_is_full(l));
	return true;
}

/* Once, however many answers there were. */
static int
list_sums(int fd, const struct listing *l)
{
	if (l->o->json)
		control_client_print_json(l->end);
	else if (!l->whole)
		queue_print_counts(l->end);
	if (!l->o->json && json_is_true(json_object_get(l->end, "more")))
		printf("there are more rows: --limit N prints up to N\n");
	return l->whole ? 0 : cmd_pause_print(fd, l->o->json, -1);
}

static int
list_packets(int fd, struct listing *l)
{
	const struct selection *s = &l->o->selection;
	json_t *cursor;
	size_t first = 0;
	bool went;

	do {
		cursor = json_pack("{s:s}", "command", "list");
		if (selection_add(cursor, s, first) == -1) {
			json_decref(cursor);
			return EXIT_USAGE;
		}
		went = list_packet(fd, l, cursor);
		json_decref(cursor);
		if (!went)
			return l->status;
		first += MANAGE_IDS_A_PACKET;
	} while (first < s->nids && !list_is_full(l));
	return list_sums(fd, l) == -1 ? EXIT_DEFERRED : EXIT_ALL_WELL;
}

static int
list(int fd, const struct manage_options *o, bool whole)
{
	struct listing l = { .o = o, .whole = whole };
	const struct selection *s = &o->selection;
	int ret;

	l.limit = control_client_limit(o, INT32_MAX, -1);
	ret = list_packets(fd, &l);
	if (ret == EXIT_ALL_WELL && l.nrows == 0 && l.limit != 0) {
		if (control_client_is_unknown(l.end, o))
			ret = EXIT_FAILED;
		if (s->nids > 0) {
			fprintf(stderr,
			    "postern: %s is not in the queue%s\n", s->ids[0],
			    s->nids > 1 ? ", nor are the others" : "");
			ret = EXIT_FAILED;
		}
	}
	json_decref(l.end);
	return ret;
}

/* Changes. */

static void
show_progress(const struct manage_options *o, const char *verb,
    const struct tally *t, long long recipients, long long looked_at)
{
	if (!o->progress)
		return;
	fprintf(stderr, "%s%s: %lld recipients, %lld looked at%s",
	    isatty(STDERR_FILENO) ? "\r" : "", verb, t->recipients + recipients,
	    t->looked_at + looked_at, isatty(STDERR_FILENO) ? "" : "\n");
	fflush(stderr);
}

static void
end_progress(const struct manage_options *o)
{
	if (o->progress && isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}

/* An answer, or a request to stop where the user wants that. */
static json_t *
receive_or_stop(int fd, bool *asked)
{
	json_t *row;

	for (;;) {
		if (interrupted && !*asked) {
			*asked = true;
			(void)daemon_client_send(fd,
			    json_pack("{s:s}", "command", "stop"), -1);
		}
		row = daemon_client_receive(fd, 200);
		if (row != NULL || errno != ETIMEDOUT)
			break;
	}
	if (row == NULL)
		fprintf(stderr, "postern: posternd closed the connection\n");
	return row;
}

/* One packet's action to its end.  0, or -1 where it failed and was said. */
static int
act_once(int fd, const char *verb, const struct manage_options *o, json_t *act,
    bool show, struct tally *t)
{
	bool asked = false, done = false;
	json_t *row;

	if (daemon_client_send(fd, act, -1) == -1)
		return -1;
	while (!done) {
		row = receive_or_stop(fd, &asked);
		if (row == NULL || control_client_is_refusal(row)) {
			t->refused = daemon_client_refusal_status(row);
			json_decref(row);
			return -1;
		}
		done = json_is_true(json_object_get(row, "done"));
		if (json_object_get(row, "action") == NULL) {
			if (show)
				print_row(row, o, false);
			json_decref(row);
			continue;
		}
		if (!done) {
			show_progress(o, verb, t,
			    control_client_number(row, "recipients"),
			    control_client_number(row, "looked_at"));
			json_decref(row);
			continue;
		}
		t->recipients += control_client_number(row, "recipients");
		t->in_delivery += control_client_number(row, "in_delivery");
		t->looked_at += control_client_number(row, "looked_at");
		t->stopped = json_is_true(json_object_get(row, "stopped"));
		if (!t->unknown && control_client_is_unknown(row, o))
			t->unknown = true;
		if (t->until[0] == '\0')
			(void)strlcpy(t->until,
			    daemon_client_string(row, "until"),
			    sizeof(t->until));
		json_decref(row);
	}
	return 0;
}

/* 0, -1 where it failed, or EXIT_USAGE; both were said. */
static int
act(int fd, const char *verb, const struct manage_options *o, bool dry,
    bool show, struct tally *t)
{
	size_t first = 0;
	json_t *command;

	do {
		command = json_pack("{s:s,s:b,s:i}", "command", verb, "dry_run",
		    dry, "limit", show ? MANY : 0);
		if (t->until[0] != '\0')
			(void)json_object_set_new(command, "until",
			    json_string(t->until));
		if (o->to != NULL)
			(void)json_object_set_new(command, "to",
			    json_string(o->to));
		if (selection_add(command, &o->selection, first) == -1) {
			json_decref(command);
			return EXIT_USAGE;
		}
		if (act_once(fd, verb, o, command, show, t) == -1)
			return -1;
		first += MANAGE_IDS_A_PACKET;
	} while (first < o->selection.nids && !t->stopped);
	end_progress(o);
	return 0;
}

/* Whether the user says yes on a terminal; without one, nobody can. */
static bool
is_wanted(const char *verb, long long recipients)
{
	char answer[8] = "";

	if (!isatty(STDIN_FILENO)) {
		fprintf(stderr,
		    "postern: %s of %lld recipients: nothing was done: say "
		    "--yes, or look with --dry-run\n",
		    verb, recipients);
		return false;
	}
	fprintf(stderr, "%s %lld recipients? [y/N] ", verb, recipients);
	if (fgets(answer, sizeof(answer), stdin) != NULL &&
	    (answer[0] == 'y' || answer[0] == 'Y'))
		return true;
	fprintf(stderr, "postern: nothing was done\n");
	return false;
}

static void
print_tally(const char *verb, const struct manage_options *o, bool dry,
    const struct tally *t)
{
	json_t *end;

	if (o->json) {
		end = json_pack("{s:s,s:b,s:I,s:I,s:I,s:b,s:b}", "action", verb,
		    "dry_run", dry, "recipients", (json_int_t)t->recipients,
		    "in_delivery", (json_int_t)t->in_delivery, "looked_at",
		    (json_int_t)t->looked_at, "stopped", t->stopped, "done", 1);
		control_client_print_json(end);
		json_decref(end);
		return;
	}
	printf("%s%s: %lld recipient%s", o->flush ? "flush" : verb,
	    dry ? " (dry run)" : "", t->recipients,
	    t->recipients == 1 ? "" : "s");
	if (t->in_delivery > 0 &&
	    (strcmp(verb, "delete") == 0 || strcmp(verb, "expire") == 0))
		printf(", %lld in delivery follow if their attempt fails for "
		       "now",
		    t->in_delivery);
	else if (t->in_delivery > 0)
		printf(", %lld in delivery were left alone", t->in_delivery);
	printf("%s\n", t->stopped ? "; stopped there" : "");
}

static int
act_status(int ret, const struct tally *t)
{
	if (ret == -1)
		return t->refused != 0 ? t->refused : EXIT_DEFERRED;
	return ret;
}

/* Ids were named, and nothing came of it. */
static int
explain_none(const char *verb, const struct selection *s, const struct tally *t)
{
	if (t->in_delivery > 0)
		return EXIT_FAILED; /* and that is why */
	if (t->looked_at == 0)
		fprintf(stderr, "postern: %s is not in the queue%s\n",
		    s->ids[0], s->nids > 1 ? ", nor are the others" : "");
	else
		fprintf(stderr,
		    "postern: %s%s: no recipient that is selected is in a "
		    "state for %s\n",
		    s->ids[0], s->nids > 1 ? " and the others" : "", verb);
	return EXIT_FAILED;
}

static int
change(int fd, const char *verb, const struct manage_options *o, bool asks)
{
	struct tally counted = { 0 }, done = { 0 };
	int ret;

	(void)signal(SIGINT, on_interrupt);
	if (o->dry_run || (asks && !o->yes)) {
		ret = act(fd, verb, o, true, o->dry_run, &counted);
		if (ret != 0)
			return act_status(ret, &counted);
		if (o->dry_run || counted.stopped || counted.unknown) {
			print_tally(verb, o, true, &counted);
			return counted.unknown ? EXIT_FAILED : EXIT_ALL_WELL;
		}
		if (counted.recipients > MANY &&
		    !is_wanted(verb, counted.recipients))
			return EXIT_NOT_CONFIRMED;
		/* What came in since was not counted. */
		(void)strlcpy(done.until, counted.until, sizeof(done.until));
	}
	ret = act(fd, verb, o, false, false, &done);
	if (ret != 0)
		return act_status(ret, &done);
	print_tally(verb, o, false, &done);
	if (done.recipients == 0 && o->selection.nids > 0)
		return explain_none(verb, &o->selection, &done);
	if (done.unknown)
		return EXIT_FAILED;
	return done.stopped ? EXIT_DEFERRED : EXIT_ALL_WELL;
}

static int
cat(int fd, const char *id)
{
	static char chunk[65536];
	json_t *end;
	off_t at;
	ssize_t n;
	int body = -1, ret = EXIT_DEFERRED;

	if (daemon_client_send(fd,
		json_pack("{s:s,s:s}", "command", "cat", "id", id), -1) == -1)
		return EXIT_DEFERRED;
	end = daemon_client_receive_fd(fd, &body);
	if (end == NULL) {
		fprintf(stderr, "postern: posternd closed the connection\n");
		goto out;
	}
	if (control_client_is_refusal(end)) {
		ret = daemon_client_refusal_status(end);
		goto out;
	}
	if (body == -1) {
		ret = EXIT_FAILED;
		goto out;
	}
	for (at = 0; (n = pread(body, chunk, sizeof(chunk), at)) > 0; at += n)
		if (fwrite(chunk, 1, (size_t)n, stdout) != (size_t)n)
			break;
	if (n == 0 && fflush(stdout) == 0)
		ret = EXIT_ALL_WELL;
	else
		fprintf(stderr, "postern: %s\n", strerror(errno));
out:
	json_decref(end);
	fd_close(body);
	return ret;
}

static int
refuse(const char *why)
{
	fprintf(stderr, "postern: %s\n", why);
	return EXIT_USAGE;
}

/* What is wrong with the words; NULL: nothing. */
static const char *
check(const char *verb, const struct manage_options *o)
{
	bool sums = strcmp(verb, "summary") == 0;
	bool lists = strcmp(verb, "list") == 0 || strcmp(verb, "show") == 0;
	bool looks = lists || sums || strcmp(verb, "cat") == 0;

	if ((strcmp(verb, "show") == 0 && o->selection.nids == 0) ||
	    (strcmp(verb, "cat") == 0 && o->selection.nids != 1))
		return strcmp(verb, "cat") == 0 ? "cat: name one queue id"
						: "show: name a queue id";
	if (strcmp(verb, "cat") == 0 && o->json)
		return "cat: the message is printed as it is: --json is not "
		       "for it";
	if (looks && (o->yes || o->dry_run || o->to != NULL))
		return "--yes, --dry-run and --to are for what changes the "
		       "queue";
	if (o->by != NULL && !sums)
		return "--by is for summary";
	if (sums && o->selection.nids > MANAGE_IDS_A_PACKET)
		return "summary: name at most 500 queue ids";
	if (o->limit != NULL && !lists && !sums)
		return "--limit is for list, show and summary";
	if ((strcmp(verb, "move") == 0) != (o->to != NULL))
		return o->to != NULL ? "--to is for move"
				     : "move: name the transport, with --to";
	if (!looks && selection_is_empty(&o->selection))
		return "which? name queue ids, or select by --sender, "
		       "--recipient, --destination, --domain, --reason, "
		       "--state, --older or --younger; --recipient '*' is "
		       "all";
	return NULL;
}

static const char *const verbs[] = { "list", "show", "cat", "hold", "release",
	"retry", "delete", "expire", "move", "summary" };

static int
parse(int argc, char **argv, struct manage_options *o)
{
	struct selection *s = &o->selection;
	const struct control_option rows[] = {
		{ "config", 'c', &o->config_name, NULL },
		{ "destination", 0, &s->destination, NULL },
		{ "domain", 0, &s->domain, NULL },
		{ "dry-run", 'n', NULL, &o->dry_run },
		{ "json", 0, NULL, &o->json },
		{ "older", 0, &s->older, NULL },
		{ "progress", 0, NULL, &o->progress },
		{ "reason", 0, &s->reason, NULL },
		{ "recipient", 0, &s->recipient, NULL },
		{ "sender", 0, &s->sender, NULL },
		{ "socket", 0, &o->socket, NULL },
		{ "state", 0, &s->state, NULL },
		{ "yes", 'y', NULL, &o->yes },
		{ "younger", 0, &s->younger, NULL },
		/* flush has none of these. */
		{ "by", 0, &o->by, NULL },
		{ "limit", 0, &o->limit, NULL },
		{ "to", 0, &o->to, NULL },
	};

	o->config_name = POSTERN_SYSCONFDIR "/postern.conf";
	return options_read(argc, argv, rows, NELEM(rows) - (o->flush ? 3 : 0));
}

static int
run(const char *verb, const struct manage_options *o)
{
	int fd, ret;

	fd = daemon_client_open(
	    daemon_client_socket(o->socket, o->config_name, true));
	if (fd == -1)
		return EXIT_DEFERRED;
	if (strcmp(verb, "list") == 0 || strcmp(verb, "show") == 0)
		ret = list(fd, o, verb[0] == 's');
	else if (strcmp(verb, "summary") == 0)
		ret = cmd_summary(fd, o);
	else if (strcmp(verb, "cat") == 0)
		ret = cat(fd, o->selection.ids[0]);
	else
		ret = change(fd, verb, o, true);
	fd_close(fd);
	return ret;
}

/* Whether the verb, behind options that it may have, is one of who works on the
 * spool itself. */
static bool
is_for_archive(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc && argv[i][0] == '-'; i++)
		if (strcmp(argv[i], "-c") == 0 ||
		    strcmp(argv[i], "--config") == 0 ||
		    strcmp(argv[i], "--spool") == 0)
			i++;
		else if (strncmp(argv[i], "-c", 2) != 0 &&
		    strcmp(argv[i], "--json") != 0 &&
		    strncmp(argv[i], "--config=", 9) != 0 &&
		    strncmp(argv[i], "--spool=", 8) != 0)
			return false;
	return i < argc &&
	    (strcmp(argv[i], "check") == 0 || strcmp(argv[i], "export") == 0 ||
		strcmp(argv[i], "import") == 0);
}

int
cmd_queue(int argc, char **argv)
{
	struct manage_options o = { 0 };
	json_t *probe;
	const char *why;
	size_t i;
	int first, ret;

	if (is_for_archive(argc, argv))
		return cmd_archive(argc, argv);
	first = parse(argc, argv, &o);
	if (!options_words(argc, argv, first, 1, argc, "what to do"))
		return usage_print("queue");
	for (i = 0; i < NELEM(verbs); i++)
		if (strcmp(argv[first], verbs[i]) == 0)
			break;
	if (i == NELEM(verbs)) {
		fprintf(stderr, "postern: queue has no \"%s\"\n", argv[first]);
		return usage_print("queue");
	}
	o.selection.ids = argv + first + 1;
	o.selection.nids = (size_t)(argc - first - 1);
	o.progress = o.progress || isatty(STDERR_FILENO);
	why = check(verbs[i], &o);
	if (why != NULL)
		return refuse(why);
	/* Wrong words are said before anything is asked. */
	if (control_client_limit(&o, INT32_MAX, 0) == -1 ||
	    !cmd_summary_check(&o))
		return EXIT_USAGE;
	probe = json_object();
	ret = selection_add(probe, &o.selection, 0);
	json_decref(probe);
	return ret == -1 ? EXIT_USAGE : run(verbs[i], &o);
}

/* All that waits is due now, and no destination rests. */
int
cmd_flush(int argc, char **argv)
{
	struct manage_options o = { .flush = true };
	int fd, ret;

	if (!options_words(argc, argv, parse(argc, argv, &o), 0, 0, ""))
		return usage_print("flush");
	o.progress = o.progress || isatty(STDERR_FILENO);
	if (selection_is_empty(&o.selection))
		o.selection.recipient = "*";
	fd = daemon_client_open(
	    daemon_client_socket(o.socket, o.config_name, true));
	if (fd == -1)
		return EXIT_DEFERRED;
	ret = change(fd, "retry", &o, false);
	fd_close(fd);
	return ret;
}
