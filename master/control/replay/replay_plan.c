/* SPDX-License-Identifier: ISC */
/* See replay_plan.h: what is to be played, before anybody connects. */
#include "master/control/replay/replay_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/timers.h"

enum {
	SHORT_MS = 20,   /* a pause that nothing hangs on */
	FIRED_MS = 1000, /* a timer that fires, in a hurry */
};

static bool
is_sent(const struct replay_script_event *e)
{
	return e->kind == SCRIPT_SENT || e->kind == SCRIPT_SECRET;
}

static size_t
find(const struct replay_plan *p, enum replay_script_kind kind, size_t from)
{
	while (from < p->n && p->events[from].kind != kind)
		from++;
	return from;
}

static bool
has(const struct replay_plan *p, enum replay_script_kind kind)
{
	return find(p, kind, 0) < p->n;
}

/* Takes events from `from` to before `to` away. */
static void
cut(struct replay_plan *p, size_t from, size_t to)
{
	memmove(p->events + from, p->events + to,
	    (p->n - to) * sizeof(p->events[0]));
	p->n -= to - from;
}

/* Which connection. */

/* Whether the verdict at e is the first outcome that the script has. */
static bool
is_the_outcome(const struct replay_script *s,
    const struct replay_script_event *e)
{
	char text[SCRIPT_WORD_SIZE * 2], want[SCRIPT_WORD_SIZE * 2];

	for (size_t i = 0; i < s->nrecipients; i++) {
		const struct replay_script_recipient *r = &s->recipients[i];

		if (!r->has_outcome)
			continue;
		(void)snprintf(want, sizeof(want), "%s %u %s %s %s",
		    outcome_status_name(r->outcome.status), r->outcome.code,
		    r->outcome.dsn, outcome_step_name(r->outcome.step),
		    r->reply);
		return strcmp(replay_script_text(s, e, text, sizeof(text)),
			   want) == 0;
	}
	return false;
}

/* The events of the connection to play: those of the verdict that counts. */
static void
find_connection(const struct replay_script *s, size_t *from, size_t *to)
{
	size_t begin = 0, i, good_from = 0, good_to = 0;

	for (i = 0; i < s->nevents; i++) {
		if (s->events[i].kind == SCRIPT_ADDRESS)
			begin = i;
		if (s->events[i].kind == SCRIPT_VERDICT &&
		    is_the_outcome(s, &s->events[i])) {
			good_from = begin;
			good_to = i + 1;
		}
	}
	*from = good_to > 0 ? good_from : begin;
	*to = good_to > 0 ? good_to : s->nevents;
}

/* What cannot be as it was. */

/* What was said inside TLS takes the place of what was said in clear. */
static void
strip_tls(struct replay_plan *p)
{
	size_t up = find(p, SCRIPT_TLS_UP, 0);
	size_t first = find(p, SCRIPT_SENT, 0);

	if (up == p->n)
		return;
	p->in_clear = true;
	/* Of the clear part the greeting alone stays. */
	if (first > up)
		first = find(p, SCRIPT_TLS, 0);
	cut(p, first < up ? first : up, up + 1);
}

/* Whether the step that a verdict names is the login. */
static bool
is_of_auth(const struct replay_plan *p)
{
	size_t verdict = find(p, SCRIPT_VERDICT, 0);
	char text[64], step[16] = "";

	if (verdict == p->n)
		return false;
	(void)replay_script_text(p->script, &p->events[verdict], text,
	    sizeof(text));
	return sscanf(text, "%*s %*s %*s %15s", step) == 1 &&
	    strcmp(step, outcome_step_name(STEP_AUTH)) == 0;
}

/* From the first secret to the last reply before the next plain command. */
static void
strip_auth(struct replay_plan *p)
{
	size_t first = find(p, SCRIPT_SECRET, 0), next = first;

	if (first == p->n && !is_of_auth(p))
		return;
	while (next < p->n &&
	    (p->events[next].kind == SCRIPT_SECRET ||
		p->events[next].kind == SCRIPT_RECEIVED))
		next++;
	if (is_of_auth(p) || next == p->n ||
	    p->events[next].kind != SCRIPT_JOB) {
		p->why = "it failed in AUTH, and a transcript has no secrets: "
			 "use --listen, and log in";
		return;
	}
	p->without_auth = true;
	cut(p, first, next);
}

/*
 * A ServerHello that took up what our ClientHello said (RFC 8446, 4.1.3): all
 * that comes behind it is bound to keys that are gone.
 */
static bool
is_bound(const struct replay_plan *p, const struct replay_script_event *e)
{
	const uint8_t *o = p->script->octets + e->at;

	return e->len > 44 && o[0] == 22 && o[5] == 2 && o[43] == 32;
}

static const char *
judge_handshake(const struct replay_plan *p)
{
	size_t failed = find(p, SCRIPT_TLS_FAILED, 0);
	size_t first = find(p, SCRIPT_SHAKE, 0);
	char text[128];

	if (failed < p->n &&
	    strstr(replay_script_text(p->script, &p->events[failed], text,
		       sizeof(text)),
		"certificate") != NULL)
		return "the handshake failed by a certificate, whose key the "
		       "server alone has";
	if (first < p->n && is_bound(p, &p->events[first]))
		return "the handshake is bound to keys that are gone";
	return NULL;
}

static const char *
judge_connection(struct replay_plan *p)
{
	size_t failed = find(p, SCRIPT_FAILED, 0);
	char text[128];

	if (p->n == 0)
		return "it holds no event: the worker took them with it";
	if (failed < p->n) {
		(void)replay_script_text(p->script, &p->events[failed], text,
		    sizeof(text));
		p->refuses = strcmp(text, "Connection refused") == 0;
		if (!p->refuses &&
		    strcmp(text, "Connection reset by peer") != 0)
			return "this failure to connect belongs to a network";
		p->races = !p->refuses;
	} else if (!has(p, SCRIPT_CONNECTED)) {
		p->is_mute = has(p, SCRIPT_TIMEOUT);
		if (!p->is_mute)
			return "nothing was connected";
	}
	return judge_handshake(p);
}

static bool
is_fired(const struct replay_plan *p, enum session_timer timer)
{
	size_t fired = find(p, SCRIPT_TIMEOUT, 0);
	char name[32];

	return fired < p->n &&
	    strcmp(replay_script_text(p->script, &p->events[fired], name,
		       sizeof(name)),
		timer_name(timer)) == 0;
}

/* Its last body neither ended, nor did it get a word, or it was slow. */
static bool
stalls_at_the_end(const struct replay_plan *p)
{
	if (is_fired(p, TIMER_DATA_BLOCK))
		return true;
	for (size_t i = p->n; i-- > 0;)
		if (p->events[i].kind == SCRIPT_BODY)
			return true;
		else if (p->events[i].kind == SCRIPT_RECEIVED ||
		    p->events[i].kind == SCRIPT_END || is_sent(&p->events[i]))
			return false;
	return false;
}

/* What was injected was there at once, however it was read. */
static void
join_injection(struct replay_plan *p)
{
	size_t verdict = find(p, SCRIPT_VERDICT, 0);
	struct replay_script_event *e = p->events + verdict;
	char text[128];

	if (verdict < 3 || verdict == p->n ||
	    strstr(replay_script_text(p->script, e, text, sizeof(text)),
		" injection: ") == NULL)
		return;
	p->races = e[-2].kind == SCRIPT_CONNECTED; /* implicit TLS */
	if (e[-1].kind != SCRIPT_RECEIVED || e[-2].kind != SCRIPT_RECEIVED ||
	    e[-1].at != e[-2].at + e[-2].len)
		return;
	e[-2].len += e[-1].len;
	cut(p, verdict - 1, verdict);
}

/* One that closed before it could hear our part of a handshake. */
static void
join_close(struct replay_plan *p)
{
	size_t tls = find(p, SCRIPT_TLS, 0);

	if (tls + 1 >= p->n || p->events[tls + 1].kind != SCRIPT_CLOSED ||
	    has(p, SCRIPT_TLS_FAILED))
		return;
	p->races = true;
	cut(p, tls, tls + 1);
}

int
replay_plan_choose(struct replay_plan *p, const struct replay_script *s,
    bool with_auth)
{
	size_t from, to;

	memset(p, 0, sizeof(*p));
	p->script = s;
	find_connection(s, &from, &to);
	p->events = calloc(to - from + 1, sizeof(*p->events));
	if (p->events == NULL)
		return -1;
	p->n = to - from;
	if (p->n > 0)
		memcpy(p->events, s->events + from, p->n * sizeof(*p->events));
	strip_tls(p);
	join_injection(p);
	join_close(p);
	p->why = judge_connection(p);
	if (p->why == NULL && p->in_clear && s->require_tls)
		p->why = "REQUIRETLS was demanded, and TLS takes a certificate";
	p->stalls = stalls_at_the_end(p);
	p->is_paced = is_fired(p, TIMER_SESSION);
	if (p->why == NULL && !with_auth)
		strip_auth(p);
	return 0;
}

/* In a hurry. */

/* From the last command on, all that is waited for may be what counts. */
static size_t
tail_begins(const struct replay_plan *p, bool all)
{
	size_t i = p->n;

	if (all)
		return 0;
	while (i > 0 && !is_sent(&p->events[i - 1]))
		i--;
	return i;
}

void
replay_plan_hurry(struct replay_plan *p, struct replay_plan_timer *scaled)
{
	uint32_t then = 0, now = 0, gap, was = 0;
	size_t tail;

	scaled->timer = TIMER_COUNT;
	for (unsigned i = 0; i < TIMER_COUNT; i++)
		if (is_fired(p, (enum session_timer)i))
			scaled->timer = i;
	if (scaled->timer < TIMER_COUNT)
		was = p->script->timer_ms[scaled->timer];
	scaled->ms = was < FIRED_MS ? was : FIRED_MS;
	tail = tail_begins(p, scaled->timer == TIMER_SESSION);
	for (size_t i = 0; i < p->n; i++) {
		gap = p->events[i].time_ms - then;
		if (p->events[i].time_ms < then)
			gap = 0;
		then = p->events[i].time_ms;
		if (i >= tail && was > 0)
			now += (uint32_t)((uint64_t)gap * scaled->ms / was);
		else
			now += gap < SHORT_MS ? gap : SHORT_MS;
		p->events[i].time_ms = now;
	}
}

void
replay_plan_clear(struct replay_plan *p)
{
	free(p->events);
	memset(p, 0, sizeof(*p));
}
