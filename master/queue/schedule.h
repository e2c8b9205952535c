/* SPDX-License-Identifier: ISC */
/*
 * Who is next: the active set, in memory, and its destinations.
 *
 * A pure data structure: no I/O, no clock, no database.  Its stories:
 *
 *   active.c         which recipients are in memory at all: at most
 *                    active_recipients, no domain more than half of what the
 *                    others leave free, and no lane of a domain more than half
 *                    of that, so that a newcomer always finds a place
 *   schedule.c       destinations, and which transaction a session gets: the
 *                    lanes of a destination take turns
 *   schedule_turn.c  which destination gets the next free worker, and what
 *                    blocks one for a time
 *   schedule_limit.c, limit.c  rates and numbers of sessions that several may
 *                    share, and who waits for them
 *
 * Times are milliseconds of one clock of the caller's.
 */
#ifndef MASTER_QUEUE_SCHEDULE_H
#define MASTER_QUEUE_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "master/queue/feedback.h"
#include "master/queue/heap.h"
#include "master/queue/lane.h"
#include "master/queue/limit.h"
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
	uint32_t recipient_limit; /* recipients a transaction; at least 1 */
	struct feedback_rules feedback;
};

/* A domain with recipients in memory. */
struct schedule_domain {
	LIST_ENTRY(schedule_domain) hash;
	LIST_HEAD(, schedule_source) sources;
	uint32_t loaded;
	char name[];
};

/* Where in the store recipients come from: a lane of a domain. */
struct schedule_source {
	LIST_ENTRY(schedule_source) hash;
	LIST_ENTRY(schedule_source) of_domain;
	TAILQ_ENTRY(schedule_source) entry; /* of those with more, or idle */
	struct heap_node rest;              /* while it rests */
	struct schedule_domain *domain;
	uint32_t lane;
	uint32_t loaded;
	bool has_more;          /* rows behind the cursor are due */
	bool listed;            /* among those with more */
	bool idle;              /* among those with nothing */
	bool seen;              /* all that is due; the next look begins anew */
	uint32_t left;          /* rows of this look that may not be loaded */
	uint32_t left_at;       /* schedule->changes then */
	int64_t left_until_ms;  /* when the first of them may be */
	int64_t rests_until_ms; /* do not load before; 0: free */
	struct store_cursor cursor; /* the store's rows up to it were seen */
};

/* A message with recipients in memory. */
struct schedule_message {
	LIST_ENTRY(schedule_message) hash;
	uint64_t id;
	int64_t created_ms; /* the store's clock */
	uint64_t size;
	uint32_t flags;
	uint32_t nrcpts; /* of the envelope */
	uint32_t loaded; /* recipients in memory; at 0 the message goes */
	/* When those of them that were deferred last are due, after so many
	 * attempts; the owner of the schedule fills it. */
	int64_t due_ms;
	uint32_t due_attempts;
	int body_fd; /* the owner of the schedule fills it; or -1 */
	const char *via;
	const char *reverse_path;
	const char *parameters; /* of MAIL */
	char text[];
};

struct schedule_recipient {
	TAILQ_ENTRY(schedule_recipient) entry;
	LIST_ENTRY(schedule_recipient) hash;
	struct schedule_group *group; /* while it waits; NULL: in a session */
	struct schedule_message *message;
	struct schedule_source *source;
	uint32_t index;
	uint32_t attempts; /* before this one */
	int64_t added_ms;  /* as given to schedule_add */
	bool in_doubt;
	uint8_t
	    returns; /* by connections that were spent; it stops at UINT8_MAX */
	bool moved;  /* it goes another way than its message says */
	uint8_t warned;         /* as in the store */
	uint8_t wish; /* DELETE or EXPIRE, once its attempt is over; 0: none */
	uint32_t wish_uid;      /* whose */
	const char *parameters; /* of RCPT; behind the address */
	char address[];
};

TAILQ_HEAD(schedule_recipients, schedule_recipient);

/* The waiting recipients of one message for one destination. */
struct schedule_group {
	TAILQ_ENTRY(schedule_group) entry;
	LIST_ENTRY(schedule_group) hash;
	struct schedule_message *message;
	struct schedule_lane *lane;
	struct schedule_recipients recipients;
	uint32_t len;
};

/* The groups of one lane that wait for one destination. */
struct schedule_lane {
	LIST_ENTRY(schedule_lane) hash;
	TAILQ_ENTRY(schedule_lane) entry;    /* of its class, in turn */
	TAILQ_HEAD(, schedule_group) groups; /* first come, first served */
	struct schedule_destination *destination;
	uint32_t number;
};

TAILQ_HEAD(schedule_lanes, schedule_lane);

/* Where a destination stands. */
enum schedule_place {
	SCHEDULE_NOWHERE, /* it works, is blocked, or paused */
	SCHEDULE_READY,   /* it wants a session */
	SCHEDULE_WAITING, /* for a limit */
	SCHEDULE_IDLE,    /* nothing waits, nothing runs */
};

/* Who comes first among those that want a session. */
enum schedule_rank {
	SCHEDULE_FIRST,    /* it has none */
	SCHEDULE_PROVEN,   /* one of those it has got an answer to a message */
	SCHEDULE_UNPROVEN, /* none of them has yet */
	SCHEDULE_RANK_COUNT
};

struct schedule_destination {
	LIST_ENTRY(schedule_destination) hash;
	TAILQ_ENTRY(schedule_destination) entry; /* of all */
	TAILQ_ENTRY(schedule_destination) turn;  /* where it stands */
	struct schedule_lanes lanes[LANE_CLASS_COUNT];
	uint32_t turns_left[LANE_CLASS_COUNT];
	struct heap_node block; /* while blocked */
	enum schedule_place place;
	enum schedule_rank rank; /* while it wants a session */
	bool proven;             /* since it last had no session */
	struct limit_user limited;
	uint32_t transport;
	uint32_t variant;  /* the owner's; most have 0 */
	uint32_t waiting;  /* groups */
	uint32_t sessions; /* live, or being made */
	uint32_t failures; /* rests in a row, without any success */
	uint32_t failed;   /* sessions and questions in a row, as those */
	uint32_t probes;   /* that failed, as long */
	bool probing;      /* what comes back next is a probe's */
	bool brief;        /* its rest is */
	struct feedback feedback;
	int64_t blocked_until_ms;
	int64_t probe_ms;      /* when what is new may probe it in its rest */
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
	/* How long a destination rests that failed, in which minimal_backoff_ms
	 * is the most; NULL: that. */
	int64_t (*block_ms)(void *ctx,
	    const struct schedule_destination *destination);
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

/*
 * How many more recipients of a source may be in memory now.  fresh: they have
 * just come in, and are let into the last eighth, which the store's do not fill.
 */
uint32_t schedule_room(const struct schedule *schedule, const char *domain,
    uint32_t lane, bool fresh, int64_t now_ms);

/* Whether one more that just came in may be in memory, whosever it is. */
bool schedule_has_places(const struct schedule *schedule);

/* Whether the store has to be asked: enough places are free. */
bool schedule_is_hungry(struct schedule *schedule);

/* Finds, or makes; NULL with errno, ENOSPC where there are too many. */
struct schedule_source *schedule_source(struct schedule *schedule,
    const char *domain, uint32_t lane);
struct schedule_domain *schedule_find_domain(const struct schedule *schedule,
    const char *name);

/* Whether the store has more of it that is due. */
void schedule_set_more(struct schedule *schedule,
    struct schedule_source *source, bool has_more);

/*
 * The next source with more that does not rest, in turn; NULL: none that was
 * not given since something changed.
 */
struct schedule_source *schedule_next_source(struct schedule *schedule);

/* Whether it would give one. */
bool schedule_has_source(const struct schedule *schedule);

/* What schedule_next_source gave was of use, or may be so now. */
void schedule_sources_changed(struct schedule *schedule);

/*
 * What becomes due by a clock that was set back is behind the places of its
 * sources: all are read from their beginning again.  What is in memory is known,
 * so nothing comes twice.
 */
void schedule_rewind(struct schedule *schedule);

/* Frees what holds nothing any more; goes through a bounded part of all. */
void schedule_sweep(struct schedule *schedule, int64_t now_ms);

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

/* What is to be done to a recipient that a session has, once that gave it back:
 * ACT_DELETE or ACT_EXPIRE, as this user asked. */
void schedule_wish(struct schedule *schedule, uint64_t message, uint32_t index,
    uint8_t verb, uint32_t uid);

/* Nothing is too early any more for what goes there, in any variant. */
void schedule_lift(struct schedule *schedule, uint32_t transport,
    const char *next_hop);

/* The sources of a domain are looked at again. */
void schedule_lift_domain(struct schedule *schedule,
    struct schedule_domain *domain);

/* No new session, or again. */
void schedule_stop(struct schedule *schedule,
    struct schedule_destination *destination, bool stopped);

/*
 * Rows that are due and stay in the store, since their destination rests or is
 * stopped (active.c).  Others of the same source are loaded: which way a
 * recipient goes is not its domain's matter alone.
 *
 * schedule_look_begins: before a source is read; where rows were left, and may
 * be so no more, from its beginning.  schedule_leave: one is left, until then
 * at least.  schedule_look_ends: not all rows are read again at every turn; the
 * more were left, the later.
 */
void schedule_look_begins(struct schedule *schedule,
    struct schedule_source *source);
void schedule_leave(struct schedule *schedule, struct schedule_source *source,
    int64_t until_ms);
void schedule_look_ends(struct schedule *schedule,
    struct schedule_source *source, uint32_t left, bool all_seen,
    int64_t now_ms);

/* What is left may be so no more: all are looked at again. */
void schedule_end_rests(struct schedule *schedule);

/* Destinations and their transactions (schedule.c). */

/* Finds, or makes; NULL with errno.  Destinations that differ in their variant
 * alone share nothing but their transport's process limit. */
struct schedule_destination *schedule_destination(struct schedule *schedule,
    uint32_t transport, const char *next_hop, uint32_t variant);

/* Finds alone; SCHEDULE_ANY_VARIANT: one of them.  NULL: there is none. */
#define SCHEDULE_ANY_VARIANT UINT32_MAX
struct schedule_destination *schedule_find_destination(
    const struct schedule *schedule, uint32_t transport, const char *next_hop,
    uint32_t variant);

struct schedule_destination *schedule_first_destination(
    struct schedule *schedule);

/*
 * schedule_take - the next transaction for a session of this destination.
 *
 * Moves at most recipient_limit recipients of one message to *recipients, and
 * returns how many.  The lane whose turn it was goes to the end.
 */
uint32_t schedule_take(struct schedule *schedule,
    struct schedule_destination *destination,
    struct schedule_recipients *recipients);

/* Puts recipients of one transaction back, first in turn. */
int schedule_give_back(struct schedule *schedule,
    struct schedule_destination *destination,
    struct schedule_recipients *recipients);

/*
 * The store's again, which shows them to us anew: they may have another way.
 * They are behind the places of their sources, which are read from their
 * beginning again; what else is in memory is known, so nothing comes twice.
 */
void schedule_put_back(struct schedule *schedule,
    struct schedule_recipients *recipients);

/* schedule_suspend - take all that waits off a destination. */
void schedule_suspend(struct schedule *schedule,
    struct schedule_destination *destination,
    struct schedule_recipients *recipients);

/*
 * schedule_retry_ms - how long a recipient waits after so many attempts.
 *
 * The minimum after the first, then doubled, up to the maximum, less up to an
 * eighth by chance, so that what failed together does not come back together.
 */
int64_t schedule_retry_ms(const struct schedule_limits *limits,
    uint32_t attempts, uint32_t chance);

/* Turns, and what keeps a destination from them (schedule_turn.c). */

/*
 * schedule_pick - the destination whose turn it is to get a new session.
 *
 * One with mail that waits, below its concurrency, not blocked, of a transport
 * below its process limit, and with no limit against it.  NULL: none, or
 * workers_left is 0.  A picked one goes to the end of its rank.
 *
 * A session may hang for as long as the timers let it.  So that those that do
 * leave workers to others, who has a session already comes after who has none,
 * and gets another before the first got an answer to a message only while more
 * than half of the workers are free.
 */
struct schedule_destination *schedule_pick(struct schedule *schedule,
    uint32_t workers_left, int64_t now_ms);

/* Whether one would be picked but for the lack of a worker. */
bool schedule_is_short(struct schedule *schedule, int64_t now_ms);

/* Whether a live session may take one more transaction; where a rate is against
 * it, the destination waits for that. */
bool schedule_may_take(struct schedule *schedule,
    struct schedule_destination *destination, int64_t now_ms);

void schedule_session_begun(struct schedule *schedule,
    struct schedule_destination *destination);
void schedule_session_ended(struct schedule *schedule,
    struct schedule_destination *destination);

/* A transaction had its answer: there is room for more sessions. */
void schedule_succeeded(struct schedule *schedule,
    struct schedule_destination *destination);

/* How a session failed, and with it its destination. */
enum schedule_failure {
	SCHEDULE_FAILED, /* the next try is worth while only after a time */
	SCHEDULE_BRIEF,  /* it may be back in a moment: 1 s, then 2, 4 ... */
	SCHEDULE_DOUBT, /* the same, and each try may deliver a message twice */
	SCHEDULE_LOGIN, /* each try may be what locks our account */
};

/*
 * schedule_failed - a session failed before a message had its answer.
 *
 * True: the destination is dead, and rests, never longer than minimal_backoff_ms;
 * the caller suspends what waits, unless the rest is brief.
 */
bool schedule_failed(struct schedule *schedule,
    struct schedule_destination *destination, enum schedule_failure failure,
    int64_t now_ms);

/* Whether it rests now, and whether for so short a time that what waits may
 * stay in memory. */
bool schedule_is_resting(const struct schedule_destination *destination,
    int64_t now_ms);
bool schedule_rests_briefly(const struct schedule_destination *destination,
    int64_t now_ms);

/*
 * schedule_may_probe - whether a new recipient may wait for a session though its
 * destination rests, since it may be the one to find that it works again.
 *
 * There is one probe at a time, and some time between them, which grows up to a
 * tenth of minimal_backoff_ms; few wait for it.  at_once: only where it may
 * begin now.
 */
bool schedule_may_probe(struct schedule *schedule,
    struct schedule_destination *destination, bool at_once, int64_t now_ms);

/* No session before the owner says so. */
void schedule_pause(struct schedule *schedule,
    struct schedule_destination *destination, bool paused);

/* No session before that time; 0: as soon as may be. */
void schedule_block(struct schedule *schedule,
    struct schedule_destination *destination, int64_t until_ms);

/* How many destinations are blocked now. */
uint32_t schedule_blocked(const struct schedule *schedule);

/* Ends the blocks that are over, and lets those go on who waited for a limit. */
void schedule_turn(struct schedule *schedule, int64_t now_ms);

/* When schedule_turn has something to do; 0: no time is known. */
int64_t schedule_wake_ms(struct schedule *schedule, int64_t now_ms);

/* Limits of a destination; see limit.h.  NULL: none. */
void schedule_set_limit(struct schedule *schedule,
    struct schedule_destination *destination, enum limit_slot slot,
    struct limit *limit);
struct limit *schedule_limit_new(struct schedule *schedule);
/* As limit_set. */
void schedule_limit_change(struct schedule *schedule, struct limit *limit,
    const struct rate *rates, size_t nrates, uint32_t session_limit,
    int64_t now_ms);
/* The first from whose rates something was taken since limit_unchanged(). */
struct limit *schedule_changed_limit(const struct schedule *schedule);
/* One that is a limit of nobody. */
void schedule_limit_free(struct schedule *schedule, struct limit *limit);

#endif
