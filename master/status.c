/* SPDX-License-Identifier: ISC */
/* What the master tells of the processes: who they are, and what holds them. */
#include "master/master_internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/landlock.h"
#include "common/util.h"
#include "master/layers.h"

/* Workers told of by one STATUS_ASK. */
#define STATUS_WORKERS_MAX 512

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

/* The master of the former generation and its roles, as long as they live. */
static void
send_former(struct channel *to, uint64_t request, const struct master *m)
{
	struct msg_status status;
	pid_t workers[STATUS_WORKERS_MAX];
	const struct former *f;
	char layers[2048];
	size_t i, k, n;

	for (i = 0; i < m->kin.nformer; i++) {
		f = &m->kin.former[i];
		n = f->role == ROLE_AGENT
		    ? layers_children(f->pid, workers, NELEM(workers))
		    : 0;
		for (k = 0; k <= n; k++) {
			memset(&status, 0, sizeof(status));
			status.request = request;
			status.role = k == 0 ? f->role : ROLE_WORKER;
			status.pid =
			    (uint32_t)(k == 0 ? f->pid : workers[k - 1]);
			status.restarts = k == 0 ? f->restarts : 0;
			status.since_s = k == 0 ? f->since_s : 0;
			status_describe(NULL, (pid_t)status.pid, layers,
			    sizeof(layers));
			if (layers[0] == '\0')
				continue; /* it has ended */
			add_generation(layers, sizeof(layers), m->era - 1);
			(void)channel_send(to, MSG_STATUS, &status, layers,
			    strlen(layers), -1); /* who asked may be gone */
		}
	}
}

static void
send_status(struct channel *to, uint64_t request, unsigned role, pid_t pid,
    const struct servant *s, uint32_t era, bool last)
{
	struct msg_status status = { 0 };
	char layers[2048];

	status.request = request;
	status.role = role;
	status.pid = (uint32_t)pid;
	status.last = last;
	if (s != NULL && role != ROLE_WORKER) {
		status.restarts = s->restarts;
		status.since_s = (uint64_t)s->started_real_ms / 1000;
	}
	status_describe(s, pid, layers, sizeof(layers));
	add_generation(layers, sizeof(layers), era);
	(void)channel_send(to, MSG_STATUS, &status, layers, strlen(layers),
	    -1); /* who asked may be gone */
}

void
status_answer(void *ctx, struct channel *from, const struct message *msg)
{
	const struct msg_request *ask = msg->payload;
	struct master *m = ctx;
	pid_t workers[STATUS_WORKERS_MAX];
	struct servant *s;
	size_t i, n;

	TAILQ_FOREACH(s, &m->servants, entry) {
		if (s->pid == -1)
			continue;
		send_status(from, ask->request, s->desc->role, s->pid, s,
		    m->era, false);
		if (s->desc->role != ROLE_AGENT)
			continue;
		n = layers_children(s->pid, workers, NELEM(workers));
		for (i = 0; i < n; i++)
			send_status(from, ask->request, ROLE_WORKER, workers[i],
			    s, m->era, false);
	}
	send_former(from, ask->request, m);
	send_status(from, ask->request, ROLE_MASTER, getpid(), NULL, m->era,
	    true);
}
