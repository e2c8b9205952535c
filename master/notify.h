/* SPDX-License-Identifier: ISC */
/*
 * What a service manager hears of us: sd_notify(3) of systemd without its
 * library.  Lines "NAME=VALUE" go as one datagram to the socket that
 * $NOTIFY_SOCKET names; where it names none, nothing is sent.
 */
#ifndef POSTERN_MASTER_NOTIFY_H
#define POSTERN_MASTER_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

/*
 * notify_address - the socket that text names: "/a/path", or "@name" in the
 * abstract name space.  Its length, or 0: it names none.  Pure.
 */
socklen_t notify_address(const char *text, struct sockaddr_un *un);

/*
 * notify_watchdog_ms - how often WATCHDOG=1 is due, at half of usec.
 *
 * usec and pid are $WATCHDOG_USEC and $WATCHDOG_PID, or NULL; ours is our own
 * process id, which pid must be where it is given.  0: never.  Pure.
 */
int64_t notify_watchdog_ms(const char *usec, const char *pid, int ours);

/* Reads the environment; says once where the socket cannot be used. */
void notify_open(void);
void notify_close(void);

/* Whether there is somebody to tell. */
bool notify_is_open(void);

/* Sends what it can, and never waits. */
void notify_send(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
