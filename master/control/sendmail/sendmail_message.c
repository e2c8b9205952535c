/* SPDX-License-Identifier: ISC */
/*
 * From standard input to the message that is sent: where its lines and where it ends,
 * which fields it lacks, and which may not leave.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "common/util.h"
#include "master/control/client/daemon_client.h"
#include "master/control/sendmail/header_field.h"
#include "master/control/sendmail/sendmail.h"

enum {
	MESSAGE_HEADER_MAX = 1 << 20, /* octets */
};

/* Takes octets, writes whole lines. */
struct line_reader {
	FILE *out;
	size_t crs; /* that wait for what follows them */
	bool dots;
	enum { AT_START, AT_DOT, IN_LINE } where;
	bool over;
};

static void
end_line(struct line_reader *r)
{
	r->over = r->where == AT_DOT && !r->dots;
	if (r->where == AT_DOT && r->dots)
		fputc('.', r->out);
	if (!r->over)
		fputc('\n', r->out);
	r->where = AT_START;
}

static void
take_octet(struct line_reader *r, int c)
{
	/* Before LF they are one line end; else each is one (Bcc in a line that
	 * ends so must not be read as another field's). */
	if (r->crs > 0 && c != '\n' && c != '\r')
		for (; r->crs > 0 && !r->over; r->crs--)
			end_line(r);
	if (r->over || c == EOF)
		return;
	if (c == '\r') {
		r->crs++;
	} else if (c == '\n') {
		r->crs = 0;
		end_line(r);
	} else if (c == '.' && r->where == AT_START) {
		r->where = AT_DOT;
	} else {
		if (r->where == AT_DOT)
			fputc('.', r->out);
		r->where = IN_LINE;
		fputc(c, r->out);
	}
}

void
sendmail_message_read(FILE *in, FILE *out, bool dots)
{
	struct line_reader r = { .out = out, .dots = dots };
	int c;

	while (!r.over && (c = getc_unlocked(in)) != EOF)
		take_octet(&r, c);
	take_octet(&r, EOF);
	if (!r.over && r.where != AT_START)
		end_line(&r);
}

/* All of it in a memfd. */
static int
read_input(const struct sendmail *s)
{
	int fd = memfd_create("input", MFD_CLOEXEC), copy;
	FILE *out;
	int ret = -1;

	if (fd == -1)
		return -1;
	copy = dup(fd);
	out = copy != -1 ? fdopen(copy, "w") : NULL;
	if (out != NULL) {
		sendmail_message_read(stdin, out, s->dots);
		ret = ferror(stdin) || ferror(out) ? -1 : 0;
	}
	if (out != NULL && fclose(out) != 0)
		ret = -1;
	if (out == NULL)
		fd_close(copy);
	if (ret == -1) {
		fd_close(fd);
		return -1;
	}
	return fd;
}

static void
see(struct sendmail_seen *seen, const struct header_field *f)
{
	static const char prefix[] = "Resent-";
	struct header_field rest = *f;
	int kind = 0;

	if (f->name_len > strlen(prefix) &&
	    strncasecmp(f->start, prefix, strlen(prefix)) == 0) {
		seen->resent = true;
		kind = 1;
		rest.start += strlen(prefix);
		rest.name_len -= strlen(prefix);
	}
	seen->from[kind] |= header_field_is(&rest, "From");
	seen->date[kind] |= header_field_is(&rest, "Date");
	seen->message_id[kind] |= header_field_is(&rest, "Message-ID");
}

/* Whether its addresses are recipients; a message that is sent again goes to
 * those of the Resent- fields alone. */
static bool
names_recipients(const struct header_field *f, bool resent)
{
	if (resent)
		return header_field_is(f, "Resent-To") ||
		    header_field_is(f, "Resent-Cc") ||
		    header_field_is(f, "Resent-Bcc");
	return header_field_is(f, "To") || header_field_is(f, "Cc") ||
	    header_field_is(f, "Bcc");
}

static bool
may_not_leave(const struct header_field *f)
{
	return header_field_is(f, "Bcc") || header_field_is(f, "Resent-Bcc") ||
	    header_field_is(f, "Return-Path") ||
	    header_field_is(f, "Content-Length");
}

/* The first lines of an mbox's message, as UUCP made more of them, are none of it. */
static size_t
skip_from_lines(const char *in, size_t n)
{
	size_t at = 0, quote;
	const char *end;

	for (;;) {
		quote = at < n && in[at] == '>';
		if (n - at < quote + 5 ||
		    memcmp(in + at + quote, "From ", 5) != 0)
			return at;
		end = memchr(in + at, '\n', n - at);
		if (end == NULL)
			return n;
		at = (size_t)(end - in) + 1;
	}
}

static int
take_field(struct sendmail *s, const struct header_field *f, bool resent,
    FILE *out)
{
	int status = 0;

	if (s->of_message && names_recipients(f, resent))
		status = sendmail_recipients_add(s, "the message", f->value,
		    f->value_len);
	if (status == 0 && !may_not_leave(f) &&
	    sendmail_fields_copy(s, f, out) == -1)
		status = EXIT_DEFERRED;
	return status;
}

int
sendmail_message_write(struct sendmail *s, time_t now, const char *in, size_t n,
    FILE *out)
{
	size_t start = skip_from_lines(in, n), at = start;
	struct sendmail_seen seen = { 0 };
	struct header_field f;
	int status;

	while (header_field_next(in, n, &at, &f))
		see(&seen, &f);
	if (at - start > MESSAGE_HEADER_MAX) {
		fprintf(stderr,
		    "sendmail: the header has more than %d octets\n",
		    MESSAGE_HEADER_MAX);
		return EXIT_DATA_ERROR;
	}
	sendmail_fields_received(s, now, out);
	for (at = start; header_field_next(in, n, &at, &f);) {
		status = take_field(s, &f, seen.resent, out);
		if (status != 0)
			return status;
	}
	sendmail_fields_add_missing(s, &seen, now, out);
	if (at == n || in[at] != '\n')
		fputc('\n', out); /* no header, or no body */
	(void)fwrite(in + at, 1, n - at, out);
	return 0;
}

static int
write_memfd(struct sendmail *s, const char *in, size_t n, int *fdp)
{
	int fd = memfd_create("message", MFD_CLOEXEC), copy = -1;
	FILE *out = NULL;
	int status = EXIT_DEFERRED;

	if (fd != -1)
		copy = dup(fd);
	if (copy != -1)
		out = fdopen(copy, "w");
	if (out == NULL) {
		fd_close(copy);
		goto out;
	}
	status = sendmail_message_write(s, time(NULL), in, n, out);
	if (ferror(out) && status == 0)
		status = EXIT_DEFERRED;
	if (fclose(out) != 0 && status == 0)
		status = EXIT_DEFERRED;
out:
	if (status == EXIT_DEFERRED)
		fprintf(stderr, "sendmail: the message: %s\n", strerror(errno));
	if (status != 0) {
		fd_close(fd);
		return status;
	}
	*fdp = fd;
	return 0;
}

int
sendmail_message(struct sendmail *s, int *fdp)
{
	int input = read_input(s), status;
	void *map = NULL;
	off_t n = 0;

	if (input != -1)
		n = lseek(input, 0, SEEK_END);
	if (input == -1 || n == -1) {
		fprintf(stderr, "sendmail: reading the message: %s\n",
		    strerror(errno));
		fd_close(input);
		return EXIT_DEFERRED;
	}
	if (n > 0)
		map = mmap(NULL, (size_t)n, PROT_READ, MAP_PRIVATE, input, 0);
	if (map == MAP_FAILED) {
		fprintf(stderr, "sendmail: the message: %s\n", strerror(errno));
		fd_close(input);
		return EXIT_DEFERRED;
	}
	status = write_memfd(s, map != NULL ? map : "", (size_t)n, fdp);
	if (map != NULL)
		(void)munmap(map, (size_t)n); /* it was mapped */
	fd_close(input);
	return status;
}
