/* SPDX-License-Identifier: ISC */
/* Where log lines go, ours and the roles': after a reload, and when syslog comes
 * and goes. */
#include "master/master_internal.h"

#include <sys/queue.h>

#include <errno.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"

/* Our own lines go where the roles' go. */
void
sink_open_ours(struct master *m)
{
	struct msg_log_sink sink;
	int fd;

	servant_log_sink(m, &sink, &fd);
	if (fd != -1 && dup2(fd, STDERR_FILENO) != -1)
		log_open(sink.name, "master", sink.syslog,
		    (enum log_format)sink.format);
	log_set_leveled(sink.leveled != 0);
	log_set_facility(sink.facility);
	log_set_least(sink.least);
	fd_close(fd);
}

void
sink_renew(struct master *m)
{
	struct servant *s;

	sink_open_ours(m);
	TAILQ_FOREACH(s, &m->servants, entry)
		servant_send_log_sink(s);
}

void
sink_timer(evutil_socket_t fd, short what, void *arg)
{
	struct timeval again = { 1, 0 };
	struct master *m = arg;
	int log_fd;

	(void)fd;
	(void)what;
	if (m->load->config->log != CONFIG_LOG_SYSLOG)
		return;
	log_fd = log_connect_syslog();
	if (log_fd == -1)
		event_add(m->log_timer, &again);
	else
		sink_renew(m);
	fd_close(log_fd);
}

void
sink_watch(struct master *m)
{
	int64_t now_ms;

	if (!log_is_lost())
		return;
	now_ms = time_monotonic_ms();
	if (now_ms < m->role.log_asked_ms + 1000)
		return;
	m->role.log_asked_ms = now_ms;
	sink_open_ours(m);
}
