/* SPDX-License-Identifier: ISC */
/*
 * Where a destination is: its plan, which the resolver makes and we keep as
 * long as it says, and why it is blocked.
 */
#include "master/queue/queue_internal.h"

#include <sys/socket.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/util.h"
#include "master/queue/count.h"
#include "master/queue/explain.h"
#include "master/queue/limits.h"
#include "master/queue/pause.h"
#include "master/queue/peers.h"
#include "master/queue/reason.h"
#include "master/queue/transient.h"
#include "master/queue/trouble.h"

enum {
	PLAN_TTL_MIN_S = 5,
	PLAN_TTL_MAX_S = 3600,
	RESOLVERS_MAX = 3, /* that one question may outlive */
	/* The resolver keeps a failure of the name servers for 5 s: asked before,
	 * it gives the same answer for each message. */
	RESOLVE_PAUSE_MS = 6000,
	RESOLVE_LOST_MS = 10000, /* after its own time was over */
	TARGET_DEAD_PLANS_MAX = 1000,
	TARGET_SECURITY_BITS = 8, /* of a destination's variant */
	TARGET_HOME = 1 << 7,     /* one of those: target_home() */
	TARGET_KEEP_MS = 60000,   /* what is known of a loop */
	TARGET_NAME_SIZE = 320,
};

void
target_gone(struct schedule_destination *destination)
{
	struct target *t = destination->data;

	if (t == NULL)
		return;
	plan_release(t->plan);
	free(t->tried);
	free(t->why);
	free(t);
}

/* There may be very many of them that are dead: no more room than it takes. */
void
target_set_why(struct target *t, const char *reply, const char *relay)
{
	size_t reply_size = strlen(reply) + 1;
	size_t relay_size = strlen(relay) + 1;
	char *why = malloc(reply_size + relay_size);

	if (why != NULL) {
		memcpy(why, reply, reply_size);
		memcpy(why + reply_size, relay, relay_size);
	}
	free(t->why);
	t->why = why;
	t->reply = why != NULL ? why : "";
	t->relay = why != NULL ? why + reply_size : "";
}

/* Where many are dead, their plans are asked for again by their probes. */
static void
target_drop_plan(struct queue *q, struct target *t)
{
	if (schedule_blocked(q->schedule) <= TARGET_DEAD_PLANS_MAX)
		return;
	plan_release(t->plan);
	t->plan = NULL;
	t->plan_until_ms = 0;
}

uint32_t
target_variant(enum security security, uint32_t route)
{
	return (uint32_t)security | route << TARGET_SECURITY_BITS;
}

static struct target *
target_at(struct queue *q, uint32_t transport, const char *next_hop,
    uint32_t variant)
{
	struct schedule_destination *destination;
	struct target *t;

	destination =
	    schedule_destination(q->schedule, transport, next_hop, variant);
	if (destination == NULL)
		return NULL;
	if (destination->data != NULL)
		return destination->data;
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return NULL; /* the sweep frees the destination */
	t->reply = t->relay = "";
	t->destination = destination;
	destination->data = t;
	schedule_stop(q->schedule, destination,
	    pause_of(q, transport, next_hop) != NULL);
	limits_attach(q, t);
	return t;
}

struct target *
target_of(struct queue *q, uint32_t transport, const char *next_hop,
    enum security security, uint32_t route)
{
	return target_at(q, transport, next_hop,
	    target_variant(security, route));
}

struct target *
target_home(struct queue *q, const struct target *t)
{
	const struct schedule_destination *d = t->destination;

	return target_at(q, d->transport, d->next_hop,
	    d->variant | TARGET_HOME);
}

enum security
target_security(const struct target *t)
{
	return (enum security)(t->destination->variant &
	    ((1U << TARGET_SECURITY_BITS) - 1) & ~(uint32_t)TARGET_HOME);
}

uint32_t
target_route(const struct target *t)
{
	return t->destination->variant >> TARGET_SECURITY_BITS;
}

static void
target_set_plan(struct target *t, struct plan *plan, uint32_t ttl_s)
{
	plan_release(t->plan);
	t->plan = plan;
	if (ttl_s < PLAN_TTL_MIN_S)
		ttl_s = PLAN_TTL_MIN_S;
	if (ttl_s > PLAN_TTL_MAX_S)
		ttl_s = PLAN_TTL_MAX_S;
	t->plan_until_ms = time_monotonic_ms() + (int64_t)ttl_s * 1000;
	if (t->deaths == 0 || t->destination->keep_until_ms < t->plan_until_ms)
		t->destination->keep_until_ms = t->plan_until_ms;
}

/* A plan that needs no question: an address, or a Unix socket. */
struct plan *
target_own_plan(const struct next_hop *hop)
{
	struct plan_address *address;
	struct plan *plan = plan_new(1);

	if (plan == NULL)
		return NULL;
	address = &plan->addresses[0];
	address->port = hop->port;
	if (hop->kind == NEXT_HOP_UNIX) {
		address->family = AF_UNIX;
		(void)strlcpy(address->host, "localhost",
		    sizeof(address->host));
		return plan;
	}
	address->family = strchr(hop->host, ':') != NULL ? AF_INET6 : AF_INET;
	(void)strlcpy(address->host, hop->host, sizeof(address->host));
	if (inet_pton(address->family, hop->host, address->addr) != 1) {
		plan_release(plan); /* the configuration was checked */
		return NULL;
	}
	return plan;
}

void
target_question(struct queue *q, const struct transport *config,
    const char *name, bool home, uint32_t id)
{
	struct msg_resolve ask;

	if (q->resolver == NULL || config == NULL)
		return; /* asked again when there is one */
	memset(&ask, 0, sizeof(ask));
	ask.id = id;
	ask.mode =
	    config->next_hop.kind == NEXT_HOP_MX ? RESOLVE_MX : RESOLVE_HOST;
	ask.families = RESOLVE_IPV4 | RESOLVE_IPV6;
	if (config->inet_protocols == CONFIG_INET_IPV4)
		ask.families = RESOLVE_IPV4;
	else if (config->inet_protocols == CONFIG_INET_IPV6)
		ask.families = RESOLVE_IPV6;
	if (config->address_preference == CONFIG_PREFER_IPV4)
		ask.prefer = 4;
	else if (config->address_preference == CONFIG_PREFER_IPV6)
		ask.prefer = 6;
	ask.loops = home ? RESOLVE_SELF : 0;
	if (config->allow_loopback || ask.mode == RESOLVE_HOST)
		ask.loops |= RESOLVE_LOOPBACK;
	ask.port = config->next_hop.port;
	if (ask.mode == RESOLVE_HOST)
		name = config->next_hop.host;
	(void)channel_send(q->resolver, MSG_RESOLVE, &ask, name, strlen(name),
	    -1);
}

static void
target_ask(struct queue *q, struct target *t)
{
	if (q->resolver != NULL)
		t->asks++;
	t->asked_ms = time_monotonic_ms();
	t->asked_generation = q->generation;
	target_question(q, q->transports[t->destination->transport].config,
	    t->destination->next_hop,
	    (t->destination->variant & TARGET_HOME) != 0, t->resolve_id);
}

/* Whether a session may start; if not, the plan is asked for. */
bool
target_ready(struct queue *q, struct target *t)
{
	const struct transport *config =
	    q->transports[t->destination->transport].config;
	struct plan *plan;

	if (config == NULL || !login_ready(q, t))
		return false;
	if (t->plan != NULL && t->plan_until_ms > time_monotonic_ms())
		return true;
	if (config->next_hop.kind == NEXT_HOP_UNIX ||
	    config->next_hop.kind == NEXT_HOP_ADDRESS) {
		plan = target_own_plan(&config->next_hop);
		if (plan == NULL)
			return false;
		target_set_plan(t, plan, PLAN_TTL_MAX_S);
		return true;
	}
	if (t->resolve_id != 0)
		return false;
	t->asks = 0;
	t->resolve_id = ++q->last_resolve;
	if (t->resolve_id == 0)
		t->resolve_id = ++q->last_resolve;
	TAILQ_INSERT_TAIL(&q->resolving, t, resolving);
	LIST_INSERT_HEAD(&q->resolving_by_id[t->resolve_id % QUEUE_BUCKETS], t,
	    by_resolve_id);
	schedule_pause(q->schedule, t->destination, true);
	target_ask(q, t);
	return false;
}

const char *
target_via(const struct queue *q, const struct target *t,
    const struct schedule_recipient *r)
{
	return r->moved ? q->transports[t->destination->transport].name
			: r->message->via;
}

/* Two clocks that are read one after the other are a millisecond apart now and
 * then, and so would be those who wait. */
int64_t
target_rest_end_ms(struct target *t)
{
	int64_t until_ms = t->destination->blocked_until_ms;
	int64_t mono_ms = time_monotonic_ms();
	int64_t real_ms;

	if (until_ms <= mono_ms)
		return 0;
	real_ms = time_real_ms() + until_ms - mono_ms;
	if (t->rest_ms != until_ms || t->rest_real_ms < real_ms - 100 ||
	    t->rest_real_ms > real_ms + 100) {
		t->rest_ms = until_ms;
		t->rest_real_ms = real_ms; /* or the clock was set */
	}
	return t->rest_real_ms;
}

/* Settles what is handed over, unbegun, with one outcome. */
static void
target_settle(struct queue *q, struct target *t,
    struct schedule_recipients *recipients, const struct outcome *outcome,
    const char *reply, const char *relay, bool counted)
{
	const struct transport *config =
	    q->transports[t->destination->transport].config;
	int64_t now_ms = time_real_ms();
	struct schedule_recipient *r;
	struct attempt a;

	while ((r = TAILQ_FIRST(recipients)) != NULL) {
		TAILQ_REMOVE(recipients, r, entry);
		memset(&a, 0, sizeof(a));
		a.id = r->message->id;
		a.index = r->index;
		a.flags = r->message->flags;
		a.created_ms = r->message->created_ms;
		a.attempts = r->attempts + (counted ? 1 : 0);
		a.was_in_doubt = r->in_doubt;
		a.lmtp =
		    config != NULL && config->protocol == CONFIG_PROTOCOL_LMTP;
		a.recipient = r->address;
		a.parameters = r->message->parameters;
		a.reverse_path = r->message->reverse_path;
		a.rcpt_parameters = r->parameters;
		a.warned = r->warned;
		a.via = target_via(q, t, r);
		a.transport = count_transport(q, t);
		a.target = t;
		a.group = t->group;
		a.relay = relay;
		a.reply = reply;
		a.outcome = *outcome;
		a.outcome.in_doubt = 0; /* nothing of it was sent */
		a.suspended = a.waited = !counted;
		a.tried = counted;
		a.brief = target_is_brief(q, t, outcome);
		a.delays_ms[0] = r->added_ms - r->message->created_ms;
		a.delays_ms[1] = now_ms - r->added_ms;
		a.not_before_ms = target_rest_end_ms(t);
		settle(q, &a);
		schedule_forget(q->schedule, r);
	}
}

static void
target_suspend(struct queue *q, struct target *t, const char *reply,
    const char *relay)
{
	struct schedule_recipients recipients =
	    TAILQ_HEAD_INITIALIZER(recipients);
	char text[QUEUE_REPLY_SIZE + 64];

	target_drop_plan(q, t);
	(void)snprintf(text, sizeof(text), REASON_SUSPENDED "%s", reply);
	schedule_suspend(q->schedule, t->destination, &recipients);
	target_settle(q, t, &recipients, &t->outcome, text, relay, false);
}

static bool
target_is_configured(const struct queue *q, const struct target *t)
{
	const struct transport *config =
	    q->transports[t->destination->transport].config;

	return config != NULL && config->next_hop.kind != NEXT_HOP_MX;
}

/* A connection that is lost, that is silent for too long or that ends with 421
 * (RFC 5321, 3.8) says of no message that it was looked at. */
bool
target_is_answer(const struct outcome *outcome)
{
	return outcome->status != OUTCOME_DEFERRED ||
	    (outcome->code != 0 && outcome->code != 421);
}

bool
target_is_brief(const struct queue *q, const struct target *t,
    const struct outcome *outcome)
{
	if (outcome->status != OUTCOME_DEFERRED || outcome->in_doubt ||
	    outcome->step == STEP_QUEUE || outcome->step == STEP_AUTH)
		return false;
	return target_is_configured(q, t) &&
	    (outcome->step < STEP_MAIL || !target_is_answer(outcome));
}

enum schedule_failure
target_failure_of(const struct queue *q, const struct target *t,
    const struct outcome *outcome, bool doubt)
{
	if (doubt)
		return SCHEDULE_DOUBT;
	if (outcome->step == STEP_AUTH && outcome->code != 0)
		return SCHEDULE_LOGIN;
	return target_is_brief(q, t, outcome) ? SCHEDULE_BRIEF
					      : SCHEDULE_FAILED;
}

void
target_failed(struct queue *q, struct target *t, enum schedule_failure failure,
    const struct outcome *outcome, const char *reply, const char *relay)
{
	int64_t now_ms = time_monotonic_ms();

	t->failed_ms = time_real_ms();
	if (!schedule_failed(q->schedule, t->destination, failure, now_ms))
		return;
	t->outcome = *outcome;
	t->outcome.in_doubt = 0;
	t->outcome.status = OUTCOME_DEFERRED;
	target_set_why(t, reply, relay);
	if (!schedule_rests_briefly(t->destination, now_ms))
		target_suspend(q, t, reply, relay);
}

/* Notices are placed anew, and then go home. */
static void
target_send_home(struct queue *q, struct schedule_recipients *recipients)
{
	struct schedule_recipients all = TAILQ_HEAD_INITIALIZER(all);
	struct schedule_recipients notices = TAILQ_HEAD_INITIALIZER(notices);
	struct schedule_recipient *r;

	TAILQ_CONCAT(&all, recipients, entry);
	while ((r = TAILQ_FIRST(&all)) != NULL) {
		TAILQ_REMOVE(&all, r, entry);
		if ((r->message->flags & SUBMIT_NOTICE) != 0)
			TAILQ_INSERT_TAIL(&notices, r, entry);
		else
			TAILQ_INSERT_TAIL(recipients, r, entry);
	}
	if (TAILQ_EMPTY(&notices))
		return;
	schedule_put_back(q->schedule, &notices);
	q->scan_again = true;
}

/* Under which its troubles are known: another transport may have none. */
static void
target_name(const struct queue *q, const struct target *t,
    char out[static TARGET_NAME_SIZE])
{
	(void)snprintf(out, TARGET_NAME_SIZE, "%s by %s",
	    t->destination->next_hop, count_transport(q, t));
}

/* What is wrong is not the message's fault: who can see to it must know. */
static void
target_blame(struct queue *q, const struct target *t, uint8_t blame,
    const char *reply)
{
	const char *transport = count_transport(q, t);
	char name[TARGET_NAME_SIZE];

	target_name(q, t, name);
	if (blame == RESOLVE_BLAME_SERVER)
		trouble_note(q, TROUBLE_SERVER, transport,
		    "transport %s: %s: its mail waits", transport, reply);
	else if (blame == RESOLVE_BLAME_FAMILIES)
		trouble_note(q, TROUBLE_FAMILIES, name,
		    "transport %s: %s: its mail waits", transport, reply);
	else if (blame == RESOLVE_BLAME_LOOP)
		trouble_note(q, TROUBLE_LOOP, name, "%s", reply);
}

/* Whether nobody waits but `postern deliver` and jobs like it, which have it as their
 * result. */
static bool
target_is_for_once(const struct schedule_recipients *recipients)
{
	const struct schedule_recipient *r;

	TAILQ_FOREACH(r, recipients, entry)
		if ((r->message->flags & SUBMIT_ONCE) == 0 ||
		    transient_is(r->message->id))
			return false;
	return !TAILQ_EMPTY(recipients);
}

/* blame: whose fault it is, of RESOLVE_BLAME_*. */
static void
target_refuse_all(struct queue *q, struct target *t,
    const struct outcome *outcome, const char *reply, const char *relay,
    uint8_t blame)
{
	int64_t now_ms = time_monotonic_ms();
	struct schedule_recipients recipients =
	    TAILQ_HEAD_INITIALIZER(recipients);

	if (outcome->status == OUTCOME_DEFERRED) {
		t->failed_ms = time_real_ms();
		if (!schedule_failed(q->schedule, t->destination,
			target_failure_of(q, t, outcome, false), now_ms) &&
		    outcome->step == STEP_RESOLVE)
			schedule_block(q->schedule, t->destination,
			    now_ms + RESOLVE_PAUSE_MS);
	}
	schedule_suspend(q->schedule, t->destination, &recipients);
	if (!target_is_for_once(&recipients))
		target_blame(q, t, blame, reply);
	if (t->loops)
		target_send_home(q, &recipients);
	t->outcome = *outcome;
	target_set_why(t, reply, relay);
	target_settle(q, t, &recipients, outcome, reply, relay, true);
}

void
target_refuse(struct queue *q, struct target *t, const struct outcome *outcome,
    const char *reply, const char *relay)
{
	target_refuse_all(q, t, outcome, reply, relay, RESOLVE_BLAME_NOBODY);
}

/* The domain cannot be delivered to: so it is for all who wait. */
static void
target_unresolved(struct queue *q, struct target *t,
    const struct outcome *outcome, const char *reply)
{
	target_refuse(q, t, outcome, reply, "");
}

/* No question is open any more, whatever came of it. */
static void
target_answered(struct queue *q, struct target *t)
{
	TAILQ_REMOVE(&q->resolving, t, resolving);
	LIST_REMOVE(t, by_resolve_id);
	t->resolve_id = 0;
	schedule_pause(q->schedule, t->destination, false);
}

/* Asked again, but not for ever. */
static void
target_ask_once_more(struct queue *q, struct target *t, const char *why)
{
	struct outcome outcome;

	if (t->asks < RESOLVERS_MAX) {
		target_ask(q, t);
		return;
	}
	target_answered(q, t);
	settle_outcome(&outcome, OUTCOME_DEFERRED, STEP_RESOLVE, "4.4.3");
	target_unresolved(q, t, &outcome, why);
}

/*
 * A new resolver: what the one before did not answer is asked again.  Of the
 * questions that several died over, one may be why; it must not keep all others
 * from an answer.
 */
void
target_ask_again(struct queue *q)
{
	struct target *t, *next;

	explain_ask_again(q);
	for (t = TAILQ_FIRST(&q->resolving); t != NULL; t = next) {
		next = TAILQ_NEXT(t, resolving);
		target_ask_once_more(q, t,
		    "the resolver died again and again while this was asked");
	}
}

/* One that is lost: a resolver answers within resolver_timeout, and the sweep
 * looks again and again. */
void
target_sweep(struct queue *q)
{
	int64_t late_ms = time_monotonic_ms() - RESOLVE_LOST_MS -
	    (int64_t)q->config->resolver_timeout * 1000;
	struct target *t, *next;

	for (t = TAILQ_FIRST(&q->resolving); t != NULL; t = next) {
		next = TAILQ_NEXT(t, resolving);
		if (t->asked_ms > late_ms)
			continue;
		log_line(LOG_WARN, "%s: the resolver has not answered",
		    t->destination->next_hop);
		target_ask_once_more(q, t, "the resolver does not answer");
	}
	explain_sweep(q, late_ms);
}

static bool
target_address_ok(const struct transport *config,
    const struct plan_address *address)
{
	bool loopback =
	    config->allow_loopback || config->next_hop.kind != NEXT_HOP_MX;

	if (address->port != config->next_hop.port)
		return false;
	if (config->inet_protocols != CONFIG_INET_ALL &&
	    (config->inet_protocols == CONFIG_INET_IPV4) !=
		(address->family == AF_INET))
		return false;
	return loopback || !plan_is_loopback(address);
}

/* An address where one of our own listeners has the mail come in would have it
 * go round: a notice may go there, see target_home(). */
static bool
target_is_listener(const struct queue *q, const struct plan_address *address)
{
	uint8_t octets[16];
	const struct config_listener *l = q->config->listeners;

	for (size_t i = 0; i < q->config->nlisteners; i++, l++)
		if (l->at.kind == NEXT_HOP_ADDRESS &&
		    l->at.port == address->port &&
		    inet_pton(address->family, l->at.host, octets) == 1 &&
		    memcmp(octets, address->addr,
			address->family == AF_INET ? 4 : 16) == 0)
			return true;
	return false;
}

bool
target_plan_ok(struct queue *q, const struct transport *config,
    const struct message *m)
{
	const struct msg_resolved *answer = m->payload;
	struct plan_address address;

	for (uint32_t i = 0; i < answer->count; i++) {
		memcpy(&address, m->tail + i * sizeof(address),
		    sizeof(address));
		if (target_address_ok(config, &address) &&
		    (config->next_hop.kind != NEXT_HOP_MX ||
			!target_is_listener(q, &address)))
			continue;
		peers_fault(q, ROLE_RESOLVER, 0,
		    "it sent an address that it was not asked for");
		return false;
	}
	return true;
}

/* Where what a sender demands of TLS cannot be had, all who wait hear it. */
static bool
target_is_refused(struct queue *q, struct target *t, bool proven)
{
	const struct transport *config =
	    q->transports[t->destination->transport].config;
	struct outcome outcome;
	const char *dsn, *why;

	why = config == NULL
	    ? NULL
	    : security_refuse(config, target_security(t), proven, &dsn);
	if (why == NULL)
		return false;
	settle_outcome(&outcome, OUTCOME_FAILED, STEP_RESOLVE, dsn);
	target_unresolved(q, t, &outcome, why);
	return true;
}

/*
 * A domain whose mail server is this host, while we listen on no such port: the
 * program that does is the one that our mail came from, or at least knows that
 * domain.  Ordinary mail would have come here by mistake; a notice belongs there.
 */
static void
target_learn_loop(struct queue *q, struct target *t)
{
	const struct transport *config =
	    q->transports[t->destination->transport].config;

	if (config == NULL || (t->destination->variant & TARGET_HOME) != 0 ||
	    config_listens_on(q->config, config->next_hop.port))
		return;
	t->loops = true;
	t->destination->keep_until_ms = time_monotonic_ms() + TARGET_KEEP_MS;
}

/* Where there is an answer again, nothing of that is left. */
static void
target_unblame(struct queue *q, struct target *t)
{
	char name[TARGET_NAME_SIZE];

	t->loops = false;
	target_name(q, t, name);
	trouble_over(q, TROUBLE_SERVER, count_transport(q, t));
	trouble_over(q, TROUBLE_FAMILIES, name);
	trouble_over(q, TROUBLE_LOOP, name);
}

static bool
target_answer_ok(struct queue *q, const struct target *t,
    const struct message *m)
{
	const struct transport *config =
	    q->transports[t->destination->transport].config;

	return config != NULL && target_plan_ok(q, config, m);
}

static void
target_take_plan(struct queue *q, struct target *t, const struct message *m)
{
	const struct msg_resolved *answer = m->payload;
	char reply[QUEUE_REPLY_SIZE];
	struct outcome outcome = answer->outcome;
	struct plan *plan;

	if (outcome.status == OUTCOME_DELIVERED) {
		if (target_is_refused(q, t, answer->proven != 0))
			return;
		plan = plan_new(answer->count);
		if (plan == NULL)
			return; /* asked again by the next pump */
		memcpy(plan->addresses, m->tail, m->tail_len);
		target_set_plan(t, plan, answer->ttl_s);
		target_unblame(q, t);
		limits_attach_group(q, t);
		return;
	}
	session_text(m, reply);
	if (answer->blame == RESOLVE_BLAME_LOOP)
		target_learn_loop(q, t);
	target_refuse_all(q, t, &outcome, reply, "", answer->blame);
}

void
target_resolved(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_resolved *answer = m->payload;
	struct queue *q = ctx;
	struct target *t;

	(void)from;
	LIST_FOREACH(t, &q->resolving_by_id[answer->id % QUEUE_BUCKETS],
	    by_resolve_id)
		if (t->resolve_id == answer->id)
			break;
	/* Asked twice over a restart, the first one counted. */
	if (t == NULL) {
		(void)explain_resolved(q, m);
		return;
	}
	/* A lie, for which a new resolver comes, or of another configuration:
	 * asked again, as often as a question may be. */
	if (t->asked_generation != q->generation ||
	    !target_answer_ok(q, t, m)) {
		target_ask_once_more(q, t,
		    "the resolver's answers cannot be used");
		return;
	}
	target_answered(q, t);
	target_take_plan(q, t, m);
	queue_pump_soon(q);
}
