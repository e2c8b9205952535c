/* SPDX-License-Identifier: ISC */
/* See message_copy.h. */
#include "master/intake/message/message_copy.h"

#include <sys/stat.h>
#include <sys/vfs.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"
#include "master/intake/message/message_spool.h"

#define CHUNK 65536

/* What one pass over the octets remembers from chunk to chunk. */
struct line_ends {
	bool after_cr; /* the last octet was a CR, and CRLF is written for it */
	bool in_line;  /* the last octet written ended no line */
};

struct copying {
	int from;
	bool binary;
	uint16_t *code;
	char *error;
	struct line_ends ends;
	struct message_spool gather;
};

static int refuse(struct copying *c, uint16_t code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int
refuse(struct copying *c, uint16_t code, const char *fmt, ...)
{
	va_list ap;

	*c->code = code;
	va_start(ap, fmt);
	(void)vsnprintf(c->error, MESSAGE_COPY_ERROR_SIZE, fmt, ap);
	va_end(ap);
	return -1;
}

/* Holes are octets that nobody wrote; a file full of them costs its sender
 * nothing and us memory. */
static bool
is_sparse(int fd, uint64_t size)
{
	off_t was, hole;

	was = lseek(fd, 0, SEEK_CUR);
	hole = lseek(fd, 0, SEEK_HOLE);
	if (was != -1)
		(void)lseek(fd, was, SEEK_SET); /* where the client left it */
	return hole != -1 && (uint64_t)hole < size;
}

static int
check_file(struct copying *c, uint64_t *size)
{
	struct statfs fs;
	struct stat st;
	int flags;

	if (fstat(c->from, &st) == -1)
		return refuse(c, 451, "descriptor: %s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return refuse(c, 554,
		    "the descriptor is no regular file or "
		    "memfd: copy the message into one");
	flags = fcntl(c->from, F_GETFL);
	if (flags == -1 || (flags & O_PATH) != 0 ||
	    (flags & O_ACCMODE) == O_WRONLY)
		return refuse(c, 554, "the descriptor is not open for reading");
	if (fstatfs(c->from, &fs) == 0 && fs.f_type == FUSE_SUPER_MAGIC)
		return refuse(c, 554,
		    "the descriptor's file system may keep "
		    "us waiting: copy the message into a "
		    "memfd");
	*size = (uint64_t)st.st_size;
	if (*size > c->gather.limit)
		return refuse(c, 552,
		    "the message has %llu octets, the limit is %llu",
		    (unsigned long long)*size,
		    (unsigned long long)c->gather.limit);
	if (is_sparse(c->from, *size))
		return refuse(c, 554, "the message's file has holes");
	return 0;
}

/* Writes n octets with CRLF line ends to out (twice n and two fit). */
static size_t
convert(struct line_ends *ends, const uint8_t *in, size_t n, uint8_t *out)
{
	size_t i, o = 0;
	uint8_t octet;

	for (i = 0; i < n; i++) {
		octet = in[i];
		if (octet == '\n' && ends->after_cr) {
			ends->after_cr = false;
			continue; /* the CR wrote both */
		}
		ends->after_cr = octet == '\r';
		ends->in_line = octet != '\r' && octet != '\n';
		if (ends->in_line) {
			out[o++] = octet;
		} else {
			out[o++] = '\r';
			out[o++] = '\n';
		}
	}
	return o;
}

/* Adds n octets to the copy. */
static int
put(struct copying *c, const uint8_t *octets, size_t n)
{
	switch (message_spool_put(&c->gather, octets, n)) {
	case MESSAGE_SPOOL_OK:
		return 0;
	case MESSAGE_SPOOL_TOO_LARGE:
		return refuse(c, 552,
		    "with CRLF line ends the message is over the limit of %llu "
		    "octets",
		    (unsigned long long)c->gather.limit);
	case MESSAGE_SPOOL_FAILED:
		break;
	}
	return refuse(c, 451, "no memory for the message: %s", strerror(errno));
}

static int
copy_chunk(struct copying *c, const uint8_t *in, size_t n, uint64_t at)
{
	static uint8_t out[2 * CHUNK];
	const uint8_t *nul;
	size_t len;

	if (c->binary)
		return put(c, in, n);
	nul = memchr(in, '\0', n);
	if (nul != NULL)
		return refuse(c, 554,
		    "octet %llu of the message is NUL, which no mail may hold "
		    "(RFC 5322, 3.5); \"binary\" takes it where it is meant",
		    (unsigned long long)(at + (size_t)(nul - in)));
	len = convert(&c->ends, in, n, out);
	return put(c, out, len);
}

static int
copy_octets(struct copying *c, uint64_t size)
{
	static uint8_t in[CHUNK];
	uint64_t at = 0;
	ssize_t n;

	while (at <= size) { /* one read beyond the end finds what grows */
		n = pread(c->from, in, sizeof(in), (off_t)at);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return refuse(c, 451, "reading the message: %s",
			    strerror(errno));
		if (n == 0)
			break;
		if (copy_chunk(c, in, (size_t)n, at) == -1)
			return -1;
		at += (uint64_t)n;
	}
	if (at != size)
		return refuse(c, 451,
		    "the message's file changes while it is "
		    "read: hand it over when it is whole");
	return c->ends.in_line ? put(c, (const uint8_t *)"\r\n", 2) : 0;
}

int
message_copy(int fd, uint64_t limit, bool binary, struct message_copy *copy,
    uint16_t *code, char error[MESSAGE_COPY_ERROR_SIZE])
{
	struct copying c = { .from = fd,
		.binary = binary,
		.code = code,
		.error = error };
	uint64_t size = 0;
	int ret = -1;

	memset(copy, 0, sizeof(*copy));
	copy->fd = -1;
	message_spool_init(&c.gather, limit);
	(void)refuse(&c, 451, "the copy cannot be sealed");
	if (check_file(&c, &size) == -1)
		return -1;
	if (message_spool_open(&c.gather) == -1)
		return refuse(&c, 451, "memfd: %s", strerror(errno));
	if (copy_octets(&c, size) == 0)
		ret = message_spool_end(&c.gather, copy);
	message_spool_clear(&c.gather);
	return ret;
}
