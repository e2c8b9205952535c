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
}

/*
 * What is open as long as we live, and what belongs to it: a role that dies
 * later would else take up another spool, and we would remove another's socket.
 * NULL, or the first of them that changed.
 */
static const char *
needs_restart(const struct config *old, const struct config *new)
{
	const struct {
		const char *name, *was, *is;
	} rows[] = {
		{ "spool_directory", old->spool_directory,
		    new->spool_directory },
		{ "queue_user", old->queue_user, new->queue_user },
		{ "job_socket", old->job_socket, new->job_socket },
		{ "control_socket", old->control_socket, new->control_socket },
		{ "pid_file", old->pid_file, new->pid_file },
	};
	size_t i;

	if (old->queue_store != new->queue_store)
		return "queue_store";
	for (i = 0; i < NELEM(rows); i++) {
		if (strcmp(rows[i].was, rows[i].is) != 0)
			return rows[i].name;
	}
	return NULL;
}

static void
refuse_reload(struct load *load, const char *why)
{
	if (why != NULL)
		log_line(LOG_ERROR, "%s cannot change in a reload: restart",
		    why);
	log_line(LOG_ERROR,
	    "reload refused: the former configuration "
	    "goes on");
	load_free(load);
}

void
reload_now(struct master *m)
{
	struct config_errors *errors;
	struct load *load = NULL;
	struct servant *s;
	const char *why;

	if (m->stopping || m->options->client_fd != -1)
		return;
	errors = calloc(1, sizeof(*errors));
	if (errors != NULL)
		load = load_read(m->options->config_name, errors);
	if (load == NULL) {
		if (errors != NULL)
			log_errors(errors);
		free(errors);
		refuse_reload(NULL, NULL);
		return;
	}
	free(errors);
	why = needs_restart(m->load->config, load->config);
	if (why != NULL) {
		refuse_reload(load, why);
		return;
	}
	load_free(m->load);
	m->load = load;
	m->generation++;
	secrets_renew(m);
	sink_renew(m);
	replace_agent(m);
	TAILQ_FOREACH(s, &m->servants, entry) {
		if ((s->desc->role & ROLE_READERS) != 0)
			servant_send_config(s);
		if (s->desc->role == ROLE_INTAKE)
			servant_send_submitters(s);
	}
	log_line(LOG_INFO, "reloaded %s, generation %u",
	    m->options->config_name, m->generation);
}
