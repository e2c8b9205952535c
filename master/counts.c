/* SPDX-License-Identifier: ISC */
/*
 * What is counted: memory that outlives each role, made here and handed out, and
 * the sockets where the metrics role tells it.
 *
 * Who counts may write its own table; the metrics role gets descriptors that
 * nobody can write through, whatever becomes of it.
 */
#include "master/master_internal.h"

#include <sys/mman.h>
#include <sys/socket.h>
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
#include "master/listen.h"
#include "master/metrics_listen.h"

struct counts {
	struct metrics_table *own;
	int fds[METRICS_WRITERS];      /* to write */
	int read_fds[METRICS_WRITERS]; /* the same, to read */
	int socket_fd;                 /* -1: none */
	int tcp_fd;
};

/* In the order of the labels. */
static const unsigned roles[METRICS_LABELS_ROLE] = { ROLE_INTAKE, ROLE_QUEUE,
	ROLE_RESOLVER, ROLE_DIALER, ROLE_AGENT, ROLE_METRICS, ROLE_SIGNER,
	ROLE_CONTROL };

bool
counts_wanted(const struct master *m)
{
	const struct config *c = m->load->config;

	return m->options->client_fd == -1 &&
	    (c->metrics_socket[0] != '\0' || c->metrics_listen[0] != '\0');
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

static int
open_unix(struct master *m)
{
	const struct config *c = m->load->config;
	int fd = files_inherit_unix(m, "metrics_socket", SOCK_STREAM,
	    c->metrics_socket);

	if (fd != -1)
		return fd;
	fd = listen_open(c->metrics_socket, SOCK_STREAM, c->metrics_socket_mode,
	    m->load->metrics_group);
	if (fd == -1)
		files_complain("metrics_socket", c->metrics_socket);
	files_made(m, "metrics_socket", fd);
	return fd;
}

static int
open_tcp(struct master *m)
{
	const struct config *c = m->load->config;
	struct sockaddr_storage at;
	socklen_t len = 0;
	bool loopback;
	int fd;

	(void)metrics_listen_parse(c->metrics_listen, &at, &len, &loopback);
	fd = files_inherit(m, "metrics_listen", SOCK_STREAM,
	    (const struct sockaddr *)&at, len); /* which was checked */
	if (fd != -1)
		return fd;
	fd = metrics_listen_tcp(c->metrics_listen);
	if (fd == -1)
		files_complain("metrics_listen", c->metrics_listen);
	files_made(m, "metrics_listen", fd);
	return fd;
}

static void
open_sockets(struct master *m)
{
	const struct config *c = m->load->config;
	struct counts *counts = m->counts;

	if (c->metrics_socket[0] != '\0')
		counts->socket_fd = open_unix(m);
	listen_refuse_rights(counts->socket_fd); /* -1 is fine */
	if (c->metrics_listen[0] != '\0')
		counts->tcp_fd = open_tcp(m);
}

void
counts_open(struct master *m)
{
	struct counts *counts;
	int i;

	if (!counts_wanted(m))
		return;
	counts = calloc(1, sizeof(*counts));
	if (counts == NULL)
		fatal("no memory");
	m->counts = counts;
	counts->socket_fd = counts->tcp_fd = -1;
	for (i = 0; i < METRICS_WRITERS; i++)
		counts->fds[i] = counts->read_fds[i] = -1;
	for (i = 0; i < METRICS_WRITERS; i++)
		if (make_table(&counts->fds[i], &counts->read_fds[i]) == -1)
			fatal("memory for metrics: %s", strerror(errno));
	counts->own = metrics_map(counts->fds[METRICS_OF_MASTER], true);
	if (counts->own == NULL)
		fatal("memory for metrics: %s", strerror(errno));
	open_sockets(m);
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
	if (counts->socket_fd != -1 && files_is_ours(m, "metrics_socket"))
		(void)unlink(m->load->config->metrics_socket);
	fd_close(counts->socket_fd);
	fd_close(counts->tcp_fd);
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
	struct msg_metrics msg = { 0 };
	struct msg_none none = { 0 };

	for (; msg.writer < METRICS_WRITERS; msg.writer++)
		servant_send_message(s, MSG_METRICS, &msg, NULL, 0,
		    counts->read_fds[msg.writer]);
	if (counts->socket_fd != -1)
		servant_send_message(s, MSG_METRICS_LISTENER, &none, NULL, 0,
		    counts->socket_fd);
	if (counts->tcp_fd != -1)
		servant_send_message(s, MSG_METRICS_LISTENER, &none, NULL, 0,
		    counts->tcp_fd);
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
