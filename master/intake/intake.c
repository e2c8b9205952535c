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

#include <assert.h>
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
#include "master/intake/intake_internal.h"

/* How long a stop waits for the queue's last answers. */
#define DRAIN_MS 2000
/* How long no client is taken where there is no descriptor for one. */
#define ACCEPT_PAUSE_MS 1000

static const struct sandbox intake_sandbox = { 0 };

static const struct filter_rule intake_filter[] = {
#include "master/intake/intake_filter.def"
};

void
intake_stop_if_done(struct intake *in)
{
	if (in->role.phase == PHASE_DRAINING && in->unanswered == 0)
		role_stop(&in->role);
}

/* The user's, or a free one; there is one for each client. */
struct share *
intake_share(struct intake *in, const struct client *c)
{
	struct share *unused = NULL;
	size_t i;

	for (i = 0; i < NELEM(in->shares); i++) {
		if (in->shares[i].nclients == 0)
			unused = unused != NULL ? unused : &in->shares[i];
		else if (in->shares[i].uid == client_uid(c))
			return &in->shares[i];
	}
	return unused;
}

void
intake_client_gone(struct intake *in, const struct client *c)
{
	struct share *share = intake_share(in, c);

	assert(share != NULL); /* it has a place: this client's */
	in->nclients--;
	share->nclients--;
}

void
intake_add_client(struct intake *in, int fd, enum listener_kind kind)
{
	struct share *share;
	struct client *c;

	c = client_new(in->role.base, fd, kind, &submit_handlers, in);
	if (c == NULL) {
		log_line(LOG_ERROR, "a client: %s", strerror(errno));
		return;
	}
	share = intake_share(in, c);
	assert(share != NULL); /* one for each client that may be */
	if (share->nclients >= CLIENTS_OF_USER_MAX) {
		log_line(LOG_WARN,
		    "uid %u has %d clients: one more is turned away",
		    client_uid(c), CLIENTS_OF_USER_MAX);
		client_close(c);
		return;
	}
	share->uid = client_uid(c);
	share->nclients++;
	in->nclients++;
	if (kind == LISTENER_JOB)
		log_line(LOG_DEBUG, "connect: uid=%u pid=%d", client_uid(c),
		    (int)client_pid(c));
}

/* Who waits is still there then; to ask at every turn would be all we do. */
static void
pause_accepting(struct listener *l)
{
	const struct timeval tv = { ACCEPT_PAUSE_MS / 1000, 0 };

	log_line(LOG_WARN,
	    "no further client can be taken: %s: raise the limit on open files "
	    "(ulimit -n), or look who keeps connections open",
	    strerror(errno));
	if (event_add(l->again, &tv) == 0)
		event_del(l->event);
}

static void
on_accept_again(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	(void)fd;
	(void)what;
	if (l->intake->role.phase == PHASE_READY && !l->intake->leaving)
		event_add(l->event, NULL);
}

static void
on_connect(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;
	struct intake *in = l->intake;
	int client;

	(void)what;
	client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (client == -1) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
		    errno == ENOBUFS)
			pause_accepting(l);
		return; /* else it went away again */
	}
	if (in->nclients >= CLIENTS_MAX) {
		log_line(LOG_WARN, "more than %d clients: one is turned away",
		    CLIENTS_MAX);
		close(client);
		return;
	}
	intake_add_client(in, client, l->kind);
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
		intake_add_client(in, m->fd, LISTENER_JOB);
		return;
	}
	leave_end(in);
	l = &in->listeners[given->kind];
	if (l->event != NULL) {
		event_free(l->event);
		event_free(l->again);
		fd_close(l->fd);
	}
	l->intake = in;
	l->kind = given->kind;
	l->fd = m->fd;
	l->event = event_new(in->role.base, m->fd, EV_READ | EV_PERSIST,
	    on_connect, l);
	l->again = evtimer_new(in->role.base, on_accept_again, l);
	if (l->event == NULL || l->again == NULL ||
	    event_add(l->event, NULL) == -1)
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

static void
intake_peer(void *ctx, struct channel *from, const struct message *m)
{
	struct intake *in = ctx;

	(void)from;
	if (in->queue != NULL) {
		channel_close(in->queue);
		request_fail_all(in);
	}
	in->queue = channel_new(&in->role, m->fd, ROLE_QUEUE, NULL);
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
	intake_stop_if_done(in);
}

#define WORKING (PHASE_READY | PHASE_DRAINING)

/* What the intake takes, and in which of its phases. */
static const struct handler intake_handlers[] = {
	{ MSG_CONFIG, PHASE_SETUP | WORKING, intake_config },
	{ MSG_SUBMITTERS, PHASE_SETUP | WORKING, intake_submitters },
	{ MSG_LISTENER, PHASE_SETUP | PHASE_READY, intake_listener },
	{ MSG_LEAVE, PHASE_READY, leave_begin },
	{ MSG_CLIENT_CAME, PHASE_READY, leave_client_came },
	{ MSG_PEER, PHASE_SETUP | WORKING, intake_peer },
	{ MSG_DRAIN, WORKING, intake_drain },
	{ MSG_ACCEPTED, WORKING, request_on_accepted },
	{ MSG_REFUSED, WORKING, request_on_refused },
	{ MSG_RESULT, WORKING, request_on_result },
	{ MSG_RESULTS_END, WORKING, request_on_results_end },
	{ MSG_TRACE, WORKING, request_on_trace },
	{ MSG_LISTED, WORKING, request_on_listed },
	{ MSG_LIST_END, WORKING, request_on_list_end },
	{ MSG_TRANSCRIPT_PART, WORKING, request_on_transcript_part },
	{ MSG_TRANSCRIPTS_END, WORKING, request_on_transcripts_end },
	{ MSG_TOLD, WORKING, request_on_told },
	{ MSG_BODY, WORKING, request_on_body },
	{ MSG_STATUS, WORKING, request_on_status },
};

static void
intake_closed(void *ctx, struct channel *ch, const char *why)
{
	struct intake *in = ctx;

	(void)why;
	if (ch != in->queue)
		return;
	in->queue = NULL; /* the master sends another */
	request_fail_all(in);
}

static void
intake_vital(void *ctx, struct msg_pong *pong)
{
	const struct intake *in = ctx;

	pong->clients = in->nclients;
}

int
intake_run(int parent_fd)
{
	struct msg_ready ready;
	static struct intake in;

	RB_INIT(&in.requests);
	role_init(&in.role, ROLE_INTAKE, parent_fd, intake_handlers,
	    NELEM(intake_handlers), &in, intake_closed);
	in.role.vital = intake_vital;
	in.drain_timer = evtimer_new(in.role.base, on_drain_timer, &in);
	if (in.drain_timer == NULL || leave_init(&in) == -1)
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
