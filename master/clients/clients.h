/* SPDX-License-Identifier: ISC */
/*
 * Clients of this machine, of the job socket and of the control socket: who
 * connects, what each user has of a role, and the requests that are open.  The
 * intake and the control role each have one struct clients; what a packet means
 * is theirs to say.
 */
#ifndef POSTERN_MASTER_CLIENTS_CLIENTS_H
#define POSTERN_MASTER_CLIENTS_CLIENTS_H

#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/tree.h>

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/role.h"
#include "master/clients/client.h"
#include "master/config.h"

struct clients;
struct request;

#define CLIENTS_MAX 1024
/* Of these, for root: an operator comes in whatever others do. */
#define CLIENTS_OF_ROOT 32
/* Clients, and what a role has besides: sessions of LMTP and SMTP. */
#define SHARES_MAX 2048

/* How what is said of a request reaches who made it.  Who can get no result has
 * NULL there. */
struct asker {
	void (*accepted)(struct clients *cs, struct request *r, uint64_t id);
	void (*refused)(struct clients *cs, struct request *r, unsigned code,
	    const char *dsn, const char *text);
	void (*result)(struct clients *cs, struct request *r,
	    const struct message *m);
	void (*results_end)(struct clients *cs, struct request *r);
	/* The queue is dead. */
	void (*lost)(struct clients *cs, struct request *r);
	/* posternd is being stopped, and this is not done. */
	void (*stopped)(struct clients *cs, struct request *r);
};

/* One question or job of a client, until nothing more will be said of it. */
struct request {
	RB_ENTRY(request) entry;
	LIST_ENTRY(request) of_client;
	const struct asker *asker;
	struct client *client; /* NULL: it came by LMTP or SMTP */
	struct smtpd *smtpd;   /* then this is who brought it */
	struct share *share;
	uint32_t uid; /* of who made it */
	uint32_t pid;
	uint64_t number;
	size_t nrcpts;
	uint64_t
	    size; /* octets of its message, in memory until it is answered */
	uint32_t wait;  /* enum submit_wait */
	bool whole;     /* a job whose SUBMIT_END left: perhaps it is on disk */
	bool answered;  /* ACCEPTED or REFUSED came */
	bool asked;     /* of another queue than the one that got it */
	bool settled;   /* nothing of it is owed any more but results */
	bool transient; /* the queue does not store it */
	bool of_status; /* the master answers, whatever the queue does */
	bool of_action; /* a STOP ends it */
	bool of_tail;   /* it watches events, which have no end */
	uint64_t lost;  /* events, or lines, that were dropped, and not said */
	char ref[CLIENT_REF_SIZE];
};

RB_HEAD(requests, request);

struct listener {
	struct event *event; /* NULL: none given */
	struct event *again; /* pending: no client is taken till then */
	int fd;
	struct clients *clients;
	/* Takes a client's socket, which is its own from here on. */
	void (*take)(struct listener *l, int fd,
	    const struct sockaddr_storage *from);
};

/* Who a client is to those that count. */
struct share_key {
	int family;       /* AF_UNIX: a user; else an address */
	uint32_t uid;     /* of a user */
	uint8_t addr[16]; /* of an address */
};

/* What one of them has of us. */
struct share {
	struct share_key key;
	unsigned nclients; /* 0: this one is free */
	unsigned open;     /* requests */
	uint64_t octets;   /* of messages that are not on disk yet */
};

struct clients {
	struct role role;
	struct config *config;
	struct channel *queue; /* NULL: dead, or not yet told */
	const struct client_handlers *handlers;
	struct requests requests;
	uint64_t last_request;
	unsigned nclients;
	unsigned nturned_away;  /* since that was logged last */
	int64_t turned_away_ms; /* CLOCK_MONOTONIC: when it was */
	unsigned nothers; /* sessions of LMTP and SMTP, which it ends after */
	struct share shares[SHARES_MAX];
	unsigned unanswered; /* of all clients */
	unsigned open;       /* requests */
	uint64_t octets;     /* of messages that are not on disk yet */
	bool one_client;     /* its end is ours */
	bool leaving;        /* leave.c */
	bool dismissed;      /* all were told that we stop; none is read */
	int64_t over_ms;     /* CLOCK_MONOTONIC: when nobody is waited for */
	/* The same for whom it has besides; NULL: nobody. */
	void (*dismiss_others)(struct clients *cs);
	struct event *leave_timer;
	struct event *drain_timer;
};

/* clients.c */

/* role_init() and what belongs to it; ends the process on failure. */
void clients_init(struct clients *cs, unsigned self, int parent_fd,
    const struct handler *handlers, size_t nhandlers,
    const struct client_handlers *client_handlers);

/* Whether no new client and no new message is taken. */
bool clients_are_ending(const struct clients *cs);

/* Once it drains, the role ends with its last unanswered request. */
void clients_stop_if_done(struct clients *cs);

/* A client of a packet socket; where there are too many it is turned away. */
void clients_take(struct clients *cs, int fd, enum listener_kind kind);

/* The one client of a private posternd. */
void clients_take_only(struct clients *cs, int fd, enum listener_kind kind);

/* A client is gone: another may come. */
void clients_lose(struct clients *cs, struct client *c);

/* A client whose descriptors do not close is told so, and ended. */
void clients_check_choked(struct clients *cs, struct client *c);

/* The same, told by the client itself: nobody waits for its answers. */
void clients_on_gone(void *ctx, struct client *c);

/* DRAIN came, and nobody new is let in: the role ends once all is answered, or
 * once that took too long. */
void clients_drain(struct clients *cs);

/* The loop is over: whoever still waits is told, where posternd ends with us. */
void clients_end(struct clients *cs);

/* Messages of the master: handlers of both roles' tables. */
void clients_on_config(void *ctx, struct channel *from,
    const struct message *m);
void clients_on_queue(struct clients *cs, int fd);

/* listener.c */

/* Take over a listening socket, in the place of an earlier one; l->take is set. */
void listener_take(struct clients *cs, struct listener *l, int fd);

/* Nobody new is let in. */
void listener_stop(struct listener *l);

/* The same for good; its descriptor is the caller's from here on.  False: it has
 * none. */
bool listener_detach(struct listener *l);

/* share.c: what each user, or address, has of us. */

/* One client more.  NULL: it has `most` already. */
struct share *share_join(struct clients *cs, const struct share_key *key,
    unsigned most);
void share_leave(struct share *share);

/*
 * How many of `most` one user may have, who has `own` of the `used` that there
 * are: as many as are left after that.  So the first has half, the next half of
 * the rest, and nobody has all.
 */
bool share_is_fair(unsigned own, unsigned used, unsigned most);

/* Whether one more message of theirs may be held in memory. */
bool share_has_room(const struct clients *cs, const struct share *share);

/* Count octets of a message, and count them no more. */
void share_hold(struct clients *cs, struct share *share, uint64_t size);
void share_release(struct clients *cs, struct share *share, uint64_t size);

/* leave.c: another generation takes the new clients. */

int leave_init(struct clients *cs);
/* Nobody new is let in any more: hand on who waits for nothing. */
void leave_begin(struct clients *cs);
/* Nothing of this client is open: its next packet is another's to read. */
void leave_client_done(struct clients *cs, struct client *c);
/* It failed, and we have listeners again. */
void leave_end(struct clients *cs);

/* request.c: what is open between clients and the queue. */

/* NULL without memory. */
struct request *request_new(struct clients *cs, struct client *c,
    const struct asker *asker);
struct request *request_new_mail(struct clients *cs, struct smtpd *d,
    const struct asker *asker, struct share *share);
void request_free(struct clients *cs, struct request *r);

/* NULL: its client is gone. */
struct request *request_find(struct clients *cs, uint64_t number);

/* NULL also where no client of a packet socket made it. */
struct request *request_find_of_client(struct clients *cs, uint64_t number);

/* Whether one more job may have a client that waits for its results. */
bool request_may_wait(const struct clients *cs, struct client *c);

/* The same of a session of LMTP or SMTP, which brings one at a time. */
bool request_may_wait_mail(const struct clients *cs);

/* Count the message that came with a request, until it is answered. */
void request_hold(struct clients *cs, struct request *r, uint64_t size);

/* The queue has it: it is no load any more, and a stop need not wait for it. */
void request_answered(struct clients *cs, struct request *r);

/* Read no more of a client, whose job was just handed on, while the queue is
 * slow; an answer to it ends that. */
void request_brake(const struct clients *cs, struct client *c);

/* The same in the middle of a job, which has no answer to come: the channel's
 * own end of the queue does. */
void request_brake_half(const struct clients *cs, struct client *c);

/* What the queue was to get is all on its way: read on. */
void request_release_all(struct clients *cs);

/* Whether something that a client may miss is dropped, for it reads too slowly;
 * counted in r->lost, with `before` that never came here. */
bool request_is_lost(struct request *r, uint32_t before);

/* A job is all sent: the queue is to commit it. */
void request_end_job(struct clients *cs, struct request *r);

/* Tell the queue something that is all in its type. */
void request_send(struct clients *cs, enum msg_type type, uint64_t number);

/* A client is gone, and nobody waits for its answers. */
void request_cancel_all(struct clients *cs, struct client *c);

/* The same of one request. */
void request_cancel(struct clients *cs, struct request *r);

/* A client wants its actions to go no further. */
void request_stop_all(struct clients *cs, struct client *c);

/* Whether a client waits for events alone, which have no end. */
bool request_only_watches(struct client *c);

/* The queue is dead: what it had begun to do is over.  Jobs that it may have
 * committed wait for the next one. */
void request_fail_all(struct clients *cs);

/* posternd is being stopped: whoever waits for something is told. */
void request_dismiss_all(struct clients *cs);
/* The same of those who watch events, which have no end. */
void request_dismiss_watchers(struct clients *cs);

/* There is another queue: it says which of those jobs are on disk. */
void request_ask_all(struct clients *cs);

/* Send text, which is freed. */
void request_tell(struct client *c, char *text);

/* Tell a client no, and log it. */
void request_refuse(struct client *c, const char *ref, unsigned code,
    const char *dsn, const char *text);

/* The same for a packet that cannot be read (value.h): errno says whose fault
 * that is. */
void request_refuse_packet(struct client *c, const char *ref, const char *why);

/* REFUSED of the queue: a handler of both roles' tables. */
void request_on_refused(void *ctx, struct channel *from,
    const struct message *m);

#endif
