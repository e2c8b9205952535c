/* SPDX-License-Identifier: ISC */
/*
 * A listener's session with a client that knows what to expect: it writes commands
 * and messages by the fuzzer's octets, all of them cut anywhere and perhaps cut off,
 * and remembers what each must be answered and which messages must be handed on.
 *
 * Replies come in order, one for each command, and by LMTP one for each recipient of
 * a message.  What was answered 250 was handed on once and unaltered; what was refused,
 * or cut off, was not.  How the octets were cut makes no difference.
 */
#include "master/intake/smtpd/smtpd_session.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum {
	WIRE_MAX = 65536,
	REPLIES_MAX = 4096,
	MESSAGES_MAX = 256,
	TEXT_MAX = 512, /* octets of a message, as the fuzzer has it */
	RCPT_LIMIT = 4,
};

/* The first digits of replies, and messages one behind the other. */
struct record {
	char replies[REPLIES_MAX];
	size_t nreplies;
	uint8_t octets[4 * WIRE_MAX];
	size_t len;
	size_t ends[MESSAGES_MAX];
	size_t nmessages;
};

/* What the client has written, and what it knows of its session. */
struct client {
	const uint8_t *data;
	size_t n;
	bool lmtp, normalize, over;
	uint8_t wire[WIRE_MAX];
	size_t len;
	bool hello, mail, full, chunks;
	size_t nrcpts, refused;
	char answers[RCPT_LIMIT];
	uint8_t text[WIRE_MAX]; /* that came by BDAT so far */
	size_t text_len;
};

static struct record want, got;
static struct client c;

static uint8_t
take(void)
{
	if (c.n == 0)
		return 0;
	c.n--;
	return *c.data++;
}

static void
put(const void *octets, size_t n)
{
	assert(c.len + n <= sizeof(c.wire));
	memcpy(c.wire + c.len, octets, n);
	c.len += n;
}

static void
say(const char *line)
{
	put(line, strlen(line));
	put("\r\n", 2);
}

static void
expect(char digit)
{
	assert(want.nreplies < REPLIES_MAX);
	want.replies[want.nreplies++] = digit;
}

static void
forget(void)
{
	c.mail = c.full = c.chunks = false;
	c.nrcpts = c.refused = c.text_len = 0;
}

/* The reference: octet by octet, what a message says and what is wrong with it.
 * Where more may follow, a CR at the end is not judged yet. */
static bool
read_text(const uint8_t *in, size_t n, bool whole, struct record *to)
{
	bool good = true;
	size_t i, start = to->len;

	for (i = 0; i < n; i++) {
		if (in[i] == '\r' && i + 1 < n && in[i + 1] == '\n') {
			i++;
		} else if (in[i] == '\r' && i + 1 == n && !whole) {
			break;
		} else if (in[i] == '\r' || in[i] == '\n') {
			good = good && c.normalize;
		} else {
			good = good && in[i] != '\0';
			to->octets[to->len++] = in[i];
			continue;
		}
		to->octets[to->len++] = '\r';
		to->octets[to->len++] = '\n';
	}
	if (whole && to->len > start && to->octets[to->len - 1] != '\n') {
		to->octets[to->len++] = '\r';
		to->octets[to->len++] = '\n';
	}
	if (!good || !whole)
		to->len = start;
	return good;
}

/* The message is over, and has its answers. */
static void
end_message(const uint8_t *text, size_t n)
{
	bool good = read_text(text, n, true, &want);
	size_t i;

	if (good)
		want.ends[want.nmessages++] = want.len;
	for (i = 0; i < (c.lmtp ? c.nrcpts : 1); i++)
		expect(good ? c.answers[i] : '5');
	forget();
}

/* Octets of a message: most of them mean something here. */
static size_t
make_text(uint8_t *out)
{
	size_t n = 0, words = take() % 32;

	while (words-- > 0 && n < TEXT_MAX - 8) {
		uint8_t octet = take();

		switch (octet % 16) {
		case 0:
		case 1:
		case 2:
		case 3:
			memcpy(out + n, "\r\n", 2);
			n += 2;
			break;
		case 4:
		case 5:
			out[n++] = '.';
			break;
		case 6:
			memcpy(out + n, "\r\n.\r\n", 5);
			n += 5;
			break;
		case 7:
			memcpy(out + n, "QUIT\r\n", 6);
			n += 6;
			break;
		case 8:
			out[n++] = octet & 16 ? '\n' : octet & 32 ? '\r' : '.';
			break;
		case 9:
			out[n++] = octet & 128 ? octet & 64 ? '\0' : 0xff : 'x';
			break;
		default:
			out[n++] = (uint8_t)('a' + octet % 16);
			break;
		}
	}
	return n;
}

/* RFC 5321, 4.5.2. */
static void
send_by_data(uint8_t *text, size_t n)
{
	bool at_start = true;

	if (n < 2 || memcmp(text + n - 2, "\r\n", 2) != 0) {
		memcpy(text + n, "\r\n", 2);
		n += 2;
	}
	for (size_t i = 0; i < n; i++) {
		if (at_start && text[i] == '.')
			put(".", 1);
		put(text + i, 1);
		at_start = text[i] == '\n' && i > 0 && text[i - 1] == '\r';
	}
	put(".\r\n", 3);
	end_message(text, n);
}

static void
do_data(void)
{
	uint8_t text[TEXT_MAX];
	size_t n;

	say("DATA");
	if (!c.hello || !c.mail || c.chunks || c.nrcpts == 0) {
		expect('5');
	} else if (c.full) {
		expect('4');
		forget();
	} else {
		expect('3');
		n = make_text(text);
		send_by_data(text, n);
	}
}

static void
do_bdat(bool last)
{
	uint8_t chunk[TEXT_MAX];
	size_t n = make_text(chunk);
	char line[64];

	(void)snprintf(line, sizeof(line), "BDAT %zu%s", n,
	    last ? " LAST" : "");
	say(line);
	put(chunk, n);
	if (!c.hello || !c.mail || c.nrcpts == 0) {
		expect('5');
		return;
	}
	if (!c.chunks && c.full) {
		expect('4');
		forget();
		return;
	}
	c.chunks = true;
	memcpy(c.text + c.text_len, chunk, n);
	c.text_len += n;
	if (last) {
		end_message(c.text, c.text_len);
	} else if (read_text(c.text, c.text_len, false, &want)) {
		expect('2');
	} else {
		expect('5');
		forget();
	}
}

static void
do_hello(bool right)
{
	say(right == c.lmtp ? "LHLO me" : "EHLO me");
	expect(right ? '2' : '5');
	if (!right)
		return;
	forget();
	c.hello = true;
}

static void
do_mail(uint8_t how)
{
	say(how % 8 == 7       ? "MAIL FROM:<no@a.org>"
		: how % 8 == 6 ? "MAIL FROM:<full@a.org>"
		: how % 8 == 5 ? "MAIL FROM:<a@>"
		: how % 8 == 4 ? "MAIL FROM:<>"
			       : "MAIL FROM:<a@a.org>");
	if (how % 8 == 5 || !c.hello || c.mail) {
		expect('5');
	} else if (how % 8 == 7) {
		expect('4');
	} else {
		expect('2');
		c.mail = true;
		c.full = how % 8 == 6;
	}
}

static void
do_rcpt(uint8_t how)
{
	static const char *const lines[] = { "RCPT TO:<y@b.org>",
		"RCPT TO:<y@b.org>", "RCPT TO:<l@b.org>", "RCPT TO:<n@b.org>",
		"RCPT TO:<no@b.org>", "RCPT TO:<a b@c.org>" };
	static const char answers[] = "2245";

	how %= 6;
	say(lines[how]);
	if (how == 5) {
		c.refused++;
		expect('5');
	} else if (!c.hello || !c.mail || c.chunks) {
		expect('5');
	} else if (c.nrcpts >= RCPT_LIMIT) {
		expect('4');
	} else if (how == 4) {
		c.refused++;
		expect('4');
	} else {
		expect('2');
		c.answers[c.nrcpts++] = answers[how];
	}
}

static void
do_other(uint8_t how)
{
	static const struct {
		const char *line;
		char digit;
		bool ends;
	} rows[] = { { "NOOP x", '2', false }, { "VRFY x", '2', false },
		{ "WHAT", '5', false }, { "", '5', false },
		{ "HELP", '2', false }, { "EXPN x", '5', false },
		{ "QUIT", '2', true }, { "GET / HTTP/1.0", '5', true },
		{ "Host: x", '5', true }, { "RSET", '2', false } };

	how %= sizeof(rows) / sizeof(rows[0]);
	say(rows[how].line);
	expect(rows[how].digit);
	c.over = rows[how].ends;
	if (strcmp(rows[how].line, "RSET") == 0)
		forget();
}

static void
write_session(void)
{
	static const char behind[] =
	    "NOOP\r\nEHLO me\r\nMAIL FROM:<a@a.org>\r\nRCPT TO:<y@b.org>\r\n"
	    "DATA\r\nx\r\n.\r\nBDAT 2 LAST\r\nx\n";
	uint8_t what;

	while (c.n > 0 && !c.over && c.len < WIRE_MAX - 4 * TEXT_MAX &&
	    c.text_len < WIRE_MAX - 4 * TEXT_MAX &&
	    want.len < sizeof(want.octets) - 4 * WIRE_MAX / 2 &&
	    want.nmessages < MESSAGES_MAX - 1 &&
	    want.nreplies < REPLIES_MAX - 16) {
		what = take();
		switch (what & 7) {
		case 0:
			do_hello((what & 0x78) != 0x78);
			break;
		case 1:
			do_mail(what >> 3);
			break;
		case 2:
		case 3:
			do_rcpt(what >> 3);
			break;
		case 4:
			do_data();
			break;
		case 5:
			do_bdat((what & 8) != 0);
			break;
		case 6:
			do_bdat(true);
			break;
		default:
			do_other(what >> 3);
			break;
		}
	}
	/* Of what comes behind the end nothing is heard. */
	if (c.over && c.len < WIRE_MAX - 256)
		put(behind, sizeof(behind) - 1);
}

/* The other side: who holds the session. */

static char line[SMTPD_REPLY_LINE_MAX];
static size_t line_len;

/* Whole lines; of a reply of several the last one counts. */
static void
hear(struct smtpd_session *s)
{
	const char *out;
	size_t n, i;

	out = smtpd_session_out(s, &n);
	for (i = 0; i < n; i++) {
		assert(line_len < sizeof(line));
		line[line_len++] = out[i];
		if (out[i] != '\n')
			continue;
		assert(line_len >= 6 && line[line_len - 2] == '\r');
		if (line[3] == ' ')
			got.replies[got.nreplies++] = line[0];
		assert(got.nreplies < REPLIES_MAX);
		line_len = 0;
	}
	smtpd_session_written(s, n);
}

static size_t taken_at; /* where the message that is being taken begins */
static char rcpt_answers[RCPT_LIMIT];
static size_t nrcpts;

static void
decide(struct smtpd_session *s, const char *path, const char *no)
{
	static const struct smtpd_reply reply = { 450, "4.7.1", "no" };

	if (strncmp(path, no, strlen(no)) == 0)
		smtpd_session_refuse(s, &reply);
	else
		smtpd_session_accept(s);
}

static void
decide_rcpt(struct smtpd_session *s)
{
	const char *path = smtpd_session_command(s)->path.path;

	if (strncmp(path, "no@", 3) != 0) {
		assert(nrcpts < RCPT_LIMIT);
		rcpt_answers[nrcpts++] = path[0];
	}
	decide(s, path, "no@");
}

static void
answer(struct smtpd_session *s)
{
	static const struct smtpd_reply yes = { 250, "2.0.0", "taken" };
	static const struct smtpd_reply later = { 451, "4.0.0", "later" };
	static const struct smtpd_reply no = { 550, "5.0.0", "no" };
	const struct smtpd_reply *verdict = smtpd_session_verdict(s), *reply;
	size_t i = 0;

	if (verdict == NULL) {
		assert(got.nmessages < MESSAGES_MAX);
		got.ends[got.nmessages++] = got.len;
	} else {
		assert(verdict->code >= 500);
		got.len = taken_at;
	}
	while (smtpd_session_owed(s) > 0) {
		reply = verdict != NULL      ? verdict
		    : rcpt_answers[i] == 'y' ? &yes
		    : rcpt_answers[i] == 'l' ? &later
					     : &no;
		if (smtpd_session_answer(s, reply))
			i++;
		else
			hear(s);
	}
	nrcpts = 0;
}

/* False: it is over. */
static bool
handle(struct smtpd_session *s, enum smtpd_event event)
{
	const uint8_t *octets;
	size_t n;

	switch (event) {
	case SMTPD_MAIL:
		nrcpts = 0;
		decide(s, smtpd_session_command(s)->path.path, "no@");
		break;
	case SMTPD_RCPT:
		decide_rcpt(s);
		break;
	case SMTPD_BEGIN:
		taken_at = got.len;
		decide(s, smtpd_session_envelope(s)->from, "full@");
		break;
	case SMTPD_CONTENT:
		octets = smtpd_session_content(s, &n);
		assert(n > 0 && got.len + n <= sizeof(got.octets));
		memcpy(got.octets + got.len, octets, n);
		got.len += n;
		break;
	case SMTPD_MESSAGE:
		answer(s);
		break;
	case SMTPD_RESET:
		nrcpts = 0;
		got.len = got.nmessages > 0 ? got.ends[got.nmessages - 1] : 0;
		break;
	case SMTPD_REFUSED:
		assert(smtpd_session_refusal(s)->code >= 400);
		break;
	case SMTPD_STARTTLS:
		assert(false);
		break;
	case SMTPD_CLOSE:
		return false;
	case SMTPD_MORE:
		break;
	}
	return true;
}

static void
run(struct smtpd_session *s, size_t n, size_t piece, bool late)
{
	const uint8_t *in = c.wire;
	enum smtpd_event event;
	size_t most, used;

	for (;;) {
		most = n < piece ? n : piece;
		event = smtpd_session_feed(s, in, most, &used);
		assert(used <= most);
		in += used;
		n -= used;
		if (!handle(s, event))
			break;
		if (!late || smtpd_session_is_stuck(s))
			hear(s);
		if (event == SMTPD_MORE && n == 0)
			break;
		assert(event != SMTPD_MORE || used > 0 ||
		    !smtpd_session_is_stuck(s));
	}
	hear(s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t *scratch;
	struct smtpd_policy p = { .size_limit = 1 << 30,
		.rcpt_limit = RCPT_LIMIT,
		.error_limit = 100000,
		.junk_limit = 100000,
		.line_limit = 1024,
		.hostname = "mx.test" };
	struct smtpd_session *s;
	bool cut;

	if (n < 4)
		return 0;
	memset(&want, 0, sizeof(want));
	memset(&got, 0, sizeof(got));
	memset(&c, 0, sizeof(c));
	line_len = taken_at = nrcpts = 0;
	p.lmtp = c.lmtp = data[0] & 1;
	p.normalize = c.normalize = data[0] & 2;
	cut = data[0] & 4;
	p.offers = UINT32_MAX & ~(1u << SMTPD_CAN_STARTTLS);
	c.data = data + 4;
	c.n = n - 4;
	expect('2');
	write_session();
	if (cut && c.len > 0)
		c.len -= (data[2] << 8 | data[3]) % c.len;
	s = malloc(smtpd_session_size(&p));
	scratch = malloc(1024);
	assert(s != NULL && scratch != NULL);
	smtpd_session_init(s, &p, scratch, 1024);
	run(s, c.len, 1 + (size_t)data[1] * (data[0] & 8 ? 1 : 64),
	    data[0] & 16);

	assert(
	    got.nreplies <= want.nreplies && got.nmessages <= want.nmessages);
	assert(cut || got.nreplies == want.nreplies);
	assert(cut || got.nmessages == want.nmessages);
	assert(memcmp(got.replies, want.replies, got.nreplies) == 0);
	for (size_t i = 0; i < got.nmessages; i++)
		assert(got.ends[i] == want.ends[i]);
	if (got.nmessages > 0)
		assert(memcmp(got.octets, want.octets,
			   got.ends[got.nmessages - 1]) == 0);
	free(scratch);
	free(s);
	return 0;
}
