/* SPDX-License-Identifier: ISC */
/* See notify.h. */
#include "master/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"

enum {
	NOTIFY_SIZE = 1024
};

static int notify_fd = -1;

socklen_t
notify_address(const char *text, struct sockaddr_un *un)
{
	size_t len = strlen(text);

	memset(un, 0, sizeof(*un));
	un->sun_family = AF_UNIX;
	if ((text[0] != '/' && text[0] != '@') || len < 2 ||
	    len >= sizeof(un->sun_path))
		return 0;
	memcpy(un->sun_path, text, len);
	if (text[0] == '@')
		un->sun_path[0] = '\0'; /* its name has no end of its own */
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len +
	    (text[0] == '/'));
}

int64_t
notify_watchdog_ms(const char *usec, const char *pid, int ours)
{
	const char *error;
	int64_t ms;

	if (usec == NULL)
		return 0;
	if (pid != NULL &&
	    (strtonum(pid, 1, INT32_MAX, &error) != ours || error != NULL))
		return 0;
	ms = strtonum(usec, 1, INT64_MAX, &error) / 2000;
	if (error != NULL)
		return 0;
	return ms > 0 ? ms : 1;
}

void
notify_open(void)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un un;
	socklen_t len;

	if (name == NULL)
		return;
	len = notify_address(name, &un);
	errno = EINVAL;
	if (len > 0)
		notify_fd = socket(AF_UNIX,
		    SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (notify_fd != -1 &&
	    connect(notify_fd, (const struct sockaddr *)&un, len) == 0)
		return;
	log_line(LOG_WARN, "NOTIFY_SOCKET %s: %s: no service manager hears us",
	    name, strerror(errno));
	notify_close();
}

void
notify_close(void)
{
	fd_close(notify_fd);
	notify_fd = -1;
}

bool
notify_is_open(void)
{
	return notify_fd != -1;
}

void
notify_send(const char *fmt, ...)
{
	char text[NOTIFY_SIZE];
	va_list ap;
	int n;

	if (notify_fd == -1)
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < sizeof(text))
		/* Who does not read gets the next one. */
		(void)send(notify_fd, text, (size_t)n,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
}
