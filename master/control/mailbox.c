/* SPDX-License-Identifier: ISC */
/* See mailbox.h. */
#include "master/control/mailbox.h"

#include <stdint.h>
#include <string.h>

/* What one address is made of, while it is read. */
struct draft {
	char *out;
	size_t len;
	bool any;      /* something stood there */
	bool gap;      /* white space behind the last word */
	bool is_words; /* two words in a row: a name, and no address */
	bool in_angle;
	bool was_angle; /* out is what stood in it */
	bool bad;
};

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void
draft_add(struct draft *d, char c)
{
	/* A control would end the line that it goes into. */
	if (d->len + 1 >= MAILBOX_SIZE || ((uint8_t)c < ' ' && c != '\t') ||
	    c == 0x7f) {
		d->bad = true;
		return;
	}
	d->out[d->len++] = c;
}

/* A word or special begins: what stood before it may make both a name. */
static void
draft_join(struct draft *d, char c)
{
	char last = d->len > 0 ? d->out[d->len - 1] : '\0';

	if (d->gap && d->len > 0 && strchr(".@", c) == NULL &&
	    strchr(".@", last) == NULL)
		d->is_words = true;
	d->gap = false;
	d->any = true;
	/* Behind <ADDRESS> stands a comma, or nothing. */
	if (d->was_angle && !d->in_angle)
		d->bad = true;
}

/* Up to the end of a comment, which may hold others (3.2.2). */
static void
skip_comment(struct mailbox_list *list, struct draft *d)
{
	size_t depth = 0;

	for (; list->at < list->n; list->at++) {
		if (list->in[list->at] == '(')
			depth++;
		else if (list->in[list->at] == ')')
			depth--;
		else if (list->in[list->at] == '\\')
			list->at++;
		if (depth == 0) {
			list->at++;
			return;
		}
	}
	list->at = list->n;
	d->bad = true;
}

/* A quoted-string or a domain-literal, as it stands but for line ends. */
static void
take_quoted(struct mailbox_list *list, struct draft *d, char end)
{
	char c;

	draft_add(d, list->in[list->at++]);
	while (list->at < list->n) {
		c = list->in[list->at++];
		if (c == '\r' || c == '\n')
			continue;
		draft_add(d, c);
		if (c == end)
			return;
		if (c == '\\' && list->at < list->n)
			draft_add(d, list->in[list->at++]);
	}
	d->bad = true;
}

static void
open_angle(struct draft *d)
{
	d->bad = d->bad || d->in_angle || d->was_angle;
	d->in_angle = d->was_angle = d->any = true;
	d->is_words = d->gap = false;
	d->len = 0; /* it was a name */
}

/* ":" behind a route (4.4), or the name of a group. */
static void
take_colon(struct draft *d)
{
	if (d->in_angle && d->len > 0 && d->out[0] != '@')
		d->bad = true;
	if (!d->in_angle && d->was_angle)
		d->bad = true;
	d->len = 0;
	d->is_words = d->gap = false;
	if (!d->in_angle)
		d->any = false;
}

/* True: the address ends here. */
static bool
take_special(struct mailbox_list *list, struct draft *d)
{
	char c = list->in[list->at++];

	switch (c) {
	case '<':
		open_angle(d);
		return false;
	case '>':
		d->bad = d->bad || !d->in_angle;
		d->in_angle = d->gap = false;
		return false;
	case ':':
		take_colon(d);
		return false;
	case ',':
		/* Between the hosts of a route. */
		if (d->in_angle && d->len > 0 && d->out[0] == '@') {
			d->gap = false;
			return false;
		}
		return d->any;
	case ';':
		return d->any;
	default:
		d->bad = true; /* ) or ] alone */
		return false;
	}
}

static enum mailbox_event
draft_end(struct draft *d)
{
	d->out[d->len] = '\0';
	if (!d->any)
		return MAILBOX_END;
	if (d->bad || d->in_angle || d->is_words || d->len == 0)
		return MAILBOX_BAD;
	return MAILBOX_ADDRESS;
}

enum mailbox_event
mailbox_next(struct mailbox_list *list, char out[static MAILBOX_SIZE])
{
	struct draft d = { .out = out };
	char c;

	while (list->at < list->n) {
		c = list->in[list->at];
		if (is_space(c)) {
			d.gap = true;
			list->at++;
		} else if (c == '(') {
			d.gap = true;
			skip_comment(list, &d);
		} else if (c == '"' || c == '[') {
			draft_join(&d, c);
			take_quoted(list, &d, c == '"' ? '"' : ']');
		} else if (strchr("<>:,;)]", c) != NULL && c != '\0') {
			if (take_special(list, &d))
				break;
		} else {
			draft_join(&d, c);
			draft_add(&d, c);
			list->at++;
		}
	}
	return draft_end(&d);
}
