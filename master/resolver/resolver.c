/* SPDX-License-Identifier: ISC */
/*
 * The resolver: turns a domain or a host into a plan, the addresses to try in
 * their order.  It reaches name servers and sees no envelope.  The files that it
 * read at its start hold for its life: a reload is a new resolver.
 */
#include <sys/mman.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/filter.h"
#include "common/log.h"
#include "common/role.h"
#include "common/sandbox.h"
#include "common/util.h"
#include "master/config.h"
#include "master/config_fd.h"
#include "master/resolver/lookup.h"

struct resolver {
	struct role role;
	struct channel *queue; /* NULL: dead, or not yet told */
	struct config *config;
	struct lookups *lookups;
};

static const struct filter_rule resolver_filter[] = {
#include "master/resolver/resolver_filter.def"
};

static void
resolver_answer(void *ctx, const struct msg_resolved *answer,
    const struct plan_address *addresses, const char *why)
{
	struct resolver *r = ctx;
	char text[1024]; /* a QUEUE_REPLY_SIZE holds it */

	if (r->queue == NULL)
		return; /* a new queue asks anew */
	if (answer->outcome.status == OUTCOME_DELIVERED)
		(void)channel_send(r->queue, MSG_RESOLVED, answer, addresses,
		    answer->count * sizeof(addresses[0]), -1);
	if (answer->outcome.status == OUTCOME_DELIVERED)
		return;
	/* Part of it is what name servers said. */
	(void)log_escape(text, sizeof(text), why, strlen(why));
	(void)channel_send(r->queue, MSG_RESOLVED, answer, text, strlen(text),
	    -1);
}

static void
resolver_resolve(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_resolve *ask = m->payload;
	char name[MSG_HOST_SIZE];
	struct resolver *r = ctx;

	(void)from;
	if (m->tail_len == 0 || m->tail_len >= sizeof(name) ||
	    memchr(m->tail, '\0', m->tail_len) != NULL) {
		log_line(LOG_ERROR, "RESOLVE without a name");
		return;
	}
	memcpy(name, m->tail, m->tail_len);
	name[m->tail_len] = '\0';
	lookup_begin(r->lookups, ask, name);
}

static void
resolver_config(void *ctx, struct channel *from, const struct message *m)
{
	struct resolver *r = ctx;

	(void)from;
	r->config = config_from_fd(m);
}

/* The files that it names cannot be opened from in here. */
static void
resolver_restart(void *ctx, struct channel *from, const struct message *m)
{
	struct resolver *r = ctx;

	(void)from;
	fd_close(m->fd);
	role_stop(&r->role);
}

static void
resolver_peer(void *ctx, struct channel *from, const struct message *m)
{
	struct resolver *r = ctx;

	(void)from;
	channel_close(r->queue);
	r->queue = role_take_peer(&r->role, m->fd, ROLE_QUEUE, NULL);
}

static void
resolver_drain(void *ctx, struct channel *from, const struct message *m)
{
	struct resolver *r = ctx;

	(void)from;
	(void)m;
	role_stop(&r->role);
}

/* What the resolver takes, and in which of its phases. */
static const struct handler resolver_handlers[] = {
	{ MSG_CONFIG, PHASE_SETUP, resolver_config },
	{ MSG_CONFIG, PHASE_READY, resolver_restart },
	{ MSG_PEER, PHASE_SETUP | PHASE_READY, resolver_peer },
	{ MSG_RESOLVE, PHASE_READY, resolver_resolve },
	{ MSG_DRAIN, PHASE_READY, resolver_drain },
};

static void
resolver_closed(void *ctx, struct channel *ch, const char *why)
{
	struct resolver *r = ctx;

	(void)why;
	if (ch == r->queue)
		r->queue = NULL; /* the master sends another */
}

enum {
	PORT_DNS = 53,      /* RFC 1035, 4.2 */
	PORT_DNS_TLS = 853, /* RFC 7858, 3.1 */
};

/* Those of name servers: the usual ones, and what ADDRESS@PORT says. */
static void
find_ports(const struct config *config, uint16_t *ports,
    struct landlock_ports *out)
{
	const struct config_list *servers = &config->name_servers;
	const char *at;
	size_t i;

	ports[0] = PORT_DNS;
	ports[1] = PORT_DNS_TLS;
	out->ports = ports;
	out->n = 2;
	for (i = 0; i < servers->count; i++) {
		at = strchr(servers->words[i], '@');
		if (at != NULL)
			ports[out->n++] =
			    (uint16_t)strtonum(at + 1, 0, UINT16_MAX, NULL);
	}
}

int
resolver_run(int parent_fd)
{
	struct msg_ready ready;
	struct landlock_ports ports = { .binds = true };
	struct sandbox box = { .ports = &ports };
	struct resolver r = { 0 };
	uint16_t *numbers;

	role_init(&r.role, ROLE_RESOLVER, parent_fd, resolver_handlers,
	    NELEM(resolver_handlers), &r, resolver_closed);
	role_setup(&r.role);
	if (r.config == NULL)
		fatal("no configuration");
	/* A second arena of malloc's would be the thread's: once it shrinks, it
	 * reads a file of /proc (glibc 2.36, check_may_shrink_heap). */
	(void)mallopt(M_ARENA_MAX, 1);
	r.lookups = lookups_new(r.role.base, r.config, resolver_answer, &r);
	numbers = calloc(r.config->name_servers.count + 2, sizeof(*numbers));
	if (numbers == NULL)
		fatal("no memory");
	find_ports(r.config, numbers, &ports);
	sandbox_root(&box, &r.role.start);
	sandbox_confine(&box, NULL, NULL, 0, &ready);
	free(numbers);
	lookups_start_thread(r.lookups);
	if (filter_enter_threads(resolver_filter, NELEM(resolver_filter)) == -1)
		fatal("seccomp filter: %s", strerror(errno));
	role_loop(&r.role, &ready);
	_exit(0); /* the thread has nothing to finish */
}
