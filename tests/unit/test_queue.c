/* SPDX-License-Identifier: ISC */
/*
 * The queue role, confined as it will be, among peers that the test plays:
 * master, intake, resolver, dialer, agent and worker.
 */
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "common/log.h"
#include "common/message.h"
#include "common/roles.h"
#include "common/util.h"

static char spool[64];
static pid_t queue_pid = -1;
static int master = -1;
static int intake = -1;
static int control = -1;
static uint32_t submit_flags; /* of the jobs that are handed in */
static int resolver = -1;
static int dialer = -1;
static int agent = -1;
static int log_fd = -1;
static _Alignas(64) uint8_t packet[MSG_PACKET_SIZE];

static const char config_text[] =
    "spool_directory = \"%s\"\n"
    "hostname = \"client.example\"\n"
    "minimal_backoff_time = %s\n"
    "maximal_backoff_time = 4s\n"
    "maximal_queue_lifetime = 1d\n"
    "stop_timeout = 2s\n"
    "inline_body_limit = 1k\n"
    "resolver_timeout = 1s\n"
    "transport smtp {\n tls_security_level = none\n"
    " initial_destination_concurrency = 1\n"
    " destination_concurrency_limit = 1\n connection_idle_time = 1s\n}\n"
    "transport lmtp {\n protocol = lmtp\n server = \"unix:/run/lmtp\"\n"
    " tls_security_level = none\n"
    " initial_destination_concurrency = 1\n}\n"
    "transport brief {\n server = \"[192.0.2.9]:25\"\n"
    " tls_security_level = none\n quit_timeout = 1s\n"
    " session_timeout = 1s\n initial_destination_concurrency = 1\n}\n"
    "transport secret {\n server = \"unix:/run/secret\"\n"
    " tls_security_level = none\n auth_user = u\n"
    " auth_password_file = \"/nowhere\"\n auth_token_timeout = 1s\n}\n"
    "route secret.example {\n transport = secret\n}\n"
    "route \"*\" {\n transport = smtp\n}\n"
    "route brief.example {\n transport = brief\n}\n"
    "route local.example {\n transport = lmtp\n}\n";

static void
say_fd(int sock, enum msg_type type, const void *payload, const void *tail,
    size_t tail_len, int fd)
{
	cr_assert_eq(message_send(sock, type, payload, tail, tail_len, fd, 0),
	    0, "%s: %s", msg_descs[type].name, strerror(errno));
}

static void
say(int sock, enum msg_type type, const void *payload)
{
	say_fd(sock, type, payload, NULL, 0, -1);
}

/* The next packet, which must be of this type. */
static struct message
hear(int sock, unsigned to, enum msg_type type)
{
	const unsigned from = ROLE_QUEUE | ROLE_DIALER;
	struct message m = { .fd = -1 };
	const char *why = NULL;
	int n;

	n = message_receive(sock, packet, from, to, 0, &m, &why);
	cr_assert_eq(n, 1, "waiting for %s: %s", msg_descs[type].name,
	    n == 0            ? "end of file"
		: why != NULL ? why
			      : strerror(errno));
	cr_assert_eq(m.type, type, "%s instead of %s", msg_descs[m.type].name,
	    msg_descs[type].name);
	return m;
}

/* Blocks until the queue's own clock has run out. */
static struct message
hear_late(int sock, unsigned to, enum msg_type type)
{
	struct timeval tv = { .tv_sec = 20 };

	cr_assert_eq(setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)),
	    0);
	return hear(sock, to, type);
}

static bool
is_quiet(int sock, int ms)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };

	return poll(&p, 1, ms) == 0;
}

static int
peer_of(unsigned role)
{
	struct timeval tv = { .tv_sec = 5 };
	struct msg_peer peer = { .role = role, .pid = 42 };
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds),
	    0);
	cr_assert_eq(
	    setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), 0);
	say_fd(master, MSG_PEER, &peer, NULL, 0, fds[1]);
	(void)close(fds[1]);
	return fds[0];
}

static void
start_with(const char *backoff)
{
	struct msg_config config = { .generation = 1 };
	struct msg_log_sink sink = { .name = "postern", .least = LOG_INFO };
	struct msg_start start = { 0 };
	char text[2048];
	int fds[2];
	int fd;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	queue_pid = fork();
	cr_assert_neq(queue_pid, -1);
	if (queue_pid == 0) {
		(void)close(fds[0]);
		if (dup2(fds[1], ROLE_PARENT_FD) == -1)
			_exit(99);
		(void)close_range(ROLE_PARENT_FD + 1, ~0U, 0);
		_exit(queue_run(ROLE_PARENT_FD));
	}
	(void)close(fds[1]);
	master = fds[0];
	(void)fcntl(master, F_SETFD, FD_CLOEXEC);
	(void)snprintf(text, sizeof(text), config_text, spool, backoff);
	fd = fd_sealed("config", text, strlen(text));
	cr_assert_neq(fd, -1);
	start.pid = (uint32_t)queue_pid;
	say_fd(master, MSG_LOG_SINK, &sink, NULL, 0, log_fd);
	say_fd(master, MSG_CONFIG, &config, "test.conf", 9, fd);
	(void)close(fd);
	intake = peer_of(ROLE_INTAKE);
	control = peer_of(ROLE_CONTROL);
	resolver = peer_of(ROLE_RESOLVER);
	dialer = peer_of(ROLE_DIALER);
	agent = peer_of(ROLE_AGENT);
	say(master, MSG_START, &start);
	(void)hear(master, ROLE_MASTER, MSG_READY);
}

static void
close_peers(void)
{
	(void)close(master);
	(void)close(intake);
	(void)close(control);
	(void)close(resolver);
	(void)close(dialer);
	(void)close(agent);
}

static void
crash(void)
{
	int status;

	cr_assert_eq(kill(queue_pid, SIGKILL), 0);
	cr_assert_eq(waitpid(queue_pid, &status, 0), queue_pid);
	queue_pid = -1;
	close_peers();
}

/* Asks for the end, and expects it to be a good one. */
static void
drain(void)
{
	struct msg_none none = { 0 };
	int status;

	if (queue_pid == -1)
		return;
	say(master, MSG_DRAIN, &none);
	cr_assert_eq(waitpid(queue_pid, &status, 0), queue_pid);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0,
	    "status 0x%x (signal 31 is a system call it may not make)", status);
	queue_pid = -1;
	close_peers();
}

static void
set_up(void)
{
	(void)strlcpy(spool, "/tmp/test_queue.XXXXXX", sizeof(spool));
	cr_assert_neq(mkdtemp(spool), NULL);
	log_fd = memfd_create("log", MFD_CLOEXEC);
	start_with("1s");
}

static void
tear_down(void)
{
	char command[128];

	drain();
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", spool);
	cr_assert_eq(system(command), 0);
}

TestSuite(queue, .init = set_up, .fini = tear_down, .timeout = 30);

/* What the log says so far. */
static bool
log_says(const char *words)
{
	static char text[65536];
	ssize_t n;

	n = pread(log_fd, text, sizeof(text) - 1, 0);
	cr_assert_geq(n, 0);
	text[n] = '\0';
	return strstr(text, words) != NULL;
}

/* Lines follow commits, which follow what a test does. */
static bool
log_will_say(const char *words)
{
	const struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };
	int i;

	for (i = 0; i < 300 && !log_says(words); i++)
		(void)nanosleep(&pause, NULL);
	return log_says(words);
}

static const char *parameters = "", *rcpt_parameters = "";

static void
add_recipient(char *tail, size_t size, size_t *len, const char *address)
{
	cr_assert(message_tail_add(tail, size, len, address));
	cr_assert(message_tail_add(tail, size, len, rcpt_parameters));
}

static void
hand_in(uint64_t request, uint32_t wait, size_t size, const char *first,
    const char *second)
{
	struct msg_submit submit = { .request = request,
		.size = size,
		.wait = wait,
		.flags = submit_flags,
		.uid = 1000 };
	struct msg_request end = { .request = request };
	char tail[1024];
	char *body = calloc(1, size + 1);
	size_t len = 0;
	int fd;

	cr_assert_neq(body, NULL);
	memset(body, 'x', size);
	fd = fd_sealed("body", body, size);
	free(body);
	cr_assert(message_tail_add(tail, sizeof(tail), &len, "s@e.example"));
	cr_assert(message_tail_add(tail, sizeof(tail), &len, parameters));
	cr_assert(message_tail_add(tail, sizeof(tail), &len, "ref"));
	cr_assert(message_tail_add(tail, sizeof(tail), &len, ""));
	add_recipient(tail, sizeof(tail), &len, first);
	if (second != NULL)
		add_recipient(tail, sizeof(tail), &len, second);
	say_fd(intake, MSG_SUBMIT, &submit, tail, len, fd);
	(void)close(fd);
	say(intake, MSG_SUBMIT_END, &end);
}

static uint64_t
accepted(void)
{
	struct message m = hear(intake, ROLE_INTAKE, MSG_ACCEPTED);

	return ((const struct msg_accepted *)m.payload)->id;
}

/* Answers one question with one address. */
static void
answer_plan(const char *want)
{
	struct message m = hear(resolver, ROLE_RESOLVER, MSG_RESOLVE);
	struct msg_resolved answer = { .ttl_s = 60, .count = 1 };
	struct plan_address address = { .family = AF_INET,
		.port = 25,
		.host = "mx.b.example" };

	cr_expect_eq(m.tail_len, strlen(want));
	cr_expect_eq(memcmp(m.tail, want, strlen(want)), 0);
	answer.id = ((const struct msg_resolve *)m.payload)->id;
	cr_assert_eq(inet_pton(AF_INET, "192.0.2.1", address.addr), 1);
	say_fd(resolver, MSG_RESOLVED, &answer, &address, sizeof(address), -1);
}

/* FORK, after the line to the dialer. */
static struct message
hear_fork(void)
{
	struct message m = hear(agent, ROLE_AGENT, MSG_LINE);

	(void)close(m.fd);
	return hear(agent, ROLE_AGENT, MSG_FORK);
}

static int
fork_worker(void)
{
	struct timeval tv = { .tv_sec = 5 };
	struct message m = hear_fork();

	cr_assert_eq(setsockopt(m.fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)),
	    0);
	return m.fd;
}

/* From SESSION to SESSION_UP; the first JOB may come at any time. */
static void
bring_up(int worker, bool unix_socket)
{
	struct msg_next next = { 0 };
	struct msg_session_up up = { 0 };
	struct message m;

	say(worker, MSG_NEXT, &next);
	m = hear(dialer, ROLE_DIALER, MSG_DIAL);
	(void)close(m.fd);
	cr_expect_eq(((const struct msg_dial *)m.payload)->family,
	    unix_socket ? AF_UNIX : AF_INET);
	say(worker, MSG_SESSION_UP, &up);
}

/* The next packet that is not SESSION or ADDRESS, which must be of a type. */
static struct message
hear_behind(int worker, enum msg_type type)
{
	struct message m = { .fd = -1 };
	const char *why = NULL;

	do {
		cr_assert_eq(message_receive(worker, packet, ROLE_QUEUE,
				 ROLE_WORKER, 0, &m, &why),
		    1, "waiting for %s: %s", msg_descs[type].name,
		    why != NULL ? why : strerror(errno));
	} while (m.type == MSG_SESSION || m.type == MSG_ADDRESS);
	cr_assert_eq(m.type, type, "%s instead of %s", msg_descs[m.type].name,
	    msg_descs[type].name);
	return m;
}

static uint64_t
take_job(int worker)
{
	struct message m = hear_behind(worker, MSG_JOB);

	(void)close(m.fd);
	return ((const struct msg_job *)m.payload)->job;
}

static void
tell(int worker, enum msg_type type, uint64_t job)
{
	struct msg_again ref = { .job = job }; /* begins as the others do */

	say(worker, type, &ref);
}

static void
tell_outcome(int worker, uint64_t job, uint32_t rcpt, unsigned status,
    const char *dsn, const char *reply)
{
	struct msg_outcome outcome = { .job = job, .rcpt = rcpt };

	outcome.outcome.status = (uint8_t)status;
	outcome.outcome.code = 250;
	(void)strlcpy(outcome.outcome.dsn, dsn, sizeof(outcome.outcome.dsn));
	say_fd(worker, MSG_OUTCOME, &outcome, reply, strlen(reply), -1);
}

static void
deliver(int worker, uint64_t job)
{
	tell(worker, MSG_BEGUN, job);
	tell(worker, MSG_COMMITTING, job);
	tell_outcome(worker, job, 0, OUTCOME_DELIVERED, "2.0.0",
	    "250 2.0.0 ok");
}

/* A worker with its first job, for one message to b.example. */
static int
worker_with_job(uint64_t *jobp)
{
	int worker;

	hand_in(1, WAIT_ATTEMPT, 100, "a@b.example", NULL);
	(void)accepted();
	answer_plan("b.example");
	worker = fork_worker();
	bring_up(worker, false);
	*jobp = take_job(worker);
	return worker;
}

/* Of all recipients, at most that many. */
static void
ask_for_rows(uint64_t request, uint32_t limit)
{
	static const char any[6] = "";
	struct msg_act act = { .request = request,
		.verb = ACT_LIST,
		.limit = limit };

	cr_assert_eq(
	    message_send(control, MSG_ACT, &act, any, sizeof(any), -1, 0), 0);
}

static struct msg_list_end
counts(void)
{
	struct message m;

	ask_for_rows(77, 0);
	m = hear(control, ROLE_CONTROL, MSG_LIST_END);
	return *(const struct msg_list_end *)m.payload;
}

static struct msg_result
result(void)
{
	struct message m = hear(intake, ROLE_INTAKE, MSG_RESULT);

	return *(const struct msg_result *)m.payload;
}

Test(queue, a_job_is_delivered_told_logged_and_gone)
{
	uint64_t job;
	int worker = worker_with_job(&job);
	struct msg_result r;

	cr_expect_eq(counts().counts[RECIPIENT_ACTIVE], 1);
	deliver(worker, job);
	r = result();
	cr_expect_eq(r.outcome.status, OUTCOME_DELIVERED);
	cr_expect_eq(r.final, 1);
	(void)hear(intake, ROLE_INTAKE, MSG_RESULTS_END);
	cr_expect_eq(counts().counts[RECIPIENT_ACTIVE], 0);
	cr_expect(log_will_say("postern/smtp["));
	cr_expect(log_will_say(
	    "to=<a@b.example>, relay=mx.b.example[192.0.2.1]:25, delay="));
	cr_expect(log_will_say("dsn=2.0.0, status=sent (250 2.0.0 ok)"));
	cr_expect(log_will_say("100000: removed"));
	cr_expect(log_will_say("from=<s@e.example>, size=100, nrcpt=1 "
			       "(queue active)"));
	(void)close(worker);
}

Test(queue, a_worker_is_told_its_destination_and_gets_a_sealed_body)
{
	struct msg_next next = { 0 };
	struct msg_session_up up = { 0 };
	const struct msg_session *session;
	const struct msg_address *address;
	struct message m;
	struct stat st;
	int worker;

	hand_in(1, WAIT_QUEUED, 5000, "u@local.example", NULL);
	(void)accepted();
	worker = fork_worker();
	m = hear(worker, ROLE_WORKER, MSG_SESSION);
	session = m.payload;
	cr_expect_eq(session->protocol, SESSION_LMTP);
	cr_expect_eq(session->timer_ms[TIMER_QUIT], 5000);
	cr_expect_str_eq(session->ehlo_name, "client.example");
	cr_expect(is_quiet(worker, 50), "no body before there is a socket");
	say(worker, MSG_NEXT, &next);
	m = hear(worker, ROLE_WORKER, MSG_ADDRESS);
	address = m.payload;
	cr_expect_str_eq(address->relay, "localhost[/run/lmtp]");
	m = hear(dialer, ROLE_DIALER, MSG_DIAL);
	cr_expect_str_eq(((const struct msg_dial *)m.payload)->path,
	    "/run/lmtp");
	(void)close(m.fd);
	say(worker, MSG_SESSION_UP, &up);
	m = hear(worker, ROLE_WORKER, MSG_JOB);
	cr_expect_eq(((const struct msg_job *)m.payload)->size, 5000);
	cr_expect_eq(fcntl(m.fd, F_GET_SEALS) & FD_SEALS, FD_SEALS);
	cr_expect_eq(fstat(m.fd, &st), 0);
	cr_expect_eq(st.st_size, 5000);
	(void)close(m.fd);
	(void)close(worker);
}

Test(queue, a_session_is_used_for_the_next_message_and_quits_when_idle)
{
	uint64_t job;
	int worker = worker_with_job(&job);

	deliver(worker, job);
	(void)result();
	(void)hear(intake, ROLE_INTAKE, MSG_RESULTS_END);
	hand_in(2, WAIT_ATTEMPT, 100, "z@b.example", NULL);
	(void)accepted();
	job = take_job(worker);
	deliver(worker, job);
	cr_expect_eq(result().request, 2);
	cr_expect(is_quiet(agent, 0), "no second worker");
	(void)hear_behind(worker, MSG_QUIT);
	(void)close(worker);
}

Test(queue, two_recipients_share_a_transaction_and_may_differ)
{
	uint64_t job;
	int worker;

	hand_in(1, WAIT_ATTEMPT, 100, "a@b.example", "c@b.example");
	(void)accepted();
	answer_plan("b.example");
	worker = fork_worker();
	bring_up(worker, false);
	job = take_job(worker);
	tell(worker, MSG_BEGUN, job);
	tell_outcome(worker, job, 1, OUTCOME_FAILED, "5.1.1", "550 no");
	tell_outcome(worker, job, 0, OUTCOME_DELIVERED, "2.0.0", "250 ok");
	cr_expect_eq(result().outcome.status, OUTCOME_FAILED);
	cr_expect_eq(result().outcome.status, OUTCOME_DELIVERED);
	(void)hear(intake, ROLE_INTAKE, MSG_RESULTS_END);
	cr_expect_eq(counts().counts[RECIPIENT_FAILED], 1);
	cr_expect(log_will_say("dsn=5.1.1, status=bounced (host "));
	(void)close(worker);
}

Test(queue, a_worker_that_dies_before_it_began_delays_nothing)
{
	uint64_t job;
	int worker = worker_with_job(&job);

	(void)close(worker);
	worker = fork_worker();
	bring_up(worker, false);
	deliver(worker, take_job(worker));
	cr_expect_eq(result().outcome.status, OUTCOME_DELIVERED);
	(void)close(worker);
}

Test(queue, a_worker_that_dies_in_mid_message_defers_without_doubt)
{
	uint64_t job;
	int worker = worker_with_job(&job);
	struct msg_result r;

	tell(worker, MSG_BEGUN, job);
	(void)close(worker);
	r = result();
	cr_expect_eq(r.outcome.status, OUTCOME_DEFERRED);
	cr_expect_eq(r.outcome.in_doubt, 0);
	cr_expect_eq(r.final, 0);
	/* After minimal_backoff_time comes the second attempt. */
	worker = fork_worker();
	(void)close(worker);
}

Test(queue, a_worker_that_dies_while_committing_leaves_doubt)
{
	uint64_t job;
	int worker = worker_with_job(&job);

	tell(worker, MSG_BEGUN, job);
	tell(worker, MSG_COMMITTING, job);
	(void)close(worker);
	cr_expect_eq(result().outcome.in_doubt, 1);
	cr_expect(log_will_say("status=deferred (perhaps delivered: "));
}

/* A worker with so many jobs to b.example, 2 at most. */
static int
worker_with_jobs(uint64_t *ids, unsigned int n)
{
	int worker = worker_with_job(&ids[0]);

	for (unsigned int i = 1; i < n; i++) {
		hand_in(i + 1, WAIT_ATTEMPT, 100, "a@b.example", NULL);
		(void)accepted();
	}
	for (unsigned int i = 1; i < n; i++)
		ids[i] = take_job(worker);
	return worker;
}

Test(queue, committing_holds_for_all_jobs_up_to_it)
{
	uint64_t ids[2];
	int worker = worker_with_jobs(ids, 2);

	tell(worker, MSG_COMMITTING, ids[1]);
	(void)close(worker);
	cr_expect_eq(result().outcome.in_doubt, 1);
	(void)hear(intake, ROLE_INTAKE, MSG_RESULTS_END);
	cr_expect_eq(result().outcome.in_doubt, 1);
}

Test(queue, a_job_behind_the_committing_one_is_not_begun)
{
	uint64_t ids[2];
	int worker = worker_with_jobs(ids, 2);

	tell(worker, MSG_COMMITTING, ids[0]);
	(void)close(worker);
	cr_expect_eq(result().outcome.in_doubt, 1);
	(void)hear(intake, ROLE_INTAKE, MSG_RESULTS_END);
	/* The other one gets a worker of its own, when the pause is over. */
	worker = fork_worker();
	bring_up(worker, false);
	deliver(worker, take_job(worker));
	cr_expect_eq(result().outcome.status, OUTCOME_DELIVERED);
	(void)close(worker);
}

Test(queue, a_job_that_comes_back_is_given_anew)
{
	uint64_t ids[2];
	int worker = worker_with_jobs(ids, 2);
	uint64_t again;

	tell(worker, MSG_COMMITTING, ids[1]);
	tell_outcome(worker, ids[0], 0, OUTCOME_FAILED, "5.6.0", "554 no");
	tell(worker, MSG_AGAIN, ids[1]);
	cr_expect_eq(result().outcome.status, OUTCOME_FAILED);
	(void)hear(intake, ROLE_INTAKE, MSG_RESULTS_END);
	again = take_job(worker);
	cr_expect_neq(again, ids[1]);
	deliver(worker, again);
	cr_expect_eq(result().outcome.status, OUTCOME_DELIVERED);
	(void)close(worker);
}

Test(queue, a_worker_that_gives_everything_back_is_ended)
{
	uint64_t ids[1];
	int worker = worker_with_jobs(ids, 1);
	struct msg_fork kill_msg;

	for (int i = 0; i < 32; i++) {
		tell(worker, MSG_COMMITTING, ids[0]);
		tell(worker, MSG_AGAIN, ids[0]);
		ids[0] = take_job(worker);
	}
	tell(worker, MSG_COMMITTING, ids[0]);
	tell(worker, MSG_AGAIN, ids[0]);
	kill_msg =
	    *(const struct msg_fork *)hear(agent, ROLE_AGENT, MSG_KILL).payload;
	cr_expect_gt(kill_msg.session, 0);
	(void)close(worker);
}

Test(queue, a_crash_of_the_queue_returns_active_mail_in_doubt)
{
	uint64_t job;
	int worker = worker_with_job(&job);
	struct message m;

	crash();
	(void)close(worker);
	start_with("1s");
	answer_plan("b.example");
	ask_for_rows(5, 10);
	m = hear(control, ROLE_CONTROL, MSG_LISTED);
	cr_expect_eq(((const struct msg_listed *)m.payload)->in_doubt, 1);
	(void)hear(control, ROLE_CONTROL, MSG_LIST_END);
	worker = fork_worker();
	bring_up(worker, false);
	deliver(worker, take_job(worker));
	cr_expect(log_will_say("status=sent"));
	(void)close(worker);
}

/* The first address does not work, and there is no second. */
static void
fail_session(unsigned status, unsigned step, const char *dsn, const char *text)
{
	struct msg_next next = { 0 };
	int worker = fork_worker();

	say(worker, MSG_NEXT, &next);
	(void)close(hear(dialer, ROLE_DIALER, MSG_DIAL).fd);
	next.has_failure = 1;
	next.outcome.status = (uint8_t)status;
	next.outcome.step = (uint8_t)step;
	(void)strlcpy(next.outcome.dsn, dsn, sizeof(next.outcome.dsn));
	say_fd(worker, MSG_NEXT, &next, text, strlen(text), -1);
	(void)hear_behind(worker, MSG_QUIT);
	(void)close(worker);
}

Test(queue, a_destination_that_cannot_be_reached_is_suspended_as_a_whole)
{
	hand_in(1, WAIT_ATTEMPT, 100, "a@b.example", NULL);
	hand_in(2, WAIT_ATTEMPT, 100, "c@b.example", NULL);
	(void)accepted();
	(void)accepted();
	answer_plan("b.example");
	fail_session(OUTCOME_DEFERRED, STEP_CONNECT, "4.4.1",
	    "connection refused");
	cr_expect_eq(result().outcome.status, OUTCOME_DEFERRED);
	(void)hear(intake, ROLE_INTAKE, MSG_RESULTS_END);
	cr_expect_eq(result().outcome.status, OUTCOME_DEFERRED);
	(void)hear(intake, ROLE_INTAKE, MSG_RESULTS_END);
	cr_expect(log_will_say("status=deferred (connection refused)"));
	cr_expect(log_will_say("status=deferred (delivery temporarily "
			       "suspended: connection refused)"));
	cr_expect_eq(counts().counts[RECIPIENT_DEFERRED], 2);
	/* Two more find out together, by one session, whether that is still so. */
	hand_in(3, WAIT_ATTEMPT, 100, "d@b.example", NULL);
	hand_in(4, WAIT_ATTEMPT, 100, "e@b.example", NULL);
	(void)accepted();
	(void)accepted();
	cr_expect(is_quiet(agent, 0));
	fail_session(OUTCOME_DEFERRED, STEP_CONNECT, "4.4.1",
	    "connection refused");
	cr_expect_eq(result().outcome.status, OUTCOME_DEFERRED);
	(void)hear(intake, ROLE_INTAKE, MSG_RESULTS_END);
	cr_expect_eq(result().outcome.status, OUTCOME_DEFERRED);
	(void)hear(intake, ROLE_INTAKE, MSG_RESULTS_END);
	cr_expect(is_quiet(agent, 0));
}

Test(queue, a_suspended_destination_is_probed_again)
{
	uint64_t job;
	int worker;

	hand_in(1, WAIT_FINAL, 100, "a@b.example", NULL);
	(void)accepted();
	answer_plan("b.example");
	fail_session(OUTCOME_DEFERRED, STEP_CONNECT, "4.4.1",
	    "connection refused");
	cr_expect_eq(result().final, 0);
	worker = fork_worker();
	bring_up(worker, false);
	job = take_job(worker);
	deliver(worker, job);
	cr_expect_eq(result().outcome.status, OUTCOME_DELIVERED);
	(void)hear(intake, ROLE_INTAKE, MSG_RESULTS_END);
	(void)close(worker);
}

/* Delivers the next job; true where its recipient begins with "late". */
static bool
deliver_next(int worker)
{
	struct message m = hear_behind(worker, MSG_JOB);
	const char *to;
	size_t at = 0;
	bool late;

	(void)close(m.fd);
	(void)message_tail_next(&m, &at);
	(void)message_tail_next(&m, &at);
	to = message_tail_next(&m, &at);
	cr_assert_neq(to, NULL);
	late = strncmp(to, "late", 4) == 0;
	deliver(worker, ((const struct msg_job *)m.payload)->job);
	return late;
}

static void
defer(int worker, uint64_t job)
{
	tell(worker, MSG_BEGUN, job);
	tell_outcome(worker, job, 0, OUTCOME_DEFERRED, "4.2.0", "450 later");
	(void)result();
	(void)hear(intake, ROLE_INTAKE, MSG_RESULTS_END);
}

Test(queue, deferred_recipients_return_in_time_while_new_mail_flows)
{
	const struct timespec pause = { .tv_nsec = 150 * 1000 * 1000 };
	int64_t until_ms = time_monotonic_ms() + 2500;
	uint64_t job;
	int worker;
	uint64_t i;

	hand_in(1, WAIT_ATTEMPT, 100, "late1@b.example", NULL);
	(void)accepted();
	answer_plan("b.example");
	worker = fork_worker();
	bring_up(worker, false);
	job = take_job(worker);
	defer(worker, job);
	(void)nanosleep(&pause, NULL);
	hand_in(2, WAIT_ATTEMPT, 100, "late2@b.example", NULL);
	(void)accepted();
	defer(worker, take_job(worker));
	/* Some of it is always in memory when their times come. */
	for (i = 0; time_monotonic_ms() < until_ms; i++) {
		hand_in(10 + i, WAIT_QUEUED, 100, "other@b.example", NULL);
		(void)accepted();
	}
	for (i = 0; i < 2;)
		i += deliver_next(worker);
	(void)close(worker);
}

Test(queue, a_permanent_greeting_fails_the_message_and_not_the_next)
{
	hand_in(1, WAIT_FINAL, 100, "a@b.example", NULL);
	hand_in(2, WAIT_FINAL, 100, "c@b.example", NULL);
	(void)accepted();
	(void)accepted();
	answer_plan("b.example");
	fail_session(OUTCOME_FAILED, STEP_GREETING, "5.3.2", "554 go away");
	cr_expect_eq(result().outcome.status, OUTCOME_FAILED);
	(void)hear(intake, ROLE_INTAKE, MSG_RESULTS_END);
	fail_session(OUTCOME_FAILED, STEP_GREETING, "5.3.2", "554 go away");
	cr_expect_eq(result().final, 1);
	(void)hear(intake, ROLE_INTAKE, MSG_RESULTS_END);
	cr_expect_eq(counts().counts[RECIPIENT_FAILED], 2);
}

Test(queue, a_domain_that_does_not_exist_fails_its_recipients)
{
	struct msg_resolved answer = { .ttl_s = 60 };
	struct message m;

	hand_in(1, WAIT_FINAL, 100, "a@gone.example", NULL);
	(void)accepted();
	m = hear(resolver, ROLE_RESOLVER, MSG_RESOLVE);
	answer.id = ((const struct msg_resolve *)m.payload)->id;
	answer.outcome.status = OUTCOME_FAILED;
	answer.outcome.step = STEP_RESOLVE;
	(void)strlcpy(answer.outcome.dsn, "5.1.2", sizeof(answer.outcome.dsn));
	say_fd(resolver, MSG_RESOLVED, &answer, "no such domain", 14, -1);
	cr_expect_eq(result().final, 1);
	cr_expect(log_will_say("relay=none"));
	cr_expect(is_quiet(agent, 0), "no worker for it");
}

static unsigned
log_count(const char *words)
{
	static char text[65536];
	const char *at = text;
	unsigned n = 0;
	ssize_t len = pread(log_fd, text, sizeof(text) - 1, 0);

	cr_assert_geq(len, 0);
	text[len] = '\0';
	for (; (at = strstr(at, words)) != NULL; at++)
		n++;
	return n;
}

/* More than fit in memory: what was just settled still looks due on disk. */
Test(queue, what_has_its_outcome_is_not_read_back)
{
	struct msg_resolved answer = { .ttl_s = 60 };
	const struct timespec pause = { .tv_nsec = 200 * 1000 * 1000 };
	struct message m;
	uint64_t i;

	rcpt_parameters = "NOTIFY=NEVER"; /* a notice would ask, too */
	drain();
	start_with("1s\nqmgr_recipient_active_limit = 4");
	for (i = 0; i < 10; i++) {
		hand_in(i + 1, WAIT_QUEUED, 100, "a@gone.example", NULL);
		(void)accepted();
	}
	answer.outcome.status = OUTCOME_FAILED;
	answer.outcome.step = STEP_RESOLVE;
	(void)strlcpy(answer.outcome.dsn, "5.1.2", sizeof(answer.outcome.dsn));
	while (log_count("status=bounced") < 10) {
		m = hear(resolver, ROLE_RESOLVER, MSG_RESOLVE);
		answer.id = ((const struct msg_resolve *)m.payload)->id;
		say_fd(resolver, MSG_RESOLVED, &answer, "no such domain", 14,
		    -1);
		(void)nanosleep(&pause, NULL);
	}
	cr_expect(is_quiet(resolver, 200), "nobody is left to ask for");
	cr_expect_eq(log_count("status=bounced"), 10, "%u bounces of 10",
	    log_count("status=bounced"));
	cr_expect_eq(counts().counts[RECIPIENT_FAILED], 10);
}

Test(queue, a_new_resolver_is_asked_again)
{
	hand_in(1, WAIT_QUEUED, 100, "a@b.example", NULL);
	(void)accepted();
	(void)hear(resolver, ROLE_RESOLVER, MSG_RESOLVE);
	(void)close(resolver);
	resolver = peer_of(ROLE_RESOLVER);
	answer_plan("b.example");
	(void)close(fork_worker());
}

Test(queue, a_question_that_resolvers_die_over_is_given_up)
{
	hand_in(1, WAIT_ATTEMPT, 100, "a@b.example", NULL);
	(void)accepted();
	for (int i = 0; i < 3; i++) {
		(void)hear(resolver, ROLE_RESOLVER, MSG_RESOLVE);
		(void)close(resolver);
		resolver = peer_of(ROLE_RESOLVER);
	}
	cr_expect_eq(result().outcome.status, OUTCOME_DEFERRED);
	(void)hear(intake, ROLE_INTAKE, MSG_RESULTS_END);
	cr_expect(log_will_say("dsn=4.4.3, status=deferred (the resolver"));
	hand_in(2, WAIT_QUEUED, 100, "a@c.example", NULL);
	(void)accepted();
	answer_plan("c.example");
	(void)close(fork_worker());
}

Test(queue, a_new_dialer_is_asked_again)
{
	struct msg_next next = { 0 };
	int worker;

	hand_in(1, WAIT_QUEUED, 100, "a@b.example", NULL);
	(void)accepted();
	answer_plan("b.example");
	worker = fork_worker();
	say(worker, MSG_NEXT, &next);
	(void)close(hear(dialer, ROLE_DIALER, MSG_DIAL).fd);
	(void)close(dialer);
	dialer = peer_of(ROLE_DIALER);
	(void)close(hear(dialer, ROLE_DIALER, MSG_DIAL).fd);
	(void)close(worker);
}

/* Its death is nothing to those that have their socket. */
Test(queue, a_new_dialer_is_not_asked_for_what_has_come)
{
	struct msg_connecting connecting = { 0 };
	struct msg_session_up up = { 0 };
	struct msg_next next = { 0 };
	struct message m;
	int worker;

	hand_in(1, WAIT_QUEUED, 100, "a@b.example", NULL);
	(void)accepted();
	answer_plan("b.example");
	worker = fork_worker();
	say(worker, MSG_NEXT, &next);
	m = hear(dialer, ROLE_DIALER, MSG_DIAL);
	(void)close(m.fd);
	connecting.number = ((const struct msg_dial *)m.payload)->number;
	say(worker, MSG_CONNECTING, &connecting);
	(void)close(resolver);
	(void)close(dialer);
	resolver = peer_of(ROLE_RESOLVER);
	dialer = peer_of(ROLE_DIALER);
	cr_expect(is_quiet(dialer, 200));
	say(worker, MSG_SESSION_UP, &up);
	m = hear_behind(worker, MSG_JOB);
	(void)close(m.fd);
	(void)close(worker);
}

Test(queue, connecting_by_no_dial_ends_a_worker)
{
	struct msg_connecting connecting = { .number = 7 };
	struct msg_next next = { 0 };
	int worker;

	hand_in(1, WAIT_QUEUED, 100, "a@b.example", NULL);
	(void)accepted();
	answer_plan("b.example");
	worker = fork_worker();
	say(worker, MSG_NEXT, &next);
	(void)close(hear(dialer, ROLE_DIALER, MSG_DIAL).fd);
	say(worker, MSG_CONNECTING, &connecting);
	(void)hear(agent, ROLE_AGENT, MSG_KILL);
	(void)close(worker);
}

Test(queue, without_an_agent_mail_waits_for_the_next_one)
{
	(void)close(agent);
	hand_in(1, WAIT_QUEUED, 100, "u@local.example", NULL);
	(void)accepted();
	agent = peer_of(ROLE_AGENT);
	(void)close(fork_worker());
}

static void
say_line(int worker, uint64_t job, const char *line)
{
	const struct msg_dialogue dialogue = { .job = job, .from_remote = 1 };

	say_fd(worker, MSG_DIALOGUE, &dialogue, line, strlen(line), -1);
}

/* The line that the intake gets next, and for which job. */
static void
expect_line(uint64_t request, const char *line)
{
	struct message m = hear(intake, ROLE_INTAKE, MSG_TRACE);

	cr_expect_eq(((const struct msg_trace *)m.payload)->request, request,
	    "%s", line);
	cr_expect_eq(m.tail_len, strlen(line));
	cr_expect_eq(memcmp(m.tail, line, m.tail_len), 0);
}

/* Two jobs of different users on one connection. */
Test(queue, who_watches_sees_its_own_transactions_alone)
{
	uint64_t first, second;
	int worker;

	submit_flags = SUBMIT_VERBOSE;
	hand_in(1, WAIT_ATTEMPT, 100, "a@b.example", NULL);
	(void)accepted();
	answer_plan("b.example");
	worker = fork_worker();
	say(worker, MSG_NEXT, &(struct msg_next){ 0 });
	(void)close(hear(dialer, ROLE_DIALER, MSG_DIAL).fd);
	say_line(worker, 0, "220 hi");
	expect_line(1, "220 hi");
	say(worker, MSG_SESSION_UP, &(struct msg_session_up){ 0 });
	first = take_job(worker);
	hand_in(2, WAIT_ATTEMPT, 100, "c@b.example", NULL);
	(void)accepted();
	say_line(worker, first, "250 one");
	deliver(worker, first);
	expect_line(1, "250 one");
	(void)hear(intake, ROLE_INTAKE, MSG_RESULT);
	(void)hear(intake, ROLE_INTAKE, MSG_RESULTS_END);
	second = take_job(worker);
	say_line(worker, 0, "250 of another's?");
	say_line(worker, first, "250 late");
	say_line(worker, second, "250 two");
	expect_line(2, "250 two");
	(void)close(worker);
}

/* A chatty server and an intake that does nothing: lines are lost, no more. */
Test(queue, a_dialogue_without_end_costs_lines_alone)
{
	const struct msg_trace *trace;
	struct message m;
	uint64_t job, lines = 0, lost = 0;
	int worker;

	submit_flags = SUBMIT_VERBOSE;
	worker = worker_with_job(&job);
	for (uint32_t i = 0; i < 70000; i++)
		say_line(worker, job, "250 more");
	(void)counts(); /* all are read */
	deliver(worker, job);
	do {
		cr_assert_eq(message_receive(intake, packet, ROLE_QUEUE,
				 ROLE_INTAKE, 0, &m, &(const char *){ NULL }),
		    1);
		trace = m.payload;
		if (m.type != MSG_TRACE)
			continue;
		lines++;
		lost += trace->lost; /* said with a line, or not at all */
	} while (m.type != MSG_RESULTS_END);
	cr_expect_leq(lines, 3000);
	cr_expect_gt(lines, 0);
	cr_expect_leq(lines + lost, 70000);
	(void)close(worker);
}

/* Who speaks with strangers may not see or change what is queued. */
Test(queue, an_intake_that_asks_or_orders_is_ended)
{
	static const enum msg_type types[] = { MSG_ACT, MSG_ASK, MSG_STOP,
		MSG_TRANSCRIPTS };
	static const uint8_t zeros[512];
	const struct msg_fault *fault;
	struct message m;
	uint8_t octet;

	hand_in(1, WAIT_QUEUED, 100, "u@local.example", NULL);
	(void)accepted();
	for (size_t i = 0; i < NELEM(types); i++) {
		cr_assert_leq(msg_descs[types[i]].size, sizeof(zeros));
		cr_assert_eq(
		    message_send(intake, types[i], zeros, NULL, 0, -1, 0), 0);
		m = hear(master, ROLE_MASTER, MSG_FAULT);
		fault = m.payload;
		cr_expect_eq(fault->role, ROLE_INTAKE, "type %zu", i);
		cr_expect_eq(read(intake, &octet, 1), 0, "nothing is answered");
		(void)close(intake);
		intake = peer_of(ROLE_INTAKE);
	}
	cr_expect_eq(counts().counts[RECIPIENT_QUEUED] +
		counts().counts[RECIPIENT_ACTIVE] +
		counts().counts[RECIPIENT_DEFERRED],
	    1);
}

/* Both count their requests from 1. */
Test(queue, a_client_that_leaves_control_leaves_the_intakes_requests_alone)
{
	struct msg_request one = { 1 };
	int worker;

	hand_in(1, WAIT_FINAL, 100, "u@local.example", NULL);
	(void)accepted();
	say(control, MSG_CANCEL, &one);
	(void)counts(); /* it was read */
	worker = fork_worker();
	bring_up(worker, true);
	deliver(worker, take_job(worker));
	(void)hear(intake, ROLE_INTAKE, MSG_RESULT);
	(void)hear(intake, ROLE_INTAKE, MSG_RESULTS_END);
	(void)close(worker);
}

Test(queue, a_new_intake_may_hand_in)
{
	hand_in(1, WAIT_FINAL, 100, "u@local.example", NULL);
	(void)accepted();
	(void)close(intake);
	intake = peer_of(ROLE_INTAKE);
	hand_in(1, WAIT_QUEUED, 100, "v@local.example", NULL);
	(void)accepted();
}

/* Its last words were not read when posternd ended. */
Test(queue, a_worker_that_is_ended_leaves_doubt)
{
	uint64_t job;
	int worker = worker_with_job(&job);
	struct message m;
	int status;

	cr_assert_eq(kill(queue_pid, SIGSTOP), 0);
	(void)close(master);
	tell(worker, MSG_BEGUN, job);
	tell(worker, MSG_COMMITTING, job);
	cr_assert_eq(kill(queue_pid, SIGCONT), 0);
	cr_assert_eq(waitpid(queue_pid, &status, 0), queue_pid);
	queue_pid = -1;
	close_peers();
	start_with("1s");
	ask_for_rows(5, 10);
	m = hear(control, ROLE_CONTROL, MSG_LISTED);
	cr_expect_eq(((const struct msg_listed *)m.payload)->in_doubt, 1);
	(void)close(worker);
}

Test(queue, a_worker_that_asks_for_addresses_without_end_is_ended)
{
	struct msg_next next = { .again = 1 };
	int worker, i;

	hand_in(1, WAIT_QUEUED, 100, "a@b.example", NULL);
	(void)accepted();
	answer_plan("b.example");
	worker = fork_worker();
	for (i = 0; i < 5; i++) {
		say(worker, MSG_NEXT, &next);
		(void)close(hear(dialer, ROLE_DIALER, MSG_DIAL).fd);
	}
	say(worker, MSG_NEXT, &next);
	(void)hear(agent, ROLE_AGENT, MSG_KILL);
	cr_expect(log_will_say("more addresses than there are"));
	(void)close(worker);
}

Test(queue, a_worker_writes_no_lines_of_its_own)
{
	struct msg_next next = { 0 };
	struct msg_closed closed = { .failed = 1 };
	uint64_t job;
	int worker;

	hand_in(1, WAIT_ATTEMPT, 100, "a@b.example", NULL);
	(void)accepted();
	answer_plan("b.example");
	worker = fork_worker();
	say(worker, MSG_NEXT, &next);
	(void)close(hear(dialer, ROLE_DIALER, MSG_DIAL).fd);
	say_fd(worker, MSG_CLOSED, &closed, "x\nforged\033[2J", 12, -1);
	(void)hear(agent, ROLE_AGENT, MSG_KILL);
	cr_expect(log_will_say("a text that is not printable"));
	cr_expect_not(log_says("forged"));
	(void)close(worker);
	(void)close(agent);
	agent = peer_of(ROLE_AGENT);
	worker = fork_worker();
	bring_up(worker, false);
	job = take_job(worker);
	tell(worker, MSG_BEGUN, job);
	tell_outcome(worker, job, 0, OUTCOME_DEFERRED, "4\n", "450 later");
	(void)hear(agent, ROLE_AGENT, MSG_KILL);
	cr_expect(log_will_say("an outcome that cannot be"));
	(void)close(worker);
}

Test(queue, a_question_to_the_resolver_that_is_lost_is_asked_again)
{
	struct message m;
	uint32_t id;

	hand_in(1, WAIT_ATTEMPT, 100, "a@b.example", NULL);
	(void)accepted();
	m = hear(resolver, ROLE_RESOLVER, MSG_RESOLVE);
	id = ((const struct msg_resolve *)m.payload)->id;
	m = hear_late(resolver, ROLE_RESOLVER, MSG_RESOLVE);
	cr_expect_eq(((const struct msg_resolve *)m.payload)->id, id);
	cr_expect(log_will_say("the resolver has not answered"));
}

Test(queue, a_question_for_a_secret_that_is_lost_is_asked_again)
{
	struct message m;

	hand_in(1, WAIT_ATTEMPT, 100, "a@secret.example", NULL);
	(void)accepted();
	(void)hear(master, ROLE_MASTER, MSG_SECRET_ASK);
	m = hear_late(master, ROLE_MASTER, MSG_SECRET_ASK);
	cr_expect_eq(((const struct msg_secret_ask *)m.payload)->generation, 1);
}

Test(queue, a_socket_that_does_not_come_is_asked_for_again_and_given_up)
{
	struct msg_next first = { 0 };
	struct msg_next lost = { .again = NEXT_AGAIN_LOST };
	struct msg_dial dial;
	int worker;

	hand_in(1, WAIT_ATTEMPT, 100, "a@brief.example", NULL);
	(void)accepted();
	worker = fork_worker();
	say(worker, MSG_NEXT, &first);
	for (int i = 0; i < 3; i++) {
		struct message m = hear(dialer, ROLE_DIALER, MSG_DIAL);

		dial = *(const struct msg_dial *)m.payload;
		(void)close(m.fd);
		cr_expect_eq(dial.port, 25);
		say(worker, MSG_NEXT, &lost);
	}
	cr_expect_eq(result().outcome.status, OUTCOME_DEFERRED);
	cr_expect(log_will_say("the dialer gives no socket"));
	(void)close(worker);
}

/* Of all recipients; how many are in delivery. */
static unsigned
act_on_all(enum act_verb verb)
{
	static const char any[6] = "";
	struct msg_act act = { .request = 90, .verb = (uint8_t)verb };
	const char *at;
	char text[1024];
	struct message m;

	cr_assert_eq(
	    message_send(control, MSG_ACT, &act, any, sizeof(any), -1, 0), 0);
	m = hear(control, ROLE_CONTROL, MSG_TOLD);
	(void)snprintf(text, sizeof(text), "%.*s", (int)m.tail_len,
	    (const char *)m.tail);
	at = strstr(text, "\"in_delivery\":");
	cr_assert_neq(at, NULL, "%s", text);
	return (unsigned)atoi(at + strlen("\"in_delivery\":"));
}

static uint64_t
in_queue(void)
{
	struct msg_list_end c = counts();
	uint64_t n = 0;

	for (size_t i = 0; i < RECIPIENT_STATES; i++)
		n += c.counts[i];
	return n;
}

Test(queue, what_a_session_has_sent_nothing_of_is_deleted_at_once)
{
	struct msg_next next = { 0 };
	int worker;

	hand_in(1, WAIT_QUEUED, 100, "a@b.example", NULL);
	(void)accepted();
	answer_plan("b.example");
	worker = fork_worker();
	say(worker, MSG_NEXT, &next);
	(void)close(hear(dialer, ROLE_DIALER, MSG_DIAL).fd);
	cr_expect_eq(act_on_all(ACT_DELETE), 0);
	cr_expect(log_will_say("deleted"));
	cr_expect_eq(in_queue(), 0);
	(void)close(worker);
}

Test(queue, what_was_deleted_in_delivery_is_gone_after_its_attempt)
{
	uint64_t job;
	int worker;

	hand_in(1, WAIT_QUEUED, 100, "a@b.example", NULL);
	(void)accepted();
	answer_plan("b.example");
	worker = fork_worker();
	bring_up(worker, false);
	job = take_job(worker);
	tell(worker, MSG_BEGUN, job);
	cr_expect_eq(act_on_all(ACT_DELETE), 1);
	tell_outcome(worker, job, 0, OUTCOME_DEFERRED, "4.2.0", "450 later");
	cr_expect(log_will_say("status=deferred ("));
	cr_expect(log_will_say("deleted"));
	cr_expect_eq(in_queue(), 0);
	(void)close(worker);
}

Test(queue, what_was_deleted_and_is_delivered_all_the_same_is_delivered)
{
	uint64_t job;
	int worker = worker_with_job(&job);

	cr_expect_eq(act_on_all(ACT_DELETE), 1);
	deliver(worker, job);
	cr_expect_eq(result().outcome.status, OUTCOME_DELIVERED);
	cr_expect_not(log_says("deleted"));
	(void)close(worker);
}

/* Its worker dies before it has begun: it goes back, and no further. */
Test(queue, what_expires_in_delivery_fails_when_it_comes_back)
{
	struct msg_result r;
	uint64_t job;
	int worker = worker_with_job(&job);

	cr_expect_eq(act_on_all(ACT_EXPIRE), 1);
	(void)close(worker);
	r = result();
	cr_expect_eq(r.outcome.status, OUTCOME_FAILED);
	cr_expect_str_eq(r.outcome.dsn, "5.4.7");
	cr_expect(log_will_say("expired by an operator"));
}

/* Where words begin in what the log says by now; each is waited for. */
static size_t
log_place(const char *words)
{
	static char text[65536];
	const char *at;
	ssize_t n;

	cr_assert(log_will_say(words), "%s", words);
	n = pread(log_fd, text, sizeof(text) - 1, 0);
	cr_assert_geq(n, 0);
	text[n] = '\0';
	at = strstr(text, words);
	return at != NULL ? (size_t)(at - text) : SIZE_MAX;
}

static void
expect_log_order(const char *const *words, size_t n)
{
	for (size_t i = 1; i < n; i++)
		cr_expect_lt(log_place(words[i - 1]), log_place(words[i]),
		    "%s, then %s", words[i - 1], words[i]);
}

/* What a commit tells, and in which order, is what logs are read by. */
Test(queue, the_news_of_a_delivery_come_in_order)
{
	static const char *const words[] = { "100000: uid=1000 from=",
		"(queue active)", "status=sent", "100000: removed" };
	uint64_t job;
	int worker = worker_with_job(&job);

	deliver(worker, job);
	(void)hear(intake, ROLE_INTAKE, MSG_RESULT);
	(void)hear(intake, ROLE_INTAKE, MSG_RESULTS_END);
	expect_log_order(words, NELEM(words));
	(void)close(worker);
}

Test(queue, the_news_of_what_is_not_stored_come_in_order)
{
	static const char *const words[] = { "status=sent", ": removed" };
	uint64_t job;
	int worker;

	submit_flags = SUBMIT_TRANSIENT;
	worker = worker_with_job(&job);
	deliver(worker, job);
	(void)hear(intake, ROLE_INTAKE, MSG_RESULT);
	(void)hear(intake, ROLE_INTAKE, MSG_RESULTS_END);
	expect_log_order(words, NELEM(words));
	(void)close(worker);
}

Test(queue, the_news_of_what_expired_come_in_order)
{
	static const char *const words[] = { "status=bounced (delivery time expired "
					     "by an operator",
		"status=expired, returned to sender",
		"100000: sender non-delivery notification: 100001",
		"100001: from=<>" };
	int worker;

	hand_in(1, WAIT_QUEUED, 100, "a@b.example", NULL);
	(void)accepted();
	answer_plan("b.example");
	worker = fork_worker();
	bring_up(worker, false);
	(void)take_job(worker);
	cr_expect_eq(act_on_all(ACT_EXPIRE), 1);
	(void)close(worker);
	expect_log_order(words, NELEM(words));
}

/* What the resolver cannot know better than the queue. */
static const struct {
	int family;
	uint16_t port;
	const char *address;
	const char *why;
} lying_plans[] = {
	{ AF_INET, 22, "192.0.2.1", "another port" },
	{ AF_INET, 25, "127.0.0.1", "loopback" },
	{ AF_INET, 25, "0.0.0.0", "which leads there too" },
	{ AF_INET6, 25, "::1", "loopback" },
	{ AF_INET6, 25, "::", "which leads there too" },
	{ AF_INET6, 25, "::ffff:127.9.9.9", "loopback by way of IPv6" },
};

Test(queue, a_resolver_that_lies_is_ended_and_the_next_one_asked)
{
	struct msg_resolved answer = { .ttl_s = 60, .count = 1 };
	struct plan_address address = { .host = "mx.b.example" };
	struct message m;

	hand_in(1, WAIT_ATTEMPT, 100, "a@b.example", NULL);
	(void)accepted();
	for (size_t i = 0; i < NELEM(lying_plans); i++) {
		m = hear(resolver, ROLE_RESOLVER, MSG_RESOLVE);
		answer.id = ((const struct msg_resolve *)m.payload)->id;
		address.family = (uint8_t)lying_plans[i].family;
		address.port = lying_plans[i].port;
		cr_assert_eq(inet_pton(address.family, lying_plans[i].address,
				 address.addr),
		    1);
		say_fd(resolver, MSG_RESOLVED, &answer, &address,
		    sizeof(address), -1);
		m = hear(master, ROLE_MASTER, MSG_FAULT);
		cr_expect_eq(((const struct msg_fault *)m.payload)->role,
		    ROLE_RESOLVER, "%s", lying_plans[i].why);
		/* A question may come to three, then it is given up. */
		if (i % 3 == 2) {
			cr_expect_eq(result().outcome.status, OUTCOME_DEFERRED);
			(void)hear(intake, ROLE_INTAKE, MSG_RESULTS_END);
			if (i + 1 < NELEM(lying_plans)) {
				hand_in(2, WAIT_ATTEMPT, 100, "a@c.example",
				    NULL);
				(void)accepted();
			}
		}
	}
	cr_expect(is_quiet(agent, 100), "a session all the same");
}

Test(queue, a_worker_that_lies_is_ended_and_harms_only_its_own_job)
{
	uint64_t job;
	int worker = worker_with_job(&job);

	tell_outcome(worker, job, 7, OUTCOME_DELIVERED, "2.0.0", "250 ok");
	(void)hear(agent, ROLE_AGENT, MSG_KILL);
	(void)close(worker);
	cr_expect(log_will_say("OUTCOME of no recipient"));
	/* Whether it did what it was sent for, only it knows. */
	cr_expect_eq(result().outcome.in_doubt, 1);
	(void)hear(intake, ROLE_INTAKE, MSG_RESULTS_END);
	(void)close(agent);
	agent = peer_of(ROLE_AGENT); /* no second one of that */
	worker = fork_worker();
	bring_up(worker, false);
	/* DELIVERED without BEGUN is a lie too. */
	job = take_job(worker);
	tell_outcome(worker, job, 0, OUTCOME_DELIVERED, "2.0.0", "250 ok");
	(void)hear(agent, ROLE_AGENT, MSG_KILL);
	(void)close(worker);
	cr_expect_eq(counts().counts[RECIPIENT_FAILED], 0);
}

/* The rules of the channel itself, which are checked before anybody reads what
 * the message says: each is broken in one way. */
static void
break_rule(const void *octets, size_t n, bool with_fd, const char *why)
{
	union {
		struct cmsghdr align;
		uint8_t room[CMSG_SPACE(sizeof(int))];
	} ancillary = { 0 };
	struct iovec iov = { (void *)(uintptr_t)octets, n };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct message m;
	uint64_t job;
	int worker = worker_with_job(&job);

	if (with_fd) {
		mh.msg_control = &ancillary;
		mh.msg_controllen = sizeof(ancillary);
		CMSG_FIRSTHDR(&mh)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&mh)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&mh)->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&mh)), &worker, sizeof(int));
	}
	cr_assert_eq(sendmsg(worker, &mh, 0), (ssize_t)n);
	m = hear(agent, ROLE_AGENT, MSG_KILL);
	cr_expect_eq(((const struct msg_fork *)m.payload)->session, 1);
	cr_expect(log_will_say(why), "%s", why);
	/* What it did by then nobody knows. */
	cr_expect_eq(result().outcome.in_doubt, 1);
	(void)close(worker);
}

static const uint8_t *
packet_of(enum msg_type type, const void *payload, size_t *n)
{
	static _Alignas(64) uint8_t out[MSG_PACKET_SIZE];

	*n = message_encode(out, type, payload, NULL, 0);
	return out;
}

Test(queue, a_worker_that_sends_an_unknown_type_is_killed)
{
	const uint32_t octets[2] = { MSG_COUNT, 0 };

	break_rule(octets, sizeof(octets), false, "unknown type");
}

Test(queue, a_worker_that_sends_less_than_a_header_is_killed)
{
	break_rule("xyz", 3, false, "shorter than a header");
}

Test(queue, a_worker_that_sends_another_length_than_it_says_is_killed)
{
	const struct msg_job_ref ref = { 0 };
	size_t n;
	const uint8_t *octets = packet_of(MSG_BEGUN, &ref, &n);

	break_rule(octets, n - 1, false, "length and packet differ");
}

Test(queue, a_worker_that_sends_a_tail_where_there_is_none_is_killed)
{
	const uint32_t octets[5] = { MSG_BEGUN, 12 };

	break_rule(octets, sizeof(octets), false, "wrong size");
}

Test(queue, a_worker_that_sends_more_than_any_message_is_killed)
{
	static uint8_t octets[MSG_PACKET_SIZE + 1];

	break_rule(octets, sizeof(octets), false, "larger than any message");
}

Test(queue, a_worker_that_speaks_as_another_role_is_killed)
{
	const struct msg_gone gone = { .session = 1 };
	size_t n;
	const uint8_t *octets = packet_of(MSG_GONE, &gone, &n);

	break_rule(octets, n, false, "wrong direction");
}

Test(queue, a_worker_that_sends_a_stray_descriptor_is_killed)
{
	const struct msg_next next = { 0 };
	size_t n;
	const uint8_t *octets = packet_of(MSG_NEXT, &next, &n);

	break_rule(octets, n, true, "wrong number of descriptors");
}

Test(queue, a_worker_that_says_what_is_out_of_phase_is_killed)
{
	const struct msg_session_up up = { 0 };
	size_t n;
	const uint8_t *octets = packet_of(MSG_SESSION_UP, &up, &n);

	break_rule(octets, n, false, "SESSION_UP twice");
}

Test(queue, a_worker_that_tells_its_dialogue_unasked_is_killed)
{
	const struct msg_dialogue line = { .from_remote = 1 };
	size_t n;
	const uint8_t *octets = packet_of(MSG_DIALOGUE, &line, &n);

	break_rule(octets, n, false, "DIALOGUE that nobody asked for");
}

static void
say_gone(uint32_t session)
{
	struct msg_gone gone = { .session = session };

	say(agent, MSG_GONE, &gone);
}

/* A worker to brief.example, which has its first address. */
static int
brief_worker(void)
{
	struct msg_next next = { 0 };
	int worker;

	hand_in(1, WAIT_ATTEMPT, 100, "a@brief.example", NULL);
	(void)accepted();
	worker = fork_worker();
	say(worker, MSG_NEXT, &next);
	(void)close(hear(dialer, ROLE_DIALER, MSG_DIAL).fd);
	return worker;
}

Test(queue, a_worker_that_is_silent_is_killed_and_its_mail_is_tried_again)
{
	int worker = brief_worker();
	struct message m = hear_late(agent, ROLE_AGENT, MSG_KILL);

	cr_expect_eq(((const struct msg_fork *)m.payload)->session, 1);
	cr_expect(log_will_say("it does not end within session_timeout"));
	say_gone(1);
	(void)close(worker);
	worker = fork_worker(); /* for the same recipient */
	cr_expect_eq(counts().counts[RECIPIENT_FAILED], 0);
	(void)close(worker);
}

Test(queue, a_worker_that_stops_in_mid_message_leaves_as_much_doubt_as_it_said)
{
	struct msg_session_up up = { 0 };
	int worker = brief_worker();
	struct msg_result r;
	uint64_t job;

	say(worker, MSG_SESSION_UP, &up);
	job = take_job(worker);
	tell(worker, MSG_BEGUN, job);
	(void)hear_late(agent, ROLE_AGENT, MSG_KILL);
	r = result();
	cr_expect_eq(r.outcome.status, OUTCOME_DEFERRED);
	cr_expect_eq(r.outcome.in_doubt, 0);
	(void)close(worker);
}

Test(queue, a_worker_that_said_its_last_and_stays_is_killed)
{
	struct msg_closed closed = { .outcome = { .dsn = "2.0.0" } };
	struct msg_session_up up = { 0 };
	int worker = brief_worker();

	say(worker, MSG_SESSION_UP, &up);
	deliver(worker, take_job(worker));
	say(worker, MSG_CLOSED, &closed);
	(void)hear_late(agent, ROLE_AGENT, MSG_KILL);
	cr_expect(log_will_say("it does not end within quit_timeout"));
	(void)close(worker);
}

Test(queue, a_worker_whose_session_is_over_counts_until_it_is_gone)
{
	struct message m;
	uint64_t job;
	int worker = worker_with_job(&job);

	/* Its end of the channel is closed, and it does not end. */
	(void)close(worker);
	worker = fork_worker();
	m = hear_late(agent, ROLE_AGENT, MSG_KILL);
	(void)close(worker);
	cr_expect_eq(((const struct msg_fork *)m.payload)->session, 1);
	cr_expect(log_will_say("does not end: it is killed"));
}

Test(queue, an_agent_that_ends_no_worker_is_ended)
{
	struct msg_fault fault;
	uint64_t job;
	int worker = worker_with_job(&job);

	tell_outcome(worker, job, 7, OUTCOME_DELIVERED, "2.0.0", "250 ok");
	(void)hear(agent, ROLE_AGENT, MSG_KILL); /* and no GONE follows */
	(void)hear(master, ROLE_MASTER, MSG_RENEW);
	fault =
	    *(const struct msg_fault *)hear_late(master, ROLE_MASTER, MSG_FAULT)
		 .payload;
	cr_expect_eq(fault.role, ROLE_AGENT);
	cr_expect_eq(fault.pid, 42, "which one of them");
	(void)close(worker);
}

/* A reload brings another agent; the one before has its workers yet. */
Test(queue, a_worker_of_the_agent_before_is_killed_there)
{
	uint64_t job;
	int worker = worker_with_job(&job);
	int before = agent;
	struct message m;

	agent = peer_of(ROLE_AGENT);
	tell_outcome(worker, job, 7, OUTCOME_DELIVERED, "2.0.0", "250 ok");
	m = hear(before, ROLE_AGENT, MSG_KILL);
	cr_expect_eq(((const struct msg_fork *)m.payload)->session, 1);
	(void)close(worker);
	worker = fork_worker(); /* by the new one */
	(void)close(worker);
	/* With its last worker gone nothing keeps the one before. */
	cr_assert_eq(message_send(before, MSG_GONE,
			 &(struct msg_gone){ .session = 1 }, NULL, 0, -1, 0),
	    0);
	cr_expect_eq(read(before, packet, sizeof(packet)), 0);
	(void)close(before);
	m = hear(master, ROLE_MASTER, MSG_DISMISSED);
	cr_expect_eq(((const struct msg_renew *)m.payload)->pid, 42);
}

/* Its destination waits for another agent; others do not. */
Test(queue, a_worker_that_crashes_is_the_last_of_its_agent_for_its_destination)
{
	struct msg_gone gone = { .session = 1, .status = SIGSEGV };
	struct message m;
	uint64_t job;
	int worker = worker_with_job(&job);

	(void)close(worker);
	say(agent, MSG_GONE, &gone);
	m = hear(master, ROLE_MASTER, MSG_RENEW);
	cr_expect_eq(((const struct msg_renew *)m.payload)->pid, 42);
	hand_in(2, WAIT_QUEUED, 100, "u@local.example", NULL);
	(void)accepted();
	m = hear_fork();
	cr_expect_eq(((const struct msg_fork *)m.payload)->session, 2);
	worker = m.fd;
	cr_expect(is_quiet(agent, 2500), "the same agent, once more");
	(void)close(agent);
	(void)close(worker);
	agent = peer_of(ROLE_AGENT);
	(void)close(fork_worker());
}

/* An agent that ends as it should is no reason for another. */
Test(queue, a_worker_that_ends_well_asks_for_no_other_agent)
{
	struct msg_gone gone = { .session = 1, .status = 0 };
	uint64_t job;
	int worker = worker_with_job(&job);

	(void)close(worker);
	say(agent, MSG_GONE, &gone);
	cr_expect(is_quiet(master, 300), "RENEW for nothing");
	(void)close(fork_worker());
}

/* Who tries to take workers over lets mail pass between two attempts. */
Test(queue, deaths_of_a_destinations_workers_count_across_successes)
{
	struct message m;
	uint64_t job;
	uint32_t session = 1;
	int worker = worker_with_job(&job);

	for (int i = 0; i < 2; i++) {
		deliver(worker, job);
		hand_in(9, WAIT_QUEUED, 100, "a@b.example", NULL);
		(void)hear_behind(worker, MSG_JOB);
		(void)close(worker);
		say_gone(session);
		cr_expect(is_quiet(agent, i == 0 ? 700 : 1700), "death %d", i);
		m = hear_fork();
		worker = m.fd;
		session = ((const struct msg_fork *)m.payload)->session;
		bring_up(worker, false);
		job = take_job(worker);
	}
	(void)close(worker);
}

static void
expect_string(const struct message *m, size_t *at, const char *want)
{
	const char *text = message_tail_next(m, at);

	cr_assert_neq(text, NULL, "nothing instead of %s", want);
	cr_expect_str_eq(text, want);
}

Test(queue, parameters_go_to_the_worker_with_the_job)
{
	struct message m;
	size_t at = 0;
	int worker;

	parameters = "RET=HDRS BY=120;N HOLDFOR=5";
	rcpt_parameters = "NOTIFY=NEVER";
	hand_in(1, WAIT_QUEUED, 10, "a@b.example", "c@b.example");
	(void)accepted();
	answer_plan("b.example");
	worker = fork_worker();
	(void)hear(worker, ROLE_WORKER, MSG_SESSION);
	bring_up(worker, false);
	m = hear_behind(worker, MSG_JOB);
	(void)close(m.fd);
	expect_string(&m, &at, "s@e.example");
	expect_string(&m, &at, "RET=HDRS BY=120;N HOLDFOR=5");
	expect_string(&m, &at, "a@b.example");
	expect_string(&m, &at, "NOTIFY=NEVER");
	expect_string(&m, &at, "c@b.example");
	expect_string(&m, &at, "NOTIFY=NEVER");
	cr_expect_null(message_tail_next(&m, &at));
	(void)close(worker);
}

Test(queue, what_is_late_is_returned_and_never_seen_by_a_worker)
{
	int worker;

	parameters = "BY=1;R";
	hand_in(1, WAIT_QUEUED, 10, "a@b.example", NULL);
	(void)accepted();
	answer_plan("b.example");
	worker = fork_worker();
	(void)hear(worker, ROLE_WORKER, MSG_SESSION);
	(void)usleep(1100 * 1000);
	bring_up(worker, false);
	cr_expect(log_will_say("dsn=5.4.7, status=bounced (the time to deliver "
			       "by is over)"));
	(void)close(worker);
}

/* As many octets as a JOB's tail has, with what the sender's part takes. */
static uint32_t
hand_in_full(const char *mail_parameters)
{
	struct msg_submit submit = { .request = 1, .size = 1, .uid = 1000 };
	struct msg_request end = { .request = 1 };
	size_t left = msg_descs[MSG_JOB].tail, len = 0, n;
	char tail[32768], orcpt[512] = "ORCPT=rfc822;";
	int fd = fd_sealed("body", "x", 1);
	uint32_t count = 0;

	cr_assert(message_tail_add(tail, sizeof(tail), &len, "s@e.example"));
	cr_assert(message_tail_add(tail, sizeof(tail), &len, mail_parameters));
	left -= len;
	cr_assert(message_tail_add(tail, sizeof(tail), &len, "ref"));
	cr_assert(message_tail_add(tail, sizeof(tail), &len, ""));
	for (; left > 0; left -= n, count++) {
		n = left > 600 ? 500 : left > 515 ? 400 : left;
		memset(orcpt + 13, 'x', n - 12 - 14);
		orcpt[n - 12 - 1] = '\0'; /* behind "a@b.example" */
		cr_assert(
		    message_tail_add(tail, sizeof(tail), &len, "a@b.example"));
		cr_assert(message_tail_add(tail, sizeof(tail), &len, orcpt));
	}
	say_fd(intake, MSG_SUBMIT, &submit, tail, len, fd);
	(void)close(fd);
	say(intake, MSG_SUBMIT_END, &end);
	return count;
}

/* A reload reaches the intake and the queue one after the other; an MTA that hands
 * mail in meanwhile keeps it.  A user who misspells a name is told so for good. */
Test(queue, a_transport_that_is_not_there_is_a_listeners_trouble_for_now)
{
	struct msg_submit submit = { .request = 1, .size = 1, .uid = 1000 };
	const struct msg_refused *refused;
	struct message m;
	char tail[1024];
	size_t len;
	int fd, logged;

	for (logged = 0; logged < 2; logged++) {
		len = 0;
		submit.flags = logged != 0 ? SUBMIT_LOGGED : 0;
		fd = fd_sealed("body", "x", 1);
		cr_assert(message_tail_add(tail, sizeof(tail), &len, "s@e.x"));
		cr_assert(message_tail_add(tail, sizeof(tail), &len, ""));
		cr_assert(message_tail_add(tail, sizeof(tail), &len, "ref"));
		cr_assert(message_tail_add(tail, sizeof(tail), &len, "gone"));
		if (logged != 0)
			cr_assert(message_tail_add(tail, sizeof(tail), &len,
			    "mta[192.0.2.1]"));
		add_recipient(tail, sizeof(tail), &len, "a@b.example");
		say_fd(intake, MSG_SUBMIT, &submit, tail, len, fd);
		(void)close(fd);
		m = hear(intake, ROLE_INTAKE, MSG_REFUSED);
		refused = m.payload;
		cr_expect_eq(refused->code, logged != 0 ? 451 : 554);
	}
}

Test(queue, a_time_that_grows_longer_by_waiting_still_fits)
{
	uint32_t count = hand_in_full("BY=1;N"), nrcpt, strings = 0;
	struct message m;
	size_t at = 0;
	int worker;

	(void)accepted();
	answer_plan("b.example");
	worker = fork_worker();
	(void)hear(worker, ROLE_WORKER, MSG_SESSION);
	(void)usleep(2100 * 1000);
	bring_up(worker, false);
	m = hear_behind(worker, MSG_JOB);
	(void)close(m.fd);
	nrcpt = ((const struct msg_job *)m.payload)->nrcpt;
	cr_expect(nrcpt == count || nrcpt == count - 1);
	expect_string(&m, &at, "s@e.example");
	expect_string(&m, &at, "BY=-1;N");
	while (message_tail_next(&m, &at) != NULL)
		strings++;
	cr_expect_eq(strings, 2 * nrcpt);
	(void)close(worker);
}

Test(queue, a_worker_has_no_recipients_go_round_and_round)
{
	struct msg_outcome again = { .outcome = { .again = 1 } };
	uint64_t job;
	int worker;

	hand_in(1, WAIT_ATTEMPT, 100, "a@b.example", "c@b.example");
	(void)accepted();
	answer_plan("b.example");
	worker = fork_worker();
	bring_up(worker, false);
	job = take_job(worker);
	tell(worker, MSG_BEGUN, job);
	again.job = job;
	again.outcome.status = OUTCOME_DEFERRED;
	(void)strlcpy(again.outcome.dsn, "4.5.3", sizeof(again.outcome.dsn));
	for (again.rcpt = 0; again.rcpt < 2; again.rcpt++)
		say_fd(worker, MSG_OUTCOME, &again, "452 many", 8, -1);
	cr_expect_eq(result().outcome.status, OUTCOME_DEFERRED);
	(void)take_job(worker); /* the other one, which is alone */
	cr_expect_eq(counts().counts[RECIPIENT_DEFERRED], 1);
	(void)close(worker);
}

Test(queue, a_worker_that_gives_back_and_goes_is_not_forked_at_once)
{
	struct msg_closed closed = { .outcome = { .dsn = "2.0.0" } };
	uint64_t job;
	int worker = worker_with_job(&job);

	tell(worker, MSG_BEGUN, job);
	tell(worker, MSG_AGAIN, job);
	say(worker, MSG_CLOSED, &closed);
	(void)close(worker);
	cr_expect(is_quiet(agent, 200), "forked again without an attempt");
}

/* What is left out of a transcript, its last line among it, hides none of ours. */
Test(queue, a_worker_that_ends_no_line_hides_no_outcome)
{
	struct msg_transcript part = { .first = 1 };
	struct msg_closed closed = { .outcome = { .dsn = "2.0.0" } };
	char octets[16384], command[256];
	uint64_t job;
	int worker = worker_with_job(&job);

	memset(octets, '1', sizeof(octets));
	for (int i = 0; i < 512 / 16; i++)
		say_fd(worker, MSG_TRANSCRIPT, &part, octets, sizeof(octets),
		    -1);
	say_fd(worker, MSG_TRANSCRIPT, &part, "1\n", 2, -1);
	tell(worker, MSG_BEGUN, job);
	tell_outcome(worker, job, 0, OUTCOME_FAILED, "5.1.1", "550 no");
	say(worker, MSG_CLOSED, &closed);
	(void)close(worker);
	cr_expect(log_will_say("transcript="));
	(void)snprintf(command, sizeof(command),
	    "grep -q '^outcome 1 \"a@b.example\" failed' '%s'/transcripts/*",
	    spool);
	cr_expect_eq(system(command), 0);
}

Test(queue, bad_parameters_are_refused)
{
	static const char *const bad[] = { "BY=0;R", "NOTIFY=NEVER", "X=1" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		parameters = bad[i];
		hand_in(i + 1, WAIT_QUEUED, 10, "a@b.example", NULL);
		(void)hear(intake, ROLE_INTAKE, MSG_REFUSED);
	}
	parameters = "";
	rcpt_parameters = "RET=FULL";
	hand_in(9, WAIT_QUEUED, 10, "a@b.example", NULL);
	(void)hear(intake, ROLE_INTAKE, MSG_REFUSED);
}

Test(queue, a_body_that_is_not_sealed_is_refused)
{
	struct msg_submit submit = { .request = 1, .size = 0 };
	char tail[] = "s@e.example\0\0\0\0a@b.example\0";
	int fd = memfd_create("open", MFD_CLOEXEC);

	say_fd(intake, MSG_SUBMIT, &submit, tail, sizeof(tail), fd);
	(void)close(fd);
	(void)hear(intake, ROLE_INTAKE, MSG_REFUSED);
}

Test(queue, a_drain_lets_a_message_end_and_takes_no_new_one)
{
	struct msg_none none = { 0 };
	struct msg_closed closed = { 0 };
	uint64_t job;
	int worker = worker_with_job(&job);
	int status;

	tell(worker, MSG_BEGUN, job);
	say(master, MSG_DRAIN, &none);
	(void)hear_behind(worker, MSG_QUIT);
	hand_in(2, WAIT_QUEUED, 100, "a@b.example", NULL);
	(void)hear(intake, ROLE_INTAKE, MSG_REFUSED);
	tell_outcome(worker, job, 0, OUTCOME_DELIVERED, "2.0.0", "250 ok");
	say(worker, MSG_CLOSED, &closed);
	(void)close(worker);
	cr_expect_eq(result().outcome.status, OUTCOME_DELIVERED);
	cr_assert_eq(waitpid(queue_pid, &status, 0), queue_pid);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	queue_pid = -1;
	close_peers();
}

Test(queue, a_reload_keeps_what_waits_and_uses_the_new_text)
{
	struct msg_config config = { .generation = 2 };
	char text[2048];
	int worker;
	int fd;

	hand_in(1, WAIT_QUEUED, 100, "a@b.example", NULL);
	(void)accepted();
	(void)hear(resolver, ROLE_RESOLVER, MSG_RESOLVE);
	(void)snprintf(text, sizeof(text),
	    "spool_directory = \"%s\"\n"
	    "transport other {\n server = \"[192.0.2.7]:2525\"\n}\n"
	    "route \"*\" {\n transport = other\n}\n",
	    spool);
	fd = fd_sealed("config", text, strlen(text));
	say_fd(master, MSG_CONFIG, &config, "test.conf", 9, fd);
	(void)close(fd);
	worker = fork_worker();
	(void)hear(worker, ROLE_WORKER, MSG_SESSION);
	(void)close(worker);
	fd = fd_sealed("config", "nonsense", 8);
	say_fd(master, MSG_CONFIG, &config, "test.conf", 9, fd);
	(void)close(fd);
	cr_expect(log_will_say("test.conf:1: "));
	hand_in(2, WAIT_QUEUED, 100, "a@b.example", NULL);
	(void)accepted();
}

static void
reload(void)
{
	struct msg_config config = { .generation = 2 };
	char text[2048];
	int fd;

	(void)snprintf(text, sizeof(text), config_text, spool, "1s");
	fd = fd_sealed("config", text, strlen(text));
	say_fd(master, MSG_CONFIG, &config, "test.conf", 9, fd);
	(void)close(fd);
}

/* What a scan took once, and a reload gave back, is behind its place. */
Test(queue, what_a_reload_gives_back_waits_for_no_session)
{
	const struct timespec scan = { .tv_sec = 3 };
	struct msg_closed closed = { 0 };
	uint64_t jobs[2];
	uint64_t i;
	int worker;

	for (i = 0; i < 6; i++) {
		hand_in(i + 1, WAIT_QUEUED, 100, "a@b.example", NULL);
		(void)accepted();
	}
	crash();
	start_with("1s");
	answer_plan("b.example");
	worker = fork_worker();
	bring_up(worker, false);
	jobs[0] = take_job(worker);
	jobs[1] = take_job(worker);
	reload();
	(void)nanosleep(&scan, NULL);
	deliver(worker, jobs[0]);
	deliver(worker, jobs[1]);
	say(worker, MSG_CLOSED, &closed);
	(void)close(worker);
	answer_plan("b.example");
	(void)close(fork_worker());
}

/* QUIT and the question for an address cross: no host has failed by that. */
Test(queue, a_reload_while_a_session_dials_is_no_failure)
{
	struct msg_next next = { 0 };
	int worker;

	hand_in(1, WAIT_QUEUED, 100, "a@b.example", NULL);
	(void)accepted();
	answer_plan("b.example");
	worker = fork_worker();
	reload();
	(void)hear_behind(worker, MSG_QUIT);
	say(worker, MSG_NEXT, &next);
	(void)close(worker);
	answer_plan("b.example");
	(void)close(fork_worker());
	cr_expect_not(log_says("no address to connect to"));
}

/* Of a job that comes back, nothing waits for a transport that is gone. */
Test(queue, what_comes_back_after_a_reload_goes_the_new_way)
{
	struct msg_config config = { .generation = 2 };
	struct msg_closed closed = { .outcome = { .dsn = "2.0.0" } };
	char text[2048];
	uint64_t job;
	int worker = worker_with_job(&job);
	int fd;

	(void)snprintf(text, sizeof(text),
	    "spool_directory = \"%s\"\n"
	    "transport other {\n server = \"[192.0.2.7]:2525\"\n}\n"
	    "route \"*\" {\n transport = other\n}\n",
	    spool);
	fd = fd_sealed("config", text, strlen(text));
	say_fd(master, MSG_CONFIG, &config, "test.conf", 9, fd);
	(void)close(fd);
	(void)hear_behind(worker, MSG_QUIT);
	tell(worker, MSG_BEGUN, job);
	tell(worker, MSG_AGAIN, job);
	say(worker, MSG_CLOSED, &closed);
	(void)close(worker);
	worker = fork_worker();
	(void)hear(worker, ROLE_WORKER, MSG_SESSION);
	(void)close(worker);
}
