/* SPDX-License-Identifier: ISC */
/* See log.h.  What is worth a line is decided by who calls. */
#include "common/log.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/date.h"
#include "common/digits.h"
#include "common/utf8.h"
#include "common/util.h"

#define FACILITY_MAIL 2 /* RFC 5424, 6.2.1 */

enum {
	LOG_SYSLOG_WAIT_MS = 1000,
	LOG_SYSLOG_REST_MS = 10000,
};

static struct {
	char name[64];
	char process[32];
	int pid; /* 0: ask the kernel */
	unsigned facility;
	unsigned least;
	bool syslog;
	bool leveled; /* a stream: each line begins with its level */
	enum log_format format;
	bool lost;
	uint64_t dropped; /* lines that it did not take, and none was told of */
	int64_t
	    full_until_ms; /* it was full: it is not waited for until then */
	bool gathers;      /* lines stand in held until log_gather(false) */
	size_t nheld;
	char held[LOG_GATHER_MAX];
	char host[64]; /* of maillog lines; empty: not asked yet */
} sink = { .name = "postern",
	.process = "posternd",
	.facility = FACILITY_MAIL,
	.least = LOG_INFO };

/* Once, before any filter; the first label of the name is what syslog has. */
static void
ask_host(void)
{
	if (sink.host[0] != '\0')
		return;
	if (gethostname(sink.host, sizeof(sink.host) - 1) == -1)
		(void)strlcpy(sink.host, "localhost", sizeof(sink.host));
	sink.host[strcspn(sink.host, ".")] = '\0';
}

static uint64_t
count_lines(const char *octets, size_t n)
{
	uint64_t lines = 0;

	for (; n > 0; n--)
		lines += *octets++ == '\n';
	return lines;
}

static bool
put(const char *octets, size_t n)
{
	if (write(STDERR_FILENO, octets, n) == (ssize_t)n)
		return true;
	if (errno != EAGAIN)
		sink.lost = true;
	sink.dropped += count_lines(octets, n);
	return false;
}

/*
 * syslog is slower than a queue that drains, so a full socket is waited for; but
 * for a daemon that is stopped only once in a while, or mail would stop too.
 */
static bool
put_syslog(const char *octets, size_t n)
{
	int64_t now_ms;

	if (send(STDERR_FILENO, octets, n, MSG_NOSIGNAL | MSG_DONTWAIT) != -1)
		return true;
	if (errno == EAGAIN) {
		now_ms = time_monotonic_ms();
		if (now_ms >= sink.full_until_ms) {
			/* For SO_SNDTIMEO at most; see log_connect_syslog(). */
			if (send(STDERR_FILENO, octets, n, MSG_NOSIGNAL) != -1)
				return true;
			sink.full_until_ms =
			    time_monotonic_ms() + LOG_SYSLOG_REST_MS;
		}
	}
	if (errno != EAGAIN)
		sink.lost = true;
	sink.dropped++;
	return false;
}

static void
release(void)
{
	if (sink.nheld > 0)
		(void)put(sink.held, sink.nheld);
	sink.nheld = 0;
}

void
log_gather(bool on)
{
	int saved = errno;

	release();
	sink.gathers = on;
	errno = saved;
}

void
log_open(const char *syslog_name, const char *process, bool syslog,
    enum log_format format)
{
	release();
	ask_host();
	strlcpy(sink.name, syslog_name, sizeof(sink.name));
	strlcpy(sink.process, process, sizeof(sink.process));
	sink.syslog = syslog;
	sink.format = format;
	sink.lost = false;
}

void
log_set_pid(int pid)
{
	sink.pid = pid;
}

void
log_set_facility(unsigned facility)
{
	sink.facility = facility;
}

void
log_set_leveled(bool leveled)
{
	sink.leveled = leveled;
}

bool
log_is_journal(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream != NULL &&
	    sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	    fstat(fd, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void
log_set_least(unsigned level)
{
	sink.least = level;
}

int
log_connect_syslog(void)
{
	const struct timeval wait = { .tv_sec = LOG_SYSLOG_WAIT_MS / 1000 };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd;

	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	strlcpy(un.sun_path, "/dev/log", sizeof(un.sun_path));
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == -1) {
		fd_close(fd);
		return -1;
	}
	return fd;
}

bool
log_is_lost(void)
{
	return sink.lost;
}

bool
log_is_json(void)
{
	return sink.format == LOG_JSON;
}

/* "Nov  3 09:05:07 host", in local time, as a syslog daemon writes it. */
static void
stamp_maillog(time_t now, char *out, size_t size)
{
	char when[32];
	struct tm tm;

	if (localtime_r(&now, &tm) == NULL)
		memset(&tm, 0, sizeof(tm));
	(void)strftime(when, sizeof(when), "%b %e %H:%M:%S", &tm);
	(void)snprintf(out, size, "%s %s", when, sink.host);
}

/* What systemd takes off a line; the journal has a time of its own. */
static int
head_leveled(char *buf, size_t size, enum log_level level, const char *name,
    const char *process, int pid)
{
	if (sink.format == LOG_JSON)
		return snprintf(buf, size, "<%d>", (int)level);
	return snprintf(buf, size, "<%d>%s/%s[%d]: ", (int)level, name, process,
	    pid);
}

/* The octets in front of the text: priority and time as the sink wants them. */
static int
head(char *buf, size_t size, enum log_level level, const char *name,
    const char *process)
{
	time_t now = time(NULL);
	int pid = sink.pid != 0 ? sink.pid : (int)getpid();
	char stamp[128];
	int n = 0;

	if (sink.syslog) { /* the receiver stamps what has no time */
		return snprintf(buf, size,
		    "<%d>%s/%s[%d]: ", (int)(sink.facility << 3 | level), name,
		    process, pid);
	}
	if (sink.leveled) {
		n = head_leveled(buf, size, level, name, process, pid);
		if (n < 0 || (size_t)n >= size || sink.format != LOG_JSON)
			return n;
		buf += n;
		size -= (size_t)n;
	}
	if (sink.format == LOG_MAILLOG)
		stamp_maillog(now, stamp, sizeof(stamp));
	else
		date_write(now, stamp);
	if (sink.format == LOG_JSON) {
		return n +
		    snprintf(buf, size,
			"{\"time\":\"%s\",\"process\":\"%s/%s\",\"pid\":%d,"
			"\"level\":%d,",
			stamp, name, process, pid, (int)level);
	}
	return snprintf(buf, size, "%s %s/%s[%d]: ", stamp, name, process, pid);
}

/* What Postfix puts in front of what is no plain fact. */
static const char *
gravity(enum log_level level)
{
	if (sink.format == LOG_JSON || level > LOG_WARN)
		return "";
	return level == LOG_WARN ? "warning: " : "error: ";
}

/* A line is one write, or stands whole in one with others. */
static void
emit_stream(const char *line, size_t len)
{
	if (!sink.gathers) {
		(void)put(line, len);
		return;
	}
	if (sink.nheld + len > sizeof(sink.held))
		release();
	if (len > sizeof(sink.held)) {
		(void)put(line, len);
		return;
	}
	memcpy(sink.held + sink.nheld, line, len);
	sink.nheld += len;
}

/* What comes from outside is escaped by who logs it; where that was forgotten, a
 * line is still one line, and tells a terminal nothing: no control character of
 * ASCII, none of those of ISO 6429 in UTF-8 (U+0080 to U+009F), and no octet that
 * is no UTF-8, which may be one of them elsewhere. */
static void
strip_controls(char *text)
{
	size_t left = strlen(text), span;

	for (; left > 0; text += span, left -= span) {
		span = 1;
		if (*text >= ' ' && *text <= '~')
			continue;
		span = utf8_span(text, left);
		if (span > 2 ||
		    (span == 2 &&
			((uint8_t)text[0] != 0xc2 || (uint8_t)text[1] >= 0xa0)))
			continue;
		*text = '?';
		span = 1;
	}
}

/* Writes head, text and line end as one octet string. */
static void
emit_line(enum log_level level, const char *name, const char *process,
    const char *text, const char *end)
{
	char line[LOG_LINE_MAX + 256];
	int saved = errno, n;
	size_t len, at;

	if ((unsigned)level > sink.least)
		return;
	n = head(line, sizeof(line), level, name, process);
	if (n < 0)
		n = 0;
	len = (size_t)n;
	len += strlcpy(line + len, gravity(level), sizeof(line) - len);
	at = len;
	len += strlcpy(line + len, text, sizeof(line) - len - 4);
	if (len > sizeof(line) - 5)
		len = sizeof(line) - 5;
	strip_controls(line + at);
	len += strlcpy(line + len, end, 4);
	if (!sink.syslog)
		line[len++] = '\n';
	if (!sink.syslog)
		emit_stream(line, len);
	else
		(void)put_syslog(line, len);
	errno = saved;
}

/* Where lines are missing the log itself says so, as soon as it can. */
static void
emit(enum log_level level, const char *name, const char *process,
    const char *text, const char *end)
{
	uint64_t dropped = sink.dropped;
	char gap[128];

	if (dropped > 0 && !sink.lost) {
		sink.dropped = 0;
		(void)snprintf(gap, sizeof(gap),
		    sink.format == LOG_JSON
			? "\"text\":\"%" PRIu64 " lines of the log were lost "
			  "here: %s\""
			: "%" PRIu64 " lines of the log were lost here: %s",
		    dropped,
		    sink.syslog ? "syslog did not take them in time"
				: "they could not be written");
		emit_line(LOG_WARN, sink.name, sink.process, gap,
		    sink.format == LOG_JSON ? "}" : "");
		if (sink.dropped > 0) /* nor was this one taken */
			sink.dropped = dropped;
	}
	emit_line(level, name, process, text, end);
}

void
log_event(enum log_level level, const char *process, const char *text)
{
	/* The object goes on where the head leaves off. */
	emit(level, sink.name, process,
	    sink.format == LOG_JSON && text[0] == '{' ? text + 1 : text, "");
}

static void log_va(enum log_level level, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

static void
log_va(enum log_level level, const char *fmt, va_list ap)
{
	char text[LOG_LINE_MAX / 2], json[LOG_LINE_MAX];
	char name[sizeof(sink.name) + 1];
	size_t len;

	/* What is no matter of mail, and no trouble, is ours alone: readers of
	 * mail logs go by the name. */
	(void)snprintf(name, sizeof(name), "%s%s", sink.name,
	    level > LOG_WARN ? "d" : "");
	(void)vsnprintf(text, sizeof(text), fmt, ap); /* cut short is fine */
	if (sink.format != LOG_JSON) {
		emit(level, name, sink.process, text, "");
		return;
	}
	len = strlcpy(json, "\"text\":\"", sizeof(json));
	log_escape_json(json + len, sizeof(json) - len - 1, text, strlen(text));
	strlcat(json, "\"", sizeof(json));
	emit(level, name, sink.process, json, "}");
}

void
log_line(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(level, fmt, ap);
	va_end(ap);
}

void
fatal(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(LOG_ERROR, fmt, ap);
	va_end(ap);
	release();
	exit(1);
}

void
fatal_config(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(LOG_ERROR, fmt, ap);
	va_end(ap);
	release();
	exit(EX_CONFIG);
}

char *
log_escape(char *out, size_t size, const char *in, size_t n)
{
	static const char hex[] = DIGITS_HEX;
	size_t o = 0, i;
	uint8_t c;

	for (i = 0; i < n && o + 5 <= size; i++) {
		c = (uint8_t)in[i];
		if (c == '\\') {
			out[o++] = '\\';
			out[o++] = '\\';
		} else if (c >= ' ' && c < 0x7f) {
			out[o++] = (char)c;
		} else {
			out[o++] = '\\';
			out[o++] = 'x';
			out[o++] = hex[c >> 4];
			out[o++] = hex[c & 15];
		}
	}
	out[o] = '\0';
	return out;
}

char *
log_escape_json(char *out, size_t size, const char *in, size_t n)
{
	size_t o = 0, i, span;
	uint8_t c;

	for (i = 0; i < n && o + 7 <= size; i++) {
		c = (uint8_t)in[i];
		if (c == '"' || c == '\\') {
			out[o++] = '\\';
			out[o++] = (char)c;
		} else if (c >= ' ' && c < 0x7f) {
			out[o++] = (char)c;
		} else if (c == 0xc2 && utf8_span(in + i, n - i) == 2 &&
		    (uint8_t)in[i + 1] < 0xa0) { /* a control character */
			o += (size_t)snprintf(out + o, size - o, "\\u%04x",
			    (uint8_t)in[++i]);
		} else if (c >= 0x80 && utf8_span(in + i, n - i) > 0) {
			span = utf8_span(in + i, n - i);
			memcpy(out + o, in + i, span);
			o += span;
			i += span - 1;
		} else {
			o += (size_t)snprintf(out + o, size - o, "\\u%04x", c);
		}
	}
	out[o] = '\0';
	return out;
}
