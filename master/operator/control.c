/* SPDX-License-Identifier: ISC */
/*
 * The control role: what operators ask and order (postern-control(5)).  It is
 * the only one from which the queue takes such messages.  It serves users of
 * this machine alone, reads no mail, and opens no file and no socket: the
 * control socket is given to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/filter.h"
#include "common/log.h"
#include "common/sandbox.h"
#include "common/util.h"
#include "common/closer.h"
#include "master/operator/command.h"
#include "master/operator/operator_internal.h"

struct control {
	struct clients clients; /* first: handlers get either */
	struct listener listener;
};

static const struct sandbox control_sandbox = { 0 };

static const struct filter_rule control_filter[] = {
#include "master/operator/control_filter.def"
};

static void
send_transcripts(struct clients *cs, const struct request *r,
    const struct command *command)
{
	struct msg_transcripts ask = { 0 };

	ask.request = r->number;
	ask.whole = command->whole;
	ask.wait = command->wait_for_end;
	(void)channel_send(cs->queue, MSG_TRANSCRIPTS, &ask, command->name,
	    strlen(command->name), -1);
}

static void
send_command(struct clients *cs, const struct request *r,
    struct command *command)
{
	struct msg_request ask = { r->number };

	command->act.request = command->ask.request = r->number;
	command->act.uid = command->ask.uid = r->uid;
	switch (command->question) {
	case QUESTION_ACT:
		(void)channel_send(cs->queue, MSG_ACT, &command->act,
		    command->tail, command->tail_len, -1);
		break;
	case QUESTION_ASK:
		(void)channel_send(cs->queue, MSG_ASK, &command->ask,
		    command->tail, command->tail_len, -1);
		break;
	case QUESTION_TRANSCRIPTS:
		send_transcripts(cs, r, command);
		break;
	case QUESTION_STATUS:
		(void)channel_send(cs->role.parent, MSG_STATUS_ASK, &ask, NULL,
		    0, -1);
		break;
	case QUESTION_STOP:
		break;
	}
}

/* Whether a command may become a request; if not, that was said. */
static bool
may_ask(struct clients *cs, struct client *c, const struct command *command)
{
	/* Their end is waited for where there is one: not by a daemon. */
	if (command->wait_for_end && !cs->one_client) {
		request_refuse(c, "", 501, "5.5.4",
		    "\"wait\" is for one delivery, not for a daemon");
		return false;
	}
	if (command->question != QUESTION_STATUS &&
	    cs->role.phase == PHASE_DRAINING) {
		request_refuse(c, "", 451, "4.3.2",
		    "posternd is being stopped");
		return false;
	}
	if (command->question != QUESTION_STATUS && cs->queue == NULL) {
		request_refuse(c, "", 451, "4.3.2",
		    "the queue is being restarted: try again");
		return false;
	}
	return true;
}

static void
control_packet(struct clients *cs, struct client *c, const char *text,
    size_t len)
{
	struct command command;
	char error[VALUE_ERROR_SIZE];
	struct request *r;

	if (command_parse(&command, text, len, time_real_ms(), error) == -1) {
		request_refuse_packet(c, "", error);
		return;
	}
	if (!may_ask(cs, c, &command))
		return;
	if (command.question == QUESTION_STOP) {
		request_stop_all(cs, c);
		return;
	}
	r = request_new(cs, c, &reply_asker);
	if (r == NULL) {
		request_refuse(c, "", 451, "4.3.0", "no memory");
		return;
	}
	r->of_status = command.question == QUESTION_STATUS;
	r->of_action = command.question == QUESTION_ACT;
	r->of_tail =
	    command.question == QUESTION_ASK && command.ask.what == ASK_TAIL;
	send_command(cs, r, &command);
	request_brake_half(cs, c);
}

static void
on_packet(void *ctx, struct client *c, const char *text, size_t len,
    bool truncated, int fd)
{
	struct clients *cs = ctx;

	if (truncated || fd != -1)
		request_refuse(c, "", 501, "5.5.4",
		    "the packet is too large, or a descriptor came with it");
	else
		control_packet(cs, c, text, len);
	closer_close(fd, client_uid(c));
}

static const struct client_handlers packet_handlers = { on_packet,
	clients_on_gone };

/* The master's messages. */

static void
take_client(struct listener *l, int fd, const struct sockaddr_storage *from)
{
	(void)from;
	clients_take(l->clients, fd, LISTENER_CONTROL);
}

static void
control_listener(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_listener *given = m->payload;
	struct control *ctl = ctx;

	(void)from;
	if (given->kind == LISTENER_CLIENT) {
		clients_take_only(&ctl->clients, m->fd, LISTENER_CONTROL);
		return;
	}
	if (given->kind != LISTENER_CONTROL)
		fatal("a listener that is not the control socket");
	leave_end(&ctl->clients);
	ctl->listener.take = take_client;
	listener_take(&ctl->clients, &ctl->listener, m->fd);
}

static void
control_peer(void *ctx, struct channel *from, const struct message *m)
{
	struct control *ctl = ctx;

	(void)from;
	clients_on_queue(&ctl->clients, m->fd);
}

/* No new clients; what was asked gets its answer. */
static void
control_drain(void *ctx, struct channel *from, const struct message *m)
{
	struct control *ctl = ctx;

	(void)from;
	(void)m;
	ctl->clients.role.phase = PHASE_DRAINING;
	listener_stop(&ctl->listener);
	clients_drain(&ctl->clients);
}

static void
control_leave(void *ctx, struct channel *from, const struct message *m)
{
	struct control *ctl = ctx;

	(void)from;
	(void)m;
	listener_stop(&ctl->listener);
	leave_begin(&ctl->clients);
}

/* One of the generation that we take over from. */
static void
control_client_came(void *ctx, struct channel *from, const struct message *m)
{
	(void)from;
	clients_take(ctx, m->fd, LISTENER_CONTROL);
}

#define WORKING (PHASE_READY | PHASE_DRAINING)

/* What it takes, and in which of its phases. */
static const struct handler control_handlers[] = {
	{ MSG_CONFIG, PHASE_SETUP | WORKING, clients_on_config },
	{ MSG_LISTENER, PHASE_SETUP | PHASE_READY, control_listener },
	{ MSG_LEAVE, PHASE_READY, control_leave },
	{ MSG_CLIENT_CAME, PHASE_READY, control_client_came },
	{ MSG_PEER, PHASE_SETUP | WORKING, control_peer },
	{ MSG_DRAIN, WORKING, control_drain },
	{ MSG_REFUSED, WORKING, request_on_refused },
	{ MSG_LISTED, WORKING, reply_on_listed },
	{ MSG_LIST_END, WORKING, reply_on_list_end },
	{ MSG_TRANSCRIPT_PART, WORKING, reply_on_transcript_part },
	{ MSG_TRANSCRIPTS_END, WORKING, reply_on_transcripts_end },
	{ MSG_TOLD, WORKING, reply_on_told },
	{ MSG_BODY, WORKING, reply_on_body },
	{ MSG_STATUS, WORKING, reply_on_status },
};

int
control_run(int parent_fd)
{
	struct msg_ready ready;
	static struct control ctl;

	clients_init(&ctl.clients, ROLE_CONTROL, parent_fd, control_handlers,
	    NELEM(control_handlers), &packet_handlers);
	role_setup(&ctl.clients.role);
	if (ctl.clients.config == NULL)
		fatal("no configuration");
	sandbox_root(&control_sandbox, &ctl.clients.role.start);
	sandbox_confine(&control_sandbox, NULL, NULL, 0, &ready);
	if (closer_start() == -1)
		fatal("a thread: %s", strerror(errno));
	if (filter_enter_threads(control_filter, NELEM(control_filter)) == -1)
		fatal("seccomp filter: %s", strerror(errno));
	role_loop(&ctl.clients.role, &ready);
	clients_end(&ctl.clients);
	_exit(0); /* clients and queue see the ends; there is nothing to save */
}
