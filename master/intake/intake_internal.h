/* SPDX-License-Identifier: ISC */
/* What the files of the intake share, and nobody else sees. */
#ifndef POSTERN_MASTER_INTAKE_INTAKE_INTERNAL_H
#define POSTERN_MASTER_INTAKE_INTAKE_INTERNAL_H

#include <sys/queue.h>
#include <sys/tree.h>

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/role.h"
#include "master/config.h"
#include "master/intake/client.h"
#include "master/intake/copy.h"
#include "master/intake/job.h"

struct intake;
struct request;
struct smtpd;

#define CLIENTS_MAX 1024
/* One user does not keep all others away. */
#define CLIENTS_OF_USER_MAX 512
/* Of LMTP and SMTP, of all listeners. */
#define SMTPD_SESSIONS_MAX 1024
/* Who comes by TCP is no user of this machine; the queue is told that it is
 * this one, the kernel's own "overflow" user. */
#define UID_OF_NETWORK 65534
/* The most that LISTENER_USERS brings. */
#define MAIL_LISTENER_UIDS_MAX 514

/* How what is said of a request reaches who made it. */
struct asker {
	void (*accepted)(struct intake *in, struct request *r, uint64_t id);
	void (*refused)(struct intake *in, struct request *r, unsigned code,
	    const char *dsn, const char *text);
	void (*result)(struct intake *in, struct request *r,
	    const struct message *m);
	void (*results_end)(struct intake *in, struct request *r);
	/* The queue is dead. */
	void (*lost)(struct intake *in, struct request *r);
};

/* One question or job of a client, until nothing more will be said of it. */
struct request {
	RB_ENTRY(request) entry;
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
	size_t index; /* MAIL: of the configuration's listeners */
	struct intake *intake;
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
	uint64_t octets;   /* of messages that are not on disk yet */
};

/* Of LMTP or SMTP. */
struct mail_listener {
	struct listener listener;
	struct tls_server *tls; /* NULL: no certificate */
	unsigned nsessions;
	/* Of a Unix socket. */
	bool any; /* whomever its mode lets in */
	uint32_t count;
	uint32_t trusted; /* behind the first count of uids */
	uint32_t uids[MAIL_LISTENER_UIDS_MAX];
};

struct intake {
	struct role role;
	struct config *config;
	struct channel *queue; /* NULL: dead, or not yet told */
	int signer_fd;         /* who holds the keys; -1: nobody */
	int64_t signer_rests_ms; /* CLOCK_MONOTONIC: it is not asked until then */
	uint32_t last_sign;
	struct requests requests;
	struct listener listeners[LISTENER_MAIL]; /* of packets */
	struct mail_listener mail_listeners[CONFIG_LISTENERS_MAX];
	TAILQ_HEAD(, smtpd) smtpds;
	struct event *smtpd_timer;
	unsigned nsmtpds;
	uint64_t started_s; /* CLOCK_REALTIME */
	uint64_t last_mail; /* counts them */
	struct event *drain_timer;
	uint64_t last_request;
	unsigned nclients;
	struct share shares[CLIENTS_MAX + SMTPD_SESSIONS_MAX];
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

/* Whether no new client and no new message is taken. */
bool intake_is_ending(const struct intake *in);

/* Once it drains, the role ends with its last unanswered request. */
void intake_stop_if_done(struct intake *in);

/* A client of a packet socket. */
void intake_take_client(struct intake *in, int fd, enum listener_kind kind);

/* A client is gone: somebody else may come. */
void intake_client_gone(struct intake *in, struct client *c);

/* listener.c */

/* Take over a listening socket, in the place of a former one. */
void listener_take(struct intake *in, struct listener *l, int fd,
    enum listener_kind kind, size_t index);

/* Nobody new is let in. */
void listener_stop(struct listener *l);

/* share.c: what each user, or address, has of us. */

/* One client more.  NULL: it has `most` already. */
struct share *share_join(struct intake *in, const struct share_key *key,
    unsigned most);
void share_leave(struct share *share);

/* Whether one more message of theirs may be held in memory. */
bool share_has_room(const struct intake *in, const struct share *share);

/* Count octets of a message, and count them no more. */
void share_hold(struct intake *in, struct share *share, uint64_t size);
void share_release(struct intake *in, struct share *share, uint64_t size);

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
struct request *request_new_mail(struct intake *in, struct smtpd *d,
    const struct asker *asker, struct share *share);
void request_free(struct intake *in, struct request *r);

/* NULL: its client is gone. */
struct request *request_find(struct intake *in, uint64_t number);

/* Whether one more job may have a client that waits for its results. */
bool request_may_wait(const struct intake *in, struct client *c);

/* The same of a session of LMTP or SMTP, which brings one at a time. */
bool request_may_wait_mail(const struct intake *in);

/* Count the message that came with a request, until it is answered. */
void request_hold(struct intake *in, struct request *r, uint64_t size);

/* Read no more of a client, whose job was just handed on, while the queue is
 * behind; an answer to it ends that. */
void request_brake(const struct intake *in, struct client *c);

/* Tell the queue something that is all in its type. */
void request_send(struct intake *in, enum msg_type type, uint64_t number);

/* A client is gone, and nobody waits for its answers. */
void request_cancel_all(struct intake *in, const struct client *c);

/* The same of one request. */
void request_cancel(struct intake *in, struct request *r);

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

/* Hand a whole message on, with the recipients that job has. */
void submit_send(struct intake *in, const struct request *r,
    const struct job_packet *job, const struct copy *copy);

extern const struct client_handlers submit_handlers;

#endif
