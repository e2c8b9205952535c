/* SPDX-License-Identifier: ISC */
/* What the master tells of the processes: who they are, and what holds them. */
#include "master/master_internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

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
		(void)snprintf(out + len, size - len, " landlock=no");
	else
		(void)snprintf(out + len, size - len, " landlock=abi-%u%s",
		    s->landlock_abi, s->landlock_shown ? ",seen" : "");
}

static void
send_status(struct channel *to, uint64_t request, unsigned role, pid_t pid,
    const struct servant *s, bool last)
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
		    false);
		if (s->desc->role != ROLE_AGENT)
			continue;
		n = layers_children(s->pid, workers, NELEM(workers));
		for (i = 0; i < n; i++)
			send_status(from, ask->request, ROLE_WORKER, workers[i],
			    s, false);
	}
	send_status(from, ask->request, ROLE_MASTER, getpid(), NULL, true);
}
