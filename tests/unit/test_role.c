/* SPDX-License-Identifier: ISC */
/* The loop of a role: channels, dispatch by phase, slow and false peers. */
#include "common/role.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "common/log.h"
#include "common/util.h"

#define SEEN_MAX 256

/* What the role under test met, in order. */
static struct {
	struct role role;
	struct channel *ch;
	int peer;   /* the other end of ch */
	int parent; /* the master's end */
	uint64_t seen[SEEN_MAX];
	size_t nseen;
	unsigned closed;
	const char *why; /* of the last closed */
} t;

static _Alignas(64) uint8_t packet[MSG_PACKET_SIZE];

static void
note(uint64_t what)
{
	cr_assert_lt(t.nseen, (size_t)SEEN_MAX);
	t.seen[t.nseen++] = what;
}

static void
on_begun(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_job_ref *ref = m->payload;

	cr_assert_eq(ctx, &t);
	cr_assert_eq(from, t.ch);
	note(ref->job);
}

/* A job is done: that ends the channel, from inside. */
static void
on_done(void *ctx, struct channel *from, const struct message *m)
{
	(void)ctx;
	(void)m;
	note(1000);
	channel_close(from);
	t.ch = NULL;
}

/* Only while draining. */
static void
on_committing(void *ctx, struct channel *from, const struct message *m)
{
	(void)ctx;
	(void)from;
	(void)m;
	note(2000);
}

static void
on_drain(void *ctx, struct channel *from, const struct message *m)
{
	(void)ctx;
	(void)from;
	(void)m;
	note(4000);
	log_line(LOG_DEBUG, "drained");
	t.role.phase = PHASE_DRAINING;
}

static const struct handler handlers[] = {
	{ MSG_BEGUN, PHASE_READY | PHASE_DRAINING, on_begun },
	{ MSG_OUTCOME, PHASE_READY, on_done },
	{ MSG_COMMITTING, PHASE_DRAINING, on_committing },
	{ MSG_DRAIN, PHASE_SETUP | PHASE_READY, on_drain },
};

static void
on_closed(void *ctx, struct channel *ch, const char *why)
{
	cr_assert_eq(ctx, &t);
	cr_assert_eq(ch, t.ch);
	t.closed++;
	t.why = why;
	t.ch = NULL;
}

static void
set_up(void)
{
	int pair[2];

	memset(&t, 0, sizeof(t));
	cr_assert_eq(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	t.parent = pair[0];
	role_init(&t.role, ROLE_QUEUE, pair[1], handlers, NELEM(handlers), &t,
	    on_closed);
	log_set_least(0); /* what false peers do is no news here */
	t.role.phase = PHASE_READY;
	cr_assert_eq(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	t.peer = pair[0];
	t.ch = channel_new(&t.role, pair[1], ROLE_WORKER, &t);
	cr_assert_not_null(t.ch);
}

static void
tear_down(void)
{
	channel_close(t.ch);
	role_clear(&t.role);
}

TestSuite(role, .init = set_up, .fini = tear_down);

/* A message of the peer whose payload is one number. */
static void
say(enum msg_type type, uint64_t n)
{
	uint8_t payload[256] = { 0 };

	memcpy(payload, &n, sizeof(n));
	cr_assert_eq(message_send(t.peer, type, payload, NULL, 0, -1, 0), 0,
	    "%s", strerror(errno));
}

/* Turns of the loop until nothing is ready. */
static void
turn(void)
{
	for (int i = 0; i < 20; i++)
		event_base_loop(t.role.base, EVLOOP_NONBLOCK);
}

Test(role, messages_reach_their_handlers_in_order)
{
	for (uint64_t i = 0; i < 100; i++) /* more than one burst */
		say(MSG_BEGUN, i);
	turn();
	cr_assert_eq(t.nseen, 100);
	for (uint64_t i = 0; i < 100; i++)
		cr_expect_eq(t.seen[i], i);
	cr_expect_eq(t.closed, 0);
	cr_expect_eq(channel_peer(t.ch), ROLE_WORKER);
	cr_expect_eq(channel_arg(t.ch), &t);
}

Test(role, what_is_out_of_phase_ends_its_channel)
{
	say(MSG_BEGUN, 1);
	say(MSG_COMMITTING, 2); /* not while READY */
	say(MSG_BEGUN, 3);
	turn();
	cr_expect_eq(t.nseen, 1);
	cr_expect_eq(t.closed, 1);
	cr_expect_str_eq(t.why, "a message out of phase");
}

Test(role, what_no_row_handles_ends_its_channel_and_its_descriptor)
{
	static const struct msg_dialogue line;

	cr_assert_eq(message_send(t.peer, MSG_DIALOGUE, &line, NULL, 0, -1, 0),
	    0);
	turn();
	cr_expect_eq(t.closed, 1);
	cr_expect_str_eq(t.why, "a message out of phase");
}

Test(role, a_phase_opens_what_it_allows)
{
	t.role.phase = PHASE_DRAINING;
	say(MSG_COMMITTING, 0);
	say(MSG_BEGUN, 7);
	turn();
	cr_assert_eq(t.nseen, 2);
	cr_expect_eq(t.seen[0], 2000);
	cr_expect_eq(t.seen[1], 7);
	cr_expect_eq(t.closed, 0);
}

Test(role, a_broken_packet_ends_its_channel_with_the_rule)
{
	cr_assert_eq(write(t.peer, "?", 1), 1);
	turn();
	cr_expect_eq(t.closed, 1);
	cr_expect_str_eq(t.why, "shorter than a header");
}

Test(role, another_roles_message_ends_its_channel)
{
	static const struct msg_start start;

	cr_assert_eq(message_send(t.peer, MSG_START, &start, NULL, 0, -1, 0),
	    0);
	turn();
	cr_expect_eq(t.closed, 1);
	cr_expect_str_eq(t.why, "wrong direction");
}

Test(role, what_was_sent_before_the_end_is_handled_first)
{
	say(MSG_BEGUN, 1);
	say(MSG_BEGUN, 2);
	close(t.peer);
	turn();
	cr_expect_eq(t.nseen, 2);
	cr_expect_eq(t.closed, 1);
	cr_expect_null(t.why);
}

Test(role, a_handler_may_close_its_channel)
{
	say(MSG_BEGUN, 1);
	say(MSG_OUTCOME, 0);
	say(MSG_BEGUN, 2); /* never read */
	turn();
	cr_expect_eq(t.nseen, 2);
	cr_expect_eq(t.seen[1], 1000);
	cr_expect_eq(t.closed, 0); /* who closes it knows */
	cr_expect_eq(read(t.peer, packet, sizeof(packet)), -1);
	cr_expect_eq(errno, ECONNRESET);
}

Test(role, nothing_behind_a_broken_rule_is_handled)
{
	say(MSG_BEGUN, 1);
	say(MSG_COMMITTING, 0); /* out of phase */
	say(MSG_BEGUN, 2);
	turn();
	cr_expect_eq(t.nseen, 1);
	cr_expect_eq(t.closed, 1);
}

/* A JOB whose body is an empty file of `size` octets. */
static int
send_job(uint64_t number, off_t size)
{
	struct msg_job job = { .job = number, .nrcpt = 1 };
	int fd, ret;

	fd = memfd_create("body", MFD_CLOEXEC);
	cr_assert_neq(fd, -1);
	cr_assert_eq(ftruncate(fd, size), 0);
	ret = channel_send(t.ch, MSG_JOB, &job, "a\0b", 4, fd);
	cr_expect_neq(fcntl(fd, F_GETFD), -1, "it stays the caller's");
	close(fd);
	return ret;
}

Test(role, a_slow_reader_gets_everything_in_order_with_its_descriptors)
{
	const struct msg_job *job;
	struct message m;
	const char *why;
	struct stat st;
	uint64_t want = 0;
	int turns = 0;

	for (uint64_t i = 0; i < 2000; i++)
		cr_assert_eq(send_job(i, (off_t)i + 1), 0, "%s",
		    strerror(errno));
	cr_assert_gt(channel_backlog(t.ch), 0, "it was too fast to be slow");
	while (want < 2000 && turns++ < 10000) {
		turn();
		while (message_receive(t.peer, packet, ROLE_QUEUE, ROLE_WORKER,
			   0, &m, &why) == 1) {
			job = m.payload;
			cr_assert_eq(m.type, MSG_JOB);
			cr_assert_eq(job->job, want);
			cr_assert_eq(m.tail_len, 4);
			cr_assert_eq(fstat(m.fd, &st), 0);
			cr_assert_eq(st.st_size, (off_t)want + 1);
			close(m.fd);
			want++;
		}
	}
	cr_expect_eq(want, 2000);
	cr_expect_eq(channel_backlog(t.ch), 0);
	cr_expect_eq(t.closed, 0);
}

/* What it asks for would fill our memory. */
Test(role, who_asks_and_does_not_read_the_answers_waits)
{
	static const struct msg_none none;

	channel_set_brake(t.ch, 10);
	while (channel_backlog(t.ch) < 10)
		cr_assert_eq(channel_send(t.ch, MSG_QUIT, &none, NULL, 0, -1),
		    0);
	say(MSG_BEGUN, 1);
	turn();
	cr_expect_eq(t.nseen, 0);
	while (recv(t.peer, packet, sizeof(packet), MSG_DONTWAIT) != -1)
		turn();
	turn();
	cr_expect_eq(channel_backlog(t.ch), 0);
	cr_expect_eq(t.nseen, 1);
	cr_expect_eq(t.closed, 0);
}

/* Nothing more is written to it, so nothing else would show its end. */
Test(role, one_that_waits_and_ends_is_not_kept)
{
	static const struct msg_none none;

	channel_set_brake(t.ch, 10);
	while (channel_backlog(t.ch) < 10)
		cr_assert_eq(channel_send(t.ch, MSG_QUIT, &none, NULL, 0, -1),
		    0);
	close(t.peer);
	turn();
	turn();
	cr_expect_eq(t.closed, 1);
}

Test(role, a_reader_that_never_reads_is_given_up)
{
	static const struct msg_none none;
	size_t sent = 0;

	while (channel_send(t.ch, MSG_QUIT, &none, NULL, 0, -1) == 0)
		cr_assert_lt(++sent, (size_t)100000);
	cr_expect_eq(errno, ENOBUFS);
	cr_expect_eq(t.closed, 0); /* not at once */
	cr_expect_eq(channel_send(t.ch, MSG_QUIT, &none, NULL, 0, -1), -1);
	cr_expect_eq(errno, EPIPE);
	turn();
	cr_expect_eq(t.closed, 1);
	/* It lives on: who hears this must have it ended. */
	cr_assert_not_null(t.why);
	cr_expect_str_eq(t.why, "too far behind with reading");
}

/* Else nobody would ever link the two again. */
Test(role, who_cannot_reach_the_queue_ends_itself)
{
	struct msg_job job = { .nrcpt = 1 };
	int pair[2];

	cr_assert_eq(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	channel_close(t.ch);
	t.role.self = ROLE_INTAKE;
	t.ch = channel_new(&t.role, pair[1], ROLE_QUEUE, &t);
	cr_assert_not_null(t.ch);
	/* Any failure but the other's end; this one is a row's rule. */
	cr_expect_eq(channel_send(t.ch, MSG_JOB, &job, NULL, 0, -1), -1);
	event_base_loop(t.role.base, EVLOOP_NONBLOCK);
	cr_expect_eq(t.closed, 1);
	cr_expect_not_null(t.why);
	cr_expect(event_base_got_break(t.role.base));
}

Test(role, to_a_peer_that_is_gone_nothing_is_sent_but_its_words_are_heard)
{
	static const struct msg_none none;

	say(MSG_BEGUN, 1);
	close(t.peer);
	cr_expect_eq(channel_send(t.ch, MSG_QUIT, &none, NULL, 0, -1), -1);
	turn();
	cr_expect_eq(t.nseen, 1);
	cr_expect_eq(t.closed, 1);
}

/* The kernel says ECONNRESET before the words, where ours were not read. */
Test(role, a_peer_that_left_without_reading_is_heard_to_its_last_word)
{
	static const struct msg_none none;

	cr_expect_eq(channel_send(t.ch, MSG_QUIT, &none, NULL, 0, -1), 0);
	say(MSG_BEGUN, 1);
	say(MSG_BEGUN, 2);
	close(t.peer);
	turn();
	cr_expect_eq(t.nseen, 2);
	cr_expect_eq(t.closed, 1);
	cr_expect_null(t.why);
}

Test(role, a_peer_that_left_with_words_of_ours_waiting_is_heard_as_well)
{
	static const struct msg_none none;

	while (channel_backlog(t.ch) == 0)
		cr_assert_eq(channel_send(t.ch, MSG_QUIT, &none, NULL, 0, -1),
		    0);
	say(MSG_BEGUN, 1);
	close(t.peer);
	turn();
	cr_expect_eq(t.nseen, 1);
	cr_expect_eq(t.closed, 1);
}

Test(role, what_waits_dies_with_its_channel)
{
	while (channel_backlog(t.ch) < 10)
		cr_assert_eq(send_job(0, 0), 0);
	channel_close(t.ch); /* the sanitizers count */
	t.ch = NULL;
}

Test(role, a_new_log_sink_takes_the_place_of_descriptor_2)
{
	struct msg_log_sink sink = { .least = LOG_INFO, .name = "gate" };
	char line[256] = "";
	int pipe_fds[2], saved = dup(2);

	cr_assert_eq(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
	cr_assert_eq(message_send(t.parent, MSG_LOG_SINK, &sink, NULL, 0,
			 pipe_fds[1], 0),
	    0);
	turn();
	log_line(LOG_INFO, "hello");
	dup2(saved, 2);
	cr_expect_gt(read(pipe_fds[0], line, sizeof(line) - 1), 0);
	cr_expect_not_null(strstr(line, " gated/queue["), "%s", line);
}

static void
on_time(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	role_stop(&t.role);
}

Test(role, a_log_sink_that_is_gone_is_asked_for_once_a_second)
{
	static const struct timeval soon = { .tv_usec = 50000 };
	static const struct msg_none none;
	struct msg_ready ready = { 0 };
	struct message m;
	const char *why;
	int pipe_fds[2], saved = dup(2);

	signal(SIGPIPE, SIG_IGN);
	cr_assert_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
	close(pipe_fds[0]);
	cr_assert_neq(dup2(pipe_fds[1], 2), -1);
	log_set_least(LOG_DEBUG);
	cr_assert_eq(message_send(t.parent, MSG_DRAIN, &none, NULL, 0, -1, 0),
	    0);
	cr_assert_eq(
	    event_base_once(t.role.base, -1, EV_TIMEOUT, on_time, NULL, &soon),
	    0);
	role_loop(&t.role, &ready);
	dup2(saved, 2);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(message_receive(t.parent, packet, ROLE_QUEUE,
				 ROLE_MASTER, MSG_DONTWAIT, &m, &why),
		    1);
		cr_expect_eq(m.type, i == 0 ? MSG_READY : MSG_LOG_REOPEN);
	}
	cr_expect_eq(recv(t.parent, packet, 1, MSG_DONTWAIT), -1);
}

Test(role, start_tells_who_to_be)
{
	struct msg_start start = { .uid = 12, .gid = 34, .pid = 56 };

	t.role.phase = PHASE_SETUP;
	cr_assert_eq(message_send(t.parent, MSG_START, &start, NULL, 0, -1, 0),
	    0);
	role_setup(&t.role);
	cr_expect_eq(t.role.phase, PHASE_READY);
	cr_expect_eq(t.role.start.uid, 12);
	cr_expect_eq(t.role.start.gid, 34);
}

/* A file cannot be waited for, as a socket cannot where memory has run out. */
Test(role, a_peer_without_a_channel_is_the_end_of_the_role)
{
	int fd = memfd_create("no socket", MFD_CLOEXEC);

	cr_expect_null(role_take_peer(&t.role, fd, ROLE_RESOLVER, NULL));
	cr_expect_eq(fcntl(fd, F_GETFD), -1, "it is closed");
	cr_expect(event_base_got_break(t.role.base));
}

Test(role, without_a_peer_that_came_with_the_start_there_is_no_role,
    .exit_code = 1)
{
	t.role.phase = PHASE_SETUP;
	(void)role_take_peer(&t.role, memfd_create("no socket", MFD_CLOEXEC),
	    ROLE_RESOLVER, NULL);
}

Test(role, without_start_there_is_no_role, .exit_code = 1)
{
	t.role.phase = PHASE_SETUP;
	close(t.parent);
	role_setup(&t.role);
}

Test(role, the_loop_says_ready_and_ends_with_its_master)
{
	static const struct msg_none none;
	struct msg_ready ready = { .landlock_abi = 6 };
	struct message m;
	const char *why;

	cr_assert_eq(message_send(t.parent, MSG_DRAIN, &none, NULL, 0, -1, 0),
	    0);
	shutdown(t.parent, SHUT_WR);
	role_loop(&t.role, &ready);
	cr_expect_eq(t.nseen, 1);
	cr_expect_null(t.role.parent);
	cr_expect_eq(t.closed, 0, "the parent's end is not told");
	cr_assert_eq(message_receive(t.parent, packet, ROLE_QUEUE, ROLE_MASTER,
			 0, &m, &why),
	    1);
	cr_expect_eq(m.type, MSG_READY);
}

Test(role, a_channel_over_no_socket_is_none)
{
	struct channel *ch;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	cr_assert_neq(fd, -1);
	ch = channel_new(&t.role, fd, ROLE_WORKER, NULL);
	cr_expect_null(ch); /* epoll takes no such thing */
	cr_expect_eq(fcntl(fd, F_GETFD), -1);
	channel_close(NULL);
}
