/* SPDX-License-Identifier: ISC */
/*
 * HTTP for whoever scrapes: the one doorway to libmicrohttpd, driven by the
 * role's own loop.
 */
#ifndef MASTER_METRICS_HTTP_H
#define MASTER_METRICS_HTTP_H

#include <event2/event.h>
#include <stddef.h>

enum {
	HTTP_CLIENTS_MAX = 16,   /* at a time; others wait in the backlog */
	HTTP_LIFE_MS = 5000,     /* of a connection, whatever it does */
	HTTP_MEMORY = 16 * 1024, /* of a request */
	HTTP_LISTENERS_MAX = 2,
};

struct http;

/*
 * What is asked for, by the value of Accept (or NULL): memory from malloc() that
 * is http's from there on, its length and type.  NULL: there is none now.
 */
typedef char *(*http_page_fn)(void *ctx, const char *accept, size_t *lenp,
    const char **typep);

/* Loads the library, which opens files: before the filter.  NULL: *whyp. */
struct http *http_new(struct event_base *base, http_page_fn page, void *ctx,
    const char **whyp);

/* A listening socket, ours from here on.  0, or -1 with errno. */
int http_listen(struct http *http, int fd);

void http_free(struct http *http);

#endif
