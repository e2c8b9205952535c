/* SPDX-License-Identifier: ISC */
/*
 * The metrics role: tells whoever scrapes what the others counted.  It sees
 * numbers and the names of transports and groups, in memory that it cannot write;
 * no address, no message, nobody's channel but the master's.
 */
#include <sys/mman.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/net.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "common/filter.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/role.h"
#include "common/sandbox.h"
#include "common/util.h"
#include "master/metrics/http.h"
#include "master/metrics/render.h"

struct metrics {
	struct role role;
	struct http *http;
	const struct metrics_table *tables[METRICS_WRITERS];
};

static const struct sandbox metrics_sandbox = { 0 };

static const struct filter_rule metrics_filter[] = {
#include "master/metrics/metrics_filter.def"
};

/* What whoever scrapes gets. */
static char *
metrics_page(void *ctx, const char *accept, size_t *lenp, const char **typep)
{
	enum render_format format = render_negotiate(accept);
	struct metrics *m = ctx;
	char *text, *fitting;

	text = malloc(RENDER_SIZE);
	if (text == NULL)
		return NULL;
	*lenp =
	    render(m->tables, format, time_real_ms() / 1000, text, RENDER_SIZE);
	if (*lenp == 0) {
		free(text);
		return NULL;
	}
	*typep = render_content_type(format);
	fitting = realloc(text, *lenp);
	if (fitting != NULL)
		text = fitting;
	return text;
}

static void
metrics_table(void *ctx, struct channel *from, const struct message *msg)
{
	const struct msg_metrics *what = msg->payload;
	struct metrics *m = ctx;

	(void)from;
	if (what->writer < METRICS_WRITERS)
		m->tables[what->writer] = metrics_map(msg->fd, false);
	if (what->writer >= METRICS_WRITERS || m->tables[what->writer] == NULL)
		fatal("a table of counts cannot be mapped: %s",
		    strerror(errno));
	fd_close(msg->fd);
}

static void
metrics_listener(void *ctx, struct channel *from, const struct message *msg)
{
	struct metrics *m = ctx;

	(void)from;
	if (http_listen(m->http, msg->fd) == -1)
		fatal("a socket for metrics: %s", strerror(errno));
}

static void
metrics_drain(void *ctx, struct channel *from, const struct message *msg)
{
	struct metrics *m = ctx;

	(void)from;
	(void)msg;
	role_stop(&m->role);
}

/* What it takes, and in which of its phases. */
static const struct handler metrics_handlers[] = {
	{ MSG_METRICS, PHASE_SETUP, metrics_table },
	{ MSG_METRICS_LISTENER, PHASE_SETUP, metrics_listener },
	{ MSG_DRAIN, PHASE_READY, metrics_drain },
};

int
metrics_run(int parent_fd)
{
	struct metrics m = { 0 };
	struct msg_ready ready;
	const char *why = "?";

	role_init(&m.role, ROLE_METRICS, parent_fd, metrics_handlers,
	    NELEM(metrics_handlers), &m, NULL);
	m.http = http_new(m.role.base, metrics_page, &m, &why);
	if (m.http == NULL)
		fatal("metrics: %s", why);
	role_setup(&m.role);
	sandbox_root(&metrics_sandbox, &m.role.start);
	sandbox_confine(&metrics_sandbox, NULL, metrics_filter,
	    NELEM(metrics_filter), &ready);
	role_loop(&m.role, &ready);
	http_free(m.http);
	role_clear(&m.role);
	return 0;
}
