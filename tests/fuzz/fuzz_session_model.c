/* SPDX-License-Identifier: ISC */
/*
 * A session against a server in the same process, which reads what we write, cut
 * anywhere, and answers as the fuzzer's octets say: yes, no, not now, goodbye,
 * nonsense, too early, or by closing.  It remembers what it accepted, and never
 * says yes to what it did not.  At the end:
 *
 *   delivered means accepted; failed means not accepted; accepted and not
 *   delivered means in doubt; and nothing was sent out of its turn.
 *
 * Message by DATA, BDAT and flights, SMTP and LMTP, one to six recipients, some
 * jobs, TLS and logins, and a second host that the session may go on to.
 */
#include "agent/session/session.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOBS  6
#define RCPTS 6

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The fuzzer's octets; all zero once they are over, so that it comes to an end. */
static const uint8_t *octets;
static size_t noctets;

static uint8_t
draw(void)
{
	if (noctets == 0)
		return 0;
	noctets--;
	return *octets++;
}

/* What became of each recipient, as the queue would have it. */

enum fate {
	FATE_OPEN,
	FATE_ELSEWHERE, /* this host's outcome may not be the last */
	FATE_DELIVERED,
	FATE_DEFERRED,
	FATE_FAILED,
	FATE_BACK,
};

static struct {
	uint32_t nrcpt;
	enum fate fate[RCPTS];
	bool doubt[RCPTS];
	unsigned accepted[RCPTS]; /* by a server */
	uint32_t sent[RCPTS];     /* those of the JOB that the worker has */
	uint32_t nsent;
	bool is_sent, is_begun, was_returned;
} jobs[JOBS + 1]; /* by number, from 1 */

static struct session session;
static uint32_t njobs, hosts, body_len, body_of;
static char bodies[JOBS + 1][4096];

/* The server. */

static struct {
	bool pipelining, chunking, starttls, auth, open, closing;
	bool in_tls, logged_in, has_mail, in_data, dot_sent;
	uint32_t job;
	uint32_t rcpts[RCPTS];
	uint32_t nrcpts;
	uint64_t bdat; /* octets of it still to come */
	bool bdat_last, bdat_refused;
	char in[300000]; /* what it has read and not understood yet */
	size_t len;
	char out[65536]; /* what it has to say */
	size_t out_len;
} server;

static void
answer(const char *text)
{
	size_t n = strlen(text);

	assert(server.out_len + n + 2 <= sizeof(server.out));
	memcpy(server.out + server.out_len, text, n);
	memcpy(server.out + server.out_len + n, "\r\n", 2);
	server.out_len += n + 2;
}

/* Whether it says yes to a command; if not, it has said something else. */
static bool
agree(const char *yes)
{
	static const char *const noes[] = { "450 4.2.0 later", "451 no",
		"452 4.5.3 too many", "452 full", "500 what", "502 5.5.1 what",
		"503 5.5.1 order", "550 5.1.1 no", "552 5.2.2 full",
		"552-a\r\n552 5.5.3 many", "554 5.7.1 no", "555 parameter",
		"421 4.3.2 down", "421-bye\r\n421 bye" };
	uint8_t what = draw();

	if (what < 200) {
		answer(yes);
		return true;
	}
	if (what < 240) {
		const char *no = noes[what % (sizeof(noes) / sizeof(noes[0]))];

		answer(no);
		/* It closes now, or goes on all the same. */
		if (strncmp(no, "421", 3) == 0 && (draw() & 1) != 0)
			server.closing = true;
		return false;
	}
	if (what < 244)
		answer("2x0 nonsense");
	else if (what < 246)
		answer("250-a\r\n251 b");
	server.closing = true;
	return false;
}

/* All that it knows of a message is its octets and its envelope: it keeps it. */
static void
keep(uint32_t rcpt)
{
	jobs[server.job].accepted[rcpt]++;
}

/* The end of a message: one answer, or in LMTP one for each recipient. */
static void
end_message(void)
{
	if (session.conf.protocol == SESSION_LMTP) {
		for (uint32_t i = 0; i < server.nrcpts && !server.closing; i++)
			if (agree("250 2.0.0 in"))
				keep(server.rcpts[i]);
	} else if (server.nrcpts > 0 && agree("250 2.0.0 in")) {
		for (uint32_t i = 0; i < server.nrcpts; i++)
			keep(server.rcpts[i]);
	} else if (server.nrcpts == 0) {
		answer("554 5.5.1 no recipients");
	}
	server.has_mail = false;
	server.nrcpts = 0;
	server.in_data = false;
}

static void
hello(void)
{
	answer("250-mx");
	if (server.pipelining)
		answer("250-PIPELINING");
	if (server.chunking)
		answer("250-CHUNKING");
	if (server.starttls && !server.in_tls)
		answer("250-STARTTLS");
	if (server.auth)
		answer("250-AUTH PLAIN LOGIN");
	answer("250 HELP");
}

static void
mail(const char *line)
{
	unsigned int job = 0;

	assert(!server.dot_sent);
	assert(sscanf(line, "MAIL FROM:<j%u@", &job) == 1);
	assert(job >= 1 && job <= njobs);
	if (server.has_mail) {
		answer("503 5.5.1 nested");
		return;
	}
	server.has_mail = agree("250 2.1.0 ok");
	server.job = job;
	server.nrcpts = 0;
}

static void
rcpt(const char *line)
{
	unsigned int job = 0, number = 0;

	assert(sscanf(line, "RCPT TO:<r%u.%u@", &job, &number) == 2);
	assert(number < RCPTS);
	if (!server.has_mail) {
		answer("503 5.5.1 MAIL first");
		return;
	}
	assert(job == server.job); /* nobody gets another's message */
	if (agree("250 2.1.5 ok"))
		server.rcpts[server.nrcpts++] = number;
}

static void
data_command(void)
{
	if (!server.has_mail || server.nrcpts == 0) {
		answer(draw() < 250 || !server.has_mail ? "503 5.5.1 no"
							: "354 all right");
		server.in_data = server.out_len >= 15 &&
		    memcmp(server.out + server.out_len - 15, "354", 3) == 0;
		return;
	}
	server.in_data = agree("354 go");
}

static void
bdat(const char *line)
{
	unsigned long octets_to_come = 0;

	assert(server.chunking);
	assert(sscanf(line, "BDAT %lu", &octets_to_come) == 1);
	server.bdat = octets_to_come;
	server.bdat_last = strstr(line, "LAST") != NULL;
	server.bdat_refused = !server.has_mail || server.nrcpts == 0;
	if (server.bdat == 0 && server.bdat_last)
		server.bdat_last = true;
}

static void
end_bdat(void)
{
	if (server.bdat_refused) {
		answer(server.has_mail ? "554 5.5.1 nobody" : "503 5.5.1 no");
		if (server.has_mail && (draw() & 1) != 0)
			server.has_mail = false;
		return;
	}
	if (server.bdat_last)
		end_message();
	else if (!agree("250 on"))
		server.nrcpts = 0; /* RFC 3030, 2: then RSET */
}

static void
command(char *line)
{
	if (strncmp(line, "EHLO", 4) == 0 || strncmp(line, "LHLO", 4) == 0) {
		if (draw() < 230)
			hello();
		else
			(void)agree("250 mx");
	} else if (strncmp(line, "HELO", 4) == 0) {
		(void)agree("250 mx");
	} else if (strcmp(line, "STARTTLS") == 0) {
		assert(!server.in_tls && server.len == 0);
		if (agree("220 go"))
			server.in_tls = true;
	} else if (strncmp(line, "AUTH", 4) == 0) {
		server.logged_in = agree("235 in");
	} else if (strncmp(line, "MAIL", 4) == 0) {
		mail(line);
	} else if (strncmp(line, "RCPT", 4) == 0) {
		rcpt(line);
	} else if (strcmp(line, "DATA") == 0) {
		data_command();
	} else if (strncmp(line, "BDAT", 4) == 0) {
		bdat(line);
	} else if (strcmp(line, "RSET") == 0) {
		/* RFC 5321, 4.1.1.5: it does so, whatever it says. */
		server.has_mail = false;
		server.nrcpts = 0;
		(void)agree("250 ok");
	} else if (strcmp(line, "QUIT") == 0) {
		answer("221 bye");
		server.closing = true;
	} else {
		/* What waits for a response, or is broken off. */
		assert(server.auth && !server.has_mail);
		answer("535 5.7.8 no");
	}
}

static void
take(size_t n)
{
	memmove(server.in, server.in + n, server.len - n);
	server.len -= n;
}

/* A line of the message; false where none is whole. */
static bool
read_data(void)
{
	char *end = memmem(server.in, server.len, "\r\n", 2);
	size_t n;

	if (end == NULL)
		return false;
	n = (size_t)(end - server.in) + 2;
	/* It may have had enough in the middle of it. */
	if (n > 3 && draw() > 252) {
		answer("552 5.3.4 enough");
		server.closing = true;
		return false;
	}
	if (n == 3 && server.in[0] == '.') {
		take(n);
		/* Nothing before the reply; to none by LMTP there is none. */
		assert(server.len == 0 ||
		    (session.conf.protocol == SESSION_LMTP &&
			server.nrcpts == 0));
		end_message();
		return true;
	}
	take(n);
	return true;
}

static bool
read_bdat(void)
{
	size_t n = server.bdat < server.len ? (size_t)server.bdat : server.len;

	take(n);
	server.bdat -= n;
	if (server.bdat > 0)
		return false;
	end_bdat();
	return true;
}

static bool
read_command(void)
{
	char *end = memmem(server.in, server.len, "\r\n", 2);
	char line[1024];
	size_t n;
	bool is_bdat;

	if (end == NULL)
		return false;
	n = (size_t)(end - server.in);
	assert(n < sizeof(line));
	memcpy(line, server.in, n);
	line[n] = '\0';
	is_bdat = strncmp(line, "BDAT", 4) == 0;
	take(n + 2);
	/* One command at a time where no more was offered. */
	assert(server.pipelining || is_bdat || server.len == 0);
	assert(strcmp(line, "DATA") != 0 || server.len == 0);
	command(line);
	if (is_bdat && server.bdat == 0)
		end_bdat();
	return true;
}

static void
serve(void)
{
	while (server.open && !server.closing &&
	    (server.in_data           ? read_data()
		    : server.bdat > 0 ? read_bdat()
				      : read_command()))
		;
}

/* What the worker and the queue do. */

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
take_outcome(const struct msg_outcome *m)
{
	const struct outcome *o = &m->outcome;
	uint32_t number;

	assert(m->job >= 1 && m->job <= njobs);
	assert(jobs[m->job].is_sent && m->rcpt < jobs[m->job].nsent);
	number = jobs[m->job].sent[m->rcpt];
	assert(jobs[m->job].fate[number] == FATE_OPEN);
	if (o->in_doubt)
		jobs[m->job].doubt[number] = true;
	if (o->again >= OUTCOME_AGAIN_ELSEWHERE) {
		jobs[m->job].fate[number] = FATE_ELSEWHERE;
		return;
	}
	if (o->again == OUTCOME_AGAIN_HERE) {
		jobs[m->job].fate[number] = FATE_BACK;
		return;
	}
	jobs[m->job].fate[number] = o->status == OUTCOME_DELIVERED
	    ? FATE_DELIVERED
	    : o->status == OUTCOME_FAILED ? FATE_FAILED
					  : FATE_DEFERRED;
}

static void
take_again(const struct msg_again *m)
{
	assert(m->job >= 1 && m->job <= njobs && jobs[m->job].is_begun);
	for (uint32_t i = 0; i < jobs[m->job].nsent; i++) {
		uint32_t number = jobs[m->job].sent[i];

		if (jobs[m->job].fate[number] != FATE_OPEN)
			continue;
		jobs[m->job].fate[number] = FATE_BACK;
		if (m->in_doubt)
			jobs[m->job].doubt[number] = true;
	}
	jobs[m->job].is_sent = false;
}

/* Those that the host did not take are open again at the next one. */
static void
take_next(void)
{
	for (uint32_t j = 1; j <= njobs; j++) {
		jobs[j].is_sent = jobs[j].is_begun = false;
		for (uint32_t i = 0; i < jobs[j].nrcpt; i++)
			if (jobs[j].fate[i] == FATE_ELSEWHERE)
				jobs[j].fate[i] = FATE_OPEN;
	}
	hosts++;
}

static void
report(void *arg, enum msg_type type, const void *payload, const char *tail,
    size_t len)
{
	const struct msg_job_ref *ref = payload;

	(void)arg;
	(void)tail;
	assert(len <= msg_descs[type].tail);
	if (type == MSG_OUTCOME)
		take_outcome(payload);
	else if (type == MSG_AGAIN)
		take_again(payload);
	else if (type == MSG_NEXT)
		take_next();
	else if (type == MSG_BEGUN)
		jobs[ref->job].is_begun = true;
	else if (type == MSG_COMMITTING)
		for (uint64_t i = 1; i <= ref->job; i++)
			jobs[i].is_begun = jobs[i].is_sent;
}

static ssize_t
read_body(void *arg, uint8_t *out, size_t n, uint64_t offset)
{
	(void)arg;
	assert(offset + n <= body_len);
	memcpy(out, bodies[body_of] + offset, n);
	return (ssize_t)n;
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

/* A last QUIT, perhaps; the server reads no more than that. */
static void
hang_up(void *arg)
{
	(void)arg;
	server.open = false;
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
give_job(uint32_t j)
{
	struct msg_job job = { .job = j,
		.size = body_len,
		.protocol = session.conf.protocol,
		.returned = jobs[j].was_returned };
	char tail[1024];
	size_t len;

	len = (size_t)snprintf(tail, sizeof(tail), "j%u@x%c", j, 0) + 1;
	tail[len - 1] = '\0';
	jobs[j].nsent = 0;
	for (uint32_t i = 0; i < jobs[j].nrcpt; i++) {
		if (jobs[j].fate[i] != FATE_OPEN)
			continue;
		len += (size_t)snprintf(tail + len, sizeof(tail) - len,
			   "r%u.%u@y", j, i) +
		    1;
		tail[len++] = '\0'; /* no parameters */
		jobs[j].sent[jobs[j].nsent++] = i;
	}
	job.nrcpt = jobs[j].nsent;
	jobs[j].is_sent = true;
	body_of = j;
	tell(MSG_JOB, &job, tail, len);
}

static void
give_jobs(void)
{
	for (uint32_t j = 1; j <= njobs; j++) {
		uint32_t left = 0;

		for (uint32_t i = 0; i < jobs[j].nrcpt; i++)
			left += jobs[j].fate[i] == FATE_OPEN;
		if (left == 0 || jobs[j].is_sent || !session.up ||
		    !session_wants_message(&session))
			continue;
		give_job(j);
	}
	session_gathered(&session);
}

static void
connect_next(uint8_t offers)
{
	struct msg_address address = { .more = hosts < 3,
		.shown = offers >> 4 & 1 };
	struct msg_dialed dialed = { 0 };

	tell(MSG_ADDRESS, &address, NULL, 0);
	tell(MSG_DIALED, &dialed, NULL, 0);
	session_connected(&session);
	memset(&server, 0, sizeof(server));
	server.open = true;
	server.pipelining = offers & 1;
	server.chunking = offers >> 1 & 1;
	server.starttls = offers >> 2 & 1;
	server.auth = offers >> 3 & 1;
	if (draw() < 250)
		answer("220 hi");
	else
		answer("421 4.3.2 busy");
}

/* Some of what is in out goes to the server; it answers what it can. */
static void
push(size_t most)
{
	size_t n = session.out.len < most ? session.out.len : most;

	if (!server.open || n == 0 || server.closing)
		return;
	assert(server.len + n <= sizeof(server.in));
	memcpy(server.in + server.len, session.out.octets, n);
	server.len += n;
	session.out.len -= n;
	memmove(session.out.octets, session.out.octets + n, session.out.len);
	serve();
	if (session.out.len == 0)
		session_flushed(&session);
}

/* Some of what it said arrives. */
static void
pull(size_t most)
{
	size_t n = server.out_len < most ? server.out_len : most;
	char got[sizeof(server.out)];

	if (n == 0)
		return;
	memcpy(got, server.out, n);
	server.out_len -= n;
	memmove(server.out, server.out + n, server.out_len);
	session_octets(&session, (const uint8_t *)got, n);
}

static void
turn(void)
{
	uint8_t what = draw();

	if (session.state == STATE_TLS) {
		session_tls_up(&session);
		return;
	}
	if (!session_is_connected(&session))
		return;
	if (what == 255 && session_is_connected(&session)) {
		session_closed(&session,
		    "reset"); /* replies are lost with it */
		return;
	}
	if (what == 254 && session_is_connected(&session)) {
		session_timeout(&session, false);
		return;
	}
	if (what < 128)
		push(what == 0 ? 1 << 20 : (size_t)what * 7);
	if (session_is_connected(&session) && (what >= 64 || what == 0))
		pull(what == 0 ? 1 << 20 : (size_t)(what & 63) + 1);
	/* Nothing is left to come from a server that closes. */
	if (server.closing && server.out_len == 0 &&
	    session_is_connected(&session))
		session_closed(&session, NULL);
}

static void
judge(void)
{
	for (uint32_t j = 1; j <= njobs; j++)
		for (uint32_t i = 0; i < jobs[j].nrcpt; i++) {
			enum fate fate = jobs[j].fate[i];
			unsigned accepted = jobs[j].accepted[i];

			assert(fate != FATE_DELIVERED || accepted >= 1);
			assert(fate != FATE_FAILED || accepted == 0);
			assert(accepted == 0 || fate == FATE_DELIVERED ||
			    jobs[j].doubt[i]);
			assert(accepted <= 1 || jobs[j].doubt[i]);
		}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct msg_session conf = { .ehlo_name = "me", .learns = 1 };
	struct msg_login login = { .secret = AUTH_SECRET_PASSWORD,
		.in_clear = 1 };
	struct msg_none none = { 0 };
	uint8_t offers, how;

	octets = data;
	noctets = n;
	memset(&session, 0, sizeof(session));
	memset(jobs, 0, sizeof(jobs));
	hosts = 0;
	how = draw();
	offers = draw();
	njobs = 1 + draw() % JOBS;
	body_len = draw() * 16u;
	for (uint32_t j = 1; j <= njobs; j++) {
		jobs[j].nrcpt = 1 + draw() % RCPTS;
		memset(bodies[j], '.', sizeof(bodies[j]));
		for (size_t k = 18; k + 2 <= body_len; k += 20)
			memcpy(bodies[j] + k, "\r\n", 2);
	}
	conf.protocol = how & 1;
	conf.tls_level = how >> 1 & 1;
	conf.tls_fallback = how >> 2 & 1;
	session_init(&session, &ops, NULL);
	tell(MSG_SESSION, &conf, NULL, 0);
	if ((how >> 3 & 1) != 0 && (offers >> 3 & 1) != 0) {
		assert(sasl_warm_up() == 0);
		tell(MSG_LOGIN, &login, "user\0\0pencil", 13);
	}
	for (unsigned turns = 0; turns < 20000; turns++) {
		if (session_is_over(&session))
			break;
		if (session.state == STATE_DIAL) {
			if (hosts > 4)
				break; /* the queue has no address left */
			connect_next(offers);
		}
		give_jobs();
		turn();
		if (noctets == 0 && session.state == STATE_READY &&
		    session.out.len == 0)
			tell(MSG_QUIT, &none, NULL, 0);
	}
	/* The queue settles what no host took, from what each of them said. */
	if (session_is_over(&session) || session.state == STATE_DIAL)
		judge();
	return 0;
}
