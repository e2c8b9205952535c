/* SPDX-License-Identifier: ISC */
/*
 * What clients send: packets are read, messages copied, and both handed on to
 * the queue.
 */
#include "master/intake/intake_internal.h"

#include <stdio.h>
#include <string.h>

#include "common/closer.h"
#include "common/log.h"
#include "common/util.h"
#include "master/intake/message/message_copy.h"

/* As many whole recipients of the list as fit; how many octets they take. */
static size_t
take_rcpts(const char *list, size_t len, size_t room)
{
	size_t taken = 0, n = 0;

	if (len <= room)
		return len;
	while (n <= room) {
		taken = n;
		n += strlen(list + n) + 1;
		n += strlen(list + n) + 1; /* its parameters */
	}
	return taken;
}

/* Hands a packet's recipients on, in as many messages as it takes. */
static void
send_rcpts(struct clients *cs, const struct request *r, const char *rcpts,
    size_t len)
{
	struct msg_request more = { r->number };
	size_t n;

	while (len > 0) {
		n = take_rcpts(rcpts, len, JOB_TAIL_SIZE);
		(void)channel_send(cs->queue, MSG_SUBMIT_MORE, &more, rcpts, n,
		    -1);
		rcpts += n;
		len -= n;
	}
}

void
job_submit_send(struct clients *cs, const struct request *r,
    const struct job_packet *job, const struct message_copy *copy)
{
	struct msg_submit submit = { 0 };
	char tail[JOB_TAIL_SIZE];
	size_t len = 0, n;

	submit.request = r->number;
	submit.size = copy->size;
	submit.flags = job->flags | (copy->has_8bit ? SUBMIT_8BIT : 0);
	/* RFC 8689, 4.1: where both are there, the header does not count. */
	if (copy->tls_is_optional && (job->flags & SUBMIT_REQUIRETLS) == 0)
		submit.flags |= SUBMIT_TLS_OPTIONAL;
	if (job->smtputf8 && header_scan_is_utf8(&copy->header))
		submit.flags |= SUBMIT_SMTPUTF8;
	submit.wait = job->wait;
	submit.uid = r->uid;
	submit.pid = r->pid;
	(void)message_tail_add(tail, sizeof(tail), &len, job->from); /* fit */
	(void)message_tail_add(tail, sizeof(tail), &len, job->parameters);
	(void)message_tail_add(tail, sizeof(tail), &len, job->ref);
	(void)message_tail_add(tail, sizeof(tail), &len, job->via);
	if ((job->flags & SUBMIT_LOGGED) != 0)
		(void)message_tail_add(tail, sizeof(tail), &len, job->client);
	n = take_rcpts(job->rcpts, job->rcpts_len, sizeof(tail) - len);
	memcpy(tail + len, job->rcpts, n);
	(void)channel_send(cs->queue, MSG_SUBMIT, &submit, tail, len + n,
	    copy->fd);
	send_rcpts(cs, r, job->rcpts + n, job->rcpts_len - n);
}

static bool
is_among(uid_t uid, const uint32_t *uids, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (uids[i] == uid)
			return true;
	}
	return uid == 0;
}

static bool
may_submit(const struct intake *in, const struct client *c)
{
	return in->submit_any || in->clients.one_client ||
	    is_among(client_uid(c), in->submitters, in->nsubmitters);
}

/* A next server may trust what we say of whoever handed the message in or wrote
 * it (XCLIENT; RFC 4954, 5): that is for those to say whom we trust with it. */
static bool
may_name_others(const struct intake *in, const struct client *c)
{
	return in->clients.one_client ||
	    is_among(client_uid(c), in->submitters + in->nsubmitters,
		in->ntrusted);
}

static bool
names_others(const struct job_packet *job)
{
	const char *at = job->parameters;
	struct parameter_word word;

	while (parameters_next(&at, &word)) {
		if (word.parameter == PARAMETER_COUNT)
			continue;
		if (parameter_descs[word.parameter].command ==
		    PARAMETER_OF_CLIENT)
			return true;
		if (word.parameter == PARAMETER_AUTH &&
		    (word.value_len != 2 || memcmp(word.value, "<>", 2) != 0))
			return true;
	}
	return false;
}

/* A job that only asks needs no message: its own is empty. */
static int
take_message(const struct clients *cs, const struct job_packet *job, int fd,
    struct message_copy *copy, uint16_t *code,
    char error[MESSAGE_COPY_ERROR_SIZE])
{
	if (fd != -1)
		return message_copy(fd, cs->config->message_size_limit,
		    (job->flags & SUBMIT_BINARY) != 0, copy, code, error);
	memset(copy, 0, sizeof(*copy));
	copy->fd = fd_sealed("body", "", 0);
	if (copy->fd != -1)
		return 0;
	*code = 451;
	strlcpy(error, "no memory", MESSAGE_COPY_ERROR_SIZE);
	return -1;
}

/* RFC 5321, 6.3; RFC 3463, 3.5: X.4.6, routing loop detected. */
static bool
goes_round(const struct clients *cs, const struct message_copy *copy)
{
	return copy->hops >= (uint32_t)cs->config->hopcount_limit;
}

/* A job's first packet.  fd is borrowed. */
static void
begin_job(struct clients *cs, struct client *c, const struct job_packet *job,
    int fd)
{
	char error[MESSAGE_COPY_ERROR_SIZE];
	struct request *r;
	struct message_copy copy;
	uint16_t code;

	if (fd == -1 && (job->flags & SUBMIT_VERIFY) == 0) {
		request_refuse(c, job->ref, 554, "5.6.0",
		    "no descriptor came with the job: pass the message");
		return;
	}
	if (job->via[0] != '\0' &&
	    config_transport(cs->config, job->via) == NULL) {
		(void)snprintf(error, sizeof(error),
		    "the configuration has no transport %s", job->via);
		request_refuse(c, job->ref, 554, "5.3.5", error);
		return;
	}
	if (cs->role.phase == PHASE_DRAINING) {
		request_refuse(c, job->ref, 451, "4.3.2",
		    "posternd is being stopped: try again");
		return;
	}
	if (cs->queue == NULL) {
		request_refuse(c, job->ref, 451, "4.3.2",
		    "the queue is being restarted: try again");
		return;
	}
	if (job->wait != WAIT_QUEUED && !request_may_wait(cs, c)) {
		request_refuse(c, job->ref, 451, "4.3.2",
		    "too many jobs wait for results: read those that come, or "
		    "set \"wait\" to \"queued\"");
		return;
	}
	if (!share_has_room(cs, *client_share(c))) {
		request_refuse(c, job->ref, 451, "4.3.2",
		    "too many octets of your user wait to be whole and on "
		    "disk: try again");
		return;
	}
	if (take_message(cs, job, fd, &copy, &code, error) == -1) {
		request_refuse(c, job->ref, code,
		    code == 552       ? "5.3.4"
			: code == 451 ? "4.3.0"
				      : "5.6.0",
		    error);
		return;
	}
	r = goes_round(cs, &copy) ? NULL
				  : request_new(cs, c, &job_outcome_asker);
	if (goes_round(cs, &copy)) {
		request_refuse(c, job->ref, 554, "5.4.6",
		    "the message went through too many servers: it goes round "
		    "in a loop, or hopcount_limit is too low");
	} else if (r == NULL) {
		request_refuse(c, job->ref, 451, "4.3.0", "no memory");
	} else {
		strlcpy(r->ref, job->ref, sizeof(r->ref));
		r->wait = job->wait;
		r->transient = (job->flags & SUBMIT_TRANSIENT) != 0;
		request_hold(cs, r, copy.size);
		*client_begun(c) = r;
		job_submit_send(cs, r, job, &copy);
	}
	fd_close(copy.fd);
}

static void
cancel_begun(struct clients *cs, struct client *c)
{
	struct request *r = *client_begun(c);

	if (r == NULL)
		return;
	request_send(cs, MSG_CANCEL, r->number);
	request_free(cs, r);
}

/* The packet is good, and *client_begun(c) is its job. */
static void
end_packet(struct clients *cs, struct client *c, const struct job_packet *job)
{
	struct request *r = *client_begun(c);
	char error[VALUE_ERROR_SIZE];

	r->nrcpts += job->nrcpts;
	if (r->nrcpts > (size_t)cs->config->job_recipient_limit) {
		(void)snprintf(error, sizeof(error),
		    "more than %d recipients: split the job",
		    cs->config->job_recipient_limit);
		request_refuse(c, r->ref, 452, "4.5.3", error);
		cancel_begun(cs, c);
		return;
	}
	if (job->more) {
		request_brake_half(cs, c);
		return;
	}
	*client_begun(c) = NULL;
	request_end_job(cs, r);
	request_brake(cs, c);
}

static void
job_packet(struct intake *in, struct client *c, const char *text, size_t len,
    int fd)
{
	struct request *begun = *client_begun(c);
	char error[VALUE_ERROR_SIZE];
	struct job_packet job;

	if (!may_submit(in, c)) {
		request_refuse(c, "", 550, "5.7.1",
		    "your user may not submit here: "
		    "see job_users in postern.conf");
		return;
	}
	if (job_parse(&job, text, len, begun != NULL, error) == -1) {
		request_refuse_packet(c, begun != NULL ? begun->ref : "",
		    error);
		cancel_begun(&in->clients, c);
		return;
	}
	if (begun == NULL && names_others(&job) && !may_name_others(in, c))
		request_refuse(c, job.ref, 550, "5.7.1",
		    "your user may not name another client or author: see "
		    "job_authorized_xclient_users in postern.conf");
	else if (begun == NULL)
		begin_job(&in->clients, c, &job, fd);
	else
		send_rcpts(&in->clients, begun, job.rcpts, job.rcpts_len);
	if (*client_begun(c) != NULL)
		end_packet(&in->clients, c, &job);
	job_parse_clear(&job);
}

static void
on_packet(void *ctx, struct client *c, const char *text, size_t len,
    bool truncated, int fd)
{
	struct intake *in = ctx;

	if (truncated)
		request_refuse(c, "", 501, "5.5.4",
		    "the packet is too large, or has more than one "
		    "descriptor: continue recipients with \"more\"");
	else
		job_packet(in, c, text, len, fd);
	closer_close(fd, client_uid(c));
	clients_check_choked(&in->clients, c);
}

const struct client_handlers job_submit_handlers = { on_packet,
	clients_on_gone };
