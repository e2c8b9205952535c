/* SPDX-License-Identifier: ISC */
/* Where metrics are told: the value of metrics_listen, and its sockets. */
#ifndef MASTER_METRICS_LISTEN_H
#define MASTER_METRICS_LISTEN_H

#include <sys/socket.h>
#include <sys/types.h>

#include <stdbool.h>

/*
 * metrics_listen_parse - "ADDRESS:PORT" or "[ADDRESS]:PORT" as a socket address.
 *
 * NULL, or what is wrong with it.  *loopback: no other host can reach it.  Pure.
 */
const char *metrics_listen_parse(const char *text, struct sockaddr_storage *to,
    socklen_t *lenp, bool *loopback);

/* A listening socket; -1 with errno. */
int metrics_listen_tcp(const char *text);

#endif
