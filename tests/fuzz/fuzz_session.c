/* SPDX-License-Identifier: ISC */
/*
 * A remote that says whatever it likes to a session with some jobs.  Octets of
 * 0x01 to 0x07 between its lines are events instead.  Each line comes by itself,
 * so that it answers what was said, or all up to the next event at once.
 */
#include "agent/session/session.h"
#include "common/util.h"

#include <assert.h>
#include <string.h>

#define JOBS 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct session session;
static struct transcript transcript;
static unsigned int jobs, ups;
static bool various; /* jobs of all kinds */
static struct {
	unsigned int outcomes;
	bool begun, committing, again;
} told[JOBS + 1]; /* by the job's number */

/* What the job of that number is. */
static uint32_t
flags_of(uint64_t number)
{
	static const uint32_t flags[] = { SUBMIT_SMTPUTF8 | SUBMIT_8BIT,
		SUBMIT_8BIT, SUBMIT_BINARY, SUBMIT_VERIFY,
		SUBMIT_VERIFY | SUBMIT_HANDSHAKE };

	return various ? flags[number % NELEM(flags)] : 0;
}

static void
report(void *arg, enum msg_type type, const void *payload, const char *tail,
    size_t len)
{
	const struct msg_outcome *outcome = payload;
	const struct msg_job_ref *ref = payload;

	(void)arg;
	assert(len <= msg_descs[type].tail);
	for (size_t i = 0; i < len; i++)
		assert(tail[i] >= 0x20 && tail[i] < 0x7f);
	/* What a server learnt from us it may say; nobody else is told. */
	if (session.login.wanted && len > 0)
		assert(memmem(tail, len, "pencil", 6) == NULL);
	ups += type == MSG_SESSION_UP;
	if (type == MSG_SESSION_UP)
		transcript_opened(&transcript);
	if (type == MSG_OUTCOME && outcome->outcome.status != OUTCOME_DELIVERED)
		transcript_fail(&transcript);
	if (type == MSG_BEGUN)
		told[ref->job].begun = true;
	if (type == MSG_COMMITTING)
		for (uint64_t i = 1; i <= ref->job; i++)
			told[i].begun = told[i].committing = true;
	if (type == MSG_AGAIN) {
		assert(told[ref->job].begun && !told[ref->job].again);
		told[ref->job].again = true;
	}
	if (type != MSG_OUTCOME)
		return;
	assert(!told[outcome->job].again);
	assert(++told[outcome->job].outcomes <= 2);
	assert(outcome->outcome.dsn[0] != '\0');
	/* Nobody is delivered whose message has not ended; VRFY has none. */
	if ((outcome->outcome.status == OUTCOME_DELIVERED &&
		(flags_of(outcome->job) & SUBMIT_VERIFY) == 0) ||
	    outcome->outcome.in_doubt)
		assert(told[outcome->job].committing);
}

static ssize_t
read_body(void *arg, uint8_t *out, size_t n, uint64_t offset)
{
	(void)arg;
	memset(out, various ? 0xe9 : '.', n);
	return offset > 40000 ? -1 : (ssize_t)n;
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
	(void)why;
	return SESSION_TLS_STARTED;
}

static void
get_tls_info(void *arg, struct tls_info *info)
{
	(void)arg;
	memset(info, 0, sizeof(*info));
}

static void
hang_up(void *arg)
{
	(void)arg;
}

static void
set_timer(void *arg, uint32_t ms)
{
	(void)arg;
	(void)ms;
}

static const struct session_ops ops = { report, read_body, close_body,
	start_tls, get_tls_info, NULL, hang_up, set_timer };

static void
tell(enum msg_type type, const void *payload, const char *tail, size_t len)
{
	_Alignas(8) static uint8_t packet[MSG_PACKET_SIZE];
	struct message m;
	size_t n = message_encode(packet, type, payload, tail, len);

	assert(message_decode(&m, packet, n, msg_descs[type].nfds,
		   ROLE_QUEUE | ROLE_DIALER, ROLE_WORKER) == NULL);
	assert(session_message(&session, &m));
}

static void
happen(uint8_t event)
{
	struct msg_none none = { 0 };

	if (event == 1 && session.state == STATE_TLS)
		session_tls_up(&session);
	else if (event == 2 && session.state == STATE_TLS)
		session_tls_failed(&session, "no");
	else if (event == 3 && session_is_connected(&session))
		session_closed(&session, NULL);
	else if (event == 4 && session_is_connected(&session))
		session_timeout(&session, false);
	else if (event == 5 && session_wants_message(&session))
		tell(MSG_QUIT, &none, NULL, 0);
}

/* As the worker does. */
static void
note_job(uint64_t number)
{
	if (session.state == STATE_READY && !reply_is_partial(&session.reply))
		transcript_part(&transcript);
	transcript_note_number(&transcript, TRANSCRIPT_JOB, number);
}

/* What was noted can be told, all of it, by octets that harm nobody. */
static void
read_transcript(void)
{
	static char text[16384];
	size_t at = 0, n;

	session_login_hide_noted(&session);
	while ((n = transcript_write(&transcript, &at, text, sizeof(text))) > 0)
		for (size_t i = 0; i < n; i++)
			assert(text[i] == '\n' ||
			    (text[i] >= ' ' && text[i] <= '~'));
	assert(at == transcript.len);
}

/* All that the session takes now. */
static void
give_jobs(uint64_t size)
{
	static const char tail[] =
	    "a@x\0RET=HDRS BY=9;N NAME=spike PORT=25\0b@y\0NOTIFY=NEVER\0c@y\0";
	struct msg_job job = { .size = size, .nrcpt = 2 };

	while (session_wants_message(&session) && session.up && jobs < JOBS) {
		job.job = ++jobs;
		job.flags = flags_of(jobs);
		job.protocol = session.conf.protocol;
		note_job(jobs);
		tell(MSG_JOB, &job, tail, sizeof(tail));
	}
	session_gathered(&session);
}

/* What the queue, the dialer and the socket do of themselves. */
static void
go_on(uint64_t size)
{
	struct msg_dialed dialed = { 0 };

	if (session.state == STATE_DIAL) {
		tell(MSG_DIALED, &dialed, NULL, 0);
		session_connected(&session);
	}
	while (session.out.len > 0 && session_is_connected(&session)) {
		assert(session.out.len <= session.out.size);
		give_jobs(size); /* behind one that ends */
		session.out.len = 0;
		session_flushed(&session);
	}
	give_jobs(size);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct msg_session conf = { 0 };
	struct msg_login login = { .secret = AUTH_SECRET_PASSWORD,
		.in_clear = 1 };
	bool at_once;
	size_t len;

	if (n < 2)
		return 0;
	memset(&session, 0, sizeof(session));
	memset(told, 0, sizeof(told));
	jobs = ups = 0;
	conf.protocol = data[0] & 1;
	conf.tls_level = data[0] >> 1 & 1; /* none or may */
	conf.tls_fallback = data[0] >> 2 & 1;
	conf.implicit_tls = data[0] >> 3 & 1;
	conf.verbose = data[0] >> 4 & 1;
	conf.client = data[0] >> 6 & 1;
	various = data[0] >> 7 & 1;
	if (conf.client != 0 && various)
		conf.client = SESSION_CLIENT_XCLIENT;
	transcript.on = true;
	transcript_begin(&transcript);
	session.transcript = &transcript;
	session_init(&session, &ops, NULL);
	tell(MSG_SESSION, &conf, NULL, 0);
	if ((data[0] >> 5 & 1) != 0) {
		assert(sasl_warm_up() == 0);
		tell(MSG_LOGIN, &login, "user\0\0pencil", 13);
	}
	go_on(data[1] * 200u);
	at_once = data[1] & 1;
	for (data += 2, n -= 2; n > 0; data += len, n -= len) {
		for (len = 1; len < n && data[len] > 7 &&
		     (at_once || data[len - 1] != '\n');
		     len++)
			;
		if (data[0] > 7)
			transcript_note_octets(&transcript, TRANSCRIPT_RECEIVED,
			    data, len);
		if (data[0] <= 7)
			happen(data[0]);
		else
			session_octets(&session, data, len);
		if (data[0] <= 7)
			len = 1;
		go_on(data[0] * 200u);
	}
	if (session_is_connected(&session))
		session_closed(&session, NULL);
	read_transcript();
	assert(ups <= 1 || !session.up || session_is_over(&session));
	/* Every job that was begun has told of both recipients, or is back. */
	for (size_t i = 1; session_is_over(&session) && i <= jobs; i++)
		assert(
		    !told[i].begun || told[i].again || told[i].outcomes == 2);
	return 0;
}
