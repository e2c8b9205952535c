/* SPDX-License-Identifier: ISC */
/*
 * A new configuration while all goes on: it is read whole and checked, and then
 * taken over, or refused with every reason and nothing changed.
 */
#include "master/master_internal.h"

#include <sys/queue.h>

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/role.h"
#include "common/util.h"
#include "master/load.h"

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
log_errors(const struct config_errors *errors)
{
	size_t i;

	for (i = 0; i < errors->nlines; i++)
		log_line(LOG_ERROR, "%s", errors->lines[i]);
	if (errors->count > errors->nlines)
		log_line(LOG_ERROR, "and %zu errors more",
		    errors->count - errors->nlines);
}

/*
 * The sockets belong to the listeners; the spool is moved by nobody while it is
 * written to, and is its user's.  Names each of them that changed; whether none
 * did.
 */
static bool
may_change(const struct config *old, const struct config *new)
{
	const struct {
		const char *name;
		bool changed;
	} rows[] = {
		{ "spool_directory",
		    strcmp(old->spool_directory, new->spool_directory) != 0 },
		{ "queue_store", old->queue_store != new->queue_store },
		{ "queue_user", strcmp(old->queue_user, new->queue_user) != 0 },
		{ "job_socket", strcmp(old->job_socket, new->job_socket) != 0 },
		{ "control_socket",
		    strcmp(old->control_socket, new->control_socket) != 0 },
		{ "a listener's name, place, mode or group",
		    !config_listeners_same(old, new) },
		{ "metrics_socket",
		    strcmp(old->metrics_socket, new->metrics_socket) != 0 },
		{ "metrics_listen",
		    strcmp(old->metrics_listen, new->metrics_listen) != 0 },
	};
	bool good = true;
	size_t i;

	for (i = 0; i < NELEM(rows); i++) {
		if (!rows[i].changed)
			continue;
		log_line(LOG_ERROR, "%s cannot change in a reload: restart",
		    rows[i].name);
		good = false;
	}
	return good;
}

static void
refuse(struct master *m, struct load *load)
{
	counts_reload(m, false);
	log_line(LOG_ERROR, "reload refused: the former configuration goes on");
	load_free(load);
}

static bool
is_other(const struct load_user *user, const struct load_user *former)
{
	return user->uid != former->uid || user->gid != former->gid;
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

/* NULL: it was refused, and that was said. */
static struct load *
read_new(struct master *m)
{
	struct config_errors *errors = calloc(1, sizeof(*errors));
	struct load *load = NULL;

	if (errors != NULL)
		load = load_read(m->options->config_name, errors);
	if (load == NULL) {
		if (errors != NULL)
			log_errors(errors);
		refuse(m, NULL);
	} else if (!may_change(m->load->config, load->config) ||
	    files_change(m, load) == -1) {
		refuse(m, load);
		load = NULL;
	}
	free(errors);
	return load;
}

void
reload_now(struct master *m)
{
	struct load_user dialer = m->load->dialer;
	struct load_user metrics = m->load->metrics;
	struct load_user signer = m->load->signer;
	struct load_user intake = m->load->intake;
	struct load_user control = m->load->control;
	struct load *load;
	struct servant *s;

	if (m->stopping || m->options->client_fd != -1)
		return;
	watch_reloading(m);
	load = read_new(m);
	if (load == NULL) {
		watch_reloaded(m, false);
		return;
	}
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
	TAILQ_FOREACH(s, &m->servants, entry) {
		if ((s->desc->role & ROLE_READERS) != 0)
			servant_send_config(s);
		if (s->desc->role == ROLE_DIALER)
			servant_send_reach(s);
		if (s->desc->role == ROLE_SIGNER)
			keys_send_pairs(s);
		if (s->desc->role == ROLE_INTAKE) {
			servant_send_submitters(s);
			listeners_send_users(s);
		}
	}
	watch_reloaded(m, true);
	log_line(LOG_INFO, "reloaded %s, generation %u",
	    m->options->config_name, m->generation);
	/* Its clients stay only where another generation takes them. */
	if (load_switches_users() &&
	    (is_other(&m->load->intake, &intake) ||
		is_other(&m->load->control, &control)))
		upgrade_begin(m);
}
