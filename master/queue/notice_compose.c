/* SPDX-License-Identifier: ISC */
/*
 * One notice: read from the rows of those it tells of, written into a memfd, and
 * behind it what is returned of the message, which is copied in pieces.
 */
#include <sys/mman.h>
#include <sys/random.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"
#include "master/queue/notice_internal.h"
#include "master/queue/route.h"

/* Where the octets go. */

static int
flush(struct notice *n)
{
	struct submission *s = n->submission;
	size_t done = 0;
	ssize_t written;

	while (done < n->buffered) {
		written = pwrite(s->body_fd, n->buffer + done,
		    n->buffered - done, (off_t)s->envelope.size);
		if (written == -1 && errno == EINTR)
			continue;
		if (written == -1)
			return -1;
		done += (size_t)written;
		s->envelope.size += (uint64_t)written;
	}
	n->buffered = 0;
	return 0;
}

static int
put(void *arg, const char *octets, size_t n)
{
	struct notice *notice = arg;
	size_t room;

	while (n > 0) {
		room = sizeof(notice->buffer) - notice->buffered;
		if (room > n)
			room = n;
		memcpy(notice->buffer + notice->buffered, octets, room);
		notice->buffered += room;
		octets += room;
		n -= room;
		if (notice->buffered == sizeof(notice->buffer) &&
		    flush(notice) == -1)
			return -1;
	}
	return 0;
}

void
notice_free(struct notice *n)
{
	if (n == NULL)
		return;
	submission_free(n->submission);
	fd_close(n->from_fd);
	free(n->rows);
	free(n);
}

/* Which of the debts. */

/* The sender first: its copy goes to the postmaster once that is written. */
static uint32_t
reader_of(uint32_t notice)
{
	return (notice & NOTICE_TO_SENDER) != 0 ? NOTICE_TO_SENDER
						: NOTICE_TO_POSTMASTER;
}

/* How long a recipient is tried, by its route, and by BY of its sender. */
static int64_t
lifetime_of(const struct notice *n, const struct store_envelope *envelope,
    const struct store_recipient *recipient)
{
	int64_t lifetime_ms = route_lifetime_ms(n->queue,
	    route_via(envelope, recipient), recipient->address);
	int64_t deadline_ms = parameters_deadline_ms(envelope->parameters, 0);

	return deadline_ms < lifetime_ms ? deadline_ms : lifetime_ms;
}

/* The first row says which notice it is; 1 ends the walk. */
static int
see_first(const struct store_envelope *envelope,
    const struct store_recipient *recipient, void *arg)
{
	struct notice *n = arg;

	n->class = notice_class(recipient->notice);
	n->reader = reader_of(recipient->notice);
	n->flags = envelope->flags;
	n->size = envelope->size;
	n->uid = envelope->uid;
	n->about.created_ms = envelope->created_ms;
	n->lifetime_ms = lifetime_of(n, envelope, recipient);
	store_id_format(envelope->id, n->id);
	(void)strlcpy(n->sender, envelope->reverse_path, sizeof(n->sender));
	(void)strlcpy(n->parameters, envelope->parameters,
	    sizeof(n->parameters));
	return 1;
}

static bool
is_told_of(const struct notice *n, const struct store_recipient *recipient)
{
	return notice_class(recipient->notice) == n->class &&
	    reader_of(recipient->notice) == n->reader;
}

static struct notice_recipient
describe(const struct store_recipient *r)
{
	return (struct notice_recipient){ .notice = r->notice,
		.address = r->address,
		.parameters = r->parameters,
		.dsn = r->dsn,
		.reply = r->reply,
		.relay = r->relay,
		.code = r->code,
		.in_doubt = r->in_doubt,
		.last_ms = r->finished_ms };
}

static int
write_reason(const struct store_envelope *envelope,
    const struct store_recipient *recipient, void *arg)
{
	struct notice_recipient r = describe(recipient);
	struct notice *n = arg;

	(void)envelope;
	/* Bounded: what is left has a notice of its own. */
	if (n->count == NOTICE_RECIPIENTS_MAX || n->seen++ == NOTICE_ROWS_MAX) {
		n->more = true;
		return 1;
	}
	if (!is_told_of(n, recipient)) {
		n->more = true;
		return 0;
	}
	/* One that reads it as well, later. */
	if ((recipient->notice & (NOTICE_TO_SENDER | NOTICE_TO_POSTMASTER)) !=
	    n->reader)
		n->more = true;
	n->rows[n->count].index = recipient->index;
	n->rows[n->count++].kind = recipient->notice & NOTICE_KIND;
	notice_write_reason(&n->writer, &n->about, &r);
	return 0;
}

static int
write_record(const struct store_envelope *envelope,
    const struct store_recipient *recipient, void *arg)
{
	struct notice_recipient r = describe(recipient);
	struct notice *n = arg;

	r.until_ms = envelope->created_ms + lifetime_of(n, envelope, recipient);
	if (n->count == 0 || recipient->index > n->rows[n->count - 1].index)
		return 1;
	if (is_told_of(n, recipient))
		notice_write_recipient(&n->writer, &n->about, &r);
	return 0;
}

/* What is returned of the message. */

static bool
asks_for_header(const char *parameters)
{
	struct parameter_word word;

	while (parameters_next(&parameters, &word))
		if (word.parameter == PARAMETER_RET)
			return word.value_len == 4 &&
			    memcmp(word.value, "HDRS", 4) == 0;
	return false;
}

/* RFC 3461, 6.2; RFC 8689, 5.  What is binary has no encoding that a part of
 * the type message may have (RFC 2046, 5.2.1). */
static bool
returns_whole(const struct queue *q, const struct notice *n)
{
	return n->class == NOTICE_FAILURE &&
	    (n->reader == NOTICE_TO_SENDER || n->sender[0] == '\0') &&
	    (n->flags & (SUBMIT_REQUIRETLS | SUBMIT_BINARY)) == 0 &&
	    n->size <= q->config->bounce_size_limit &&
	    !asks_for_header(n->parameters);
}

/* A message of RFC 6532 goes as it is to a reader whose server takes such
 * anyhow, and encoded to all others (RFC 6533, 4.5). */
static enum notice_encoding
encoding_of(const struct notice *n, bool has_8bit)
{
	if (!has_8bit)
		return NOTICE_7BIT;
	return (n->flags & SUBMIT_SMTPUTF8) != 0 && !n->about.utf8
	    ? NOTICE_BASE64
	    : NOTICE_8BIT;
}

/* The header, as far as it is returned, in out; what it has of octets. */
static size_t
read_header(struct notice *n, uint8_t *out, bool *has_8bit)
{
	ssize_t len;

	len = pread(n->from_fd, out, NOTICE_HEADER_MAX, 0);
	if (len <= 0)
		return 0;
	if ((n->flags & SUBMIT_BINARY) != 0)
		notice_header_clean(out, (size_t)len);
	return notice_header_span(out, (size_t)len, has_8bit);
}

/* Setting out. */

static bool
is_ascii(const char *text)
{
	for (; *text != '\0'; text++)
		if ((*text & 0x80) != 0)
			return false;
	return true;
}

/* As Postfix's $2bounce_notice_recipient, it may have no domain. */
static const char *
double_bounce_address(const struct queue *q, struct notice *n)
{
	const struct config *c = q->config;
	const char *recipient = c->double_bounce_recipient;

	if (recipient[0] == '\0' || strchr(recipient, '@') != NULL)
		return recipient;
	(void)snprintf(n->postmaster, sizeof(n->postmaster), "%s@%s", recipient,
	    c->myorigin[0] != '\0' ? c->myorigin : q->notices->hostname);
	return n->postmaster;
}

static const char *
address_of(const struct queue *q, struct notice *n)
{
	if (n->reader == NOTICE_TO_SENDER)
		return n->sender;
	if (n->sender[0] == '\0')
		return double_bounce_address(q, n);
	return n->class == NOTICE_DELAY ? q->config->delay_notice_recipient
					: q->config->bounce_notice_recipient;
}

static int
make_boundary(struct notice *n)
{
	uint64_t chance[2];

	if (getrandom(chance, sizeof(chance), 0) != sizeof(chance))
		return -1;
	(void)snprintf(n->about.boundary, sizeof(n->about.boundary),
	    "%s.%016llx%04llx", n->id, (unsigned long long)chance[0],
	    (unsigned long long)chance[1] & 0xffff);
	return 0;
}

static int
set_about(const struct queue *q, struct notice *n)
{
	const struct notices *all = q->notices;
	const struct config *c = q->config;
	struct notice_about *a = &n->about;
	struct notice_values *v = &a->values;

	a->template = &all->templates->of[n->class];
	a->to = address_of(q, n);
	a->to_postmaster = n->reader == NOTICE_TO_POSTMASTER;
	a->utf8 = !is_ascii(a->to);
	a->mta_is_name = all->is_name;
	a->parameters = n->parameters;
	a->now_ms = time_real_ms();
	v->myhostname = all->hostname;
	v->queue_id = n->id;
	v->sender = n->sender;
	v->delay_s = (a->now_ms - a->created_ms) / 1000;
	v->delay_warning_time_s = c->delay_warning_time;
	v->maximal_queue_lifetime_s = n->lifetime_ms / 1000;
	v->bounce_queue_lifetime_s = c->bounce_queue_lifetime;
	return make_boundary(n);
}

/* As if a client had handed it in, but that nobody waits for an answer. */
static int
make_submission(struct notice *n)
{
	struct submission *s = calloc(1, sizeof(*s));

	n->submission = s;
	if (s == NULL)
		return -1;
	s->body_fd = -1;
	s->cancelled = true;
	s->addresses = calloc(1, sizeof(*s->addresses));
	s->parameters = calloc(1, sizeof(*s->parameters));
	if (s->addresses == NULL || s->parameters == NULL)
		return -1;
	s->addresses_size = s->envelope.nrcpts = 1;
	s->addresses[0] = strdup(n->about.to);
	s->parameters[0] = strdup("NOTIFY=NEVER"); /* RFC 3461, 6.1 */
	s->reverse_path = strdup("");
	s->mail_parameters = strdup("");
	s->ref = strdup("");
	s->via = strdup(n->queue->config->bounce_transport);
	if (s->addresses[0] == NULL || s->parameters[0] == NULL ||
	    s->reverse_path == NULL || s->mail_parameters == NULL ||
	    s->ref == NULL || s->via == NULL)
		return -1;
	s->envelope.reverse_path = s->reverse_path;
	s->envelope.parameters = s->mail_parameters;
	s->envelope.ref = s->ref;
	s->envelope.via = s->via;
	s->envelope.uid = n->uid;
	s->envelope.flags = n->flags & SUBMIT_REQUIRETLS; /* RFC 8689, 5 */
	s->envelope.flags |= SUBMIT_NOTICE;
	if (n->about.utf8)
		s->envelope.flags |= SUBMIT_SMTPUTF8;
	if (n->about.is_8bit)
		s->envelope.flags |= SUBMIT_8BIT;
	if (n->about.to_postmaster)
		s->envelope.flags |= SUBMIT_FOR_POSTMASTER;
	s->body_fd = memfd_create("body", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return s->body_fd != -1 ? 0 : -1;
}

/* All but what is copied of a whole message. */
static int
write_report(struct queue *q, struct notice *n, uint8_t *header)
{
	bool has_8bit = false;
	size_t len = 0;

	if (n->from_fd != -1)
		len = read_header(n, header, &has_8bit);
	/* 8 bits in a header's fields no server without 8BITMIME can get, and
	 * then nobody would hear anything; a header by itself is a text. */
	n->whole = n->from_fd != -1 && returns_whole(q, n) &&
	    (!has_8bit || (n->flags & SUBMIT_SMTPUTF8) != 0);
	if (n->whole)
		has_8bit = (n->flags & SUBMIT_8BIT) != 0;
	n->encoding = encoding_of(n, has_8bit);
	n->about.is_8bit = n->about.utf8 || n->about.template->utf8 ||
	    n->encoding == NOTICE_8BIT;
	if (make_submission(n) == -1)
		return -1;
	notice_write_head(&n->writer, &n->about);
	if (store_load_owed(q->store, n->message, write_reason, n) == -1)
		return -1;
	notice_write_status(&n->writer, &n->about);
	if (store_load_owed(q->store, n->message, write_record, n) == -1)
		return -1;
	if (n->from_fd == -1)
		return 0;
	notice_write_returned(&n->writer, &n->about, n->whole,
	    (n->flags & SUBMIT_SMTPUTF8) != 0, n->encoding);
	if (!n->whole)
		notice_write_content(&n->writer, header, len, n->encoding);
	return 0;
}

struct notice *
notice_new(struct queue *q, uint64_t message)
{
	struct notice *n = calloc(1, sizeof(*n));
	uint8_t *header = NULL;
	int saved;
	int found;

	if (n == NULL)
		return NULL;
	n->queue = q;
	n->message = message;
	n->from_fd = -1;
	n->writer.put = put;
	n->writer.arg = n;
	found = store_load_owed(q->store, message, see_first, n);
	if (found != 1) {
		errno = found == 0 ? 0 : errno;
		goto fail;
	}
	header = malloc(NOTICE_HEADER_MAX);
	n->rows = calloc(NOTICE_RECIPIENTS_MAX, sizeof(*n->rows));
	if (header == NULL || n->rows == NULL || set_about(q, n) == -1)
		goto fail;
	n->nobody = n->about.to[0] == '\0';
	n->writer.failed = n->nobody; /* nothing is written */
	/* Where it is lost, its sender hears at least of that. */
	if (store_body_source(q->store, message, &n->from_fd) == -1)
		log_line(LOG_ERROR, "%s: the body cannot be read: %s", n->id,
		    strerror(errno));
	if (write_report(q, n, header) == -1)
		goto fail;
	free(header);
	return n;
fail:
	saved = errno;
	free(header);
	notice_free(n);
	errno = saved;
	return NULL;
}

/* Copying. */

static int
finish(struct notice *n)
{
	struct submission *s = n->submission;

	if (n->nobody)
		return 1;
	notice_write_end(&n->writer, &n->about);
	if (n->writer.failed || flush(n) == -1)
		return -1;
	if (fcntl(s->body_fd, F_ADD_SEALS, FD_SEALS) == -1)
		return -1;
	fd_close(n->from_fd);
	n->from_fd = -1;
	return 1;
}

int
notice_go_on(struct notice *n, size_t octets)
{
	static uint8_t piece[NOTICE_BUFFER_SIZE];
	uint64_t stop = n->at + octets;
	size_t done;
	ssize_t len;

	while (n->whole && !n->nobody && n->at < n->size) {
		if (n->at >= stop)
			return 0;
		/* Whole, or the end: else base64 would not go on. */
		for (done = 0; done < sizeof(piece); done += (size_t)len) {
			len = pread(n->from_fd, piece + done,
			    sizeof(piece) - done, (off_t)(n->at + done));
			if (len <= 0)
				break;
		}
		if (done == 0)
			break; /* it is shorter than it was */
		notice_write_content(&n->writer, piece, done, n->encoding);
		n->at += done;
		if (n->writer.failed)
			return -1;
	}
	return finish(n);
}
