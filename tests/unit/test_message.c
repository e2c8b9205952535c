/* SPDX-License-Identifier: ISC */
/* Every row of messages.def, told honestly and in each way it can be false. */
#include "common/message.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "common/closer.h"
#include "common/util.h"

#define HEADER_SIZE 8 /* type and length, 32 bits each */

static _Alignas(64) uint8_t packet[MSG_PACKET_SIZE];
static const uint8_t zeros[MSG_PACKET_SIZE];

/* A payload of nothing but zeros, where that can be. */
static const void *
payload_of(enum msg_type type)
{
	static const struct msg_dial dial = { .family = AF_INET };
	static const struct msg_resolved none = {
		.outcome = { .status = OUTCOME_DEFERRED }
	};

	return type == MSG_DIAL    ? (const void *)&dial
	    : type == MSG_RESOLVED ? (const void *)&none
				   : (const void *)zeros;
}

/* A text, or strings; either of them where anything may be. */
static const uint8_t *
tail_of(enum msg_type type)
{
	static const enum msg_type texts[] = { MSG_FAULT, MSG_NO_SECRET,
		MSG_NO_OUTLET, MSG_OUTLET_DONE, MSG_TRACE, MSG_TOLD,
		MSG_RESOLVED, MSG_NEXT, MSG_OUTCOME, MSG_CLOSED, MSG_TRANSCRIPT,
		MSG_DIALOGUE };
	static uint8_t text[MSG_PACKET_SIZE];

	memset(text, 'x', sizeof(text));
	for (size_t i = 0; i < NELEM(texts); i++)
		if (texts[i] == type)
			return text;
	return zeros;
}

static uint8_t *
encode(enum msg_type type, size_t tail_len, size_t *n)
{
	*n = message_encode(packet, type, payload_of(type), tail_of(type),
	    tail_len);
	cr_assert_eq(*n, HEADER_SIZE + msg_descs[type].size + tail_len);
	return packet;
}

/* The same octets with another length in the header. */
static void
set_length(size_t len)
{
	uint32_t n = (uint32_t)len;

	memcpy(packet + 4, &n, sizeof(n));
}

static const char *
decode(enum msg_type type, size_t n, unsigned nfds)
{
	const struct msg_desc *d = &msg_descs[type];
	struct message m;

	return message_decode(&m, packet, n, nfds, d->sender, d->receiver);
}

static void
expect_why(const char *got, const char *want, enum msg_type type)
{
	cr_expect(got != NULL && strcmp(got, want) == 0, "%s: %s, not: %s",
	    msg_descs[type].name, got != NULL ? got : "taken", want);
}

Test(message, every_row_is_read_as_it_was_written)
{
	const struct msg_desc *d;
	struct message m;
	size_t n;

	for (unsigned t = 0; t < MSG_COUNT; t++) {
		d = &msg_descs[t];
		for (size_t tail = 0; tail <= d->tail; tail += d->tail | 1) {
			encode(t, tail, &n);
			memset(&m, 0, sizeof(m));
			cr_assert_null(message_decode(&m, packet, n, d->nfds,
					   d->sender, d->receiver),
			    "%s", d->name);
			cr_expect_eq(m.type, t);
			cr_expect_eq(m.payload, packet + HEADER_SIZE);
			cr_expect_eq(m.tail, packet + HEADER_SIZE + d->size);
			cr_expect_eq(m.tail_len, tail);
		}
	}
}

Test(message, no_row_is_written_with_too_long_a_tail)
{
	for (unsigned t = 0; t < MSG_COUNT; t++)
		cr_expect_eq(message_encode(packet, t, zeros, zeros,
				 msg_descs[t].tail + 1),
		    0, "%s", msg_descs[t].name);
}

Test(message, a_truncated_packet_is_refused_at_every_length)
{
	size_t n;

	for (unsigned t = 0; t < MSG_COUNT; t++) {
		encode(t, 0, &n);
		for (size_t len = 0; len < n; len++) {
			set_length(n - HEADER_SIZE);
			expect_why(decode(t, len, msg_descs[t].nfds),
			    len < HEADER_SIZE ? "shorter than a header"
					      : "length and packet differ",
			    t);
			if (len < HEADER_SIZE)
				continue;
			set_length(len - HEADER_SIZE); /* a lie that agrees */
			expect_why(decode(t, len, msg_descs[t].nfds),
			    "wrong size", t);
		}
	}
}

Test(message, an_oversized_packet_is_refused)
{
	size_t n;

	for (unsigned t = 0; t < MSG_COUNT; t++) {
		encode(t, msg_descs[t].tail, &n);
		expect_why(decode(t, n + 1, msg_descs[t].nfds),
		    "length and packet differ", t);
		set_length(n + 1 - HEADER_SIZE);
		expect_why(decode(t, n + 1, msg_descs[t].nfds), "wrong size",
		    t);
		set_length(UINT32_MAX);
		expect_why(decode(t, n, msg_descs[t].nfds),
		    "length and packet differ", t);
	}
}

Test(message, a_stray_or_missing_descriptor_is_refused)
{
	size_t n;

	for (unsigned t = 0; t < MSG_COUNT; t++) {
		encode(t, 0, &n);
		for (unsigned nfds = 0; nfds <= 2; nfds++) {
			if (nfds == msg_descs[t].nfds)
				continue;
			expect_why(decode(t, n, nfds),
			    "wrong number of descriptors", t);
		}
	}
}

Test(message, only_its_sender_may_send_it_and_only_to_its_receiver)
{
	const struct msg_desc *d;
	struct message m;
	const char *why;
	size_t n;

	for (unsigned t = 0; t < MSG_COUNT; t++) {
		d = &msg_descs[t];
		encode(t, 0, &n);
		for (unsigned from = 1; from <= ROLE_WORKER; from <<= 1) {
			for (unsigned to = 1; to <= ROLE_WORKER; to <<= 1) {
				why = message_decode(&m, packet, n, d->nfds,
				    from, to);
				if ((d->sender & from) && (d->receiver & to))
					cr_expect_null(why, "%s", d->name);
				else
					expect_why(why, "wrong direction", t);
			}
		}
	}
}

Test(message, a_worker_can_speak_to_nobody_but_the_queue)
{
	for (unsigned t = 0; t < MSG_COUNT; t++) {
		if (msg_descs[t].sender & ROLE_WORKER)
			cr_expect_eq(msg_descs[t].receiver, ROLE_QUEUE, "%s",
			    msg_descs[t].name);
	}
}

Test(message, an_unknown_type_is_refused)
{
	static const uint32_t types[] = { MSG_COUNT, MSG_COUNT + 1, 1u << 31,
		UINT32_MAX };
	struct message m;
	size_t n;

	for (size_t i = 0; i < NELEM(types); i++) {
		encode(MSG_DRAIN, 0, &n);
		memcpy(packet, &types[i], sizeof(types[i]));
		cr_expect_str_eq(message_decode(&m, packet, n, 0, ~0u, ~0u),
		    "unknown type");
	}
}

/* What fields may hold. */

/* One field of a message that is well otherwise. */
#define AT(structure, member)                                                  \
	offsetof(struct structure, member),                                    \
	    sizeof(((struct structure *)0)->member)

static const struct {
	enum msg_type type;
	size_t at;
	size_t size;
	const char *octets; /* what it holds; shorter ones end in zeros */
	size_t n;
	bool good;
} field_cases[] = {
#define IN(text) text, sizeof(text) - 1
	/* An enhanced code, as each message that has one may bring it. */
	{ MSG_NEXT, AT(msg_next, outcome.dsn), IN("4.4.1"), true },
	{ MSG_NEXT, AT(msg_next, outcome.dsn), IN(""), true },
	{ MSG_NEXT, AT(msg_next, outcome.dsn), IN("5.123.123"), true },
	{ MSG_NEXT, AT(msg_next, outcome.dsn), IN("4.4.1\n"), false },
	{ MSG_NEXT, AT(msg_next, outcome.dsn), IN("4.4\033[2J"), false },
	{ MSG_NEXT, AT(msg_next, outcome.dsn), IN("4.4.1.1.1.1."), false },
	{ MSG_NEXT, AT(msg_next, outcome.dsn), IN("111111111111"), false },
	{ MSG_NEXT, AT(msg_next, outcome.dsn), IN("4.4"), false },
	{ MSG_NEXT, AT(msg_next, outcome.dsn), IN("4..1"), false },
	{ MSG_NEXT, AT(msg_next, outcome.dsn), IN("3.4.1"), false },
	{ MSG_NEXT, AT(msg_next, outcome.dsn), IN("4.1234.1"), false },
	{ MSG_OUTCOME, AT(msg_outcome, outcome.dsn), IN("4\n"), false },
	{ MSG_CLOSED, AT(msg_closed, outcome.dsn), IN("4\n"), false },
	{ MSG_RESOLVED, AT(msg_resolved, outcome.dsn), IN("4\n"), false },
	{ MSG_RESULT, AT(msg_result, outcome.dsn), IN("4\n"), false },
	{ MSG_LISTED, AT(msg_listed, outcome.dsn), IN("4\n"), false },
	{ MSG_REFUSED, AT(msg_refused, dsn), IN("4\n"), false },
	/* The rest of an outcome. */
	{ MSG_NEXT, AT(msg_next, outcome.status), IN("\3"), false },
	{ MSG_NEXT, AT(msg_next, outcome.step), IN("\20"), false },
	{ MSG_NEXT, AT(msg_next, outcome.in_doubt), IN("\2"), false },
	{ MSG_NEXT, AT(msg_next, outcome.again), IN("\4"), false },
	{ MSG_NEXT, AT(msg_next, outcome.code), IN("\xe7\3"), true },
	{ MSG_NEXT, AT(msg_next, outcome.code), IN("\xe8\3"), false },
	{ MSG_NEXT, AT(msg_next, outcome.offers), IN("\4"), false },
	{ MSG_NEXT, AT(msg_next, outcome.broke_signature), IN("\2"), false },
	/* TLS. */
	{ MSG_NEXT, AT(msg_next, tls.version), IN("TLSv1.3"), true },
	{ MSG_NEXT, AT(msg_next, tls.version), IN("TLS\n"), false },
	{ MSG_SESSION_UP, AT(msg_session_up, tls.version), IN("111111111111"),
	    false },
	{ MSG_SESSION_UP, AT(msg_session_up, tls.cipher), IN("\033c"), false },
	{ MSG_SESSION_UP, AT(msg_session_up, tls.on), IN("\2"), false },
	/* Numbers of few values, and bits. */
	{ MSG_NEXT, AT(msg_next, again), IN("\4"), false },
	{ MSG_NEXT, AT(msg_next, learnt), IN("\x10"), false },
	{ MSG_CLOSED, AT(msg_closed, learnt), IN("\0\1"), false },
	{ MSG_CLOSED, AT(msg_closed, failed), IN("\0\0\0\1"), false },
	{ MSG_AGAIN, AT(msg_again, in_doubt), IN("\2"), false },
	{ MSG_RESOLVED, AT(msg_resolved, blame), IN("\4"), false },
	{ MSG_RESOLVED, AT(msg_resolved, count), IN("\1"), false },
	{ MSG_SUBMIT, AT(msg_submit, wait), IN("\3"), false },
	{ MSG_ACT, AT(msg_act, verb), IN("\7"), true },
	{ MSG_ACT, AT(msg_act, verb), IN("\10"), false },
	{ MSG_ACT, AT(msg_act, by), IN("\4"), true },
	{ MSG_ACT, AT(msg_act, by), IN("\5"), false },
	{ MSG_LIST_END, AT(msg_list_end, unknown), IN("\3"), false },
	{ MSG_ASK, AT(msg_ask, what), IN("\7"), false },
	{ MSG_ASK, AT(msg_ask, kind), IN("\4"), false },
	{ MSG_READY, AT(msg_ready, landlock_error), IN("\1"), true },
	{ MSG_READY, AT(msg_ready, landlock_error), IN("\0\0\1"), false },
	{ MSG_DIAL, AT(msg_dial, family), IN("\21"), false },
	{ MSG_DIAL, AT(msg_dial, path), IN("/a"), true },
	{ MSG_SESSION, AT(msg_session, tls_level), IN("\4"), false },
	{ MSG_SESSION, AT(msg_session, ehlo_name), IN("a\nb"), false },
	{ MSG_FAULT, AT(msg_fault, role), IN("\1"), false },
#undef IN
};

Test(message, a_field_holds_what_its_kind_allows_and_nothing_else)
{
	const char *why;
	uint8_t *at;
	size_t n;

	for (size_t i = 0; i < NELEM(field_cases); i++) {
		encode(field_cases[i].type, 0, &n);
		at = packet + HEADER_SIZE + field_cases[i].at;
		memset(at, 0, field_cases[i].size);
		memcpy(at, field_cases[i].octets,
		    field_cases[i].n < field_cases[i].size
			? field_cases[i].n
			: field_cases[i].size);
		why = decode(field_cases[i].type, n,
		    msg_descs[field_cases[i].type].nfds);
		cr_expect_eq(why == NULL, field_cases[i].good, "row %zu: %s", i,
		    why != NULL ? why : "taken");
	}
}

static const struct {
	enum msg_type type;
	const char *tail;
	size_t n;
	bool good;
} tail_cases[] = {
#define IN(text) text, sizeof(text) - 1
	{ MSG_NEXT, IN("450 4.3.2 later ~"), true },
	{ MSG_NEXT, IN("a\nb"), false },
	{ MSG_NEXT, IN("a\0b"), false },
	{ MSG_NEXT, IN("\033[2J"), false },
	{ MSG_NEXT, IN("M\303\274nchen"), false }, /* it is escaped by then */
	{ MSG_OUTCOME, IN("a\nb"), false },
	{ MSG_CLOSED, IN("a\nb"), false },
	{ MSG_DIALOGUE, IN("a\nb"), false },
	{ MSG_RESOLVED, IN("a\nb"), false },
	{ MSG_NO_SECRET, IN("a\nb"), false },
	{ MSG_TRANSCRIPT, IN("1 x\n2 y\n"), true },
	{ MSG_TRANSCRIPT, IN("1 x\r\n"), false },
	{ MSG_JOB, IN("a\0b\0"), true },
	{ MSG_JOB, IN("a\0b"), false },
	{ MSG_TOLD, IN("{\"a\":\"M\303\274nchen\"}"), true },
	{ MSG_TOLD, IN("{\"a\":\"\303\"}"), false },
#undef IN
};

Test(message, a_tail_holds_what_its_kind_allows_and_nothing_else)
{
	const char *why;
	size_t n;

	for (size_t i = 0; i < NELEM(tail_cases); i++) {
		n = message_encode(packet, tail_cases[i].type,
		    payload_of(tail_cases[i].type), tail_cases[i].tail,
		    tail_cases[i].n);
		why = decode(tail_cases[i].type, n,
		    msg_descs[tail_cases[i].type].nfds);
		cr_expect_eq(why == NULL, tail_cases[i].good, "row %zu: %s", i,
		    why != NULL ? why : "taken");
	}
}

/* A plan of one address, well but for one thing. */
static const char *
decode_plan(uint32_t count, unsigned family, uint16_t port, const char *host,
    size_t host_size)
{
	struct msg_resolved answer = { .count = count };
	struct plan_address address = { .family = (uint8_t)family,
		.port = port };
	size_t n;

	memcpy(address.host, host,
	    host_size < sizeof(address.host) ? host_size
					     : sizeof(address.host));
	n = message_encode(packet, MSG_RESOLVED, &answer, &address,
	    sizeof(address));
	return decode(MSG_RESOLVED, n, 0);
}

Test(message, a_plan_holds_addresses_that_can_be)
{
	char endless[MSG_HOST_SIZE];

	memset(endless, 'a', sizeof(endless));
	cr_expect_null(decode_plan(1, AF_INET, 25, "mx", 3));
	cr_expect_null(decode_plan(1, AF_INET6, 25, "mx", 3));
	cr_expect_not_null(decode_plan(0, AF_INET, 25, "mx", 3));
	cr_expect_not_null(decode_plan(2, AF_INET, 25, "mx", 3));
	cr_expect_not_null(decode_plan(UINT32_MAX, AF_INET, 25, "mx", 3));
	cr_expect_not_null(decode_plan(1, AF_UNIX, 25, "mx", 3));
	cr_expect_not_null(decode_plan(1, 0, 25, "mx", 3));
	cr_expect_not_null(decode_plan(1, AF_INET, 0, "mx", 3));
	cr_expect_not_null(decode_plan(1, AF_INET, 25, "", 1));
	cr_expect_not_null(decode_plan(1, AF_INET, 25, "m x", 4));
	cr_expect_not_null(decode_plan(1, AF_INET, 25, "m\nx", 4));
	cr_expect_not_null(
	    decode_plan(1, AF_INET, 25, endless, sizeof(endless)));
}

static const struct {
	const char *octets;
	size_t len;
	const char *want[4];
} tails[] = {
	{ "", 0, { NULL } },
	{ "\0", 1, { "", NULL } },
	{ "a\0b\0", 4, { "a", "b", NULL } },
	{ "\0\0b\0", 4, { "", "", "b", NULL } },
	{ "a\0b", 3, { "a", NULL } }, /* the last has no end */
	{ "ab", 2, { NULL } },
};

Test(message, a_tail_is_read_string_by_string_and_never_beyond_its_end)
{
	struct message m = { 0 };
	const char *s;
	size_t at, j;

	for (size_t i = 0; i < NELEM(tails); i++) {
		m.tail = (const uint8_t *)tails[i].octets;
		m.tail_len = tails[i].len;
		at = 0;
		for (j = 0; tails[i].want[j] != NULL; j++) {
			s = message_tail_next(&m, &at);
			cr_assert_not_null(s, "row %zu", i);
			cr_expect_str_eq(s, tails[i].want[j], "row %zu", i);
		}
		cr_expect_null(message_tail_next(&m, &at), "row %zu", i);
		cr_expect_null(message_tail_next(&m, &at), "row %zu", i);
	}
}

Test(message, a_tail_is_filled_to_its_last_octet_and_no_further)
{
	char tail[7] = "......";
	size_t len = 0;

	cr_expect(message_tail_add(tail, 6, &len, "abc"));
	cr_expect_not(message_tail_add(tail, 6, &len, "de"));
	cr_expect_eq(len, 4);
	cr_expect(message_tail_add(tail, 6, &len, "d"));
	cr_expect_eq(len, 6);
	cr_expect_not(message_tail_add(tail, 6, &len, ""));
	cr_expect_arr_eq(tail, "abc\0d\0", 7); /* and its NUL is untouched */
}

Test(message, a_string_ends_inside_its_place)
{
	cr_expect(message_string_ok("abc", 4));
	cr_expect(message_string_ok("", 1));
	cr_expect_not(message_string_ok("abc", 3));
	cr_expect_not(message_string_ok("abc", 0));
}

/* Over a real socket. */

static int pair[2];

static void
open_pair(void)
{
	cr_assert_eq(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
}

static unsigned
count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	cr_assert_not_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

/* n octets of packet with nfds descriptors, as no honest sender would. */
static void
send_raw(size_t n, unsigned nfds)
{
	union {
		struct cmsghdr align;
		uint8_t room[CMSG_SPACE(8 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { packet, n };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fds[8] = { 0 };

	if (nfds > 0) {
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		CMSG_FIRSTHDR(&mh)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&mh)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&mh)->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&mh)), fds, nfds * sizeof(int));
	}
	cr_assert_eq(sendmsg(pair[0], &mh, 0), (ssize_t)n, "%s",
	    strerror(errno));
}

/* A descriptor that the row may have; -1 where it has none. */
static int
descriptor_of(const struct msg_desc *d)
{
	switch (d->fd) {
	case FD_NONE:
		return -1;
	case FD_MEMFD:
		return memfd_create("body", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	case FD_ANY:
	case FD_SOCKET:
		break;
	}
	return dup(pair[0]);
}

static int
receive(enum msg_type type, struct message *m, const char **why)
{
	return message_receive(pair[1], packet, msg_descs[type].sender,
	    msg_descs[type].receiver, 0, m, why);
}

Test(message, every_row_crosses_a_socket_with_its_descriptor, .init = open_pair)
{
	const struct msg_desc *d;
	struct message m;
	const char *why;
	unsigned before;
	int fd;

	for (unsigned t = 0; t < MSG_COUNT; t++) {
		d = &msg_descs[t];
		before = count_fds();
		fd = descriptor_of(d);
		cr_assert_eq(message_send(pair[0], t, payload_of(t), tail_of(t),
				 d->tail, fd, 0),
		    0, "%s: %s", d->name, strerror(errno));
		fd_close(fd);
		cr_assert_eq(receive(t, &m, &why), 1, "%s: %s", d->name, why);
		cr_expect_null(why);
		cr_expect_eq(m.tail_len, d->tail);
		cr_expect_eq(m.fd != -1, d->nfds == 1, "%s", d->name);
		if (m.fd != -1)
			cr_expect_eq(fcntl(m.fd, F_GETFD), FD_CLOEXEC);
		fd_close(m.fd);
		cr_expect_eq(count_fds(), before, "%s", d->name);
	}
}

Test(message, no_row_is_sent_with_a_wrong_descriptor_or_tail, .init = open_pair)
{
	const struct msg_desc *d;

	for (unsigned t = 0; t < MSG_COUNT; t++) {
		d = &msg_descs[t];
		errno = 0;
		cr_expect_eq(message_send(pair[0], t, zeros, NULL, 0,
				 d->nfds == 1 ? -1 : pair[0], 0),
		    -1, "%s", d->name);
		cr_expect_eq(errno, EINVAL);
		errno = 0;
		cr_expect_eq(message_send(pair[0], t, zeros, zeros, d->tail + 1,
				 d->nfds == 1 ? pair[0] : -1, 0),
		    -1, "%s", d->name);
		cr_expect_eq(errno, EINVAL);
	}
}

/* Packets that break a rule, and how many descriptors come with them. */
static const struct {
	enum msg_type type;
	size_t cut;  /* octets left out */
	size_t more; /* octets too many */
	unsigned nfds;
	const char *why;
} liars[] = {
	{ MSG_DRAIN, 0, 0, 1, "wrong number of descriptors" },
	{ MSG_DRAIN, 0, 0, 2, "too many descriptors" },
	{ MSG_DRAIN, 0, 0, 7, "too many descriptors" },
	{ MSG_JOB, 0, 0, 0, "wrong number of descriptors" },
	{ MSG_JOB, 0, 0, 2, "too many descriptors" },
	{ MSG_JOB, 0, 0, 3, "too many descriptors" },
	{ MSG_JOB, 1, 0, 1, "length and packet differ" },
	{ MSG_JOB, 0, 1, 1, "length and packet differ" },
	{ MSG_JOB, sizeof(struct msg_job) + 1, 0, 1, "shorter than a header" },
	{ MSG_JOB, 0, MSG_PACKET_SIZE, 1, "larger than any message" },
};

Test(message, what_breaks_a_rule_is_said_and_its_descriptors_are_closed,
    .init = open_pair)
{
	struct message m;
	const char *why;
	unsigned before;
	size_t n;

	for (size_t i = 0; i < NELEM(liars); i++) {
		static uint8_t big[2 * MSG_PACKET_SIZE];

		before = count_fds();
		encode(liars[i].type, 0, &n);
		n = n - liars[i].cut + liars[i].more;
		if (n <= MSG_PACKET_SIZE) {
			send_raw(n, liars[i].nfds);
		} else {
			memcpy(big, packet, 64);
			cr_assert_eq(write(pair[0], big, n), (ssize_t)n);
		}
		errno = 0;
		cr_expect_eq(receive(liars[i].type, &m, &why), -1, "row %zu",
		    i);
		cr_expect_eq(errno, EPROTO);
		cr_expect_str_eq(why, liars[i].why, "row %zu: %s", i, why);
		cr_expect_eq(count_fds(), before, "row %zu", i);
	}
}

Test(message, an_empty_packet_is_no_message_and_its_descriptors_are_closed,
    .init = open_pair)
{
	unsigned before = count_fds();
	struct message m;
	const char *why;

	send_raw(0, 2);
	cr_expect_leq(receive(MSG_DRAIN, &m, &why), 0);
	cr_expect_eq(count_fds(), before);
}

Test(message, the_end_of_the_other_side_is_told_from_nothing_yet,
    .init = open_pair)
{
	struct message m;
	const char *why;

	cr_expect_eq(receive(MSG_DRAIN, &m, &why), -1);
	cr_expect_eq(errno, EAGAIN);
	cr_expect_null(why);
	close(pair[0]);
	cr_expect_eq(receive(MSG_DRAIN, &m, &why), 0);
	cr_expect_null(why);
}

Test(message, to_a_side_that_is_gone_nothing_is_sent_and_no_signal_comes,
    .init = open_pair)
{
	close(pair[1]);
	cr_expect_eq(message_send(pair[0], MSG_DRAIN, zeros, NULL, 0, -1, 0),
	    -1);
	cr_expect_eq(errno, EPIPE);
}

/* One descriptor, which the row does not want. */
static const struct {
	enum msg_type type;
	bool memfd; /* else a pipe's end */
	const char *why;
} wrong_kinds[] = {
	{ MSG_SUBMIT, false, "its descriptor is no memfd" },
	{ MSG_CLIENT_LEFT, false, "its descriptor is no socket" },
	{ MSG_CLIENT_LEFT, true, "its descriptor is no socket" },
};

Test(message, a_descriptor_of_another_kind_breaks_a_rule, .init = open_pair)
{
	unsigned before = count_fds();
	struct message m;
	const char *why;
	int fds[2];

	for (size_t i = 0; i < NELEM(wrong_kinds); i++) {
		enum msg_type t = wrong_kinds[i].type;

		cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
		if (wrong_kinds[i].memfd) {
			close(fds[0]);
			fds[0] = memfd_create("x", MFD_CLOEXEC);
		}
		cr_assert_eq(message_send(pair[0], t, payload_of(t), tail_of(t),
				 msg_descs[t].tail, fds[0], 0),
		    0);
		close(fds[0]);
		close(fds[1]);
		cr_expect_eq(receive(t, &m, &why), -1, "row %zu", i);
		cr_expect_str_eq(why, wrong_kinds[i].why, "row %zu", i);
		cr_expect_eq(count_fds(), before, "row %zu", i);
	}
}

/* A connection with unsent data, whose last close() waits for two minutes. */
static int
open_lingering(int *peer)
{
	const struct linger linger = { .l_onoff = 1, .l_linger = 120 };
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof(at);
	static char full[65536];
	int l, fd;

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	l = socket(AF_INET, SOCK_STREAM, 0);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	cr_assert_eq(bind(l, (struct sockaddr *)&at, len), 0);
	cr_assert_eq(listen(l, 1), 0);
	cr_assert_eq(getsockname(l, (struct sockaddr *)&at, &len), 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&at, len), 0);
	*peer = accept(l, NULL, NULL);
	close(l);
	while (send(fd, full, sizeof(full), MSG_DONTWAIT) > 0)
		;
	cr_assert_eq(
	    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	return fd;
}

/* Without a thread for it, this takes two minutes. */
Test(message, what_breaks_a_rule_is_not_waited_for, .init = open_pair,
    .timeout = 60)
{
	struct message m;
	const char *why;
	int fd, peer;

	cr_assert_eq(closer_start(), 0);
	fd = open_lingering(&peer);
	cr_assert_eq(message_send(pair[0], MSG_SUBMIT, payload_of(MSG_SUBMIT),
			 tail_of(MSG_SUBMIT), msg_descs[MSG_SUBMIT].tail, fd,
			 0),
	    0);
	close(fd);
	cr_expect_eq(receive(MSG_SUBMIT, &m, &why), -1);
	cr_expect_str_eq(why, "its descriptor is no memfd");
	close(peer);
}

static void
forbid_questions(void)
{
	static const int calls[] = { SCMP_SYS(fstat), SCMP_SYS(newfstatat),
		SCMP_SYS(statx), SCMP_SYS(fstatfs) };
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	for (size_t i = 0; i < NELEM(calls); i++)
		cr_assert_eq(seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS,
				 calls[i], 0),
		    0);
	cr_assert_eq(seccomp_load(filter), 0);
	seccomp_release(filter);
}

/* Its server may be a stranger's, who never answers (FUSE with allow_other). */
Test(message, no_file_system_is_asked_about_what_a_role_passed,
    .init = open_pair)
{
	struct message m;
	const char *why;
	int status, fd;
	pid_t pid;

	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	cr_assert_neq(fd, -1);
	pid = fork();
	if (pid == 0) {
		cr_assert_eq(closer_start(), 0);
		forbid_questions();
		for (size_t i = 0; i < NELEM(wrong_kinds); i++) {
			enum msg_type t = wrong_kinds[i].type;

			if (message_send(pair[0], t, payload_of(t), tail_of(t),
				msg_descs[t].tail, fd, 0) == -1 ||
			    receive(t, &m, &why) != -1 ||
			    strcmp(why, wrong_kinds[i].why) != 0)
				_exit(1);
		}
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0, "status %x", (unsigned)status);
}

/* Each of them may be one user, with ids of a user namespace. */
Test(message, users_whose_descriptors_do_not_close_do_not_cut_root_off,
    .timeout = 60)
{
	int peers[4], fds[2];

	cr_assert_eq(closer_start(), 0);
	cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
	for (uid_t i = 0; i < NELEM(peers); i++) {
		closer_close(open_lingering(&peers[i]), 1000 + i);
		for (int n = 1; n < CLOSER_CHOKED; n++)
			closer_close(dup(fds[0]), 1000 + i);
		cr_expect(closer_is_choked(1000 + i));
	}
	cr_expect(closer_is_choked(2000));
	cr_expect_not(closer_is_choked(0));
	for (size_t i = 0; i < NELEM(peers); i++)
		close(peers[i]);
}

/* Of those for which there is no room the kernel would close the last ones in our
 * name, and a thread of ours does not see them: that takes two minutes. */
Test(message, more_descriptors_than_a_row_has_are_not_waited_for,
    .init = open_pair, .timeout = 60)
{
	union {
		struct cmsghdr align;
		uint8_t room[CMSG_SPACE(100 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { packet, HEADER_SIZE };
	struct msghdr mh = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.room) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
	struct message m;
	const char *why;
	int fds[100], peer = -1;

	cr_assert_eq(closer_start(), 0);
	for (size_t i = 0; i < NELEM(fds); i++)
		fds[i] =
		    i + 1 < NELEM(fds) ? dup(pair[0]) : open_lingering(&peer);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	cr_assert_eq(sendmsg(pair[0], &mh, 0), HEADER_SIZE);
	for (size_t i = 0; i < NELEM(fds); i++)
		close(fds[i]);
	cr_expect_eq(receive(MSG_SUBMIT, &m, &why), -1);
	cr_expect_str_eq(why, "too many descriptors");
	close(peer);
}
