/* SPDX-License-Identifier: ISC */
/*
 * The roles that have clients, intake and control, while one of their calls
 * fails; this program is the master, the queue and the clients.
 *
 * No client is told that a job is queued unless the queue said so of a whole one;
 * and once a single call has failed, the next client is served as ever.
 */
#include "faults.h"

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
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
	QUIET_MS = 60,
	WAIT_MS = 3000,
	TRIES = 4, /* of the last client; accept() may pause for 1 s */
	CLIENTS = 8,
	LARGE = 100000,
};

struct client {
	int fd; /* -1: none, or gone */
	const char *const
	    *script;  /* what follows once it was answered; or NULL */
	unsigned yes; /* answers that something was taken */
	unsigned answers;
};

static int master, queue, poller, log_fd;
static pid_t role_pid;
static bool role_is_gone, role_is_ready, is_control;
static struct client clients[CLIENTS];
static unsigned nclients;
static unsigned accepted; /* jobs that the queue took */
static _Alignas(64) uint8_t packet[MSG_PACKET_SIZE];

static const char config_text[] =
    "spool_directory = \"/nowhere\"\n"
    "hostname = \"mx.example\"\n"
    "stop_timeout = 2s\n"
    "listener mta {\n protocol = lmtp\n listen = \"unix:/run/lmtp\"\n"
    " answer = queued\n}\n";

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

static struct sockaddr_un
address_of(const char *name)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/%s",
	    faults_folder(), name);
	return sa;
}

static void
give_listener(const char *name, int type, enum listener_kind kind)
{
	const struct msg_listener given = { .kind = (uint8_t)kind };
	struct sockaddr_un sa = address_of(name);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd == -1 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == -1 ||
	    listen(fd, 8) == -1)
		faults_fail("%s: %s", sa.sun_path, strerror(errno));
	say(master, MSG_LISTENER, &given, NULL, 0, fd);
	(void)close(fd);
}

static void
print_log(void)
{
	char text[65536];
	ssize_t n = pread(log_fd, text, sizeof(text) - 1, 0);

	(void)fprintf(stderr, "%.*s", n > 0 ? (int)n : 0, text);
}

static void
role_child(int fd, int (*run)(int))
{
	(void)alarm(40);
	if (dup2(fd, ROLE_PARENT_FD) == -1)
		_exit(99);
	(void)close_range(ROLE_PARENT_FD + 1, ~0U, 0);
	faults_arm();
	exit(run(ROLE_PARENT_FD));
}

static void
role_start(int (*run)(int), unsigned role)
{
	const struct msg_config config = { .generation = 1 };
	const struct msg_log_sink sink = { .name = "postern",
		.least = LOG_INFO };
	const struct msg_listener_users users = { .any = 1 };
	const struct msg_submitters submitters = { .any = 1 };
	const struct msg_peer peer = { .role = ROLE_QUEUE };
	struct msg_start start = { 0 };
	int fds[2], text_fd;

	log_fd = memfd_create("log", MFD_CLOEXEC);
	(void)fcntl(log_fd, F_SETFL, O_APPEND);
	poller = epoll_create1(EPOLL_CLOEXEC);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) == -1)
		faults_fail("socketpair: %s", strerror(errno));
	(void)fflush(NULL);
	role_pid = fork();
	if (role_pid == 0)
		role_child(fds[1], run);
	(void)close(fds[1]);
	master = fds[0];
	say(master, MSG_LOG_SINK, &sink, NULL, 0, log_fd);
	text_fd = fd_sealed("config", config_text, strlen(config_text));
	say(master, MSG_CONFIG, &config, "test.conf", 9, text_fd);
	(void)close(text_fd);
	if (role == ROLE_INTAKE) {
		say(master, MSG_SUBMITTERS, &submitters, NULL, 0, -1);
		say(master, MSG_LISTENER_USERS, &users, NULL, 0, -1);
		give_listener("lmtp", SOCK_STREAM, LISTENER_MAIL);
	}
	give_listener("packets", SOCK_SEQPACKET,
	    role == ROLE_INTAKE ? LISTENER_JOB : LISTENER_CONTROL);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == -1)
		faults_fail("socketpair: %s", strerror(errno));
	say(master, MSG_PEER, &peer, NULL, 0, fds[1]);
	(void)close(fds[1]);
	queue = fds[0];
	start.pid = (uint32_t)role_pid;
	say(master, MSG_START, &start, NULL, 0, -1);
	watch(master);
	watch(queue);
}

/* The queue. */

static void
answer_submit_end(uint64_t request)
{
	const struct msg_accepted yes = { .request = request, .id = 0x100000 };
	const struct msg_results_end end = { .request = request };
	struct msg_result result = { .request = request,
		.id = 0x100000,
		.final = 1 };
	static const char tail[] = "a@b.example\0mx[192.0.2.1]:25\0"
				   "250 ok";

	accepted++;
	say(queue, MSG_ACCEPTED, &yes, NULL, 0, -1);
	(void)strlcpy(result.outcome.dsn, "2.0.0", OUTCOME_DSN_SIZE);
	say(queue, MSG_RESULT, &result, tail, sizeof(tail), -1);
	say(queue, MSG_RESULTS_END, &end, NULL, 0, -1);
}

static void
tell(uint64_t request)
{
	const struct msg_told told = { .request = request, .last = 1 };

	say(queue, MSG_TOLD, &told, "{\"done\":true}", 13, -1);
}

static void
answer_act(const struct msg_act *act)
{
	const struct msg_list_end end = { .request = act->request };
	const struct msg_listed row = { .request = act->request,
		.id = 0x100000,
		.nrcpts = 1 };
	static const char tail[] = "s@e.example\0a@b.example\0mx\0"
				   "450 later\0ref\0\0\0via";

	if (act->verb != ACT_LIST) {
		tell(act->request);
		return;
	}
	say(queue, MSG_LISTED, &row, tail, sizeof(tail), -1);
	say(queue, MSG_LIST_END, &end, NULL, 0, -1);
}

static void
answer_ask(const struct msg_ask *ask)
{
	const struct msg_body body = { .request = ask->request, .size = 5 };
	int fd;

	if (ask->what != ASK_CAT) {
		tell(ask->request);
		return;
	}
	fd = fd_sealed("body", "a: b\n", 5);
	say(queue, MSG_BODY, &body, NULL, 0, fd);
	(void)close(fd);
}

static void
answer_transcripts(const struct msg_transcripts *ask)
{
	const struct msg_request part = { .request = ask->request };
	const struct msg_transcripts_end end = { .request = ask->request };

	say(queue, MSG_TRANSCRIPT_PART, &part, "name\0text", 10, -1);
	say(queue, MSG_TRANSCRIPTS_END, &end, NULL, 0, -1);
}

static void
answer_status(const struct msg_request *ask)
{
	const struct msg_status status = { .request = ask->request,
		.role = ROLE_QUEUE,
		.last = 1 };

	say(master, MSG_STATUS, &status, "a=b\n", 4, -1);
}

static void
check_body(const struct message *m)
{
	const struct msg_submit *submit = m->payload;
	struct stat st;

	if (fstat(m->fd, &st) == -1 || (uint64_t)st.st_size != submit->size)
		faults_fail("a body of %llu octets, %llu were said",
		    (unsigned long long)st.st_size,
		    (unsigned long long)submit->size);
}

/* False: the other end is gone. */
static bool
take_message(int fd)
{
	struct message m = { .fd = -1 };
	const char *why = NULL;
	int n;

	n = message_receive(fd, packet, ROLE_INTAKE | ROLE_CONTROL,
	    ROLE_MASTER | ROLE_QUEUE, MSG_DONTWAIT, &m, &why);
	if (n != 1)
		return n == -1 && errno == EAGAIN && why == NULL;
	if (m.type == MSG_READY)
		role_is_ready = true;
	else if (m.type == MSG_SUBMIT)
		check_body(&m);
	else if (m.type == MSG_SUBMIT_END)
		answer_submit_end(
		    ((const struct msg_request *)m.payload)->request);
	else if (m.type == MSG_ACT)
		answer_act(m.payload);
	else if (m.type == MSG_ASK)
		answer_ask(m.payload);
	else if (m.type == MSG_TRANSCRIPTS)
		answer_transcripts(m.payload);
	else if (m.type == MSG_STATUS_ASK)
		answer_status(m.payload);
	fd_close(m.fd);
	return true;
}

/* The clients. */

static void
client_say(struct client *c, const char *text, int fd)
{
	union {
		struct cmsghdr align;
		uint8_t room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *h;

	if (fd != -1) {
		mh.msg_control = &control;
		mh.msg_controllen = sizeof(control.room);
		h = CMSG_FIRSTHDR(&mh);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	}
	(void)sendmsg(c->fd, &mh, MSG_NOSIGNAL);
}

static struct client *
client_new(const char *name, int type, const char *const *script)
{
	struct sockaddr_un sa = address_of(name);
	struct client *c = &clients[nclients++];

	*c = (struct client){ .script = script };
	c->fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (c->fd == -1)
		faults_fail("socket: %s", strerror(errno));
	if (connect(c->fd, (struct sockaddr *)&sa, sizeof(sa)) == -1) {
		(void)close(c->fd); /* the role is gone */
		c->fd = -1;
		return c;
	}
	watch(c->fd);
	return c;
}

static void
client_close(struct client *c)
{
	if (c->fd != -1)
		(void)close(c->fd);
	c->fd = -1;
}

static unsigned
count_words(const char *text, const char *words)
{
	unsigned n = 0;

	while ((text = strstr(text, words)) != NULL) {
		n++;
		text += strlen(words);
	}
	return n;
}

static bool
take_answer(struct client *c)
{
	char text[8192];
	ssize_t n = recv(c->fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	if (n == -1 && errno == EAGAIN)
		return true;
	if (n <= 0)
		return false;
	text[n] = '\0';
	c->answers++;
	/* Of a job, of a message for each recipient, of a question. */
	c->yes +=
	    count_words(text, "\"queued\"") + count_words(text, "queued as");
	if (is_control)
		c->yes += count_words(text, "\"done\"");
	if (c->script != NULL && *c->script != NULL)
		client_say(c, *c->script++, -1);
	return true;
}

static bool
take(int fd)
{
	if (fd == master || fd == queue)
		return take_message(fd);
	for (unsigned i = 0; i < nclients; i++)
		if (clients[i].fd == fd) {
			if (!take_answer(&clients[i]))
				client_close(&clients[i]);
			break;
		}
	return true;
}

static bool
turn(int ms)
{
	struct epoll_event events[8];
	int n = epoll_wait(poller, events, 8, ms);

	for (int i = 0; i < n; i++) {
		if (take(events[i].data.fd))
			continue;
		(void)epoll_ctl(poller, EPOLL_CTL_DEL, events[i].data.fd, NULL);
		if (events[i].data.fd == master)
			role_is_gone = true;
	}
	return n > 0;
}

static void
settle_down(void)
{
	int64_t until_ms = time_monotonic_ms() + WAIT_MS;

	while (
	    !role_is_gone && time_monotonic_ms() < until_ms && turn(QUIET_MS))
		;
}

/* Until it was told yes, or is gone, or is told nothing. */
static bool
is_served(struct client *c)
{
	int64_t until_ms = time_monotonic_ms() + WAIT_MS;

	while (c->fd != -1 && c->yes == 0 && !role_is_gone &&
	    time_monotonic_ms() < until_ms)
		(void)turn(50);
	return c->yes > 0;
}

static void
role_end(void)
{
	const struct msg_none none = { 0 };
	int64_t until_ms = time_monotonic_ms() + 10000;
	int status;

	for (unsigned i = 0; i < nclients; i++)
		client_close(&clients[i]);
	settle_down();
	faults_role_may_end();
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
	(void)close(master);
	(void)close(queue);
	(void)close(poller);
	(void)close(log_fd);
}

static int
body_of(size_t size)
{
	char *text = malloc(size);
	int fd;

	memset(text, 'x', size);
	memcpy(text, "a: b\n\n", 6);
	for (size_t i = 70; i < size; i += 70)
		text[i] = '\n';
	fd = fd_sealed("body", text, size);
	free(text);
	return fd;
}

static void
check_last(void (*serve)(struct client **c), const char *what)
{
	struct client *c;

	if (!faults_are_over())
		return;
	for (int i = 0; i < TRIES && !role_is_gone; i++) {
		serve(&c);
		if (is_served(c) || role_is_gone)
			return;
		client_close(c);
		nclients--;
		(void)turn(QUIET_MS); /* perhaps it has just ended */
	}
	if (!role_is_gone) {
		print_log();
		faults_fail("%s: the client after the fault is not served",
		    what);
	}
}

static void
serve_job(struct client **c)
{
	int fd = body_of(100);

	*c = client_new("packets", SOCK_SEQPACKET, NULL);
	if ((*c)->fd != -1)
		client_say(*c,
		    "{\"from\":\"s@e.example\",\"rcpts\":[\"a@b.example\"]}",
		    fd);
	(void)close(fd);
}

static void
serve_lmtp(struct client **c)
{
	static const char *const script[] = { "LHLO c.example\r\n",
		"MAIL FROM:<s@e.example>\r\n", "RCPT TO:<a@b.example>\r\n",
		"DATA\r\n", "a: b\r\n\r\nhello\r\n.\r\n", NULL };

	*c = client_new("lmtp", SOCK_STREAM, script);
}

static void
serve_command(struct client **c)
{
	*c = client_new("packets", SOCK_SEQPACKET, NULL);
	if ((*c)->fd != -1)
		client_say(*c, "{\"command\":\"list\",\"limit\":1}", -1);
}

static void
start(int (*run)(int), unsigned role)
{
	int64_t until_ms = time_monotonic_ms() + 10000;

	nclients = accepted = 0;
	is_control = role == ROLE_CONTROL;
	role_is_gone = role_is_ready = false;
	role_start(run, role);
	while (
	    !role_is_gone && !role_is_ready && time_monotonic_ms() < until_ms)
		(void)turn(50);
}

static void
intake_scenario(void)
{
	static const char *const script[] = { "LHLO c.example\r\n",
		"MAIL FROM:<s@e.example>\r\n", "RCPT TO:<a@b.example>\r\n",
		"DATA\r\n", "a: b\r\n\r\nhello\r\n.\r\n",
		"MAIL FROM:<s@e.example> BODY=8BITMIME\r\n"
		"RCPT TO:<a@b.example>\r\nRCPT TO:<c@b.example>\r\n"
		"BDAT 13 LAST\r\na: b\r\n\r\nhello",
		"NOOP\r\n", "NOOP\r\n", "NOOP\r\n", "QUIT\r\n", NULL };
	struct client *job, *mail, *bad;
	int fd = body_of(LARGE);

	start(intake_run, ROLE_INTAKE);
	job = client_new("packets", SOCK_SEQPACKET, NULL);
	mail = client_new("lmtp", SOCK_STREAM, script);
	bad = client_new("packets", SOCK_SEQPACKET, NULL);
	if (job->fd != -1) {
		client_say(job,
		    "{\"from\":\"s@e.example\",\"rcpts\":[\"a@b.example\"],"
		    "\"wait\":\"attempt\",\"ref\":\"r\",\"more\":true}",
		    fd);
		client_say(job,
		    "{\"rcpts\":[{\"address\":\"c@d.example\","
		    "\"notify\":[\"failure\"]}],\"more\":false}",
		    -1);
	}
	if (bad->fd != -1) {
		client_say(bad, "{\"from\":\"s@e.example\",\"rcpts\":[1]}", fd);
		client_say(bad, "nonsense", -1);
	}
	settle_down();
	client_close(bad);
	(void)close(fd);
	settle_down();
	/* The second message by LMTP has two recipients. */
	if (job->yes + (mail->yes + 1) / 2 > accepted)
		faults_fail("clients were told yes %u and %u times, of %u "
			    "jobs",
		    job->yes, mail->yes, accepted);
	if (!faults_fired() && faults_are_over() &&
	    (job->yes < 1 || mail->yes != 3 || accepted != 3)) {
		print_log();
		faults_fail("all works, and %u of 1, %u of 3, %u of 3 jobs are "
			    "in",
		    job->yes, mail->yes, accepted);
	}
	check_last(serve_job, "job");
	check_last(serve_lmtp, "lmtp");
	role_end();
}

static void
control_scenario(void)
{
	static const char *const script[] = {
		"{\"command\":\"list\",\"limit\":10}",
		"{\"command\":\"status\"}",
		"{\"command\":\"cat\",\"id\":\"100000\"}",
		"{\"command\":\"transcripts\"}", "{\"command\":\"top\"}",
		"{\"command\":\"hold\",\"recipient\":\"*@b.example\"}",
		"{\"command\":\"explain\",\"recipient\":\"a@b.example\"}",
		"{\"command\":\"pauses\"}", "{\"command\":\"nonsense\"}",
		"{\"command\":\"tail\"}", NULL
	};
	struct client *c;

	start(control_run, ROLE_CONTROL);
	c = client_new("packets", SOCK_SEQPACKET, script);
	if (c->fd != -1)
		client_say(c, "{\"command\":\"count\"}", -1);
	settle_down();
	if (!faults_fired() && faults_are_over() && c->answers < 9)
		faults_fail("all works, and there are %u answers", c->answers);
	check_last(serve_command, "control");
	role_end();
}

const struct scenario front_scenarios[] = { { "intake", intake_scenario },
	{ "control", control_scenario }, { NULL, NULL } };
