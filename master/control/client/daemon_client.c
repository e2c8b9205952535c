/* SPDX-License-Identifier: ISC */
/* See daemon_client.h. */
#include "master/control/client/daemon_client.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "master/clients/client.h"
#include "master/config.h"
#include "master/config_include.h"

/* Recipients of one packet: each at most 256 octets, escaped at most twice, and
 * what its object has besides. */
#define RCPTS_A_PACKET 100

int
daemon_client_open(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd;

	if (path == NULL)
		return -1; /* daemon_client_socket has said why */
	if (strlcpy(un.sun_path, path, sizeof(un.sun_path)) >=
	    sizeof(un.sun_path)) {
		fprintf(stderr, "postern: %s: the path is too long\n", path);
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd != -1 && connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
		return fd;
	fprintf(stderr, "postern: %s: %s%s\n", path, strerror(errno),
	    errno == ENOENT || errno == ECONNREFUSED
		? ": is posternd running, with this configuration?"
		: errno == EPROTOTYPE
		? ": this is neither the job socket nor the control socket, "
		  "which are job_socket and control_socket in postern.conf(5)"
		: errno == EACCES
		? ": your user may not: see the socket's mode and group in "
		  "postern.conf(5)"
		: "");
	fd_close(fd);
	return -1;
}

struct config *
daemon_client_read_config(const char *config_name, struct config_errors *errors)
{
	struct config *config = NULL;
	size_t n;
	char *text = config_include_read(config_name, &n);

	errors->count = errors->nlines = 0;
	if (text == NULL)
		return NULL;
	config = config_read(config_name, text, n, errors);
	free(text);
	return config;
}

struct config *
daemon_client_config(const char *config_name)
{
	struct config_errors *errors = calloc(1, sizeof(*errors));
	struct config *config = NULL;

	if (errors == NULL)
		return NULL;
	/* It need not be readable to a client. */
	config = daemon_client_read_config(config_name, errors);
	if (errors->nlines > 0)
		fprintf(stderr, "postern: %s: taking the defaults\n",
		    errors->lines[0]);
	free(errors);
	return config;
}

/*
 * A file that was named is the only one that knows the socket: the default one may
 * be that of another posternd, whose queue was not meant.
 */
static void
link_say_unusable(const char *config_name, const struct config_errors *errors,
    int error)
{
	size_t i;

	for (i = 0; i < errors->nlines; i++)
		fprintf(stderr, "postern: %s\n", errors->lines[i]);
	if (errors->nlines == 0)
		fprintf(stderr, "postern: %s: %s\n", config_name,
		    strerror(error));
	fprintf(stderr,
	    "postern: the socket is not known without it: name the file that "
	    "posternd was started with\n");
}

const char *
daemon_client_socket(const char *given, const char *config_name, bool control)
{
	static char path[108];
	static struct config_errors errors;
	struct config *config;
	bool named =
	    strcmp(config_name, POSTERN_SYSCONFDIR "/postern.conf") != 0;

	if (given != NULL)
		return given;
	strlcpy(path, control ? "/run/postern/control" : "/run/postern/job",
	    sizeof(path));
	config = named ? daemon_client_read_config(config_name, &errors)
		       : daemon_client_config(config_name);
	if (config == NULL && named) {
		link_say_unusable(config_name, &errors, errno);
		return NULL;
	}
	if (config != NULL)
		strlcpy(path,
		    control ? config->control_socket : config->job_socket,
		    sizeof(path));
	config_free(config);
	return path;
}

int
daemon_client_send(int fd, json_t *object, int passed_fd)
{
	struct iovec iov;
	char *text;
	int ret;

	text = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	if (text == NULL) {
		errno = ENOMEM;
		return -1;
	}
	iov = (struct iovec){ text, strlen(text) };
	ret = fd_send(fd, &iov, 1, passed_fd, 0) == -1 ? -1 : 0;
	free(text);
	return ret;
}

static json_t *
rcpts_from(const struct link_job *job, size_t first, size_t n)
{
	json_t *list = json_array();
	size_t i;

	for (i = first; i < first + n; i++) {
		if (json_array_append_new(list,
			envelope_options_rcpt(&job->envelope, job->rcpts[i])) ==
		    -1)
			fprintf(stderr,
			    "postern: recipient %zu is no UTF-8: left out\n",
			    i + 1);
	}
	return list;
}

static void
set(json_t *object, const char *name, const char *value)
{
	if (value != NULL)
		(void)json_object_set_new(object, name, json_string(value));
}

int
daemon_client_send_job(int fd, const struct link_job *job)
{
	size_t at = 0, n;
	json_t *object;

	do {
		n = job->nrcpts - at;
		if (n > RCPTS_A_PACKET)
			n = RCPTS_A_PACKET;
		object = json_object();
		if (at == 0) {
			set(object, "from", job->from);
			set(object, "via", job->via);
			set(object, "wait", job->wait);
			set(object, "ref", job->ref);
			envelope_options_add(object, &job->envelope);
			if (job->require_tls)
				(void)json_object_set_new(object, "require_tls",
				    json_true());
			(void)json_object_set_new(object, "verbose",
			    json_boolean(job->verbose));
			(void)json_object_set_new(object, "once",
			    json_boolean(job->once));
			(void)json_object_set_new(object, "verify",
			    json_boolean(job->verify));
			if (job->handshake)
				(void)json_object_set_new(object, "handshake",
				    json_true());
			(void)json_object_set_new(object, "binary",
			    json_boolean(job->binary));
		}
		(void)json_object_set_new(object, "rcpts",
		    rcpts_from(job, at, n));
		(void)json_object_set_new(object, "more",
		    json_boolean(at + n < job->nrcpts));
		if (daemon_client_send(fd, object,
			at == 0 ? job->message_fd : -1) == -1)
			return -1;
		at += n;
	} while (at < job->nrcpts);
	return 0;
}

int
daemon_client_refusal_status(const json_t *answer)
{
	json_int_t code = json_integer_value(json_object_get(answer, "code"));

	if (code == 501 &&
	    strcmp(daemon_client_string(answer, "dsn"), "5.5.4") == 0)
		return EXIT_USAGE;
	return code >= 500 ? EXIT_FAILED : EXIT_DEFERRED;
}

/* The option of a member that is quoted at text; NULL: it has none. */
static const char *
find_option(const char *text, size_t n)
{
	static const struct {
		const char *member, *option;
	} rows[] = {
		{ "auth", "--submitter" },
		{ "binary", "--binary" },
		{ "deliver_by", "--deliver-by" },
		{ "destination", "--destination" },
		{ "domain", "--domain" },
		{ "envid", "--envid" },
		{ "from", "--from" },
		{ "hold_for", "--hold-for" },
		{ "hold_until", "--hold-until" },
		{ "id", "--id" },
		{ "notify", "--notify" },
		{ "orcpt", "--orcpt" },
		{ "priority", "--priority" },
		{ "reason", "--reason" },
		{ "recipient", "--recipient" },
		{ "ref", "--ref" },
		{ "require_tls", "--require-tls" },
		{ "ret", "--ret" },
		{ "sender", "--sender" },
		{ "status", "--status" },
		{ "to", "--to" },
		{ "transport", "--transport" },
		{ "via", "--via" },
		{ "wait", "--wait" },
	};

	for (size_t i = 0; i < NELEM(rows); i++)
		if (strlen(rows[i].member) == n &&
		    memcmp(rows[i].member, text, n) == 0)
			return rows[i].option;
	return NULL;
}

const char *
daemon_client_refusal_text(const json_t *answer)
{
	static char out[2048];
	const char *in = daemon_client_string(answer, "error"), *option;
	size_t n;
	FILE *f = fmemopen(out, sizeof(out), "w");

	out[0] = '\0';
	if (f == NULL)
		return in;
	for (; *in != '\0'; in += n) {
		n = 1;
		option = NULL;
		if (*in == '"') {
			n += strcspn(in + 1, "\"");
			n += in[n] == '"';
			option = n > 2 ? find_option(in + 1, n - 2) : NULL;
		}
		if (option != NULL)
			fputs(option, f);
		else
			(void)fwrite(in, 1, n, f); /* what fits */
	}
	(void)fclose(f);
	out[sizeof(out) - 1] = '\0';
	return out;
}

json_t *
daemon_client_receive(int fd, int timeout_ms)
{
	static char text[CLIENT_PACKET_MAX];
	struct pollfd pfd = { fd, POLLIN, 0 };
	json_t *object;
	ssize_t n;
	int ready;

	do {
		ready = poll(&pfd, 1, timeout_ms);
	} while (ready == -1 && errno == EINTR && timeout_ms < 0);
	if (ready == -1 && errno == EINTR)
		ready = 0; /* who set a limit looks at what else there is */
	if (ready == 0)
		errno = ETIMEDOUT;
	if (ready != 1)
		return NULL;
	n = recv(fd, text, sizeof(text), 0);
	if (n <= 0) {
		errno = n == 0 ? 0 : errno;
		return NULL;
	}
	object = json_loadb(text, (size_t)n, 0, NULL);
	if (object == NULL)
		errno = EPROTO;
	return object;
}

json_t *
daemon_client_receive_fd(int fd, int *passed_fd)
{
	static char text[CLIENT_PACKET_MAX];
	union {
		struct cmsghdr align;
		uint8_t room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { text, sizeof(text) };
	struct msghdr mh = { 0 };
	struct cmsghdr *c;
	ssize_t n;

	*passed_fd = -1;
	mh.msg_iov = &iov;
	mh.msg_iovlen = 1;
	mh.msg_control = &control;
	mh.msg_controllen = sizeof(control.room);
	do {
		n = recvmsg(fd, &mh, MSG_CMSG_CLOEXEC);
	} while (n == -1 && errno == EINTR);
	if (n <= 0) {
		errno = n == 0 ? 0 : errno;
		return NULL;
	}
	c = CMSG_FIRSTHDR(&mh);
	if (c != NULL && c->cmsg_level == SOL_SOCKET &&
	    c->cmsg_type == SCM_RIGHTS)
		memcpy(passed_fd, CMSG_DATA(c), sizeof(*passed_fd));
	return json_loadb(text, (size_t)n, 0, NULL);
}

const char *
daemon_client_string(const json_t *object, const char *name)
{
	const char *s = json_string_value(json_object_get(object, name));

	return s != NULL ? s : "";
}

int
daemon_client_read_message(void)
{
	static char chunk[65536];
	ssize_t n = 1;
	int fd;

	if (isatty(STDIN_FILENO))
		fprintf(stderr,
		    "postern: reading the message from the "
		    "terminal, to end-of-file\n");
	fd = memfd_create("message", MFD_CLOEXEC);
	while (fd != -1 && n != 0) {
		n = read(STDIN_FILENO, chunk, sizeof(chunk));
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 || fd_write(fd, chunk, (size_t)n) == -1) {
			fd_close(fd);
			fd = -1;
		}
	}
	if (fd == -1)
		fprintf(stderr, "postern: the message: %s\n", strerror(errno));
	return fd;
}
