/* SPDX-License-Identifier: ISC */
/*
 * What a message costs in the queue role alone: this program plays its peers,
 * hands in N messages of 4 KiB for D destinations, and delivers each at once.
 *
 * With -q the spool holds so many messages before the role starts, and nothing
 * is handed in: how long until the first is delivered, what N more cost, and what
 * memory that takes.
 *
 * With -f every session fails, and N counts them: what is known of the dead.
 *
 * With -n 0 the spool is filled, and no role starts: for a bench of more than it.
 *
 * usage: queue_bench [-f] [-d destinations] [-n messages] [-q queued]
 *     [-w window] DIRECTORY
 */
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/message.h"
#include "common/roles.h"
#include "common/util.h"
#include "master/queue/lane.h"
#include "master/queue/store.h"

enum {
	BODY = 4096,
	EVENTS = 64,
	WORKERS_MAX = 4096, /* numbers of descriptors */
};

static uint32_t session_of[WORKERS_MAX];

static int master, intake, resolver, dialer, agent, poller, body_fd;
static unsigned long handed_in, accepted, delivered;
static unsigned long messages = 20000, destinations = 1, window = 200;
static unsigned long queued;
static bool fails;
static int64_t first_ms;
static _Alignas(64) uint8_t packet[MSG_PACKET_SIZE];

static void
say(int sock, enum msg_type type, const void *payload, const void *tail,
    size_t len, int fd)
{
	if (message_send(sock, type, payload, tail, len, fd, 0) == -1)
		err(1, "%s", msg_descs[type].name);
}

static void
watch(int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) == -1)
		err(1, "epoll_ctl");
}

static int
peer_of(unsigned role)
{
	struct msg_peer peer = { .role = role };
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == -1)
		err(1, "socketpair");
	say(master, MSG_PEER, &peer, NULL, 0, fds[1]);
	(void)close(fds[1]);
	watch(fds[0]);
	return fds[0];
}

static pid_t
start(const char *spool)
{
	static const char format[] =
	    "spool_directory = \"%s\"\nhostname = c.example\n"
	    "transport smtp {\n destination_concurrency_limit = 20\n}\n"
	    "route \"*\" {\n transport = smtp\n}\n";
	struct msg_config config = { .generation = 1 };
	struct msg_log_sink sink = { .name = "postern", .least = LOG_INFO };
	struct msg_start go = { 0 };
	char text[4096];
	int fds[2];
	int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) == -1)
		err(1, "socketpair");
	pid = fork();
	if (pid == -1)
		err(1, "fork");
	if (pid == 0) {
		if (dup2(fds[1], ROLE_PARENT_FD) == -1 ||
		    close_range(ROLE_PARENT_FD + 1, ~0U, 0) == -1)
			_exit(99);
		_exit(queue_run(ROLE_PARENT_FD));
	}
	(void)close(fds[1]);
	master = fds[0];
	(void)snprintf(text, sizeof(text), format, spool);
	say(master, MSG_LOG_SINK, &sink, NULL, 0, null_fd);
	say(master, MSG_CONFIG, &config, "b", 1,
	    fd_sealed("config", text, strlen(text)));
	intake = peer_of(ROLE_INTAKE);
	resolver = peer_of(ROLE_RESOLVER);
	dialer = peer_of(ROLE_DIALER);
	agent = peer_of(ROLE_AGENT);
	say(master, MSG_START, &go, NULL, 0, -1);
	watch(master);
	return pid;
}

static void
hand_in(void)
{
	struct msg_submit submit = { .size = BODY, .wait = WAIT_ATTEMPT };
	struct msg_request end = { 0 };
	char address[64];
	char tail[256];
	size_t len = 0;

	submit.request = end.request = ++handed_in;
	(void)snprintf(address, sizeof(address), "u%lu@d%lu.example", handed_in,
	    handed_in % destinations);
	if (!message_tail_add(tail, sizeof(tail), &len, "s@e.example") ||
	    !message_tail_add(tail, sizeof(tail), &len, "") ||
	    !message_tail_add(tail, sizeof(tail), &len, "") ||
	    !message_tail_add(tail, sizeof(tail), &len, "") ||
	    !message_tail_add(tail, sizeof(tail), &len, address) ||
	    !message_tail_add(tail, sizeof(tail), &len, ""))
		errx(1, "tail");
	say(intake, MSG_SUBMIT, &submit, tail, len, body_fd);
	say(intake, MSG_SUBMIT_END, &end, NULL, 0, -1);
}

static void
deliver(int worker, uint64_t id)
{
	struct msg_job_ref ref = { .job = id };
	struct msg_outcome outcome = { .job = id };

	outcome.outcome.status = OUTCOME_DELIVERED;
	(void)strlcpy(outcome.outcome.dsn, "2.0.0", OUTCOME_DSN_SIZE);
	say(worker, MSG_BEGUN, &ref, NULL, 0, -1);
	say(worker, MSG_COMMITTING, &ref, NULL, 0, -1);
	say(worker, MSG_OUTCOME, &outcome, "250 2.0.0 ok", 12, -1);
	if (queued == 0)
		return;
	if (delivered++ == 0)
		first_ms = time_monotonic_ms();
}

/* The spool as a posternd left it that was stopped before its first delivery. */
static void
fill(const char *spool)
{
	struct store_options options = { .spool = spool,
		.inline_body_limit = 65536 };
	struct store_envelope envelope = { .size = BODY,
		.nrcpts = 1,
		.reverse_path = "s@e.example" };
	char address[64];
	const char *addresses[1] = { address };
	struct store *store;
	char error[512];
	unsigned long i;
	uint64_t id;

	if (store_open(&options, &store, error, sizeof(error)) == -1)
		errx(1, "%s", error);
	envelope.lane = lane_of(0, envelope.reverse_path, "");
	for (i = 0; i < queued; i++) {
		if (i % 1000 == 0 && store_begin(store) == -1)
			errx(1, "begin: %s", store_error(store));
		envelope.created_ms = time_real_ms();
		(void)snprintf(address, sizeof(address), "u%lu@d%lu.example", i,
		    i % destinations);
		if (store_add_message(store, &envelope, addresses, NULL,
			body_fd, &id) == -1)
			errx(1, "add: %s", store_error(store));
		if ((i % 1000 == 999 || i + 1 == queued) &&
		    store_commit(store) == -1)
			errx(1, "commit: %s", store_error(store));
	}
	store_close(store);
}

/* A line of a file of /proc, in KiB. */
static long
memory_kib(pid_t pid, const char *file, const char *key)
{
	char path[64], line[256];
	long kib = -1;
	FILE *in;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	in = fopen(path, "r");
	while (in != NULL && kib == -1 && fgets(line, sizeof(line), in) != NULL)
		if (strncmp(line, key, strlen(key)) == 0)
			kib = strtol(line + strlen(key), NULL, 10);
	if (in != NULL)
		(void)fclose(in);
	return kib;
}

static void
answer_plan(const struct message *m)
{
	const struct msg_resolve *ask = m->payload;
	struct msg_resolved answer = { .id = ask->id,
		.ttl_s = 3600,
		.count = 1 };
	struct plan_address address = { .family = AF_INET,
		.port = ask->port,
		.addr = { 192, 0, 2, 1 },
		.host = "mx.example" };

	say(resolver, MSG_RESOLVED, &answer, &address, sizeof(address), -1);
}

/* The agent says that its worker has ended, as it does of each. */
static void
bury_worker(int worker)
{
	struct msg_gone gone = { .session = session_of[worker] };

	if (session_of[worker] != 0)
		say(agent, MSG_GONE, &gone, NULL, 0, -1);
	session_of[worker] = 0;
	(void)close(worker);
}

static void
adopt_worker(int worker, uint32_t session)
{
	struct msg_next next = { 0 };
	struct msg_session_up up = { 0 };
	struct msg_closed closed = { .failed = 1 };

	if (worker >= WORKERS_MAX)
		errx(1, "too many workers");
	session_of[worker] = session;
	watch(worker);
	say(worker, MSG_NEXT, &next, NULL, 0, -1);
	if (fails) {
		closed.outcome.status = OUTCOME_DEFERRED;
		(void)strlcpy(closed.outcome.dsn, "4.4.1", OUTCOME_DSN_SIZE);
		say(worker, MSG_CLOSED, &closed, "connection refused", 18, -1);
		bury_worker(worker);
		if (delivered++ == 0)
			first_ms = time_monotonic_ms();
		return;
	}
	say(worker, MSG_SESSION_UP, &up, NULL, 0, -1);
}

/* False: the other end is gone. */
static bool
handle(int fd)
{
	struct message m = { .fd = -1 };
	const char *why = NULL;
	int n;

	n = message_receive(fd, packet, ROLE_QUEUE,
	    ROLE_MASTER | ROLE_INTAKE | ROLE_RESOLVER | ROLE_DIALER |
		ROLE_AGENT | ROLE_WORKER,
	    0, &m, &why);
	if (n != 1)
		return false;
	if (m.type == MSG_ACCEPTED)
		accepted++;
	else if (m.type == MSG_RESULT && queued == 0)
		delivered++;
	else if (m.type == MSG_RESOLVE)
		answer_plan(&m);
	else if (m.type == MSG_JOB)
		deliver(fd, ((const struct msg_job *)m.payload)->job);
	if (m.type == MSG_FORK)
		adopt_worker(m.fd,
		    ((const struct msg_fork *)m.payload)->session);
	else
		fd_close(m.fd);
	return m.type != MSG_QUIT;
}

static void
turn(void)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(poller, events, EVENTS, 5000);
	int i;

	if (n == 0)
		errx(1, "stalled: %lu in, %lu accepted, %lu delivered",
		    handed_in, accepted, delivered);
	for (i = 0; i < n; i++) {
		if (handle(events[i].data.fd))
			continue;
		if (events[i].data.fd == master)
			errx(1, "the queue ended");
		bury_worker(events[i].data.fd);
	}
	while (queued == 0 && handed_in < messages &&
	    handed_in - delivered < window)
		hand_in();
}

int
main(int argc, char *argv[])
{
	struct msg_none none = { 0 };
	struct rusage ru;
	char body[BODY];
	int64_t begun;
	double wall;
	double cpu;
	pid_t pid;
	int status;
	int opt;

	while ((opt = getopt(argc, argv, "fd:n:q:w:")) != -1) {
		if (opt == 'd')
			destinations = strtoul(optarg, NULL, 10);
		else if (opt == 'n')
			messages = strtoul(optarg, NULL, 10);
		else if (opt == 'f')
			fails = true;
		else if (opt == 'q')
			queued = strtoul(optarg, NULL, 10);
		else if (opt == 'w')
			window = strtoul(optarg, NULL, 10);
		else
			return 64;
	}
	if (optind != argc - 1 || destinations == 0 ||
	    (queued != 0 && messages > queued))
		errx(64,
		    "usage: queue_bench [-f] [-d destinations] "
		    "[-n messages] [-q queued] [-w window] DIRECTORY");
	memset(body, 'x', sizeof(body));
	body_fd = fd_sealed("body", body, sizeof(body));
	poller = epoll_create1(EPOLL_CLOEXEC);
	if (body_fd == -1 || poller == -1)
		err(1, "start");
	if (queued > 0)
		fill(argv[optind]);
	if (messages == 0)
		return 0;
	begun = time_monotonic_ms();
	pid = start(argv[optind]);
	while (delivered < messages)
		turn();
	wall = (double)(time_monotonic_ms() - begun) / 1000;
	if (queued > 0)
		printf("%lu queued: %.2f s to the first delivery, %ld KiB PSS, "
		       "%ld KiB RSS at most\n",
		    queued, (double)(first_ms - begun) / 1000,
		    memory_kib(pid, "smaps_rollup", "Pss:"),
		    memory_kib(pid, "status", "VmHWM:"));
	say(master, MSG_DRAIN, &none, NULL, 0, -1);
	(void)close(agent);
	(void)kill(pid, SIGTERM);
	if (wait4(pid, &status, 0, &ru) != pid)
		err(1, "wait4");
	cpu = (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
	    (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
	printf("%lu messages, %lu destinations: %.0f /s, %.1f us CPU each "
	       "(user %.1f), %ld KiB\n",
	    messages, destinations, (double)messages / wall,
	    cpu / (double)messages * 1e6,
	    ((double)ru.ru_utime.tv_sec + (double)ru.ru_utime.tv_usec / 1e6) /
		(double)messages * 1e6,
	    ru.ru_maxrss);
	return 0;
}
