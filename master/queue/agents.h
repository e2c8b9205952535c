/* SPDX-License-Identifier: ISC */
/*
 * The agents, and the worker that each of them forked for a session.
 *
 * One agent forks; those before it have workers yet.  A worker counts from FORK
 * until its agent says GONE, whatever became of its session: one that does not
 * end by itself is killed, and an agent that does not say so is ended, with all
 * its workers, by the master.
 */
#ifndef MASTER_QUEUE_AGENTS_H
#define MASTER_QUEUE_AGENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/role.h"

enum {
	AGENTS_WAIT_MS = 100, /* so long, then see again */
};

struct agents;
struct queue;
struct worker_ref;

int agents_init(struct queue *q);
void agents_clear(struct queue *q);

/* A new one, as the master names it; fd is ours from here on. */
int agents_take(struct queue *q, int fd, uint32_t pid);
/* A channel of one ended, and its workers with it; why: the rule that it broke,
 * or NULL. */
void agents_closed(struct queue *q, struct channel *channel, const char *why);

/* Whether there is one to fork. */
bool agents_can_fork(const struct queue *q);

/* Has a worker forked for a session; fd stays the caller's.  NULL: no memory. */
struct worker_ref *agents_fork(struct queue *q, uint32_t session, int line_fd,
    int fd);

/* Its session is over: the worker has a moment to end, or is killed at once.  The
 * reference is void. */
void agents_release(struct queue *q, struct worker_ref *worker);
void agents_kill(struct queue *q, struct worker_ref *worker);

/*
 * Its worker crashed, or was taken over: who knows the agent's memory now may
 * guess at nothing in the next one of it.  Another agent is asked for.
 */
void agents_spoil(struct queue *q, const struct worker_ref *worker);
void agents_spoil_channel(struct queue *q, const struct channel *from);

/* Which agent forked it, or forks now; none has 0. */
uint64_t agents_serial(const struct worker_ref *worker);
/* Whether a destination whose worker that agent forked waits for the next one. */
bool agents_must_wait(struct queue *q, uint64_t serial);

/* GONE: of a worker of that agent; false: it has none of that number. */
bool agents_worker_gone(struct queue *q, const struct channel *from,
    uint32_t session);

/* It broke a rule: it is ended, and its workers with it. */
void agents_fault(struct queue *q, const struct channel *from, const char *why);

/* Workers that live. */
uint32_t agents_workers(const struct queue *q);

#endif
