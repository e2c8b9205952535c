/* SPDX-License-Identifier: ISC */
/* What the files of the intake share, and nobody else sees. */
#ifndef POSTERN_MASTER_INTAKE_INTAKE_INTERNAL_H
#define POSTERN_MASTER_INTAKE_INTAKE_INTERNAL_H

#include <sys/tree.h>

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/role.h"
#include "master/config.h"
#include "master/intake/client.h"
#include "master/intake/job.h"

/* One question or job of a client, until nothing more will be said of it. */
#define CLIENTS_MAX 1024
/* One user does not keep all others away. */
#define CLIENTS_OF_USER_MAX 512

struct request {
	RB_ENTRY(request) entry;
	struct client *client;
	uint64_t number;
	size_t nrcpts;
	uint64_t
	    size; /* octets of its message, in memory until it is answered */
	uint32_t wait;  /* enum submit_wait */
	bool answered;  /* ACCEPTED or REFUSED came */
	bool settled;   /* nothing of it is owed any more but results */
	bool transient; /* the queue does not store it */
	bool of_status; /* the master answers, whatever the queue does */
	bool of_action; /* a STOP ends it */
	bool of_tail;   /* what its client does not read in time is dropped */
	uint64_t lost;  /* so many were, and that was not said */
	char ref[JOB_REF_SIZE];
};

RB_HEAD(requests, request);
struct listener {
	struct event *event; /* NULL: none given */
	struct event *again; /* pending: no client is taken till then */
	int fd;
	enum listener_kind kind;
	struct intake *intake;
};

/* What a user has of us. */
struct share {
	uid_t uid;
	unsigned nclients; /* 0: this one is free */
	uint64_t octets;   /* of messages that are not on disk yet */
};

struct intake {
	struct role role;
	struct config *config;
	struct channel *queue; /* NULL: dead, or not yet told */
	struct requests requests;
	struct listener listeners[LISTENER_CLIENT];
	struct event *drain_timer;
	uint64_t last_request;
	unsigned nclients;
	struct share shares[CLIENTS_MAX];
	unsigned unanswered; /* of all clients */
	unsigned open;       /* requests */
	uint64_t octets;     /* of messages that are not on disk yet */
	bool submit_any;
	uint32_t submitters[SUBMITTERS_MAX];
	uint32_t nsubmitters;
	bool one_client; /* its end is ours */
	bool leaving;    /* leave.c */
	struct event *leave_timer;
};

/* intake.c */

/* Once it drains, the role ends with its last unanswered request. */
void intake_stop_if_done(struct intake *in);

/* Of a client's user. */
struct share *intake_share(struct intake *in, const struct client *c);

/* A client is gone: somebody else may come. */
void intake_client_gone(struct intake *in, const struct client *c);

void intake_add_client(struct intake *in, int fd, enum listener_kind kind);

/* leave.c: another generation takes the new clients. */
int leave_init(struct intake *in);
void leave_begin(void *ctx, struct channel *from, const struct message *m);
/* Nothing of this client is open: its next packet is another's to read. */
void leave_client_done(struct intake *in, struct client *c);
/* It failed, and we have listeners again. */
void leave_end(struct intake *in);
void leave_client_came(void *ctx, struct channel *from,
    const struct message *m);

/* request.c: what is open between clients and the queue. */

/* NULL without memory. */
struct request *request_new(struct intake *in, struct client *c);
void request_free(struct intake *in, struct request *r);

/* NULL: its client is gone. */
struct request *request_find(struct intake *in, uint64_t number);

/* Whether one more job may have a client that waits for its results. */
bool request_may_wait(const struct intake *in, struct client *c);

/* Whether one more message of this user may be held in memory. */
bool request_has_room(struct intake *in, const struct client *c);

/* Count the message that came with a request. */
void request_hold(struct intake *in, struct request *r, uint64_t size);

/* Read no more of a client, whose job was just handed on, while the queue is
 * behind; an answer to it ends that. */
void request_brake(const struct intake *in, struct client *c);

/* Tell the queue something that is all in its type. */
void request_send(struct intake *in, enum msg_type type, uint64_t number);

/* A client is gone, and nobody waits for its answers. */
void request_cancel_all(struct intake *in, const struct client *c);

/* A client wants its actions to go no further. */
void request_stop_all(struct intake *in, const struct client *c);

/* Whether a client waits for events alone, which have no end. */
bool request_only_watches(struct intake *in, const struct client *c);

/* The queue is dead: what it had not said yes to was not taken. */
void request_fail_all(struct intake *in);

/* Send text, which is freed. */
void request_tell(struct client *c, char *text);

/* Tell a client no, and log it. */
void request_refuse(struct client *c, const char *ref, unsigned code,
    const char *dsn, const char *text);

/* The answers of queue and master: handlers of the intake's table. */
void request_on_accepted(void *ctx, struct channel *from,
    const struct message *m);
void request_on_refused(void *ctx, struct channel *from,
    const struct message *m);
void request_on_result(void *ctx, struct channel *from,
    const struct message *m);
void request_on_results_end(void *ctx, struct channel *from,
    const struct message *m);
void request_on_trace(void *ctx, struct channel *from, const struct message *m);
void request_on_listed(void *ctx, struct channel *from,
    const struct message *m);
void request_on_list_end(void *ctx, struct channel *from,
    const struct message *m);
void request_on_transcript_part(void *ctx, struct channel *from,
    const struct message *m);
void request_on_transcripts_end(void *ctx, struct channel *from,
    const struct message *m);
void request_on_told(void *ctx, struct channel *from, const struct message *m);
void request_on_body(void *ctx, struct channel *from, const struct message *m);
void request_on_status(void *ctx, struct channel *from,
    const struct message *m);

/* submit.c: what clients send, on its way to the queue. */
extern const struct client_handlers submit_handlers;

#endif
