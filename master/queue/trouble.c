/* SPDX-License-Identifier: ISC */
/* See trouble.h. */
#include "master/queue/trouble.h"

#include <sys/queue.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/util.h"
#include "master/queue/queue_internal.h"
#include "master/queue/route.h"
#include "master/queue/tell.h"

enum {
	TROUBLES_MAX = 64,
	TROUBLE_NAME_SIZE = 320,
	TROUBLE_TEXT_SIZE = 768,
	TROUBLE_AGAIN_MS = 3600 * 1000, /* said once more */
	TROUBLE_PAUSE_MS = 10 * 1000,   /* between two lines of one kind */
	TROUBLE_OLD_MS =
	    600 * 1000, /* more than the longest wait: it is over */
};

struct trouble {
	TAILQ_ENTRY(trouble) entry;
	enum trouble_kind kind;
	char name[TROUBLE_NAME_SIZE];
	char text[TROUBLE_TEXT_SIZE];
	uint64_t count;
	int64_t since_ms; /* real */
	int64_t last_ms;  /* monotonic */
	int64_t said_ms;  /* monotonic; 0: it was not */
};

struct troubles {
	TAILQ_HEAD(, trouble) all; /* the one that was met last is last */
	uint32_t count;
	int64_t said_ms[TROUBLE_KINDS]; /* monotonic; 0: never */
};

static const struct {
	const char *word;
	const char *cure;
} kinds[TROUBLE_KINDS] = {
	[TROUBLE_ROUTE] = { "route",
	    "add a route for it to the configuration and reload, or move the "
	    "mail by postern queue move --to TRANSPORT" },
	[TROUBLE_TRANSPORT] = { "transport",
	    "put the transport back and reload, or move the mail by postern "
	    "queue move --to TRANSPORT" },
	[TROUBLE_SERVER] = { "server",
	    "start it or give its name an address, or correct server in that "
	    "transport and reload" },
	[TROUBLE_REFUSES] = { "refuses",
	    "look at the server's own log, and at what it allows this host; a "
	    "wrong server, tls_security_level or port in that transport is to "
	    "be corrected and reloaded" },
	[TROUBLE_TLS] = { "tls",
	    "tell the domain's postmaster, or route it by a transport whose "
	    "tls_security_level is may" },
	[TROUBLE_FAMILIES] = { "families",
	    "allow the other family by inet_protocols, or add a route to a "
	    "relay that has it" },
	[TROUBLE_LOOP] = { "loop",
	    "if this host is to take mail for it, add a route to the program "
	    "that stores it" },
	[TROUBLE_STRANDED] = { "stranded",
	    "put their route or transport back and reload, or move them by "
	    "postern queue move --to TRANSPORT" },
};

struct troubles *
troubles_new(void)
{
	struct troubles *all = calloc(1, sizeof(*all));

	if (all != NULL)
		TAILQ_INIT(&all->all);
	return all;
}

static void
drop(struct troubles *all, struct trouble *trouble)
{
	TAILQ_REMOVE(&all->all, trouble, entry);
	all->count--;
	free(trouble);
}

void
troubles_free(struct troubles *all)
{
	if (all == NULL)
		return;
	while (!TAILQ_EMPTY(&all->all))
		drop(all, TAILQ_FIRST(&all->all));
	free(all);
}

static struct trouble *
find(const struct troubles *all, enum trouble_kind kind, const char *name)
{
	struct trouble *trouble;

	TAILQ_FOREACH(trouble, &all->all, entry)
		if (trouble->kind == kind && strcmp(trouble->name, name) == 0)
			break;
	return trouble;
}

/* The one that is there, or a new one; it is the last from now on. */
static struct trouble *
meet(struct troubles *all, enum trouble_kind kind, const char *name)
{
	struct trouble *trouble = find(all, kind, name);

	if (trouble != NULL) {
		TAILQ_REMOVE(&all->all, trouble, entry);
		TAILQ_INSERT_TAIL(&all->all, trouble, entry);
		return trouble;
	}
	trouble = calloc(1, sizeof(*trouble));
	if (trouble == NULL)
		return NULL;
	trouble->kind = kind;
	(void)strlcpy(trouble->name, name, sizeof(trouble->name));
	trouble->since_ms = time_real_ms();
	if (all->count == TROUBLES_MAX)
		drop(all, TAILQ_FIRST(&all->all));
	TAILQ_INSERT_TAIL(&all->all, trouble, entry);
	all->count++;
	return trouble;
}

/* Where very many domains have the same, some lines show it. */
static bool
is_to_be_said(const struct troubles *all, const struct trouble *trouble,
    int64_t now_ms)
{
	int64_t said_ms = all->said_ms[trouble->kind];

	if (said_ms != 0 && now_ms - said_ms < TROUBLE_PAUSE_MS)
		return false;
	return trouble->said_ms == 0 ||
	    now_ms - trouble->said_ms >= TROUBLE_AGAIN_MS;
}

void
trouble_note(struct queue *q, enum trouble_kind kind, const char *name,
    const char *fmt, ...)
{
	struct trouble *trouble = meet(q->troubles, kind, name);
	int64_t now_ms = time_monotonic_ms();
	char text[TROUBLE_TEXT_SIZE];
	va_list ap;

	if (trouble == NULL)
		return; /* each outcome has its reason all the same */
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)log_escape(trouble->text, sizeof(trouble->text), text,
	    strlen(text));
	trouble->count++;
	trouble->last_ms = now_ms;
	if (!is_to_be_said(q->troubles, trouble, now_ms))
		return;
	trouble->said_ms = q->troubles->said_ms[kind] = now_ms;
	log_line(LOG_WARN, "%s; %s", trouble->text, kinds[kind].cure);
}

void
trouble_over(struct queue *q, enum trouble_kind kind, const char *name)
{
	struct trouble *trouble;

	if (q->troubles->count == 0)
		return;
	trouble = find(q->troubles, kind, name);
	if (trouble != NULL)
		drop(q->troubles, trouble);
}

void
trouble_forget(struct queue *q)
{
	while (!TAILQ_EMPTY(&q->troubles->all))
		drop(q->troubles, TAILQ_FIRST(&q->troubles->all));
	memset(q->troubles->said_ms, 0, sizeof(q->troubles->said_ms));
}

bool
trouble_is_of_ways(const struct queue *q)
{
	const struct trouble *trouble;

	TAILQ_FOREACH(trouble, &q->troubles->all, entry)
		if (trouble->kind == TROUBLE_ROUTE ||
		    trouble->kind == TROUBLE_TRANSPORT ||
		    trouble->kind == TROUBLE_STRANDED)
			return true;
	return false;
}

/* Whom it was about may have been moved or deleted, and is not met again. */
static bool
is_past(struct queue *q, const struct trouble *trouble, int64_t now_ms)
{
	uint32_t n;

	if (now_ms - trouble->last_ms >
	    route_longest_wait_ms(q) + TROUBLE_OLD_MS)
		return true;
	return trouble->kind == TROUBLE_ROUTE &&
	    store_count_waiting(q->store, trouble->name, 1, &n) == 0 && n == 0;
}

void
trouble_tell(struct queue *q, uint64_t request)
{
	int64_t now_ms = time_monotonic_ms();
	struct trouble *trouble, *next;
	char text[2048];
	struct json_out out;

	for (trouble = TAILQ_FIRST(&q->troubles->all); trouble != NULL;
	     trouble = next) {
		next = TAILQ_NEXT(trouble, entry);
		if (is_past(q, trouble, now_ms)) {
			drop(q->troubles, trouble);
			continue;
		}
		json_out_begin(&out, text, sizeof(text));
		json_out_string(&out, "top", "trouble");
		json_out_string(&out, "kind", kinds[trouble->kind].word);
		json_out_string(&out, "name", trouble->name);
		json_out_string(&out, "what", trouble->text);
		json_out_string(&out, "cure", kinds[trouble->kind].cure);
		json_out_number(&out, "count", (int64_t)trouble->count);
		json_out_number(&out, "since_ms", trouble->since_ms);
		json_out_number(&out, "last_ms",
		    time_real_ms() - (now_ms - trouble->last_ms));
		(void)json_out_end(&out);
		tell(q, request, text, false);
	}
}
