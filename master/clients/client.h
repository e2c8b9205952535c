/* SPDX-License-Identifier: ISC */
/*
 * Connected clients of a Unix socket: packets in, packets out.  What they mean
 * is the business of the role that has them.
 */
#ifndef POSTERN_MASTER_CLIENTS_CLIENT_H
#define POSTERN_MASTER_CLIENTS_CLIENT_H

#include <sys/queue.h>
#include <sys/types.h>

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/message.h"

struct client;

#define CLIENT_PACKET_MAX 65536 /* octets of one packet */
#define CLIENT_REF_SIZE   128   /* of the client's own reference, and NUL */

/* What a client did.  Inside either call the client may be closed. */
struct client_handlers {
	/* One packet of len octets (> 0), cut where truncated is set; fd is
	 * the handler's to close, -1 where none came. */
	void (*packet)(void *ctx, struct client *c, const char *text,
	    size_t len, bool truncated, int fd);
	/* It is gone; freed on return. */
	void (*gone)(void *ctx, struct client *c);
};

/*
 * client_new - take over a connected socket, ours from here on, closed on
 * failure (NULL with errno).  kind tells whom it came to.
 */
struct client *client_new(struct event_base *base, int fd,
    enum listener_kind kind, const struct client_handlers *handlers, void *ctx);

/* Close it.  Safe inside a handler. */
void client_close(struct client *c);

/* The same of one whose socket another process has from here on, with all that is
 * in it. */
void client_hand_on(struct client *c);

/* Send one packet, now or when its reader has room.  A reader too far behind
 * is closed, and `gone` said, before the loop's next turn.  NULL is fine: what
 * had no memory to be written is a reader lost. */
void client_send(struct client *c, const char *text);

/* The same with a descriptor, which stays the caller's. */
void client_send_fd(struct client *c, const char *text, int fd);

/* Close it, and say `gone`, before the loop's next turn. */
void client_end(struct client *c);

/* Packets that wait for a slow reader. */
size_t client_backlog(const struct client *c);

/* Read no further packets until told to; a brake for who is too fast. */
void client_pause(struct client *c, bool pause);

/* All there are, one after the other; NULL starts and ends. */
struct client *client_next(const struct client *c);

/* Whether it waits for nothing, and nothing waits for it. */
bool client_is_idle(const struct client *c);
int client_fd(const struct client *c);

enum listener_kind client_kind(const struct client *c);

/* Of its credentials when it connected (unix(7), SO_PEERCRED). */
uid_t client_uid(const struct client *c);
pid_t client_pid(const struct client *c);

/* For clients.h alone: its requests, the job that is not yet whole, how many of
 * its requests are unanswered, and how many there are. */
struct request;
struct share;
LIST_HEAD(client_requests, request);
struct client_requests *client_requests(struct client *c);
struct share **client_share(struct client *c);
struct request **client_begun(struct client *c);
unsigned *client_unanswered(struct client *c);
unsigned *client_open(struct client *c);
unsigned *client_errors(struct client *c);

#endif
