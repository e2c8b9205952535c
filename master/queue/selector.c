/* SPDX-License-Identifier: ISC */
/* See selector.h. */
#include "master/queue/selector.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/pattern.h"
#include "common/sort.h"
#include "common/util.h"

static int
selector_compare_ids(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* What follows the strings; an id twice would be acted upon twice. */
static int
selector_take_ids(struct selector *selector, const struct message *m, size_t at)
{
	const char *word;
	uint32_t i, n = 0;

	while ((word = message_tail_next(m, &at)) != NULL) {
		if (selector->nids == ACT_IDS_MAX ||
		    store_id_parse(word, &selector->ids[selector->nids]) == -1)
			return -1;
		selector->nids++;
	}
	if (selector->nids == 0)
		return 0;
	sort_array(selector->ids, selector->nids, sizeof(selector->ids[0]),
	    selector_compare_ids);
	for (i = 1; i < selector->nids; i++)
		if (selector->ids[i] != selector->ids[n])
			selector->ids[++n] = selector->ids[i];
	selector->nids = n + 1;
	return 0;
}

/* The strings of the tail, and what follows them. */
static int
selector_take_tail(struct selector *s, const struct message *m)
{
	const char **const strings[] = { &s->sender, &s->recipient, &s->reason,
		&s->destination, &s->domain, &s->to };
	struct message own = *m;
	size_t at = 0, i;

	memcpy(s->text, m->tail, m->tail_len);
	own.tail = (const uint8_t *)s->text;
	for (i = 0; i < NELEM(strings); i++) {
		*strings[i] = message_tail_next(&own, &at);
		if (*strings[i] == NULL)
			return -1;
	}
	return selector_take_ids(s, &own, at);
}

struct selector *
selector_new(const struct message *m)
{
	const struct msg_act *act = m->payload;
	struct selector *s;

	s = calloc(1, sizeof(*s) + m->tail_len);
	if (s == NULL)
		return NULL;
	s->ids = calloc(ACT_IDS_MAX, sizeof(s->ids[0]));
	if (s->ids == NULL) {
		free(s);
		return NULL;
	}
	if (act->verb >= ACT_VERBS || selector_take_tail(s, m) == -1) {
		selector_free(s);
		errno = EINVAL;
		return NULL;
	}
	s->until_id = act->until_id;
	s->before_ms = act->before_ms;
	s->since_ms = act->since_ms;
	s->states = act->states;
	return s;
}

struct selector *
selector_new_of_all(void)
{
	struct selector *s = calloc(1, sizeof(*s));

	if (s != NULL)
		s->sender = s->recipient = s->reason = s->destination =
		    s->domain = s->to = "";
	return s;
}

void
selector_free(struct selector *selector)
{
	if (selector == NULL)
		return;
	free(selector->ids);
	free(selector);
}

static bool
selector_fits_path(const char *pattern, const char *path)
{
	if (pattern[0] == '\0')
		return true;
	if (strcmp(pattern, "<>") == 0)
		return path[0] == '\0';
	return pattern_matches(pattern, path);
}

/* A code is not to be found in somebody's address. */
static bool
selector_fits_reason(const char *pattern,
    const struct store_recipient *recipient)
{
	if (pattern[0] == '\0' || pattern_matches(pattern, recipient->dsn))
		return true;
	return !pattern_is_code(pattern) &&
	    pattern_found(pattern, recipient->reply);
}

bool
selector_fits(const struct selector *s, const struct store_envelope *envelope,
    const struct store_recipient *recipient)
{
	if (s->states != 0 && (s->states >> recipient->state & 1) == 0)
		return false;
	if (s->until_id != 0 && envelope->id > s->until_id)
		return false;
	if (s->domain[0] != '\0' &&
	    strcasecmp(s->domain, recipient->domain) != 0)
		return false;
	if (s->before_ms != 0 && envelope->created_ms >= s->before_ms)
		return false;
	if (s->since_ms != 0 && envelope->created_ms < s->since_ms)
		return false;
	return selector_fits_path(s->sender, envelope->reverse_path) &&
	    selector_fits_path(s->recipient, recipient->address) &&
	    selector_fits_reason(s->reason, recipient);
}

bool
selector_fits_way(const struct selector *s, const struct selector_way *way)
{
	return s->destination[0] == '\0' ||
	    strcasecmp(s->destination, way->domain) == 0 ||
	    strcmp(s->destination, way->transport) == 0 ||
	    strcasecmp(s->destination, way->server) == 0;
}
