/* SPDX-License-Identifier: ISC */
/*
 * The whole queue role, among peers that this program plays, while one of its
 * calls fails.
 *
 * Mail is handed in, delivered, deferred and refused, an operator acts, the
 * configuration is read anew, and the role is stopped.  Then a second role, whose
 * calls all work, has the same spool.  At the end each recipient of a message that
 * was accepted has an outcome of ours, nothing is left in the queue, and what was
 * refused was delivered to nobody.
 */
#include "faults.h"

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/message.h"
#include "common/roles.h"
#include "common/util.h"

enum {
	EVENTS = 16,
	REQUESTS = 32,
	RCPTS = 600,     /* more than come in one part; see staging.c */
	QUIET_MS = 60,   /* nothing more comes, we take it */
	WAIT_MS = 1500,  /* for what should come, while calls fail */
	LAST_MS = 15000, /* for the second role to have done all */
	LOG_FD = 100,
};

/* What we know of each job that was handed in, in both lives of the role. */
static struct {
	uint64_t id;
	bool accepted, refused, is_transient;
	uint32_t nrcpt;
	bool is_final[RCPTS], delivered[RCPTS];
} jobs[REQUESTS];

static int master, intake, control, resolver, dialer, agent, poller;
static struct {
	int fd;
	uint32_t session;
} workers[64];
static unsigned nworkers;
static unsigned long answers, tellings; /* that came */
static uint64_t counts[RECIPIENT_STATES];
static bool has_counts;
static bool is_last; /* the second role: all is delivered */
static int log_fd = -1;
static pid_t role_pid;
static bool role_is_gone, is_stopping, channels_lost;
static uint64_t requests;
static _Alignas(64) uint8_t packet[MSG_PACKET_SIZE];

static const char config_text[] =
    "spool_directory = \"%s\"\n"
    "hostname = \"client.example\"\n"
    "minimal_backoff_time = 1s\n"
    "maximal_backoff_time = 1s\n"
    "stop_timeout = 1s\n"
    "inline_body_limit = 1k\n"
    "resolver_timeout = 1s\n"
    "group_commit_delay = 0\n"
    "%s"
    "transport smtp {\n tls_security_level = none\n"
    " destination_recipient_limit = 100\n connection_idle_time = 1s\n"
    " destination_rate = { \"1000 messages/second\" }\n}\n"
    "transport lmtp {\n protocol = lmtp\n server = \"unix:/run/lmtp\"\n"
    " tls_security_level = none\n delivered_to = yes\n}\n"
    "route local.example {\n transport = lmtp\n}\n"
    "route \"*\" {\n transport = smtp\n}\n";

/* The other end may be gone: that is seen where it matters. */
static void
say(int sock, enum msg_type type, const void *payload, const void *tail,
    size_t len, int fd)
{
	(void)message_send(sock, type, payload, tail, len, fd, 0);
}

static void
watch(int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) == -1)
		faults_fail("epoll_ctl: %s", strerror(errno));
}

static int
peer_of(unsigned role)
{
	struct msg_peer peer = { .role = role, .pid = 42 };
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == -1)
		faults_fail("socketpair: %s", strerror(errno));
	say(master, MSG_PEER, &peer, NULL, 0, fds[1]);
	(void)close(fds[1]);
	watch(fds[0]);
	return fds[0];
}

static void
send_config(uint32_t generation, const char *more)
{
	struct msg_config config = { .generation = generation };
	char text[4096];
	int fd;

	(void)snprintf(text, sizeof(text), config_text, faults_folder(), more);
	fd = fd_sealed("config", text, strlen(text));
	say(master, MSG_CONFIG, &config, "test.conf", 9, fd);
	(void)close(fd);
}

/* The role in its own process; its calls fail where the harness says so. */
static void
role_child(int fd, bool fails)
{
	unsigned before;
	int status;

	(void)alarm(40);
	if (dup2(fd, ROLE_PARENT_FD) == -1)
		_exit(99);
	(void)close_range(ROLE_PARENT_FD + 1, ~0U, 0);
	before = faults_descriptors();
	if (fails)
		faults_arm();
	status = queue_run(ROLE_PARENT_FD);
	faults_disarm();
	/* It closes the master's channel, which is one of them. */
	if (faults_descriptors() != before - 1)
		faults_fail("the role had %u descriptors before, %u after",
		    before - 1, faults_descriptors());
	exit(status);
}

static void
role_start(bool fails)
{
	struct msg_log_sink sink = { .name = "postern", .least = LOG_INFO };
	struct msg_start start = { 0 };
	int fds[2];

	role_is_gone = is_stopping = false;
	nworkers = 0;
	poller = epoll_create1(EPOLL_CLOEXEC);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) == -1)
		faults_fail("socketpair: %s", strerror(errno));
	(void)fflush(NULL);
	role_pid = fork();
	if (role_pid == -1)
		faults_fail("fork: %s", strerror(errno));
	if (role_pid == 0)
		role_child(fds[1], fails);
	(void)close(fds[1]);
	master = fds[0];
	start.pid = (uint32_t)role_pid;
	say(master, MSG_LOG_SINK, &sink, NULL, 0, log_fd);
	send_config(1, "");
	intake = peer_of(ROLE_INTAKE);
	control = peer_of(ROLE_CONTROL);
	resolver = peer_of(ROLE_RESOLVER);
	dialer = peer_of(ROLE_DIALER);
	agent = peer_of(ROLE_AGENT);
	say(master, MSG_START, &start, NULL, 0, -1);
	watch(master);
}

/* One job; recipients are r0.N@, r1.N@ ... of the domain, N its request. */
static void
hand_in(const char *domain, uint32_t nrcpt, size_t size, uint32_t wait,
    uint32_t flags)
{
	struct msg_submit submit = { .size = size,
		.wait = wait,
		.flags = flags,
		.uid = 1000 };
	struct msg_request end = { 0 };
	char address[64], tail[32768];
	char *body = calloc(1, size + 1);
	size_t len = 0;
	int fd;

	if (body == NULL)
		faults_fail("no memory");
	memset(body, 'x', size);
	memcpy(body, "a: b\r\n\r\n", 8);
	fd = fd_sealed("body", body, size);
	free(body);
	submit.request = end.request = ++requests;
	jobs[requests].nrcpt = nrcpt;
	(void)message_tail_add(tail, sizeof(tail), &len, "s@home.example");
	(void)message_tail_add(tail, sizeof(tail), &len, "");
	(void)message_tail_add(tail, sizeof(tail), &len, "ref");
	(void)message_tail_add(tail, sizeof(tail), &len, "");
	for (uint32_t i = 0; i < nrcpt; i++) {
		(void)snprintf(address, sizeof(address), "r%u.%u@%s", i,
		    (unsigned)requests, domain);
		(void)message_tail_add(tail, sizeof(tail), &len, address);
		(void)message_tail_add(tail, sizeof(tail), &len, "");
	}
	say(intake, MSG_SUBMIT, &submit, tail, len, fd);
	(void)close(fd);
	say(intake, MSG_SUBMIT_END, &end, NULL, 0, -1);
}

static void
answer_plan(const struct message *m)
{
	const struct msg_resolve *ask = m->payload;
	struct msg_resolved answer = { .id = ask->id, .ttl_s = 60, .count = 1 };
	struct plan_address address = { .family = AF_INET,
		.port = 25,
		.addr = { 192, 0, 2, 1 },
		.host = "mx.example" };

	say(resolver, MSG_RESOLVED, &answer, &address, sizeof(address), -1);
}

static void
adopt(int worker, uint32_t session)
{
	struct msg_next next = { 0 };

	if (nworkers == NELEM(workers)) {
		(void)close(worker);
		return;
	}
	workers[nworkers].fd = worker;
	workers[nworkers++].session = session;
	watch(worker);
	say(worker, MSG_NEXT, &next, NULL, 0, -1);
}

static void
worker_gone(int worker)
{
	struct msg_gone gone = { 0 };

	for (unsigned i = 0; i < nworkers; i++) {
		if (workers[i].fd != worker)
			continue;
		gone.session = workers[i].session;
		workers[i] = workers[--nworkers];
		(void)close(worker);
		if (agent != -1)
			say(agent, MSG_GONE, &gone, NULL, 0, -1);
		return;
	}
}

static void
kill_worker(uint32_t session)
{
	for (unsigned i = 0; i < nworkers; i++)
		if (workers[i].session == session) {
			worker_gone(workers[i].fd);
			return;
		}
}

static int *
peer_slot(unsigned role)
{
	switch (role) {
	case ROLE_INTAKE:
		return &intake;
	case ROLE_CONTROL:
		return &control;
	case ROLE_RESOLVER:
		return &resolver;
	case ROLE_DIALER:
		return &dialer;
	default:
		return &agent;
	}
}

/* As the master has it: a role that was reported, or whose channel has ended,
 * is ended and comes again. */
static void
replace_peer(unsigned role)
{
	int *slot = peer_slot(role);

	(void)close(*slot);
	*slot = -1;
	if (role == ROLE_AGENT)
		while (nworkers > 0)
			worker_gone(workers[0].fd);
	*slot = peer_of(role);
}

/* Where the address is of a job of ours: which recipient it is. */
static bool
is_ours(const char *address, unsigned *job, unsigned *rcpt)
{
	return sscanf(address, "r%u.%u@", rcpt, job) == 2 && *job <= requests &&
	    *rcpt < RCPTS;
}

/* By its domain: what becomes of it in the first life. */
static void
give_outcome(int worker, uint64_t id, uint32_t index, const char *address)
{
	struct msg_outcome outcome = { .job = id, .rcpt = index };
	const char *reply = "250 2.0.0 ok";
	unsigned job = 0, rcpt = 0;
	bool ours = is_ours(address, &job, &rcpt);

	outcome.outcome.status = OUTCOME_DELIVERED;
	(void)strlcpy(outcome.outcome.dsn, "2.0.0", OUTCOME_DSN_SIZE);
	if (!is_last && strstr(address, "@late.") != NULL) {
		reply = "450 4.2.0 later";
		outcome.outcome.status = OUTCOME_DEFERRED;
		(void)strlcpy(outcome.outcome.dsn, "4.2.0", OUTCOME_DSN_SIZE);
	} else if (strncmp(address, "r1.", 3) == 0) {
		reply = "550 5.1.1 no";
		outcome.outcome.status = OUTCOME_FAILED;
		(void)strlcpy(outcome.outcome.dsn, "5.1.1", OUTCOME_DSN_SIZE);
	}
	outcome.outcome.code =
	    (uint16_t)((reply[0] - '0') * 100 + (reply[1] - '0') * 10);
	say(worker, MSG_OUTCOME, &outcome, reply, strlen(reply), -1);
	if (!ours || outcome.outcome.status == OUTCOME_DEFERRED)
		return;
	jobs[job].is_final[rcpt] = true;
	if (outcome.outcome.status == OUTCOME_DELIVERED)
		jobs[job].delivered[rcpt] = true;
}

static void
do_job(int worker, const struct message *m)
{
	const struct msg_job *job = m->payload;
	struct msg_job_ref ref = { .job = job->job };
	uint32_t nrcpt = job->nrcpt;
	const char *address;
	size_t at = 0;

	(void)message_tail_next(m, &at);
	(void)message_tail_next(m, &at);
	say(worker, MSG_BEGUN, &ref, NULL, 0, -1);
	say(worker, MSG_COMMITTING, &ref, NULL, 0, -1);
	for (uint32_t i = 0; i < nrcpt; i++) {
		address = message_tail_next(m, &at);
		(void)message_tail_next(m, &at);
		if (address == NULL)
			faults_fail("a JOB without its recipients");
		/* One that dies with the message in its hands. */
		if (!is_last && strstr(address, "@crash.") != NULL) {
			worker_gone(worker);
			return;
		}
		give_outcome(worker, ref.job, i, address);
	}
}

static void
note_counts(const struct message *m)
{
	const struct msg_list_end *end = m->payload;

	memcpy(counts, end->counts, sizeof(counts));
	has_counts = true;
}

/* False: the other end is gone. */
static bool
take(int fd)
{
	struct msg_session_up up = { 0 };
	struct msg_closed closed = { 0 };
	struct message m = { .fd = -1 };
	const char *why = NULL;
	int n;

	n = message_receive(fd, packet, ROLE_QUEUE,
	    ROLE_MASTER | ROLE_INTAKE | ROLE_CONTROL | ROLE_RESOLVER |
		ROLE_DIALER | ROLE_AGENT | ROLE_WORKER,
	    MSG_DONTWAIT, &m, &why);
	if (n != 1)
		return n == -1 && errno == EAGAIN && why == NULL;
	answers++;
	if (m.type == MSG_ACCEPTED) {
		const struct msg_accepted *a = m.payload;

		jobs[a->request].accepted = true;
		jobs[a->request].id = a->id;
	} else if (m.type == MSG_REFUSED && fd == intake) {
		const struct msg_refused *r = m.payload;

		if (r->code >= 500) /* all that we hand in is right */
			faults_fail("a job was refused for good: %u", r->code);
		jobs[r->request].refused = true;
	} else if (m.type == MSG_RESOLVE)
		answer_plan(&m);
	else if (m.type == MSG_ADDRESS)
		say(fd, MSG_SESSION_UP, &up, NULL, 0, -1);
	else if (m.type == MSG_JOB)
		do_job(fd, &m);
	else if (m.type == MSG_FORK)
		adopt(m.fd, ((const struct msg_fork *)m.payload)->session);
	else if (m.type == MSG_KILL)
		kill_worker(((const struct msg_fork *)m.payload)->session);
	else if (m.type == MSG_FAULT)
		replace_peer(((const struct msg_fault *)m.payload)->role);
	else if (m.type == MSG_LIST_END)
		note_counts(&m);
	else if (m.type == MSG_TOLD)
		tellings++;
	if (m.type != MSG_FORK)
		fd_close(m.fd);
	if (m.type == MSG_QUIT && fd != master) {
		say(fd, MSG_CLOSED, &closed, NULL, 0, -1);
		return false;
	}
	return true;
}

/* The other end of this one is gone. */
static void
end_of(int fd)
{
	if (fd == master)
		role_is_gone = true;
	else if (!faults_fired() && !is_stopping &&
	    (fd == intake || fd == control))
		channels_lost = true;
	if (fd == master || fd == intake || fd == control || fd == resolver ||
	    fd == dialer || fd == agent)
		(void)epoll_ctl(poller, EPOLL_CTL_DEL, fd, NULL);
	else
		worker_gone(fd);
}

/* One turn; false: nothing came in that time. */
static bool
turn(int ms)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(poller, events, EVENTS, ms);

	for (int i = 0; i < n; i++)
		if (!take(events[i].data.fd))
			end_of(events[i].data.fd);
	return n > 0;
}

/* Until nothing comes for a while. */
static void
settle_down(int quiet_ms)
{
	int64_t until_ms = time_monotonic_ms() + WAIT_MS;

	while (
	    !role_is_gone && time_monotonic_ms() < until_ms && turn(quiet_ms))
		;
}

static bool
all_answered(void)
{
	for (uint64_t i = 1; i <= requests; i++)
		if (!jobs[i].accepted && !jobs[i].refused)
			return false;
	return true;
}

static void
await_answers(void)
{
	int64_t until_ms = time_monotonic_ms() + WAIT_MS;

	while (
	    !role_is_gone && !all_answered() && time_monotonic_ms() < until_ms)
		(void)turn(50);
}

static void
act(enum act_verb verb, const char *recipients)
{
	struct msg_act msg = { .verb = (uint8_t)verb };
	char tail[256];
	size_t len = 0;

	msg.request = 1000; /* no job has it */
	(void)message_tail_add(tail, sizeof(tail), &len, "");
	(void)message_tail_add(tail, sizeof(tail), &len, recipients);
	for (int i = 0; i < 4; i++)
		(void)message_tail_add(tail, sizeof(tail), &len, "");
	has_counts = false;
	say(control, MSG_ACT, &msg, tail, len, -1);
}

static void
ask(enum ask_what what, uint8_t kind, const char *name, uint64_t id)
{
	struct msg_ask msg = { .request = 2000 + (uint64_t)what,
		.what = (uint8_t)what,
		.kind = kind,
		.id = id,
		.limit = 10 };
	char tail[256];
	size_t len = 0;

	(void)message_tail_add(tail, sizeof(tail), &len, name);
	for (int i = 0; i < 3; i++)
		(void)message_tail_add(tail, sizeof(tail), &len, "");
	say(control, MSG_ASK, &msg, tail, len, -1);
}

static void
print_log(void)
{
	char text[65536];
	ssize_t n = pread(log_fd, text, sizeof(text) - 1, 0);

	(void)fprintf(stderr, "%.*s", n > 0 ? (int)n : 0, text);
}

/* Ends the role well, and sees that it did so: or in its own words. */
static void
role_end(void)
{
	const struct msg_none none = { 0 };
	int64_t until_ms = time_monotonic_ms() + LAST_MS;
	int status;

	if (channels_lost && !faults_fired())
		faults_fail("the role took what was said for a lie");
	is_stopping = true;
	say(master, MSG_DRAIN, &none, NULL, 0, -1);
	while (!role_is_gone && time_monotonic_ms() < until_ms)
		(void)turn(50);
	if (!role_is_gone) {
		print_log();
		faults_fail("the role does not stop");
	}
	if (waitpid(role_pid, &status, 0) != role_pid)
		faults_fail("waitpid: %s", strerror(errno));
	if (!WIFEXITED(status) ||
	    (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 1) ||
	    (WEXITSTATUS(status) == 1 && !faults_fired())) {
		print_log();
		faults_fail("the role ended with status 0x%x", status);
	}
	if (WEXITSTATUS(status) == 1 && lseek(log_fd, 0, SEEK_END) == 0 &&
	    lseek(STDERR_FILENO, 0, SEEK_CUR) == 0)
		faults_fail("the role failed, and did not say why");
	(void)close(master);
	(void)close(intake);
	(void)close(control);
	(void)close(resolver);
	(void)close(dialer);
	(void)close(agent);
	while (nworkers > 0)
		worker_gone(workers[0].fd);
	(void)close(poller);
}

static uint64_t
left(void)
{
	return counts[RECIPIENT_QUEUED] + counts[RECIPIENT_ACTIVE] +
	    counts[RECIPIENT_DEFERRED] + counts[RECIPIENT_HELD];
}

/* With a role whose calls work all goes out. */
static void
deliver_the_rest(void)
{
	int64_t until_ms = time_monotonic_ms() + LAST_MS;

	is_last = true;
	role_start(false);
	ask(ASK_RESUME, PAUSE_ANY, "smtp", 0);
	act(ACT_RELEASE, "");
	settle_down(QUIET_MS);
	do {
		act(ACT_RETRY, "");
		settle_down(QUIET_MS);
		act(ACT_LIST, "");
		settle_down(QUIET_MS);
		if (role_is_gone || time_monotonic_ms() > until_ms) {
			print_log();
			faults_fail("%llu recipients stay in the queue: %llu "
				    "queued, %llu active, %llu deferred, %llu "
				    "held",
			    (unsigned long long)left(),
			    (unsigned long long)counts[RECIPIENT_QUEUED],
			    (unsigned long long)counts[RECIPIENT_ACTIVE],
			    (unsigned long long)counts[RECIPIENT_DEFERRED],
			    (unsigned long long)counts[RECIPIENT_HELD]);
		}
	} while (!has_counts || left() > 0);
	role_end();
}

static void
check_jobs(void)
{
	for (uint64_t i = 1; i <= requests; i++)
		for (uint32_t r = 0; r < jobs[i].nrcpt; r++) {
			if (jobs[i].accepted && !jobs[i].is_transient &&
			    !jobs[i].is_final[r]) {
				print_log();
				faults_fail("recipient %u of job %u was "
					    "accepted, and is lost",
				    r, (unsigned)i);
			}
			if (jobs[i].refused && !jobs[i].accepted &&
			    jobs[i].delivered[r]) {
				print_log();
				faults_fail("recipient %u of job %u was "
					    "refused, and is delivered",
				    r, (unsigned)i);
			}
		}
}

static void
begin(void)
{
	log_fd = memfd_create("log", MFD_CLOEXEC);
	(void)fcntl(log_fd, F_SETFL, O_APPEND);
	requests = 0;
	is_last = false;
}

/* After a single fault it works as ever, or has ended. */
static void
check_last(void)
{
	int64_t until_ms = time_monotonic_ms() + LAST_MS;
	uint64_t last;

	if (!faults_are_over() || role_is_gone)
		return;
	do {
		hand_in("ok.example", 1, 100, WAIT_ATTEMPT, 0);
		last = requests;
		while (!role_is_gone && !jobs[last].is_final[0] &&
		    !jobs[last].refused && time_monotonic_ms() < until_ms)
			(void)turn(50);
	} while (
	    !role_is_gone && jobs[last].refused && requests < REQUESTS - 1);
	if (!role_is_gone && !jobs[last].is_final[0]) {
		print_log();
		faults_fail("a job after the fault is not delivered");
	}
}

static void
finish(void)
{
	check_last();
	role_end();
	deliver_the_rest();
	check_jobs();
	(void)close(log_fd);
}

/* Deliveries of every kind. */
static void
mail_run(void)
{
	begin();
	role_start(true);
	hand_in("ok.example", 1, 100, WAIT_FINAL, 0);
	hand_in("ok.example", 3, 5000, WAIT_ATTEMPT, 0);
	hand_in("late.example", 1, 100, WAIT_ATTEMPT, 0);
	hand_in("local.example", 2, 5000, WAIT_QUEUED, 0);
	hand_in("crash.example", 1, 100, WAIT_QUEUED, 0);
	await_answers();
	settle_down(QUIET_MS);
	hand_in("ok.example", 1, 100, WAIT_ATTEMPT, 0);
	await_answers();
	settle_down(QUIET_MS);
	finish();
}

/* What an operator does, and a reload. */
static void
acts_run(void)
{
	begin();
	role_start(true);
	ask(ASK_TAIL, 0, "", 0);
	ask(ASK_PAUSE, PAUSE_TRANSPORT, "smtp", 0);
	hand_in("ok.example", 2, 100, WAIT_QUEUED, 0);
	hand_in("late.example", 1, 5000, WAIT_QUEUED, 0);
	hand_in("local.example", 1, 5000, WAIT_QUEUED, 0);
	await_answers();
	ask(ASK_CAT, 0, "", jobs[2].id);
	ask(ASK_CAT, 0, "", jobs[1].id);
	ask(ASK_TOP, 0, "", 0);
	ask(ASK_PAUSES, 0, "", 0);
	ask(ASK_EXPLAIN, 0, "a@ok.example", 0);
	act(ACT_LIST, "");
	act(ACT_HOLD, "*@ok.example");
	act(ACT_RETRY, "*@late.example");
	settle_down(QUIET_MS);
	send_config(2, "bounce_queue_lifetime = 1d\n");
	settle_down(QUIET_MS);
	ask(ASK_RESUME, PAUSE_TRANSPORT, "smtp", 0);
	act(ACT_RELEASE, "*@ok.example");
	settle_down(QUIET_MS);
	finish();
}

/* One that comes in parts, and one that is never stored. */
static void
parts_run(void)
{
	begin();
	role_start(true);
	hand_in("ok.example", RCPTS, 5000, WAIT_ATTEMPT, 0);
	hand_in("ok.example", 2, 100, WAIT_FINAL, SUBMIT_TRANSIENT);
	jobs[2].is_transient = true;
	await_answers();
	settle_down(QUIET_MS);
	finish();
}

const struct scenario queue_scenarios[] = { { "queue_mail", mail_run },
	{ "queue_acts", acts_run }, { "queue_parts", parts_run },
	{ NULL, NULL } };
