/* SPDX-License-Identifier: ISC */
/*
 * A worker with two jobs, one of its calls failing; this program is its queue, its
 * dialer and its remote, which accepts all.
 *
 * What the remote accepted was said before to be perhaps delivered; what is said
 * to be delivered was accepted; and who cannot go on ends.
 */
#include "faults.h"

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/worker.h"
#include "common/message.h"
#include "common/roles.h"
#include "common/util.h"

enum {
	JOBS = 2,
	WAIT_MS = 8000,
};

static int queue, line, remote, poller; /* our ends */
static bool is_over;                    /* the worker's channel is */
static bool in_data;
static unsigned mails; /* MAIL so far: the jobs come in their order */
static bool committing[JOBS + 1], accepted[JOBS + 1], delivered[JOBS + 1];
static unsigned outcomes;
static char heard[65536];
static size_t len;
static _Alignas(64) uint8_t packet[MSG_PACKET_SIZE];

static void
say(int sock, enum msg_type type, const void *payload, const void *tail,
    size_t n, int fd)
{
	(void)message_send(sock, type, payload, tail, n, fd, 0);
	fd_close(fd);
}

static void
watch(int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	(void)epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
}

static void
worker_child(int control_fd, int line_fd)
{
	struct tls_trusts *trusts = tls_trusts_new();

	(void)alarm(20);
	if (dup2(control_fd, 60) == -1 || dup2(line_fd, 61) == -1 ||
	    dup2(60, WORKER_CONTROL_FD) == -1 ||
	    dup2(61, WORKER_DIALER_FD) == -1)
		_exit(99);
	(void)close_range(WORKER_CONTROL_FD + 1, ~0U, 0);
	faults_arm();
	worker_run(trusts);
}

/* A socket for each NEXT. */
static void
dial(void)
{
	static uint32_t number;
	struct msg_address address = { .host = "mx.example",
		.relay = "mx.example" };
	struct msg_dialed dialed = { .family = AF_UNIX };
	int fds[2];

	address.number = dialed.number = ++number;
	fd_close(remote);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		fds) == -1)
		faults_fail("socketpair: %s", strerror(errno));
	remote = fds[0];
	len = 0;
	in_data = false;
	say(queue, MSG_ADDRESS, &address, "", 0, -1);
	say(line, MSG_DIALED, &dialed, NULL, 0, fds[1]);
	(void)!write(remote, "220 hi\r\n", 8);
	watch(remote);
}

static void
give_jobs(void)
{
	static const char text[] = "Subject: x\r\n\r\nhello\r\n";

	for (uint64_t i = 1; i <= JOBS; i++) {
		const struct msg_job job = { .job = i,
			.size = strlen(text),
			.nrcpt = 1 };

		say(queue, MSG_JOB, &job, "a@x\0\0b@y\0", 10,
		    fd_sealed("body", text, strlen(text)));
	}
}

static void
take_message(void)
{
	const struct msg_none none = { 0 };
	struct message m = { .fd = -1 };
	const char *why = NULL;
	int n;

	n = message_receive(queue, packet, ROLE_WORKER, ROLE_QUEUE,
	    MSG_DONTWAIT, &m, &why);
	if (n != 1) {
		is_over = n == 0 || errno != EAGAIN || why != NULL;
		return;
	}
	if (m.type == MSG_NEXT) {
		/* Once: after that there is no other host. */
		if (remote == -1)
			dial();
		else
			say(queue, MSG_QUIT, &none, NULL, 0, -1);
	} else if (m.type == MSG_SESSION_UP) {
		give_jobs();
	} else if (m.type == MSG_COMMITTING) {
		committing[((const struct msg_job_ref *)m.payload)->job] = true;
	} else if (m.type == MSG_OUTCOME) {
		const struct msg_outcome *o = m.payload;

		if (o->outcome.status == OUTCOME_DELIVERED)
			delivered[o->job] = true;
		if (++outcomes == JOBS)
			say(queue, MSG_QUIT, &none, NULL, 0, -1);
	} else if (m.type == MSG_CLOSED) {
		say(queue, MSG_QUIT, &none, NULL, 0, -1);
	}
	fd_close(m.fd);
}

/* All that the queue was sent is to be seen before a yes. */
static void
accept_message(void)
{
	for (int i = 0; i < 8 && !is_over; i++)
		take_message();
	if (mails > JOBS || !committing[mails])
		faults_fail("the last octet of message %u was sent, and "
			    "nobody told",
		    mails);
	accepted[mails] = true;
	(void)!write(remote, "250 2.0.0 in\r\n", 14);
}

static void
answer_line(const char *text)
{
	static const char hello[] = "250-mx\r\n250 8BITMIME\r\n";

	if (in_data) {
		if (strcmp(text, ".") != 0)
			return;
		in_data = false;
		accept_message();
		return;
	}
	mails += strncmp(text, "MAIL", 4) == 0;
	in_data = strncmp(text, "DATA", 4) == 0;
	if (strncmp(text, "EHLO", 4) == 0)
		(void)!write(remote, hello, strlen(hello));
	else
		(void)!write(remote, in_data ? "354 go\r\n" : "250 ok\r\n", 8);
}

static void
take_octets(void)
{
	ssize_t n = read(remote, heard + len, sizeof(heard) - 1 - len);
	char *end;

	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			(void)epoll_ctl(poller, EPOLL_CTL_DEL, remote, NULL);
		return;
	}
	len += (size_t)n;
	heard[len] = '\0';
	while ((end = strstr(heard, "\r\n")) != NULL) {
		*end = '\0';
		answer_line(heard);
		len -= (size_t)(end + 2 - heard);
		memmove(heard, end + 2, len + 1);
	}
}

static void
serve(void)
{
	int64_t until_ms = time_monotonic_ms() + WAIT_MS;
	struct epoll_event event;

	while (!is_over && time_monotonic_ms() < until_ms) {
		if (epoll_wait(poller, &event, 1, 100) != 1)
			continue;
		if (event.data.fd == queue)
			take_message();
		else
			take_octets();
	}
	if (!is_over)
		faults_fail("the worker does not end");
}

static void
check(int status)
{
	if (!WIFEXITED(status) || WEXITSTATUS(status) > WORKER_MISLED)
		faults_fail("the worker ended with status 0x%x", status);
	for (unsigned i = 1; i <= JOBS; i++) {
		if (delivered[i] && !accepted[i])
			faults_fail("job %u is delivered to nobody", i);
		if (!faults_fired() && !delivered[i])
			faults_fail("job %u is not delivered", i);
	}
}

static void
run(void)
{
	struct msg_session conf = { .tls_level = TLS_NONE,
		.ehlo_name = "me.example" };
	int pair[2], lines[2], status;
	pid_t pid;

	for (size_t i = 0; i < TIMER_COUNT; i++)
		conf.timer_ms[i] = 2000;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, lines) == -1)
		faults_fail("socketpair: %s", strerror(errno));
	queue = pair[0];
	line = lines[0];
	remote = -1;
	poller = epoll_create1(EPOLL_CLOEXEC);
	watch(queue);
	pid = fork();
	if (pid == 0)
		worker_child(pair[1], lines[1]);
	(void)close(pair[1]);
	(void)close(lines[1]);
	say(queue, MSG_SESSION, &conf, NULL, 0, -1);
	serve();
	fd_close(remote);
	(void)close(queue);
	(void)close(line);
	(void)close(poller);
	if (waitpid(pid, &status, 0) != pid)
		faults_fail("waitpid: %s", strerror(errno));
	check(status);
}

const struct scenario worker_scenario = { "worker", run };
