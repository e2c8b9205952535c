/* SPDX-License-Identifier: ISC */
/*
 * What an operator does to many recipients at once, and listings: in pieces, so
 * that deliveries go on meanwhile, and each piece in a commit with all else.
 *
 *   action.c      an action from its beginning to its end, and its turns
 *   action_row.c  what one recipient gets of it
 */
#ifndef MASTER_QUEUE_ACTION_H
#define MASTER_QUEUE_ACTION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/message.h"
#include "common/role.h"
#include "master/queue/change.h"
#include "master/queue/selector.h"
#include "master/queue/store.h"

enum {
	ACTIONS_MAX = 16,
	ACTION_LOOK = 2000, /* rows read in a turn */
	ACTION_PIECE = 250, /* of them changed */
	ACTION_TURN_MS = 10,
	ACTION_TELL_MS = 200, /* between two words on how far it is */
	ACTION_SHOWN = 10,    /* rows of a dry run */
};

struct attempt;
struct census;
struct json_out;
struct queue;
struct schedule_recipient;

/* A recipient of the piece that is to be committed. */
struct action_row {
	uint64_t id;
	uint32_t index;
	bool settled; /* by settle(), and nothing is left to do */
	bool failed;  /* it is not there any more */
	bool removed; /* and so is its message */
	enum store_state state;
	int64_t next_attempt_ms;
	char address[MSG_ADDRESS_SIZE];
};

struct action {
	struct change change; /* its piece, for the commit */
	TAILQ_ENTRY(action) entry;
	struct queue *queue;
	uint64_t request;
	uint32_t uid;
	enum act_verb verb;
	bool dry;
	bool committing; /* its piece waits for the commit */
	bool at_end;     /* all rows were seen */
	bool stopped;    /* it goes no further, and says so */
	bool cancelled;  /* nobody hears of it any more */
	bool more;       /* LIST: the limit cut it short */
	bool is_wish;    /* action_carry_out() */
	uint32_t limit;
	uint32_t shown;
	uint32_t next_id; /* of the selector's, the one to look at */
	struct selector *selector;
	struct store_cursor cursor;
	uint64_t seen;
	bool named; /* some of it has the destination or domain that is meant */
	uint64_t done;
	uint64_t busy; /* a session had them: untouched */
	int64_t told_ms;
	int64_t turn_until_ms;
	/* SUMMARY (summary.h). */
	enum summary_by by;
	bool is_census; /* nobody asked for it; for TOP and EXPLAIN */
	struct census *census;
	int64_t work_ms; /* without the pauses between turns */
	char lifted[STORE_DOMAIN_SIZE]; /* the domain that was freed last */
	uint32_t len;
	struct action_row rows[ACTION_PIECE];
};

/* The walk of summary.h; NULL: no memory for it. */
struct action *action_count(struct queue *q);

/* ACT and STOP. */
void action_begin(void *ctx, struct channel *from, const struct message *m);
void action_stop(void *ctx, struct channel *from, const struct message *m);

/* The client is gone: it ends between two pieces. */
void action_cancel(struct queue *q, uint64_t request);
void action_cancel_all(struct queue *q);
void action_clear(struct queue *q);
void action_turns(evutil_socket_t fd, short what, void *arg);

/* A member that says that there is nothing of the name that was given. */
void action_unknown_out(const struct action *a, struct json_out *out);

/*
 * The attempt of a recipient is over without an end, and what an operator wanted
 * of it meanwhile is done: DELETE, after what its attempt was like.
 */
void action_carry_out(struct queue *q, const struct schedule_recipient *r);
/* EXPIRE: into what settle() is given; reply holds its text. */
void action_fail(struct attempt *attempt, char *reply, size_t size);

/* action_row.c */

/* What a row that fits gets; a walk's answer. */
int action_take(struct action *a, const struct store_envelope *envelope,
    const struct store_recipient *recipient);
void action_way(struct queue *q, const struct store_envelope *envelope,
    const struct store_recipient *recipient, struct selector_way *way);
/* One more row of it, of a recipient whose attempt is over. */
void action_add_wish(struct action *a, const struct schedule_recipient *r);
/* Writes, logs and heeds the piece. */
int action_write_rows(struct queue *q, struct action *a);
void action_tell_rows(struct queue *q, struct action *a);
const char *action_name(enum act_verb verb);

#endif
