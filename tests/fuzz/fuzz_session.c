/* SPDX-License-Identifier: ISC */
/*
 * A remote that says whatever it likes to a session with some jobs.  Octets of
 * 0x01 to 0x07 between its lines are events instead.
 */
#include "agent/session.h"

#include <assert.h>
#include <string.h>

#define JOBS 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct session session;
static unsigned int jobs, ups;
static struct {
	unsigned int outcomes;
	bool begun, committing, again;
} told[JOBS + 1]; /* by the job's number */

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
	/* Nobody is delivered whose message has not ended. */
	if (outcome->outcome.status == OUTCOME_DELIVERED ||
	    outcome->outcome.in_doubt)
		assert(told[outcome->job].committing);
}

static ssize_t
read_body(void *arg, uint8_t *out, size_t n, uint64_t offset)
{
	(void)arg;
	memset(out, '.', n);
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
	if (event == 1 && session.state == STATE_TLS)
		session_tls_up(&session);
	else if (event == 2 && session.state == STATE_TLS)
		session_tls_failed(&session, "no");
	else if (event == 3 && session_is_connected(&session))
		session_closed(&session, NULL);
	else if (event == 4 && session_is_connected(&session))
		session_timeout(&session, false);
}

/* What the queue, the dialer and the socket do of themselves. */
static void
go_on(uint64_t size)
{
	struct msg_dialed dialed = { 0 };
	struct msg_job job = { .size = size, .nrcpt = 2 };

	if (session.state == STATE_DIAL) {
		tell(MSG_DIALED, &dialed, NULL, 0);
		session_connected(&session);
	}
	while (session.out.len > 0 && session_is_connected(&session)) {
		assert(session.out.len <= session.out.size);
		session.out.len = 0;
		session_flushed(&session);
	}
	while (session_wants_message(&session) && session.up && jobs < JOBS) {
		job.job = ++jobs;
		tell(MSG_JOB, &job,
		    "a@x\0RET=HDRS BY=9;N\0b@y\0NOTIFY=NEVER\0c@y\0", 42);
	}
	session_gathered(&session);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct msg_session conf = { 0 };
	struct msg_login login = { .secret = AUTH_SECRET_PASSWORD,
		.in_clear = 1 };
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
	session_init(&session, &ops, NULL);
	tell(MSG_SESSION, &conf, NULL, 0);
	if ((data[0] >> 5 & 1) != 0) {
		assert(sasl_warm_up() == 0);
		tell(MSG_LOGIN, &login, "user\0\0pencil", 13);
	}
	go_on(data[1] * 200u);
	for (data += 2, n -= 2; n > 0; data += len, n -= len) {
		for (len = 1; len < n && data[len] > 7; len++)
			;
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
	assert(ups <= 1 || !session.up || session_is_over(&session));
	/* Every job that was begun has told of both recipients, or is back. */
	for (size_t i = 1; session_is_over(&session) && i <= jobs; i++)
		assert(
		    !told[i].begun || told[i].again || told[i].outcomes == 2);
	return 0;
}
