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

#include "common/closer.h"
#include "common/filter.h"
#include "common/log.h"
#include "common/role.h"
#include "common/sandbox.h"
#include "common/util.h"
#include "master/config.h"
#include "master/intake/intake_internal.h"
#include "master/intake/smtpd/smtpd.h"
#include "master/intake/tls/starttls.h"

static const struct sandbox intake_sandbox = { 0 };

static const struct filter_rule intake_filter[] = {
#include "master/intake/intake_filter.def"
};

static void
take_job_client(struct listener *l, int fd, const struct sockaddr_storage *from)
{
	(void)from;
	clients_take(l->clients, fd, LISTENER_JOB);
}

static void
intake_listener(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_listener *given = m->payload;
	struct intake *in = ctx;
	const struct config *config = in->clients.config;

	(void)from;
	if (given->kind == LISTENER_CLIENT) {
		clients_take_only(&in->clients, m->fd, LISTENER_JOB);
		return;
	}
	leave_end(&in->clients);
	if (given->kind == LISTENER_JOB) {
		in->listener.take = take_job_client;
		listener_take(&in->clients, &in->listener, m->fd);
	} else if (given->kind == LISTENER_MAIL && config != NULL &&
	    given->index < config->nlisteners) {
		intake_reload_take(in, given->index, m->fd);
	} else {
		fatal("a listener that is none of the intake's");
	}
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
intake_submitters(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_submitters *s = m->payload;
	struct intake *in = ctx;

	(void)from;
	if (s->count > SUBMITTERS_MAX || s->trusted > SUBMITTERS_MAX ||
	    m->tail_len != (s->count + s->trusted) * sizeof(in->submitters[0]))
		return; /* the master's own check failed: keep what we know */
	in->submit_any = s->any != 0;
	in->nsubmitters = s->count;
	in->ntrusted = s->trusted;
	memcpy(in->submitters, m->tail, m->tail_len);
}

static void
intake_peer(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_peer *peer = m->payload;
	struct intake *in = ctx;

	(void)from;
	if (peer->role == ROLE_SIGNER)
		starttls_take_signer(in, m->fd);
	else
		clients_on_queue(&in->clients, m->fd);
}

static void
stop_listening(struct intake *in)
{
	size_t i;

	listener_stop(&in->listener);
	for (i = 0; i < NELEM(in->mail_listeners); i++)
		listener_stop(&in->mail_listeners[i].listener);
}

static void
dismiss_sessions(struct clients *cs)
{
	smtpd_dismiss((struct intake *)cs);
}

/* No new clients; jobs that the queue has already seen get their answer. */
static void
intake_drain(void *ctx, struct channel *from, const struct message *m)
{
	struct intake *in = ctx;

	(void)from;
	(void)m;
	in->clients.role.phase = PHASE_DRAINING;
	stop_listening(in);
	smtpd_drain(in);
	clients_drain(&in->clients);
}

static void
intake_leave(void *ctx, struct channel *from, const struct message *m)
{
	struct intake *in = ctx;

	(void)from;
	(void)m;
	in->clients.leaving = true;
	stop_listening(in);
	smtpd_drain(in); /* an MTA comes again, after a 421 */
	leave_begin(&in->clients);
}

/* One of the generation that we take over from. */
static void
intake_client_came(void *ctx, struct channel *from, const struct message *m)
{
	(void)from;
	clients_take(ctx, m->fd, LISTENER_JOB);
}

#define WORKING (PHASE_READY | PHASE_DRAINING)

/* What the intake takes, and in which of its phases. */
static const struct handler intake_handlers[] = {
	{ MSG_CONFIG, PHASE_SETUP | WORKING, intake_reload_on_config },
	{ MSG_SUBMITTERS, PHASE_SETUP | WORKING, intake_submitters },
	{ MSG_LISTENER, PHASE_SETUP | PHASE_READY, intake_listener },
	{ MSG_CERTIFICATE, PHASE_CONFINED | WORKING, starttls_certificate },
	{ MSG_LISTENER_USERS, PHASE_SETUP | WORKING, intake_listener_users },
	{ MSG_LEAVE, PHASE_READY, intake_leave },
	{ MSG_CLIENT_CAME, PHASE_READY, intake_client_came },
	{ MSG_PEER, PHASE_SETUP | WORKING, intake_peer },
	{ MSG_DRAIN, WORKING, intake_drain },
	{ MSG_ACCEPTED, WORKING, job_outcome_on_accepted },
	{ MSG_REFUSED, WORKING, request_on_refused },
	{ MSG_RESULT, WORKING, job_outcome_on_result },
	{ MSG_RESULTS_END, WORKING, job_outcome_on_end },
	{ MSG_TRACE, WORKING, job_outcome_on_trace },
};

int
intake_run(int parent_fd)
{
	struct msg_ready ready;
	static struct intake in;

	clients_init(&in.clients, ROLE_INTAKE, parent_fd, intake_handlers,
	    NELEM(intake_handlers), &job_submit_handlers);
	in.clients.dismiss_others = dismiss_sessions;
	if (starttls_init(&in) == -1)
		fatal("OpenSSL cannot be used");
	if (smtpd_init(&in) == -1)
		fatal("no memory");
	role_setup(&in.clients.role);
	if (in.clients.config == NULL)
		fatal("no configuration");
	sandbox_root(&intake_sandbox, &in.clients.role.start);
	sandbox_confine(&intake_sandbox, NULL, NULL, 0, &ready);
	if (closer_start() == -1)
		fatal("a thread: %s", strerror(errno));
	if (filter_enter_threads(intake_filter, NELEM(intake_filter)) == -1)
		fatal("seccomp filter: %s", strerror(errno));
	role_settle(&in.clients.role);
	role_loop(&in.clients.role, &ready);
	clients_end(&in.clients);
	/* The master sees that we end, whatever a thread of ours waits for. */
	channel_close(in.clients.role.parent);
	_exit(0); /* clients and queue see the ends; there is nothing to save */
}
