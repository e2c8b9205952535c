/* SPDX-License-Identifier: ISC */
/*
 * This generation takes over from another: it gets the listening sockets before it
 * starts its roles, says when all are up, and has all once the old one says so.
 */
#include "master/master_internal.h"

#include <sys/queue.h>
#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/closer.h"
#include "common/log.h"
#include "common/util.h"
#include "master/inherit.h"
#include "master/kin.h"
#include "master/listen.h"
#include "master/load.h"
#include "master/notify.h"

enum {
	HEIR_WORDS = 5,
	HEIR_WAIT_S = 10, /* for each word, before we have a loop */
	/* The other's intake may pass on what it likes, and ours be slow. */
	HEIR_CLIENTS_MAX = 2048,
};

static uint64_t
number(const char *text)
{
	const char *error;
	long long n = strtonum(text, 0, INT64_MAX, &error);

	return error == NULL ? (uint64_t)n : 0;
}

static bool
take_listener(struct master *m, char **words, size_t n, int fd)
{
	(void)m;
	return n == 3 && fd != -1 &&
	    inherit_add(words[1], fd, strcmp(words[2], "lent") == 0);
}

static bool
take_pid_file(struct master *m, char **words, size_t n, int fd)
{
	if (n < 2 || fd == -1 || m->pid_file_fd != -1)
		return false;
	m->pid_file_fd = fd;
	(void)strlcpy(m->kin.pid_file, words[1], sizeof(m->kin.pid_file));
	return true;
}

static bool
take_process(struct master *m, char **words, size_t n, int fd)
{
	struct former *f;

	(void)fd;
	if (n < 5 || m->kin.nformer == FORMER_MAX)
		return false;
	f = &m->kin.former[m->kin.nformer++];
	f->role = (unsigned)number(words[1]);
	f->pid = (pid_t)number(words[2]);
	f->restarts = (uint32_t)number(words[3]);
	f->since_s = number(words[4]);
	return false;
}

static bool
take_start(struct master *m, char **words, size_t n, int fd)
{
	(void)fd;
	if (n > 1)
		m->era = (uint32_t)number(words[1]);
	m->kin.is_heir = true;
	return false;
}

static bool
take_client(struct master *m, char **words, size_t n, int fd)
{
	struct msg_listener to = { 0 };
	struct servant *s;

	if (n < 2 || fd == -1)
		return false;
	to.kind =
	    strcmp(words[1], "control") == 0 ? LISTENER_CONTROL : LISTENER_JOB;
	s = servant_find(m,
	    to.kind == LISTENER_CONTROL ? ROLE_CONTROL : ROLE_INTAKE);
	if (s == NULL || s->channel == NULL ||
	    channel_backlog(s->channel) >= HEIR_CLIENTS_MAX)
		return false; /* it connects again */
	(void)channel_send(s->channel, MSG_CLIENT_CAME, &to, NULL, 0, fd);
	closer_give(fd, CLOSER_ROLES);
	return true;
}

static bool
take_yours(struct master *m, char **words, size_t n, int fd)
{
	(void)words;
	(void)n;
	(void)fd;
	if (m->kin.has_all)
		return false;
	m->kin.has_all = true;
	if (listen_write_pid(m->pid_file_fd) == -1)
		log_line(LOG_ERROR, "pid_file %s: %s",
		    m->load->config->pid_file, strerror(errno));
	upgrade_send_era(m, ERA_HEIR);
	log_line(LOG_INFO, "generation %u has taken over", m->era);
	watch_has_all(m);
	return false;
}

/* True: the descriptor was taken. */
static bool
take_word(struct master *m, char *text, int fd)
{
	static const struct {
		const char *word;
		bool (*take)(struct master *m, char **words, size_t n, int fd);
	} rows[] = {
		{ "listener", take_listener },
		{ "pid-file", take_pid_file },
		{ "process", take_process },
		{ "start", take_start },
		{ "client", take_client },
		{ "yours", take_yours },
	};
	char *words[HEIR_WORDS];
	size_t i, n;

	n = kin_words(text, words, NELEM(words));
	for (i = 0; i < NELEM(rows) && n > 0; i++) {
		if (strcmp(words[0], rows[i].word) == 0)
			return rows[i].take(m, words, n, fd);
	}
	return false;
}

/* The old one is gone: what it left is ours as soon as its queue is, too. */
static void
old_ended(struct master *m)
{
	upgrade_close(m);
	if (!m->kin.has_all) {
		log_line(LOG_ERROR,
		    "the old generation went away before it gave us all");
		m->failed = true;
		master_stop(m);
		return;
	}
	log_line(LOG_INFO, "the generation before this one has ended");
	upgrade_send_era(m, ERA_ALONE);
}

static void
on_kin(evutil_socket_t sock, short what, void *arg)
{
	struct master *m = arg;
	char text[KIN_SIZE];
	int fd, n;

	(void)what;
	n = kin_receive(sock, text, &fd, MSG_DONTWAIT);
	if (n == 1) {
		if (!take_word(m, text, fd))
			closer_close(fd, CLOSER_ROLES);
	} else if (n == 0 || errno != EAGAIN) {
		old_ended(m);
	}
}

bool
heir_receive(struct master *m)
{
	const struct timeval wait = { .tv_sec = HEIR_WAIT_S };
	char text[KIN_SIZE];
	int fd;

	m->kin.fd = m->options->kin_fd;
	(void)setsockopt(m->kin.fd, SOL_SOCKET, SO_RCVTIMEO, &wait,
	    sizeof(wait)); /* it is there already */
	while (!m->kin.is_heir) {
		if (kin_receive(m->kin.fd, text, &fd, 0) != 1)
			return false;
		if (!take_word(m, text, fd))
			closer_close(fd, CLOSER_ROLES);
	}
	m->kin.readable =
	    event_new(m->role.base, m->kin.fd, EV_READ | EV_PERSIST, on_kin, m);
	return m->kin.readable != NULL && event_add(m->kin.readable, NULL) == 0;
}

void
heir_fail(struct master *m, const char *why)
{
	if (m->options->kin_fd != -1)
		(void)kin_send(m->options->kin_fd, -1, "failed %s", why);
}

bool
heir_is_up(struct master *m)
{
	if (!m->kin.is_heir)
		return false;
	(void)kin_send(m->kin.fd, -1, "up %d", (int)getpid()); /* or it ended */
	return !m->kin.has_all;
}

void
heir_queue_ready(struct master *m)
{
	if (!m->kin.is_heir || !m->kin.has_all)
		return;
	upgrade_send_era(m, ERA_HEIR);
	if (m->kin.fd == -1)
		upgrade_send_era(m, ERA_ALONE);
}

void
heir_queue_alone(struct master *m)
{
	m->kin.nformer = 0;
}

void
heir_stopping(struct master *m)
{
	if (!m->kin.is_heir || m->kin.fd == -1)
		return;
	/* Nobody wanted the end of one that failed: the old one goes on. */
	(void)kin_send(m->kin.fd, -1, "%s",
	    m->failed ? "failed a role does not start"
		      : "stopping"); /* or it ended */
}
