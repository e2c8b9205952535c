/* SPDX-License-Identifier: ISC */
/*
 * The queue on disk: envelopes, recipients with their states, and bodies.
 *
 * One process holds a store, and holds it alone; or two, while one generation of
 * posternd hands it to the next.  This header is the whole
 * doorway: nothing outside knows that SQLite stands behind it, so a second
 * engine needs no change to the scheduler.
 *
 * Writing goes in groups: store_begin, any number of changes, store_commit.
 * What a commit has confirmed outlives a power failure.  Any failure inside a
 * group calls for store_rollback, which undoes the whole group.
 *
 * 0 or -1 with errno: ENOSPC for a full disk, EBADMSG for a damaged database,
 * ENOMEM, EIO; never abort.  Times are CLOCK_REALTIME in milliseconds.
 */
#ifndef MASTER_QUEUE_STORE_H
#define MASTER_QUEUE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	STORE_DOMAIN_SIZE = 256, /* RFC 5321, 4.5.3.1.2, and a NUL */
	STORE_ID_SIZE = 17,      /* 16 hex digits and a NUL */
};

enum store_state {
	STORE_QUEUED,    /* waits for its first attempt, or is due again */
	STORE_ACTIVE,    /* a worker has it; a crash now leaves doubt */
	STORE_DELIVERED, /* final; its row goes at once, or after its notice */
	STORE_DEFERRED,  /* waits for next_attempt_ms */
	STORE_FAILED,    /* final; kept until store_expire_failed */
	STORE_HELD,      /* waits for an operator */
	STORE_STATE_COUNT
};

struct store;

struct store_options {
	const char *spool;          /* directory, or ":memory:" */
	const char *name;           /* the same for people; NULL: spool */
	uint64_t inline_body_limit; /* a larger body is a file */
	bool beside; /* another process has it open, and goes on */
};

struct store_envelope {
	uint64_t id;        /* never reused; 0 before store_add_message */
	int64_t created_ms; /* when we took it */
	uint64_t size;      /* octets on the wire */
	uint32_t flags;     /* the caller's own bits */
	uint32_t uid;       /* who handed it in */
	uint32_t nrcpts;    /* as handed in; those left may be fewer */
	const char *reverse_path;
	const char *parameters; /* of MAIL (common/parameters.h), or "" */
	int64_t deadline_ms;    /* by which it goes back if it waits; 0: none */
	int64_t remind_ms;      /* when it is late, as its sender sees it; 0 */
	const char *ref;        /* the client's own name for it, or "" */
	const char *via;        /* the transport it asked for, or "" */
	uint32_t lane;          /* of its recipients, as they come in */
};

struct store_recipient {
	uint64_t message;
	uint32_t index; /* its place in the envelope, from 0 */
	enum store_state state;
	int64_t next_attempt_ms; /* 0 where none is planned */
	int64_t finished_ms; /* of the last attempt's end; 0: there was none */
	uint32_t attempts;
	int code; /* of the last reply, or 0 */
	uint32_t step; /* where the last attempt was decided; the caller's */
	bool in_doubt;
	uint32_t warned; /* the delays that have been told of; caller's bits */
	uint32_t lane;   /* whose turn it is within the domain */
	uint32_t notice; /* the notice that is to be written; 0: none */
	const char *via; /* another transport than the message's, or "" */
	const char *address;
	const char *parameters; /* of RCPT, or "" */
	const char *domain;     /* lower case, without the '@'; may be "" */
	const char *dsn;
	const char *reply;
	const char *relay;
};

/* What became of one recipient. */
struct store_outcome {
	uint64_t message;
	uint32_t index;
	enum store_state state;
	int64_t next_attempt_ms; /* QUEUED and DEFERRED */
	int64_t finished_ms;     /* the end of the attempt */
	int code;
	uint32_t step; /* goes with dsn, as code does */
	bool in_doubt; /* perhaps delivered; once set, it stays */
	bool begun;    /* false: the attempt never began and is not counted */
	uint32_t
	    notice; /* to be written; 0: none, and where it waits, as it was */
	uint32_t warned; /* bits that are set with it */
	const char *dsn; /* NULL: it stays as it was, and the code too */
	const char *reply;
	const char *relay;
};

/* A place in the order of a lane's due recipients; zeroed is its start. */
struct store_cursor {
	int64_t next_attempt_ms;
	uint64_t message;
	uint32_t index;
};

struct store_filter {
	uint32_t states;    /* bits 1 << STORE_...; 0 is all */
	const char *domain; /* or NULL for all */
	uint64_t message;   /* or 0 for all */
};

struct store_recovered {
	uint64_t messages;     /* in the store */
	uint64_t in_doubt;     /* recipients a crash found active */
	uint64_t swept_bodies; /* files that no envelope named */
	uint64_t lost_bodies;  /* envelopes whose file is gone: see log */
};

/*
 * Called once a row; the strings hold until it returns.  Another answer than
 * 0 ends the walk, and becomes the walk's own.
 */
typedef int (*store_row_fn)(const struct store_envelope *envelope,
    const struct store_recipient *recipient, void *arg);

/*
 * store_open - open the queue, or create it, and take it for this process.
 *
 * Afterwards nothing is opened but files in the spool's own "bodies", through
 * a descriptor held from here on: the caller may go into a chroot.
 *
 * -1: error holds a sentence for the operator, with what to do.
 */
int store_open(const struct store_options *options, struct store **storep,
    char *error, size_t error_size);
void store_close(struct store *store);

/* Of what comes in from here on. */
void store_set_inline_limit(struct store *store, uint64_t octets);

/*
 * store_recover - put right what a crash left, once, before anything else.
 *
 * Recipients found active become queued and in doubt.  Body files that no
 * envelope names are removed.
 */
int store_recover(struct store *store, int64_t now_ms,
    struct store_recovered *recovered);

int store_begin(struct store *store);
int store_commit(struct store *store);
void store_rollback(struct store *store);

/*
 * store_add_message - take over a message; part of the group.
 *
 * Every recipient becomes QUEUED, due at once.  body_fd is read from its
 * start to its end and stays the caller's.  envelope->nrcpts addresses, and as
 * many parameters, where NULL stands for "" and for nobody having any.
 */
int store_add_message(struct store *store,
    const struct store_envelope *envelope, const char *const *addresses,
    const char *const *parameters, int body_fd, uint64_t *idp);

/*
 * A message to many is added in parts, each in a group of its own, so that no
 * group takes long: first its recipients, who are due at no time; then itself,
 * from when on it is taken over; then the time of each.  What ends in the midst
 * is found by store_next_staged.
 *
 * store_stage: recipients from first up to end; *idp is the message's, 0 at the
 * first part, which sets it.  store_add_staged: the message, under envelope->id.
 * store_release_part: these are due then.  store_unstage_part: these go, of one
 * that was not taken over.  store_end_staged: nothing of it is left to do.
 */
int store_stage(struct store *store, const struct store_envelope *envelope,
    const char *const *addresses, const char *const *parameters, uint32_t first,
    uint32_t end, uint64_t *idp);
int store_add_staged(struct store *store, const struct store_envelope *envelope,
    int body_fd);
/* *countp: how many; an operator may have changed others meanwhile. */
int store_release_part(struct store *store, uint64_t message, uint32_t first,
    uint32_t end, int64_t due_ms, uint32_t *countp);
int store_unstage_part(struct store *store, uint64_t message, uint32_t first,
    uint32_t end);
int store_end_staged(struct store *store, uint64_t message);
/* An imported one whose release was not at its end. */
int store_begin_staged(struct store *store, uint64_t message);

struct store_staged {
	uint64_t message;
	int64_t created_ms;
	uint32_t end;     /* above the highest index of its recipients */
	bool is_complete; /* it was taken over */
};

/* 1: the next one behind after; 0: none. */
int store_next_staged(struct store *store, uint64_t after,
    struct store_staged *staged);

/* Counts an attempt; the commit must come before a worker sees the message. */
int store_mark_active(struct store *store, uint64_t message,
    uint32_t recipient_index);

/*
 * *removedp: the last recipient is gone, and the message with its body.  One
 * that is delivered stays while a notice of it is to be written.
 */
int store_set_outcome(struct store *store, const struct store_outcome *outcome,
    bool *removedp);

/* Forgets failed recipients that were final before that time, at most limit. */
int store_expire_failed(struct store *store, int64_t before_ms, uint32_t limit,
    uint32_t *countp);

/* Of a source, at most limit recipients due behind after_ms become due at
 * due_ms; part of the group. */
int store_hasten(struct store *store, const char *domain, uint32_t lane,
    int64_t after_ms, int64_t due_ms, uint32_t limit);

/* 1: this message is there, and was taken at that time; 0: it is not; -1. */
int store_is_taken(struct store *store, uint64_t message, int64_t created_ms);

/* The body as a memfd sealed against every change; the caller's to close. */
int store_body_fd(struct store *store, uint64_t message, int *fdp);

/*
 * store_next_source - the next lane of a domain with waiting mail, in order.
 *
 * 1: domain, *lanep and *earliest_ms hold it; 0: there is none behind "after"
 * and its lane.  after NULL starts.  Costs the same however much is queued.
 */
int store_next_source(struct store *store, const char *after,
    uint32_t after_lane, char domain[static STORE_DOMAIN_SIZE], uint32_t *lanep,
    int64_t *earliest_ms);

/* 1: *due_ms is when the next of a lane is due behind after_ms; 0: none. */
int store_next_due(struct store *store, const char *domain, uint32_t lane,
    int64_t after_ms, int64_t *due_ms);

/*
 * store_load_due - at most limit recipients of a domain's lane due by now_ms.
 *
 * Goes on behind *cursor, which it moves, but not over a row that was not taken
 * (row returned other than 0, which ends it).  Returns what row returned, or -1;
 * *countp how many there were.
 */
int store_load_due(struct store *store, const char *domain, uint32_t lane,
    struct store_cursor *cursor, int64_t now_ms, uint32_t limit,
    store_row_fn row, void *arg, uint32_t *countp);

/*
 * store_load_older - waiting recipients of messages taken before that time.
 *
 * Looks at no more than limit messages from *cursor on, oldest first, and moves
 * it behind the last row that was given: to zeros once there is none left, to
 * begin anew.  Another answer of row than 0 ends it, and becomes its own.
 */
int store_load_older(struct store *store, struct store_cursor *cursor,
    int64_t before_ms, uint32_t limit, store_row_fn row, void *arg);

/* Recipients that a worker has, or had when the queue ended. */
int store_load_active(struct store *store, uint32_t limit, store_row_fn row,
    void *arg);

/* Waiting recipients of messages whose deadline is over, at most limit behind
 * *cursor, whose next_attempt_ms is a deadline; as store_load_older. */
int store_load_late(struct store *store, struct store_cursor *cursor,
    int64_t now_ms, uint32_t limit, store_row_fn row, void *arg);

/*
 * Notices (store_notice.c).  What is to be told stands in a recipient's notice,
 * 0: nothing: its low four bits are the kind, each bit above a reader.
 *
 * store_next_owed: 1, *messagep the next behind after with one; 0: none.
 * store_load_owed: its recipients with one.
 * store_notice_told: the reader has been told of that kind; part of the group.
 * Who is told and delivered goes, and the message with the last (*removedp).
 * store_owe: a notice for one that waits, if it has none, nor had it (warned).
 */
int store_next_owed(struct store *store, uint64_t after, uint64_t *messagep);
int store_load_owed(struct store *store, uint64_t message, store_row_fn row,
    void *arg);
int store_notice_told(struct store *store, uint64_t message, uint32_t index,
    uint32_t kind, uint32_t reader, bool *removedp);
int store_owe(struct store *store, uint64_t message, uint32_t index,
    uint32_t notice, uint32_t warned, bool *changedp);

/* 1: *messagep is one that is late by now; 0: none.  And it has been seen to. */
int store_next_remind(struct store *store, int64_t now_ms, uint64_t *messagep);
int store_reminded(struct store *store, uint64_t message);

/* The body to be read by pread() alone, without a copy of a large one; the
 * caller's to close. */
int store_body_source(struct store *store, uint64_t message, int *fdp);

/*
 * store_list - at most limit recipients behind (message, index), in that order.
 *
 * The cursor's next_attempt_ms is not used.  To start, zero it.
 */
int store_list(struct store *store, struct store_cursor *cursor,
    const struct store_filter *filter, uint32_t limit, store_row_fn row,
    void *arg);

/*
 * Outcome reports (store_report.c): texts in the order they came, each under a
 * number that is never used again.
 *
 * store_add_report, store_forget_reports: part of the group; the latter at most
 * limit of those up to a number.  store_next_report: 1, the next behind after
 * (text NULL: without it); 0: none.
 */
int store_add_report(struct store *store, int64_t now_ms, const char *text);
int store_forget_reports(struct store *store, uint64_t until, uint32_t limit,
    uint32_t *countp);
int store_next_report(struct store *store, uint64_t after, uint64_t *idp,
    int64_t *created_ms, char *text, size_t size);
int store_count_reports(struct store *store, uint64_t *countp);

/* What an operator does to a recipient that waits or is held. */
struct store_change {
	uint64_t message;
	uint32_t index;
	enum store_state state;  /* HELD, or QUEUED */
	int64_t next_attempt_ms; /* QUEUED */
	const char *via;         /* NULL: it stays as it is */
};

/* Part of the group.  -1 with ENOENT: it neither waits nor is held. */
int store_change(struct store *store, const struct store_change *change);

/*
 * Rates (rates_kept.h): until when each one's bucket is not full, microseconds
 * since 1970.  store_get_rate: 0 where nothing is kept.  store_set_rate: part of
 * the group.
 */
int store_get_rate(struct store *store, const char *name, int64_t *full_usp);
int store_set_rate(struct store *store, const char *name, int64_t full_us);
int store_forget_rates(struct store *store, int64_t until_us);

/* The id of the message that was added last, or one that none has yet. */
uint64_t store_last_id(const struct store *store);

/* How many recipients are held because nobody can be told that they failed. */
int store_count_kept(struct store *store, uint64_t *countp);

/* How many recipients of a domain wait; counts no further than most. */
int store_count_waiting(struct store *store, const char *domain, uint32_t most,
    uint32_t *countp);

/* What is paused; kind is the caller's.  since_ms 0 ends a pause. */
int store_set_pause(struct store *store, uint32_t kind, const char *name,
    int64_t since_ms);
typedef int (*store_pause_fn)(uint32_t kind, const char *name, int64_t since_ms,
    void *arg);
int store_list_pauses(struct store *store, store_pause_fn pause, void *arg);

/* How many recipients each state has; kept, not counted. */
void store_count_states(struct store *store,
    uint64_t counts[static STORE_STATE_COUNT]);

uint64_t store_count_messages(const struct store *store);

/*
 * store_walk_ages - when messages came, and whether anything of them waits.
 *
 * Looks at no more than limit behind *afterp, oldest first, and moves it: to 0
 * once there is none left.
 */
typedef int (*store_age_fn)(int64_t created_ms, bool waits, void *arg);
int store_walk_ages(struct store *store, uint64_t *afterp, uint32_t limit,
    store_age_fn age, void *arg);
/*
 * Two processes (store_share.c).  Alone, a store costs no lock a group; shared,
 * it costs a few.
 *
 * store_share: from here on another process may open it.  store_alone: nobody
 * else has it open, and nobody else can open it; 1: so it is, 0: somebody has, and
 * nothing changed, -1 with errno.
 */
int store_share(struct store *store);
int store_alone(struct store *store);
bool store_is_shared(const struct store *store);

/* A message that the ending one of the two keeps to itself; part of the group.
 * store_is_kept: 1: it is one, 0: it is not, -1 with errno. */
int store_keep(struct store *store, uint64_t message);
int store_is_kept(struct store *store, uint64_t message);
/* Nobody keeps anything any more; part of the group. */
int store_keep_none(struct store *store);

/* One that was found active, whose process has ended, becomes queued and in
 * doubt; part of the group. */
int store_recover_one(struct store *store, uint64_t message, uint32_t index,
    int64_t now_ms);

/* What of the spool's disk others than root may still fill, in octets. */
int store_free_octets(const struct store *store, uint64_t *freep);

/* True: the disk is full, and a reserve was given up for what must be written. */
bool store_use_reserve(struct store *store);

/* Takes the reserve back once there is room; outside of a group.  True: it had
 * been given up, and is there again. */
bool store_keep_reserve(struct store *store);

/*
 * Commits go to a log first, and from there into the database many at a time.
 * That takes as long as some commits do: a process with a loop does it in a turn
 * of its own, outside of a group, when the log is long.  A commit does it itself
 * when the log is four times as long.
 */
bool store_log_is_long(const struct store *store);
void store_empty_log(struct store *store);

/* Whether the reserve is in use, which is not for new messages. */
bool store_is_tight(const struct store *store);

/* Whether the database was removed or replaced: what is written goes to a file that
 * has no name, and is lost when this process ends. */
bool store_is_removed(const struct store *store);

/* What the engine said of the last failure; for the log, never NULL. */
const char *store_error(const struct store *store);

/* The domain of an address in lower case; "" where there is none. */
void store_address_domain(const char *address,
    char domain[static STORE_DOMAIN_SIZE]);

/* A message's id as people see it: upper-case hex. */
void store_id_format(uint64_t id, char text[static STORE_ID_SIZE]);
int store_id_parse(const char *text, uint64_t *idp);

#endif
