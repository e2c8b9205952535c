/* SPDX-License-Identifier: ISC */
/*
 * A new generation of posternd: the program that lies on the disk now is executed
 * beside us, gets our listening sockets and starts all its roles.  Once it is up,
 *
 * our queue, our intake and our control role let go of all but what their clients wait for, and we
 * end with the last of that.  Where it does not come up, or goes away before it has
 * all, we go on as if nothing had been.
 */
#include "master/master_internal.h"

#include <sys/queue.h>
#include <sys/socket.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/closer.h"
#include "common/log.h"
#include "common/roles.h"
#include "common/util.h"
#include "master/kin.h"
#include "master/listen.h"
#include "master/load.h"
#include "master/notify.h"
#include "master/spawn.h"

enum {
	/* A queue that does not let go, and a new one that does not come up. */
	UPGRADE_START_S = 60,
};

void
upgrade_send_era(struct master *m, enum era era)
{
	struct msg_era msg = { .era = era };
	struct servant *queue = servant_find(m, ROLE_QUEUE);

	if (queue != NULL && queue->channel != NULL)
		(void)channel_send(queue->channel, MSG_ERA, &msg, NULL, 0, -1);
}

static void
arm(struct master *m, time_t seconds)
{
	const struct timeval tv = { .tv_sec = seconds };

	(void)event_add(m->kin.timer,
	    &tv); /* else it takes as long as it does */
}

void
upgrade_close(struct master *m)
{
	if (m->kin.readable != NULL)
		event_free(m->kin.readable);
	m->kin.readable = NULL;
	fd_close(m->kin.fd);
	m->kin.fd = -1;
}

/* Roles that have let go of their clients, and perhaps ended, work again. */
static void
come_back(struct master *m)
{
	struct servant *s;

	if (m->kin.state < UPGRADE_LEAVING)
		return;
	if (listen_write_pid(m->pid_file_fd) == -1)
		log_line(LOG_ERROR, "pid_file %s: %s",
		    m->load->config->pid_file, strerror(errno));
	TAILQ_FOREACH(s, &m->servants, entry) {
		if ((s->desc->role & ROLE_FRONTS) == 0)
			continue;
		if (s->channel != NULL)
			servant_send_listeners(s);
		else
			servant_start(s);
	}
}

/* The old one goes on; the other, if it lives, ends with the link. */
static void
fail(struct master *m, const char *why)
{
	log_line(LOG_ERROR, "upgrade failed: %s: this generation goes on", why);
	upgrade_close(m);
	event_del(m->kin.timer);
	come_back(m);
	m->kin.state = UPGRADE_NONE;
	upgrade_send_era(m, ERA_ALONE);
	watch_upgrade_failed(m);
}

/* May we?  NULL, or why not. */
static const char *
refusal(const struct master *m)
{
	const struct servant *s;

	if (m->stopping)
		return "posternd is being stopped";
	if (m->kin.is_heir && m->kin.fd != -1)
		return "the generation before this one has not ended yet";
	if (m->kin.state != UPGRADE_NONE)
		return "another one is under way";
	if (m->load->config->queue_store == CONFIG_QUEUE_STORE_MEMORY)
		return "a queue in memory cannot be handed over";
	if (getpid() == 1)
		return "as process 1 of a container we cannot end before it: "
		       "start another container";
	TAILQ_FOREACH(s, &m->servants, entry) {
		if (!s->ready && !s->retired && !s->coming)
			return "not every role is ready";
	}
	return NULL;
}

void
upgrade_begin(struct master *m)
{
	const char *why;

	if (m->options->client_fd != -1)
		return;
	why = refusal(m);
	if (why != NULL) {
		log_line(LOG_ERROR, "upgrade refused: %s", why);
		return;
	}
	log_line(LOG_INFO, "upgrade: generation %u starts %s", m->era + 1,
	    spawn_path());
	m->kin.state = UPGRADE_SHARING;
	arm(m, UPGRADE_START_S);
	upgrade_send_era(m, ERA_SHARED);
}

/* All that the new one is to know, before it has a loop. */
static int
hand_over(struct master *m)
{
	const struct servant *s;
	int fd = m->kin.fd;
	size_t i;

	for (i = 0; i < m->sockets.count; i++) {
		if (kin_send(fd, m->sockets.rows[i].fd, "listener %s %s",
			m->sockets.rows[i].name,
			m->sockets.rows[i].lent ? "lent" : "ours") == -1)
			return -1;
	}
	if (kin_send(fd, m->pid_file_fd, "pid-file %s",
		m->load->config->pid_file) == -1 ||
	    kin_send(fd, -1, "process %u %d 0 0", (unsigned)ROLE_MASTER,
		(int)getpid()) == -1)
		return -1;
	TAILQ_FOREACH(s, &m->servants, entry) {
		if (s->pid != -1 &&
		    kin_send(fd, -1, "process %u %d %" PRIu32 " %lld",
			s->desc->role, (int)s->pid, s->restarts,
			(long long)s->started_real_ms / 1000) == -1)
			return -1;
	}
	return kin_send(fd, -1, "start %u", m->era + 1);
}

static void on_kin(evutil_socket_t fd, short what, void *arg);

static int
execute(struct master *m)
{
	char program[] = "posternd", c[] = "-c", g[] = "-G", j[] = "-j",
	     q[] = "-q", number[16];
	char *argv[8] = { program, g, number, c, NULL };
	int fds[2], n = 4;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == -1)
		return -1;
	m->kin.fd = fds[0];
	(void)snprintf(number, sizeof(number), "%d", fds[1]);
	argv[n] = strdup(m->options->config_name);
	if (argv[n++] == NULL)
		goto fail;
	if (m->options->json)
		argv[n++] = j;
	if (m->options->quiet)
		argv[n++] = q;
	m->kin.readable =
	    event_new(m->role.base, fds[0], EV_READ | EV_PERSIST, on_kin, m);
	if (m->kin.readable == NULL || event_add(m->kin.readable, NULL) == -1 ||
	    hand_over(m) == -1 ||
	    spawn_generation(argv, fds[1], m->stderr_fd) == -1)
		goto fail;
	free(argv[4]);
	close(fds[1]);
	return 0;
fail:
	free(argv[4]);
	fd_close(fds[1]);
	return -1;
}

/* The service manager may end us as soon as it knows of the other. */
static void
on_up(struct master *m, char **words, size_t n, int fd)
{
	const char *error;
	struct servant *s;

	(void)fd;
	if (m->kin.state != UPGRADE_STARTING || n < 2)
		return;
	m->kin.pid = (pid_t)strtonum(words[1], 1, INT32_MAX, &error);
	log_line(LOG_INFO, "generation %u [%d] is up: we finish what we have",
	    m->era + 1, (int)m->kin.pid);
	m->kin.state = UPGRADE_LEAVING;
	arm(m, UPGRADE_START_S);
	TAILQ_FOREACH(s, &m->servants, entry)
		if ((s->desc->role & ROLE_FRONTS) != 0)
			servant_send(s, MSG_LEAVE);
	upgrade_send_era(m, ERA_LEAVING);
}

static void
on_failed(struct master *m, char **words, size_t n, int fd)
{
	(void)m;
	(void)fd;
	log_line(LOG_ERROR, "upgrade: %s",
	    n > 1 ? words[1] : "no reason given");
}

/* It ends because it was told to: so do we. */
static void
on_stopping(struct master *m, char **words, size_t n, int fd)
{
	(void)words;
	(void)n;
	(void)fd;
	master_stop(m);
}

static void
take_word(struct master *m, char *text, int fd)
{
	static const struct {
		const char *word;
		void (*take)(struct master *m, char **words, size_t n, int fd);
	} rows[] = {
		{ "up", on_up },
		{ "failed", on_failed },
		{ "stopping", on_stopping },
	};
	char *words[2];
	size_t i, n;

	n = kin_words(text, words, NELEM(words));
	for (i = 0; i < NELEM(rows) && n > 0; i++) {
		if (strcmp(words[0], rows[i].word) == 0)
			rows[i].take(m, words, n, fd);
	}
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
		take_word(m, text, fd);
		fd_close(fd);
	} else if (n == 0 || errno != EAGAIN) {
		if (m->stopping)
			upgrade_close(m);
		else
			fail(m,
			    m->kin.state < UPGRADE_LEFT
				? "the new generation ended before it had all"
				: "the new generation ended");
	}
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct master *m = arg;

	(void)fd;
	(void)what;
	if (m->kin.state == UPGRADE_LEFT) {
		log_line(LOG_WARN,
		    "this generation has not finished in upgrade_timeout");
		master_stop(m);
	} else if (m->kin.state != UPGRADE_NONE) {
		fail(m, "it takes too long");
	}
}

void
upgrade_open(struct master *m)
{
	m->kin.timer = evtimer_new(m->role.base, on_timer, m);
	if (m->kin.timer == NULL)
		fatal("no memory");
}

/* The queue lets go: the other begins.  What is in the file system is its own. */
static void
left(struct master *m)
{
	m->kin.state = UPGRADE_LEFT;
	if (kin_send(m->kin.fd, -1, "yours") == -1) {
		fail(m, strerror(errno));
		return;
	}
	arm(m, m->load->config->upgrade_timeout);
	notify_send("MAINPID=%d", (int)m->kin.pid);
	notify_close();
}

void
upgrade_era_done(void *ctx, struct channel *from, const struct message *msg)
{
	const struct msg_era *done = msg->payload;
	struct master *m = ctx;

	(void)from;
	if (done->era == ERA_ALONE && m->kin.is_heir) {
		heir_queue_alone(m);
	} else if (done->era == ERA_SHARED && m->kin.state == UPGRADE_SHARING) {
		m->kin.state = UPGRADE_STARTING;
		if (done->failed)
			fail(m, "the queue's store cannot be shared");
		else if (execute(m) == -1)
			fail(m, strerror(errno));
	} else if (done->era == ERA_LEAVING &&
	    m->kin.state == UPGRADE_LEAVING) {
		left(m);
	}
}

void
upgrade_client_left(void *ctx, struct channel *from, const struct message *msg)
{
	struct master *m = ctx;

	if (m->kin.state < UPGRADE_LEAVING) {
		log_line(LOG_ERROR, "the %s is ended: it left unasked",
		    role_name(channel_peer(from)));
		servant_kill(channel_arg(from));
	} else if (kin_send(m->kin.fd, msg->fd, "client %s",
		       channel_peer(from) == ROLE_CONTROL ? "control"
							  : "job") == -1) {
		log_line(LOG_WARN, "a client could not be handed on");
	}
	closer_give(msg->fd, CLOSER_ROLES);
}

bool
upgrade_servant_ended(struct master *m, struct servant *s)
{
	if (m->kin.state == UPGRADE_SHARING ||
	    m->kin.state == UPGRADE_STARTING) {
		if (s->desc->role == ROLE_QUEUE)
			fail(m, "the queue died");
		return false;
	}
	if (m->kin.state < UPGRADE_LEAVING)
		return false;
	if ((s->desc->role & ROLE_FRONTS) != 0)
		return true; /* its last client has gone, or it died: no more */
	if (s->desc->role != ROLE_QUEUE)
		return false;
	if (m->kin.state == UPGRADE_LEAVING) {
		fail(m, "the queue died");
		return false;
	}
	master_stop(m);
	return true;
}
