/* SPDX-License-Identifier: ISC */
/* See lookup.h; RFC 5321, 5.1 for the order of the questions. */
#include "master/resolver/lookup.h"

#include <sys/queue.h>
#include <sys/socket.h>

#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unbound.h>

#include "common/address.h"
#include "common/log.h"
#include "common/util.h"
#include "master/resolver/hosts.h"
#include "master/resolver/own.h"

#define TYPE_A    1 /* RFC 1035, 3.2.2; RFC 3596; RFC 1035, 3.2.2 */
#define TYPE_AAAA 28
#define TYPE_MX   15
#define CLASS_IN  1

#define RCODE_NXDOMAIN 3

/* How long an answer is kept at most and at least, whatever its TTL says. */
#define TTL_MOST_S  3600
#define TTL_LEAST_S 5
/* An address of the configuration does not age. */
#define TTL_LITERAL_S 3600

#define WHY_SIZE 512

struct lookups {
	struct event_base *base;
	struct ub_ctx *ub;
	struct event *readable;
	struct hosts *hosts; /* NULL: no file is to be read */
	struct own *own;
	lookup_done *done;
	void *ctx;
	int timeout_s;
};

struct lookup {
	struct lookups *all;
	struct msg_resolve ask;
	char name[MSG_HOST_SIZE];
	struct plan *plan;
	struct event *timer;
	unsigned open; /* questions without an answer */
	bool is_over;  /* done was called; answers still to come are void */
	bool any_transient;
	bool proven;      /* where the names of the hosts come from */
	bool no_such_name; /* that of a server of the configuration */
	bool asked_others; /* for the families that are not to be used */
	bool has_others;   /* there are addresses of those */
	enum resolve_blame blame;
	uint32_t ttl_s;
	char why[WHY_SIZE];
};

/* One question at a name server. */
struct question {
	struct lookup *lookup;
	size_t host; /* of the plan, for A and AAAA */
	int type;
};

static uint32_t
random_below(uint32_t n)
{
	return arc4random_uniform(n);
}

static void
lookup_free_if_done(struct lookup *l)
{
	if (l->open > 0 || !l->is_over)
		return;
	event_free(l->timer);
	free(l->plan);
	free(l);
}

static void ask(struct lookup *l, const char *name, int type, size_t host);

/* Tells what became of it, once. */
static void
finish(struct lookup *l, enum outcome_status status, const char *dsn,
    uint16_t code, const char *why)
{
	struct plan_address addresses[PLAN_ADDRESSES_MAX];
	struct msg_resolved answer;

	memset(&answer, 0, sizeof(answer));
	answer.id = l->ask.id;
	answer.outcome.status = (uint8_t)status;
	answer.outcome.step = STEP_RESOLVE;
	answer.outcome.code = code;
	answer.proven = l->proven ? 1 : 0;
	answer.blame = (uint8_t)l->blame;
	strlcpy(answer.outcome.dsn, dsn, sizeof(answer.outcome.dsn));
	answer.ttl_s = l->ttl_s < TTL_LEAST_S ? TTL_LEAST_S : l->ttl_s;
	if (status == OUTCOME_DELIVERED)
		answer.count = (uint32_t)plan_finish(l->plan, l->ask.prefer,
		    addresses, PLAN_ADDRESSES_MAX, random_below);
	else
		answer.ttl_s = TTL_LEAST_S;
	l->is_over = true;
	event_del(l->timer);
	l->all->done(l->all->ctx, &answer, addresses, why);
}

/* An outcome without addresses: of the domain, or of our side of it. */
static void finish_without(struct lookup *l, enum outcome_status status,
    const char *dsn, enum resolve_blame blame, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

static void
finish_without(struct lookup *l, enum outcome_status status, const char *dsn,
    enum resolve_blame blame, const char *fmt, ...)
{
	char why[WHY_SIZE];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	l->blame = blame;
	finish(l, status, dsn, 0, why);
}

/* Whether something is to come yet: where no host has an address of the families
 * that we use, it is asked whether it has others. */
static bool
ask_others(struct lookup *l)
{
	uint8_t others = (RESOLVE_IPV4 | RESOLVE_IPV6) & ~l->ask.families;
	size_t i;

	if (others == 0 || l->asked_others || l->has_others || l->any_transient)
		return false;
	l->asked_others = true;
	for (i = 0; i < l->plan->nhosts; i++)
		ask(l, l->plan->hosts[i].name,
		    others == RESOLVE_IPV4 ? TYPE_A : TYPE_AAAA, i);
	return l->open > 0;
}

/* A loop that an address shows is one only by the addresses of this moment. */
static void
conclude_loop(struct lookup *l, bool own_is_known)
{
	if (l->plan->loop_by_address && !own_is_known)
		finish_without(l, OUTCOME_DEFERRED, "4.4.6",
		    RESOLVE_BLAME_NOBODY,
		    "mail for %s may loop back to us: the addresses of this "
		    "machine cannot be read now",
		    l->name);
	else
		finish_without(l, OUTCOME_FAILED, "5.4.6", RESOLVE_BLAME_LOOP,
		    "mail for %s loops back to us", l->name);
}

/* No address at all: what is wrong with a server of the configuration, or with
 * the families that we may use, fails no message. */
static void
conclude_without(struct lookup *l)
{
	if (l->any_transient)
		finish(l, OUTCOME_DEFERRED, "4.4.3", 0, l->why);
	else if (l->has_others)
		finish_without(l, OUTCOME_DEFERRED, "4.4.4",
		    RESOLVE_BLAME_FAMILIES,
		    "%s has no %s address, and inet_protocols lets us use no "
		    "other",
		    l->name, l->ask.families == RESOLVE_IPV4 ? "IPv4" : "IPv6");
	else if (l->ask.mode == RESOLVE_HOST)
		finish_without(l, OUTCOME_DEFERRED, "4.4.4",
		    RESOLVE_BLAME_SERVER, "server %s of the configuration: %s",
		    l->name,
		    l->no_such_name ? "no such host" : "it has no address");
	else
		finish_without(l, OUTCOME_FAILED, "5.4.4", RESOLVE_BLAME_NOBODY,
		    "%s: no host with an address of a family that we use",
		    l->name);
}

/* Every question is answered: is there anything to try? */
static void
conclude(struct lookup *l)
{
	static const struct plan_self nobody = { .hostname = "" };
	struct plan_self self;
	bool own_is_known = false;
	size_t i, n = 0;

	if (l->ask.mode == RESOLVE_MX) {
		own_is_known = own_read(l->all->own, &self);
		plan_drop_loops(l->plan,
		    (l->ask.loops & RESOLVE_SELF) != 0 ? &nobody : &self,
		    (l->ask.loops & RESOLVE_LOOPBACK) != 0);
	}
	for (i = 0; i < l->plan->nhosts; i++)
		n += l->plan->hosts[i].naddresses;
	if (n > 0)
		finish(l, OUTCOME_DELIVERED, "2.0.0", 0, "");
	else if (l->plan->had_loop)
		conclude_loop(l, own_is_known);
	else if (!ask_others(l))
		conclude_without(l);
}

static void
note_transient(struct lookup *l, const char *name, const char *what)
{
	l->any_transient = true;
	(void)snprintf(l->why, sizeof(l->why), "%s: %s", name, what);
}

static void
note_ttl(struct lookup *l, int ttl)
{
	if (ttl >= 0 && (uint32_t)ttl < l->ttl_s)
		l->ttl_s = (uint32_t)ttl;
}

/* Why an answer is none, for now; NULL where it is one. */
static const char *
transient_reason(int error, const struct ub_result *r)
{
	if (error != 0)
		return ub_strerror(error);
	if (r->bogus)
		return r->why_bogus != NULL ? r->why_bogus
					    : "DNSSEC validation failed";
	if (r->rcode != 0 && r->rcode != RCODE_NXDOMAIN)
		return r->rcode == 2 ? "the name servers failed"
				     : "the name servers refused";
	return NULL;
}

static void on_answer(void *arg, int error, struct ub_result *r);

static void
ask(struct lookup *l, const char *name, int type, size_t host)
{
	struct question *q;
	int error = UB_NOMEM;

	q = calloc(1, sizeof(*q));
	if (q != NULL) {
		q->lookup = l;
		q->host = host;
		q->type = type;
		error = ub_resolve_async(l->all->ub, name, type, CLASS_IN, q,
		    on_answer, NULL);
	}
	if (error == 0) {
		l->open++;
		return;
	}
	note_transient(l, name, ub_strerror(error));
	free(q);
}

/* The addresses of a host that the hosts file names; then no question is. */
static bool
take_hosts(struct lookup *l, size_t host)
{
	const struct hosts_entry *entry;
	size_t count;

	entry = hosts_find(l->all->hosts, l->plan->hosts[host].name, &count);
	if (count == 0)
		return false;
	for (; count > 0; count--, entry++) {
		if ((l->ask.families &
			(entry->family == AF_INET ? RESOLVE_IPV4
						  : RESOLVE_IPV6)) != 0)
			plan_add_address(l->plan, host, entry->family,
			    entry->addr, l->ask.port);
		else
			l->has_others = true;
	}
	return true;
}

static void
ask_addresses(struct lookup *l)
{
	size_t i;

	for (i = 0; i < l->plan->nhosts; i++) {
		if (take_hosts(l, i))
			continue;
		if ((l->ask.families & RESOLVE_IPV4) != 0)
			ask(l, l->plan->hosts[i].name, TYPE_A, i);
		if ((l->ask.families & RESOLVE_IPV6) != 0)
			ask(l, l->plan->hosts[i].name, TYPE_AAAA, i);
	}
}

static void
take_mx(struct lookup *l, const struct ub_result *r)
{
	char why[WHY_SIZE];
	size_t i, in_file;

	(void)hosts_find(l->all->hosts, l->name, &in_file);
	if (r->nxdomain && in_file == 0) {
		(void)snprintf(why, sizeof(why), "%s: no such domain", l->name);
		finish(l, OUTCOME_FAILED, "5.1.2", 0, why);
		return;
	}
	for (i = 0; r->havedata && r->data[i] != NULL; i++)
		plan_add_mx(l->plan, (const uint8_t *)r->data[i],
		    (size_t)r->len[i], random_below);
	if (!r->havedata)
		plan_add_host(l->plan, l->name);
	/* Without MX records the host bears the domain's own name. */
	l->proven = r->secure || !r->havedata;
	if (l->plan->null_mx && l->plan->nhosts == 0) {
		(void)snprintf(why, sizeof(why),
		    "%s accepts no mail (null MX, RFC 7505)", l->name);
		finish(l, OUTCOME_FAILED, "5.1.10", 556, why);
		return;
	}
	ask_addresses(l);
}

static void
take_addresses(struct lookup *l, const struct question *q,
    const struct ub_result *r)
{
	int family = q->type == TYPE_A ? AF_INET : AF_INET6;
	size_t i;

	if (l->asked_others) {
		l->has_others = l->has_others || r->havedata;
		return;
	}
	l->no_such_name = r->nxdomain != 0;
	for (i = 0; r->havedata && r->data[i] != NULL; i++) {
		if (r->len[i] == (family == AF_INET ? 4 : 16))
			plan_add_address(l->plan, q->host, family,
			    (const uint8_t *)r->data[i], l->ask.port);
	}
}

static void
on_answer(void *arg, int error, struct ub_result *r)
{
	struct question *q = arg;
	struct lookup *l = q->lookup;
	const char *reason;

	l->open--;
	if (!l->is_over) {
		reason = transient_reason(error, r);
		if (reason != NULL)
			note_transient(l, r != NULL ? r->qname : l->name,
			    reason);
		else
			note_ttl(l, r->ttl);
		if (reason == NULL && q->type == TYPE_MX)
			take_mx(l, r);
		else if (reason == NULL)
			take_addresses(l, q, r);
		if (l->open == 0 && !l->is_over)
			conclude(l);
	}
	ub_resolve_free(r);
	free(q);
	lookup_free_if_done(l);
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct lookup *l = arg;

	(void)fd;
	(void)what;
	if (!l->is_over) {
		note_transient(l, l->name,
		    "the name servers did not answer in time");
		conclude(l);
	}
	lookup_free_if_done(l);
}

/* An address needs no question. */
static bool
begin_literal(struct lookup *l)
{
	struct plan_address literal;

	if (!plan_parse_literal(l->name, l->ask.mode == RESOLVE_HOST, &literal))
		return false;
	plan_add_host(l->plan, l->name);
	if ((literal.family == AF_INET &&
		(l->ask.families & RESOLVE_IPV4) != 0) ||
	    (literal.family == AF_INET6 &&
		(l->ask.families & RESOLVE_IPV6) != 0))
		plan_add_address(l->plan, 0, literal.family, literal.addr,
		    l->ask.port);
	else
		l->has_others = true;
	l->ttl_s = TTL_LITERAL_S;
	l->proven = true;
	conclude(l);
	return true;
}

/* Without memory for more than the answer. */
static void
lookup_refuse(struct lookups *all, uint32_t id)
{
	struct msg_resolved answer = { .id = id, .ttl_s = TTL_LEAST_S };

	answer.outcome.status = OUTCOME_DEFERRED;
	answer.outcome.step = STEP_RESOLVE;
	(void)strlcpy(answer.outcome.dsn, "4.3.0", sizeof(answer.outcome.dsn));
	all->done(all->ctx, &answer, NULL, "the resolver is out of memory");
}

static struct lookup *
lookup_new(struct lookups *all, const struct msg_resolve *request,
    const char *name)
{
	struct timeval tv = { all->timeout_s, 0 };
	struct lookup *l;

	l = calloc(1, sizeof(*l));
	if (l == NULL)
		return NULL;
	l->all = all;
	l->ask = *request;
	l->ttl_s = TTL_MOST_S;
	strlcpy(l->name, name, sizeof(l->name));
	l->plan = calloc(1, sizeof(*l->plan));
	l->timer = evtimer_new(all->base, on_timeout, l);
	if (l->plan != NULL && l->timer != NULL &&
	    event_add(l->timer, &tv) == 0)
		return l;
	if (l->timer != NULL)
		event_free(l->timer);
	free(l->plan);
	free(l);
	return NULL;
}

void
lookup_begin(struct lookups *all, const struct msg_resolve *request,
    const char *name)
{
	struct lookup *l;

	l = lookup_new(all, request, name);
	if (l == NULL) {
		log_line(LOG_ERROR, "out of memory: %s is not looked up", name);
		lookup_refuse(all, request->id);
		return;
	}
	if (begin_literal(l)) {
		lookup_free_if_done(l);
		return;
	}
	if (!address_domain_is_dns_name(name)) {
		finish(l, OUTCOME_FAILED, "5.1.2", 0,
		    "the domain is no legal host name");
	} else if (request->mode == RESOLVE_MX) {
		ask(l, l->name, TYPE_MX, 0);
	} else {
		plan_add_host(l->plan, l->name);
		ask_addresses(l);
	}
	if (l->open == 0 && !l->is_over)
		conclude(l); /* no question could be asked */
	lookup_free_if_done(l);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct lookups *all = arg;

	(void)fd;
	(void)what;
	(void)ub_process(all->ub); /* a broken pipe ends the process below */
}

static void
check(int error, const char *what, const char *where)
{
	if (error != 0)
		fatal("%s %s: %s%s%s", what, where, ub_strerror(error),
		    errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
}

static void
set_option(struct ub_ctx *ub, const char *name, const char *value)
{
	check(ub_ctx_set_option(ub, name, value), name, value);
}

static void
set_servers(struct ub_ctx *ub, const struct config_list *servers)
{
	size_t i;

	if (servers->count == 0)
		check(ub_ctx_resolvconf(ub, NULL), "name servers",
		    "/etc/resolv.conf");
	for (i = 0; i < servers->count; i++)
		check(ub_ctx_set_fwd(ub, servers->words[i]), "name_servers",
		    servers->words[i]);
}

static struct hosts *
read_hosts(const char *name)
{
	struct hosts *hosts = NULL;
	FILE *f = fopen(name, "re");

	/* A small container has none, and needs none. */
	if (f == NULL && errno == ENOENT) {
		log_line(LOG_INFO,
		    "hosts_file %s is not there: no host has its "
		    "addresses from it",
		    name);
		return NULL;
	}
	if (f != NULL)
		hosts = hosts_read(f);
	if (hosts == NULL)
		fatal("hosts_file %s: %s", name, strerror(errno));
	fclose(f);
	return hosts;
}

struct lookups *
lookups_new(struct event_base *base, const struct config *config,
    lookup_done *done, void *ctx)
{
	struct lookups *all;

	all = calloc(1, sizeof(*all));
	if (all == NULL)
		fatal("no memory");
	all->own = own_new(config->hostname);
	if (all->own == NULL)
		fatal("no memory");
	all->base = base;
	all->done = done;
	all->ctx = ctx;
	all->timeout_s = config->resolver_timeout;
	all->ub = ub_ctx_create();
	if (all->ub == NULL)
		fatal("libunbound: no context");
	errno = 0;
	/* Before any local data: libunbound 1.17 loses it else. */
	check(ub_ctx_async(all->ub, 1), "libunbound", "thread");
	set_option(all->ub, "do-not-query-localhost:", "no");
	if (config->dnssec_trust_anchor_file[0] == '\0')
		set_option(all->ub, "module-config:", "iterator");
	else
		check(ub_ctx_add_ta_file(all->ub,
			  config->dnssec_trust_anchor_file),
		    "dnssec_trust_anchor_file",
		    config->dnssec_trust_anchor_file);
	set_servers(all->ub, &config->name_servers);
	if (config->hosts_file[0] != '\0')
		all->hosts = read_hosts(config->hosts_file);
	/* Built in as a zone without names; the name servers shall say. */
	(void)ub_ctx_zone_remove(all->ub, "test.");
	return all;
}

static void
ignore_answer(void *arg, int error, struct ub_result *r)
{
	(void)arg;
	(void)error;
	ub_resolve_free(r);
}

void
lookups_start_thread(struct lookups *all)
{
	/* libunbound starts it with the first question; this one it answers
	 * from what is built in. */
	check(ub_resolve_async(all->ub, "localhost.", TYPE_A, CLASS_IN, NULL,
		  ignore_answer, NULL),
	    "libunbound", "first question");
	check(ub_wait(all->ub), "libunbound", "first answer");
	all->readable = event_new(all->base, ub_fd(all->ub),
	    EV_READ | EV_PERSIST, on_readable, all);
	if (all->readable == NULL || event_add(all->readable, NULL) == -1)
		fatal("the loop: %s", strerror(errno));
}
