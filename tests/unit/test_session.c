/* SPDX-License-Identifier: ISC */
/*
 * The session as scripts.  A step is
 *   "S text"  the server says it; "|" is CRLF, and one is added
 *   "C text"  exactly that has been written since the last "C"; "|" is CRLF
 *   "Q text"  the next report to the queue, as written by report() below
 *   "! word"  something happens, see happen()
 * At its end, nothing written and nothing reported may be left.
 */
#include "agent/session/session.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "common/util.h"

static struct session session;
static char queue[65536]; /* reports, a line each */
static size_t queue_len;
static enum session_tls_start tls_answer;
static struct tls_info tls;
static const char *body;
static bool body_is_broken;
static unsigned int timer_ms;
static int hang_ups;
static char left[65536]; /* what hang_up() found in out */
static uint64_t jobs;    /* numbered from 1, and told apart in reports */
static bool numbered;

static void
say(const char *text)
{
	queue_len += (size_t)snprintf(queue + queue_len,
	    sizeof(queue) - queue_len, "%s\n", text);
}

static void
describe(char *line, size_t size, const char *word,
    const struct outcome *outcome, const char *tail, size_t len)
{
	static const char *const agains[] = { "", " again", " elsewhere",
		" anew" };

	(void)snprintf(line, size, "%s %s %s %u %s%s%s: %.*s", word,
	    outcome_status_name(outcome->status),
	    outcome_step_name(outcome->step), outcome->code, outcome->dsn,
	    outcome->in_doubt ? " in-doubt" : "", agains[outcome->again],
	    (int)len, tail);
}

static void
report(void *arg, enum msg_type type, const void *payload, const char *tail,
    size_t len)
{
	static const char *const nexts[] = { "NEXT", "NEXT in-clear",
		"NEXT by-data" };
	const struct msg_next *next = payload;
	const struct msg_outcome *outcome = payload;
	const struct msg_closed *closed = payload;
	const struct msg_dialogue *dialogue = payload;
	const struct msg_job_ref *ref = payload; /* and the start of AGAIN */
	const struct msg_again *again = payload;
	char line[2048];
	char word[32];

	(void)arg;
	(void)snprintf(line, sizeof(line), "%s", msg_descs[type].name);
	if (type == MSG_NEXT && next->has_failure)
		describe(line, sizeof(line), nexts[next->again], &next->outcome,
		    tail, len);
	if (type == MSG_CLOSED && closed->failed)
		describe(line, sizeof(line), "CLOSED", &closed->outcome, tail,
		    len);
	if (type == MSG_DIALOGUE)
		(void)snprintf(line, sizeof(line), "%c: %.*s",
		    dialogue->from_remote ? 's' : 'c', (int)len, tail);
	if (numbered && type == MSG_DIALOGUE)
		(void)snprintf(line, sizeof(line), "%c/%u: %.*s",
		    dialogue->from_remote ? 's' : 'c',
		    (unsigned int)dialogue->job, (int)len, tail);
	if (numbered && (type == MSG_COMMITTING || type == MSG_AGAIN))
		(void)snprintf(line, sizeof(line), "%s %u",
		    msg_descs[type].name, (unsigned int)ref->job);
	if (type == MSG_AGAIN && again->spent)
		strlcat(line, " spent", sizeof(line));
	if (type == MSG_AGAIN && again->in_doubt)
		strlcat(line, " in-doubt", sizeof(line));
	if (type == MSG_CLOSED && closed->spent)
		(void)snprintf(line, sizeof(line), "CLOSED spent %u",
		    closed->limit);
	if (type == MSG_OUTCOME) {
		(void)snprintf(word, sizeof(word), "%u", outcome->rcpt);
		if (numbered)
			(void)snprintf(word, sizeof(word), "%u/%u",
			    (unsigned int)outcome->job, outcome->rcpt);
		describe(line, sizeof(line), word, &outcome->outcome, tail,
		    len);
	}
	say(line);
}

static ssize_t
read_body(void *arg, uint8_t *out, size_t n, uint64_t offset)
{
	(void)arg;
	if (body_is_broken)
		return -1;
	memcpy(out, body + offset, n);
	return (ssize_t)n;
}

static void
close_body(void *arg)
{
	(void)arg;
}

static enum session_tls_start
start_tls(void *arg, const char **why)
{
	(void)arg;
	*why = "refused";
	return tls_answer;
}

static void
get_tls_info(void *arg, struct tls_info *info)
{
	(void)arg;
	*info = tls;
}

static void
hang_up(void *arg)
{
	(void)arg;
	hang_ups++;
	memcpy(left, session.out.octets, session.out.len);
	left[session.out.len] = '\0';
	tls.on = 0;
}

static void
set_timer(void *arg, uint32_t ms)
{
	(void)arg;
	timer_ms = ms;
}

static const struct session_ops ops = { report, read_body, close_body,
	start_tls, get_tls_info, NULL, hang_up, set_timer };

static void
send_message(enum msg_type type, const void *payload, const char *tail,
    size_t len)
{
	_Alignas(8) static uint8_t packet[MSG_PACKET_SIZE];
	struct message m;
	size_t n;

	n = message_encode(packet, type, payload, tail, len);
	cr_assert_null(message_decode(&m, packet, n, msg_descs[type].nfds,
	    ROLE_QUEUE | ROLE_DIALER, ROLE_WORKER));
	if (!session_message(&session, &m))
		say("misled");
}

/* Each path and the parameters behind its "?", where "&" is a space. */
static size_t
write_envelope(char *tail, const char *text, uint32_t *nrcpt)
{
	bool has_parameters = false;
	size_t len = 0;

	for (;; text++) {
		if (*text != ' ' && *text != '\0' && *text != '?') {
			tail[len++] = *text == '&' ? ' ' : *text;
			continue;
		}
		tail[len++] = '\0';
		if (*text == '?') {
			has_parameters = true;
			continue;
		}
		if (!has_parameters)
			tail[len++] = '\0';
		has_parameters = false;
		if (*text == '\0')
			return len;
		++*nrcpt;
	}
}

/* "job 8BIT sender rcpt rcpt" or "job sender?RET=FULL&BY=1;R rcpt"; "-" is no
 * sender. */
static void
send_job(const char *text)
{
	static const struct {
		const char *word;
		uint32_t flags;
	} words[] = {
		{ "8BIT ", SUBMIT_8BIT },
		{ "BINARY ", SUBMIT_BINARY },
		{ "UTF8 ", SUBMIT_SMTPUTF8 },
		{ "VRFY ", SUBMIT_VERIFY },
		{ "HANDSHAKE ", SUBMIT_VERIFY | SUBMIT_HANDSHAKE },
		{ "REQUIRETLS ", SUBMIT_REQUIRETLS },
		{ "RETURNED ", 0 },
		{ "LMTP ", 0 },
	};
	struct msg_job job = { .protocol = session.conf.protocol };
	char tail[1024];
	size_t len;

	if (strncmp(text, "LMTP ", 5) == 0)
		job.protocol = SESSION_LMTP;
	job.returned = strncmp(text, "RETURNED ", 9) == 0;
	for (size_t i = 0; i < NELEM(words); i++) {
		size_t n = strlen(words[i].word);

		if (strncmp(text, words[i].word, n) == 0) {
			job.flags |= words[i].flags;
			text += n;
		}
	}
	if (*text == '-')
		text++;
	len = write_envelope(tail, text, &job.nrcpt);
	job.job = ++jobs;
	job.size = strlen(body);
	send_message(MSG_JOB, &job, tail, len);
}

static void
dial(uint8_t family, const char *addr)
{
	struct msg_dialed dialed = { 0 };

	dialed.family = family;
	(void)inet_pton(family, addr, dialed.addr);
	send_message(MSG_DIALED, &dialed, NULL, 0);
}

static void
feed(const char *text, size_t n, bool whole)
{
	char octets[8192];
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		if (text[i] == '|')
			octets[len++] = '\r';
		octets[len++] = text[i] == '|' ? '\n' : text[i];
	}
	if (whole) {
		memcpy(octets + len, "\r\n", 2);
		len += 2;
	}
	session_octets(&session, (const uint8_t *)octets, len);
}

/* A message of some chunks. */
static char large[200001];

static void
make_large(void)
{
	memset(large, '.', sizeof(large) - 1);
	for (size_t i = 80; i + 2 < sizeof(large); i += 82)
		memcpy(large + i, "\r\n", 2);
	memcpy(large + sizeof(large) - 3, "\r\n", 2);
	body = large;
}

static void
happen(const char *word)
{
	struct msg_none none = { 0 };
	struct msg_address address = { .tls_name = "mx.example", .shown = 1 };
	struct msg_address first = { .tls_name = "mx.example", .more = 1 };
	struct msg_address unknown = { .tls_name = "mx.example" };
	struct msg_address nameless = { .tls_name = "no_name" };
	struct msg_dial_failed failed = { ECONNREFUSED, 0 };

	if (strcmp(word, "quit") == 0)
		send_message(MSG_QUIT, &none, NULL, 0);
	else if (strcmp(word, "address") == 0)
		send_message(MSG_ADDRESS, &address, NULL, 0);
	else if (strcmp(word, "first-address") == 0)
		send_message(MSG_ADDRESS, &first, NULL, 0);
	else if (strcmp(word, "unknown-address") == 0)
		send_message(MSG_ADDRESS, &unknown, NULL, 0);
	else if (strcmp(word, "broken-address") == 0)
		send_message(MSG_ADDRESS, &address, "Chunking size ", 14);
	else if (strcmp(word, "nul-address") == 0)
		send_message(MSG_ADDRESS, &address, "size\0dsn", 8);
	else if (strcmp(word, "no-name") == 0)
		send_message(MSG_ADDRESS, &nameless, NULL, 0);
	else if (strcmp(word, "dialed") == 0)
		dial(AF_INET, "192.0.2.9");
	else if (strcmp(word, "dialed6") == 0)
		dial(AF_INET6, "2001:db8::9");
	else if (strcmp(word, "dialed-unix") == 0)
		dial(AF_UNIX, "");
	else if (strcmp(word, "dial-failed") == 0)
		send_message(MSG_DIAL_FAILED, &failed, NULL, 0);
	else if (strcmp(word, "connected") == 0)
		session_connected(&session);
	else if (strcmp(word, "refused") == 0)
		session_connect_failed(&session, "Connection refused");
	else if (strcmp(word, "tls-up") == 0) {
		tls.on = 1;
		session_tls_up(&session);
	} else if (strcmp(word, "tls-failed") == 0)
		session_tls_failed(&session, "wrong name");
	else if (strcmp(word, "closed") == 0)
		session_closed(&session, NULL);
	else if (strcmp(word, "reset") == 0)
		session_closed(&session, "Connection reset by peer");
	else if (strcmp(word, "timeout") == 0)
		session_timeout(&session, false);
	else if (strcmp(word, "cap") == 0)
		session_timeout(&session, true);
	else if (strcmp(word, "injection") == 0)
		tls_answer = SESSION_TLS_INJECTED;
	else if (strcmp(word, "broken-body") == 0)
		body_is_broken = true;
	else if (strcmp(word, "hung-up") == 0)
		cr_expect_eq(hang_ups, 1);
	else if (strncmp(word, "left ", 5) == 0)
		cr_expect_str_eq(left, word + 5);
	else if (strncmp(word, "timer ", 6) == 0)
		cr_expect_eq(timer_ms, (unsigned int)atoi(word + 6),
		    "timer is %u, want %s", timer_ms, word + 6);
	else if (strncmp(word, "job ", 4) == 0)
		send_job(word + 4);
	else if (strcmp(word, "large") == 0)
		make_large();
	else if (strcmp(word, "go") == 0)
		session_gathered(&session);
	else if (strcmp(word, "number") == 0)
		numbered = true;
	else if (strncmp(word, "body ", 5) == 0)
		body = word + 5;
	else if (strncmp(word, "part ", 5) == 0)
		feed(word + 5, strlen(word + 5), false);
	else
		cr_assert_fail("no such step: %s", word);
}

static void
expect_written(const char *want, const char *name)
{
	char got[65536];
	size_t len = 0;

	for (size_t i = 0; i < session.out.len; i++) {
		char c = (char)session.out.octets[i];

		if (c != '\r')
			got[len++] = c == '\n' ? '|' : c;
	}
	got[len] = '\0';
	cr_assert_str_eq(got, want, "%s: wrote \"%s\", want \"%s\"", name, got,
	    want);
	session.out.len = 0;
	if (len > 0)
		session_flushed(&session);
}

static void
expect_report(const char *want, const char *name)
{
	char *end = memchr(queue, '\n', queue_len);
	size_t len;

	cr_assert_not_null(end, "%s: no report, want \"%s\"", name, want);
	*end = '\0';
	cr_assert_str_eq(queue, want, "%s: report \"%s\", want \"%s\"", name,
	    queue, want);
	len = (size_t)(end + 1 - queue);
	queue_len -= len;
	memmove(queue, end + 1, queue_len);
}

static void
run_steps(const char *name, const char *const *steps)
{
	for (; *steps != NULL; steps++) {
		const char *text = *steps + (strlen(*steps) > 1 ? 2 : 1);

		switch (**steps) {
		case 'S':
			feed(text, strlen(text), true);
			break;
		case 'C':
			expect_written(text, name);
			break;
		case 'Q':
			expect_report(text, name);
			break;
		default:
			happen(text);
			break;
		}
	}
	expect_written("", name);
	cr_expect_eq(queue_len, 0, "%s: left %.*s", name, (int)queue_len,
	    queue);
}

static void
start(struct msg_session *conf)
{
	memset(&session, 0, sizeof(session));
	memset(&tls, 0, sizeof(tls));
	queue_len = 0;
	hang_ups = 0;
	jobs = 0;
	numbered = false;
	body = "Subject: x\r\n\r\n.hi\r\n";
	body_is_broken = false;
	tls_answer = SESSION_TLS_STARTED;
	for (uint32_t i = 0; i < TIMER_COUNT; i++)
		conf->timer_ms[i] = 1000 + i;
	session_init(&session, &ops, NULL);
	send_message(MSG_SESSION, conf, NULL, 0);
	expect_report("NEXT", "start");
}

#define STEPS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define CONNECT    "! address", "! dialed", "! connected"
#define CONF(...)                                                              \
	(struct msg_session)                                                   \
	{                                                                      \
		.ehlo_name = "me.example", __VA_ARGS__                         \
	}
#define RUN(conf, ...)                                                         \
	do {                                                                   \
		struct msg_session c_ = conf;                                  \
		start(&c_);                                                    \
		run_steps(__func__, STEPS(__VA_ARGS__));                       \
	} while (0)

#define SMTP CONF(.protocol = SESSION_SMTP)
#define LMTP CONF(.protocol = SESSION_LMTP)
/* A session that is up, with those keywords. */
#define UP(keywords)                                                           \
	CONNECT, "S 220 hi", "C EHLO me.example|",                             \
	    "S 250-x|" keywords "250 OK", "Q SESSION_UP"
#define UP_LMTP(keywords)                                                      \
	CONNECT, "S 220 hi", "C LHLO me.example|",                             \
	    "S 250-x|" keywords "250 OK", "Q SESSION_UP"
#define CLOSING(what) "Q " what

Test(session, a_greeting_of_220_leads_to_ehlo)
{
	/* S-001, S-002, S-003 */
	RUN(SMTP, CONNECT, "C", "! part 220-hi", "C", "! part |220 ", "C",
	    "S there", "C EHLO me.example|", "! closed",
	    "Q NEXT deferred ehlo 0 4.4.2: connection closed by the remote while waiting for the reply to EHLO");
	RUN(LMTP, CONNECT, "S 220 hi", "C LHLO me.example|");
}

Test(session, any_other_greeting_ends_it)
{
	/* S-004, S-005, S-006 */
	RUN(SMTP, CONNECT, "S 554 go away", "C QUIT|", "S 221 bye",
	    "Q NEXT failed greeting 554 5.0.0: 554 go away", "! hung-up");
	RUN(SMTP, CONNECT, "S 450 4.3.2 later", "C QUIT|", "S 221 bye",
	    "Q NEXT deferred greeting 450 4.3.2: 450 4.3.2 later");
	RUN(SMTP, CONNECT, "S 421 busy",
	    "Q NEXT deferred greeting 421 4.0.0: 421 busy", "! left QUIT\r\n");
	/* S-007, S-010 */
	RUN(SMTP, CONNECT, "S 250 hi", "C QUIT|", "S 221 bye",
	    "Q NEXT deferred greeting 250 4.5.0: protocol error: unexpected reply 250 where we wait for the greeting: 250 hi");
	RUN(SMTP, CONNECT, "S 354 hi", "C QUIT|", "! closed",
	    "Q NEXT deferred greeting 354 4.5.0: protocol error: unexpected reply 354 where we wait for the greeting: 354 hi");
	/* S-008, S-009 */
	RUN(SMTP, CONNECT, "S 554 no", "C QUIT|", "! closed",
	    "Q NEXT failed greeting 554 5.0.0: 554 no");
	RUN(SMTP, CONNECT, "S 554 no", "C QUIT|", "! timer 1009", "! timeout",
	    "Q NEXT failed greeting 554 5.0.0: 554 no");
	/* S-011 */
	RUN(SMTP, CONNECT, "! timer 1001", "! timeout", "C",
	    "Q NEXT deferred greeting 0 4.4.2: timed out while waiting for the greeting");
	/* S-036, S-063 */
	RUN(SMTP, CONNECT, "S abc", "C",
	    "Q NEXT deferred greeting 0 4.5.0: protocol error: line of the reply has no valid code, waiting for the greeting");
}

Test(session, addresses_are_tried_in_order)
{
	/* S-012, S-013 */
	RUN(SMTP, "! address", "! dial-failed",
	    "Q NEXT deferred connect 0 4.4.1: cannot connect: Connection refused",
	    "! address", "! dialed", "! refused",
	    "Q NEXT deferred connect 0 4.4.1: cannot connect: Connection refused",
	    "! address", "! dialed", "! timer 1000", "! timeout",
	    "Q NEXT deferred connect 0 4.4.1: timed out while waiting for the connection",
	    UP(""));
	RUN(SMTP, "! quit");
	cr_expect(session_is_over(&session));
}

Test(session, without_a_name_we_are_our_address)
{
	/* S-015, S-016 */
	RUN(((struct msg_session){ 0 }), CONNECT, "S 220 hi",
	    "C EHLO [192.0.2.9]|");
	RUN(((struct msg_session){ 0 }), "! address", "! dialed6",
	    "! connected", "S 220 hi", "C EHLO [IPv6:2001:db8::9]|");
	RUN(((struct msg_session){ 0 }), "! address", "! dialed-unix",
	    "! connected", "S 220 hi", "C EHLO localhost|");
}

Test(session, helo_is_for_servers_that_know_no_ehlo)
{
	/* S-018 */
	RUN(SMTP, CONNECT, "S 220 hi", "C EHLO me.example|", "S 521 no",
	    "C QUIT|", "S 221 bye", "Q NEXT failed ehlo 521 5.0.0: 521 no");
	/* S-019 */
	RUN(LMTP, CONNECT, "S 220 hi", "C LHLO me.example|", "S 500 no",
	    "C QUIT|", "S 221 bye", "Q NEXT failed ehlo 500 5.0.0: 500 no");
	/* S-020, S-023 */
	RUN(SMTP, CONNECT, "S 220 hi", "C EHLO me.example|", "S 502 no",
	    "C HELO me.example|", "S 250-x|250-SIZE 5|250 PIPELINING",
	    "Q SESSION_UP", "! job a@x b@y", "Q BEGUN", "C MAIL FROM:<a@x>|",
	    "S 250 ok", "C RCPT TO:<b@y>|", "S 250 ok", "C DATA|", "S 354 go",
	    "Q COMMITTING", "C Subject: x||..hi|.|", "S 250 ok",
	    "Q 0 delivered final 250 2.0.0: 250 ok");
	{
		static const char *const refusals[] = { "S 500 no", "S 501 no",
			"S 503 no", "S 504 no", "S 550 no", "S 554 no" };

		for (size_t i = 0; i < NELEM(refusals); i++)
			RUN(SMTP, CONNECT, "S 220 hi", "C EHLO me.example|",
			    refusals[i], "C HELO me.example|", "S 250 x",
			    "Q SESSION_UP");
	}
	/* S-021 */
	RUN(SMTP, CONNECT, "S 220 hi", "C EHLO me.example|", "S 451 no",
	    "C QUIT|", "! closed", "Q NEXT deferred ehlo 451 4.0.0: 451 no");
	/* S-022 */
	RUN(SMTP, CONNECT, "S 220 hi", "C EHLO me.example|", "S 500 no",
	    "C HELO me.example|", "S 550 no", "C QUIT|", "S 221 bye",
	    "Q NEXT failed ehlo 550 5.0.0: 550 no");
}

Test(session, starttls_is_sent_where_it_is_wanted_and_offered)
{
	/* S-037 */
	for (uint8_t level = TLS_ENCRYPT; level <= TLS_VERIFY; level++)
		RUN(CONF(.tls_level = level, .tls_fallback = 1), CONNECT,
		    "S 220 hi", "C EHLO me.example|", "S 250 x", "C QUIT|",
		    "S 221 bye",
		    "Q NEXT deferred starttls 0 4.7.4: STARTTLS unavailable: the server does not offer it");
	RUN(CONF(.tls_level = TLS_MAY), UP("250-SIZE|"));
	/* S-038 */
	RUN(SMTP, UP("250-STARTTLS|"));
	/* S-040, S-046, S-047, S-052 */
	RUN(CONF(.tls_level = TLS_VERIFY), CONNECT, "S 220 hi",
	    "C EHLO me.example|", "S 250-x|250-STARTTLS|250 PIPELINING",
	    "C STARTTLS|", "C", "S 220 go", "C", "! tls-up",
	    "C EHLO me.example|", "S 250-x|250 STARTTLS", "Q SESSION_UP",
	    "! job a@x b@y", "Q BEGUN", "C MAIL FROM:<a@x>|");
	/* S-041 */
	RUN(CONF(.tls_level = TLS_ENCRYPT, .tls_fallback = 1), CONNECT,
	    "S 220 hi", "C EHLO me.example|", "S 250-x|250 STARTTLS",
	    "C STARTTLS|", "S 454 no", "C QUIT|", "S 221 bye",
	    "Q NEXT deferred starttls 454 4.0.0: 454 no");
	/* S-042 */
	RUN(CONF(.tls_level = TLS_ENCRYPT), CONNECT, "S 220 hi",
	    "C EHLO me.example|", "S 250-x|250 STARTTLS", "C STARTTLS|",
	    "S 501 no", "C QUIT|", "S 221 bye",
	    "Q NEXT failed starttls 501 5.0.0: 501 no");
	/* S-043 */
	RUN(CONF(.tls_level = TLS_ENCRYPT), CONNECT, "S 220 hi",
	    "C EHLO me.example|", "S 250-x|250 STARTTLS", "C STARTTLS|",
	    "S 250 ok", "C QUIT|", "S 221 bye",
	    "Q NEXT deferred starttls 250 4.5.0: protocol error: reply 250 to STARTTLS (RFC 3207, 4)");
	/* S-044 */
	RUN(CONF(.tls_level = TLS_MAY, .tls_fallback = 1), CONNECT, "S 220 hi",
	    "C EHLO me.example|", "S 250-x|250 STARTTLS", "C STARTTLS|",
	    "S 421 no", "Q NEXT deferred starttls 421 4.0.0: 421 no");
	/* S-045 */
	RUN(CONF(.tls_level = TLS_MAY), CONNECT, "S 220 hi",
	    "C EHLO me.example|", "S 250-x|250 STARTTLS", "C STARTTLS|",
	    "! closed",
	    "Q NEXT deferred starttls 0 4.4.2: connection closed by the remote while waiting for the reply to STARTTLS");
}

#define TO_STARTTLS                                                            \
	CONNECT, "S 220 hi", "C EHLO me.example|", "S 250-x|250 STARTTLS",     \
	    "C STARTTLS|"

Test(session, octets_behind_220_are_an_injection)
{
	/* S-048, S-049: a line, or the start of one, in the same segment */
	RUN(CONF(.tls_level = TLS_MAY, .tls_fallback = 1), TO_STARTTLS,
	    "S 220 go|250 injected",
	    "Q NEXT deferred starttls 0 4.7.0: injection: octets in clear where TLS was to start");
	RUN(CONF(.tls_level = TLS_MAY, .tls_fallback = 1), TO_STARTTLS,
	    "! part 220 go|2",
	    "Q NEXT deferred starttls 0 4.7.0: injection: octets in clear where TLS was to start");
	/* or in another that is there already */
	RUN(CONF(.tls_level = TLS_ENCRYPT), TO_STARTTLS, "! injection",
	    "S 220 go",
	    "Q NEXT deferred starttls 0 4.7.0: injection: octets in clear where TLS was to start");
}

Test(session, a_failed_handshake_ends_the_connection)
{
	/* S-050, S-058 */
	RUN(CONF(.tls_level = TLS_VERIFY, .tls_fallback = 1), TO_STARTTLS,
	    "S 220 go", "! timer 1003", "! tls-failed", "! hung-up",
	    "Q NEXT deferred tls 0 4.7.5: TLS handshake failed: wrong name");
	RUN(CONF(.tls_level = TLS_VERIFY), TO_STARTTLS, "S 220 go", "! timeout",
	    "Q NEXT deferred tls 0 4.4.2: timed out while waiting for the TLS handshake");
	/* S-051 */
	RUN(CONF(.tls_level = TLS_VERIFY), TO_STARTTLS, "S 220 go", "! tls-up",
	    "C EHLO me.example|", "S 502 no", "C QUIT|", "S 221 bye",
	    "Q NEXT failed ehlo 502 5.0.0: 502 no");
	/* S-056 */
	RUN(CONF(.tls_level = TLS_VERIFY), "! no-name", "! dialed",
	    "Q NEXT deferred connect 0 4.7.5: protocol error: no legal name to verify in a certificate");
}

Test(session, opportunistic_tls_falls_back_to_clear_by_policy)
{
	/* S-059 */
	RUN(CONF(.tls_level = TLS_MAY, .tls_fallback = 1), TO_STARTTLS,
	    "S 454 no", "C QUIT|", "S 221 bye",
	    "Q NEXT in-clear deferred starttls 454 4.0.0: 454 no",
	    UP("250-STARTTLS|"));
	RUN(CONF(.tls_level = TLS_MAY, .tls_fallback = 1), TO_STARTTLS,
	    "S 220 go", "! tls-failed",
	    "Q NEXT in-clear deferred tls 0 4.7.5: TLS handshake failed: wrong name",
	    CONNECT, "! closed",
	    "Q NEXT deferred greeting 0 4.4.2: connection closed by the remote while waiting for the greeting",
	    TO_STARTTLS);
	RUN(CONF(.tls_level = TLS_MAY), TO_STARTTLS, "S 220 go", "! tls-failed",
	    "Q NEXT deferred tls 0 4.7.5: TLS handshake failed: wrong name");
}

Test(session, implicit_tls_is_before_everything)
{
	/* S-055, S-039 */
	RUN(CONF(.tls_level = TLS_VERIFY, .implicit_tls = 1), CONNECT, "C",
	    "! tls-up", "C", "S 220 hi", "C EHLO me.example|",
	    "S 250-x|250 STARTTLS", "Q SESSION_UP");
	RUN(CONF(.tls_level = TLS_MAY, .tls_fallback = 1, .implicit_tls = 1),
	    CONNECT, "! tls-failed",
	    "Q NEXT deferred tls 0 4.7.5: TLS handshake failed: wrong name");
}

Test(session, a_reply_before_its_command_ends_it)
{
	/* S-074 */
	RUN(SMTP, CONNECT, "S 220 hi|250 eager", "C EHLO me.example|QUIT|",
	    "S 250 x", "C", "S 221 bye",
	    "Q NEXT deferred ehlo 0 4.5.0: protocol error: a reply came before its command: 220 hi");
	RUN(SMTP, UP(""), "S 250 eager", "C QUIT|", "S 221 bye",
	    "Q CLOSED deferred mail 0 4.5.0: protocol error: a reply came before its command: 250 eager");
	RUN(SMTP, UP(""), "S 421 idle too long",
	    "Q CLOSED deferred mail 421 4.0.0: 421 idle too long",
	    "! left QUIT\r\n");
	RUN(SMTP, UP(""), "! closed",
	    "Q CLOSED deferred mail 0 4.4.2: connection closed by the remote while waiting for the next message");
}

Test(session, quit_is_waited_for)
{
	/* S-127 */
	RUN(SMTP, UP(""), "! timer 0", "! quit", "C QUIT|", "! timer 1009",
	    "S 221 bye", "Q CLOSED", "! hung-up");
	RUN(SMTP, UP(""), "! quit", "C QUIT|", "! timeout", "Q CLOSED");
	RUN(SMTP, UP(""), "! quit", "C QUIT|", "! closed", "Q CLOSED");
	cr_expect(session_is_over(&session));
}

Test(session, the_cap_ends_everything)
{
	RUN(SMTP, CONNECT, "! cap",
	    "Q CLOSED deferred greeting 0 4.4.2: the session's time is up, while waiting for the greeting");
	cr_expect(session_is_over(&session));
}

Test(session, quit_ends_it_at_once_before_it_is_up)
{
	RUN(SMTP, "! address", "! dialed", "! quit", "! hung-up");
	RUN(SMTP, CONNECT, "! quit", "! hung-up");
	RUN(SMTP, CONNECT, "S 220 hi", "! quit", "! hung-up", "! left ");
	RUN(CONF(.tls_level = TLS_VERIFY), TO_STARTTLS, "S 220 go", "! quit",
	    "! hung-up");
	cr_expect(session_is_over(&session));
}

Test(session, messages_out_of_phase_are_refused)
{
	RUN(SMTP, "! job a@x b@y", "Q misled");
	RUN(SMTP, UP(""), "! job a@x", "Q misled");
	RUN(SMTP, UP(""), "! address", "Q misled");
	/* One address for each NEXT, and one answer for each address. */
	RUN(SMTP, "! address", "! address", "Q misled");
	RUN(SMTP, "! address", "! dialed", "! dialed", "Q misled");
	RUN(SMTP, UP(""), "! dialed", "Q misled");
	RUN(SMTP, UP(""), "! dial-failed", "Q misled");
}

Test(session, the_dialogue_is_shown_on_request)
{
	RUN(CONF(.verbose = 1), CONNECT, "S 220-a|220 b\xff", "Q s: 220-a",
	    "Q s: 220 b\\xff", "Q c: EHLO me.example", "C EHLO me.example|");
}

#define DOT              "Subject: x||..hi|.|"
#define BATCH            "250-PIPELINING|"
#define GO(job, written) "! job " job, "Q BEGUN", "C " written

Test(transaction, without_pipelining_one_command_at_a_time)
{
	/* S-104, S-120, S-017, S-075, S-076 */
	RUN(SMTP, UP(""), "! job - b@y c@y", "Q BEGUN", "C MAIL FROM:<>|",
	    "! timer 1004", "S 250 ok", "! timer 1005", "C RCPT TO:<b@y>|",
	    "S 250 ok", "C RCPT TO:<c@y>|", "S 250 ok", "C DATA|",
	    "! timer 1006", "S 354 go", "! timer 1007", "Q COMMITTING",
	    "C Subject: x||..hi|.|", "! timer 1008", "S 250 2.1.5 got it",
	    "Q 0 delivered final 250 2.1.5: 250 2.1.5 got it",
	    "Q 1 delivered final 250 2.1.5: 250 2.1.5 got it");
}

#define TWO "MAIL FROM:<a@x>|RCPT TO:<b@y>|RCPT TO:<c@y>|DATA|"
#define ONE "MAIL FROM:<a@x>|RCPT TO:<b@y>|DATA|"

Test(transaction, with_pipelining_one_batch_up_to_data)
{
	/* S-105, S-106, S-107, S-124 */
	RUN(SMTP, UP(BATCH), GO("a@x b@y c@y", TWO), "S 250 ok", "C",
	    "S 250 ok|550 5.1.1 no", "Q 1 failed rcpt 550 5.1.1: 550 5.1.1 no",
	    "C", "S 354 go", "Q COMMITTING", "C Subject: x||..hi|.|",
	    "S 250 ok", "Q 0 delivered final 250 2.0.0: 250 ok",
	    GO("a@x b@y", ONE), "S 250 ok|251 ok|354 go", "Q COMMITTING",
	    "C Subject: x||..hi|.|", "S 452 4.3.1 disk",
	    "Q 0 deferred final 452 4.3.1 elsewhere: 452 4.3.1 disk",
	    "! job a@x b@y", "C RSET|", "S 250 ok", "Q BEGUN", "C " ONE,
	    "S 250 ok|252 ok|354 go", "Q COMMITTING", "C Subject: x||..hi|.|",
	    "S 554 spam", "Q 0 failed final 554 5.0.0: 554 spam");
}

#define QP_ADDED                                                               \
	"MIME-Version: 1.0|Content-Type: text/plain; charset=unknown-8bit|"    \
	"Content-Transfer-Encoding: quoted-printable|"

Test(transaction, parameters_go_out_where_they_are_offered)
{
	/* S-083, S-084, S-086 */
	RUN(SMTP, UP("250-SIZE|250-8BITMIME|"), "! job 8BIT a@x b@y", "Q BEGUN",
	    "C MAIL FROM:<a@x> SIZE=19 BODY=8BITMIME|");
	RUN(SMTP, UP("250-SIZE|250-8BITMIME|"), "! body no end",
	    "! job a@x b@y", "Q BEGUN", "C MAIL FROM:<a@x> SIZE=8|");
	/* S-085 */
	RUN(SMTP, UP("250-SIZE 18|"), "! job a@x b@y",
	    "Q 0 failed mail 0 5.3.4 elsewhere: message is larger than the size that the server offers",
	    "! body 7", GO("a@x b@y", "MAIL FROM:<a@x> SIZE=3|"));
	RUN(SMTP, UP("250-SIZE 19|"), "! job a@x b@y", "Q BEGUN",
	    "C MAIL FROM:<a@x> SIZE=19|");
	/* S-087 */
	RUN(CONF(.eight_bit = SESSION_BOUNCE), UP(""), "! job 8BIT a@x b@y",
	    "Q 0 failed mail 0 5.6.3 elsewhere: message has 8-bit octets, and the server does not offer 8BITMIME");
	RUN(CONF(.eight_bit = SESSION_SEND_ANYWAY), UP("250-SIZE|"),
	    "! body \xe4", GO("8BIT a@x b@y", "MAIL FROM:<a@x> SIZE=3|"));
	RUN(SMTP, UP("250-SIZE|"), "! body A: b\r\n\r\nabcdefg \xe4",
	    GO("8BIT a@x b@y", "MAIL FROM:<a@x> SIZE=133|"), "S 250 ok",
	    "C RCPT TO:<b@y>|", "S 250 ok", "C DATA|", "S 354 go",
	    "Q COMMITTING", "C A: b|" QP_ADDED "|abcdefg =E4|.|", "S 250 ok",
	    "Q 0 delivered final 250 2.0.0: 250 ok");
	RUN(SMTP, UP("250-CHUNKING|250-PIPELINING|"),
	    "! body A: b\r\n\r\nabcdefg \xe4", "! job 8BIT a@x b@y", "Q BEGUN",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>|", "S 250 ok|250 ok",
	    "Q COMMITTING", "C BDAT 133 LAST|A: b|" QP_ADDED "|abcdefg =E4|",
	    "S 250 ok", "Q 0 delivered final 250 2.0.0: 250 ok");
	RUN(SMTP, UP(""), "! body A: \xe4", "! job 8BIT a@x b@y",
	    "Q 0 failed mail 0 5.6.3 elsewhere: message has 8-bit octets, and the server does not offer 8BITMIME, and it cannot be converted: a header field is not of ASCII");
}

Test(transaction, what_is_not_ascii_needs_smtputf8)
{
	/* S-089 */
	RUN(SMTP, UP("250-8BITMIME|"), "! job \xc3\xa4@x b@y",
	    "Q 0 failed mail 0 5.6.7 elsewhere: sender needs SMTPUTF8, which the server does not offer",
	    "! job a@x \xc3\xa4@y",
	    "Q 0 failed mail 0 5.6.7 elsewhere: recipient needs SMTPUTF8, which the server does not offer",
	    "! job UTF8 a@x b@y",
	    "Q 0 failed mail 0 5.6.9 elsewhere: a header field needs SMTPUTF8, which the server does not offer");
	RUN(SMTP, UP(""), "! job a@x \xc3\xa4@y b@y",
	    "Q 0 failed mail 0 5.6.7 elsewhere: recipient needs SMTPUTF8, which the server does not offer",
	    "Q BEGUN", "C MAIL FROM:<a@x>|", "S 250 ok", "C RCPT TO:<b@y>|",
	    "S 250 ok", "C DATA|");
	RUN(SMTP, UP("250-CHUNKING|250-PIPELINING|"),
	    "! job a@x b@y \xc3\xa4@y c@y",
	    "Q 1 failed mail 0 5.6.7 elsewhere: recipient needs SMTPUTF8, which the server does not offer",
	    "Q COMMITTING",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>|RCPT TO:<c@y>|BDAT 19 LAST|Subject: x||.hi|",
	    "S 250 ok|250 ok|250 ok|250 ok",
	    "Q 0 delivered final 250 2.0.0: 250 ok",
	    "Q 2 delivered final 250 2.0.0: 250 ok");
	/* S-090 */
	RUN(SMTP, UP("250-8BITMIME|250-SMTPUTF8|"), "! job a@x \xc3\xa4@y",
	    "Q BEGUN", "C MAIL FROM:<a@x> SMTPUTF8|", "S 250 ok",
	    "C RCPT TO:<\xc3\xa4@y>|");
	RUN(SMTP, UP("250-8BITMIME|250-SMTPUTF8|"), "! job UTF8 a@x b@y",
	    "Q BEGUN", "C MAIL FROM:<a@x> SMTPUTF8|");
	RUN(SMTP, UP("250-8BITMIME|250-SMTPUTF8|"), "! job a@x b@y", "Q BEGUN",
	    "C MAIL FROM:<a@x>|");
}

Test(transaction, a_job_of_the_other_protocol_is_not_begun)
{
	/* S-134 */
	RUN(SMTP, UP(""), "! job LMTP a@x b@y c@y",
	    "Q 0 deferred mail 0 4.5.0: protocol error: a job for LMTP on a session of SMTP",
	    "Q 1 deferred mail 0 4.5.0: protocol error: a job for LMTP on a session of SMTP",
	    GO("a@x b@y", "MAIL FROM:<a@x>|"));
}

Test(transaction, verify_asks_and_sends_nothing)
{
	/* S-126 */
	RUN(SMTP, UP("250-PIPELINING|250-CHUNKING|"),
	    "! job VRFY - b@y c@y d@y", "Q BEGUN", "C VRFY b@y|",
	    "S 252 2.5.0 perhaps",
	    "Q 0 delivered vrfy 252 2.5.0: 252 2.5.0 perhaps", "C VRFY c@y|",
	    "S 550 5.1.1 no", "Q 1 failed vrfy 550 5.1.1: 550 5.1.1 no",
	    "C VRFY d@y|", "S 450 busy",
	    "Q 2 deferred vrfy 450 4.0.0: 450 busy", "! job VRFY - b@y",
	    "Q BEGUN", "C VRFY b@y|", "S 502 5.5.1 not here",
	    "Q 0 deferred vrfy 502 4.5.1: 502 5.5.1 not here", "! job a@x b@y",
	    "Q COMMITTING",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>|BDAT 19 LAST|Subject: x||.hi|");
	RUN(SMTP, UP("250-PIPELINING|"), "! job VRFY - b@y", "Q BEGUN",
	    "C VRFY b@y|", "S 421 bye", "Q 0 deferred vrfy 421 4.0.0: 421 bye",
	    "Q CLOSED deferred vrfy 421 4.0.0: 421 bye", "! hung-up");
	RUN(SMTP, UP("250-8BITMIME|250-SMTPUTF8|"), "! job VRFY - \xc3\xa4@y",
	    "Q BEGUN", "C VRFY \xc3\xa4@y SMTPUTF8|", "S 354 what",
	    "Q 0 deferred vrfy 354 4.5.0 elsewhere: protocol error: unexpected reply 354 where we wait for the reply to VRFY: 354 what",
	    "C QUIT|");
}

Test(transaction, a_handshake_asks_nothing)
{
	RUN(SMTP, UP("250-PIPELINING|"), "! job HANDSHAKE - b@y c@y", "Q BEGUN",
	    "Q 0 delivered vrfy 0 2.0.0: the session is up",
	    "Q 1 delivered vrfy 0 2.0.0: the session is up", "! job a@x d@y",
	    "Q BEGUN", "C MAIL FROM:<a@x>|RCPT TO:<d@y>|DATA|");
}

Test(transaction, what_is_binary_goes_as_it_is_or_converted)
{
	/* S-088 */
	RUN(SMTP, UP("250-CHUNKING|250-BINARYMIME|250-SIZE|"),
	    "! body A: b\r\n\r\n\n\r", "! job BINARY a@x b@y", "Q BEGUN",
	    "C MAIL FROM:<a@x> SIZE=10 BODY=BINARYMIME|", "S 250 ok",
	    "C RCPT TO:<b@y>|", "S 250 ok", "Q COMMITTING",
	    "C BDAT 10 LAST|A: b|||", "S 250 ok",
	    "Q 0 delivered final 250 2.0.0: 250 ok");
	RUN(SMTP, UP("250-BINARYMIME|250-8BITMIME|"), "! body A: b\r\n\r\n\n",
	    GO("BINARY a@x b@y", "MAIL FROM:<a@x> BODY=8BITMIME|"), "S 250 ok",
	    "C RCPT TO:<b@y>|", "S 250 ok", "C DATA|", "S 354 go",
	    "Q COMMITTING",
	    "C A: b|MIME-Version: 1.0|Content-Type: text/plain; charset=unknown-8bit|Content-Transfer-Encoding: base64||Cg==|.|");
	RUN(CONF(.eight_bit = SESSION_BOUNCE), UP("250-8BITMIME|"),
	    "! job BINARY a@x b@y",
	    "Q 0 failed mail 0 5.6.3 elsewhere: message is binary, and the server does not offer BINARYMIME");
	RUN(CONF(.eight_bit = SESSION_SEND_ANYWAY), UP(""),
	    "! job BINARY a@x b@y",
	    "Q 0 failed mail 0 5.6.3 elsewhere: message is binary, and the server offers neither BINARYMIME nor 8BITMIME");
}

Test(transaction, nobody_accepted_means_no_message)
{
	/* S-108 */
	RUN(SMTP, UP(""), GO("a@x b@y", "MAIL FROM:<a@x>|"), "S 250 ok",
	    "C RCPT TO:<b@y>|", "S 550 no", "Q 0 failed rcpt 550 5.0.0: 550 no",
	    "! job a@x b@y", "C RSET|");
	/* S-109 */
	RUN(SMTP, UP(BATCH), GO("a@x b@y", ONE), "S 250 ok|550 no|354 go",
	    "Q 0 failed rcpt 550 5.0.0: 550 no", "C .|", "S 554 nobody",
	    "! job a@x b@y", "C RSET|");
	RUN(SMTP, UP(BATCH), GO("a@x b@y", ONE), "S 250 ok|550 no|503 no",
	    "Q 0 failed rcpt 550 5.0.0: 550 no");
	RUN(LMTP, UP_LMTP(BATCH), GO("a@x b@y", ONE), "S 250 ok|550 no|354 go",
	    "Q 0 failed rcpt 550 5.0.0: 550 no", "C .|QUIT|", "S 221 bye",
	    "Q CLOSED deferred data 0 4.5.0: protocol error: DATA was accepted without a recipient");
	/* S-110 */
	RUN(SMTP, UP(BATCH), GO("a@x b@y", ONE), "S 450 wait",
	    "Q 0 deferred mail 450 4.0.0 elsewhere: 450 wait", "C",
	    "S 503 no|503 no");
	RUN(SMTP, UP(""), GO("a@x b@y", "MAIL FROM:<a@x>|"), "S 555 what",
	    "Q 0 failed mail 555 5.0.0: 555 what");
}

/* What is accepted before its last octet has left cannot be the message. */
Test(transaction, a_250_that_comes_too_early_is_no_delivery)
{
	RUN(SMTP, UP(BATCH), GO("a@x b@y", ONE), "S 250 ok|250 ok|354 go",
	    "Q COMMITTING", "S 250 early",
	    "Q 0 deferred body 250 4.5.0 elsewhere: protocol error: unexpected reply 250 where we wait for the remote to take the message: 250 early",
	    "Q CLOSED deferred body 250 4.5.0: protocol error: unexpected reply 250 where we wait for the remote to take the message: 250 early",
	    "! left ");
}

Test(transaction, too_many_recipients_go_in_another_one)
{
	/* S-112 */
	RUN(SMTP, UP(BATCH), GO("a@x b@y c@y", TWO),
	    "S 250 ok|250 ok|452 4.5.3 many",
	    "Q 1 deferred rcpt 452 4.5.3 again: 452 4.5.3 many", "S 354 go",
	    "Q COMMITTING", "C Subject: x||..hi|.|", "S 250 ok",
	    "Q 0 delivered final 250 2.0.0: 250 ok");
	RUN(SMTP, UP(BATCH), GO("a@x b@y c@y", TWO), "S 250 ok|250 ok|552 many",
	    "Q 1 deferred rcpt 552 4.0.0 again: 552 many");
	RUN(SMTP, UP(BATCH), GO("a@x b@y c@y", TWO),
	    "S 250 ok|250 ok|552 5.3.4 big",
	    "Q 1 failed rcpt 552 5.3.4: 552 5.3.4 big");
	RUN(SMTP, UP(BATCH), GO("a@x b@y", ONE), "S 250 ok|452 many",
	    "Q 0 deferred rcpt 452 4.0.0 elsewhere: 452 many");
}

Test(transaction, data_is_answered_by_354_alone)
{
	/* S-113 */
	RUN(SMTP, UP(BATCH), GO("a@x b@y", ONE), "S 250 ok|250 ok|250 ok",
	    "Q 0 deferred data 250 4.5.0 elsewhere: protocol error: unexpected reply 250 where we wait for the reply to DATA: 250 ok",
	    "Q CLOSED deferred data 250 4.5.0: protocol error: unexpected reply 250 where we wait for the reply to DATA: 250 ok");
	/* S-114 */
	RUN(SMTP, UP(BATCH), GO("a@x b@y", ONE), "S 250 ok|250 ok|451 no",
	    "Q 0 deferred data 451 4.0.0 elsewhere: 451 no", "! job a@x b@y",
	    "C RSET|", "S 500 no", "C QUIT|", "S 221 bye",
	    "Q CLOSED failed rset 500 5.0.0: 500 no");
	RUN(SMTP, UP(BATCH), GO("a@x b@y", ONE), "S 250 ok|250 ok|554 no",
	    "Q 0 failed data 554 5.0.0: 554 no");
}

#define TO_END                                                                 \
	UP(BATCH), GO("a@x b@y", ONE), "S 250 ok|250 ok|354 go", "Q COMMITTING"
#define LOST(step, dsn, text)                                                  \
	"Q 0 deferred " step " 0 " dsn ": " text,                              \
	    "Q CLOSED deferred " step " 0 4.4.2: " text

Test(transaction, a_lost_final_reply_leaves_a_doubt)
{
	/* S-121 */
	RUN(SMTP, TO_END, "C Subject: x||..hi|.|", "! closed",
	    LOST("final", "4.4.2 in-doubt",
		"connection closed by the remote while waiting for the reply to the end of the message"));
	RUN(SMTP, TO_END, "C Subject: x||..hi|.|", "! timeout",
	    LOST("final", "4.4.2 in-doubt",
		"timed out while waiting for the reply to the end of the message"));
	/* The end is not out yet, and will never be. */
	RUN(SMTP, TO_END, "! reset",
	    "Q 0 deferred body 0 4.4.2 elsewhere: connection lost while waiting for the remote to take the message: Connection reset by peer",
	    "Q CLOSED deferred body 0 4.4.2: connection lost while waiting for the remote to take the message: Connection reset by peer",
	    "! left ");
	/* S-072: half a reply is none */
	RUN(SMTP, TO_END, "C Subject: x||..hi|.|", "! part 250 o", "! closed",
	    LOST("final", "4.4.2 in-doubt",
		"connection closed by the remote while waiting for the reply to the end of the message"));
	RUN(SMTP, TO_END, "C Subject: x||..hi|.|", "S 421 4.3.2 down",
	    "Q 0 deferred final 421 4.3.2 in-doubt elsewhere: 421 4.3.2 down",
	    "Q CLOSED deferred final 421 4.3.2: 421 4.3.2 down");
}

Test(transaction, trouble_in_the_message_ends_it_without_the_dot)
{
	/* S-122 */
	RUN(SMTP, UP(BATCH), GO("a@x b@y", ONE), "! broken-body",
	    "S 250 ok|250 ok|354 go",
	    "Q 0 deferred body 0 4.3.0: the message cannot be read",
	    "Q CLOSED deferred body 0 4.3.0: the message cannot be read",
	    "! left ");
	/* S-123 */
	RUN(SMTP, TO_END, "S 552 5.3.4 too big",
	    "Q 0 failed body 552 5.3.4: 552 5.3.4 too big",
	    "Q CLOSED failed body 552 5.3.4: 552 5.3.4 too big", "! left ");
}

Test(transaction, goodbye_in_the_middle_defers_everybody)
{
	/* S-073 */
	RUN(SMTP, UP(BATCH), GO("a@x b@y c@y", TWO), "S 250 ok|250 ok|421 bye",
	    "Q 1 deferred rcpt 421 4.0.0 elsewhere: 421 bye", "! timer 1009",
	    "! closed", "Q 0 deferred rcpt 421 4.0.0 elsewhere: 421 bye",
	    "Q CLOSED deferred rcpt 421 4.0.0: 421 bye", "! left ");
	RUN(SMTP, UP(""), GO("a@x b@y c@y", "MAIL FROM:<a@x>|"), "S 250 ok",
	    "C RCPT TO:<b@y>|", "S 250 ok", "C RCPT TO:<c@y>|", "S 421 bye",
	    "Q 0 deferred rcpt 421 4.0.0 elsewhere: 421 bye",
	    "Q 1 deferred rcpt 421 4.0.0 elsewhere: 421 bye",
	    "Q CLOSED deferred rcpt 421 4.0.0: 421 bye", "! left QUIT\r\n");
	/* A server that goes on all the same has the message. */
	RUN(SMTP, UP(BATCH),
	    GO("a@x b@y c@y d@y",
		"MAIL FROM:<a@x>|RCPT TO:<b@y>|RCPT TO:<c@y>|RCPT TO:<d@y>|DATA|"),
	    "S 250 ok|250 ok|421 bye|550 no|354 go",
	    "Q 1 deferred rcpt 421 4.0.0 elsewhere: 421 bye",
	    "Q 2 failed rcpt 550 5.0.0: 550 no", "Q COMMITTING", "C " DOT,
	    "S 250 in", "Q 0 delivered final 250 2.0.0: 250 in",
	    "Q CLOSED deferred rcpt 421 4.0.0: 421 bye", "! left QUIT\r\n");
	/* A job that was not begun has no outcome. */
	RUN(SMTP, UP(BATCH), GO("a@x b@y", ONE), "S 250 ok|250 ok|451 no",
	    "Q 0 deferred data 451 4.0.0 elsewhere: 451 no", "! job a@x b@y",
	    "C RSET|", "! closed",
	    "Q CLOSED deferred rset 0 4.4.2: connection closed by the remote while waiting for the reply to RSET");
}

#define THREE "MAIL FROM:<a@x>|RCPT TO:<b@y>|RCPT TO:<c@y>|RCPT TO:<b@y>|DATA|"

Test(transaction, lmtp_answers_for_each_recipient)
{
	/* S-135, S-137, S-138, S-139, S-141 */
	RUN(LMTP, UP_LMTP(BATCH), GO("a@x b@y c@y b@y", THREE),
	    "S 250 ok|250 ok|250 ok|250 ok|354 go", "Q COMMITTING",
	    "C Subject: x||..hi|.|", "! timer 1008",
	    "S 250-2.0.0 one|250 2.0.0 more",
	    "Q 0 delivered final 250 2.0.0: 250 2.0.0 one more",
	    "S 452 4.2.2 full",
	    "Q 1 deferred final 452 4.2.2 elsewhere: 452 4.2.2 full",
	    "S 550 no", "Q 2 failed final 550 5.0.0: 550 no", "! job a@x b@y",
	    "C RSET|");
	/* S-136 */
	RUN(LMTP, UP_LMTP(BATCH), GO("a@x b@y c@y b@y", THREE),
	    "S 250 ok|250 ok|550 no|250 ok|354 go",
	    "Q 1 failed rcpt 550 5.0.0: 550 no", "Q COMMITTING",
	    "C Subject: x||..hi|.|", "S 250 one|250 two",
	    "Q 0 delivered final 250 2.0.0: 250 one",
	    "Q 2 delivered final 250 2.0.0: 250 two", GO("a@x b@y", ONE));
	/* S-140 */
	RUN(LMTP, UP_LMTP(BATCH), GO("a@x b@y c@y", TWO),
	    "S 250 ok|250 ok|250 ok|354 go", "Q COMMITTING",
	    "C Subject: x||..hi|.|", "S 250 one",
	    "Q 0 delivered final 250 2.0.0: 250 one", "! closed",
	    "Q 1 deferred final 0 4.4.2 in-doubt: connection closed by the remote while waiting for the reply to the end of the message",
	    "Q CLOSED deferred final 0 4.4.2: connection closed by the remote while waiting for the reply to the end of the message");
}

Test(transaction, a_long_message_leaves_in_pieces)
{
	static char text[100001];
	size_t dots = 0, got = 0;
	const char *tail;

	memset(text, 'x', sizeof(text) - 1);
	for (size_t i = 0; i + 82 < sizeof(text) - 1; i += 82) {
		text[i] = '.';
		memcpy(text + i + 80, "\r\n", 2);
		dots++;
	}
	memcpy(text + sizeof(text) - 3, "\r\n", 2);
	RUN(SMTP, UP(BATCH));
	body = text;
	run_steps(__func__, STEPS(GO("a@x b@y", ONE)));
	feed("250 ok|250 ok|354 go", 20, true);
	while (session.out.len > 0) {
		got += session.out.len;
		tail = (const char *)session.out_octets + session.out.len - 5;
		/* The queue hears of the end when it is in out, not before. */
		if (memcmp(tail, "\r\n.\r\n", 5) == 0)
			expect_report("COMMITTING", __func__);
		cr_expect_eq(queue_len, 0);
		session.out.len = 0;
		session_flushed(&session);
	}
	cr_expect_eq(got, sizeof(text) - 1 + dots + 3);
	cr_expect_eq(session.state, STATE_FINAL);
}

#define OVER                                                                   \
	" deferred rcpt 0 4.5.3 again: more recipients than the server's "     \
	"LIMITS allow at once"

Test(transaction, recipients_over_the_limit_go_into_another)
{
	RUN(SMTP, UP(BATCH "250-LIMITS RCPTMAX=1|"), "! job a@x b@y c@y d@z",
	    "Q 1" OVER, "Q 2" OVER, "Q BEGUN",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>|DATA|");
	RUN(SMTP, UP(BATCH "250-LIMITS RCPTDOMAINMAX=1|"),
	    "! job a@x b@y c@z d@Y", "Q 1" OVER, "Q BEGUN",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>|RCPT TO:<d@Y>|DATA|");
	/* One domain more than a session may have: another session's. */
	RUN(SMTP, UP(BATCH "250-LIMITS RCPTDOMAINMAX=1|"), GO("a@x b@y", ONE),
	    "S 250 ok|250 ok|354 go", "Q COMMITTING", "C Subject: x||..hi|.|",
	    "S 250 in", "Q 0 delivered final 250 2.0.0: 250 in",
	    "! job a@x b@z", "C QUIT|", "S 221 bye", "Q CLOSED");
}

#define ASKED "a@x?RET=HDRS&BY=9;N&MT-PRIORITY=-3 b@y?NOTIFY=NEVER c@y"

Test(transaction, parameters_go_where_they_are_offered)
{
	RUN(SMTP, UP(BATCH "250-DSN|250-DELIVERBY|"),
	    GO(ASKED,
		"MAIL FROM:<a@x> RET=HDRS BY=9;N|"
		"RCPT TO:<b@y> NOTIFY=NEVER|RCPT TO:<c@y>|DATA|"));
	RUN(SMTP, UP(BATCH "250-MT-PRIORITY|"),
	    GO(ASKED,
		"MAIL FROM:<a@x> MT-PRIORITY=-3|RCPT TO:<b@y>|RCPT TO:<c@y>|"
		"DATA|"));
	RUN(SMTP, UP(BATCH), GO(ASKED, TWO));
}

Test(transaction, what_a_sender_cannot_do_without_is_not_sent)
{
	RUN(SMTP, UP(""), "! job a@x?BY=9;R b@y",
	    "Q 0 failed mail 0 5.3.3 elsewhere: the server does not offer DELIVERBY, and "
	    "the message is to be returned if it is late");
	RUN(SMTP, UP("250-FUTURERELEASE 4 2000-01-01T00:00:00Z|"),
	    "! job a@x?HOLDFOR=5 b@y",
	    "Q 0 failed mail 0 5.5.4 elsewhere: the message is to be held for longer than "
	    "the server's FUTURERELEASE allows");
}

Test(transaction, a_long_list_of_recipients_leaves_in_pieces)
{
	struct msg_job job = { 0 };
	static char tail[16384];
	size_t len = 2, mail = 0, rcpt = 0, data = 0;

	RUN(SMTP, UP(BATCH));
	for (; len + 5 <= sizeof(tail); len += 5, job.nrcpt++)
		memcpy(tail + len, "b@y\0", 5);
	job.size = strlen(body);
	send_message(MSG_JOB, &job, tail, len);
	expect_report("BEGUN", __func__);
	while (session.out.len > 0) {
		session.out_octets[session.out.len] = '\0';
		for (char *line = strtok((char *)session.out_octets, "\r\n");
		     line != NULL; line = strtok(NULL, "\r\n")) {
			mail += strncmp(line, "MAIL", 4) == 0;
			rcpt += strcmp(line, "RCPT TO:<b@y>") == 0;
			data += strcmp(line, "DATA") == 0;
		}
		session.out.len = 0;
		session_flushed(&session);
	}
	cr_expect_eq(mail, 1);
	cr_expect_eq(rcpt, 3276);
	cr_expect_eq(data, 1);
}

#define DONE(what) "Q " what "/0 delivered final 250 2.0.0: 250 ok"

/* Haraka refuses such commands with 503, chasquid ignores them. */
Test(transaction, nothing_is_sent_after_the_dot_before_its_reply)
{
	RUN(SMTP, UP(BATCH), "! number", GO("a@x b@y", ONE),
	    "S 250 ok|250 ok|354 go", "Q COMMITTING 1", "C " DOT, "C",
	    "! timer 1008", "S 250 ok", DONE("1"), "! timer 0", "! job a@x b@y",
	    "Q BEGUN", "C " ONE);
}

Test(transaction, a_reply_before_the_end_of_the_message_is_the_last)
{
	/* S-123; the end has not left */
	RUN(SMTP, UP(BATCH), "! number", GO("a@x b@y", ONE),
	    "S 250 ok|250 ok|354 go", "Q COMMITTING 1", "S 552 5.3.4 big",
	    "Q 1/0 failed body 552 5.3.4: 552 5.3.4 big",
	    "Q CLOSED failed body 552 5.3.4: 552 5.3.4 big", "! left ");
	RUN(SMTP, UP(BATCH), "! number", GO("a@x b@y", ONE),
	    "S 250 ok|250 ok|354 go", "Q COMMITTING 1", "! timeout",
	    "Q 1/0 deferred body 0 4.4.2 elsewhere: timed out while waiting for the remote to take the message",
	    "Q CLOSED deferred body 0 4.4.2: timed out while waiting for the remote to take the message",
	    "! left ");
}

Test(transaction, quit_at_the_end_of_a_message_waits_for_its_reply)
{
	RUN(SMTP, UP(BATCH "250-LIMITS MAILMAX=1|"), "! number",
	    GO("a@x b@y", ONE), "S 250 ok|250 ok|354 go", "Q COMMITTING 1",
	    "C " DOT, "S 250 ok", DONE("1"), "C QUIT|", "S 221 bye",
	    "Q CLOSED");
}

/* Another host, or this one in another way. */

#define FIRST_UP(words)                                                        \
	"! first-address", "! dialed", "! connected", "S 220 hi",              \
	    "C EHLO me.example|", "S 250-mx|" words "250 HELP", "Q SESSION_UP"
#define SECOND_UP                                                              \
	"! address", "! dialed", "! connected", "S 220 hi",                    \
	    "C EHLO me.example|", "S 250 mx", "Q SESSION_UP"

Test(hosts, a_passing_refusal_leads_to_the_next)
{
	static const struct {
		const char *replies, *rest, *outcome;
	} cases[] = {
		{ "S 452 full|503 no|503 no", "C",
		    "Q 0 deferred mail 452 4.0.0 elsewhere: 452 full" },
		{ "S 250 ok|450 wait|503 no", "C",
		    "Q 0 deferred rcpt 450 4.0.0 elsewhere: 450 wait" },
		{ "S 250 ok|250 ok|451 no", "C",
		    "Q 0 deferred data 451 4.0.0 elsewhere: 451 no" },
		{ "S 503 no|503 no|503 no", "C",
		    "Q 0 deferred mail 503 4.0.0 elsewhere: 503 no" },
	};

	/* S-155; the queue sends the job again to the host that is up. */
	for (size_t i = 0; i < NELEM(cases); i++)
		RUN(SMTP, FIRST_UP(BATCH),
		    GO("a@x b@y", "MAIL FROM:<a@x>|RCPT TO:<b@y>|DATA|"),
		    cases[i].replies, cases[i].outcome, "C QUIT|", "S 221 bye",
		    "Q NEXT", SECOND_UP, GO("a@x b@y", "MAIL FROM:<a@x>|"));
	RUN(SMTP, FIRST_UP(BATCH),
	    GO("a@x b@y", "MAIL FROM:<a@x>|RCPT TO:<b@y>|DATA|"),
	    "S 250 ok|250 ok|354 go", "Q COMMITTING", "C " DOT, "S 451 no",
	    "Q 0 deferred final 451 4.0.0 elsewhere: 451 no", "C QUIT|",
	    "S 221 bye", "Q NEXT", SECOND_UP);
}

Test(hosts, a_lost_connection_leads_to_the_next_unless_the_message_is_out)
{
	RUN(SMTP, FIRST_UP(BATCH),
	    GO("a@x b@y", "MAIL FROM:<a@x>|RCPT TO:<b@y>|DATA|"), "S 250 ok",
	    "! timeout",
	    "Q 0 deferred rcpt 0 4.4.2 elsewhere: timed out while waiting for the reply to RCPT",
	    "Q NEXT deferred rcpt 0 4.4.2: timed out while waiting for the reply to RCPT",
	    SECOND_UP);
	RUN(SMTP, FIRST_UP(BATCH),
	    GO("a@x b@y", "MAIL FROM:<a@x>|RCPT TO:<b@y>|DATA|"), "S 421 bye",
	    "Q 0 deferred mail 421 4.0.0 elsewhere: 421 bye",
	    "Q NEXT deferred mail 421 4.0.0: 421 bye", "! left QUIT\r\n",
	    SECOND_UP);
	RUN(SMTP, FIRST_UP(BATCH),
	    GO("a@x b@y", "MAIL FROM:<a@x>|RCPT TO:<b@y>|DATA|"),
	    "S 250 ok|250 ok|354 go", "Q COMMITTING", "C " DOT, "! timeout",
	    "Q 0 deferred final 0 4.4.2 in-doubt: timed out while waiting for the reply to the end of the message",
	    "Q CLOSED deferred final 0 4.4.2: timed out while waiting for the reply to the end of the message");
	/* The time of all of it is up: no host gets more. */
	RUN(SMTP, FIRST_UP(BATCH),
	    GO("a@x b@y", "MAIL FROM:<a@x>|RCPT TO:<b@y>|DATA|"), "! cap",
	    "Q 0 deferred mail 0 4.4.2: the session's time is up, while waiting for the reply to MAIL",
	    "Q CLOSED deferred mail 0 4.4.2: the session's time is up, while waiting for the reply to MAIL");
}

/* Nothing was asked of it yet: what it was given, the next one gets. */
Test(hosts, a_host_that_goes_before_it_is_asked_leads_to_the_next)
{
	RUN(SMTP, FIRST_UP(""), "! closed",
	    "Q NEXT deferred mail 0 4.4.2: connection closed by the remote while waiting for the next message",
	    "! job a@x b@y", SECOND_UP, GO("a@x b@y", "MAIL FROM:<a@x>|"));
	RUN(SMTP, UP(""), "! closed",
	    "Q CLOSED deferred mail 0 4.4.2: connection closed by the remote while waiting for the next message");
}

Test(hosts, what_a_host_lacks_another_may_have)
{
	RUN(SMTP, FIRST_UP(""), "! job UTF8 a@x b@y",
	    "Q 0 failed mail 0 5.6.9 elsewhere: a header field needs SMTPUTF8, which the server does not offer",
	    "C QUIT|", "S 221 bye", "Q NEXT", SECOND_UP);
	RUN(SMTP, FIRST_UP("250-SIZE 5|"), "! job a@x b@y",
	    "Q 0 failed mail 0 5.3.4 elsewhere: message is larger than the size that the server offers",
	    "C QUIT|", "S 221 bye", "Q NEXT", SECOND_UP);
}

Test(hosts, some_who_are_put_off_stay_with_a_host_that_took_others)
{
	RUN(SMTP, FIRST_UP(BATCH),
	    GO("a@x b@y c@y",
		"MAIL FROM:<a@x>|RCPT TO:<b@y>|RCPT TO:<c@y>|DATA|"),
	    "S 250 ok|250 ok|450 wait|354 go",
	    "Q 1 deferred rcpt 450 4.0.0 elsewhere: 450 wait", "Q COMMITTING",
	    "C " DOT, "S 250 in", "Q 0 delivered final 250 2.0.0: 250 in",
	    "! job a@x b@y", "Q BEGUN",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>|DATA|");
}

/* Jobs and QUIT that crossed our NEXT on their way. */
Test(hosts, what_was_sent_to_the_last_host_is_dropped)
{
	RUN(SMTP, FIRST_UP(""), GO("a@x b@y", "MAIL FROM:<a@x>|"), "S 452 full",
	    "Q 0 deferred mail 452 4.0.0 elsewhere: 452 full", "C QUIT|",
	    "S 221 bye", "Q NEXT", "! job a@x b@y", "! job a@x b@y", SECOND_UP,
	    GO("a@x b@y", "MAIL FROM:<a@x>|"));
}

#define DELIVER_ONE                                                            \
	GO("a@x b@y", ONE), "S 250 ok|250 ok|354 go", "Q COMMITTING",          \
	    "C " DOT, "S 250 ok", "Q 0 delivered final 250 2.0.0: 250 ok"

/* S-156 */
Test(spent, a_connection_that_delivered_gives_the_next_message_back_once)
{
	static const char *const ends[] = { "! closed", "! reset" };

	RUN(SMTP, UP(BATCH), DELIVER_ONE, GO("a@x b@y", ONE),
	    "S 452 4.5.3 too many messages sent|503 no|503 no", "Q AGAIN spent",
	    "C QUIT|", "S 221 bye", "Q CLOSED spent 1");
	RUN(SMTP, UP(BATCH), DELIVER_ONE, GO("a@x b@y", ONE), "S 421 enough",
	    "Q AGAIN spent", "Q CLOSED spent 1");
	for (size_t i = 0; i < NELEM(ends); i++)
		RUN(SMTP, UP(BATCH), DELIVER_ONE, GO("a@x b@y", ONE), ends[i],
		    "Q AGAIN spent", "Q CLOSED spent 1");
	/* One that came back before is the server's own matter. */
	RUN(SMTP, UP(BATCH), DELIVER_ONE, GO("RETURNED a@x b@y", ONE),
	    "S 452 no|503 no|503 no",
	    "Q 0 deferred mail 452 4.0.0 elsewhere: 452 no", "! job a@x b@y",
	    "C RSET|");
	/* So is what comes later than MAIL, and the first message. */
	RUN(SMTP, UP(BATCH), DELIVER_ONE, GO("a@x b@y", ONE), "S 250 ok",
	    "! closed",
	    "Q 0 deferred rcpt 0 4.4.2 elsewhere: connection closed by the remote while waiting for the reply to RCPT",
	    "Q CLOSED deferred rcpt 0 4.4.2: connection closed by the remote while waiting for the reply to RCPT");
	RUN(SMTP, UP(BATCH), GO("a@x b@y", ONE), "S 421 busy",
	    "Q 0 deferred mail 421 4.0.0 elsewhere: 421 busy",
	    "Q CLOSED deferred mail 421 4.0.0: 421 busy");
	/* Between messages it is nobody's failure. */
	RUN(SMTP, UP(BATCH), DELIVER_ONE, "! closed", "Q CLOSED spent 0");
	RUN(SMTP, UP(BATCH), DELIVER_ONE, "S 421 idle", "Q CLOSED spent 0");
}

/* S-160 */
Test(hosts, tls_that_breaks_before_anything_is_taken_leads_to_clear)
{
	RUN(CONF(.tls_level = TLS_MAY, .tls_fallback = 1), CONNECT, "S 220 hi",
	    "C EHLO me.example|", "S 250-mx|250 STARTTLS", "C STARTTLS|",
	    "S 220 go", "! tls-up", "C EHLO me.example|", "! reset",
	    "Q NEXT in-clear deferred ehlo 0 4.4.2: connection lost while waiting for the reply to EHLO: Connection reset by peer",
	    "! address", "! dialed", "! connected", "S 220 hi",
	    "C EHLO me.example|", "S 250-mx|250 STARTTLS", "Q SESSION_UP");
	for (uint8_t level = TLS_ENCRYPT; level <= TLS_VERIFY; level++)
		RUN(CONF(.tls_level = level, .tls_fallback = 1), CONNECT,
		    "S 220 hi", "C EHLO me.example|", "S 250-mx|250 STARTTLS",
		    "C STARTTLS|", "S 220 go", "! tls-up", "C EHLO me.example|",
		    "! reset",
		    "Q NEXT deferred ehlo 0 4.4.2: connection lost while waiting for the reply to EHLO: Connection reset by peer");
	/* The first MAIL still has the message in no hand but ours. */
	RUN(CONF(.tls_level = TLS_MAY, .tls_fallback = 1), CONNECT, "S 220 hi",
	    "C EHLO me.example|", "S 250-mx|250 STARTTLS", "C STARTTLS|",
	    "S 220 go", "! tls-up", "C EHLO me.example|", "S 250 mx",
	    "Q SESSION_UP", GO("a@x b@y", "MAIL FROM:<a@x>|"), "! closed",
	    "Q 0 deferred mail 0 4.4.2 anew: connection closed by the remote while waiting for the reply to MAIL",
	    "Q NEXT in-clear deferred mail 0 4.4.2: connection closed by the remote while waiting for the reply to MAIL");
}

/* S-159: what is overlooked elsewhere is not before a handshake. */
Test(session, the_reply_to_starttls_is_read_strictly)
{
	RUN(CONF(.tls_level = TLS_MAY), CONNECT, "S 220 hi",
	    "C EHLO me.example|", "S 250-mx|250 STARTTLS", "C STARTTLS|",
	    "! part 220 go\n",
	    "Q NEXT deferred starttls 0 4.5.0: protocol error: line of the reply ends in LF without CR, waiting for the reply to STARTTLS");
	RUN(SMTP, UP(""), GO("a@x b@y", "MAIL FROM:<a@x>|"), "! part 250 ok\n",
	    "C RCPT TO:<b@y>|", "! part 250ok|", "C DATA|");
}

/* Flights. */

#define CHUNKS    "250-PIPELINING|250-CHUNKING|"
#define BDAT      "BDAT 19 LAST|Subject: x||.hi|"
#define FLOWN     "MAIL FROM:<a@x>|RCPT TO:<b@y>|" BDAT
#define FLOWN_TWO "MAIL FROM:<a@x>|RCPT TO:<b@y>|RCPT TO:<c@y>|" BDAT
#define AND       "RSET|" /* before each but the first of a flight */
#define OK4       "250 ok|250 ok|250 ok|250 ok"
#define OK3       "250 ok|250 ok|250 ok"
#define GOT(what) "Q " what "/0 delivered final 250 2.0.0: 250 ok"

/* Flights of one, of two, and the gathering of one of four. */
#define TO_FOUR                                                                \
	"! number", "! job a@x b@y", "Q COMMITTING 1", "C " FLOWN, "S " OK3,   \
	    GOT("1"), "! job a@x b@y", "! job a@x b@y", "Q COMMITTING 3",      \
	    "C " FLOWN AND FLOWN, "S " OK3 "|" OK4, GOT("2"), GOT("3")

#define TEXT_80                                                                \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"                             \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

Test(flight, grows_while_all_goes_well)
{
	/* S-130 */
	RUN(SMTP, UP(CHUNKS), TO_FOUR, "! job a@x b@y", "! job a@x b@y",
	    "! job a@x b@y", "! job a@x b@y", "Q COMMITTING 7",
	    "C " FLOWN AND FLOWN AND FLOWN AND FLOWN, "! timer 1004",
	    "S 250 ok", "! timer 1005", "S 250 ok", "! timer 1008", "S 250 ok",
	    GOT("4"), "S " OK4, GOT("5"), "S " OK4 "|" OK4, GOT("6"), GOT("7"),
	    "! timer 0");
	/* What is there leaves, however few. */
	RUN(SMTP, UP(CHUNKS), TO_FOUR, "! job a@x b@y", "! go",
	    "Q COMMITTING 4", "C " FLOWN, "! go", "S " OK3, GOT("4"), "! go");
}

#define SAYS(n)                                                                \
	"Q c/" n ": MAIL FROM:<a@x>", "Q c/" n ": RCPT TO:<b@y>",              \
	    "Q c/" n ": BDAT 19 LAST"
#define HEARS(n) "Q s/" n ": 250 ok"

/* A client that watches sees the envelopes of its own jobs alone. */
Test(flight, each_line_of_the_dialogue_is_that_of_a_job)
{
	RUN(CONF(.verbose = 1), "! number", CONNECT, "S 220 hi",
	    "Q s/0: 220 hi", "Q c/0: EHLO me.example", "C EHLO me.example|",
	    "S 250-x|250-PIPELINING|250 CHUNKING", "Q s/0: 250-x",
	    "Q s/0: 250-PIPELINING", "Q s/0: 250 CHUNKING", "Q SESSION_UP",
	    "! job a@x b@y", SAYS("1"), "Q COMMITTING 1", "C " FLOWN, "S " OK3,
	    HEARS("1"), HEARS("1"), HEARS("1"), GOT("1"), "! job a@x b@y",
	    SAYS("2"), "! job a@x b@y", "Q c/3: RSET", SAYS("3"),
	    "Q COMMITTING 3", "C " FLOWN AND FLOWN, "S " OK3 "|" OK4,
	    HEARS("2"), HEARS("2"), HEARS("2"), GOT("2"), HEARS("3"),
	    HEARS("3"), HEARS("3"), HEARS("3"), GOT("3"));
	RUN(CONF(.verbose = 1), "! number", CONNECT, "S 220 hi",
	    "Q s/0: 220 hi", "Q c/0: EHLO me.example", "C EHLO me.example|",
	    "S 250 mx", "Q s/0: 250 mx", "Q SESSION_UP", "! job a@x b@y",
	    "Q BEGUN", "Q c/1: MAIL FROM:<a@x>", "C MAIL FROM:<a@x>|",
	    "S 550 no <a@x>", "Q s/1: 550 no <a@x>",
	    "Q 1/0 failed mail 550 5.0.0: 550 no <a@x>");
}

Test(flight, needs_both_chunking_and_pipelining)
{
	/* S-129, S-131 */
	RUN(SMTP, UP("250-PIPELINING|"), "! job a@x b@y", "Q BEGUN", "C " ONE);
	RUN(SMTP, UP("250-CHUNKING|"), "! job a@x b@y", "Q BEGUN",
	    "C MAIL FROM:<a@x>|", "S 250 ok", "C RCPT TO:<b@y>|", "S 250 ok",
	    "Q COMMITTING", "C " BDAT, "S 250 ok",
	    "Q 0 delivered final 250 2.0.0: 250 ok");
	/* S-132 */
	RUN(SMTP, UP("250-CHUNKING|"), "! job a@x b@y", "Q BEGUN",
	    "C MAIL FROM:<a@x>|", "S 250 ok", "C RCPT TO:<b@y>|", "S 550 no",
	    "Q 0 failed rcpt 550 5.0.0: 550 no", "! job a@x b@y", "C RSET|");
}

/* commands_room() counts them: the body stays clear of its commands. */
Test(flight, parameters_have_room)
{
	RUN(SMTP, UP("250-PIPELINING|250-CHUNKING|250-DSN|"),
	    "! job a@x?ENVID=" TEXT_80 " b@y?ORCPT=rfc822;" TEXT_80
	    " c@y?NOTIFY=SUCCESS,FAILURE,DELAY&ORCPT=rfc822;" TEXT_80 TEXT_80,
	    "Q COMMITTING",
	    "C MAIL FROM:<a@x> ENVID=" TEXT_80
	    "|RCPT TO:<b@y> ORCPT=rfc822;" TEXT_80
	    "|RCPT TO:<c@y> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;" TEXT_80
		TEXT_80 "|" BDAT);
}

Test(flight, what_is_discarded_is_not_used)
{
	RUN(CONF(.discard = "dsn chunking X-FOO "), UP(CHUNKS), "! job a@x b@y",
	    "Q BEGUN", "C " ONE);
	RUN(CONF(.discard = "pipelining size"), UP(CHUNKS "250-SIZE 5|"),
	    "! job a@x b@y", "Q BEGUN", "C MAIL FROM:<a@x>|");
	RUN(CONF(.discard = "STARTTLS", .tls_level = TLS_MAY),
	    UP("250-STARTTLS|"));
	RUN(CONF(.discard = "limits"), UP(BATCH "250-LIMITS MAILMAX=1|"),
	    GO("a@x b@y", ONE), "S 250 ok|250 ok|451 no",
	    "Q 0 deferred data 451 4.0.0 elsewhere: 451 no");
}

Test(flight, what_is_discarded_for_one_server_is_not_used_there)
{
	/* With what the session discards everywhere. */
	RUN(CONF(.discard = "pipelining "), "! broken-address", "! dialed",
	    "! connected", "S 220 hi", "C EHLO me.example|",
	    "S 250-x|250-SIZE|" CHUNKS "250 OK", "Q SESSION_UP",
	    "! job a@x b@y", "Q BEGUN", "C MAIL FROM:<a@x>|");
	/* The next address is another server. */
	RUN(CONF(.discard = "dsn "), "! broken-address", "! dialed",
	    "! refused",
	    "Q NEXT deferred connect 0 4.4.1: cannot connect: "
	    "Connection refused",
	    UP(CHUNKS), "! job a@x b@y", "Q COMMITTING",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>|" BDAT);
	RUN(SMTP, "! nul-address", "Q misled");
}

#define NEW_UP                                                                 \
	"! unknown-address", "! dialed", "! connected", "S 220 hi",            \
	    "C EHLO me.example|", "S 250-mx|" CHUNKS "250 HELP",               \
	    "Q SESSION_UP"

/* What a server that does not know BDAT would read as commands does not leave
 * before the recipients are accepted, and nothing is sent after it. */
Test(flight, the_first_message_of_a_new_server_goes_alone)
{
	RUN(SMTP, NEW_UP, "! number", "! job a@x b@y", "Q BEGUN",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>|", "S 250 ok|250 ok",
	    "Q COMMITTING 1", "C " BDAT, "S 250 ok", GOT("1"), "! job a@x b@y",
	    "Q COMMITTING 2", "C " FLOWN, "S " OK3, GOT("2"), "! job a@x b@y",
	    "! job a@x b@y", "Q COMMITTING 4", "C " FLOWN AND FLOWN);
	RUN(SMTP, NEW_UP, "! number", "! job a@x b@y", "Q BEGUN",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>|", "S 250 ok|250 ok",
	    "Q COMMITTING 1", "C " BDAT, "S 502 what",
	    "Q 1/0 deferred final 502 4.0.0 anew: 502 what",
	    "Q NEXT by-data deferred final 502 4.0.0: 502 what", "! left ",
	    "! unknown-address", "! dialed", "! connected", "S 220 hi",
	    "C EHLO me.example|", "S 250-mx|" CHUNKS "250 HELP", "Q SESSION_UP",
	    "! job a@x b@y", "Q BEGUN", "C " ONE);
}

Test(flight, a_failure_makes_it_one_at_once_behind_rset)
{
	/* S-131 */
	RUN(SMTP, UP(CHUNKS), TO_FOUR, "! job a@x b@y", "! job a@x b@y",
	    "! job a@x b@y", "! go", "Q COMMITTING 6",
	    "C " FLOWN AND FLOWN AND FLOWN, "S 250 ok|250 ok|554 spam",
	    "Q 4/0 failed final 554 5.0.0: 554 spam", "S " OK4, GOT("5"),
	    "S " OK4, GOT("6"), "! job a@x b@y", "C RSET|", "S 250 ok",
	    "Q COMMITTING 7", "C " FLOWN, "S " OK3, GOT("7"));
	/* a 503 is its own */
	RUN(SMTP, UP(CHUNKS), "! number", "! job a@x b@y", "Q COMMITTING 1",
	    "C " FLOWN, "S 503 no", "C", "S 503 no|503 no",
	    "Q 1/0 deferred mail 503 4.0.0 elsewhere: 503 no", "! job a@x b@y",
	    "C RSET|");
	/* and so is another code */
	RUN(SMTP, UP(CHUNKS), TO_FOUR, "! job a@x b@y", "! job a@x b@y", "! go",
	    "Q COMMITTING 5", "C " FLOWN AND FLOWN, "S 551 no|503 no|503 no",
	    "Q 4/0 failed mail 551 5.0.0: 551 no",
	    "S 250 ok|550 no|503 no|503 no",
	    "Q 5/0 failed mail 550 5.0.0: 550 no");
	/* Without RSET nobody knows what a transaction is: whole messages that
	 * follow may be taken under another's envelope. */
	RUN(SMTP, UP(CHUNKS), TO_FOUR, "! job a@x b@y", "! job a@x b@y", "! go",
	    "Q COMMITTING 5", "C " FLOWN AND FLOWN, "S 250 ok|250 ok|554 spam",
	    "Q 4/0 failed final 554 5.0.0: 554 spam", "S 502 what",
	    "Q 5/0 deferred rset 0 4.5.0 in-doubt: protocol error: RSET was refused: 502 what",
	    "Q CLOSED deferred rset 0 4.5.0: protocol error: RSET was refused: 502 what",
	    "! left ");
}

/* A server that has had enough may say 503 to all that follows. */
Test(flight, a_spent_connection_gives_back_all_that_follow)
{
	RUN(SMTP, UP(CHUNKS), TO_FOUR, "! job a@x b@y", "! job a@x b@y", "! go",
	    "Q COMMITTING 5", "C " FLOWN AND FLOWN,
	    "S 452 4.5.3 too many messages sent|503 no|503 no",
	    "Q AGAIN 4 spent", "S 250 ok|503 no|503 no|503 no",
	    "Q AGAIN 5 spent", "C QUIT|", "S 221 bye", "Q CLOSED spent 3");
}

/* A server that calls MAIL out of sequence has a transaction open, whosever it is:
 * where all of the message left, it may be in there. */
Test(flight, a_message_whose_mail_is_out_of_sequence_is_in_doubt_once_it_left)
{
	RUN(SMTP, UP(CHUNKS), "! number", "! job a@x b@y", "Q COMMITTING 1",
	    "C " FLOWN, "S 503 nested", "! closed",
	    "Q 1/0 deferred rcpt 0 4.4.2 in-doubt: connection closed by the remote while waiting for the reply to RCPT",
	    "Q CLOSED deferred rcpt 0 4.4.2: connection closed by the remote while waiting for the reply to RCPT");
	/* The same of one that comes back, for its connection was spent. */
	RUN(SMTP, UP(CHUNKS), TO_FOUR, "! job a@x b@y", "! job a@x b@y", "! go",
	    "Q COMMITTING 5", "C " FLOWN AND FLOWN,
	    "S 452 4.5.3 too many messages sent|503 no|503 no",
	    "Q AGAIN 4 spent", "S 250 ok|503 no", "! closed",
	    "Q AGAIN 5 spent in-doubt", "Q CLOSED spent 3");
	/* Any other refusal of MAIL is about its message. */
	RUN(SMTP, UP(CHUNKS), "! number", "! job a@x b@y", "Q COMMITTING 1",
	    "C " FLOWN, "S 550 no", "Q 1/0 failed mail 550 5.0.0: 550 no",
	    "! closed",
	    "Q CLOSED deferred rcpt 0 4.4.2: connection closed by the remote while waiting for the reply to RCPT");
}

Test(flight, a_message_taken_without_its_mail_ends_the_session)
{
	RUN(SMTP, UP(CHUNKS), TO_FOUR, "! job a@x b@y", "! job a@x b@y",
	    "! job a@x b@y", "! go", "Q COMMITTING 6",
	    "C " FLOWN AND FLOWN AND FLOWN, "S 250 ok|250 ok|451 spam",
	    "Q 4/0 deferred final 451 4.0.0 elsewhere: 451 spam",
	    "S 250 ok|503 nested|250 ok|250 taken",
	    "Q 5/0 deferred final 0 4.5.0 in-doubt: protocol error: MAIL was refused, the message taken: 250 taken",
	    "Q 6/0 deferred final 0 4.5.0 in-doubt: protocol error: MAIL was refused, the message taken: 250 taken",
	    "C QUIT|", "S " OK4 "|221 bye",
	    "Q CLOSED deferred final 0 4.5.0: protocol error: MAIL was refused, the message taken: 250 taken");
}

Test(flight, refused_recipients_are_told_apart)
{
	/* S-107, S-112, S-132 */
	RUN(SMTP, UP(CHUNKS), "! number", "! job a@x b@y c@y", "Q COMMITTING 1",
	    "C " FLOWN_TWO, "S 250 ok|250 ok|550 5.1.1 no",
	    "Q 1/1 failed rcpt 550 5.1.1: 550 5.1.1 no", "S 250 ok", GOT("1"),
	    "! job a@x b@y c@y", "! job a@x b@y", "Q COMMITTING 3",
	    "C " FLOWN_TWO AND FLOWN, "S 250 ok|250 ok|452 many",
	    "Q 2/1 deferred rcpt 452 4.0.0 again: 452 many", "S 250 ok",
	    GOT("2"), "S 250 ok|250 ok|550 no",
	    "Q 3/0 failed rcpt 550 5.0.0: 550 no", "C", "S 503 nobody",
	    "! job a@x b@y", "C RSET|");
}

Test(flight, lmtp_answers_for_each_recipient_of_each_message)
{
	/* S-142 */
	RUN(LMTP, UP_LMTP(CHUNKS), "! number", "! job a@x b@y c@y",
	    "Q COMMITTING 1", "C " FLOWN_TWO, "S 250 ok|250 ok|250 ok|250 ok",
	    GOT("1"), "S 250 ok", "Q 1/1 delivered final 250 2.0.0: 250 ok",
	    "! job a@x b@y c@y", "! job a@x b@y c@y", "Q COMMITTING 3",
	    "C " FLOWN_TWO AND FLOWN_TWO, "S 250 ok|250 ok|550 no",
	    "Q 2/1 failed rcpt 550 5.0.0: 550 no", "S 452 full",
	    "Q 2/0 deferred final 452 4.0.0 elsewhere: 452 full",
	    "S 250 ok|" OK4 "|451 no", GOT("3"),
	    "Q 3/1 deferred final 451 4.0.0 elsewhere: 451 no", "! job a@x b@y",
	    "C RSET|");
	/* nobody there: one reply */
	RUN(LMTP, UP_LMTP(CHUNKS), "! number", "! job a@x b@y c@y",
	    "Q COMMITTING 1", "C " FLOWN_TWO, "S 250 ok|550 no|550 no|503 no",
	    "Q 1/0 failed rcpt 550 5.0.0: 550 no",
	    "Q 1/1 failed rcpt 550 5.0.0: 550 no", "! job a@x b@y", "C RSET|");
}

/* The first is refused, two are accepted, and the replies differ: each goes to
 * whom it is for. */
Test(flight, lmtp_replies_pass_over_who_was_refused)
{
	RUN(LMTP, UP_LMTP(CHUNKS), "! number", "! job a@x b@y c@y d@y",
	    "Q COMMITTING 1",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>|RCPT TO:<c@y>|RCPT TO:<d@y>|" BDAT,
	    "S 250 ok|550 no|250 ok|250 ok",
	    "Q 1/0 failed rcpt 550 5.0.0: 550 no", "S 250 in",
	    "Q 1/1 delivered final 250 2.0.0: 250 in", "S 552 full",
	    "Q 1/2 failed final 552 5.0.0: 552 full");
}

Test(flight, a_message_without_recipients_does_not_spoil_the_next)
{
	/* Dovecot 2.3, which wants RSET then. */
	RUN(LMTP, UP_LMTP(CHUNKS), TO_FOUR, "! job a@x b@y",
	    "! job a@x b@y c@y", "! go", "Q COMMITTING 5",
	    "C " FLOWN AND FLOWN_TWO, "S 250 ok|550 no|503 nobody",
	    "Q 4/0 failed rcpt 550 5.0.0: 550 no", "S " OK4 "|250 ok", GOT("5"),
	    "S 250 ok", "Q 5/1 delivered final 250 2.0.0: 250 ok",
	    "! job a@x b@y", "C RSET|");
}

/* Is the reply to BDAT one, or the first of two?  The second may have it. */
Test(flight, bdat_refused_to_several_of_lmtp_leaves_a_doubt)
{
	RUN(LMTP, UP_LMTP(CHUNKS), TO_FOUR, "! job a@x b@y c@y", "! go",
	    "Q COMMITTING 4", "C " FLOWN_TWO,
	    "S 250 ok|250 ok|250 ok|503 no|250 in",
	    "Q 4/0 deferred final 0 4.5.0 in-doubt: protocol error: a refusal of one recipient, or of all: 503 no",
	    "Q 4/1 deferred final 0 4.5.0 in-doubt: protocol error: a refusal of one recipient, or of all: 503 no",
	    "Q CLOSED deferred final 0 4.5.0: protocol error: a refusal of one recipient, or of all: 503 no");
}

Test(flight, goodbye_gives_back_what_is_behind_it)
{
	/* S-073 */
	RUN(SMTP, UP(CHUNKS), TO_FOUR, "! job a@x b@y", "! job a@x b@y",
	    "! job a@x b@y", "! go", "Q COMMITTING 6",
	    "C " FLOWN AND FLOWN AND FLOWN, "S " OK3 "|250 ok|421 bye",
	    GOT("4"), "! timer 1009", "! closed", "Q AGAIN 5 spent",
	    "Q AGAIN 6", "Q CLOSED spent 4");
	RUN(SMTP, UP(CHUNKS), TO_FOUR, "! job a@x b@y", "! job a@x b@y", "! go",
	    "Q COMMITTING 5", "C " FLOWN AND FLOWN, "S 250 ok|250 ok|421 bye",
	    "Q 4/0 deferred final 421 4.0.0 in-doubt elsewhere: 421 bye", "! closed",
	    "Q AGAIN 5 spent", "Q CLOSED spent 3");
	/* What a server does that goes on all the same counts. */
	RUN(SMTP, UP(CHUNKS), TO_FOUR, "! job a@x b@y", "! job a@x b@y", "! go",
	    "Q COMMITTING 5", "C " FLOWN AND FLOWN, "S 250 ok|250 ok|421 bye",
	    "Q 4/0 deferred final 421 4.0.0 in-doubt elsewhere: 421 bye", "S " OK4,
	    GOT("5"), "Q CLOSED deferred final 421 4.0.0: 421 bye",
	    "! left QUIT\r\n");
}

Test(flight, mailmax_ends_the_session_in_time)
{
	/* RFC 9422, 4.1 */
	RUN(SMTP, UP(CHUNKS "250-LIMITS RCPTMAX=5 MAILMAX=2|"), "! number",
	    "! job a@x b@y", "Q COMMITTING 1", "C " FLOWN, "S " OK3, GOT("1"),
	    "! job a@x b@y", "Q COMMITTING 2", "C " FLOWN, "S " OK3, GOT("2"),
	    "C QUIT|", "S 221 bye", "Q CLOSED");
	RUN(SMTP, UP(BATCH "250-LIMITS MAILMAX=1|"), GO("a@x b@y", ONE),
	    "S 250 ok|250 ok|451 no",
	    "Q 0 deferred data 451 4.0.0 elsewhere: 451 no", "C QUIT|",
	    "S 221 bye", "Q CLOSED");
}

Test(flight, quit_waits_for_its_end)
{
	RUN(SMTP, UP(CHUNKS), TO_FOUR, "! job a@x b@y", "! quit",
	    "Q COMMITTING 4", "C " FLOWN, "S " OK3, GOT("4"), "C QUIT|",
	    "S 221 bye", "Q CLOSED");
}

Test(flight, what_cannot_be_sent_does_not_join)
{
	RUN(SMTP, UP(CHUNKS), TO_FOUR, "! job a@x b@y", "! broken-body",
	    "! job a@x b@y",
	    "Q 5/0 deferred mail 0 4.3.0: the message cannot be read",
	    "! job 8BIT a@x b@y",
	    "Q 6/0 deferred mail 0 4.3.0: the message cannot be read", "! go",
	    "Q COMMITTING 4", "C " FLOWN);
	RUN(SMTP, UP(CHUNKS "250-SIZE 19|"), "! body x", "! job a@x b@y",
	    "Q COMMITTING",
	    "C MAIL FROM:<a@x> SIZE=3|RCPT TO:<b@y>|BDAT 3 LAST|x|", "S " OK3,
	    "Q 0 delivered final 250 2.0.0: 250 ok", "! body 0123456789abcdefg",
	    "! job a@x b@y", "! go", "Q COMMITTING",
	    "C MAIL FROM:<a@x> SIZE=19|RCPT TO:<b@y>|BDAT 19 LAST|0123456789abcdefg|");
	RUN(SMTP, UP(CHUNKS), "! body ", "! job a@x b@y", "Q COMMITTING",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>|BDAT 0 LAST|", "S " OK3,
	    "Q 0 delivered final 250 2.0.0: 250 ok");
}

/* The octets of the chunk in out, which leaves; its command in line. */
static size_t
take_chunk(char *line, size_t size)
{
	char *end = memmem(session.out.octets, session.out.len, "\r\n", 2);
	size_t n;

	cr_assert_not_null(end);
	n = session.out.len - (size_t)(end + 2 - (char *)session.out.octets);
	*end = '\0';
	(void)strlcpy(line, (char *)session.out.octets, size);
	session.out.len = 0;
	session_flushed(&session);
	return n;
}

static void
expect_chunks(bool pipelining)
{
	char line[64], want[64];
	size_t got = 0, n, chunks = 0;

	for (; got < sizeof(large) - 1; got += n, chunks++) {
		n = take_chunk(line, sizeof(line));
		(void)snprintf(want, sizeof(want), "BDAT %zu%s", n,
		    got + n == sizeof(large) - 1 ? " LAST" : "");
		cr_expect_str_eq(line, want);
		if (!pipelining && got + n < sizeof(large) - 1) {
			cr_expect_eq(session.out.len, 0); /* S-104 */
			feed("250 more", 8, true);
		}
	}
	cr_expect_eq(got, sizeof(large) - 1);
	cr_expect_eq(chunks, 4);
	expect_report("COMMITTING", __func__);
}

Test(flight, a_large_message_goes_alone_in_chunks)
{
	/* S-133 */
	RUN(SMTP, UP("250-CHUNKING|"));
	make_large();
	run_steps(__func__,
	    STEPS("! job a@x b@y", "Q BEGUN", "C MAIL FROM:<a@x>|", "S 250 ok",
		"C RCPT TO:<b@y>|"));
	feed("250 ok", 6, true);
	expect_chunks(false);
	run_steps(__func__,
	    STEPS("! timer 1008", "S 250 ok",
		"Q 0 delivered final 250 2.0.0: 250 ok"));
	RUN(LMTP, UP_LMTP(CHUNKS));
	make_large();
	run_steps(__func__,
	    STEPS("! job a@x b@y c@y", "Q BEGUN",
		"C MAIL FROM:<a@x>|RCPT TO:<b@y>|RCPT TO:<c@y>|"));
	feed("250 ok|250 ok|250 ok", 20, true);
	expect_chunks(true);
	run_steps(__func__,
	    STEPS("S 250 c1|250 c2|250 c3", "S 250 ok",
		"Q 0 delivered final 250 2.0.0: 250 ok", "S 451 no",
		"Q 1 deferred final 451 4.0.0 elsewhere: 451 no"));
}

Test(flight, the_first_chunk_that_fails_is_the_last)
{
	char line[64];

	/* S-131, S-133 */
	for (int pipelining = 0; pipelining < 2; pipelining++) {
		if (pipelining)
			RUN(SMTP, UP(CHUNKS), "! number");
		else
			RUN(SMTP, UP("250-CHUNKING|"), "! number");
		make_large();
		send_job("a@x b@y");
		expect_report("BEGUN", __func__);
		session.out.len = 0;
		session_flushed(&session);
		feed("250 ok", 6, true);
		session.out.len = 0;
		session_flushed(&session);
		feed("250 ok", 6, true);
		cr_expect_gt(take_chunk(line, sizeof(line)), 60000);
		if (pipelining) /* the second is under way, and stays whole */
			cr_expect_gt(session.out.len, 60000);
		feed("552 5.3.4 big", 13, true);
		expect_report("1/0 failed body 552 5.3.4: 552 5.3.4 big",
		    __func__);
		if (pipelining) {
			cr_expect_gt(take_chunk(line, sizeof(line)), 60000);
			cr_expect_eq(session.out.len, 0);
			feed("503 no", 6, true);
		}
		cr_expect_eq(session.state, STATE_READY);
		body = "x|";
		run_steps(__func__, STEPS("! job a@x b@y", "C RSET|"));
	}
}

Test(flight, what_does_not_fit_waits_for_the_next)
{
	RUN(SMTP, UP(CHUNKS), TO_FOUR, "! job a@x b@y", "! large",
	    "! job a@x b@y", "Q COMMITTING 4", "C " FLOWN, "S " OK3, GOT("4"),
	    "Q BEGUN", "C MAIL FROM:<a@x>|RCPT TO:<b@y>|");
	RUN(SMTP, UP(CHUNKS), TO_FOUR, "! job a@x b@y", "! large",
	    "! job a@x b@y", "Q COMMITTING 4", "C " FLOWN, "! closed",
	    "Q AGAIN 4 spent in-doubt", "Q CLOSED spent 3");
}

/*
 * A flight of five, of which so many octets leave; what an honest server says
 * to those, of which so many octets come; and then the connection is lost.
 */
#define CUT_JOBS  5
#define CUT_RCPTS 2

struct cut {
	size_t begins[CUT_JOBS];
	size_t ends[CUT_JOBS];
	size_t told[CUT_JOBS][CUT_RCPTS]; /* behind the final reply of each */
	char replies[4096];
	size_t len;
};

/* What is said to the first `sent` octets of the flight. */
static void
serve_cut(struct cut *cut, const char *flight, size_t sent, bool lmtp)
{
	size_t at = 0, n, job = 0;
	const char *end;

	cut->len = 0;
	memset(cut->told, 0xff, sizeof(cut->told));
	while ((end = memmem(flight + at, sent - at, "\r\n", 2)) != NULL) {
		n = (size_t)(end + 2 - flight) - at;
		if (strncmp(flight + at, "BDAT ", 5) == 0) {
			n += 19;
			if (at + n > sent)
				return;
			for (size_t i = 0; i < CUT_RCPTS; i++) {
				if (lmtp || i == 0) {
					memcpy(cut->replies + cut->len,
					    "250 in\r\n", 8);
					cut->len += 8;
				}
				cut->told[job][i] = cut->len;
			}
			job++;
		} else {
			memcpy(cut->replies + cut->len, "250 k\r\n", 7);
			cut->len += 7;
		}
		at += n;
	}
}

static void
lose(struct cut *cut, size_t sent, size_t heard, bool lmtp)
{
	char line[512], what[64];

	start(&(struct msg_session){ .protocol = lmtp, .ehlo_name = "me" });
	numbered = true;
	session.state = STATE_READY;
	session.up = true;
	session.caps.offered =
	    (1u << CAPABILITY_PIPELINING) | (1u << CAPABILITY_CHUNKING);
	session.flight.window = 8;
	for (size_t i = 0; i < CUT_JOBS; i++) {
		send_job("a@x b@y c@y");
		cut->begins[i] = session.flight.jobs[i].begins;
		cut->ends[i] = session.out.len;
	}
	session_gathered(&session);
	expect_report("COMMITTING 5", __func__);
	serve_cut(cut, (const char *)session.out.octets, sent, lmtp);
	session.out.len -= sent;
	memmove(session.out.octets, session.out.octets + sent, session.out.len);
	if (session.out.len == 0)
		session_flushed(&session);
	if (heard > cut->len)
		return;
	session_octets(&session, (uint8_t *)cut->replies, heard);
	session_closed(&session, NULL);
	bool spent = false;

	for (size_t i = 0; i < CUT_JOBS; i++) {
		const size_t last = CUT_RCPTS - 1;
		bool first_open = i == 0 || heard >= cut->told[i - 1][last];

		/* Before the next first reply the connection was spent. */
		if (i > 0 && first_open && heard < cut->told[i - 1][last] + 14)
			spent = true;
		if ((spent && (first_open || sent > cut->begins[i])) ||
		    (i > 0 && sent <= cut->begins[i])) {
			(void)snprintf(line, sizeof(line), "AGAIN %zu%s%s\n",
			    i + 1,
			    spent && (first_open || sent > cut->begins[i])
				? " spent"
				: "",
			    spent && sent >= cut->ends[i] ? " in-doubt" : "");
			cr_assert(memmem(queue, queue_len, line,
				      strlen(line)) != NULL,
			    "%s: %zu of %zu", line, heard, sent);
			continue;
		}
		for (size_t j = 0; j < CUT_RCPTS; j++) {
			(void)strlcpy(what,
			    heard >= cut->told[i][j]
				? "delivered final 250 2.0.0: "
				: "deferred ",
			    sizeof(what));
			(void)snprintf(line, sizeof(line), "\n%zu/%zu %s",
			    i + 1, j, what);
			queue[queue_len] = '\0';
			memmove(queue + 1, queue, ++queue_len);
			queue[0] = '\n';
			char *found = strstr(queue, line);
			cr_assert_not_null(found, "%s: %zu of %zu: %s", line,
			    heard, sent, queue);
			*strchr(found + 1, '\n') = '\0';
			cr_assert_eq(strstr(found, "in-doubt") != NULL,
			    heard < cut->told[i][j] && sent >= cut->ends[i],
			    "%s: %zu of %zu", found, heard, sent);
			found[strlen(found)] = '\n';
			memmove(queue, queue + 1, --queue_len);
		}
	}
}

static void
lose_everywhere(bool lmtp)
{
	static struct cut cut;
	size_t sent, heard;

	lose(&cut, 0, 0, lmtp);
	for (sent = 0; sent <= cut.ends[CUT_JOBS - 1]; sent++)
		for (heard = 0; heard == 0 || heard <= cut.len; heard++)
			lose(&cut, sent, heard, lmtp);
	cr_expect_geq(cut.len, CUT_JOBS * 29);
}

Test(flight, lost_at_any_octet_every_recipient_is_accounted_for)
{
	lose_everywhere(false);
}

Test(flight, lost_at_any_octet_in_lmtp_too)
{
	lose_everywhere(true);
}
