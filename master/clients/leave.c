/* SPDX-License-Identifier: ISC */
/*
 * The end of a role whose clients another generation takes over: who waits for
 * nothing goes there with its connection, and need not know; who waits for
 * results gets them here, and goes then.
 */
#include "master/clients/clients.h"

#include <errno.h>
#include <string.h>

#include "common/log.h"
#include "common/util.h"

enum {
	LEAVE_TURN_MS = 100,
};

static void
arm(struct clients *cs)
{
	const struct timeval tv = { .tv_usec = LEAVE_TURN_MS * 1000 };

	(void)event_add(cs->leave_timer, &tv); /* the next answer's turn */
}

/* Its packets that nobody has read yet go with the socket. */
static void
hand_on(struct clients *cs, struct client *c)
{
	struct msg_listener to;

	memset(&to, 0, sizeof(to));
	to.kind = (uint8_t)client_kind(c);
	(void)channel_send(cs->role.parent, MSG_CLIENT_LEFT, &to, NULL, 0,
	    client_fd(c));
	clients_lose(cs, c);
	client_hand_on(c);
}

static void
leave_turn(evutil_socket_t fd, short what, void *arg)
{
	struct clients *cs = arg;
	struct client *c, *next;

	(void)fd;
	(void)what;
	if (!cs->leaving)
		return;
	for (c = client_next(NULL); c != NULL; c = next) {
		next = client_next(c);
		if (client_is_idle(c)) {
			hand_on(cs, c);
		} else if (client_kind(c) == LISTENER_CONTROL &&
		    request_only_watches(c)) {
			request_cancel_all(cs, c);
			clients_lose(cs, c);
			client_close(c);
		}
	}
	if (cs->nclients == 0 && cs->nothers == 0 &&
	    channel_backlog(cs->role.parent) == 0)
		role_stop(&cs->role);
	else
		arm(cs);
}

int
leave_init(struct clients *cs)
{
	cs->leave_timer = evtimer_new(cs->role.base, leave_turn, cs);
	return cs->leave_timer != NULL ? 0 : -1;
}

void
leave_begin(struct clients *cs)
{
	cs->leaving = true;
	leave_turn(-1, 0, cs);
}

void
leave_client_done(struct clients *cs, struct client *c)
{
	client_pause(c, true);
	event_active(cs->leave_timer, EV_TIMEOUT, 0);
}

void
leave_end(struct clients *cs)
{
	struct client *c;

	if (!cs->leaving)
		return;
	cs->leaving = false;
	for (c = client_next(NULL); c != NULL; c = client_next(c))
		client_pause(c, false);
}
