/* SPDX-License-Identifier: ISC */
/* What the files of the intake share, and nobody else sees. */
#ifndef POSTERN_MASTER_INTAKE_INTAKE_INTERNAL_H
#define POSTERN_MASTER_INTAKE_INTAKE_INTERNAL_H

#include <sys/queue.h>

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "master/clients/clients.h"
#include "master/config.h"
#include "master/intake/job/job_parse.h"
#include "master/intake/message/message_copy.h"

struct smtpd;

/* Of LMTP and SMTP, of all listeners. */
#define SMTPD_SESSIONS_MAX 1024
_Static_assert(CLIENTS_MAX + SMTPD_SESSIONS_MAX <= SHARES_MAX,
    "a share for each client");
/* Who comes by TCP is no user of this machine; the queue is told that it is
 * this one, the kernel's own "overflow" user. */
#define UID_OF_NETWORK 65534
/* The most that LISTENER_USERS brings. */
#define MAIL_LISTENER_UIDS_MAX 514

/* Of LMTP or SMTP. */
struct mail_listener {
	struct listener listener; /* first: its take() gets that */
	char name[VALUE_NAME_SIZE];
	struct next_hop at; /* by which a reload finds it again */
	struct tls_server *tls;   /* NULL: no certificate */
	unsigned nsessions;
	/* Of a Unix socket. */
	bool any; /* whomever its mode lets in */
	uint32_t count;
	uint32_t trusted; /* behind the first count of uids */
	uint32_t uids[MAIL_LISTENER_UIDS_MAX];
};

/* Where sessions are whose listener a reload took away: they end when idle. */
#define LISTENER_GONE CONFIG_LISTENERS_MAX

struct intake {
	struct clients clients;  /* first: handlers get either */
	int signer_fd;           /* who holds the keys; -1: nobody */
	int64_t signer_rests_ms; /* CLOCK_MONOTONIC: it is not asked until then */
	uint32_t last_sign;
	struct listener listener; /* of the job socket */
	/* In the configuration's order, and LISTENER_GONE. */
	struct mail_listener mail_listeners[CONFIG_LISTENERS_MAX + 1];
	TAILQ_HEAD(, smtpd) smtpds;
	struct event *smtpd_timer;
	uint64_t started_s; /* CLOCK_REALTIME */
	uint64_t last_mail; /* counts them */
	bool submit_any;
	uint32_t nsubmitters;
	uint32_t ntrusted; /* to name others, after the first nsubmitters */
	uint32_t submitters[2 * SUBMITTERS_MAX];
};
_Static_assert(offsetof(struct intake, clients) == 0, "handlers get either");

/* job_submit.c: what clients send, on its way to the queue. */

/* Hand a whole message on, with the recipients that job has. */
void job_submit_send(struct clients *cs, const struct request *r,
    const struct job_packet *job, const struct message_copy *copy);

extern const struct client_handlers job_submit_handlers;

/* intake_reload.c: a configuration with other listeners. */

/* CONFIG of the master.  Handler of the intake's table. */
void intake_reload_on_config(void *ctx, struct channel *from,
    const struct message *m);

/* The listener of that number, where fd listens. */
void intake_reload_take(struct intake *in, size_t index, int fd);

/* job_outcome.c: what the queue says of a job: handlers of the intake's table. */
void job_outcome_on_accepted(void *ctx, struct channel *from,
    const struct message *m);
void job_outcome_on_result(void *ctx, struct channel *from,
    const struct message *m);
void job_outcome_on_end(void *ctx, struct channel *from,
    const struct message *m);
void job_outcome_on_trace(void *ctx, struct channel *from,
    const struct message *m);

/* How it reaches a client of the job socket. */
extern const struct asker job_outcome_asker;

#endif
