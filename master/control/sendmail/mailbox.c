/* SPDX-License-Identifier: ISC */
/* See mailbox.h. */
#include "master/control/sendmail/mailbox.h"

#include <stdint.h>
#include <string.h>

#define ESC '\x1b'
#define SO  '\x0e'
#define SI  '\x0f'

/* What one address is made of, while it is read. */
struct draft {
	char *out;
	size_t len;
	size_t end;    /* after the last octet of it in the list */
	bool any;      /* something was there */
	bool gap;      /* white space after the last word */
	bool is_words; /* two words in a row: a name, and no address */
	bool in_angle;
	bool was_angle; /* out is what was in it */
	bool bad;       /* no address, but it may be a name */
	bool broken;    /* nor that */
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

/* A word or special begins: what was before it may make both a name. */
static void
draft_join(struct draft *d, char c)
{
	char last = d->len > 0 ? d->out[d->len - 1] : '\0';

	if (d->gap && d->len > 0 && strchr(".@", c) == NULL &&
	    strchr(".@", last) == NULL)
		d->is_words = true;
	d->gap = false;
	d->any = true;
	/* After <ADDRESS> comes a comma, or nothing. */
	if (d->was_angle && !d->in_angle)
		d->broken = true;
}

/* What is no part of an address, and may be of a name. */
static void
take_stray(struct mailbox_list *list, struct draft *d)
{
	draft_join(d, list->in[list->at]);
	draft_add(d, list->in[list->at++]);
	d->bad = true;
}

/*
 * The octets of characters that ESC or SO at the start announces (ISO 2022), with
 * what ends them; 0: none start there.
 *
 * They are two octets each of 0x21 to 0x7e, up to an escape sequence that brings
 * ASCII back; the end of a line does, too (RFC 1468; RFC 1557 for SO).
 */
static size_t
shifted_size(const char *in, size_t n)
{
	bool out = n > 0 && in[0] == SO, wide = out, first;
	size_t i = 0;
	char set;

	if (n == 0 || (in[0] != ESC && !out))
		return 0;
	while (i < n && in[i] != '\n' && in[i] != '\r') {
		if (in[i] == SI && out)
			return i + 1;
		if (in[i++] != ESC)
			continue;
		/* ESC ( B: one octet each; ESC $ B, ESC $ ( D: two. */
		first = i < n && in[i] == '$';
		set = first ? '$' : '\0';
		while (i < n && in[i] >= ' ' && in[i] <= '/') {
			if (in[i] != '$')
				set = in[i];
			i++;
		}
		if (i == n || in[i] < '0' || in[i] > '~')
			return i;
		if (set == '$' || set == '(')
			wide = first || (in[i] != 'B' && in[i] != 'J');
		i++;
		if (!wide && !out)
			return i;
	}
	return i;
}

static bool
take_shifted(struct mailbox_list *list, struct draft *d)
{
	size_t n = shifted_size(list->in + list->at, list->n - list->at);

	if (n == 0)
		return false;
	list->at += n;
	d->bad = true; /* as an address */
	return true;
}

/* Up to the end of a comment, which may hold others (3.2.2).  False: nothing
 * closes it. */
static bool
skip_comment(struct mailbox_list *list, struct draft *d)
{
	size_t depth = 0, start = list->at, shifted;

	while (list->at < list->n && !list->open_comment) {
		shifted = shifted_size(list->in + list->at, list->n - list->at);
		list->at += shifted;
		if (shifted > 0)
			continue;
		if (list->in[list->at] == '(')
			depth++;
		else if (list->in[list->at] == ')')
			depth--;
		else if (list->in[list->at] == '\\')
			list->at++;
		list->at++;
		if (depth == 0) {
			d->gap = true;
			return true;
		}
	}
	list->open_comment = true;
	list->at = start;
	return false;
}

/* Whether a quoted-string that starts here is closed. */
static bool
is_closed(const struct mailbox_list *list)
{
	size_t at = list->at + 1, shifted;

	while (at < list->n) {
		shifted = shifted_size(list->in + at, list->n - at);
		if (shifted == 0 && list->in[at] == '"')
			return true;
		at += shifted > 0 ? shifted : list->in[at] == '\\' ? 2 : 1;
	}
	return false;
}

/* A quoted-string or a domain-literal that is closed, as it is but for line
 * ends. */
static void
take_quoted(struct mailbox_list *list, struct draft *d, char end)
{
	char c;

	draft_join(d, list->in[list->at]);
	draft_add(d, list->in[list->at++]);
	while (list->at < list->n) {
		if (take_shifted(list, d))
			continue;
		c = list->in[list->at++];
		if (c == '\r' || c == '\n')
			continue;
		draft_add(d, c);
		if (c == end)
			return;
		if (c == '\\' && list->at < list->n)
			draft_add(d, list->in[list->at++]);
	}
}

static void
take_quote(struct mailbox_list *list, struct draft *d)
{
	list->open_quote = list->open_quote || !is_closed(list);
	if (list->open_quote)
		take_stray(list, d);
	else
		take_quoted(list, d, '"');
}

/* Whether "]" closes what starts here, before anything that is in no bracket. */
static bool
has_bracket(struct mailbox_list *list)
{
	size_t at = list->at + 1;

	while (!list->open_bracket && at < list->n && list->in[at] != ']' &&
	    strchr("<>\"", list->in[at]) == NULL)
		at++;
	list->open_bracket = list->open_bracket || at == list->n;
	return !list->open_bracket && list->in[at] == ']';
}

/* A domain-literal, or part of a name: "[list] Ana <ana@example.org>". */
static void
take_bracket(struct mailbox_list *list, struct draft *d)
{
	if (has_bracket(list))
		take_quoted(list, d, ']');
	else
		take_stray(list, d);
}

static void
open_angle(struct draft *d)
{
	if (d->in_angle && d->len == 0)
		return; /* twice */
	d->broken = d->broken || d->in_angle || d->was_angle;
	d->in_angle = d->was_angle = d->any = true;
	d->is_words = d->gap = d->bad = false;
	d->len = 0; /* it was a name */
}

/* ":" after a route (4.4), or the name of a group. */
static void
take_colon(struct draft *d)
{
	if (d->in_angle && (d->bad || (d->len > 0 && d->out[0] != '@')))
		d->broken = true;
	if (!d->in_angle && d->was_angle)
		d->broken = true;
	d->len = 0;
	d->is_words = d->gap = d->bad = false;
	if (!d->in_angle)
		d->any = false;
}

/* True: the address ends here. */
static bool
take_special(struct mailbox_list *list, struct draft *d)
{
	switch (list->in[list->at]) {
	case '<':
		open_angle(d);
		break;
	case '>':
		d->in_angle = false;
		d->gap = true; /* what follows is a word of its own */
		break;
	case ':':
		take_colon(d);
		break;
	case ',':
		/* Between the hosts of a route. */
		if (d->in_angle && d->len > 0 && d->out[0] == '@') {
			d->gap = false;
			break;
		}
		list->at++;
		return d->any;
	case ';':
		list->at++;
		return d->any;
	default: /* ) or ] alone */
		take_stray(list, d);
		return false;
	}
	list->at++;
	return false;
}

static enum mailbox_event
draft_end(struct draft *d, struct mailbox_list *list)
{
	d->out[d->len] = '\0';
	list->end = d->end;
	if (!d->any)
		return MAILBOX_END;
	if (d->bad || d->broken || d->is_words || d->len == 0)
		return MAILBOX_BAD;
	return MAILBOX_ADDRESS;
}

/* What is neither white space, comment, nor special. */
static void
take_word(struct mailbox_list *list, struct draft *d)
{
	char c = list->in[list->at];

	if (c == '"') {
		take_quote(list, d);
	} else if (c == '[') {
		take_bracket(list, d);
	} else if (c == '(') {
		take_stray(list, d);
	} else {
		draft_join(d, c);
		if (take_shifted(list, d))
			return;
		draft_add(d, c);
		list->at++;
	}
	d->end = list->at;
}

enum mailbox_event
mailbox_next(struct mailbox_list *list, char out[static MAILBOX_SIZE])
{
	struct draft d = { .out = out, .end = list->at };
	char c;

	while (list->at < list->n) {
		c = list->in[list->at];
		if (is_space(c)) {
			d.gap = true;
			list->at++;
		} else if (c == '(' && skip_comment(list, &d)) {
			continue;
		} else if (strchr("<>:,;)]", c) != NULL && c != '\0') {
			if (take_special(list, &d))
				break;
		} else {
			take_word(list, &d);
		}
	}
	return draft_end(&d, list);
}
