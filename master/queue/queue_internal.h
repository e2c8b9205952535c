/* SPDX-License-Identifier: ISC */
/*
 * The queue's own state, and what its files ask of each other.
 *
 *   queue.c    the role: start, handlers, stop; configure.c  a reload; peers.c
 *              the other roles
 *   era.c      two generations with one store
 *   group.c    what is written: one list of changes, one commit, then the news
 *   submit.c   jobs from the intake
 *   receipts.c which of them are on disk, for the queue after this one
 *   transient.c  jobs that are never stored
 *   report.c   results for clients that wait, and rows of listings
 *   action.c   what an operator does to many recipients (action_row.c, lift.c)
 *   ask.c      what an operator wants to know; pause.c what he stops; summary.c
 *              how much of it there is (census.c)
 *   tail.c     events as they fall, for the log and for who listens; count.c
 *              what is counted of them, and of all else
 *   refill.c   from the store into memory; expire.c  what waited too long
 *   route.c    where a recipient goes, and when it is tried again
 *   limits.c   the configuration's limits, and whose they are
 *   trouble.c  what an operator has to see to; strand.c  what a reload left
 *              without a way
 *   plan.c     in which order a session tries the addresses
 *   target.c   where a destination is: plans, the resolver, the dialer
 *   agents.c   who forks the workers, and whether they are gone
 *   session.c  workers: sessions from their fork to what ends them
 *   session_news.c  what they say meanwhile
 *   login.c    what a transport logs in with
 *   dial.c     the addresses of a session, until one works
 *   transaction.c  the jobs of a session, and their recipients' outcomes;
 *              postpone.c those that the next address may change
 *   transcript.c  what failed sessions were like; transcript_answer.c tells it
 *   settle.c   what an outcome means for a recipient
 *   notice.h   what senders are told: notice_policy.c when, notice_text.c in
 *              which words, notice.c, notice_gather.c and notice_compose.c do
 *              it, notice_delay.c for what waits
 *   security.c what a sender demands of TLS
 *
 * Two clocks: store times and delays are CLOCK_REALTIME, all else (blocks,
 * idle time, plans) is CLOCK_MONOTONIC.
 */
#ifndef MASTER_QUEUE_QUEUE_INTERNAL_H
#define MASTER_QUEUE_QUEUE_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/message.h"
#include "common/outcome.h"
#include "common/role.h"
#include "master/config.h"
#include "master/queue/change.h"
#include "master/queue/clock.h"
#include "master/queue/destination_facts.h"
#include "master/queue/event.h"
#include "master/queue/hosts_tried.h"
#include "master/queue/rates.h"
#include "master/queue/schedule.h"
#include "master/queue/security.h"
#include "master/queue/store.h"

enum {
	QUEUE_JOBS_AHEAD = 2,       /* jobs a worker holds at once */
	QUEUE_JOBS_AHEAD_MAX = 32,  /* one that drains fast, by flights */
	QUEUE_JOBS_AHEAD_DATA = 4,  /* and without them */
	QUEUE_JOBS_SLOW_MS = 1000,  /* a job that took longer: few at once */
	QUEUE_BUCKETS = 4096,
	QUEUE_RETRY_MS = 1000, /* after the store failed */
	QUEUE_SWEEP_MS = 5000,
	QUEUE_DEATH_PAUSE_MS = 1000, /* a destination whose worker died; each
	                                further one doubles it */
	QUEUE_DEATH_KEEP_MS = 3600 * 1000,
	QUEUE_DEATHS_MAX = 5,
	QUEUE_REPLY_SIZE = 1025,
};

struct queue;
struct session;

/* Where to, in the order to try; a session has one of its own. */
struct plan {
	unsigned refs;
	uint32_t count;
	struct plan_address addresses[];
};

/* What we know of a destination (schedule_destination.data). */
struct target {
	struct schedule_destination *destination;
	struct plan *plan; /* or NULL */
	int64_t plan_until_ms;
	uint32_t resolve_id; /* 0: nothing is asked */
	uint32_t asks;       /* resolvers that were asked it */
	int64_t asked_ms;    /* when, last */
	uint32_t
	    asked_generation; /* of the configuration that it was asked by */
	uint32_t turns;    /* sessions so far, for hosts of equal preference */
	struct destination_facts facts;
	struct minute deferred;         /* recipients, of late */
	struct hosts_tried_kept *tried; /* by the last attempt that failed */
	uint32_t
	    deaths; /* seconds with dead workers; forgotten after a while */
	int64_t death_ms;  /* the last of them */
	uint64_t died_of;  /* agents_serial() of the last one's agent */
	int64_t failed_ms; /* real; when a session or question failed last */
	bool waits_for_login; /* paused until login.c says more */
	bool login_refused;   /* and another secret is asked for */
	bool loops; /* the domain's mail server is this host; notices go home */
	TAILQ_ENTRY(target) resolving;
	LIST_ENTRY(target) by_resolve_id;
	unsigned group;       /* of metrics.h */
	int64_t rest_ms;      /* target_rest_end_ms(): until when, monotonic */
	int64_t rest_real_ms; /* and that in the store's clock */
	/* Why it is blocked. */
	struct outcome outcome;
	char *why;         /* holds the next two; NULL: they are "" */
	const char *reply; /* never NULL */
	const char *relay;
};

/* One transaction of a session. */
struct job {
	TAILQ_ENTRY(job) entry;
	uint64_t id;
	struct session *session;
	struct schedule_message *message;
	struct activation *activation; /* until it is committed */
	bool committed;              /* marked on disk: it may be sent */
	bool sent;
	bool begun;
	bool committing;
	int64_t taken_ms; /* real */
	int64_t begun_ms; /* real */
	uint32_t left;    /* recipients without an outcome */
	uint32_t nrcpt;
	uint32_t nagain;
	/* postpone.c: of the host at hand, but for the outcomes themselves. */
	uint32_t npostponed;
	uint32_t nlacking; /* of those: for what it does not offer */
	uint32_t ndelivered;
	struct postponed **postponed; /* by recipient; NULL: none of any */
	bool unanswered; /* at least one recipient's outcome is no reply */
	bool is_broken;  /* by conversion, a signature; and the log says so */
	/* For another transaction, all of them together, once this ends. */
	struct schedule_recipients again;
	struct schedule_recipient *recipients[]; /* NULL: settled */
};

struct session {
	TAILQ_ENTRY(session) entry;
	struct queue *queue;
	struct target *target;
	struct channel *channel;
	struct plan *plan;
	struct worker_ref *worker; /* agents.h; NULL: it has none */
	struct event *timer;       /* idle time */
	struct event *clock;       /* session_watch() */
	TAILQ_HEAD(, job) jobs;
	uint32_t njobs;
	uint32_t number;
	uint32_t generation; /* of the configuration that it began by */
	uint32_t next_address;
	uint32_t tried;    /* addresses so far */
	uint32_t hosts_up; /* of those: how many came up */
	uint32_t asked;    /* NEXT so far */
	uint32_t lost;     /* of those: because no socket came */
	uint32_t messages; /* jobs given so far */
	uint32_t succeeded;
	uint32_t
	    answered;    /* jobs whose outcomes are all the server's replies */
	uint32_t ahead;  /* jobs it may hold */
	uint32_t smooth; /* jobs that went well since ahead last changed */
	uint32_t returned; /* by AGAIN */
	bool up;
	bool flights; /* it can have many jobs on the wire */
	bool more;    /* its worker was told that another address follows */
	bool leaves;  /* a job goes on to that: no new one until it is up */
	bool moved;   /* it did: the next message begins with the best again */
	bool dialing;
	bool unanswered; /* its worker has no socket of that dial yet */
	bool quitting; /* takes no more jobs */
	bool quit_sent;
	bool has_failure;
	bool doubt;              /* a message of it is perhaps delivered */
	bool used;               /* some job came to an end at some host */
	bool closed;             /* it said CLOSED */
	int64_t started_ms;      /* real */
	int64_t up_ms;           /* real */
	int64_t started_mono_ms; /* for reuse and the cap */
	int64_t
	    ends_mono_ms; /* since when it has nothing to do but end; 0: not */
	int64_t cap_ms;   /* from its start, all in all */
	int64_t quit_ms;  /* for its end alone */
	bool verbose;     /* SESSION asked for its DIALOGUE */
	bool noted;       /* and for its TRANSCRIPT */
	bool overdue;     /* one more turn, and it is killed */
	struct outcome failure;  /* of addresses so far */
	char failure_reply[QUEUE_REPLY_SIZE];
	char failure_relay[MSG_RELAY_SIZE];
	struct hosts_tried hosts_tried; /* that did not take the mail */
	char relay[MSG_RELAY_SIZE];
	struct transcript_draft *draft; /* transcript.c; NULL: all is well */
	struct msg_dial dial;           /* the last, in case the dialer dies */
	int line_fd; /* the dialer's end of what the worker reads sockets from */
	struct tls_info tls;
};

/* A job from the intake, whole or not. */
struct submission {
	struct change change;
	TAILQ_ENTRY(submission) entry; /* while not whole */
	uint64_t request;
	struct store_envelope envelope;
	enum submit_wait wait;
	int body_fd;
	bool cancelled;
	bool of_client; /* else it is a notice */
	bool logged;    /* SUBMIT_LOGGED: it came by a listener */
	uint32_t pid;   /* of the client */
	char **addresses;
	char **parameters; /* of each; NULL until one has some, and for none */
	uint32_t addresses_size;
	char *ref;
	char *via;
	char *client; /* with logged */
	char *reverse_path;
	char *mail_parameters;
};

/* Who waits for results. */
struct waiter {
	LIST_ENTRY(waiter) by_id;
	LIST_ENTRY(waiter) by_request;
	TAILQ_ENTRY(waiter) entry;
	uint64_t request;
	uint64_t id;
	enum submit_wait wait;
	uint32_t left; /* recipients that have no last result yet */
	uint8_t *told; /* WAIT_ATTEMPT: which had theirs; bits by index */
	uint32_t nrcpts;
	bool verbose;
	uint32_t lines_lost; /* of the dialogue, since one was sent */
	uint32_t lost;       /* results */
};

/* A transport under its name, which outlives reloads of the configuration. */
struct queue_transport {
	char *name;
	const struct transport *config; /* NULL: it is gone */
	uint32_t index;                 /* in the configuration */
	uint32_t trust;                 /* config_trust() of that */
	struct login *login;            /* NULL: never asked for */
};

struct outcome_change;

struct queue {
	struct role role;
	struct channel *intake;
	struct channel *control; /* operators */
	struct channel *resolver;
	struct channel *dialer;
	struct agents *agents; /* agents.h; never NULL */
	struct config *config;
	uint32_t generation; /* of the configuration, as the master counts */
	struct queue_transport *transports;
	uint32_t ntransports;
	struct store *store;
	struct transcripts *transcripts; /* NULL: none can be kept */
	struct learnt *learnt;           /* LEARNT_MAX of them */
	uint64_t transcript_waiter;      /* a request; 0: nobody's */
	struct schedule *schedule;
	struct schedule_limits limits;
	LIST_HEAD(, named_limit) named_limits; /* limits.c */
	uint32_t last_limit;
	struct event *commit_timer;
	struct event *log_timer; /* the store's log is long */
	struct event *pump_timer;
	struct event *sweep_timer;
	struct event *stop_timer;
	struct event *action_timer;
	TAILQ_HEAD(, action) actions; /* action.c */
	struct summary *summary;      /* summary.h; never NULL */
	uint32_t nactions;
	struct pauses *pauses;     /* pause.h */
	struct strand *strand;     /* strand.h */
	struct troubles *troubles; /* trouble.h; never NULL */
	TAILQ_HEAD(, tail) tails;  /* tail.h */
	uint32_t ntails;
	TAILQ_HEAD(, explain) explains; /* explain.h */
	uint32_t nexplains;
	struct rates rates;
	struct changes changes; /* for the next commit */
	uint32_t nchanges;
	uint64_t changes_ended; /* of all that there ever were */
	int64_t unsettled_ms; /* since when group_settle_soon() says no; or 0 */
	uint32_t nrows; /* that they touch, about */
	int64_t refilled_ms; /* refill.c: its last turn */
	bool store_fails;   /* the last commit did */
	void *reserve;      /* group_reserve */
	bool disk_is_short; /* said in the log */
	bool spool_is_removed; /* said in the log */
	TAILQ_HEAD(, submission) half_jobs;
	uint32_t nhalf_jobs;
	uint32_t half_jobs_max; /* envelopes that are not whole yet */
	uint64_t descriptors;   /* as many as we may have */
	TAILQ_HEAD(, staging) stagings;     /* staging.h */
	TAILQ_HEAD(, transient) transients; /* transient.h */
	uint32_t ntransients;
	uint32_t transient_rcpts; /* of them all */
	int64_t stopping_ms;      /* monotonic: since when */
	int64_t rates_swept_ms;   /* rates_kept.c */
	bool stopping;            /* STOPPING came: no transient is taken */
	uint64_t last_transient;
	TAILQ_HEAD(, waiter) waiters;
	LIST_HEAD(, waiter) waiters_by_id[QUEUE_BUCKETS];
	LIST_HEAD(, waiter) waiters_by_request[QUEUE_BUCKETS];
	TAILQ_HEAD(, target) resolving;
	LIST_HEAD(, target) resolving_by_id[QUEUE_BUCKETS];
	TAILQ_HEAD(, session) sessions;
	uint32_t nsessions;
	uint32_t last_session;
	uint32_t last_resolve;
	uint64_t last_job;
	uint32_t njobs;  /* of all sessions; each may hold a descriptor */
	uint32_t bodies; /* body descriptors kept in memory */
	uint32_t bodies_max;
	bool draining;
	/* era.c */
	uint32_t era;         /* enum era */
	bool era_wants_alone; /* as soon as the other has gone */
	bool era_told;        /* LEAVING: the new one may begin */
	int64_t era_scanned_ms;
	struct event *era_timer;
	struct clock clock; /* queue_watch_clock() */
	/* refill.c */
	bool scanning;
	bool scan_again; /* something may be due that no scan has seen */
	bool scan_started;
	bool scan_first;
	uint32_t scan_lane;
	char scan_domain[STORE_DOMAIN_SIZE];
	int64_t scan_wake_ms; /* real; the next scan's time */
	int64_t scan_min_ms;
	int64_t scan_last_ms;          /* monotonic; its end */
	int64_t scan_work_ms;          /* how long it took without the pauses */
	struct store_cursor older;     /* store_load_older's place */
	struct store_cursor late;      /* store_load_late's */
	int64_t started_ms;            /* monotonic */
	struct notices *notices;       /* notice.h; NULL: none are written */
	struct outlet *outlet;         /* outlet.h */
	struct metrics_table *metrics; /* count.h; never NULL */
	struct count_ages *ages;       /* NULL: nobody asks */
	struct receipts *receipts;     /* NULL: no memory outlives us */
};

/* queue.c */
void queue_pump_soon(struct queue *q);
/* Sees whether the wall clock was set: before anything is called too old. */
void queue_watch_clock(struct queue *q);

/* group.c */
void group_add(struct queue *q, struct change *c);
/*
 * group_commit - what waits becomes true on disk, and its news are told.
 *
 * Of very much it takes as many changes as a turn of the loop has time for; the
 * rest follows by itself.  What fails stays, and is tried again.
 */
void group_commit(struct queue *q);
/*
 * group_alloc - zeroed memory for a change of what is a fact, and may not be lost.
 *
 * Never NULL.  Where memory has run out it comes from a reserve, once; where that
 * is used up too, the process ends: what it had in hand is in doubt then, and is
 * known to be.
 */
void *group_alloc(struct queue *q, size_t size);
/* Fills the reserve again; false: not now. */
bool group_reserve(struct queue *q);
/* As many commits as all that waits now takes; false: the store fails. */
bool group_settle(struct queue *q);
/* The same for who can wait: false and a time, too, where that is much for one
 * turn of the loop. */
bool group_settle_soon(struct queue *q, int64_t *wait_msp);
/* One follows soon, for what is not among the changes (rates_kept.h). */
void group_soon(struct queue *q);
/* Whether one group_commit() takes all that waits. */
bool group_is_short(const struct queue *q);
void group_clear(struct queue *q);

/* submit.c */
void submit_begin(void *ctx, struct channel *from, const struct message *m);
void submit_more(void *ctx, struct channel *from, const struct message *m);
void submit_end(void *ctx, struct channel *from, const struct message *m);
void submit_cancel(void *ctx, struct channel *from, const struct message *m);
/* The clients of all that is on its way to the disk are gone. */
void submit_cancel_all(struct queue *q);
void submit_clear(struct queue *q);
void submit_committed(struct queue *q, struct submission *submission);
/* The steps of that, for a message to many (staging.h): the client is told; some
 * recipients are given to the scheduler. */
void submit_taken(struct queue *q, struct submission *submission);
void submit_place(struct queue *q, struct submission *submission,
    uint32_t first, uint32_t end);
/* Part of the group: its receipt; and it stays this generation's where its client
 * waits. */
int submit_keep(struct queue *q, const struct submission *submission);
/* The store failed with this errno. */
void submit_refuse_for(struct queue *q, struct submission *submission,
    int error);
void submit_refuse(struct queue *q, uint64_t request, uint16_t code,
    const char *dsn, const char *why);
void submit_refused(struct queue *q, struct submission *submission,
    uint16_t code, const char *dsn, const char *why);
/* Its times and its lane, as it is committed now. */
void submit_finish_envelope(const struct queue *q,
    struct store_envelope *envelope);
/* The log, and whoever listens, that it was taken over. */
void submit_tell(struct queue *q, const struct submission *submission);
void submission_free(struct submission *submission);

/* report.c */
int report_wait(struct queue *q, const struct submission *submission,
    uint64_t id);
void report_cancel(struct queue *q, uint64_t request);
/* Whether a client waits for anything of it. */
bool report_is_waited(const struct queue *q, uint64_t id);
void report_clear(struct queue *q);
/* Whether a client was told of it. */
bool report_result(struct queue *q, const struct outcome_change *o);
/* An operator removed it: no attempt will give whoever waits a result. */
void report_deleted(struct queue *q, uint64_t id, uint32_t index,
    const char *recipient);
/* Whether one waits to be told of each attempt. */
bool report_is_awaited(const struct queue *q, uint64_t id);
void report_trace(struct queue *q, struct session *s,
    const struct msg_dialogue *dialogue, const char *line);
/* LISTED of one recipient; LIST_END. */
int report_row(struct queue *q, uint64_t request,
    const struct store_envelope *envelope,
    const struct store_recipient *recipient);
void report_list_end(struct queue *q, uint64_t request, bool more,
    enum act_unknown unknown);

/* tail.c: to the log, to whoever listens, and to the counts. */
void event_tell(struct queue *q, struct event *event);

/* refill.c */
void refill_run(struct queue *q);
void refill_later(struct queue *q, int64_t due_ms);
/* A recipient that the store holds comes into memory, or is left there. */
void refill_new(struct queue *q, const struct store_envelope *envelope,
    const struct store_recipient *recipient);
/* The same of one that no store holds: it is placed, settled, or left alone. */
void refill_unstored(struct queue *q, const struct store_envelope *envelope,
    const struct store_recipient *recipient);
/* The clock was set: no time that was waited for holds any more. */
void refill_clock_set(struct queue *q);
/* Whether the store knows all that we know. */
bool refill_is_current(struct queue *q);
/* Milliseconds until refill_run has work; -1: none known. */
int64_t refill_wait_ms(const struct queue *q);

/* expire.c */
void expire_run(struct queue *q);

/* target.c */
/* What tells destinations of one next hop apart. */
uint32_t target_variant(enum security security, uint32_t route);
struct target *target_of(struct queue *q, uint32_t transport,
    const char *next_hop, enum security security, uint32_t route);
/* The same for notices alone, where `loops`: this host itself may be the mail
 * server that gets them, which then is another program than ours.  NULL: no
 * memory. */
struct target *target_home(struct queue *q, const struct target *t);
enum security target_security(const struct target *t);
/* limits_variant() of its route. */
uint32_t target_route(const struct target *t);
bool target_ready(struct queue *q, struct target *t);
void target_gone(struct schedule_destination *destination);
void target_resolved(void *ctx, struct channel *from, const struct message *m);
void target_ask_again(struct queue *q);
/* Questions that were lost. */
void target_sweep(struct queue *q);

/* A session failed, or none could begin: where its destination is dead, what
 * waits is suspended. */
void target_failed(struct queue *q, struct target *t,
    enum schedule_failure failure, const struct outcome *outcome,
    const char *reply, const char *relay);
/* When its block is over by the store's clock, the same for all who ask; 0: it is
 * not blocked. */
int64_t target_rest_end_ms(struct target *t);
/* Whether an outcome that a worker reports is an answer of its server: then the
 * server works, whatever it thinks of the message. */
bool target_is_answer(const struct outcome *outcome);
/* Which failure of its destination the end of a session is. */
enum schedule_failure target_failure_of(const struct queue *q,
    const struct target *t, const struct outcome *outcome, bool doubt);
/* Whether the next try is worth while in a moment: a server of the configuration
 * failed, which is expected to be there. */
bool target_is_brief(const struct queue *q, const struct target *t,
    const struct outcome *outcome);

/* The transport that was named for a recipient who is here; "": none. */
const char *target_via(const struct queue *q, const struct target *t,
    const struct schedule_recipient *r);
/* Why it is blocked, for all that comes meanwhile. */
void target_set_why(struct target *t, const char *reply, const char *relay);
/* A plan that needs no question: an address, or a Unix socket.  NULL with errno. */
struct plan *target_own_plan(const struct next_hop *hop);
/* Whether a RESOLVED is an answer to what target_question() asks, as far as the
 * queue knows; a resolver that sends another is ended. */
bool target_plan_ok(struct queue *q, const struct transport *config,
    const struct message *m);
/* Asks the resolver, where there is one; name is the domain, for an MX; home: as
 * target_home(). */
void target_question(struct queue *q, const struct transport *config,
    const char *name, bool home, uint32_t id);

/* What waits there is settled with this, and the destination rests. */
void target_refuse(struct queue *q, struct target *t,
    const struct outcome *outcome, const char *reply, const char *relay);

/* login.c */
struct login;

/* Whether a session may start; else the destination is paused until it may. */
bool login_ready(struct queue *q, struct target *t);
/* Tell a worker, behind SESSION. */
int login_introduce(struct session *s, const struct transport *config);
/* Questions that were lost. */
void login_sweep(struct queue *q);
void login_succeeded(struct session *s);
void login_session_ended(struct session *s);
/* True: another secret is asked for, and until it is there mail waits. */
bool login_failed(struct session *s, const struct outcome *outcome,
    const char *reply);
void login_forget_all(struct queue *q);
void login_free(struct login *login);
void login_secret(void *ctx, struct channel *from, const struct message *m);
void login_no_secret(void *ctx, struct channel *from, const struct message *m);

/* plan.c */
struct plan *plan_new(uint32_t count);
struct plan *plan_hold(struct plan *plan);
bool plan_is_loopback(const struct plan_address *a);
void plan_release(struct plan *plan);
/* A copy in which hosts of equal preference, and the addresses of a host, begin
 * with another one at each turn.  NULL with errno. */
struct plan *plan_turned(const struct plan *plan, uint32_t turn);

/* transaction.c */
struct job *transaction_find(const struct session *s, uint64_t id);
/* Has it marked on disk; false: no memory. */
bool transaction_activate(struct job *job);
void transaction_free(struct job *job);
void transaction_give_back(struct job *job);
/* Its job goes back, where nothing of it was sent; whether it did. */
bool transaction_take_back(struct queue *q, uint64_t id, uint32_t index);
/* relay: the host that it is of; what an earlier host said may count for more. */
void transaction_settle(struct job *job, uint32_t i,
    const struct outcome *outcome, const char *reply, const char *relay);
void transaction_settle_all(struct job *job, const struct outcome *outcome,
    bool died, const char *reply, const char *relay);
struct job *transaction_take(struct session *s);
void transaction_send(struct queue *q, struct job *job);
void transaction_again(struct session *s, struct job *job, uint32_t i);

/* dial.c */
void dial_again(struct queue *q);
/* What a session saw its server not bear, or bear; and what is forgotten. */
void dial_learn(struct session *s, uint32_t bits);
void dial_confirm(struct session *s, uint32_t bits);
void dial_forget(struct queue *q);
/* discard_ehlo_keywords of a list, each with a space behind it; and those of the
 * server alone that the session dialled last.  How many octets. */
size_t dial_write_keywords(const struct config_list *keywords,
    char out[static MSG_DISCARD_SIZE]);
size_t dial_server_keywords(const struct session *s,
    char out[static MSG_DISCARD_SIZE]);
void dial_next(void *ctx, struct channel *from, const struct message *m);
void dial_connecting(void *ctx, struct channel *from, const struct message *m);

/* session.c */
const struct transport *session_config(const struct session *s);
/* NULL: the transport is gone; SMTP, as good as any. */
enum session_protocol session_protocol(const struct transport *config);
void session_text(const struct message *m, char out[static QUEUE_REPLY_SIZE]);
void session_describe(const struct session *s, const struct transport *config,
    struct msg_session *msg);
void session_quit(struct session *s);
void session_rest(struct session *s);
void session_end(struct session *s, const struct outcome *outcome,
    const char *reply, bool died);
void session_fault(struct session *s, const char *why);
int session_start(struct queue *q, struct target *t);
void session_feed_all(struct queue *q, uint32_t ahead);
void session_job_committed(struct queue *q, struct job *job);
void session_job_failed(struct queue *q, struct job *job);
void session_quit_idle(struct queue *q);
void session_quit_all(struct queue *q);
void session_lost(struct session *s, const char *why);
/* What it does, or has in hand, is another: its clock may end at another time. */
void session_watch(struct session *s);
void session_kill_all(struct queue *q, const char *why);
void session_up(void *ctx, struct channel *from, const struct message *m);
void session_begun(void *ctx, struct channel *from, const struct message *m);
void session_committing(void *ctx, struct channel *from,
    const struct message *m);
void session_outcome(void *ctx, struct channel *from, const struct message *m);
void session_over(void *ctx, struct channel *from, const struct message *m);
void session_again(void *ctx, struct channel *from, const struct message *m);
void session_dialogue(void *ctx, struct channel *from, const struct message *m);
void session_gone(void *ctx, struct channel *from, const struct message *m);

/* settle.c */

/* A recipient with what its attempt was like; strings are borrowed. */
struct attempt {
	uint64_t id;
	uint32_t index;
	uint32_t flags; /* of the message */
	int64_t created_ms;
	uint32_t attempts; /* with this one */
	bool begun;        /* false: not counted as an attempt */
	bool was_in_doubt;
	bool expired; /* by an operator */
	bool lmtp;
	bool
	    suspended; /* nothing was tried; it waits for its destination only */
	bool waited;   /* and it was due when that failed */
	bool tried;    /* not begun, yet all that could be done */
	bool brief;    /* the next try is worth while in a moment */
	int64_t not_before_ms; /* real; the destination is blocked till then */
	uint32_t warned;
	const char *parameters; /* of MAIL */
	const char *reverse_path;
	const char *rcpt_parameters;
	const char *via;
	const char *recipient;
	const char *relay;
	const char *reply;
	struct outcome outcome;
	struct tls_info tls;
	int64_t delays_ms[4];
	const char *transport; /* NULL: it has none */
	struct target *target; /* NULL: none had a part in it */
	unsigned group;        /* of metrics.h */
};

/* What the store knows; the outcome is the caller's.  Strings are borrowed. */
struct attempt settle_attempt(const struct store_envelope *envelope,
    const struct store_recipient *recipient);
void settle(struct queue *q, const struct attempt *attempt);
/* Whether its time in the queue is over, or its sender's. */
bool settle_is_over(const struct queue *q, const struct attempt *a,
    int64_t now_ms);
/* The attempt never began, or came to nothing: it is due again at once, with the
 * others. */
void settle_unbegun(struct queue *q, uint64_t id, uint32_t index, bool in_doubt,
    int64_t due_ms);
void settle_outcome(struct outcome *outcome, unsigned status, unsigned step,
    const char *dsn);

#endif
