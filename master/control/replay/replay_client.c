/* SPDX-License-Identifier: ISC */
/* See replay_client.h.  What a transcript says goes into a configuration and jobs:
 * it may be a stranger's, so words are let through by what they are made of. */
#include "master/control/replay/replay_client.h"

#include <sys/mman.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/log.h"
#include "common/timers.h"
#include "common/util.h"
#include "master/config.h"
#include "master/config_word.h"
#include "master/control/client/daemon_client.h"
#include "master/control/deliver/private_daemon.h"

#define CONFIG_SIZE 16384
#define LINE_SIZE   78
#define BODY_LIMIT  52428800 /* message_size_limit where no message is larger */
#define BODIES_MAX  (1024 * 1024 * 1024) /* of all messages, in memory twice */
#define NAME_LETTERS                                                           \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-."

/* The messages. */

static struct replay_script_message *
find_message(struct replay_script *s, uint64_t number)
{
	for (size_t i = 0; i < s->nmessages; i++)
		if (s->messages[i].number == number)
			return &s->messages[i];
	return NULL;
}

/* The path of MAIL FROM:<path> or RCPT TO:<path>; false where it has none. */
static bool
take_path(const char *line, size_t n, char *out, size_t size)
{
	const char *from = memchr(line, '<', n), *to = line + n;

	while (from != NULL && to > from && *--to != '>')
		;
	if (from == NULL || to <= from || (size_t)(to - from) > size)
		return false;
	memcpy(out, from + 1, (size_t)(to - from - 1));
	out[to - from - 1] = '\0';
	return true;
}

/* Known from the queue already, and not yet taken for a command before. */
static struct replay_script_recipient *
find_recipient(const struct replay_script *s, uint64_t number,
    const char *address)
{
	for (size_t i = 0; i < s->nrecipients; i++)
		if (s->recipients[i].turn == 0 &&
		    s->recipients[i].number == number &&
		    strcmp(s->recipients[i].address, address) == 0)
			return &s->recipients[i];
	return NULL;
}

struct reading {
	struct replay_script *s;
	struct replay_script_message *message;
	bool is_new; /* the queue said nothing of it */
	uint32_t turn;
};

static bool
read_command(struct reading *r, const struct replay_script_event *e)
{
	const char *line = (const char *)r->s->octets + e->at;
	char path[MSG_ADDRESS_SIZE];
	struct replay_script_recipient *rcpt;

	if (r->message == NULL)
		return true;
	if (e->len > 10 && strncasecmp(line, "MAIL FROM:", 10) == 0 &&
	    r->is_new && take_path(line, e->len, path, sizeof(path))) {
		(void)strlcpy(r->message->from, path, sizeof(r->message->from));
		r->message->eight_bit =
		    memmem(line, e->len, "8BITMIME", 8) != NULL;
	}
	if (e->len <= 8 || strncasecmp(line, "RCPT TO:", 8) != 0 ||
	    !take_path(line, e->len, path, sizeof(path)))
		return true;
	rcpt = find_recipient(r->s, r->message->number, path);
	if (rcpt == NULL)
		rcpt =
		    replay_script_add_recipient(r->s, r->message->number, path);
	if (rcpt == NULL)
		return false;
	rcpt->turn = ++r->turn;
	return true;
}

/* In the order of the commands, and those of none behind. */
static int
compare_turns(const void *a, const void *b)
{
	const struct replay_script_recipient *x = a, *y = b;

	return (x->turn - 1 > y->turn - 1) - (x->turn - 1 < y->turn - 1);
}

/* It failed, and no message with it: any one makes it begin again. */
static int
add_any_message(struct replay_script *s)
{
	struct replay_script_message *m = replay_script_add_message(s, 1);

	if (m == NULL ||
	    replay_script_add_recipient(s, 1, "any@example.org") == NULL)
		return -1;
	(void)strlcpy(m->from, "any@example.net", sizeof(m->from));
	return 0;
}

static bool
read_event(struct reading *r, const struct replay_script_event *e)
{
	if (e->kind == SCRIPT_JOB) {
		r->message = find_message(r->s, e->number);
		r->is_new = r->message == NULL;
		if (r->is_new)
			r->message = replay_script_add_message(r->s, e->number);
		return r->message != NULL;
	}
	if (e->kind == SCRIPT_BODY && r->message != NULL && r->is_new &&
	    e->number < INT32_MAX && r->message->size < INT32_MAX)
		r->message->size += e->number;
	return e->kind != SCRIPT_SENT || read_command(r, e);
}

int
replay_client_prepare(struct replay_script *s, const struct replay_plan *p)
{
	struct reading r = { .s = s };
	uint64_t octets = 0;

	for (size_t i = 0; i < p->n; i++)
		if (!read_event(&r, &p->events[i])) {
			fprintf(stderr, "postern: too many messages\n");
			return -1;
		}
	if (s->nrecipients == 0 && add_any_message(s) == -1)
		return -1;
	for (size_t i = 0; i < s->nmessages; i++) {
		octets += s->messages[i].size;
		if (octets > BODIES_MAX) {
			fprintf(stderr,
			    "postern: messages of more than a GiB\n");
			return -1;
		}
	}
	qsort(s->recipients, s->nrecipients, sizeof(s->recipients[0]),
	    compare_turns);
	return 0;
}

/* As many octets, whatever they were, in lines. */
static int
make_body(const struct replay_script_message *m)
{
	char line[LINE_SIZE];
	uint64_t left = m->size;
	size_t n;
	int fd;

	fd = memfd_create("message", MFD_CLOEXEC);
	while (fd != -1 && left > 0) {
		n = left < LINE_SIZE ? (size_t)left : LINE_SIZE;
		if (left - n == 1)
			n--; /* no line of one octet is left over */
		memset(line, 'x', n);
		if (left == m->size && m->eight_bit)
			line[0] = (char)0xe9;
		if (n >= 2)
			memcpy(line + n - 2, "\r\n", 2);
		if (fd_write(fd, line, n) == -1) {
			fd_close(fd);
			fd = -1;
		}
		left -= n;
	}
	return fd;
}

/* The private daemon. */

static bool
has_outcome(const struct replay_script *s)
{
	for (size_t i = 0; i < s->nrecipients; i++)
		if (s->recipients[i].has_outcome)
			return true;
	return false;
}

static void
write_discard(FILE *f, const char *keywords)
{
	const char *comma = "", *at = keywords;
	char word[CONFIG_KEYWORD_MAX + 1];
	size_t n;

	fprintf(f, "\tdiscard_ehlo_keywords = {");
	for (; *at != '\0'; at += n) {
		at += strspn(at, " ");
		n = strcspn(at, " ");
		if (n == 0 || n >= sizeof(word))
			continue;
		memcpy(word, at, n);
		word[n] = '\0';
		/* A stranger's transcript may hold anything. */
		if (config_word_check("discard_ehlo_keywords", word) != NULL)
			continue;
		fprintf(f, "%s\"%s\"", comma, word);
		comma = ", ";
	}
	fprintf(f, "}\n");
}

static void
write_names(FILE *f, const struct replay_script *s, const struct replay_plan *p)
{
	static const char *const levels[] = { "none", "may", "encrypt",
		"verify" };

	fprintf(f, "\ttls_security_level = %s\n\ttls_fallback = no\n",
	    levels[p->in_clear ? TLS_NONE : s->tls_level]);
	if (s->implicit_tls && !p->in_clear)
		fprintf(f, "\ttls_wrappermode = yes\n");
	if (s->ehlo[0] != '\0' &&
	    s->ehlo[strspn(s->ehlo, NAME_LETTERS)] == '\0')
		fprintf(f, "\tehlo_name = \"%s\"\n", s->ehlo);
	if (s->discard[0] != '\0')
		write_discard(f, s->discard);
}

static size_t
write_config(const struct replay_script *s, const struct replay_plan *p,
    uint16_t port, const struct replay_plan_timer *hurry, char *text,
    size_t size)
{
	uint64_t largest = BODY_LIMIT;
	uint32_t ms;
	FILE *f;
	long len;

	f = fmemopen(text, size, "w");
	if (f == NULL)
		return 0;
	for (size_t i = 0; i < s->nmessages; i++)
		if (s->messages[i].size > largest)
			largest = s->messages[i].size;
	fprintf(f,
	    "queue_store = \"memory\"\nstop_timeout = 2s\n"
	    "broken_server_time = 0\nmessage_size_limit = %" PRIu64 "\n"
	    "transport replay {\n\tprotocol = %s\n"
	    "\tserver = \"127.0.0.1:%u\"\n",
	    largest, s->lmtp ? "lmtp" : "smtp", port);
	write_names(f, s, p);
	for (unsigned i = 0; i < TIMER_COUNT; i++) {
		ms = hurry->timer == i ? hurry->ms : s->timer_ms[i];
		if (ms > 0)
			fprintf(f, "\t%s = %us\n", timer_name(i),
			    (ms + 999) / 1000);
	}
	fprintf(f,
	    "\tdestination_concurrency_limit = 1\n"
	    "\tinitial_destination_concurrency = 1\n"
	    "\tconnection_idle_time = %s\n}\n"
	    "route \"*\" {\n\ttransport = replay\n}\n",
	    has_outcome(s) ? "0" : "3s");
	if (s->discard_server[0] != '\0') {
		fprintf(f, "server 127.0.0.1 {\n");
		write_discard(f, s->discard_server);
		fprintf(f, "}\n");
	}
	len = ftell(f);
	fclose(f);
	return len > 0 ? (size_t)len : 0;
}

/* One message, with its number as the reference. */
static int
send_message(const struct private_daemon *d, const struct replay_script *s,
    const struct replay_script_message *m, bool verbose)
{
	char *rcpts[SCRIPT_RCPTS_MAX], ref[24];
	struct link_job job = { .from = m->from,
		.wait = "attempt",
		.ref = ref,
		.once = true,
		.verbose = verbose,
		.require_tls = s->require_tls,
		.rcpts = rcpts };
	struct envelope_text text;
	int ret;

	envelope_options_read(&job.envelope, &text, m->parameters);
	(void)snprintf(ref, sizeof(ref), "%" PRIu64, m->number);
	for (size_t i = 0; i < s->nrecipients; i++)
		if (s->recipients[i].number == m->number)
			rcpts[job.nrcpts++] = s->recipients[i].address;
	if (job.nrcpts == 0)
		return 0;
	job.message_fd = make_body(m);
	if (job.message_fd == -1)
		return -1;
	ret = daemon_client_send_job(d->link_fd, &job);
	fd_close(job.message_fd);
	return ret == -1 ? -1 : 1;
}

/* Outcomes. */

/* What a lost connection was waiting for: how it broke, TLS had its words for. */
static const char *
waited_for(const char *text)
{
	const char *at = strstr(text, "while waiting for");

	return strstr(text, "connection ") != NULL ? at : NULL;
}

static bool
is_same_text(const struct replay_plan *p, const char *then, const char *now)
{
	const char *a = waited_for(then), *b = waited_for(now);
	size_t n;

	if (strcmp(then, now) == 0)
		return true;
	/* What the transcript has in the place of a secret differs. */
	if (p->without_auth && strstr(then, "<hidden>") != NULL)
		return strncmp(then, now, strcspn(then, "<")) == 0;
	if (!p->in_clear || a == NULL || b == NULL)
		return false;
	n = strcspn(a, ":");
	return n == strcspn(b, ":") && strncmp(a, b, n) == 0;
}

static bool
is_same(const struct replay_plan *p, const struct replay_script_recipient *r,
    const json_t *result)
{
	const struct outcome *o = &r->outcome;

	return strcmp(daemon_client_string(result, "status"),
		   outcome_status_name(o->status)) == 0 &&
	    json_integer_value(json_object_get(result, "code")) == o->code &&
	    strcmp(daemon_client_string(result, "dsn"), o->dsn) == 0 &&
	    strcmp(daemon_client_string(result, "step"),
		outcome_step_name(o->step)) == 0 &&
	    (json_is_true(json_object_get(result, "in_doubt")) != 0) ==
	    (o->in_doubt != 0) &&
	    is_same_text(p, r->reply, daemon_client_string(result, "reply"));
}

static void
print_now(const json_t *result)
{
	printf("%s: %s%s %" JSON_INTEGER_FORMAT " %s at %s (%s)\n",
	    daemon_client_string(result, "recipient"),
	    daemon_client_string(result, "status"),
	    json_is_true(json_object_get(result, "in_doubt"))
		? ", perhaps delivered"
		: "",
	    json_integer_value(json_object_get(result, "code")),
	    daemon_client_string(result, "dsn"),
	    daemon_client_string(result, "step"),
	    daemon_client_string(result, "reply"));
}

/* What stands in a transcript may be a stranger's: a terminal shall not do it. */
static void
print_then(const struct replay_script_recipient *r)
{
	char dsn[4 * sizeof(r->outcome.dsn)], reply[4 * sizeof(r->reply)];

	log_escape(dsn, sizeof(dsn), r->outcome.dsn, strlen(r->outcome.dsn));
	log_escape(reply, sizeof(reply), r->reply, strlen(r->reply));
	printf("    then: %s%s %u %s at %s (%s)\n",
	    outcome_status_name(r->outcome.status),
	    r->outcome.in_doubt ? ", perhaps delivered" : "", r->outcome.code,
	    dsn, outcome_step_name(r->outcome.step), reply);
}

static json_t *
then_as_object(const struct replay_script_recipient *r)
{
	char dsn[4 * sizeof(r->outcome.dsn)], reply[4 * sizeof(r->reply)];

	log_escape(dsn, sizeof(dsn), r->outcome.dsn, strlen(r->outcome.dsn));
	log_escape(reply, sizeof(reply), r->reply, strlen(r->reply));
	return json_pack("{s:s,s:b,s:i,s:s,s:s,s:s}", "status",
	    outcome_status_name(r->outcome.status), "in_doubt",
	    (int)r->outcome.in_doubt, "code", (int)r->outcome.code, "dsn", dsn,
	    "step", outcome_step_name(r->outcome.step), "reply", reply);
}

/* One line: the result as it came, and what it was then where it is another. */
static void
print_both(const json_t *result, const struct replay_script_recipient *then)
{
	json_t *row = json_copy((json_t *)(uintptr_t)result);

	if (then != NULL)
		(void)json_object_set_new(row, "then", then_as_object(then));
	(void)json_dumpf(row, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(row);
}

/* The first recipient that this result fits and that has no result yet; NULL where
 * there is none. */
static const struct replay_script_recipient *
claim_recipient(const struct replay_script *s, bool *had, const json_t *result)
{
	uint64_t number =
	    strtoull(daemon_client_string(result, "ref"), NULL, 10);
	const struct replay_script_recipient *r;

	for (size_t i = 0; i < s->nrecipients; i++) {
		r = &s->recipients[i];
		if (had[i] || r->number != number ||
		    strcmp(r->address,
			daemon_client_string(result, "recipient")) != 0)
			continue;
		had[i] = true;
		return r;
	}
	return NULL;
}

/* Compared where one is known. */
static void
take_result(const struct replay_script *s, const struct replay_plan *p,
    bool *had, const json_t *result, const struct rerun_show *show,
    enum replay_client_end *end)
{
	const struct replay_script_recipient *r =
	    claim_recipient(s, had, result);
	bool differs = r != NULL && r->has_outcome && !is_same(p, r, result);

	if (differs)
		*end = REPLAY_CLIENT_DIFFERS;
	if (show->json) {
		print_both(result, differs ? r : NULL);
		return;
	}
	print_now(result);
	if (differs)
		print_then(r);
}

static enum replay_client_end
take_answers(const struct replay_script *s, const struct replay_plan *p,
    const struct private_daemon *d, size_t njobs, const struct rerun_show *show)
{
	enum replay_client_end end = REPLAY_CLIENT_SAME;
	bool *had = calloc(s->nrecipients, sizeof(*had));
	json_t *answer;

	while (had != NULL && njobs > 0 &&
	    (answer = daemon_client_receive(d->link_fd, -1)) != NULL) {
		if (json_object_get(answer, "recipient") != NULL)
			take_result(s, p, had, answer, show, &end);
		else if (strcmp(daemon_client_string(answer, "status"),
			     "refused") == 0)
			fprintf(stderr, "postern: refused: %s\n",
			    daemon_client_string(answer, "error"));
		else if (json_is_true(json_object_get(answer, "done")))
			njobs--;
		else if (show->verbose &&
		    json_object_get(answer, "line") != NULL)
			fprintf(stderr, "%s %s\n",
			    strcmp(daemon_client_string(answer, "from"),
				"us") == 0
				? ">"
				: "<",
			    daemon_client_string(answer, "line"));
		if (strcmp(daemon_client_string(answer, "status"), "refused") ==
		    0)
			end = REPLAY_CLIENT_FAILED;
		json_decref(answer);
		if (end == REPLAY_CLIENT_FAILED)
			break;
	}
	for (size_t i = 0; had != NULL && i < s->nrecipients; i++)
		if (s->recipients[i].has_outcome && !had[i])
			end = REPLAY_CLIENT_FAILED;
	free(had);
	if (end == REPLAY_CLIENT_FAILED || njobs > 0 || had == NULL) {
		fprintf(stderr, "postern: there is no outcome to compare\n");
		return REPLAY_CLIENT_FAILED;
	}
	return end;
}

/* The session itself. */

/* The text of the last connection's verdict, or "". */
static void
last_verdict(const struct replay_script *s, char *out, size_t size)
{
	out[0] = '\0';
	for (size_t i = 0; i < s->nevents; i++) {
		if (s->events[i].kind == SCRIPT_ADDRESS)
			out[0] = '\0';
		if (s->events[i].kind == SCRIPT_VERDICT)
			(void)replay_script_text(s, &s->events[i], out, size);
	}
}

/* The private daemon's own transcript: its first, which is its only one. */
static int
read_own(const struct private_daemon *d, struct replay_script *own)
{
	char error[SCRIPT_ERROR_SIZE], *text = NULL;
	bool done = false;
	size_t len = 0;
	int ret = -1;
	json_t *row;
	FILE *f;

	memset(own, 0, sizeof(*own));
	f = open_memstream(&text, &len);
	if (f == NULL)
		return -1;
	if (daemon_client_send(d->control_fd,
		json_pack("{s:s,s:b}", "command", "transcripts", "wait", 1),
		-1) == -1)
		done = true;
	while (
	    !done && (row = daemon_client_receive(d->control_fd, -1)) != NULL) {
		done = json_is_true(json_object_get(row, "done"));
		if (!done)
			fputs(daemon_client_string(row, "text"), f);
		json_decref(row);
	}
	if (fclose(f) == 0 && len > 0)
		ret = replay_script_parse(own, text, len, error);
	free(text);
	return ret;
}

static void
print_verdicts(const char *now, const char *then, bool json)
{
	char text[4 * SCRIPT_WORD_SIZE * 2];
	json_t *row;

	if (!json) {
		printf("the session: %s\n",
		    now[0] != '\0' ? now : "no failure");
		if (then != NULL)
			printf("    then: %s\n", then);
		return;
	}
	log_escape(text, sizeof(text), now, strlen(now));
	row = json_pack("{s:s}", "session", text);
	if (then != NULL) {
		log_escape(text, sizeof(text), then, strlen(then));
		(void)json_object_set_new(row, "then", json_string(text));
	}
	(void)json_dumpf(row, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(row);
}

/* No recipient says what became of it: what the session made of it does. */
static enum replay_client_end
compare_verdicts(const struct replay_script *s, const struct replay_plan *p,
    const struct private_daemon *d, bool json)
{
	char then[SCRIPT_WORD_SIZE * 2], now[SCRIPT_WORD_SIZE * 2] = "";
	struct replay_script own;
	bool same;

	last_verdict(s, then, sizeof(then));
	if (read_own(d, &own) == 0)
		last_verdict(&own, now, sizeof(now));
	replay_script_clear(&own);
	same = strcmp(then, now) == 0 ||
	    (now[0] != '\0' && is_same_text(p, then, now));
	print_verdicts(now, same ? NULL : then, json);
	return same ? REPLAY_CLIENT_SAME : REPLAY_CLIENT_DIFFERS;
}

enum replay_client_end
replay_client_run(const struct replay_script *s, const struct replay_plan *p,
    uint16_t port, const struct replay_plan_timer *hurry,
    const struct rerun_show *show)
{
	struct private_daemon d = { .link_fd = -1, .control_fd = -1 };
	enum replay_client_end end = REPLAY_CLIENT_FAILED;
	char text[CONFIG_SIZE];
	size_t len, njobs = 0;
	int config_fd, sent = 0;

	len = write_config(s, p, port, hurry, text, sizeof(text));
	config_fd = private_daemon_config(text, len, NULL);
	if (config_fd == -1 ||
	    private_daemon_start(&d, config_fd, true, NULL) == -1)
		goto out;
	for (size_t i = 0; i < s->nmessages && sent != -1; i++) {
		sent = send_message(&d, s, &s->messages[i], show->verbose);
		njobs += sent == 1;
	}
	if (sent != -1)
		end = take_answers(s, p, &d, njobs, show);
	if (end == REPLAY_CLIENT_SAME && !has_outcome(s))
		end = compare_verdicts(s, p, &d, show->json);
out:
	private_daemon_stop(&d);
	fd_close(config_fd);
	return end;
}
