/* SPDX-License-Identifier: ISC */
/* One line, escaped, in each of the three shapes a sink wants. */
#include "common/log.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <jansson.h>

#include "common/util.h"

#define STR(s) s, sizeof(s) - 1

static const struct {
	const char *in;
	size_t n;
	const char *want;
	const char *json;
} escapes[] = {
	{ STR(""), "", "" },
	{ STR("plain text ~"), "plain text ~", "plain text ~" },
	{ STR("a\r\nb"), "a\\x0d\\x0ab", "a\\u000d\\u000ab" },
	{ STR("a\0b"), "a\\x00b", "a\\u0000b" },
	{ STR("\x1b[31m"), "\\x1b[31m", "\\u001b[31m" },
	{ STR("\\x0a"), "\\\\x0a", "\\\\x0a" },
	{ STR("\"quoted\""), "\"quoted\"", "\\\"quoted\\\"" },
	{ STR("\x7f\x80\xff"), "\\x7f\\x80\\xff", "\\u007f\\u0080\\u00ff" },
	{ STR("\xc2\x9b"), "\\xc2\\x9b", "\\u009b" },
	{ STR("M\xc3\xbcnchen"), "M\\xc3\\xbcnchen", "M\xc3\xbcnchen" },
};

Test(log, a_peers_octets_are_escaped)
{
	char out[128];

	for (size_t i = 0; i < NELEM(escapes); i++) {
		cr_expect_str_eq(
		    log_escape(out, sizeof(out), escapes[i].in, escapes[i].n),
		    escapes[i].want, "row %zu: %s", i, out);
		cr_expect_str_eq(log_escape_json(out, sizeof(out),
				     escapes[i].in, escapes[i].n),
		    escapes[i].json, "row %zu: %s", i, out);
	}
}

Test(log, what_is_escaped_fits_every_size_and_is_never_cut_inside_an_escape)
{
	static const char in[] = "a\n\"\\\xff_a\n\"\\\xff_";
	char whole[128], whole_json[128], out[128];

	log_escape(whole, sizeof(whole), in, sizeof(in) - 1);
	log_escape_json(whole_json, sizeof(whole_json), in, sizeof(in) - 1);
	for (size_t size = 5; size < 100; size++) {
		memset(out, '#', sizeof(out));
		log_escape(out, size, in, sizeof(in) - 1);
		cr_assert_lt(strlen(out), size);
		cr_expect_eq(out[size], '#');
		cr_expect_eq(strncmp(whole, out, strlen(out)), 0);
		cr_expect(strlen(out) < 2 || out[strlen(out) - 1] != 'x');
		memset(out, '#', sizeof(out));
		log_escape_json(out, size, in, sizeof(in) - 1);
		cr_assert_lt(strlen(out), size);
		cr_expect_eq(out[size], '#');
		cr_expect_eq(strncmp(whole_json, out, strlen(out)), 0);
	}
}

static int ends[2];
static int saved;
static char line[2 * LOG_LINE_MAX];

/* Descriptor 2 is a datagram socket: one write is one read. */
static void catch (void)
{
	cr_assert_eq(socketpair(AF_UNIX,
			 SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
			 ends),
	    0);
	saved = fcntl(2, F_DUPFD_CLOEXEC, 3);
	dup2(ends[1], 2);
	log_set_pid(412);
}

static void
release(void)
{
	dup2(saved, 2);
	close(saved);
}

static const char *
caught(void)
{
	ssize_t n = read(ends[0], line, sizeof(line) - 1);

	line[n > 0 ? n : 0] = '\0';
	return line;
}

/* The line as an object; behind it stands a line end and nothing else. */
static json_t *
caught_object(void)
{
	json_error_t e;
	json_t *object;
	size_t len = strlen(caught());

	if (len == 0 || line[len - 1] != '\n')
		return NULL;
	object = json_loads(line, 0, &e);
	return object;
}

static const char *
member(json_t *object, const char *name)
{
	const char *s = json_string_value(json_object_get(object, name));

	return s != NULL ? s : "";
}

Test(log, a_line_names_its_process)
{
	char tail[64] = "";
	const char *got;

	catch ();
	log_open("gate", "queue", false, LOG_TEXT);
	log_line(LOG_INFO, "job=%s n=%d", "4F1A09", 3);
	got = caught();
	release();
	cr_expect_eq(got[19], 'Z', "%s", got);
	cr_assert_eq(got[20], ' ');
	strlcpy(tail, got + 21, sizeof(tail));
	cr_expect_str_eq(tail, "gated/queue[412]: job=4F1A09 n=3\n");
}

Test(log, a_line_is_one_line_whatever_was_forgotten)
{
	catch ();
	log_open("gate", "queue", false, LOG_TEXT);
	log_line(LOG_INFO, "reply=%s", "a\r\nb\t\033[2J\177");
	caught();
	release();
	cr_expect_not_null(strstr(line, ": reply=a??b??[2J?\n"), "%s", line);
}

/* Of ASCII, of ISO 6429 in UTF-8, and octets that are no UTF-8. */
static const struct {
	const char *in;
	const char *want;
} controls[] = {
	{ "a\r\nb\t\033[2J\177", "a??b??[2J?" },
	{ "\302\233"
	  "2J\302\205.",
	    "??2J??." },
	{ "\233"
	  "2J\302",
	    "?2J?" },
	{ "M\303\274nchen \342\202\254 \302\240",
	    "M\303\274nchen \342\202\254 \302\240" },
};

Test(log, an_event_holds_no_control_character_whatever_it_is_given)
{
	static const enum log_format formats[] = { LOG_TEXT, LOG_JSON,
		LOG_MAILLOG };
	char want[128];

	for (size_t f = 0; f < NELEM(formats); f++)
		for (size_t i = 0; i < NELEM(controls); i++) {
			catch ();
			log_open("gate", "queue", false, formats[f]);
			log_event(LOG_INFO, "smtp", controls[i].in);
			log_line(LOG_WARN, "%s", "next");
			caught();
			release();
			(void)snprintf(want, sizeof(want), "%s\n",
			    controls[i].want);
			cr_expect_not_null(strstr(line, want), "row %zu: %s", i,
			    line);
		}
}

Test(log, an_event_names_another_process)
{
	catch ();
	log_open("postfix", "queue", false, LOG_TEXT);
	log_event(LOG_INFO, "smtp", "4F: removed");
	caught();
	release();
	cr_expect_not_null(strstr(line, " postfix/smtp[412]: 4F: removed\n"),
	    "%s", line);
}

Test(log, syslog_gets_priority_without_time_and_line_end)
{
	catch ();
	log_open("gate", "queue", true, LOG_TEXT);
	log_line(LOG_WARN, "x");
	caught();
	release();
	cr_expect_str_eq(line,
	    "<20>gate/queue[412]: warning: x"); /* mail.warning */
}

Test(log, syslog_gets_the_facility_that_was_set)
{
	catch ();
	log_open("gate", "queue", true, LOG_TEXT);
	log_set_facility(16);
	log_line(LOG_ERROR, "x");
	caught();
	release();
	cr_expect_str_eq(line,
	    "<131>gate/queue[412]: error: x"); /* local0.err */
}

Test(log, a_line_for_the_journal_begins_with_its_level_and_has_no_time)
{
	static const enum log_format formats[] = { LOG_TEXT, LOG_MAILLOG };

	for (size_t f = 0; f < NELEM(formats); f++) {
		catch ();
		log_open("postern", "qmgr", false, formats[f]);
		log_set_leveled(true);
		log_event(LOG_INFO, "smtp", "1234: to=<a@b>");
		cr_expect_str_eq(caught(),
		    "<6>postern/smtp[412]: 1234: to=<a@b>\n");
		log_line(LOG_WARN, "a disk is full");
		cr_expect_str_eq(caught(),
		    "<4>postern/qmgr[412]: warning: a disk is full\n");
		release();
	}
	catch ();
	log_open("postern", "qmgr", false, LOG_JSON);
	log_line(LOG_ERROR, "x");
	cr_expect_eq(strncmp(caught(), "<3>{\"time\":", 11), 0);
	log_set_leveled(false);
	release();
}

Test(log, the_journal_is_known_by_its_device_and_inode)
{
	char name[64];
	struct stat st;

	cr_assert_eq(fstat(2, &st), 0);
	(void)snprintf(name, sizeof(name), "%llu:%llu",
	    (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	cr_assert_eq(setenv("JOURNAL_STREAM", name, 1), 0);
	cr_expect(log_is_journal(2));
	cr_assert_eq(setenv("JOURNAL_STREAM", "1:1", 1), 0);
	cr_expect_not(log_is_journal(2));
	cr_assert_eq(setenv("JOURNAL_STREAM", "journal", 1), 0);
	cr_expect_not(log_is_journal(2));
	cr_assert_eq(unsetenv("JOURNAL_STREAM"), 0);
	cr_expect_not(log_is_journal(2));
}

Test(log, a_json_line_is_one_object_whatever_the_text_holds)
{
	json_t *o;

	catch ();
	log_open("gate", "queue", false, LOG_JSON);
	log_line(LOG_WARN, "a \"b\" \\ \n \xff");
	o = caught_object();
	release();
	cr_assert_not_null(o, "%s", line);
	cr_expect(log_is_json());
	cr_expect_str_eq(member(o, "text"), "a \"b\" \\ \n \xc3\xbf");
	cr_expect_str_eq(member(o, "process"), "gate/queue");
	cr_expect_eq(json_integer_value(json_object_get(o, "pid")), 412);
	cr_expect_eq(json_integer_value(json_object_get(o, "level")), 4);
	cr_expect_eq(strlen(member(o, "time")), 20);
	json_decref(o);
}

Test(log, a_json_event_has_the_members_it_was_given)
{
	json_t *o;

	catch ();
	log_open("gate", "queue", false, LOG_JSON);
	log_event(LOG_INFO, "smtp", "{\"id\":\"4F\"}");
	o = caught_object();
	release();
	cr_assert_not_null(o, "%s", line);
	cr_expect_str_eq(member(o, "id"), "4F");
	cr_expect_str_eq(member(o, "process"), "gate/smtp");
	json_decref(o);
}

Test(log, a_text_without_end_is_cut_and_its_line_stays_whole)
{
	static char text[3 * LOG_LINE_MAX], name[200];
	json_t *o;
	size_t len;

	memset(text, '\n', sizeof(text) - 1);
	memset(name, 'n', sizeof(name) - 1);
	catch ();
	log_open(name, name, false, LOG_JSON);
	log_line(LOG_INFO, "%s", text);
	o = caught_object();
	memset(text, 'x', sizeof(text) - 1);
	log_open(name, name, false, LOG_TEXT);
	log_event(LOG_INFO, name, text);
	len = strlen(caught());
	release();
	cr_expect_not_null(o, "%s", line);
	json_decref(o);
	cr_assert_gt(len, (size_t)LOG_LINE_MAX);
	cr_expect_eq(line[len - 1], '\n');
	cr_expect_eq(line[len - 2], 'x');
}

Test(log, what_is_less_grave_than_the_least_is_not_written)
{
	catch ();
	log_open("gate", "queue", false, LOG_TEXT);
	log_line(LOG_DEBUG, "a");
	cr_expect_str_eq(caught(), "");
	log_set_least(LOG_DEBUG);
	log_line(LOG_DEBUG, "b");
	cr_expect_neq(caught()[0], '\0');
	log_set_least(LOG_ERROR);
	log_line(LOG_WARN, "c");
	cr_expect_str_eq(caught(), "");
	release();
}

Test(log, a_sink_is_gone_until_another_is_opened_and_errno_stays)
{
	signal(SIGPIPE, SIG_IGN);
	catch ();
	log_open("gate", "queue", false, LOG_TEXT);
	cr_expect_not(log_is_lost());
	close(ends[0]);
	errno = EDOM;
	log_line(LOG_INFO, "nobody reads this");
	cr_expect_eq(errno, EDOM);
	cr_expect(log_is_lost());
	log_open("gate", "queue", true, LOG_TEXT);
	cr_expect_not(log_is_lost());
	log_line(LOG_INFO, "nor this");
	cr_expect(log_is_lost());
	release();
}

Test(log, a_sink_that_is_full_loses_the_line_alone)
{
	int i;

	catch ();
	log_open("gate", "queue", false, LOG_TEXT);
	for (i = 0; i < 100000 && write(2, "x", 1) == 1; i++)
		;
	cr_assert_eq(errno, EAGAIN);
	log_line(LOG_INFO, "lost");
	cr_expect_not(log_is_lost());
	release();
}

/* syslog as descriptor 2; the other end is read here. */
static int
open_syslog(int wait_ms)
{
	const struct timeval wait = { .tv_sec = wait_ms / 1000,
		.tv_usec = wait_ms % 1000 * 1000 };
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
	cr_assert_eq(
	    setsockopt(fds[1], SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)),
	    0);
	saved = dup(2);
	dup2(fds[1], 2);
	(void)close(fds[1]);
	log_open("postern", "qmgr", true, LOG_TEXT);
	return fds[0];
}

/* How many lines there are, and how many more they say were lost. */
static unsigned
read_syslog(int fd, unsigned *lostp)
{
	unsigned n = 0, lost;
	const char *at;
	ssize_t len;

	*lostp = 0;
	while ((len = recv(fd, line, sizeof(line) - 1, MSG_DONTWAIT)) > 0) {
		line[len] = '\0';
		at = strstr(line, "warning: ");
		if (at != NULL &&
		    sscanf(at, "warning: %u lines of the log were lost",
			&lost) == 1)
			*lostp += lost;
		else
			n++;
	}
	return n;
}

Test(log, a_syslog_that_is_slow_is_waited_for)
{
	int fd = open_syslog(20000);
	unsigned n = 0;
	pid_t pid;
	int status;

	pid = fork();
	cr_assert_neq(pid, -1);
	if (pid == 0) {
		for (int i = 0; i < 2000; i++)
			log_line(LOG_INFO, "line %d", i);
		_exit(0);
	}
	dup2(saved, 2);
	while (n < 2000 && recv(fd, line, sizeof(line), 0) > 0)
		n++;
	cr_expect_eq(n, 2000);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
}

Test(log, a_syslog_that_stands_still_loses_lines_and_the_log_says_how_many)
{
	int fd = open_syslog(10);
	unsigned n, more, lost, lost_more;

	for (int i = 0; i < 5000; i++)
		log_line(LOG_INFO, "line %d", i);
	n = read_syslog(fd, &lost);
	cr_expect_eq(lost, 0);
	cr_expect_lt(n, 5000);
	log_line(LOG_INFO, "it goes on");
	dup2(saved, 2);
	more = read_syslog(fd, &lost_more);
	cr_expect_eq(more, 1);
	cr_expect_eq(n + lost_more, 5000, "%u and %u", n, lost_more);
}

Test(log, fatal_ends_the_process, .exit_code = 1)
{
	fatal("%s", "this line is expected");
}

Test(log, maillog_lines_begin_as_a_syslog_daemon_writes_them)
{
	regex_t shape;

	cr_assert_eq(regcomp(&shape,
			 "^[A-Z][a-z][a-z] [ 0-9][0-9] "
			 "[0-9][0-9]:[0-9][0-9]:[0-9][0-9] [^ .]+ "
			 "gate/smtp\\[412\\]: 4F: removed\n$",
			 REG_EXTENDED | REG_NOSUB),
	    0);
	catch ();
	log_open("gate", "queue", false, LOG_MAILLOG);
	log_event(LOG_INFO, "smtp", "4F: removed");
	caught();
	release();
	cr_expect_eq(regexec(&shape, line, 0, NULL, 0), 0, "%s", line);
	regfree(&shape);
}

Test(log, lines_that_are_gathered_stay_whole_and_in_order)
{
	int i;

	catch ();
	log_open("gate", "queue", false, LOG_TEXT);
	log_gather(true);
	log_event(LOG_INFO, "smtp", "1: removed");
	log_event(LOG_INFO, "smtp", "2: removed");
	log_gather(false);
	caught();
	cr_expect_not_null(strstr(line, "1: removed\n"), "%s", line);
	cr_expect_not_null(strstr(line, "2: removed\n"), "%s", line);
	log_gather(true);
	for (i = 0; i < 200; i++) /* more than one write may hold */
		log_event(LOG_INFO, "smtp", "3: removed");
	caught(); /* so that the pipe has room */
	log_gather(false);
	release();
	cr_expect_eq(line[strlen(line) - 1], '\n', "a line is cut");
}
