/* SPDX-License-Identifier: ISC */
/*
 * The addresses of a session: the worker asks for the next one, is told what it
 * is, and gets its socket from the dialer, until one works or none is left.
 */
#include "master/queue/count.h"
#include "master/queue/queue_internal.h"

#include <sys/socket.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "common/address.h"
#include "common/log.h"
#include "common/util.h"
#include "master/queue/learnt.h"
#include "master/queue/transcript.h"
#include "master/queue/transient.h"
#include "master/queue/trouble.h"

/* So long one more failure is enough, where a server was seen to need it. */
#define DIAL_REMEMBER_MS (24 * 3600 * INT64_C(1000))
/* So often a session asks the dialer again for a socket that did not come. */
#define DIAL_LOST_MAX 2

static void
dial_relay(const struct transport *config, const struct plan_address *address,
    char out[static MSG_RELAY_SIZE])
{
	char text[INET6_ADDRSTRLEN] = "";

	if (address->family == AF_UNIX) {
		(void)snprintf(out, MSG_RELAY_SIZE, "localhost[%s]",
		    config->next_hop.path);
		return;
	}
	(void)inet_ntop(address->family, address->addr, text, sizeof(text));
	(void)snprintf(out, MSG_RELAY_SIZE, "%s[%s]:%u", address->host, text,
	    address->port);
}

/* What a certificate must bear, and SNI carry. */
static const char *
dial_tls_name(const struct transport *config,
    const struct plan_address *address)
{
	return config->tls_name[0] != '\0' ? config->tls_name : address->host;
}

_Static_assert(MSG_DISCARD_SIZE > 16 * (CONFIG_KEYWORD_MAX + 1),
    "all of discard_ehlo_keywords fits");

size_t
dial_write_keywords(const struct config_list *keywords,
    char out[static MSG_DISCARD_SIZE])
{
	size_t len = 0;

	out[0] = '\0';
	for (size_t i = 0; i < keywords->count; i++)
		len += (size_t)snprintf(out + len, MSG_DISCARD_SIZE - len,
		    "%s ", keywords->words[i]);
	return len;
}

size_t
dial_server_keywords(const struct session *s, char out[static MSG_DISCARD_SIZE])
{
	const struct plan_address *address;
	const struct server *server = NULL;

	out[0] = '\0';
	if (s->plan != NULL && s->next_address > 0) {
		address = &s->plan->addresses[s->next_address - 1];
		server = config_server(s->queue->config, address->host,
		    address->family, address->addr);
	}
	return server == NULL
	    ? 0
	    : dial_write_keywords(&server->discard_ehlo_keywords, out);
}

static struct learnt_key
dial_key(const struct session *s)
{
	const struct schedule_destination *d = s->target->destination;

	return learnt_key(d->transport, d->next_hop, &s->dial);
}

/* HELO has no STARTTLS: it is nothing for those who had TLS there before. */
static uint32_t
dial_avoid(const struct session *s)
{
	struct learnt_key key = dial_key(s);
	uint32_t avoid = learnt_of(s->queue->learnt, &key, time_monotonic_ms());

	return s->target->facts.had_tls ? avoid & ~AVOID_EHLO : avoid;
}

/* Whether the worker may go on to another address if this one fails its job. */
static bool
dial_has_more(const struct session *s, const struct transport *config)
{
	uint32_t most = (uint32_t)config->mx_address_limit;
	uint32_t up = (uint32_t)config->mx_session_limit;

	return s->next_address < s->plan->count &&
	    (most == 0 || s->tried < most) && (up == 0 || s->hosts_up + 1 < up);
}

static void
dial_announce(struct session *s, const struct transport *config,
    const struct plan_address *address)
{
	char discard[MSG_DISCARD_SIZE];
	struct msg_address msg;
	size_t len;

	memset(&msg, 0, sizeof(msg));
	dial_relay(config, address, s->relay);
	(void)strlcpy(msg.host, address->host, sizeof(msg.host));
	(void)strlcpy(msg.tls_name, dial_tls_name(config, address),
	    sizeof(msg.tls_name));
	(void)strlcpy(msg.relay, s->relay, sizeof(msg.relay));
	msg.number = s->dial.number;
	msg.avoid = dial_avoid(s);
	s->more = dial_has_more(s, config);
	msg.more = s->more;
	msg.shown = destination_facts_has_chunking(&s->target->facts, &s->dial,
	    time_monotonic_ms());
	len = dial_server_keywords(s, discard);
	(void)channel_send(s->channel, MSG_ADDRESS, &msg, discard, len, -1);
}

static void
dial_log_learnt(const char *what, const struct msg_dial *dial, uint32_t bits)
{
	static const struct {
		uint32_t bit;
		const char *words;
	} rows[] = {
		{ AVOID_EHLO, "HELO for EHLO" },
		{ AVOID_PIPELINING, "no PIPELINING, no CHUNKING" },
		{ AVOID_CHUNKING, "no CHUNKING" },
		{ SEEN_LOOSE_REPLY,
		    "its replies break RFC 5321, 4.2, and are read all the "
		    "same" },
	};
	char text[INET6_ADDRSTRLEN] = "";

	(void)inet_ntop(dial->family, dial->addr, text, sizeof(text));
	for (size_t i = 0; i < NELEM(rows); i++)
		if ((bits & rows[i].bit) != 0)
			log_line(LOG_INFO, "%s: [%s]:%u: %s", what,
			    dial->family == AF_UNIX ? dial->path : text,
			    dial->port, rows[i].words);
}

void
dial_learn(struct session *s, uint32_t bits)
{
	struct queue *q = s->queue;
	int64_t keep_ms = (int64_t)q->config->broken_server_time * 1000;
	struct learnt_key key = dial_key(s);

	bits &=
	    AVOID_EHLO | AVOID_PIPELINING | AVOID_CHUNKING | SEEN_LOOSE_REPLY;
	if (s->target->facts.had_tls)
		bits &= ~AVOID_EHLO;
	if (bits == 0 || keep_ms == 0)
		return;
	bits = learnt_add(q->learnt, &key, bits, time_monotonic_ms(), keep_ms);
	dial_log_learnt("learnt of a server", &s->dial, bits);
}

void
dial_confirm(struct session *s, uint32_t bits)
{
	struct learnt_key key = dial_key(s);

	learnt_confirm(s->queue->learnt, &key, bits);
}

void
dial_forget(struct queue *q)
{
	struct learnt_key key;
	uint32_t avoid;

	while ((avoid = learnt_forget(q->learnt, &key, time_monotonic_ms(),
		    DIAL_REMEMBER_MS)) != 0)
		dial_log_learnt("forgotten of a server", &key.dial,
		    avoid & ~SEEN_LOOSE_REPLY);
}

static void
dial_ask(struct session *s)
{
	struct queue *q = s->queue;

	s->dialing = true;
	s->unanswered = true;
	if (q->dialer != NULL)
		(void)channel_send(q->dialer, MSG_DIAL, &s->dial, NULL, 0,
		    s->line_fd);
}

static void
dial_address(struct session *s, const struct transport *config,
    const struct plan_address *address)
{
	const char *source = address->family == AF_INET ? config->bind_address
							: config->bind_address6;

	const uint32_t number = s->dial.number + 1;

	memset(&s->dial, 0, sizeof(s->dial));
	s->dial.number = number;
	s->dial.family = address->family;
	s->dial.port = address->port;
	memcpy(s->dial.addr, address->addr, sizeof(s->dial.addr));
	if (address->family == AF_UNIX)
		(void)strlcpy(s->dial.path, config->next_hop.path,
		    sizeof(s->dial.path));
	else if (source[0] != '\0' &&
	    inet_pton(address->family, source, s->dial.source) == 1)
		s->dial.has_source = 1;
	dial_announce(s, config, address);
	dial_ask(s);
}

/* A new dialer: those who had no answer yet ask again, by the same number, so
 * that of two answers the first counts. */
void
dial_again(struct queue *q)
{
	struct session *s;

	TAILQ_FOREACH(s, &q->sessions, entry)
		if (s->unanswered)
			dial_ask(s);
}

/* What becomes of the dialer is of no interest any more to this session. */
void
dial_connecting(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_connecting *msg = m->payload;
	struct session *s = channel_arg(from);

	(void)ctx;
	if (!s->unanswered || msg->number != s->dial.number) {
		session_fault(s, "CONNECTING of no dial");
		return;
	}
	s->unanswered = false;
}

/* Of several addresses' failures the one counts that leaves hope, and of those
 * the one that came furthest: it says most. */
static void
dial_note_failure(struct session *s, const struct outcome *outcome,
    const char *reply)
{
	hosts_tried_add(&s->hosts_tried, s->relay, reply);
	if (s->has_failure && s->failure.status != outcome->status &&
	    s->failure.status == OUTCOME_DEFERRED)
		return;
	if (s->has_failure && s->failure.status == outcome->status &&
	    s->failure.step > outcome->step)
		return;
	s->has_failure = true;
	s->failure = *outcome;
	if (s->failure.status != OUTCOME_FAILED || outcome->step == STEP_AUTH)
		s->failure.status = OUTCOME_DEFERRED;
	(void)strlcpy(s->failure_reply, reply, sizeof(s->failure_reply));
	(void)strlcpy(s->failure_relay, s->relay, sizeof(s->failure_relay));
}

/* A name that no certificate can bear is found out before anything connects. */
static bool
dial_can_verify(const struct session *s, const struct transport *config,
    const struct plan_address *address)
{
	const char *name = dial_tls_name(config, address);
	uint8_t octets[16];

	return security_level(config, target_security(s->target)) !=
	    TLS_VERIFY ||
	    address_domain_is_host_name(name) ||
	    inet_pton(AF_INET, name, octets) == 1 ||
	    inet_pton(AF_INET6, name, octets) == 1;
}

/* The next address of the plan that may be dialled; NULL: none is left. */
static const struct plan_address *
dial_take_address(struct session *s, const struct transport *config)
{
	const struct plan_address *address;
	struct outcome outcome;
	char reply[QUEUE_REPLY_SIZE];

	uint32_t most = (uint32_t)config->mx_address_limit;

	while (s->next_address < s->plan->count &&
	    (most == 0 || s->tried < most)) {
		address = &s->plan->addresses[s->next_address++];
		s->tried++;
		if (dial_can_verify(s, config, address))
			return address;
		settle_outcome(&outcome, OUTCOME_DEFERRED, STEP_CONNECT,
		    "4.7.5");
		(void)snprintf(reply, sizeof(reply),
		    "protocol error: %s is no legal name to verify in a "
		    "certificate",
		    dial_tls_name(config, address));
		dial_note_failure(s, &outcome, reply);
	}
	return NULL;
}

/* Whether nothing waits but `postern deliver` and jobs like it: who tries once, to
 * see what a server says, is told just that. */
static bool
dial_is_for_once(const struct session *s)
{
	const struct job *job;

	TAILQ_FOREACH(job, &s->jobs, entry)
		if ((job->message->flags & SUBMIT_ONCE) == 0 ||
		    transient_is(job->message->id))
			return false;
	return true;
}

/*
 * What a server of the configuration says before it takes any mail is about that
 * server, or about our configuration: no message fails for it.  A sender that
 * demands TLS hears at once that it cannot be had (RFC 8689, 4.2.1).
 */
static void
dial_spare_messages(struct session *s)
{
	struct queue *q = s->queue;
	const struct transport *config = session_config(s);
	const char *name =
	    q->transports[s->target->destination->transport].name;

	bool is_mx = config != NULL && config->next_hop.kind == NEXT_HOP_MX;
	bool is_tls =
	    s->failure.step == STEP_STARTTLS || s->failure.step == STEP_TLS;

	if (s->failure.status != OUTCOME_FAILED || (is_mx && !is_tls) ||
	    target_security(s->target) == SECURITY_REQUIRED ||
	    dial_is_for_once(s))
		return;
	s->failure.status = OUTCOME_DEFERRED;
	if (s->failure.dsn[0] == '5')
		s->failure.dsn[0] = '4';
	if (is_mx)
		trouble_note(q, TROUBLE_TLS, s->target->destination->next_hop,
		    "%s by transport %s: %s refuses TLS, which "
		    "tls_security_level demands: %s: its mail waits",
		    s->target->destination->next_hop, name, s->failure_relay,
		    s->failure_reply);
	else
		trouble_note(q, TROUBLE_REFUSES, name,
		    "transport %s: server %s refuses every session: %s: its "
		    "mail waits",
		    name, s->failure_relay, s->failure_reply);
}

static void
dial_give_up(struct session *s)
{
	if (!s->has_failure) {
		settle_outcome(&s->failure, OUTCOME_DEFERRED, STEP_CONNECT,
		    "4.4.1");
		(void)strlcpy(s->failure_reply, "no address to connect to",
		    sizeof(s->failure_reply));
	}
	dial_spare_messages(s);
	transcript_failed(s, &s->failure, s->failure_reply);
	session_end(s, &s->failure, s->failure_reply, false);
	session_quit(s);
}

/*
 * True where no other address is worth a try: they all know the same users, and
 * an account that fails too often is locked.
 */
static bool
dial_login_failed(struct session *s, const struct outcome *outcome,
    const char *reply)
{
	if (login_failed(s, outcome, reply)) {
		session_end(s, NULL, reply, false); /* its jobs go back */
		session_quit(s);
		return true;
	}
	if (outcome->code != 535)
		return false;
	dial_give_up(s);
	return true;
}

/*
 * A session that was up leaves its host.  What its worker had not begun is sent
 * again to the next one; false where it has a job in hand.
 */
static bool
dial_leave(struct session *s, bool same)
{
	struct job *job;

	TAILQ_FOREACH(job, &s->jobs, entry)
		if (job->begun)
			return false;
	TAILQ_FOREACH(job, &s->jobs, entry)
		job->sent = false;
	s->up = false;
	s->flights = false;
	s->leaves = true;
	s->ahead = QUEUE_JOBS_AHEAD;
	if (same)
		s->hosts_up--;
	else
		s->moved = true;
	memset(&s->tls, 0, sizeof(s->tls));
	(void)evtimer_del(s->timer); /* fails for no timer that was set */
	return true;
}

/* A decision that an operator may want to make another way: that is named. */
static void
dial_log_again(const struct session *s, const struct msg_next *msg,
    const char *reply)
{
	const struct transport *config = session_config(s);
	enum security security = target_security(s->target);

	if (msg->again == NEXT_AGAIN_LOST)
		log_line(LOG_WARN,
		    "session %u: %s: the dialer gave no socket within "
		    "connect_timeout: it is asked again",
		    s->number, s->relay);
	else if (msg->again == NEXT_AGAIN_BY_DATA)
		log_line(LOG_INFO,
		    "session %u: %s: %s: the server offers CHUNKING and "
		    "refuses BDAT: the next connection to it sends the message "
		    "by DATA",
		    s->number, s->relay, reply);
	else
		log_line(LOG_INFO,
		    "session %u: %s: %s: the next connection to it goes "
		    "WITHOUT TLS, as %s",
		    s->number, s->relay, reply,
		    security == SECURITY_OPTIONAL
			? "TLS-Required: No of the message allows"
			: config != NULL && config->tls_fallback
			? "tls_security_level = may and tls_fallback = yes "
			  "allow"
			: "the configuration allowed when the session began");
}

static void
dial_note_next(struct session *s, const struct msg_next *msg, const char *reply)
{
	dial_learn(s, msg->learnt);
	if (msg->again != NEXT_AGAIN_NOT) {
		s->next_address--;
		s->tried--;
		dial_log_again(s, msg, reply);
		return;
	}
	if (!msg->has_failure)
		return;
	dial_note_failure(s, &msg->outcome, reply);
	count_session_failure(s->queue, &msg->outcome);
	s->tls = msg->tls;
	log_line(LOG_INFO, "session %u: %s: %s", s->number,
	    s->relay[0] != '\0' ? s->relay : "none", reply);
}

/* Our fault, not the destination's: the mail waits, and the operator knows. */
static void
dial_lose(struct session *s)
{
	struct outcome outcome;

	settle_outcome(&outcome, OUTCOME_DEFERRED, STEP_CONNECT, "4.3.0");
	dial_note_failure(s, &outcome, "the dialer gives no socket");
	dial_give_up(s);
}

void
dial_next(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_next *msg = m->payload;
	struct session *s = channel_arg(from);
	const struct transport *config = session_config(s);
	const struct plan_address *address = NULL;
	char reply[QUEUE_REPLY_SIZE] = "";

	(void)ctx;
	const bool was_up = s->up;
	const bool same = msg->again != NEXT_AGAIN_NOT && s->next_address > 0;

	if (s->closed || (was_up && !dial_leave(s, same))) {
		session_fault(s,
		    "asked for an address with a job in hand, or after CLOSED");
		return;
	}
	/* Each thrice, in clear and without an extension that it refuses; once
	 * for the end, once more where a QUIT of ours is on its way, and where
	 * no socket came. */
	s->lost += msg->again == NEXT_AGAIN_LOST;
	if (++s->asked > 3 * s->plan->count + 2 + s->lost ||
	    s->lost > DIAL_LOST_MAX + 1) {
		session_fault(s, "asked for more addresses than there are");
		return;
	}
	if (s->asked == 1)
		session_watch(s); /* its worker is there */
	s->dialing = s->unanswered = false;
	session_text(m, reply);
	if (s->next_address > 0)
		dial_note_next(s, msg, reply);
	if (msg->again == NEXT_AGAIN_LOST && s->lost > DIAL_LOST_MAX) {
		dial_lose(s);
		return;
	}
	if (msg->has_failure && msg->outcome.step == STEP_AUTH &&
	    dial_login_failed(s, &msg->outcome, reply)) {
		transcript_failed(s, &msg->outcome, reply);
		return;
	}
	/* Nobody goes on to the next host for nothing. */
	if (config != NULL && !s->quit_sent && !(was_up && s->njobs == 0))
		address = dial_take_address(s, config);
	if (address == NULL && !s->has_failure && (was_up || s->quit_sent)) {
		/* It is to end, and no host has failed: no lesson in that. */
		session_end(s, NULL, reply, false);
		session_quit(s);
		return;
	}
	if (address == NULL) {
		dial_give_up(s);
		return;
	}
	/* It was wiped when the first host was up. */
	if (was_up)
		(void)login_introduce(s, config);
	dial_address(s, config, address);
}
