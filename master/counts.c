/* SPDX-License-Identifier: ISC */
/*
 * What is counted: memory that outlives each role, made here and handed out.  It
 * is there where nobody is told, too, for a reload may bring somebody.
 *
 * Who counts may write its own table; the metrics role gets descriptors that
 * nobody can write through, whatever becomes of it.
 */
#include "master/master_internal.h"

#include <sys/mman.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/metrics.h"
#include "common/util.h"

struct counts {
	struct metrics_table *own;
	int fds[METRICS_WRITERS];      /* to write */
	int read_fds[METRICS_WRITERS]; /* the same, to read */
};

/* In the order of the labels. */
static const unsigned roles[METRICS_LABELS_ROLE] = { ROLE_INTAKE, ROLE_QUEUE,
	ROLE_RESOLVER, ROLE_DIALER, ROLE_AGENT, ROLE_METRICS, ROLE_SIGNER,
	ROLE_CONTROL };

bool
counts_are_told(const struct master *m)
{
	return m->options->client_fd == -1 &&
	    (sockets_fd(m, SOCKET_METRICS, 0) != -1 ||
		sockets_fd(m, SOCKET_METRICS_TCP, 0) != -1);
}

/* Nobody can make it larger or smaller, under whoever reads it. */
static int
make_table(int *fdp, int *read_fdp)
{
	char path[64];

	*fdp = memfd_create("metrics", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*fdp == -1 || ftruncate(*fdp, sizeof(struct metrics_table)) == -1 ||
	    fcntl(*fdp, F_ADD_SEALS,
		F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == -1)
		return -1;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", *fdp);
	*read_fdp = open(path, O_RDONLY | O_CLOEXEC);
	return *read_fdp != -1 ? 0 : -1;
}

void
counts_open(struct master *m)
{
	struct counts *counts;
	int i;

	if (m->options->client_fd != -1)
		return;
	counts = calloc(1, sizeof(*counts));
	if (counts == NULL)
		fatal("no memory");
	m->counts = counts;
	for (i = 0; i < METRICS_WRITERS; i++)
		counts->fds[i] = counts->read_fds[i] = -1;
	for (i = 0; i < METRICS_WRITERS; i++)
		if (make_table(&counts->fds[i], &counts->read_fds[i]) == -1)
			fatal("memory for metrics: %s", strerror(errno));
	counts->own = metrics_map(counts->fds[METRICS_OF_MASTER], true);
	if (counts->own == NULL)
		fatal("memory for metrics: %s", strerror(errno));
	metrics_set(counts->own, METRIC_STARTED, 0,
	    (uint64_t)time_real_ms() / 1000);
	metrics_set(counts->own, METRIC_GENERATION, 0, m->generation);
}

void
counts_clear(struct master *m)
{
	struct counts *counts = m->counts;
	int i;

	if (counts == NULL)
		return;
	for (i = 0; i < METRICS_WRITERS; i++) {
		fd_close(counts->fds[i]);
		fd_close(counts->read_fds[i]);
	}
	if (counts->own != NULL)
		(void)munmap(counts->own, sizeof(*counts->own));
	free(counts);
	m->counts = NULL;
}

static void
send_to_metrics(struct servant *s, const struct counts *counts)
{
	static const enum socket_kind kinds[] = { SOCKET_METRICS,
		SOCKET_METRICS_TCP };
	struct msg_metrics msg = { 0 };
	struct msg_none none = { 0 };
	size_t i;
	int fd;

	for (; msg.writer < METRICS_WRITERS; msg.writer++)
		servant_send_message(s, MSG_METRICS, &msg, NULL, 0,
		    counts->read_fds[msg.writer]);
	for (i = 0; i < NELEM(kinds); i++) {
		fd = sockets_fd(s->master, kinds[i], 0);
		if (fd != -1)
			servant_send_message(s, MSG_METRICS_LISTENER, &none,
			    NULL, 0, fd);
	}
}

void
counts_send(struct servant *s)
{
	struct msg_metrics msg = { .writer = METRICS_OF_QUEUE };
	const struct counts *counts = s->master->counts;

	if (counts == NULL)
		return;
	if (s->desc->role == ROLE_METRICS)
		send_to_metrics(s, counts);
	else if (s->desc->role == ROLE_QUEUE)
		servant_send_message(s, MSG_METRICS, &msg, NULL, 0,
		    counts->fds[METRICS_OF_QUEUE]);
}

void
counts_roles(struct master *m)
{
	const struct servant *s;
	uint64_t ready;
	unsigned i;

	for (i = 0; m->counts != NULL && i < NELEM(roles); i++) {
		ready = 0;
		TAILQ_FOREACH(s, &m->servants, entry)
			ready += s->desc->role == roles[i] && s->ready &&
			    s->pid != -1;
		metrics_set(m->counts->own, METRIC_ROLES, i, ready);
	}
}

void
counts_role_ended(struct master *m, unsigned role, int status)
{
	unsigned i;

	counts_roles(m);
	for (i = 0; m->counts != NULL && i < NELEM(roles); i++)
		if (roles[i] == role &&
		    (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
			metrics_add(m->counts->own, METRIC_ROLE_DEATHS, 0, i,
			    1);
}

void
counts_reload(struct master *m, bool accepted)
{
	if (m->counts == NULL)
		return;
	metrics_add(m->counts->own, METRIC_RELOADS, 0, accepted ? 0 : 1, 1);
	metrics_set(m->counts->own, METRIC_GENERATION, 0, m->generation);
}
