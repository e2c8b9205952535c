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
#include "master/intake/smtpd.h"
#include "master/intake/starttls.h"

/* How long a stop waits for the queue's last answers. */
#define DRAIN_MS 2000

static const struct sandbox intake_sandbox = { 0 };

static const struct filter_rule intake_filter[] = {
#include "master/intake/intake_filter.def"
};

bool
intake_is_ending(const struct intake *in)
{
	return in->role.phase == PHASE_DRAINING || in->leaving;
}

void
intake_stop_if_done(struct intake *in)
{
	if (in->role.phase == PHASE_DRAINING && in->unanswered == 0 &&
	    in->nsmtpds == 0)
		role_stop(&in->role);
}

void
intake_client_gone(struct intake *in, struct client *c)
{
	share_leave(*client_share(c));
	in->nclients--;
}

void
intake_add_client(struct intake *in, int fd, enum listener_kind kind)
{
	struct share_key key = { .family = AF_UNIX };
	struct client *c;

	c = client_new(in->role.base, fd, kind, &submit_handlers, in);
	if (c == NULL) {
		log_line(LOG_ERROR, "a client: %s", strerror(errno));
		return;
	}
	key.uid = client_uid(c);
	*client_share(c) = share_join(in, &key, CLIENTS_OF_USER_MAX);
	if (*client_share(c) == NULL) {
		log_line(LOG_WARN,
		    "uid %u has %d clients: one more is turned away",
		    client_uid(c), CLIENTS_OF_USER_MAX);
		client_close(c);
		return;
	}
	in->nclients++;
	if (kind == LISTENER_JOB)
		log_line(LOG_DEBUG, "connect: uid=%u pid=%d", client_uid(c),
		    (int)client_pid(c));
}

void
intake_take_client(struct intake *in, int fd, enum listener_kind kind)
{
	if (in->nclients >= CLIENTS_MAX) {
		log_line(LOG_WARN, "more than %d clients: one is turned away",
		    CLIENTS_MAX);
		close(fd);
		return;
	}
	intake_add_client(in, fd, kind);
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
	if (given->kind == LISTENER_MAIL &&
	    (in->config == NULL || given->index >= in->config->nlisteners))
		fatal("a listener that the configuration does not have");
	l = given->kind == LISTENER_MAIL
	    ? &in->mail_listeners[given->index].listener
	    : &in->listeners[given->kind];
	listener_take(in, l, m->fd, (enum listener_kind)given->kind,
	    given->index);
}

static void
intake_listener_users(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_listener_users *users = m->payload;
	struct intake *in = ctx;
	struct mail_listener *l;

	(void)from;
	if (users->index >= CONFIG_LISTENERS_MAX ||
	    users->count > MAIL_LISTENER_UIDS_MAX ||
	    users->trusted > MAIL_LISTENER_UIDS_MAX - users->count ||
	    m->tail_len != (users->count + users->trusted) * sizeof(l->uids[0]))
		return; /* the master's own check failed: keep what we know */
	l = &in->mail_listeners[users->index];
	l->any = users->any != 0;
	l->count = users->count;
	l->trusted = users->trusted;
	if (m->tail_len > 0)
		memcpy(l->uids, m->tail, m->tail_len);
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

	const struct msg_peer *peer = m->payload;

	(void)from;
	if (peer->role == ROLE_SIGNER) {
		starttls_take_signer(in, m->fd);
		return;
	}
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
	struct timeval wait = { DRAIN_MS / 1000, 0 };
	struct intake *in = ctx;
	size_t i;

	(void)from;
	(void)m;
	in->role.phase = PHASE_DRAINING;
	for (i = 0; i < NELEM(in->listeners); i++)
		listener_stop(&in->listeners[i]);
	for (i = 0; i < NELEM(in->mail_listeners); i++)
		listener_stop(&in->mail_listeners[i].listener);
	smtpd_drain(in);
	/* Half of it is the queue's, for what is on its way out. */
	if (in->nsmtpds + in->unanswered > 0 &&
	    in->config->stop_timeout / 2 > wait.tv_sec)
		wait.tv_sec = in->config->stop_timeout / 2;
	event_add(in->drain_timer, &wait);
	intake_stop_if_done(in);
}

#define WORKING (PHASE_READY | PHASE_DRAINING)

/* What the intake takes, and in which of its phases. */
static const struct handler intake_handlers[] = {
	{ MSG_CONFIG, PHASE_SETUP | WORKING, intake_config },
	{ MSG_SUBMITTERS, PHASE_SETUP | WORKING, intake_submitters },
	{ MSG_LISTENER, PHASE_SETUP | PHASE_READY, intake_listener },
	{ MSG_CERTIFICATE, PHASE_CONFINED | WORKING, starttls_certificate },
	{ MSG_LISTENER_USERS, PHASE_SETUP | WORKING, intake_listener_users },
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
	if (starttls_init(&in) == -1)
		fatal("OpenSSL cannot be used");
	if (in.drain_timer == NULL || smtpd_init(&in) == -1 ||
	    leave_init(&in) == -1)
		fatal("no memory");
	job_init();
	role_setup(&in.role);
	if (in.config == NULL)
		fatal("no configuration");
	sandbox_root(&intake_sandbox, &in.role.start);
	sandbox_confine(&intake_sandbox, NULL, intake_filter,
	    NELEM(intake_filter), &ready);
	role_settle(&in.role);
	role_loop(&in.role, &ready);
	_exit(0); /* clients and queue see the ends; there is nothing to save */
}
