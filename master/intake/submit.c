/* SPDX-License-Identifier: ISC */
/*
 * What clients send: packets are read, messages copied, and both handed on to
 * the queue; questions go to who can answer them.
 */
#include "master/intake/intake_internal.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/util.h"
#include "master/intake/answer.h"
#include "master/intake/command.h"
#include "master/intake/copy.h"

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
send_rcpts(struct intake *in, const struct request *r, const char *rcpts,
    size_t len)
{
	struct msg_request more = { r->number };
	size_t n;

	while (len > 0) {
		n = take_rcpts(rcpts, len, JOB_TAIL_SIZE);
		(void)channel_send(in->queue, MSG_SUBMIT_MORE, &more, rcpts, n,
		    -1);
		rcpts += n;
		len -= n;
	}
}

void
submit_send(struct intake *in, const struct request *r,
    const struct job_packet *job, const struct copy *copy)
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
	if (job->smtputf8 && header_is_utf8(&copy->header))
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
	(void)channel_send(in->queue, MSG_SUBMIT, &submit, tail, len + n,
	    copy->fd);
	send_rcpts(in, r, job->rcpts + n, job->rcpts_len - n);
}

static bool
may_submit(const struct intake *in, const struct client *c)
{
	uid_t uid = client_uid(c);
	uint32_t i;

	if (in->submit_any || uid == 0 || in->one_client)
		return true;
	for (i = 0; i < in->nsubmitters; i++) {
		if (in->submitters[i] == uid)
			return true;
	}
	return false;
}

/* A job that only asks needs no message: its own is empty. */
static int
take_message(const struct intake *in, const struct job_packet *job, int fd,
    struct copy *copy, uint16_t *code, char error[COPY_ERROR_SIZE])
{
	if (fd != -1)
		return copy_message(fd, in->config->message_size_limit,
		    (job->flags & SUBMIT_BINARY) != 0, copy, code, error);
	memset(copy, 0, sizeof(*copy));
	copy->fd = fd_sealed("body", "", 0);
	if (copy->fd != -1)
		return 0;
	*code = 451;
	strlcpy(error, "no memory", COPY_ERROR_SIZE);
	return -1;
}

/* RFC 5321, 6.3; RFC 3463, 3.5: X.4.6, routing loop detected. */
static bool
goes_round(const struct intake *in, const struct copy *copy)
{
	return copy->hops >= (uint32_t)in->config->hopcount_limit;
}

/* A job's first packet.  fd is borrowed. */
static void
begin_job(struct intake *in, struct client *c, const struct job_packet *job,
    int fd)
{
	char error[COPY_ERROR_SIZE];
	struct request *r;
	struct copy copy;
	uint16_t code;

	if (fd == -1 && (job->flags & SUBMIT_VERIFY) == 0) {
		request_refuse(c, job->ref, 554, "5.6.0",
		    "no descriptor came with the job: pass the message");
		return;
	}
	if (job->via[0] != '\0' &&
	    config_transport(in->config, job->via) == NULL) {
		request_refuse(c, job->ref, 554, "5.3.5",
		    "\"via\" names no transport of the configuration");
		return;
	}
	if (in->queue == NULL) {
		request_refuse(c, job->ref, 451, "4.3.2",
		    "the queue is being restarted: try again");
		return;
	}
	if (job->wait != WAIT_QUEUED && !request_may_wait(in, c)) {
		request_refuse(c, job->ref, 451, "4.3.2",
		    "too many jobs wait for results: read those that come, or "
		    "set \"wait\" to \"queued\"");
		return;
	}
	if (!share_has_room(in, *client_share(c))) {
		request_refuse(c, job->ref, 451, "4.3.2",
		    "too many octets of your user wait to be whole and on "
		    "disk: try again");
		return;
	}
	if (take_message(in, job, fd, &copy, &code, error) == -1) {
		request_refuse(c, job->ref, code,
		    code == 552       ? "5.3.4"
			: code == 451 ? "4.3.0"
				      : "5.6.0",
		    error);
		return;
	}
	r = goes_round(in, &copy) ? NULL : request_new(in, c);
	if (goes_round(in, &copy)) {
		request_refuse(c, job->ref, 554, "5.4.6",
		    "the message went through too many servers: it goes round "
		    "in a loop, or hopcount_limit is too low");
	} else if (r == NULL) {
		request_refuse(c, job->ref, 451, "4.3.0", "no memory");
	} else {
		strlcpy(r->ref, job->ref, sizeof(r->ref));
		r->wait = job->wait;
		r->transient = (job->flags & SUBMIT_TRANSIENT) != 0;
		request_hold(in, r, copy.size);
		*client_begun(c) = r;
		submit_send(in, r, job, &copy);
	}
	fd_close(copy.fd);
}

static void
cancel_begun(struct intake *in, struct client *c)
{
	struct request *r = *client_begun(c);

	if (r == NULL)
		return;
	request_send(in, MSG_CANCEL, r->number);
	request_free(in, r);
}

/* The packet is good, and *client_begun(c) is its job. */
static void
end_packet(struct intake *in, struct client *c, const struct job_packet *job)
{
	struct request *r = *client_begun(c);
	char error[JOB_ERROR_SIZE];

	r->nrcpts += job->nrcpts;
	if (r->nrcpts > (size_t)in->config->job_recipient_limit) {
		(void)snprintf(error, sizeof(error),
		    "more than %d recipients: split the job",
		    in->config->job_recipient_limit);
		request_refuse(c, r->ref, 452, "4.5.3", error);
		cancel_begun(in, c);
		return;
	}
	if (job->more)
		return;
	*client_begun(c) = NULL;
	request_send(in, MSG_SUBMIT_END, r->number);
	request_brake(in, c);
}

static void
job_packet(struct intake *in, struct client *c, const char *text, size_t len,
    int fd)
{
	struct request *begun = *client_begun(c);
	char error[JOB_ERROR_SIZE];
	struct job_packet job;

	if (!may_submit(in, c)) {
		request_refuse(c, "", 550, "5.7.1",
		    "your user may not submit here: "
		    "see job_users in postern.conf");
		return;
	}
	if (job_parse(&job, text, len, begun != NULL, error) == -1) {
		request_refuse(c, begun != NULL ? begun->ref : "", 501, "5.5.4",
		    error);
		cancel_begun(in, c);
		return;
	}
	if (begun == NULL)
		begin_job(in, c, &job, fd);
	else
		send_rcpts(in, begun, job.rcpts, job.rcpts_len);
	if (*client_begun(c) != NULL)
		end_packet(in, c, &job);
	job_clear(&job);
}

static void
send_transcripts(struct intake *in, const struct request *r,
    const struct command *command)
{
	struct msg_transcripts ask = { 0 };

	ask.request = r->number;
	ask.whole = command->whole;
	ask.wait = command->wait_for_end;
	(void)channel_send(in->queue, MSG_TRANSCRIPTS, &ask, command->name,
	    strlen(command->name), -1);
}

static void
send_command(struct intake *in, const struct request *r,
    struct command *command)
{
	struct msg_request ask = { r->number };

	command->act.request = command->ask.request = r->number;
	command->act.uid = command->ask.uid = r->uid;
	switch (command->question) {
	case QUESTION_ACT:
		(void)channel_send(in->queue, MSG_ACT, &command->act,
		    command->tail, command->tail_len, -1);
		break;
	case QUESTION_ASK:
		(void)channel_send(in->queue, MSG_ASK, &command->ask,
		    command->tail, command->tail_len, -1);
		break;
	case QUESTION_TRANSCRIPTS:
		send_transcripts(in, r, command);
		break;
	case QUESTION_STATUS:
		(void)channel_send(in->role.parent, MSG_STATUS_ASK, &ask, NULL,
		    0, -1);
		break;
	case QUESTION_STOP:
		break;
	}
}

/* Whether a command may become a request; if not, that was said. */
static bool
may_ask(struct intake *in, struct client *c, const struct command *command)
{
	/* Their end is waited for where there is one: not by a daemon. */
	if (command->wait_for_end && !in->one_client) {
		request_refuse(c, "", 501, "5.5.4",
		    "\"wait\" is for one delivery, not for a daemon");
		return false;
	}
	if (command->question != QUESTION_STATUS && in->queue == NULL) {
		request_refuse(c, "", 451, "4.3.2",
		    "the queue is being restarted: try again");
		return false;
	}
	return true;
}

static void
control_packet(struct intake *in, struct client *c, const char *text,
    size_t len)
{
	struct command command;
	char error[JOB_ERROR_SIZE];
	struct request *r;

	if (command_parse(&command, text, len, time_real_ms(), error) == -1) {
		request_refuse(c, "", 501, "5.5.4", error);
		return;
	}
	if (!may_ask(in, c, &command))
		return;
	if (command.question == QUESTION_STOP) {
		request_stop_all(in, c);
		return;
	}
	r = request_new(in, c);
	if (r == NULL) {
		request_refuse(c, "", 451, "4.3.0", "no memory");
		return;
	}
	r->of_status = command.question == QUESTION_STATUS;
	r->of_action = command.question == QUESTION_ACT;
	r->of_tail =
	    command.question == QUESTION_ASK && command.ask.what == ASK_TAIL;
	send_command(in, r, &command);
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
	else if (client_kind(c) == LISTENER_CONTROL ||
	    (in->one_client && command_is_one(text, len)))
		control_packet(in, c, text, len);
	else
		job_packet(in, c, text, len, fd);
	fd_close(fd);
}

static void
on_gone(void *ctx, struct client *c)
{
	struct intake *in = ctx;

	request_cancel_all(in, c);
	intake_client_gone(in, c);
	if (in->one_client)
		role_stop(&in->role);
}

const struct client_handlers submit_handlers = { on_packet, on_gone };
