/* SPDX-License-Identifier: ISC */
/*
 * See transcript.h.  What a worker sends was said by a stranger, or is a lie of
 * a worker that was taken over: it goes in as lines that begin with a time, so
 * that none of it can pass for one of ours.
 */
#include "master/queue/transcript.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/date.h"
#include "common/log.h"
#include "common/parameters.h"
#include "common/timers.h"
#include "common/util.h"
#include "master/queue/transcripts.h"

enum {
	TEXT_MAX = 16384,
	EVENTS_MAX = 512 * 1024,
	JOBS_MAX = 16 * 1024,
	OUTCOMES_MAX = 64 * 1024,
	HEADER_MAX = 16 * 1024,
	MEMORY_MAX = 4 * 1024 * 1024, /* all of them, of a queue in memory */
	MESSAGES_NAMED = 40,
};

struct text {
	char *octets;
	size_t len;
	size_t size;
};

struct transcript_draft {
	struct text events;
	struct text jobs;     /* a line for each, and for its recipients */
	struct text outcomes; /* a line for each */
	uint64_t last_job;    /* the one that has its line */
	uint32_t njobs;
	uint64_t messages[MESSAGES_NAMED];
	bool failed; /* worth keeping */
	bool line_begins;
	struct outcome outcome; /* the first */
	char reply[QUEUE_REPLY_SIZE];
};

/* What is beyond `most` is left out: there is enough to see. */
static void
add(struct text *t, size_t most, const char *octets, size_t n)
{
	size_t size = t->size > 0 ? t->size : 1024;
	char *grown;

	if (n == 0 || n > most - t->len)
		return;
	while (size < t->len + n)
		size *= 2;
	if (size > t->size) {
		grown = realloc(t->octets, size);
		if (grown == NULL)
			return;
		t->octets = grown;
		t->size = size;
	}
	memcpy(t->octets + t->len, octets, n);
	t->len += n;
}

static void add_line(struct text *t, size_t most, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A whole line, or none. */
static void
add_line(struct text *t, size_t most, const char *format, ...)
{
	char line[2 * QUEUE_REPLY_SIZE + MSG_RELAY_SIZE + 512];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(line, sizeof(line) - 1, format, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(line) - 1)
		return;
	line[n++] = '\n';
	add(t, most, line, (size_t)n);
}

/* For between quotation marks: as log_escape(), and the mark too. */
static const char *
quote(char *out, size_t size, const char *in)
{
	size_t len = 0;

	for (; *in != '\0' && len + 5 < size; in++) {
		if (*in >= ' ' && *in <= '~' && *in != '"' && *in != '\\')
			out[len++] = *in;
		else
			len += (size_t)snprintf(out + len, size - len,
			    "\\x%02x", (unsigned char)*in);
	}
	out[len] = '\0';
	return out;
}

bool
transcript_is_wanted(const struct queue *q)
{
	return q->transcripts != NULL && q->config->transcript_keep_time > 0;
}

static struct transcript_draft *
draft_of(struct session *s)
{
	if (s->draft == NULL && transcript_is_wanted(s->queue)) {
		s->draft = calloc(1, sizeof(*s->draft));
		if (s->draft != NULL)
			s->draft->line_begins = true;
	}
	return s->draft;
}

void
transcript_take(void *ctx, struct channel *from, const struct message *m)
{
	struct session *s = channel_arg(from);
	struct transcript_draft *d = draft_of(s);
	char octets[TEXT_MAX]; /* what the message's row allows */
	size_t n = 0;

	(void)ctx;
	if (s->closed || !s->noted) {
		session_fault(s, "TRANSCRIPT after CLOSED, or not asked for");
		return;
	}
	if (d == NULL)
		return;
	for (size_t i = 0; i < m->tail_len && i < sizeof(octets); i++) {
		uint8_t c = m->tail[i];

		if (d->line_begins && (c < '0' || c > '9'))
			c = '?';
		d->line_begins = c == '\n';
		octets[n++] = (char)c;
	}
	add(&d->events, EVENTS_MAX, octets, n);
}

static void
note_first(struct transcript_draft *d, const struct outcome *outcome,
    const char *reply)
{
	if (d->failed)
		return;
	d->failed = true;
	d->outcome = *outcome;
	(void)strlcpy(d->reply, reply, sizeof(d->reply));
}

/* A job, when the first outcome of it comes: all its recipients are in it
 * still, or have had theirs. */
static void
note_job(struct transcript_draft *d, const struct job *job)
{
	char address[4 * MSG_ADDRESS_SIZE], text[2 * PARAMETERS_MAIL_SIZE];

	if (d->last_job == job->id)
		return;
	d->last_job = job->id;
	if (d->njobs < MESSAGES_NAMED)
		d->messages[d->njobs] = job->message->id;
	d->njobs++;
	add_line(&d->jobs, JOBS_MAX,
	    "message %" PRIu64 " %" PRIX64 " %" PRIu64 " %s \"%s\"", job->id,
	    job->message->id, job->message->size,
	    (job->message->flags & SUBMIT_8BIT) != 0 ? "8bit" : "7bit",
	    quote(address, sizeof(address), job->message->reverse_path));
	if (job->message->parameters[0] != '\0')
		add_line(&d->jobs, JOBS_MAX, "parameters %" PRIu64 " \"%s\"",
		    job->id,
		    quote(text, sizeof(text), job->message->parameters));
	for (uint32_t i = 0; i < job->nrcpt; i++)
		if (job->recipients[i] != NULL)
			add_line(&d->jobs, JOBS_MAX,
			    "recipient %" PRIu64 " \"%s\"", job->id,
			    quote(address, sizeof(address),
				job->recipients[i]->address));
}

void
transcript_outcome(const struct job *job, const struct schedule_recipient *r,
    const struct outcome *outcome, const char *reply)
{
	struct transcript_draft *d = draft_of(job->session);
	char address[4 * MSG_ADDRESS_SIZE], text[2 * QUEUE_REPLY_SIZE];

	if (d == NULL)
		return;
	note_first(d, outcome, reply);
	note_job(d, job);
	add_line(&d->outcomes, OUTCOMES_MAX,
	    "outcome %" PRIu64 " \"%s\" %s %u %s %s %s \"%s\"", job->id,
	    quote(address, sizeof(address), r->address),
	    outcome_status_name(outcome->status), outcome->code, outcome->dsn,
	    outcome_step_name(outcome->step),
	    outcome->in_doubt ? "in-doubt" : "sure",
	    quote(text, sizeof(text), reply));
}

void
transcript_failed(struct session *s, const struct outcome *outcome,
    const char *reply)
{
	struct transcript_draft *d = draft_of(s);

	if (d != NULL)
		note_first(d, outcome, reply);
}

/* The session. */

static void
write_times(struct text *t, const struct session *s)
{
	char date[DATE_SIZE];

	date_write(s->started_ms / 1000, date);
	date[strlen(date) - 1] = '\0'; /* its Z comes after the milliseconds */
	add_line(t, HEADER_MAX, "began %s.%03dZ", date,
	    (int)(s->started_ms % 1000));
}

static void
write_options(struct text *t, const struct session *s,
    const struct transport *config)
{
	static const char *const levels[] = { "none", "may", "encrypt",
		"verify" };
	char name[2 * MSG_HOST_SIZE], discard[MSG_DISCARD_SIZE];
	struct msg_session msg;

	session_describe(s, config, &msg);
	add_line(t, HEADER_MAX, "protocol %s",
	    msg.protocol == SESSION_LMTP ? "lmtp" : "smtp");
	add_line(t, HEADER_MAX, "tls %s %s%s", levels[msg.tls_level],
	    msg.implicit_tls ? "implicit" : "starttls",
	    msg.require_tls ? " required" : "");
	add_line(t, HEADER_MAX, "ehlo \"%s\"",
	    quote(name, sizeof(name), msg.ehlo_name));
	add_line(t, HEADER_MAX, "discard \"%s\"", msg.discard);
	if (dial_server_keywords(s, discard) > 0)
		add_line(t, HEADER_MAX, "discard_server \"%s\"", discard);
	for (unsigned i = 0; i < TIMER_COUNT; i++)
		add_line(t, HEADER_MAX, "timer %s %u", timer_name(i),
		    msg.timer_ms[i]);
}

static void
write_messages(struct text *t, const struct transcript_draft *d)
{
	char line[MESSAGES_NAMED * 20 + 32];
	size_t len;
	uint32_t i;

	len = strlcpy(line, "messages", sizeof(line));
	for (i = 0; i < d->njobs && i < MESSAGES_NAMED; i++)
		len += (size_t)snprintf(line + len, sizeof(line) - len,
		    " %" PRIX64, d->messages[i]);
	add_line(t, HEADER_MAX, "%s%s", line,
	    d->njobs > MESSAGES_NAMED ? " ..." : "");
}

/* All of it; the head first, of which a list needs no more than a KiB. */
static void
compose(struct text *t, const struct session *s)
{
	const struct transcript_draft *d = s->draft;
	const struct transport *config = session_config(s);
	char text[2 * QUEUE_REPLY_SIZE];
	const char *end = "end\n";
	size_t most = HEADER_MAX + JOBS_MAX + EVENTS_MAX + OUTCOMES_MAX;

	add_line(t, HEADER_MAX, "postern-transcript 1");
	write_times(t, s);
	add_line(t, HEADER_MAX, "destination \"%s\"",
	    quote(text, sizeof(text), s->target->destination->next_hop));
	add_line(t, HEADER_MAX, "relay \"%s\"",
	    quote(text, sizeof(text), s->relay));
	add_line(t, HEADER_MAX, "summary %s %u %s %s \"%.400s\"",
	    outcome_status_name(d->outcome.status), d->outcome.code,
	    d->outcome.dsn, outcome_step_name(d->outcome.step),
	    quote(text, sizeof(text), d->reply));
	write_messages(t, d);
	if (config != NULL)
		write_options(t, s, config);
	add(t, most, d->jobs.octets, d->jobs.len);
	add(t, most, d->events.octets, d->events.len);
	if (d->events.len > 0 && d->events.octets[d->events.len - 1] != '\n')
		add(t, most, "\n", 1); /* its end was left out */
	add(t, most, d->outcomes.octets, d->outcomes.len);
	add(t, most, end, strlen(end));
}

static void
keep(struct session *s)
{
	struct queue *q = s->queue;
	char name[TRANSCRIPTS_NAME_SIZE];
	struct text t = { 0 };

	compose(&t, s);
	if (transcripts_add(q->transcripts, time_real_ms(),
		s->target->destination->next_hop, t.octets, t.len, name) == 0)
		log_line(LOG_INFO, "session %u: transcript=%s", s->number,
		    name);
	else
		log_line(LOG_WARN, "session %u: its transcript is lost: %s",
		    s->number, strerror(errno));
	free(t.octets);
}

void
transcript_end(struct session *s)
{
	struct transcript_draft *d = s->draft;

	if (d == NULL)
		return;
	if (d->failed && transcript_is_wanted(s->queue))
		keep(s);
	s->draft = NULL;
	free(d->events.octets);
	free(d->jobs.octets);
	free(d->outcomes.octets);
	free(d);
}

/* The folder. */

void
transcript_configure(struct queue *q)
{
	const struct config *config = q->config;
	struct transcripts_limits limits = {
		.keep_ms = (int64_t)config->transcript_keep_time * 1000,
		.octets = (uint64_t)config->transcript_limit,
		.of_destination =
		    (uint32_t)config->transcript_destination_limit,
	};

	if (q->transcripts == NULL)
		return;
	if (config->queue_store == CONFIG_QUEUE_STORE_MEMORY &&
	    limits.octets > MEMORY_MAX)
		limits.octets = MEMORY_MAX;
	transcripts_set_limits(q->transcripts, &limits);
}

/* A queue without them is still a queue. */
void
transcript_open(struct queue *q, const char *spool)
{
	q->transcripts = transcripts_open(spool);
	if (q->transcripts == NULL)
		log_line(LOG_ERROR, "no transcripts are kept: %s",
		    strerror(errno));
	transcript_configure(q);
}

void
transcript_sweep(struct queue *q)
{
	if (q->transcripts != NULL)
		transcripts_expire(q->transcripts, time_real_ms());
}
