/* SPDX-License-Identifier: ISC */
/*
 * What the long-lived roles have in common: a loop (libevent), channels to
 * other processes, and one table of handlers.
 *
 * A role runs in this order: role_init(); role_setup(), which takes the
 * master's messages up to START; sandbox_root(); sandbox_confine();
 * role_loop().
 *
 * What is in no row of the table, or not in this phase, ends the channel it
 * came by; who owned the other end hears of it by `closed`.
 */
#ifndef POSTERN_COMMON_ROLE_H
#define POSTERN_COMMON_ROLE_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/message.h"

enum role_phase {
	PHASE_SETUP = 1 << 0,    /* until START */
	PHASE_READY = 1 << 1,    /* working */
	PHASE_DRAINING = 1 << 2, /* DRAIN came: finish, take nothing new */
	PHASE_CONFINED = 1 << 3, /* sent in SETUP, and kept for role_settle() */
};

struct channel;

struct handler {
	enum msg_type type;
	unsigned phases; /* enum role_phase bits */
	/* m and what it points to are void on return; m->fd is the handler's
	 * to close, or to keep. */
	void (
	    *handle)(void *ctx, struct channel *from, const struct message *m);
};

struct role {
	unsigned self; /* enum role_id */
	unsigned phase;
	struct kept *kept; /* the first of the list, until role_settle() */
	void *ctx; /* handed to handlers */
	const struct handler *handlers;
	size_t nhandlers;
	/*
	 * A channel ended: why is NULL when its other end closed it, else the
	 * rule that was broken, or why we can send nothing more.  The channel is freed on return.  The parent's
	 * end is not told: it ends the loop.
	 */
	void (*closed)(void *ctx, struct channel *ch, const char *why);
	/* What waited for a channel's socket has all gone out; NULL: no matter. */
	void (*drained)(void *ctx, struct channel *ch);
	/* What PONG tells besides that we live; NULL: nothing. */
	void (*vital)(void *ctx, struct msg_pong *pong);
	struct event_base *base;
	struct channel *parent;
	struct msg_start start; /* of the master */
	int64_t log_asked_ms;   /* when LOG_REOPEN was sent last */
	uint8_t *packet;        /* receive buffer of MSG_PACKET_SIZE */
};

/*
 * role_init - take the channel to the parent (-1: none), and make the loop.
 *
 * Ends the process on failure: this is start-up.  handlers outlive the role.
 */
void role_init(struct role *role, unsigned self, int parent_fd,
    const struct handler *handlers, size_t nhandlers, void *ctx,
    void (*closed)(void *ctx, struct channel *ch, const char *why));

/*
 * Handle the master's messages, blocking, until START.  Those of handlers with
 * PHASE_CONFINED are kept: what they bring is parsed behind all walls.
 */
void role_setup(struct role *role);

/* Handle what was kept; once confined, in that order.  phase is CONFINED. */
void role_settle(struct role *role);

/* Tell the master READY, and run until role_stop() or the parent's end. */
void role_loop(struct role *role, const struct msg_ready *ready);

/* Leave the loop once the current event is handled. */
void role_stop(struct role *role);

void role_clear(struct role *role);

/*
 * channel_new - a channel over fd (SOCK_SEQPACKET), ours from here on.
 *
 * peer is what may speak from its other end (enum role_id bits).  arg is for
 * the owner.  NULL with errno, and fd closed.
 */
struct channel *channel_new(struct role *role, int fd, unsigned peer,
    void *arg);

/*
 * role_take_peer - channel_new() for what came with PEER.
 *
 * Both ends live on where one has no memory or descriptor for it, and the master
 * sends no other: so NULL is the end of this role, whose next life has new ones.
 */
struct channel *role_take_peer(struct role *role, int fd, unsigned peer,
    void *arg);

/* It cannot be had, for the reason in errno: the end of this role. */
void role_lose_peer(struct role *role, unsigned peer);

/* End a channel.  Safe inside a handler, and on NULL. */
void channel_close(struct channel *ch);

/*
 * channel_send - send a message, or keep it until the socket takes it.
 *
 * fd is -1 where the row has none, and stays the caller's.  0, or -1 with
 * errno: the other end is gone, or too far behind (ENOBUFS).  On -1 the owner
 * hears `closed` soon; nothing is to be done at once.
 */
int channel_send(struct channel *ch, enum msg_type type, const void *payload,
    const void *tail, size_t tail_len, int fd);

/*
 * channel_set_brake - read no more while so many packets wait for the socket.
 *
 * For one end of a channel alone, the one that answers: two that wait for each
 * other would wait for good.
 */
void channel_set_brake(struct channel *ch, size_t brake);

/* Packets that wait for the socket. */
size_t channel_backlog(const struct channel *ch);

/* The other end's role, and the owner's pointer. */
unsigned channel_peer(const struct channel *ch);
void *channel_arg(const struct channel *ch);

#endif
