/* SPDX-License-Identifier: ISC */
/*
 * Who is next: the active set, in memory, and its destinations.
 *
 * A pure data structure: no I/O, no clock, no database.  Its two stories:
 *
 *   active.c    which recipients are in memory at all: at most
 *               active_recipients, and no domain more than half of what the
 *               others leave free, so that a newcomer always finds a place
 *   schedule.c  which destination gets the next free worker, how many each may
 *               have, and which transaction a session gets
 *
 * Times are milliseconds of one clock of the caller's.
 */
#ifndef MASTER_QUEUE_SCHEDULE_H
#define MASTER_QUEUE_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "master/queue/store.h"

struct schedule;

struct schedule_limits {
	uint32_t active_recipients;
	int64_t minimal_backoff_ms;
	int64_t maximal_backoff_ms;
};

/* Of a transport; its destinations share process_limit. */
struct schedule_transport {
	uint32_t process_limit;
	uint32_t initial_concurrency; /* sessions to a destination at first */
	uint32_t concurrency_limit;
	uint32_t recipient_limit; /* recipients a transaction; at least 1 */
};

/* A domain with recipients in memory, or blocked. */
struct schedule_domain {
	LIST_ENTRY(schedule_domain) hash;
	TAILQ_ENTRY(schedule_domain) entry; /* of all of them */
	struct store_cursor cursor; /* the store's rows up to it were seen */
	bool has_more;              /* rows behind the cursor were due */
	uint32_t loaded;
	uint32_t
	    stopped; /* rows seen since the first that are not to be loaded */
	int64_t blocked_until_ms; /* do not load before; 0: free */
	char name[];
};

/* A message with recipients in memory. */
struct schedule_message {
	LIST_ENTRY(schedule_message) hash;
	LIST_HEAD(, schedule_group) groups; /* its waiting recipients */
	uint64_t id;
	int64_t created_ms; /* the store's clock */
	uint64_t size;
	uint32_t flags;
	uint32_t nrcpts; /* of the envelope */
	uint32_t loaded; /* recipients in memory; at 0 the message goes */
	int body_fd;     /* the owner of the schedule fills it; or -1 */
	uint8_t *bits;   /* which recipients are in memory */
	const char *via;
	const char *reverse_path;
	const char *parameters; /* of MAIL */
	char text[];
};

struct schedule_recipient {
	STAILQ_ENTRY(schedule_recipient) entry;
	struct schedule_message *message;
	struct schedule_domain *domain;
	uint32_t index;
	uint32_t attempts; /* before this one */
	int64_t added_ms;  /* as given to schedule_add */
	bool in_doubt;
	const char *parameters; /* of RCPT; behind the address */
	char address[];
};

STAILQ_HEAD(schedule_recipients, schedule_recipient);

/* The waiting recipients of one message for one destination. */
struct schedule_group {
	TAILQ_ENTRY(schedule_group) entry;
	LIST_ENTRY(schedule_group) of_message;
	struct schedule_message *message;
	struct schedule_destination *destination;
	struct schedule_recipients recipients;
	uint32_t len;
};

struct schedule_destination {
	LIST_ENTRY(schedule_destination) hash;
	TAILQ_ENTRY(schedule_destination) entry; /* of all, in turn */
	TAILQ_HEAD(, schedule_group) groups;     /* first come, first served */
	uint32_t transport;
	uint32_t variant;     /* the owner's; most have 0 */
	uint32_t waiting;     /* groups */
	uint32_t sessions;    /* live, or being made */
	uint32_t concurrency; /* as many it may have now */
	uint32_t successes;   /* since concurrency last grew */
	uint32_t failures;    /* in a row, without any success */
	int64_t blocked_until_ms;
	int64_t keep_until_ms; /* what data knows is worth keeping till then */
	bool paused;           /* by the owner: no new session, not freed */
	bool stopped;          /* by an operator: no new session */
	void *data;            /* the owner's; see schedule_hooks */
	char next_hop[];
};

struct schedule_hooks {
	void *ctx;
	/* Before it is freed: close body_fd. */
	void (*message_gone)(void *ctx, struct schedule_message *message);
	/* Before it is freed: clear data. */
	void (*destination_gone)(struct schedule_destination *destination);
};

struct schedule *schedule_new(const struct schedule_limits *limits,
    const struct schedule_hooks *hooks);
void schedule_free(struct schedule *schedule);
void schedule_set_limits(struct schedule *schedule,
    const struct schedule_limits *limits);

/* -1 with errno where it cannot grow. */
int schedule_set_transport(struct schedule *schedule, uint32_t transport,
    const struct schedule_transport *limits);

/* The active set (active.c). */

/* How many more recipients of a domain may be in memory now. */
uint32_t schedule_room(const struct schedule *schedule, const char *domain,
    int64_t now_ms);

/* Finds, or makes; NULL with errno. */
struct schedule_domain *schedule_domain(struct schedule *schedule,
    const char *name);
struct schedule_domain *schedule_find_domain(const struct schedule *schedule,
    const char *name);

/* Frees those that hold nothing any more, all blocks behind now_ms included. */
void schedule_sweep(struct schedule *schedule, int64_t now_ms);

/* The first of all domains in memory; go on by entry. */
struct schedule_domain *schedule_first_domain(struct schedule *schedule);

struct schedule_message *schedule_find_message(const struct schedule *schedule,
    uint64_t id);

bool schedule_is_loaded(const struct schedule *schedule, uint64_t message,
    uint32_t index);

/*
 * schedule_add - a recipient begins to wait for a destination.
 *
 * The message is made from the envelope where it is not in memory yet.
 * 0, or -1 with errno: EEXIST where it is in memory already.
 */
int schedule_add(struct schedule *schedule,
    struct schedule_destination *destination,
    const struct store_envelope *envelope,
    const struct store_recipient *recipient, int64_t now_ms);

/* Forgets a recipient that schedule_take or _suspend gave. */
void schedule_forget(struct schedule *schedule,
    struct schedule_recipient *recipient);

uint32_t schedule_active(const struct schedule *schedule);

/* What an operator asks for (withdraw.c). */

/*
 * schedule_withdraw - forget a recipient that waits for a session.
 *
 * False: a session has it.  True: it is not in memory, or was taken out.
 */
bool schedule_withdraw(struct schedule *schedule, uint64_t message,
    uint32_t index);

/* Nothing is too early any more for what goes there, in any variant. */
void schedule_lift(struct schedule *schedule, uint32_t transport,
    const char *next_hop);

/* Destinations and their sessions (schedule.c). */

/* Finds, or makes; NULL with errno.  Destinations that differ in their variant
 * alone share nothing but their transport's process limit. */
struct schedule_destination *schedule_destination(struct schedule *schedule,
    uint32_t transport, const char *next_hop, uint32_t variant);

struct schedule_destination *schedule_first_destination(
    struct schedule *schedule);

/*
 * schedule_pick - the destination whose turn it is to get a new session.
 *
 * One with more waiting groups than sessions that would take them at once,
 * below its concurrency, not blocked, and of a transport below its process
 * limit.  NULL: none, or workers_left is 0.  A picked one goes to the end.
 */
struct schedule_destination *schedule_pick(struct schedule *schedule,
    uint32_t workers_left, int64_t now_ms);

/* Whether one would be picked but for the lack of a worker. */
bool schedule_is_short(struct schedule *schedule, int64_t now_ms);

/*
 * schedule_take - the next transaction for a session of this destination.
 *
 * Moves at most recipient_limit recipients of one message to *recipients, and
 * returns how many.
 */
uint32_t schedule_take(struct schedule *schedule,
    struct schedule_destination *destination,
    struct schedule_recipients *recipients);

/* Puts recipients of one transaction back, first in turn. */
int schedule_give_back(struct schedule *schedule,
    struct schedule_destination *destination,
    struct schedule_recipients *recipients);

void schedule_session_begun(struct schedule *schedule,
    struct schedule_destination *destination);
void schedule_session_ended(struct schedule *schedule,
    struct schedule_destination *destination);

/* A transaction went through: there is room for more sessions. */
void schedule_succeeded(struct schedule *schedule,
    struct schedule_destination *destination);

/*
 * schedule_failed - a session failed before it could take anything.
 *
 * True: no session is left that works, and the destination is blocked for a
 * time that doubles; the caller suspends what waits.
 */
bool schedule_failed(struct schedule *schedule,
    struct schedule_destination *destination, int64_t now_ms);

/*
 * schedule_suspend - take all that waits off a blocked destination.
 *
 * The domains of these recipients are blocked as long as the destination is,
 * but not by a variant of it: others of the domain have another one.
 */
void schedule_suspend(struct schedule *schedule,
    struct schedule_destination *destination,
    struct schedule_recipients *recipients);

/* Frees it where nothing waits, nothing runs, and nothing is to be kept. */
void schedule_release(struct schedule *schedule,
    struct schedule_destination *destination, int64_t now_ms);

/* When a block ends behind which somebody waits; 0: none. */
int64_t schedule_wake_ms(const struct schedule *schedule, int64_t now_ms);

/*
 * schedule_retry_ms - how long a recipient waits after so many attempts.
 *
 * The minimum after the first, then doubled, up to the maximum, less up to an
 * eighth by chance, so that what failed together does not come back together.
 */
int64_t schedule_retry_ms(const struct schedule_limits *limits,
    uint32_t attempts, uint32_t chance);

#endif
