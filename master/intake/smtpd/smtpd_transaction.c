/* SPDX-License-Identifier: ISC */
/*
 * A transaction of LMTP or SMTP: its envelope and its octets on their way to the
 * queue, and what is said of it on the way back.  It becomes a job as those of
 * the job socket are (job_submit.c).
 */
#include "master/intake/smtpd/smtpd_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/util.h"

/* A path, its parameters, and both their NULs. */
#define RCPT_MOST (MSG_ADDRESS_SIZE + PARAMETERS_RCPT_SIZE)

static const struct smtpd_reply queue_away = { 451, "4.3.2",
	"Error: the queue is being restarted: try again" };
static const struct smtpd_reply no_room = { 452, "4.3.1",
	"Error: too many octets wait to be on disk: try again" };
static const struct smtpd_reply no_memory = { 451, "4.3.0",
	"Error: no memory: try again" };
static const struct smtpd_reply too_many_wait = { 451, "4.3.2",
	"Error: too many messages wait for their results: try again" };

static void
result_clear(struct smtpd_final_reply *result)
{
	free(result->text);
	memset(result, 0, sizeof(*result));
}

static void
result_say(struct smtpd_final_reply *result, const struct smtpd_reply *reply)
{
	if (result->done)
		return;
	result->done = true;
	result->code = (uint16_t)reply->code;
	strlcpy(result->dsn, reply->dsn, sizeof(result->dsn));
	result->text = strdup(reply->text);
}

/* Octets of ours that this client caused. */
static void
hold(struct smtpd *d, uint64_t size)
{
	share_hold(&d->in->clients, d->share, size);
	d->mail.held += size;
}

static void
release(struct smtpd *d)
{
	share_release(&d->in->clients, d->share, d->mail.held);
	d->mail.held = 0;
}

void
smtpd_transaction_clear(struct smtpd *d)
{
	struct smtpd_transaction *m = &d->mail;

	if (m->request != NULL)
		request_cancel(&d->in->clients, m->request);
	for (size_t i = 0; m->results != NULL && i < m->job.nrcpts; i++)
		result_clear(&m->results[i]);
	free(m->results);
	result_clear(&m->common);
	message_spool_clear(&m->gather);
	release(d);
	job_parse_clear(&m->job);
	memset(m, 0, sizeof(*m));
	message_spool_init(&m->gather, 0);
	d->begun_ms = 0;
}

void
smtpd_transaction_sender(struct smtpd *d)
{
	const struct smtpd_envelope *e = smtpd_session_envelope(d->session);
	struct smtpd_transaction *m = &d->mail;

	smtpd_transaction_clear(d);
	if (d->in->clients.queue == NULL) {
		smtpd_session_refuse(d->session, &queue_away);
		return;
	}
	if (!share_has_room(&d->in->clients, d->share)) {
		smtpd_session_refuse(d->session, &no_room);
		return;
	}
	d->begun_ms = time_monotonic_ms();
	d->mail_id = 0;
	strlcpy(m->job.from, e->from, sizeof(m->job.from));
	strlcpy(m->job.parameters, e->parameters, sizeof(m->job.parameters));
	strlcpy(m->job.via, d->via, sizeof(m->job.via));
	m->job.smtputf8 = e->smtputf8;
	m->job.flags |= e->require_tls ? SUBMIT_REQUIRETLS : 0;
	m->job.flags |= e->body == SMTPD_BODY_BINARYMIME ? SUBMIT_BINARY : 0;
	m->job.wait = d->final ? WAIT_FINAL : WAIT_QUEUED;
	m->job.flags |= SUBMIT_LOGGED | (d->final ? SUBMIT_TRANSIENT : 0);
	(void)snprintf(m->job.ref, sizeof(m->job.ref), "%llX-%llX",
	    (unsigned long long)d->in->started_s,
	    (unsigned long long)++d->in->last_mail);
	smtpd_session_accept(d->session);
}

static bool
grow_rcpts(struct smtpd *d)
{
	struct smtpd_transaction *m = &d->mail;
	size_t size = m->rcpts_size > 0 ? 2 * m->rcpts_size : 1024;
	char *rcpts;

	if (m->rcpts_size - m->job.rcpts_len >= RCPT_MOST)
		return true;
	if (!share_has_room(&d->in->clients, d->share))
		return false;
	rcpts = recallocarray(m->job.rcpts, m->rcpts_size, size, 1);
	if (rcpts == NULL)
		return false;
	hold(d, size - m->rcpts_size);
	m->job.rcpts = rcpts;
	m->rcpts_size = size;
	return true;
}

static void
add_string(struct smtpd_transaction *m, const char *text)
{
	size_t n = strlen(text) + 1;

	memcpy(m->job.rcpts + m->job.rcpts_len, text, n);
	m->job.rcpts_len += n;
}

void
smtpd_transaction_recipient(struct smtpd *d)
{
	const struct smtpd_command *c = smtpd_session_command(d->session);
	struct smtpd_transaction *m = &d->mail;

	if (!grow_rcpts(d)) {
		smtpd_session_refuse(d->session, &no_room);
		return;
	}
	add_string(m, c->path.path);
	add_string(m, c->parameters);
	m->job.nrcpts++;
	smtpd_session_accept(d->session);
}

void
smtpd_transaction_begin(struct smtpd *d)
{
	struct smtpd_transaction *m = &d->mail;

	if (d->in->clients.queue == NULL) {
		smtpd_session_refuse(d->session, &queue_away);
		return;
	}
	if (d->final && !request_may_wait_mail(&d->in->clients)) {
		smtpd_session_refuse(d->session, &too_many_wait);
		return;
	}
	message_spool_init(&m->gather, UINT64_MAX); /* the session counts */
	if (message_spool_open(&m->gather) == -1) {
		smtpd_session_refuse(d->session, &no_memory);
		return;
	}
	smtpd_trace_client(d);
	smtpd_trace_received(d);
	smtpd_session_accept(d->session);
}

/* The rest is read, and answered with this. */
static void
fail(struct smtpd *d, const struct smtpd_reply *reply)
{
	result_say(&d->mail.common, reply);
	message_spool_clear(&d->mail.gather);
	release(d);
}

void
smtpd_transaction_content(struct smtpd *d)
{
	struct smtpd_transaction *m = &d->mail;
	enum message_spool_result result;
	const uint8_t *octets;
	size_t n;

	if (m->common.done)
		return;
	if (!share_has_room(&d->in->clients, d->share)) {
		fail(d, &no_room);
		return;
	}
	octets = smtpd_session_content(d->session, &n);
	if (m->has_content)
		result = message_spool_put(&m->gather, octets, n);
	else
		result = message_spool_put_behind(&m->gather, m->received,
		    octets, n);
	m->has_content = true;
	hold(d, n);
	if (result != MESSAGE_SPOOL_OK)
		fail(d, &no_memory);
}

/* The octets as the queue wants them.  False: what is wrong is said. */
static bool
seal(struct smtpd *d, struct message_copy *copy)
{
	static const struct smtpd_reply loop = { 554, "5.4.6",
		"Error: the message went through too many servers: it goes "
		"round in a loop, or hopcount_limit is too low" };
	struct smtpd_transaction *m = &d->mail;

	if (!m->has_content &&
	    message_spool_put_behind(&m->gather, m->received, NULL, 0) !=
		MESSAGE_SPOOL_OK) {
		fail(d, &no_memory);
		return false;
	}
	if (message_spool_end(&m->gather, copy) == -1) {
		fail(d, &no_memory);
		return false;
	}
	if (copy->hops < (uint32_t)d->in->clients.config->hopcount_limit)
		return true;
	fd_close(copy->fd);
	fail(d, &loop);
	return false;
}

static const struct asker mail_asker;

static void
submit(struct smtpd *d, const struct message_copy *copy)
{
	char client[MSG_ADDRESS_SIZE];
	struct smtpd_transaction *m = &d->mail;
	struct request *r;

	if (d->final)
		m->results = calloc(m->job.nrcpts, sizeof(*m->results));
	r = d->final && m->results == NULL
	    ? NULL
	    : request_new_mail(&d->in->clients, d, &mail_asker, d->share);
	if (r == NULL) {
		fail(d, &no_memory);
		return;
	}
	release(d);
	r->uid = d->uid;
	r->pid = d->pid;
	r->nrcpts = m->job.nrcpts;
	r->wait = m->job.wait;
	r->transient = d->final;
	strlcpy(r->ref, m->job.ref, sizeof(r->ref));
	request_hold(&d->in->clients, r, copy->size);
	m->request = r;
	smtpd_log_name(d, client, sizeof(client));
	m->job.client = client;
	job_submit_send(&d->in->clients, r, &m->job, copy);
	m->job.client = NULL;
	request_end_job(&d->in->clients, r);
}

void
smtpd_transaction_end(struct smtpd *d)
{
	const struct smtpd_reply *verdict = smtpd_session_verdict(d->session);
	struct smtpd_transaction *m = &d->mail;
	struct smtpd_reply reply;
	struct message_copy copy;

	if (verdict != NULL)
		fail(d, verdict);
	else if (!m->common.done && d->in->clients.queue == NULL)
		fail(d, &queue_away);
	if (!m->common.done && seal(d, &copy)) {
		submit(d, &copy);
		fd_close(copy.fd);
	}
	if (!m->common.done)
		return; /* the queue is asked */
	reply = (struct smtpd_reply){ m->common.code, m->common.dsn,
		m->common.text != NULL ? m->common.text : "" };
	smtpd_log_reject(d, "END-OF-MESSAGE", &reply);
	smtpd_transaction_answer(d);
}

void
smtpd_transaction_answer(struct smtpd *d)
{
	struct smtpd_transaction *m = &d->mail;
	const struct smtpd_final_reply *result;
	struct smtpd_reply reply;
	size_t owed;

	while ((owed = smtpd_session_owed(d->session)) > 0) {
		result = m->results != NULL && !m->common.done
		    ? &m->results[m->job.nrcpts - owed]
		    : &m->common;
		/* The last one waits until the queue is done with them all. */
		if (!result->done || (owed == 1 && m->request != NULL))
			return;
		reply = (struct smtpd_reply){ result->code, result->dsn,
			result->text != NULL ? result->text : "" };
		if (!smtpd_session_answer(d->session, &reply))
			return; /* once it is written */
		if (owed == 1)
			smtpd_transaction_clear(d);
	}
}

/* The answers of the queue. */

static void
on_accepted(struct clients *cs, struct request *r, uint64_t id)
{
	struct smtpd *d = r->smtpd;
	struct smtpd_reply reply = { 250, "2.0.0", NULL };
	char text[64];

	(void)cs;
	d->mail_id = id;
	if (r->wait != WAIT_QUEUED)
		return; /* its results follow */
	(void)snprintf(text, sizeof(text), "Ok: queued as %llX",
	    (unsigned long long)id);
	reply.text = text;
	result_say(&d->mail.common, &reply);
	d->mail.request = NULL; /* freed by who called */
	smtpd_later(d);
}

static void
on_refused(struct clients *cs, struct request *r, unsigned code,
    const char *dsn, const char *text)
{
	const struct smtpd_reply reply = { code, dsn, text };
	struct smtpd *d = r->smtpd;

	(void)cs;
	result_say(&d->mail.common, &reply);
	smtpd_log_reject(d, "END-OF-MESSAGE", &reply);
	d->mail.request = NULL;
	smtpd_later(d);
}

/* The first of that recipient whose result is not there yet. */
static struct smtpd_final_reply *
find_result(struct smtpd_transaction *m, const char *recipient)
{
	const char *at = m->job.rcpts;

	for (size_t i = 0; i < m->job.nrcpts; i++) {
		if (!m->results[i].done && strcmp(at, recipient) == 0)
			return &m->results[i];
		at += strlen(at) + 1;
		at += strlen(at) + 1; /* its parameters */
	}
	return NULL;
}

static void
on_result(struct clients *cs, struct request *r, const struct message *m)
{
	const struct msg_result *result = m->payload;
	struct smtpd *d = r->smtpd;
	struct smtpd_final_reply *of;
	const char *recipient, *relay, *reply;
	size_t at = 0;

	(void)cs;
	recipient = message_tail_next(m, &at);
	relay = message_tail_next(m, &at);
	reply = message_tail_next(m, &at);
	if (reply == NULL || d->mail.results == NULL)
		return;
	of = find_result(&d->mail, recipient);
	if (of == NULL)
		return;
	smtpd_final_reply_set(of, &result->outcome,
	    d->names_remote ? relay : NULL, reply);
	smtpd_later(d);
}

/* Who has no result by then gets none.  What the queue was given it may have sent:
 * only it knows. */
static void
end_results(struct smtpd *d, const struct smtpd_reply *reply)
{
	struct smtpd_transaction *m = &d->mail;
	const char *rcpt = m->job.rcpts;

	for (size_t i = 0; m->results != NULL && i < m->job.nrcpts; i++) {
		if (!m->results[i].done)
			smtpd_log_doubt(d, rcpt, reply);
		result_say(&m->results[i], reply);
		rcpt += strlen(rcpt) + 1;
		rcpt += strlen(rcpt) + 1; /* its parameters */
	}
	if (m->results == NULL)
		result_say(&m->common, reply);
	m->request = NULL;
	smtpd_later(d);
}

void
smtpd_transaction_give_up(struct smtpd *d)
{
	static const struct smtpd_reply late = { 451, "4.4.2",
		"Error: no answer within transaction_timeout: try again" };
	static const struct smtpd_reply late_result = { 451, "4.4.2",
		"perhaps delivered: no result within transaction_timeout: try "
		"again" };

	request_cancel(&d->in->clients, d->mail.request);
	end_results(d, d->final ? &late_result : &late);
}

void
smtpd_transaction_dismiss(struct smtpd *d)
{
	static const struct smtpd_reply stopped = { 421, "4.3.2",
		"Service shutting down" };

	if (d->mail.request == NULL)
		return;
	request_cancel(&d->in->clients, d->mail.request);
	end_results(d, &stopped);
}

static void
on_results_end(struct clients *cs, struct request *r)
{
	static const struct smtpd_reply none = { 451, "4.3.0",
		"perhaps delivered: the queue has no result: try again" };

	(void)cs;
	end_results(r->smtpd, &none);
}

static void
on_lost(struct clients *cs, struct request *r)
{
	static const struct smtpd_reply lost = { 451, "4.3.2",
		"Error: the queue was restarted: try again" };
	static const struct smtpd_reply lost_result = { 451, "4.3.2",
		"perhaps delivered: the queue was restarted: try again" };

	(void)cs;
	end_results(r->smtpd, r->smtpd->final ? &lost_result : &lost);
}

/* Its session was dismissed before. */
static void
on_stopped(struct clients *cs, struct request *r)
{
	(void)cs;
	r->smtpd->mail.request = NULL;
}

static const struct asker mail_asker = { on_accepted, on_refused, on_result,
	on_results_end, on_lost, on_stopped };
