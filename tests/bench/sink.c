/* SPDX-License-Identifier: ISC */
/*
 * sink [-l] [-c] [-a]: an SMTP (LMTP with -l) server that takes every message
 * and keeps none, by BDAT too with -c, as fast as one thread can, so that a
 * client's own cost shows.  Prints its port on loopback, then, at each line on
 * standard input, how many messages it has taken.
 *
 * With -a it listens on all addresses, and what it is depends on which one was
 * connected to: in 127.3.0.0/16 it accepts and never says a word, in 127.4.0.0/16
 * it answers 451 to each RCPT.
 */
#include <sys/epoll.h>
#include <sys/socket.h>

#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define BUFFER 65536

enum {
	LOOPBACK_STALLS = 0x7f03,
	LOOPBACK_DEFERS = 0x7f04,
};

struct connection {
	int fd;
	bool defers; /* each recipient */
	bool in_message;
	bool last;   /* of the chunks */
	size_t left; /* octets of a chunk */
	unsigned rcpts;
	size_t len;
	char in[BUFFER];
	size_t out_len;
	char out[BUFFER];
};

static bool lmtp, chunking, everywhere;
static unsigned long taken;

static void
say(struct connection *c, const char *text)
{
	size_t n = strlen(text);

	if (c->out_len + n > sizeof(c->out))
		errx(1, "a client that never reads");
	memcpy(c->out + c->out_len, text, n);
	c->out_len += n;
}

static void
end_message(struct connection *c)
{
	unsigned i, n = lmtp ? c->rcpts : 1;

	c->in_message = false;
	taken++;
	for (i = 0; i < n; i++)
		say(c, "250 2.0.0 taken\r\n");
}

static void
end_chunk(struct connection *c)
{
	if (c->last)
		end_message(c);
	else
		say(c, "250 2.0.0 chunk\r\n");
}

static void
begin_chunk(struct connection *c, const char *line)
{
	char *word;

	c->left = strtoul(line + 5, &word, 10);
	c->last = strncasecmp(word, " LAST", 5) == 0;
	if (c->left == 0)
		end_chunk(c);
}

static void
command(struct connection *c, const char *line)
{
	if (strncasecmp(line, "DATA", 4) == 0 && c->defers) {
		say(c, "503 5.5.1 no recipient\r\n");
	} else if (strncasecmp(line, "DATA", 4) == 0) {
		c->in_message = true;
		say(c, "354 go\r\n");
	} else if (strncasecmp(line, "EHLO", 4) == 0 ||
	    strncasecmp(line, "LHLO", 4) == 0) {
		say(c, "250-sink.postern.test\r\n250-PIPELINING\r\n");
		if (chunking)
			say(c, "250-CHUNKING\r\n");
		say(c, "250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n");
	} else if (strncasecmp(line, "BDAT ", 5) == 0) {
		begin_chunk(c, line);
	} else if (strncasecmp(line, "QUIT", 4) == 0) {
		say(c, "221 2.0.0 bye\r\n");
	} else {
		if (strncasecmp(line, "MAIL", 4) == 0)
			c->rcpts = 0;
		if (strncasecmp(line, "RCPT", 4) == 0 && c->defers) {
			say(c, "451 4.3.0 not now\r\n");
			return;
		}
		if (strncasecmp(line, "RCPT", 4) == 0)
			c->rcpts++;
		say(c, "250 2.0.0 ok\r\n");
	}
}

/* Octets of a chunk at the start of what is there. */
static size_t
skip(struct connection *c, size_t n)
{
	if (n > c->left)
		n = c->left;
	c->left -= n;
	if (n > 0 && c->left == 0)
		end_chunk(c);
	return n;
}

/* Handles every whole line; keeps the rest. */
static void
take(struct connection *c)
{
	char *line = c->in, *end;

	for (;;) {
		line += skip(c, c->len - (size_t)(line - c->in));
		end = memchr(line, '\n', c->len - (size_t)(line - c->in));
		if (end == NULL)
			break;
		if (!c->in_message)
			command(c, line);
		else if (line[0] == '.' && line[1] == '\r')
			end_message(c);
		line = end + 1;
	}
	c->len -= (size_t)(line - c->in);
	memmove(c->in, line, c->len);
}

/* False where the client is gone. */
static bool
serve(struct connection *c)
{
	ssize_t n;

	n = read(c->fd, c->in + c->len, sizeof(c->in) - c->len);
	if (n <= 0)
		return false;
	c->len += (size_t)n;
	take(c);
	if (c->out_len > 0 && write(c->fd, c->out, c->out_len) == -1)
		return false;
	c->out_len = 0;
	return true;
}

/* The upper half of the address that a client connected to. */
static unsigned
called_net(int fd)
{
	struct sockaddr_in in;
	socklen_t len = sizeof(in);

	if (getsockname(fd, (struct sockaddr *)&in, &len) == -1)
		return 0;
	return ntohl(in.sin_addr.s_addr) >> 16;
}

static void
add_client(int epoll, int listener)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct connection *c;
	int on = 1;

	c = calloc(1, sizeof(*c));
	if (c == NULL)
		err(1, "memory");
	c->fd = accept(listener, NULL, NULL);
	if (c->fd == -1) {
		free(c);
		return;
	}
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	c->defers = called_net(c->fd) == LOOPBACK_DEFERS;
	event.data.ptr = c;
	epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
	if (called_net(c->fd) == LOOPBACK_STALLS)
		return;
	say(c, "220 sink.postern.test\r\n");
	(void)!write(c->fd, c->out, c->out_len);
	c->out_len = 0;
}

static int
open_listener(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof(in);
	int fd;

	in.sin_addr.s_addr = htonl(everywhere ? INADDR_ANY : INADDR_LOOPBACK);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd == -1 || bind(fd, (struct sockaddr *)&in, sizeof(in)) == -1 ||
	    listen(fd, 1024) == -1 ||
	    getsockname(fd, (struct sockaddr *)&in, &len) == -1)
		err(1, "listener");
	printf("%d\n", ntohs(in.sin_port));
	fflush(stdout);
	return fd;
}

/* Answers a question on standard input; false at its end. */
static bool
answer(void)
{
	char line[16];

	if (read(STDIN_FILENO, line, sizeof(line)) <= 0)
		return false;
	printf("%lu\n", taken);
	fflush(stdout);
	return true;
}

int
main(int argc, char **argv)
{
	struct epoll_event events[64], event = { .events = EPOLLIN };
	static char listener_mark, stdin_mark;
	int listener, epoll, i, n;
	struct connection *c;

	for (i = 1; i < argc; i++) {
		lmtp = lmtp || strcmp(argv[i], "-l") == 0;
		chunking = chunking || strcmp(argv[i], "-c") == 0;
		everywhere = everywhere || strcmp(argv[i], "-a") == 0;
	}
	listener = open_listener();
	epoll = epoll_create1(0);
	event.data.ptr = &listener_mark;
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
	event.data.ptr = &stdin_mark;
	epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event);
	for (;;) {
		n = epoll_wait(epoll, events, 64, -1);
		for (i = 0; i < n; i++) {
			if (events[i].data.ptr == &listener_mark) {
				add_client(epoll, listener);
			} else if (events[i].data.ptr == &stdin_mark) {
				if (!answer())
					return 0;
			} else {
				c = events[i].data.ptr;
				if (!serve(c)) {
					close(c->fd);
					free(c);
				}
			}
		}
	}
}
