/* SPDX-License-Identifier: ISC */
/*
 * The end of an intake whose clients another generation takes over: who waits for
 * nothing goes there with its connection, and need not know; who waits for
 * results gets them here, and goes then.
 */
#include "master/intake/intake_internal.h"

#include <errno.h>
#include <string.h>

#include "common/log.h"
#include "common/util.h"
#include "master/intake/smtpd.h"

enum {
	LEAVE_TURN_MS = 100,
};

static void
arm(struct intake *in)
{
	const struct timeval tv = { .tv_usec = LEAVE_TURN_MS * 1000 };

	(void)event_add(in->leave_timer, &tv); /* the next answer's turn */
}

/* Its packets that nobody has read yet go with the socket. */
static void
hand_on(struct intake *in, struct client *c)
{
	struct msg_listener to;

	memset(&to, 0, sizeof(to));
	to.kind = (uint8_t)client_kind(c);
	(void)channel_send(in->role.parent, MSG_CLIENT_LEFT, &to, NULL, 0,
	    client_fd(c));
	intake_client_gone(in, c);
	client_close(c);
}

static void
leave_turn(evutil_socket_t fd, short what, void *arg)
{
	struct intake *in = arg;
	struct client *c, *next;

	(void)fd;
	(void)what;
	if (!in->leaving)
		return;
	for (c = client_next(NULL); c != NULL; c = next) {
		next = client_next(c);
		if (client_is_idle(c)) {
			hand_on(in, c);
		} else if (client_kind(c) == LISTENER_CONTROL &&
		    request_only_watches(in, c)) {
			request_cancel_all(in, c);
			intake_client_gone(in, c);
			client_close(c);
		}
	}
	if (in->nclients == 0 && in->nsmtpds == 0 &&
	    channel_backlog(in->role.parent) == 0)
		role_stop(&in->role);
	else
		arm(in);
}

int
leave_init(struct intake *in)
{
	in->leave_timer = evtimer_new(in->role.base, leave_turn, in);
	return in->leave_timer != NULL ? 0 : -1;
}

void
leave_begin(void *ctx, struct channel *from, const struct message *m)
{
	struct intake *in = ctx;
	size_t i;

	(void)from;
	(void)m;
	in->leaving = true;
	for (i = 0; i < NELEM(in->listeners); i++)
		listener_stop(&in->listeners[i]);
	for (i = 0; i < NELEM(in->mail_listeners); i++)
		listener_stop(&in->mail_listeners[i].listener);
	smtpd_drain(in); /* an MTA comes again, after a 421 */
	leave_turn(-1, 0, in);
}

void
leave_client_done(struct intake *in, struct client *c)
{
	client_pause(c, true);
	event_active(in->leave_timer, EV_TIMEOUT, 0);
}

void
leave_end(struct intake *in)
{
	struct client *c;

	if (!in->leaving)
		return;
	in->leaving = false;
	for (c = client_next(NULL); c != NULL; c = client_next(c))
		client_pause(c, false);
}

void
leave_client_came(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_listener *to = m->payload;

	(void)from;
	intake_take_client(ctx, m->fd,
	    to->kind == LISTENER_CONTROL ? LISTENER_CONTROL : LISTENER_JOB);
}
