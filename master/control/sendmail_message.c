/* SPDX-License-Identifier: ISC */
/*
 * From standard input to the message that is sent: where it ends, which fields it
 * lacks, and which may not leave.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "common/date.h"
#include "common/utf8.h"
#include "common/util.h"
#include "master/control/header_field.h"
#include "master/control/link.h"
#include "master/control/sendmail.h"

enum {
	MESSAGE_HEADER_MAX = 1 << 20, /* octets */
	MESSAGE_TEXT_SIZE = 1200,     /* of one field that we add */
};

/* What the header has; of two kinds where it was sent again (3.6.6). */
struct seen {
	bool resent;
	bool from[2];
	bool date[2];
	bool message_id[2];
};

/* Reads lines up to the end: end of file, or a "." alone where that ends it.
 * -1 with errno. */
static int
copy_lines(const struct sendmail *s, FILE *out)
{
	char *line = NULL;
	size_t size = 0;
	bool starts = true; /* of a line */
	ssize_t n;

	while ((n = getline(&line, &size, stdin)) > 0) {
		if (!s->dots && starts &&
		    (strcmp(line, ".\n") == 0 || strcmp(line, ".\r\n") == 0))
			break;
		if (fwrite(line, 1, (size_t)n, out) != (size_t)n)
			break;
		starts = line[n - 1] == '\n';
	}
	free(line);
	return ferror(stdin) || ferror(out) || fflush(out) != 0 ? -1 : 0;
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
	if (out != NULL)
		ret = copy_lines(s, out);
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
see(struct seen *seen, const struct header_field *f)
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

/* Fields of our own. */

/* As one phrase of RFC 5322, 3.2.5, with the space behind it. */
static void
write_phrase(FILE *out, const char *name)
{
	const char *c;

	if (name[0] == '\0')
		return;
	for (c = name; *c != '\0' && (unsigned char)*c < 0x80; c++)
		;
	if (*c != '\0' && utf8_is_valid(name, strlen(name))) {
		/* RFC 2047, 4.2 and 5: an encoded-word in a phrase. */
		fputs("=?UTF-8?Q?", out);
		for (c = name; *c != '\0'; c++) {
			if ((*c >= 'a' && *c <= 'z') ||
			    (*c >= 'A' && *c <= 'Z') ||
			    (*c >= '0' && *c <= '9'))
				fputc(*c, out);
			else
				fprintf(out, "=%02X", (unsigned char)*c);
		}
		fputs("?= ", out);
		return;
	}
	fputc('"', out);
	for (c = name; *c != '\0'; c++) {
		if (*c == '"' || *c == '\\')
			fputc('\\', out);
		fputc(*c >= ' ' && *c < 0x7f ? *c : '?', out);
	}
	fputs("\" ", out);
}

static void
write_from(FILE *out, const struct sendmail *s, const char *prefix)
{
	const char *name = s->full_name;

	fprintf(out, "%sFrom: ", prefix);
	if (s->sender[0] == '\0') {
		fprintf(out, "MAILER-DAEMON@%s\n", s->origin);
		return;
	}
	if (name == NULL)
		name = getenv("NAME");
	write_phrase(out, name != NULL ? name : "");
	fprintf(out, "<%s>\n", s->sender);
}

static void
write_missing(FILE *out, const struct sendmail *s, const struct seen *seen,
    time_t now)
{
	const char *prefix = seen->resent ? "Resent-" : "";
	int kind = seen->resent ? 1 : 0;
	char date[DATE_MAIL_SIZE];

	date_write_mail(now, date);
	if (!seen->date[kind])
		fprintf(out, "%sDate: %s\n", prefix, date);
	if (!seen->from[kind])
		write_from(out, s, prefix);
	if (!seen->message_id[kind])
		fprintf(out, "%sMessage-ID: <%llx.%08x%08x@%s>\n", prefix,
		    (unsigned long long)now, arc4random(), arc4random(),
		    s->origin);
}

/* Clause and order of RFC 5321, 4.4. */
static void
write_received(FILE *out, const struct sendmail *s, time_t now)
{
	char date[DATE_MAIL_SIZE];

	date_write_mail(now, date);
	fprintf(out, "Received: by %s (postern, from userid %u);\n\t%s\n",
	    s->origin, (unsigned)getuid(), date);
}

/* An mbox's first line is none of the message. */
static size_t
skip_from_line(const char *in, size_t n)
{
	const char *end;

	if (n < 5 || memcmp(in, "From ", 5) != 0)
		return 0;
	end = memchr(in, '\n', n);
	return end != NULL ? (size_t)(end - in) + 1 : n;
}

int
sendmail_write(struct sendmail *s, time_t now, const char *in, size_t n,
    FILE *out)
{
	size_t start = skip_from_line(in, n), at = start;
	struct seen seen = { 0 };
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
	write_received(out, s, now);
	for (at = start; header_field_next(in, n, &at, &f);) {
		if (s->of_message && names_recipients(&f, seen.resent)) {
			status = sendmail_add(s, "the message", f.value,
			    f.value_len);
			if (status != 0)
				return status;
		}
		if (may_not_leave(&f))
			continue;
		(void)fwrite(f.start, 1, f.size, out);
		if (f.start[f.size - 1] != '\n')
			fputc('\n', out); /* it is the last of all octets */
	}
	write_missing(out, s, &seen, now);
	if (at == n || (in[at] != '\n' && in[at] != '\r'))
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
	status = sendmail_write(s, time(NULL), in, n, out);
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
