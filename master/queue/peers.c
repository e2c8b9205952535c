/* SPDX-License-Identifier: ISC */
/*
 * The other roles: their channels as the master hands them out, and what their
 * end means for what they had.
 */
#include "master/queue/peers.h"

#include <errno.h>
#include <string.h>

#include "common/log.h"
#include "common/util.h"
#include "master/queue/action.h"
#include "master/queue/agents.h"
#include "master/queue/ask.h"
#include "master/queue/queue_internal.h"
#include "master/queue/receipts.h"
#include "master/queue/staging.h"
#include "master/queue/transient.h"

/* Answers that wait for intake or control, before nothing more is asked of us:
 * more than events and lists leave there by themselves. */
#define FRONT_BRAKE 2048

static struct channel **
peers_slot(struct queue *q, unsigned role)
{
	switch (role) {
	case ROLE_INTAKE:
		return &q->intake;
	case ROLE_CONTROL:
		return &q->control;
	case ROLE_RESOLVER:
		return &q->resolver;
	case ROLE_DIALER:
		return &q->dialer;
	default:
		return NULL;
	}
}

/* Whoever waited in the former intake is gone; what was whole stays. */
static void
peers_intake_gone(struct queue *q)
{
	submit_clear(q);
	report_clear(q);
	transient_cancel_all(q);
	staging_cancel_all(q);
	submit_cancel_all(q);
}

static int
peers_replace(struct queue *q, const struct msg_peer *msg, int fd)
{
	struct channel **slot = peers_slot(q, msg->role);

	if (msg->role == ROLE_AGENT)
		return agents_take(q, fd, msg->pid);
	channel_close(*slot);
	*slot = role_take_peer(&q->role, fd, msg->role, NULL);
	return *slot != NULL ? 0 : -1;
}

/* Its operators are gone: nobody reads what they asked for. */
static void
peers_control_gone(struct queue *q)
{
	action_cancel_all(q);
	ask_cancel_all(q);
	q->transcript_waiter = 0;
}

void
peers_take(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_peer *msg = m->payload;
	struct queue *q = ctx;

	(void)from;
	if (msg->role != ROLE_AGENT && peers_slot(q, msg->role) == NULL) {
		fd_close(m->fd);
		return;
	}
	if (peers_replace(q, msg, m->fd) == -1)
		return; /* we end */
	if ((msg->role & ROLE_FRONTS) != 0)
		channel_set_brake(*peers_slot(q, msg->role), FRONT_BRAKE);
	if (msg->role == ROLE_INTAKE) {
		peers_intake_gone(q);
		receipts_of_intake(q->receipts, msg->pid);
	} else if (msg->role == ROLE_CONTROL) {
		peers_control_gone(q);
	} else if (msg->role == ROLE_RESOLVER) {
		target_ask_again(q);
	} else if (msg->role == ROLE_DIALER) {
		dial_again(q);
	}
	if (q->pump_timer != NULL)
		queue_pump_soon(q);
}

void
peers_fault(struct queue *q, unsigned role, uint32_t pid, const char *why)
{
	struct msg_fault msg = { .role = role, .pid = pid };

	if (q->role.parent != NULL)
		(void)channel_send(q->role.parent, MSG_FAULT, &msg, why,
		    strlen(why), -1);
}

void
peers_closed(void *ctx, struct channel *ch, const char *why)
{
	struct queue *q = ctx;
	struct channel **slot;

	if (channel_peer(ch) == ROLE_WORKER) {
		session_lost(channel_arg(ch), why);
		return;
	}
	if (channel_peer(ch) == ROLE_AGENT) {
		agents_closed(q, ch, why);
		return;
	}
	slot = peers_slot(q, channel_peer(ch));
	if (slot == NULL || *slot != ch)
		return;
	*slot = NULL;
	if (why != NULL)
		peers_fault(q, channel_peer(ch), 0, why);
	if (channel_peer(ch) == ROLE_INTAKE)
		peers_intake_gone(q);
	else if (channel_peer(ch) == ROLE_CONTROL)
		peers_control_gone(q);
}
