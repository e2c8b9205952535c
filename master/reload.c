/* SPDX-License-Identifier: ISC */
/*
 * A new configuration while all goes on: it is read whole and checked, its sockets
 * are opened, and then it is taken over, or refused with every reason and nothing
 * changed.  Once all roles have it, or it is refused, a file beside the pid file
 * says so, for who asked: see verdict.h.
 */
#include "master/master_internal.h"

#include <sys/queue.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "common/role.h"
#include "common/util.h"
#include "master/load.h"
#include "master/verdict.h"

enum {
	RELOAD_WAIT_S = 20, /* for the roles to take it over */
	RELOAD_LINE = 1024,
};

/* Saying what came of it. */

static void
add_reason(struct reload *r, const char *line)
{
	int n = snprintf(r->reasons + r->len, sizeof(r->reasons) - r->len,
	    "%s\n", line);

	if (n > 0 && (size_t)n < sizeof(r->reasons) - r->len)
		r->len += (size_t)n;
	else
		r->reasons[r->len] = '\0'; /* the log has it */
}

void
reload_complain(struct master *m, const char *fmt, ...)
{
	char line[RELOAD_LINE];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	log_line(LOG_ERROR, "%s", line);
	add_reason(&m->reload, line);
}

/* The service manager hears it, too. */
static void
give_verdict(struct master *m, const char *pid_file, bool good)
{
	struct verdict v = { .begun_ns = m->reload.begun_ns,
		.generation = m->generation,
		.taken = good && m->reload.len == 0,
		.reasons = m->reload.reasons };

	event_del(m->reload.timer);
	/* First: who asked may be the service manager's own command. */
	watch_reloaded(m, good);
	if (verdict_write(pid_file, &v) == -1)
		log_line(LOG_ERROR, "%s.reload: %s", pid_file, strerror(errno));
}

static void
complain_of_keys(struct master *m)
{
	const struct load *ld = m->load;

	for (size_t i = 0; i < ld->config->nlisteners; i++)
		if (ld->listeners[i].pair_fd != -1 &&
		    !ld->listeners[i].pair_is_good)
			reload_complain(m,
			    "listener %s: tls_cert_file and tls_key_file are "
			    "not used, see the log: the previous ones stay, or "
			    "there is no TLS",
			    ld->config->listeners[i].name);
}

/* Every role has read all that it was sent, or is a new one. */
static bool
is_taken_over(const struct servant *s)
{
	return s->retired || (s->ready && s->ponged >= s->asked);
}

void
reload_look(struct master *m)
{
	const struct servant *s;

	if (m->reload.timer == NULL || !evtimer_pending(m->reload.timer, NULL))
		return;
	TAILQ_FOREACH(s, &m->servants, entry)
		if (!is_taken_over(s))
			return;
	complain_of_keys(m);
	give_verdict(m, m->load->config->pid_file, true);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct master *m = arg;
	const struct servant *s;

	(void)fd;
	(void)what;
	TAILQ_FOREACH(s, &m->servants, entry)
		if (!is_taken_over(s))
			reload_complain(m,
			    "the %s has not taken the configuration over in "
			    "%d s",
			    role_name(s->desc->role), RELOAD_WAIT_S);
	complain_of_keys(m);
	give_verdict(m, m->load->config->pid_file, true);
}

void
reload_open(struct master *m)
{
	m->reload.timer = evtimer_new(m->role.base, on_timer, m);
	if (m->reload.timer == NULL)
		fatal("no memory");
}

void
reload_close(struct master *m)
{
	if (files_are_ours(m))
		verdict_remove(m->load->config->pid_file);
	event_free(m->reload.timer);
	m->reload.timer = NULL;
}

static void
begin(struct master *m)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* it cannot fail */
	m->reload.begun_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	m->reload.len = 0;
	m->reload.reasons[0] = '\0';
	event_del(m->reload.timer);
}

static void
wait_for_roles(struct master *m)
{
	const struct timeval wait = { .tv_sec = RELOAD_WAIT_S };
	struct servant *s;

	TAILQ_FOREACH(s, &m->servants, entry)
		if (s->ready && !s->retired)
			watch_ask(s);
	(void)event_add(m->reload.timer, &wait); /* or nobody is answered */
}

/* Taking it over. */

/* The agent has its trust at start only: a new one takes the new sessions. */
static void
replace_agent(struct master *m)
{
	struct servant *old = servant_find(m, ROLE_AGENT), *new;

	renew_cancel(m); /* it has the trust of before */
	if (old == NULL || old->channel == NULL)
		return; /* its restart will read the new files */
	new = servant_new(m, old->desc);
	if (new == NULL) {
		log_line(LOG_ERROR, "no memory for a new agent");
		return;
	}
	new->was_ready = true;
	new->restarts = old->restarts;
	old->retired = true;
	servant_start(new);
	servant_send(old, MSG_DRAIN);
}

static void
complain_of_all(struct master *m, const struct config_errors *errors)
{
	size_t i;

	for (i = 0; i < errors->nlines; i++)
		reload_complain(m, "%s", errors->lines[i]);
	if (errors->count > errors->nlines)
		reload_complain(m, "and %zu errors more",
		    errors->count - errors->nlines);
}

/*
 * The spool is moved by nobody while it is written to, and is its user's.  Names
 * each of them that changed; whether none did.
 */
static bool
may_change(struct master *m, const struct config *old, const struct config *new)
{
	const struct {
		const char *name;
		bool changed;
	} rows[] = {
		{ "spool_directory",
		    strcmp(old->spool_directory, new->spool_directory) != 0 },
		{ "queue_store", old->queue_store != new->queue_store },
		{ "queue_user", strcmp(old->queue_user, new->queue_user) != 0 },
	};
	bool good = true;
	size_t i;

	for (i = 0; i < NELEM(rows); i++) {
		if (!rows[i].changed)
			continue;
		reload_complain(m, "%s cannot change in a reload: restart",
		    rows[i].name);
		good = false;
	}
	return good;
}

static void
refuse(struct master *m, struct load *load)
{
	counts_reload(m, false);
	log_line(LOG_ERROR,
	    "reload refused: the previous configuration goes on");
	load_free(load);
	give_verdict(m, m->load->config->pid_file, false);
}

static bool
is_other(const struct load_user *user, const struct load_user *before)
{
	return user->uid != before->uid || user->gid != before->gid;
}

/* A new one runs as the new user; who dialled asks it again, who scrapes comes
 * again. */
static void
replace_where_other(struct master *m, unsigned role,
    const struct load_user *former, const struct load_user *user)
{
	struct servant *s = servant_find(m, role);

	if (s != NULL && load_switches_users() && is_other(user, former))
		servant_send(s, MSG_DRAIN);
}

/* The sockets are another generation's as well, which knows nothing of ours. */
static bool
is_upgrading(const struct master *m)
{
	return m->kin.state != UPGRADE_NONE ||
	    (m->kin.is_heir && m->kin.fd != -1);
}

static bool
get_sockets(struct master *m, const struct load *load,
    struct socket_list **socketsp)
{
	size_t i;

	*socketsp = sockets_prepare(m, load);
	if (*socketsp == NULL)
		return false;
	for (i = 0; i < (*socketsp)->count && is_upgrading(m); i++) {
		if ((*socketsp)->rows[i].was_there)
			continue;
		reload_complain(m,
		    "%s: a socket cannot be added while two generations run: "
		    "reload once the old one has ended",
		    (*socketsp)->rows[i].what);
		return false;
	}
	return true;
}

/* NULL: it was refused, and that was said. */
static struct load *
read_new(struct master *m, struct socket_list **socketsp)
{
	struct config_errors *errors = calloc(1, sizeof(*errors));
	struct load *load = NULL;
	bool good = false;

	*socketsp = NULL;
	if (errors != NULL)
		load = load_read(m->options->config_name, errors);
	else
		reload_complain(m, "no memory");
	if (load != NULL)
		good = may_change(m, m->load->config, load->config) &&
		    files_prepare(m, load) == 0 &&
		    get_sockets(m, load, socketsp) &&
		    files_change(m, load) == 0;
	else if (errors != NULL)
		complain_of_all(m, errors);
	free(errors);
	if (good)
		return load;
	if (*socketsp != NULL)
		sockets_abandon(m, *socketsp);
	refuse(m, load);
	return NULL;
}

/* To a role that goes on: all of the configuration that is its matter. */
static void
send_all(struct servant *s, unsigned other_sockets)
{
	unsigned role = s->desc->role;

	s->may_end = true; /* to begin anew with it */
	if ((role & ROLE_READERS) != 0)
		servant_send_config(s);
	if (role == ROLE_DIALER)
		servant_send_reach(s);
	if (role == ROLE_SIGNER)
		keys_send_pairs(s);
	if (role == ROLE_INTAKE) {
		servant_send_submitters(s);
		listeners_send_users(s);
	}
	/* Who may come is known before anybody does. */
	if ((role == ROLE_INTAKE &&
		(other_sockets & (1u << SOCKET_JOB | 1u << SOCKET_LISTENER)) !=
		    0) ||
	    (role == ROLE_CONTROL &&
		(other_sockets & 1u << SOCKET_CONTROL) != 0))
		servant_send_listeners(s);
}

static void
take_over(struct master *m, struct load *load, struct socket_list *sockets)
{
	struct load_user dialer = m->load->dialer;
	struct load_user metrics = m->load->metrics;
	struct load_user signer = m->load->signer;
	unsigned other_sockets = sockets_take(m, sockets);
	struct servant *s;

	load_free(m->load);
	m->load = load;
	m->generation++;
	counts_reload(m, true);
	secrets_renew(m);
	sink_renew(m);
	replace_agent(m);
	replace_where_other(m, ROLE_DIALER, &dialer, &m->load->dialer);
	replace_where_other(m, ROLE_SIGNER, &signer, &m->load->signer);
	replace_where_other(m, ROLE_METRICS, &metrics, &m->load->metrics);
	master_renew_metrics(m,
	    (other_sockets &
		(1u << SOCKET_METRICS | 1u << SOCKET_METRICS_TCP)) != 0);
	TAILQ_FOREACH(s, &m->servants, entry)
		send_all(s, other_sockets);
	log_line(LOG_INFO, "reloaded %s, generation %u",
	    m->options->config_name, m->generation);
	wait_for_roles(m);
}

void
reload_now(struct master *m)
{
	struct load_user intake = m->load->intake;
	struct load_user control = m->load->control;
	struct socket_list *sockets;
	struct load *load;

	if (m->stopping || m->options->client_fd != -1)
		return;
	begin(m);
	watch_reloading(m);
	load = read_new(m, &sockets);
	if (load == NULL)
		return;
	take_over(m, load, sockets);
	/* Its clients stay only where another generation takes them. */
	if (load_switches_users() &&
	    (is_other(&m->load->intake, &intake) ||
		is_other(&m->load->control, &control)))
		upgrade_begin(m);
}
