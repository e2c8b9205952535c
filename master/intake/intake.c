/* SPDX-License-Identifier: ISC */
/*
 * The intake: clients' jobs and questions.  It reads what local people send,
 * so it opens no file and makes no socket: listeners are given to it, messages
 * come as descriptors, and everything goes to the queue.
 */
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/tree.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/filter.h"
#include "common/log.h"
#include "common/role.h"
#include "common/sandbox.h"
#include "common/util.h"
#include "master/config.h"
#include "master/config_fd.h"
#include "master/intake/answer.h"
#include "master/intake/client.h"
#include "master/intake/copy.h"
#include "master/intake/job.h"

/* A client's jobs that are not yet on disk, before we stop reading it. */
#define UNANSWERED_MAX 256
#define CLIENTS_MAX    1024
/* How long a stop waits for the queue's last answers. */
#define DRAIN_MS 2000

/* One question or job of a client, until nothing more will be said of it. */
struct request {
	RB_ENTRY(request) entry;
	struct client *client;
	uint64_t number;
	size_t nrcpts;
	uint32_t wait;  /* enum submit_wait */
	bool answered;  /* ACCEPTED or REFUSED came */
	bool of_status; /* the master answers, whatever the queue does */
	char ref[JOB_REF_SIZE];
};

static int
request_compare(const struct request *a, const struct request *b)
{
	return a->number < b->number ? -1 : a->number > b->number;
}

RB_HEAD(requests, request);
/* libbsd disables the macro that RB_GENERATE_STATIC is made of. */
RB_GENERATE_INTERNAL(requests, request, entry, request_compare,
    __attribute__((unused)) static)

struct listener {
	struct event *event; /* NULL: none given */
	int fd;
	enum listener_kind kind;
	struct intake *intake;
};

struct intake {
	struct role role;
	struct config *config;
	struct channel *queue; /* NULL: dead, or not yet told */
	struct requests requests;
	struct listener listeners[LISTENER_CLIENT];
	struct event *drain_timer;
	uint64_t last_request;
	unsigned nclients;
	unsigned unanswered; /* of all clients */
	bool submit_any;
	uint32_t submitters[SUBMITTERS_MAX];
	uint32_t nsubmitters;
	bool one_client; /* its end is ours */
};

static const struct sandbox intake_sandbox = { 0 };

static const struct filter_rule intake_filter[] = {
#include "master/intake/intake_filter.def"
};

/* Sends text, which is ours to free. */
static void
tell(struct client *c, char *text)
{
	client_send(c, text);
	free(text);
}

static void
refuse(struct client *c, const char *ref, unsigned code, const char *dsn,
    const char *text)
{
	log_line(LOG_INFO, "refused: uid=%u pid=%d code=%u text=\"%s\"",
	    client_uid(c), (int)client_pid(c), code, text);
	tell(c, answer_refused(ref, code, dsn, text));
}

static struct request *
request_new(struct intake *in, struct client *c)
{
	struct request *r;

	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return NULL;
	r->client = c;
	r->number = ++in->last_request;
	RB_INSERT(requests, &in->requests, r);
	in->unanswered++;
	if (++*client_unanswered(c) == UNANSWERED_MAX)
		client_pause(c, true);
	return r;
}

static void
stop_if_done(struct intake *in)
{
	if (in->role.phase == PHASE_DRAINING && in->unanswered == 0)
		role_stop(&in->role);
}

static void
request_answered(struct intake *in, struct request *r)
{
	if (r->answered)
		return;
	r->answered = true;
	in->unanswered--;
	if ((*client_unanswered(r->client))-- == UNANSWERED_MAX)
		client_pause(r->client, false);
	stop_if_done(in);
}

static void
request_free(struct intake *in, struct request *r)
{
	request_answered(in, r);
	if (*client_begun(r->client) == r)
		*client_begun(r->client) = NULL;
	RB_REMOVE(requests, &in->requests, r);
	free(r);
}

static struct request *
request_find(struct intake *in, uint64_t number)
{
	struct request key = { .number = number };

	return RB_FIND(requests, &in->requests, &key);
}

static void
send_request(struct intake *in, enum msg_type type, uint64_t number)
{
	struct msg_request request = { number };

	if (in->queue != NULL)
		(void)channel_send(in->queue, type, &request, NULL, 0, -1);
}

/* As many whole strings of the list as fit; how many octets they take. */
static size_t
take_strings(const char *list, size_t len, size_t room)
{
	if (len <= room)
		return len;
	while (room > 0 && list[room - 1] != '\0')
		room--;
	return room;
}

/* Hands a packet's recipients on, in as many messages as it takes. */
static void
send_rcpts(struct intake *in, const struct request *r, const char *rcpts,
    size_t len)
{
	struct msg_request more = { r->number };
	size_t n;

	while (len > 0) {
		n = take_strings(rcpts, len, JOB_TAIL_SIZE);
		(void)channel_send(in->queue, MSG_SUBMIT_MORE, &more, rcpts, n,
		    -1);
		rcpts += n;
		len -= n;
	}
}

static void
send_submit(struct intake *in, const struct request *r,
    const struct job_packet *job, const struct copy *copy)
{
	struct msg_submit submit = { 0 };
	char tail[JOB_TAIL_SIZE];
	size_t len = 0, n;

	submit.request = r->number;
	submit.size = copy->size;
	submit.flags = job->flags | (copy->has_8bit ? SUBMIT_8BIT : 0);
	submit.wait = job->wait;
	submit.uid = client_uid(r->client);
	submit.pid = (uint32_t)client_pid(r->client);
	(void)message_tail_add(tail, sizeof(tail), &len, job->from); /* fit */
	(void)message_tail_add(tail, sizeof(tail), &len, job->ref);
	(void)message_tail_add(tail, sizeof(tail), &len, job->via);
	n = take_strings(job->rcpts, job->rcpts_len, sizeof(tail) - len);
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

/* A job's first packet.  fd is borrowed. */
static void
begin_job(struct intake *in, struct client *c, const struct job_packet *job,
    int fd)
{
	char error[COPY_ERROR_SIZE];
	struct request *r;
	struct copy copy;
	uint16_t code;

	if (fd == -1) {
		refuse(c, job->ref, 554, "5.6.0",
		    "no descriptor came with the job: pass the message");
		return;
	}
	if (job->via[0] != '\0' &&
	    config_transport(in->config, job->via) == NULL) {
		refuse(c, job->ref, 554, "5.3.5",
		    "\"via\" names no transport of the configuration");
		return;
	}
	if (in->queue == NULL) {
		refuse(c, job->ref, 451, "4.3.2",
		    "the queue is being restarted: try again");
		return;
	}
	if (copy_message(fd, in->config->message_size_limit, &copy, &code,
		error) == -1) {
		refuse(c, job->ref, code,
		    code == 552       ? "5.3.4"
			: code == 451 ? "4.3.0"
				      : "5.6.0",
		    error);
		return;
	}
	r = request_new(in, c);
	if (r == NULL) {
		refuse(c, job->ref, 451, "4.3.0", "no memory");
	} else {
		strlcpy(r->ref, job->ref, sizeof(r->ref));
		r->wait = job->wait;
		*client_begun(c) = r;
		send_submit(in, r, job, &copy);
	}
	fd_close(copy.fd);
}

static void
cancel_begun(struct intake *in, struct client *c)
{
	struct request *r = *client_begun(c);

	if (r == NULL)
		return;
	send_request(in, MSG_CANCEL, r->number);
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
		refuse(c, r->ref, 452, "4.5.3", error);
		cancel_begun(in, c);
		return;
	}
	if (job->more)
		return;
	*client_begun(c) = NULL;
	send_request(in, MSG_SUBMIT_END, r->number);
}

static void
job_packet(struct intake *in, struct client *c, const char *text, size_t len,
    int fd)
{
	struct request *begun = *client_begun(c);
	char error[JOB_ERROR_SIZE];
	struct job_packet job;

	if (!may_submit(in, c)) {
		refuse(c, "", 550, "5.7.1",
		    "your user may not submit here: "
		    "see job_users in postern.conf");
		return;
	}
	if (job_parse(&job, text, len, begun != NULL, error) == -1) {
		refuse(c, begun != NULL ? begun->ref : "", 501, "5.5.4", error);
		cancel_begun(in, c);
		return;
	}
	if (job.first)
		begin_job(in, c, &job, fd);
	else
		send_rcpts(in, begun, job.rcpts, job.rcpts_len);
	if (*client_begun(c) != NULL)
		end_packet(in, c, &job);
	job_clear(&job);
}

static void
send_list(struct intake *in, const struct request *r,
    const struct job_command *command)
{
	struct msg_list list = { 0 };

	list.request = r->number;
	list.id = command->id;
	list.after_id = command->after_id;
	list.after_index = command->after_index;
	list.limit = command->limit;
	(void)channel_send(in->queue, MSG_LIST, &list, command->domain,
	    strlen(command->domain), -1);
}

static void
control_packet(struct intake *in, struct client *c, const char *text,
    size_t len)
{
	struct job_command command;
	char error[JOB_ERROR_SIZE];
	struct msg_request ask;
	struct request *r;

	if (job_parse_command(&command, text, len, error) == -1) {
		refuse(c, "", 501, "5.5.4", error);
		return;
	}
	if (command.question == QUESTION_LIST && in->queue == NULL) {
		refuse(c, "", 451, "4.3.2",
		    "the queue is being restarted: try again");
		return;
	}
	r = request_new(in, c);
	if (r == NULL) {
		refuse(c, "", 451, "4.3.0", "no memory");
		return;
	}
	ask.request = r->number;
	r->of_status = command.question != QUESTION_LIST;
	if (!r->of_status)
		send_list(in, r, &command);
	else
		(void)channel_send(in->role.parent, MSG_STATUS_ASK, &ask, NULL,
		    0, -1);
}

static void
on_packet(void *ctx, struct client *c, const char *text, size_t len,
    bool truncated, int fd)
{
	struct intake *in = ctx;

	if (truncated)
		refuse(c, "", 501, "5.5.4",
		    "the packet is too large, or has more than one "
		    "descriptor: continue recipients with \"more\"");
	else if (client_kind(c) == LISTENER_CONTROL)
		control_packet(in, c, text, len);
	else
		job_packet(in, c, text, len, fd);
	fd_close(fd);
}

static void
on_gone(void *ctx, struct client *c)
{
	struct intake *in = ctx;
	struct request *r, *next;

	for (r = RB_MIN(requests, &in->requests); r != NULL; r = next) {
		next = RB_NEXT(requests, &in->requests, r);
		if (r->client != c)
			continue;
		send_request(in, MSG_CANCEL, r->number);
		request_free(in, r);
	}
	in->nclients--;
	if (in->one_client)
		role_stop(&in->role);
}

static const struct client_handlers client_handlers = { on_packet, on_gone };

static void
add_client(struct intake *in, int fd, enum listener_kind kind)
{
	struct client *c;

	c = client_new(in->role.base, fd, kind, &client_handlers, in);
	if (c == NULL) {
		log_line(LOG_ERROR, "a client: %s", strerror(errno));
		return;
	}
	in->nclients++;
	if (kind == LISTENER_JOB)
		log_line(LOG_DEBUG, "connect: uid=%u pid=%d", client_uid(c),
		    (int)client_pid(c));
}

static void
on_connect(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;
	struct intake *in = l->intake;
	int client;

	(void)what;
	client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (client == -1)
		return; /* it went away again, or the next event tries again */
	if (in->nclients >= CLIENTS_MAX) {
		log_line(LOG_WARN, "more than %d clients: one is turned away",
		    CLIENTS_MAX);
		close(client);
		return;
	}
	add_client(in, client, l->kind);
}

static void
intake_listener(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_listener *given = m->payload;
	struct intake *in = ctx;
	struct listener *l;

	(void)from;
	if (given->kind >= LISTENER_CLIENT) {
		in->one_client = true;
		add_client(in, m->fd, LISTENER_JOB);
		return;
	}
	l = &in->listeners[given->kind];
	if (l->event != NULL) {
		event_free(l->event);
		fd_close(l->fd);
	}
	l->intake = in;
	l->kind = given->kind;
	l->fd = m->fd;
	l->event = event_new(in->role.base, m->fd, EV_READ | EV_PERSIST,
	    on_connect, l);
	if (l->event == NULL || event_add(l->event, NULL) == -1)
		fatal("a listener: %s", strerror(errno));
}

static void
intake_config(void *ctx, struct channel *from, const struct message *m)
{
	struct intake *in = ctx;
	struct config *config;

	(void)from;
	config = config_from_fd(m);
	if (config != NULL) {
		config_free(in->config);
		in->config = config;
	}
}

static void
intake_submitters(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_submitters *s = m->payload;
	struct intake *in = ctx;

	(void)from;
	if (s->count > SUBMITTERS_MAX ||
	    m->tail_len != s->count * sizeof(in->submitters[0]))
		return; /* the master's own check failed: keep what we know */
	in->submit_any = s->any != 0;
	in->nsubmitters = s->count;
	memcpy(in->submitters, m->tail, m->tail_len);
}

/* The queue died: what it had not said yes to was not taken. */
static void
fail_requests(struct intake *in)
{
	struct request *r, *next;

	for (r = RB_MIN(requests, &in->requests); r != NULL; r = next) {
		next = RB_NEXT(requests, &in->requests, r);
		if (r->of_status)
			continue;
		if (client_kind(r->client) == LISTENER_CONTROL || !r->answered)
			refuse(r->client, r->ref, 451, "4.3.2",
			    "the queue was restarted: try again");
		else
			tell(r->client,
			    answer_results_end(r->ref,
				"the queue was restarted: the job is kept and "
				"goes on, its results are in the log"));
		request_free(in, r);
	}
}

static void
intake_peer(void *ctx, struct channel *from, const struct message *m)
{
	struct intake *in = ctx;

	(void)from;
	if (in->queue != NULL) {
		channel_close(in->queue);
		fail_requests(in);
	}
	in->queue = channel_new(&in->role, m->fd, ROLE_QUEUE, NULL);
}

static void
intake_accepted(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_accepted *a = m->payload;
	struct request *r = request_find(ctx, a->request);

	(void)from;
	if (r == NULL)
		return; /* the client is gone */
	log_line(LOG_INFO, "%llX: client=uid=%u, pid=%d, nrcpt=%zu, ref=%s",
	    (unsigned long long)a->id, client_uid(r->client),
	    (int)client_pid(r->client), r->nrcpts, r->ref);
	tell(r->client, answer_queued(r->ref, a->id));
	request_answered(ctx, r);
	if (r->wait == WAIT_QUEUED)
		request_free(ctx, r);
}

static void
intake_refused(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_refused *f = m->payload;
	struct request *r = request_find(ctx, f->request);
	char text[1024];

	(void)from;
	if (r == NULL || !message_string_ok(f->dsn, sizeof(f->dsn)))
		return;
	log_escape(text, sizeof(text), (const char *)m->tail, m->tail_len);
	refuse(r->client, r->ref, f->code, f->dsn, text);
	request_free(ctx, r);
}

static void
intake_result(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_result *result = m->payload;
	struct request *r = request_find(ctx, result->request);

	(void)from;
	if (r != NULL)
		tell(r->client, answer_result(r->ref, m));
}

static void
intake_results_end(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_request *end = m->payload;
	struct request *r = request_find(ctx, end->request);

	(void)from;
	if (r == NULL)
		return;
	tell(r->client, answer_results_end(r->ref, NULL));
	request_free(ctx, r);
}

static void
intake_trace(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_trace *t = m->payload;
	struct request *r = request_find(ctx, t->request);

	(void)from;
	if (r != NULL)
		tell(r->client, answer_trace(m));
}

static void
intake_listed(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_listed *l = m->payload;
	struct request *r = request_find(ctx, l->request);

	(void)from;
	if (r != NULL)
		tell(r->client, answer_listed(m));
}

static void
intake_list_end(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_list_end *e = m->payload;
	struct request *r = request_find(ctx, e->request);

	(void)from;
	if (r == NULL)
		return;
	tell(r->client, answer_list_end(m));
	request_free(ctx, r);
}

static void
intake_status(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_status *s = m->payload;
	struct request *r = request_find(ctx, s->request);

	(void)from;
	if (r == NULL)
		return;
	tell(r->client, answer_status(m));
	if (s->last)
		request_free(ctx, r);
}

static void
on_drain_timer(evutil_socket_t fd, short what, void *arg)
{
	struct intake *in = arg;

	(void)fd;
	(void)what;
	role_stop(&in->role);
}

/* No new clients; jobs that the queue has already seen get their answer. */
static void
intake_drain(void *ctx, struct channel *from, const struct message *m)
{
	static const struct timeval wait = { DRAIN_MS / 1000, 0 };
	struct intake *in = ctx;
	size_t i;

	(void)from;
	(void)m;
	in->role.phase = PHASE_DRAINING;
	for (i = 0; i < NELEM(in->listeners); i++) {
		if (in->listeners[i].event != NULL)
			event_del(in->listeners[i].event);
	}
	event_add(in->drain_timer, &wait);
	stop_if_done(in);
}

#define WORKING (PHASE_READY | PHASE_DRAINING)

/* What the intake takes, and in which of its phases. */
static const struct handler intake_handlers[] = {
	{ MSG_CONFIG, PHASE_SETUP | WORKING, intake_config },
	{ MSG_SUBMITTERS, PHASE_SETUP | WORKING, intake_submitters },
	{ MSG_LISTENER, PHASE_SETUP, intake_listener },
	{ MSG_PEER, PHASE_SETUP | WORKING, intake_peer },
	{ MSG_DRAIN, WORKING, intake_drain },
	{ MSG_ACCEPTED, WORKING, intake_accepted },
	{ MSG_REFUSED, WORKING, intake_refused },
	{ MSG_RESULT, WORKING, intake_result },
	{ MSG_RESULTS_END, WORKING, intake_results_end },
	{ MSG_TRACE, WORKING, intake_trace },
	{ MSG_LISTED, WORKING, intake_listed },
	{ MSG_LIST_END, WORKING, intake_list_end },
	{ MSG_STATUS, WORKING, intake_status },
};

static void
intake_closed(void *ctx, struct channel *ch, const char *why)
{
	struct intake *in = ctx;

	(void)why;
	if (ch != in->queue)
		return;
	in->queue = NULL; /* the master sends another */
	fail_requests(in);
}

int
intake_run(int parent_fd)
{
	struct msg_ready ready;
	struct intake in = { 0 };

	RB_INIT(&in.requests);
	role_init(&in.role, ROLE_INTAKE, parent_fd, intake_handlers,
	    NELEM(intake_handlers), &in, intake_closed);
	in.drain_timer = evtimer_new(in.role.base, on_drain_timer, &in);
	if (in.drain_timer == NULL)
		fatal("no memory");
	job_init();
	role_setup(&in.role);
	if (in.config == NULL)
		fatal("no configuration");
	sandbox_root(&intake_sandbox, &in.role.start);
	sandbox_confine(&intake_sandbox, NULL, intake_filter,
	    NELEM(intake_filter), &ready);
	role_loop(&in.role, &ready);
	_exit(0); /* clients and queue see the ends; there is nothing to save */
}
