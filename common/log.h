/* SPDX-License-Identifier: ISC */
/*
 * Log lines.  The sink is always descriptor 2: a plain stream, or a connected
 * /dev/log that the master put there, so that a role without files can log and
 * a filter can name the number.  A line is one write.  A /dev/log that is full is
 * waited for, 1 s at most and then not for 10 s; a sink that is full or gone loses
 * the line, never the process, and a later line says how many were lost.
 */
#ifndef POSTERN_COMMON_LOG_H
#define POSTERN_COMMON_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level {
	LOG_ERROR = 3, /* syslog's numbers (RFC 5424, 6.2.1) */
	LOG_WARN = 4,
	LOG_INFO = 6,
	LOG_DEBUG = 7,
};

enum log_format {
	LOG_TEXT,
	LOG_JSON,
	LOG_MAILLOG, /* a stream whose lines begin as a syslog daemon's do */
};

#define LOG_LINE_MAX 4096

/* So many octets are written at once: to a pipe, all or none (pipe(7)). */
#define LOG_GATHER_MAX 4096

/*
 * log_open - what this process is called, and what descriptor 2 is.
 *
 * A line is headed "<syslog_name>/<process>[pid]: ", and where it is an error or
 * a warning, and no JSON, says so next.  One of log_line() that is neither has a
 * "d" behind the name: it is not of mail.  The strings are copied.
 */
void log_open(const char *syslog_name, const char *process, bool syslog,
    enum log_format format);

/* From here on lines to a stream may wait for each other; false: all go out. */
void log_gather(bool on);

/* The least grave lines to write; LOG_INFO where nobody says another. */
void log_set_least(unsigned level);

/* Whether lines to a stream begin with "<N>", their level, and have no time of
 * their own, but for JSON: what systemd makes entries of its journal from. */
void log_set_leveled(bool leveled);

/* Whether a descriptor leads to the journal, as JOURNAL_STREAM says. */
bool log_is_journal(int fd);

/* Of the lines to syslog: mail (2) where nobody says another. */
void log_set_facility(unsigned facility);

/* The process id to show, where our own is that of a PID namespace. */
void log_set_pid(int pid);

/* A SOCK_DGRAM connection to /dev/log, or -1 with errno. */
int log_connect_syslog(void);

/* Whether a write found the sink gone, and none was opened since. */
bool log_is_lost(void);

/* Whether lines are to be JSON objects (one format for all roles). */
bool log_is_json(void);

/*
 * One line, without line end, of this process.  In JSON it becomes
 * {"time","process","pid","level","text"}.
 */
void log_line(enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * A whole line of a process name other than our own ("smtp" for outcomes).
 * text is what stands behind the "]: "; where lines are JSON, a whole object,
 * whose members follow ours.  A control character in it becomes "?", whatever it
 * is given.
 */
void log_event(enum log_level level, const char *process, const char *text);

/*
 * Copy n octets to out, where all but printable ASCII becomes "\xHH", and a
 * backslash "\\".  Ends with a NUL and fits size (> 4).  Returns out.
 */
char *log_escape(char *out, size_t size, const char *in, size_t n);

/*
 * Copy n octets to out as the inside of a JSON string (RFC 8259, 7); octets
 * that are no ASCII leave as \u00HH.  Returns out.
 */
char *log_escape_json(char *out, size_t size, const char *in, size_t n);

/* LOG_ERROR, then the end of the process.  Start-up alone may call it. */
_Noreturn void fatal(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));

/* The same with status 78, for what only another configuration puts right: a
 * service manager need not try again. */
_Noreturn void fatal_config(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));

#endif
