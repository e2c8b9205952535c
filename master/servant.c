/* SPDX-License-Identifier: ISC */
/*
 * The process of a role: how it is executed, what it is told before it works,
 * and how long it waits to be executed again.
 */
#include "master/master_internal.h"

#include <sys/mman.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"
#include "master/spawn.h"

/* A role that dies is executed again after this, doubled each time it died
 * within RESTART_CALM_MS of its start. */
#define RESTART_FIRST_MS 100
#define RESTART_MOST_MS  30000
#define RESTART_CALM_MS  60000
/* A process that is ending has this long to be gone: the kernel closes its files,
 * and one of them may make it wait (FUSE). */
#define GONE_S 5
/* Answers to a role that wait for it, before it is asked nothing more. */
#define ASKING_BRAKE 4096

/* Who speaks with whom. */
static const struct {
	unsigned a, b;
} links[] = {
	{ ROLE_INTAKE, ROLE_QUEUE },
	{ ROLE_CONTROL, ROLE_QUEUE },
	{ ROLE_INTAKE, ROLE_SIGNER },
	{ ROLE_QUEUE, ROLE_RESOLVER },
	{ ROLE_QUEUE, ROLE_DIALER },
	{ ROLE_QUEUE, ROLE_AGENT },
};

struct servant *
servant_find(struct master *m, unsigned role)
{
	struct servant *s;

	TAILQ_FOREACH(s, &m->servants, entry) {
		if (s->desc->role == role && !s->retired && !s->coming)
			return s;
	}
	return NULL;
}

struct servant *
servant_process(struct master *m, unsigned role, uint32_t pid)
{
	struct servant *s;

	if (pid == 0)
		return servant_find(m, role);
	TAILQ_FOREACH(s, &m->servants, entry) {
		if (s->desc->role == role && s->pid == (pid_t)pid)
			return s;
	}
	return NULL;
}

static void
send_to(struct servant *s, enum msg_type type, const void *payload,
    const void *tail, size_t tail_len, int fd)
{
	if (s->channel != NULL)
		(void)channel_send(s->channel, type, payload, tail, tail_len,
		    fd); /* its end comes by SIGCHLD */
}

void
servant_send_message(struct servant *s, enum msg_type type, const void *payload,
    const void *tail, size_t tail_len, int fd)
{
	send_to(s, type, payload, tail, tail_len, fd);
}

void
servant_send_answer(struct servant *s, enum msg_type type, const void *payload,
    const char *tail, int fd)
{
	char text[512]; /* the row's room; what it names may be of any octets */

	(void)log_escape(text, sizeof(text), tail, strlen(tail));
	send_to(s, type, payload, text, strlen(text), fd);
}

void
servant_send(struct servant *s, enum msg_type type)
{
	struct msg_none none = { 0 };

	s->may_end = s->may_end || type == MSG_DRAIN || type == MSG_LEAVE;
	send_to(s, type, &none, NULL, 0, -1);
}

void
servant_log_sink(struct master *m, struct msg_log_sink *sink, int *fdp)
{
	const struct config *c = m->load->config;
	static const uint8_t facilities[] = { 2, 3, 1, 16, 17, 18, 19, 20, 21,
		22, 23 };
	const struct timeval again = { 1, 0 };

	memset(sink, 0, sizeof(*sink));
	sink->syslog = c->log == CONFIG_LOG_SYSLOG;
	sink->format = m->options->json ? LOG_JSON : (uint8_t)c->log_format;
	sink->leveled = log_is_journal(STDERR_FILENO) ? 1 : 0;
	sink->facility = facilities[c->syslog_facility];
	sink->least = m->options->quiet ? LOG_WARN : LOG_INFO;
	strlcpy(sink->name, c->syslog_name, sizeof(sink->name));
	*fdp = sink->syslog ? log_connect_syslog() : -1;
	if (sink->syslog && *fdp == -1)
		event_add(m->log_timer, &again);
	if (*fdp == -1) { /* without a syslog daemon at least here */
		sink->syslog = 0;
		*fdp = fcntl(m->stderr_fd, F_DUPFD_CLOEXEC, 0);
	}
}

/* The log's other end is opened here, where files can be. */
void
servant_send_log_sink(struct servant *s)
{
	struct msg_log_sink sink;
	int fd;

	servant_log_sink(s->master, &sink, &fd);
	if (fd != -1)
		send_to(s, MSG_LOG_SINK, &sink, NULL, 0, fd);
	fd_close(fd);
}

void
servant_send_config(struct servant *s)
{
	struct msg_config config = { s->master->generation, 0 };
	const char *name = s->master->options->config_name;
	struct msg_none none = { 0 };

	if (s->desc->role == ROLE_QUEUE)
		send_to(s, MSG_TEMPLATE, &none, NULL, 0,
		    s->master->load->template_fd);

	send_to(s, MSG_CONFIG, &config, name, strnlen(name, 255),
	    s->master->load->text_fd);
}

void
servant_send_listeners(struct servant *s)
{
	struct master *m = s->master;
	struct msg_listener l = { 0 };

	if (m->options->client_fd != -1) {
		l.kind = LISTENER_CLIENT;
		send_to(s, MSG_LISTENER, &l, NULL, 0,
		    s->desc->role == ROLE_CONTROL ? m->options->control_fd
						  : m->options->client_fd);
	} else if (s->desc->role == ROLE_CONTROL) {
		l.kind = LISTENER_CONTROL;
		send_to(s, MSG_LISTENER, &l, NULL, 0,
		    sockets_fd(m, SOCKET_CONTROL, 0));
	} else {
		l.kind = LISTENER_JOB;
		send_to(s, MSG_LISTENER, &l, NULL, 0,
		    sockets_fd(m, SOCKET_JOB, 0));
		listeners_send(s);
	}
}

/* Users of a list, and who started us. */
static uint32_t
add_uids(uint32_t *out, const uint32_t *uids, size_t n)
{
	memcpy(out, uids, n * sizeof(*uids));
	if (n < SUBMITTERS_MAX)
		out[n++] = geteuid();
	return (uint32_t)n;
}

void
servant_send_submitters(struct servant *s)
{
	const struct load *ld = s->master->load;
	struct msg_submitters sub = { 0 };
	uint32_t uids[2 * SUBMITTERS_MAX];

	sub.any = ld->config->job_users.count == 0;
	sub.count = add_uids(uids, ld->submitters, ld->nsubmitters);
	sub.trusted =
	    add_uids(uids + sub.count, ld->job_trusted, ld->njob_trusted);
	send_to(s, MSG_SUBMITTERS, &sub, uids,
	    (sub.count + sub.trusted) * sizeof(uids[0]), -1);
}

/* Each port and each path of the configuration, once. */
void
servant_send_reach(struct servant *s)
{
	const struct config *c = s->master->load->config;
	uint16_t ports[CONFIG_TRANSPORTS_MAX];
	struct msg_reach reach = { 0 };
	char tail[sizeof(ports) + CONFIG_TRANSPORTS_MAX * MSG_PATH_SIZE];
	const struct next_hop *hop;
	size_t i, j, len;

	for (i = 0; i < c->ntransports; i++) {
		hop = &c->transports[i].next_hop;
		for (j = 0; j < reach.nports && ports[j] != hop->port; j++)
			;
		if (hop->kind != NEXT_HOP_UNIX && j == reach.nports)
			ports[reach.nports++] = hop->port;
	}
	len = reach.nports * sizeof(ports[0]);
	memcpy(tail, ports, len);
	for (i = 0; i < c->ntransports; i++) {
		hop = &c->transports[i].next_hop;
		if (hop->kind == NEXT_HOP_UNIX)
			(void)message_tail_add(tail, sizeof(tail), &len,
			    hop->path); /* there is room for each */
	}
	send_to(s, MSG_REACH, &reach, tail, len, -1);
}

static void
send_trust(struct servant *s)
{
	const struct load *ld = s->master->load;
	struct msg_trust trust = { 0 };
	size_t i;

	for (i = 0; i < ld->config->ntransports; i++) {
		trust.index = (uint32_t)i;
		if (ld->trust_fds[i] != -1)
			send_to(s, MSG_TRUST, &trust, NULL, 0,
			    ld->trust_fds[i]);
	}
}

static void
send_start(struct servant *s)
{
	const struct load *ld = s->master->load;
	const struct load_user *user = &ld->agent;
	struct msg_start start = { 0 };

	if (s->desc->role == ROLE_INTAKE)
		user = &ld->intake;
	else if (s->desc->role == ROLE_CONTROL)
		user = &ld->control;
	else if (s->desc->role == ROLE_QUEUE)
		user = &ld->queue;
	else if (s->desc->role == ROLE_RESOLVER)
		user = &ld->resolver;
	else if (s->desc->role == ROLE_DIALER)
		user = &ld->dialer;
	else if (s->desc->role == ROLE_METRICS)
		user = &ld->metrics;
	else if (s->desc->role == ROLE_SIGNER)
		user = &ld->signer;
	start.switch_user = load_switches_users();
	start.uid = user->uid;
	start.gid = user->gid;
	start.pid = (uint32_t)s->pid;
	start.namespaces = s->namespaces;
	start.beside = s->master->kin.is_heir && s->master->kin.fd != -1;
	send_to(s, MSG_START, &start, NULL, 0, -1);
}

/* A new channel between two roles; each hears of it by PEER. */
static void
link_pair(struct servant *a, struct servant *b)
{
	struct msg_peer peer = { 0 };
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == -1) {
		/* Neither would ask for the other: one begins again. */
		log_line(LOG_ERROR,
		    "the %s [%d] is ended: no channel to the %s: %s",
		    role_name(a->desc->role), (int)a->pid,
		    role_name(b->desc->role), strerror(errno));
		if (a->pid != -1)
			(void)kill(a->pid, SIGKILL);
		return;
	}
	peer.role = b->desc->role;
	peer.pid = (uint32_t)b->pid;
	send_to(a, MSG_PEER, &peer, NULL, 0, fds[0]);
	peer.role = a->desc->role;
	peer.pid = (uint32_t)a->pid;
	send_to(b, MSG_PEER, &peer, NULL, 0, fds[1]);
	close(fds[0]);
	close(fds[1]);
}

void
servant_link(struct servant *s)
{
	struct servant *other;
	unsigned role;
	size_t i;

	for (i = 0; i < NELEM(links); i++) {
		if (links[i].a != s->desc->role && links[i].b != s->desc->role)
			continue;
		role = links[i].a == s->desc->role ? links[i].b : links[i].a;
		other = servant_find(s->master, role);
		if (other != NULL && other->channel != NULL)
			link_pair(s, other);
	}
}

/* The queue says in it which jobs it has, should it die before their clients are
 * answered; its size is its own matter. */
static void
send_receipts(struct servant *s)
{
	struct master *m = s->master;
	struct msg_none none = { 0 };

	if (m->receipts_fd == -1)
		m->receipts_fd = memfd_create("receipts", MFD_CLOEXEC);
	if (m->receipts_fd == -1)
		log_line(LOG_ERROR, "memory for receipts: %s", strerror(errno));
	else
		send_to(s, MSG_RECEIPTS, &none, NULL, 0, m->receipts_fd);
}

/* All that a role is to know, in the order it relies on. */
static void
servant_set_up(struct servant *s)
{
	unsigned role = s->desc->role;

	servant_send_log_sink(s);
	if ((role & ROLE_READERS) != 0)
		servant_send_config(s);
	if (role == ROLE_DIALER)
		servant_send_reach(s);
	if (role == ROLE_AGENT)
		send_trust(s); /* files, not words: it parses nothing */
	if (role == ROLE_INTAKE) {
		servant_send_submitters(s);
		listeners_send_users(s);
		servant_send_listeners(s);
		keys_send_certificates(s);
	}
	if (role == ROLE_CONTROL)
		servant_send_listeners(s);
	if (role == ROLE_SIGNER)
		keys_send_pairs(s);
	counts_send(s);
	if (role == ROLE_QUEUE)
		send_receipts(s);
	if (!s->coming)
		servant_link(s);
	send_start(s);
}

void
servant_expect_end(struct servant *s)
{
	static const struct timeval gone = { GONE_S, 0 };

	/* The queue's store is locked for as long as it is there. */
	if (s->pid != -1 && s->desc->role != ROLE_QUEUE &&
	    !evtimer_pending(s->overdue, NULL))
		(void)evtimer_add(s->overdue, &gone); /* or a later turn does */
}

void
servant_kill(struct servant *s)
{
	kill(s->pid, SIGKILL);
	s->killed = true;
	servant_expect_end(s);
}

/* What closed its channel and goes on without us is no dying process: it is
 * killed before it is given up. */
static void
on_overdue(evutil_socket_t fd, short what, void *arg)
{
	struct servant *s = arg;

	(void)fd;
	(void)what;
	if (s->pid == -1)
		return;
	if (s->killed)
		master_leave_behind(s);
	else
		servant_kill(s);
}

void
servant_wait(struct servant *s, int64_t lived_ms)
{
	struct timeval tv;

	if (lived_ms > RESTART_CALM_MS)
		s->backoff_ms = 0;
	if (s->backoff_ms == 0)
		s->backoff_ms = RESTART_FIRST_MS;
	else if (s->backoff_ms < RESTART_MOST_MS)
		s->backoff_ms *= 2;
	tv.tv_sec = s->backoff_ms / 1000;
	tv.tv_usec = s->backoff_ms % 1000 * 1000;
	if (event_add(s->restart, &tv) == -1)
		event_active(s->restart, EV_TIMEOUT, 0); /* at once, or never */
}

void
servant_start(struct servant *s)
{
	int fds[2] = { -1, -1 };
	struct master *m = s->master;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == -1)
		goto failed;
	s->namespaces = s->desc->namespaces & m->granted;
	if (s->namespaces != 0)
		s->namespaces |= m->granted & CLONE_NEWUSER;
	s->killed = s->may_end = false;
	s->pid = spawn_role(role_name(s->desc->role), fds[1], s->namespaces);
	if (s->pid == -1)
		goto failed;
	close(fds[1]);
	fds[1] = -1;
	s->channel = channel_new(&m->role, fds[0], s->desc->role, s);
	fds[0] = -1;
	if (s->channel == NULL) {
		kill(s->pid, SIGKILL);
		goto failed;
	}
	channel_set_brake(s->channel, ASKING_BRAKE);
	s->ready = false;
	s->hung = false;
	s->pinged = s->ponged = s->asked = 0;
	s->started_ms = time_monotonic_ms();
	s->started_real_ms = time_real_ms();
	servant_set_up(s);
	return;
failed:
	log_line(LOG_ERROR, "cannot execute the %s: %s",
	    role_name(s->desc->role), strerror(errno));
	fd_close(fds[0]);
	fd_close(fds[1]);
	servant_wait(s, 0);
}

static void
on_restart(evutil_socket_t fd, short what, void *arg)
{
	struct servant *s = arg;

	(void)fd;
	(void)what;
	if (!s->is_meant)
		s->restarts++; /* something is wrong with it */
	servant_start(s);
}

static void
servant_clear(struct servant *s)
{
	if (s->restart != NULL)
		event_free(s->restart);
	if (s->overdue != NULL)
		event_free(s->overdue);
	free(s);
}

struct servant *
servant_new(struct master *m, const struct servant_desc *desc)
{
	struct servant *s;

	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	s->master = m;
	s->desc = desc;
	s->pid = -1;
	s->restart = evtimer_new(m->role.base, on_restart, s);
	s->overdue = evtimer_new(m->role.base, on_overdue, s);
	if (s->restart == NULL || s->overdue == NULL) {
		servant_clear(s);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&m->servants, s, entry);
	return s;
}

void
servant_free(struct servant *s)
{
	status_forget(s->master, s->channel);
	channel_close(s->channel);
	TAILQ_REMOVE(&s->master->servants, s, entry);
	servant_clear(s);
}
