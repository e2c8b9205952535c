/* SPDX-License-Identifier: ISC */
/*
 * What the master tells of the processes: who they are, and what holds them.
 *
 * A process takes a millisecond, for its memory is counted page by page: they are
 * listed at once, and looked at by turns.
 */
#include "master/master_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/landlock.h"
#include "common/log.h"
#include "common/util.h"
#include "master/layers.h"

enum {
	STATUS_WORKERS_MAX = 512, /* of an agent, told of by one STATUS_ASK */
	STATUS_ROLES_MAX = 16,
	STATUS_ROWS_MAX = 2 * (STATUS_WORKERS_MAX + STATUS_ROLES_MAX),
	STATUS_ANSWERS_MAX = 1024, /* as many clients as the control role has */
	STATUS_TURN_MS = 10,
};

struct row {
	unsigned role;
	pid_t pid;
	pid_t servant; /* whose walls it has; 0: of another generation */
	uint32_t era;
	uint32_t restarts;
	uint64_t since_s;
};

struct answer {
	TAILQ_ENTRY(answer) entry;
	struct channel *to;
	uint64_t request;
	size_t next, n;
	struct row rows[];
};

struct status {
	struct master *master;
	struct event *timer;
	TAILQ_HEAD(, answer) answers;
	size_t n;
};

/* "key=value" words of a process, with what /proc does not show. */
void
status_describe(const struct servant *s, pid_t pid, char *out, size_t size)
{
	size_t len;

	if (layers_read(pid, out, size) == -1) {
		out[0] = '\0';
		return;
	}
	len = strlen(out);
	if (s == NULL)
		return;
	if (s->landlock_abi == 0)
		(void)snprintf(out + len, size - len, " landlock=no,%s",
		    landlock_word(s->landlock_error));
	else
		(void)snprintf(out + len, size - len, " landlock=abi-%u%s",
		    s->landlock_abi, s->landlock_shown ? ",seen" : "");
	len = strlen(out);
	if (s->master->refusal.step != NULL)
		(void)snprintf(out + len, size - len, " namespaces_refused=%s",
		    s->master->refusal.step);
}

/* Which generation it is of, behind what /proc tells. */
static void
add_generation(char *out, size_t size, uint32_t era)
{
	size_t len = strlen(out);

	if (len > 0)
		(void)snprintf(out + len, size - len, " generation=%u", era);
}

static const struct servant *
servant_of(const struct master *m, pid_t pid)
{
	const struct servant *s;

	TAILQ_FOREACH(s, &m->servants, entry)
		if (pid != 0 && s->pid == pid)
			return s;
	return NULL;
}

static void
send_row(const struct master *m, const struct answer *a, const struct row *row)
{
	struct msg_status status = { 0 };
	char layers[2048];

	status.request = a->request;
	status.role = row->role;
	status.pid = (uint32_t)row->pid;
	status.restarts = row->restarts;
	status.since_s = row->since_s;
	status.last = row->role == ROLE_MASTER && row->era == m->era;
	status_describe(servant_of(m, row->servant), row->pid, layers,
	    sizeof(layers));
	if (layers[0] == '\0' && !status.last)
		return; /* it has ended */
	add_generation(layers, sizeof(layers), row->era);
	(void)channel_send(a->to, MSG_STATUS, &status, layers, strlen(layers),
	    -1); /* who asked may be gone */
}

static void
add_row(struct answer *a, const struct row *row)
{
	if (a->n < STATUS_ROWS_MAX)
		a->rows[a->n++] = *row;
}

static void
add_workers(struct answer *a, pid_t agent, bool is_ours, uint32_t era)
{
	pid_t workers[STATUS_WORKERS_MAX];
	size_t i, n = layers_children(agent, workers, NELEM(workers));
	struct row row = { .role = ROLE_WORKER,
		.servant = is_ours ? agent : 0,
		.era = era };

	for (i = 0; i < n; i++) {
		row.pid = workers[i];
		add_row(a, &row);
	}
}

static void
add_ours(struct answer *a, const struct master *m)
{
	const struct servant *s;
	struct row row = { .era = m->era };

	TAILQ_FOREACH(s, &m->servants, entry) {
		if (s->pid == -1)
			continue;
		row.role = s->desc->role;
		row.pid = row.servant = s->pid;
		row.restarts = s->restarts;
		row.since_s = (uint64_t)s->started_real_ms / 1000;
		add_row(a, &row);
		if (row.role == ROLE_AGENT)
			add_workers(a, s->pid, true, m->era);
	}
}

/* The master of the former generation and its roles, as long as they live. */
static void
add_former(struct answer *a, const struct master *m)
{
	const struct former *f;
	struct row row = { .era = m->era - 1 };
	size_t i;

	for (i = 0; i < m->kin.nformer; i++) {
		f = &m->kin.former[i];
		row.role = f->role;
		row.pid = f->pid;
		row.restarts = f->restarts;
		row.since_s = f->since_s;
		add_row(a, &row);
		if (f->role == ROLE_AGENT)
			add_workers(a, f->pid, false, m->era - 1);
	}
}

static void
send_last(const struct master *m, const struct answer *a)
{
	struct row row = { .role = ROLE_MASTER,
		.pid = getpid(),
		.era = m->era };

	send_row(m, a, &row);
}

static void
answer_free(struct status *st, struct answer *a)
{
	TAILQ_REMOVE(&st->answers, a, entry);
	st->n--;
	free(a);
}

/* The answers in their order, for as long as a turn may take. */
static void
on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct status *st = arg;
	struct answer *a, *next;
	int64_t until_ms = time_monotonic_ms() + STATUS_TURN_MS;

	(void)fd;
	(void)what;
	for (a = TAILQ_FIRST(&st->answers);
	     a != NULL && time_monotonic_ms() < until_ms; a = next) {
		while (a->next < a->n && time_monotonic_ms() < until_ms)
			send_row(st->master, a, &a->rows[a->next++]);
		next = TAILQ_NEXT(a, entry);
		if (a->next < a->n)
			break;
		send_last(st->master, a);
		answer_free(st, a);
	}
	if (!TAILQ_EMPTY(&st->answers) &&
	    evtimer_add(st->timer, &(struct timeval){ 0 }) == -1)
		log_line(LOG_ERROR,
		    "no memory: who asked for the status waits");
}

void
status_open(struct master *m)
{
	struct status *st = calloc(1, sizeof(*st));

	if (st == NULL)
		fatal("no memory");
	st->master = m;
	TAILQ_INIT(&st->answers);
	st->timer = evtimer_new(m->role.base, on_turn, st);
	if (st->timer == NULL)
		fatal("no memory");
	m->status = st;
}

void
status_close(struct master *m)
{
	struct answer *a;

	while ((a = TAILQ_FIRST(&m->status->answers)) != NULL)
		answer_free(m->status, a);
	event_free(m->status->timer);
	free(m->status);
}

void
status_answer(void *ctx, struct channel *from, const struct message *msg)
{
	const struct msg_request *ask = msg->payload;
	struct master *m = ctx;
	struct status *st = m->status;
	struct answer few = { .to = from, .request = ask->request };
	struct answer *a = NULL, *less;

	if (st->n < STATUS_ANSWERS_MAX)
		a = calloc(1,
		    sizeof(*a) + STATUS_ROWS_MAX * sizeof(a->rows[0]));
	if (a == NULL) {
		log_line(LOG_WARN, "status: of all processes only the master is listed: %s",
		    st->n < STATUS_ANSWERS_MAX ? strerror(ENOMEM)
					       : "too many ask for it");
		send_last(m, &few);
		return;
	}
	a->to = from;
	a->request = ask->request;
	add_ours(a, m);
	add_former(a, m);
	less = realloc(a, sizeof(*a) + a->n * sizeof(a->rows[0]));
	if (less != NULL)
		a = less;
	TAILQ_INSERT_TAIL(&st->answers, a, entry);
	st->n++;
	on_turn(-1, 0, st);
}

void
status_forget(struct master *m, const struct channel *to)
{
	struct answer *a, *next;

	for (a = TAILQ_FIRST(&m->status->answers); a != NULL; a = next) {
		next = TAILQ_NEXT(a, entry);
		if (a->to == to)
			answer_free(m->status, a);
	}
}
