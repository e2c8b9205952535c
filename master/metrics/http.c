/* SPDX-License-Identifier: ISC */
/*
 * See http.h.
 *
 * The library is loaded at run time, by this role alone: it brings another TLS
 * library along, which no other process is to have in its memory.
 */
#include "master/metrics/http.h"

#include <sys/socket.h>

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <microhttpd.h>

#include "common/util.h"

#define HTTP_LIBRARY "libmicrohttpd.so.12"

/* What we use of it. */
#define HTTP_CALLS(CALL)                                                       \
	CALL(MHD_start_daemon)                                                 \
	CALL(MHD_stop_daemon)                                                  \
	CALL(MHD_run)                                                          \
	CALL(MHD_get_timeout)                                                  \
	CALL(MHD_get_daemon_info)                                              \
	CALL(MHD_get_connection_info)                                          \
	CALL(MHD_add_connection)                                               \
	CALL(MHD_lookup_connection_value)                                      \
	CALL(MHD_create_response_from_buffer)                                  \
	CALL(MHD_add_response_header)                                          \
	CALL(MHD_queue_response)                                               \
	CALL(MHD_destroy_response)

static struct {
#define CALL(name) __typeof__(&name) name;
	HTTP_CALLS(CALL)
#undef CALL
} lib;

struct client {
	int fd; /* the library's to close; -1: nobody */
	int64_t until_ms;
};

struct http {
	struct event_base *base;
	struct MHD_Daemon *daemon;
	struct event *ready; /* the library's epoll */
	struct event *timer; /* the library's, or a client's end */
	struct event *listeners[HTTP_LISTENERS_MAX];
	int fds[HTTP_LISTENERS_MAX];
	unsigned nlisteners;
	struct client clients[HTTP_CLIENTS_MAX];
	unsigned nclients;
	http_page_fn page;
	void *ctx;
};

static int
load(void *library, const char *name, void *call, size_t size)
{
	void *symbol = dlsym(library, name);

	if (symbol == NULL)
		return -1;
	memcpy(call, &symbol, size);
	return 0;
}

static int
load_library(void)
{
	void *library = dlopen(HTTP_LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (library == NULL)
		return -1;
#define CALL(name)                                                             \
	if (load(library, #name, &lib.name, sizeof(lib.name)) == -1)           \
		return -1;
	HTTP_CALLS(CALL)
#undef CALL
	return 0;
}

/* Clients. */

static void
http_accepting(struct http *http, bool accepts)
{
	unsigned i;

	for (i = 0; i < http->nlisteners; i++)
		(void)(accepts ? event_add(http->listeners[i], NULL)
			       : event_del(http->listeners[i]));
}

static void
http_count(struct http *http, int fd)
{
	unsigned i;

	for (i = 0; i < HTTP_CLIENTS_MAX && http->clients[i].fd != -1; i++)
		continue;
	if (i == HTTP_CLIENTS_MAX)
		return; /* the library has the same limit */
	http->clients[i].fd = fd;
	http->clients[i].until_ms = time_monotonic_ms() + HTTP_LIFE_MS;
	if (++http->nclients == HTTP_CLIENTS_MAX)
		http_accepting(http, false);
}

static void
http_uncount(struct http *http, int fd)
{
	unsigned i;

	for (i = 0; i < HTTP_CLIENTS_MAX && http->clients[i].fd != fd; i++)
		continue;
	if (i == HTTP_CLIENTS_MAX)
		return;
	http->clients[i].fd = -1;
	if (http->nclients-- == HTTP_CLIENTS_MAX)
		http_accepting(http, true);
}

static void
http_notify(void *arg, struct MHD_Connection *connection, void **context,
    enum MHD_ConnectionNotificationCode what)
{
	const union MHD_ConnectionInfo *info;

	(void)context;
	info = lib.MHD_get_connection_info(connection,
	    MHD_CONNECTION_INFO_CONNECTION_FD);
	if (info == NULL)
		return;
	if (what == MHD_CONNECTION_NOTIFY_STARTED)
		http_count(arg, info->connect_fd);
	else
		http_uncount(arg, info->connect_fd);
}

/* Who takes its time is cut off: reading slowly is no way to stay. */
static int64_t
http_end_old(struct http *http)
{
	int64_t now_ms = time_monotonic_ms(), wait_ms = INT64_MAX, left_ms;
	unsigned i;

	for (i = 0; i < HTTP_CLIENTS_MAX; i++) {
		if (http->clients[i].fd == -1)
			continue;
		left_ms = http->clients[i].until_ms - now_ms;
		if (left_ms <= 0) {
			(void)shutdown(http->clients[i].fd, SHUT_RDWR);
			left_ms = HTTP_LIFE_MS; /* the library sees its end */
		}
		if (left_ms < wait_ms)
			wait_ms = left_ms;
	}
	return wait_ms;
}

/* The loop. */

static void
http_turn(struct http *http)
{
	struct timeval tv;
	MHD_UNSIGNED_LONG_LONG library_ms;
	int64_t wait_ms;

	(void)lib.MHD_run(http->daemon); /* what fails ends its connection */
	wait_ms = http_end_old(http);
	if (lib.MHD_get_timeout(http->daemon, &library_ms) == MHD_YES &&
	    library_ms < (MHD_UNSIGNED_LONG_LONG)wait_ms)
		wait_ms = (int64_t)library_ms;
	if (wait_ms == INT64_MAX) {
		(void)event_del(http->timer);
		return;
	}
	tv.tv_sec = wait_ms / 1000;
	tv.tv_usec = wait_ms % 1000 * 1000;
	(void)event_add(http->timer, &tv); /* the next event turns too */
}

static void
http_ready(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	http_turn(arg);
}

static void
http_accept(evutil_socket_t listener, short what, void *arg)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct http *http = arg;
	int fd;

	(void)what;
	fd = accept4(listener, (struct sockaddr *)&ss, &len,
	    SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd == -1)
		return;
	/* On failure, too, it closes what it was given. */
	(void)lib.MHD_add_connection(http->daemon, fd, (struct sockaddr *)&ss,
	    len);
	http_turn(http);
}

/* Answers. */

static enum MHD_Result
http_answer(struct MHD_Connection *connection, unsigned status, char *text,
    size_t len, bool ours, const char *type)
{
	struct MHD_Response *response;
	enum MHD_Result result;

	response = lib.MHD_create_response_from_buffer(len, text,
	    ours ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
	if (response == NULL) {
		if (ours)
			free(text);
		return MHD_NO;
	}
	(void)lib.MHD_add_response_header(response, "Content-Type", type);
	(void)lib.MHD_add_response_header(response, "Connection", "close");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		(void)lib.MHD_add_response_header(response, "Allow",
		    "GET, HEAD");
	result = lib.MHD_queue_response(connection, status, response);
	lib.MHD_destroy_response(response);
	return result;
}

static enum MHD_Result
http_say(struct MHD_Connection *connection, unsigned status)
{
	static char not_found[] = "metrics are at /metrics\n";
	static char not_allowed[] = "GET or HEAD\n";
	static char no_memory[] = "no memory\n";
	char *text = status == MHD_HTTP_NOT_FOUND   ? not_found
	    : status == MHD_HTTP_METHOD_NOT_ALLOWED ? not_allowed
						    : no_memory;

	return http_answer(connection, status, text, strlen(text), false,
	    "text/plain; charset=utf-8");
}

static enum MHD_Result
http_asked(void *arg, struct MHD_Connection *connection, const char *url,
    const char *method, const char *version, const char *upload,
    size_t *upload_len, void **context)
{
	struct http *http = arg;
	const char *type;
	char *text;
	size_t len;

	(void)version;
	(void)upload;
	(void)upload_len;
	(void)context;
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return http_say(connection, MHD_HTTP_METHOD_NOT_ALLOWED);
	if (strcmp(url, "/metrics") != 0)
		return http_say(connection, MHD_HTTP_NOT_FOUND);
	text = http->page(http->ctx,
	    lib.MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
		"Accept"),
	    &len, &type);
	if (text == NULL)
		return http_say(connection, MHD_HTTP_INTERNAL_SERVER_ERROR);
	return http_answer(connection, MHD_HTTP_OK, text, len, true, type);
}

/* From start to end. */

static int
http_start(struct http *http)
{
	const union MHD_DaemonInfo *info;

	http->daemon = lib.MHD_start_daemon(
	    MHD_USE_NO_LISTEN_SOCKET | MHD_USE_EPOLL, 0, NULL, NULL, http_asked,
	    http, MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CLIENTS_MAX,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_MEMORY,
	    MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(HTTP_LIFE_MS / 1000),
	    MHD_OPTION_NOTIFY_CONNECTION, http_notify, http, MHD_OPTION_END);
	if (http->daemon == NULL)
		return -1;
	info = lib.MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (info == NULL)
		return -1;
	http->ready = event_new(http->base, info->epoll_fd,
	    EV_READ | EV_PERSIST, http_ready, http);
	http->timer = evtimer_new(http->base, http_ready, http);
	if (http->ready == NULL || http->timer == NULL)
		return -1;
	return event_add(http->ready, NULL);
}

struct http *
http_new(struct event_base *base, http_page_fn page, void *ctx,
    const char **whyp)
{
	struct http *http;
	unsigned i;

	if (load_library() == -1) {
		*whyp = dlerror();
		return NULL;
	}
	http = calloc(1, sizeof(*http));
	if (http == NULL) {
		*whyp = "no memory";
		return NULL;
	}
	http->base = base;
	http->page = page;
	http->ctx = ctx;
	for (i = 0; i < HTTP_CLIENTS_MAX; i++)
		http->clients[i].fd = -1;
	if (http_start(http) == 0)
		return http;
	*whyp = "the HTTP library does not start";
	http_free(http);
	return NULL;
}

int
http_listen(struct http *http, int fd)
{
	struct event *listener;

	if (http->nlisteners == HTTP_LISTENERS_MAX) {
		fd_close(fd);
		errno = EMFILE;
		return -1;
	}
	listener =
	    event_new(http->base, fd, EV_READ | EV_PERSIST, http_accept, http);
	if (listener == NULL || event_add(listener, NULL) == -1) {
		if (listener != NULL)
			event_free(listener);
		fd_close(fd);
		return -1;
	}
	http->fds[http->nlisteners] = fd;
	http->listeners[http->nlisteners++] = listener;
	return 0;
}

void
http_free(struct http *http)
{
	unsigned i;

	if (http == NULL)
		return;
	for (i = 0; i < http->nlisteners; i++) {
		event_free(http->listeners[i]);
		fd_close(http->fds[i]);
	}
	http->nlisteners = 0;
	if (http->ready != NULL)
		event_free(http->ready);
	if (http->timer != NULL)
		event_free(http->timer);
	if (http->daemon != NULL)
		lib.MHD_stop_daemon(http->daemon);
	free(http);
}
