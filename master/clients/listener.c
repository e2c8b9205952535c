/* SPDX-License-Identifier: ISC */
/* The sockets that the master gave a role, and who connects to them. */
#include "master/clients/clients.h"

#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"

/* How long no client is taken where there is no descriptor for one. */
#define ACCEPT_PAUSE_MS 1000

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
	const struct timeval tv = { ACCEPT_PAUSE_MS / 1000, 0 };
	struct listener *l = arg;

	(void)fd;
	(void)what;
	if (!clients_are_ending(l->clients) && event_add(l->event, NULL) == -1)
		(void)event_add(l->again, &tv); /* fails for no such timer */
}

static void
on_connect(evutil_socket_t fd, short what, void *arg)
{
	struct sockaddr_storage from = { 0 };
	socklen_t len = sizeof(from);
	struct listener *l = arg;
	int client;

	(void)what;
	client = accept4(fd, (struct sockaddr *)&from, &len,
	    SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (client == -1) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
		    errno == ENOBUFS)
			pause_accepting(l);
		return; /* else it went away again */
	}
	l->take(l, client, &from);
}

void
listener_take(struct clients *cs, struct listener *l, int fd)
{
	int old = l->fd;

	if (listener_detach(l))
		fd_close(old);
	l->clients = cs;
	l->fd = fd;
	l->event =
	    event_new(cs->role.base, fd, EV_READ | EV_PERSIST, on_connect, l);
	l->again = evtimer_new(cs->role.base, on_accept_again, l);
	if (l->event == NULL || l->again == NULL ||
	    (!clients_are_ending(cs) && event_add(l->event, NULL) == -1))
		fatal("a listener: %s", strerror(errno));
}

bool
listener_detach(struct listener *l)
{
	if (l->event == NULL)
		return false;
	event_free(l->event);
	event_free(l->again);
	l->event = l->again = NULL;
	return true;
}

void
listener_stop(struct listener *l)
{
	if (l->event != NULL)
		event_del(l->event);
}
