/* SPDX-License-Identifier: ISC */
/* See session_content.h. */
#include "agent/session/session_content.h"

#include <string.h>

#include "agent/session/session_internal.h"

static void
rewind_content(struct session *s)
{
	struct content *c = &s->content;

	c->at = 0;
	c->in_used = c->in_len = c->out_used = c->out_len = 0;
	c->last = '\n';
	c->finished = false;
	s->trans.body_at = 0;
}

/* False where the body cannot be read. */
static bool
fill_in(struct session *s)
{
	struct content *c = &s->content;
	uint64_t left = s->trans.size - c->at;
	size_t n = left < sizeof(c->in) ? (size_t)left : sizeof(c->in);

	if (s->ops->read_body(s->arg, c->in, n, c->at) != (ssize_t)n)
		return false;
	c->at += n;
	c->in_used = 0;
	c->in_len = n;
	return true;
}

/* Some more octets into out, or the end; false where nothing can be read. */
static bool
fill_out(struct session *s)
{
	struct content *c = &s->content;
	size_t used;

	c->out_used = c->out_len = 0;
	while (c->out_len == 0 && !c->finished && c->mime.error == MIME_OK) {
		if (c->in_used == c->in_len && c->at < s->trans.size &&
		    !fill_in(s))
			return false;
		if (c->in_used < c->in_len) {
			c->out_len = mime_convert(&c->mime, c->in + c->in_used,
			    c->in_len - c->in_used, &used, c->out,
			    MIME_ROOM_MIN);
			c->in_used += used;
		} else {
			c->out_len = mime_end(&c->mime, c->out);
			c->finished = true;
		}
		if (c->out_len > 0)
			c->last = c->out[c->out_len - 1];
	}
	if (c->finished && c->last != '\n') {
		memcpy(c->out + c->out_len, "\r\n", 2);
		c->out_len += 2;
		c->last = '\n';
	}
	return true;
}

/* The whole of it, for nothing but its length. */
static bool
walk(struct session *s, uint64_t *octets)
{
	struct content *c = &s->content;

	rewind_content(s);
	for (*octets = 0; !c->finished && c->mime.error == MIME_OK;) {
		if (!fill_out(s))
			return false;
		*octets += c->out_len;
	}
	return true;
}

enum mime_error
session_content_convert(struct session *s, enum mime_target target, bool *readp)
{
	struct content *c = &s->content;
	struct transaction *t = &s->trans;
	uint64_t octets;

	mime_plan(&c->mime, target);
	*readp = walk(s, &octets);
	if (!*readp || c->mime.error != MIME_OK)
		return c->mime.error;
	t->breaks_signature = mime_breaks_signature(&c->mime);
	if (t->breaks_signature &&
	    s->conf.eight_bit == SESSION_CONVERT_UNSIGNED)
		return MIME_BREAKS_DKIM;
	mime_write(&c->mime);
	*readp = walk(s, &octets);
	if (!*readp)
		return MIME_OK;
	mime_write(&c->mime);
	rewind_content(s);
	t->is_converted = true;
	t->content_octets = t->wire_octets = octets;
	return MIME_OK;
}

static ssize_t
read_converted(struct session *s, uint8_t *out, size_t n)
{
	struct content *c = &s->content;
	size_t len = 0, some;

	while (len < n) {
		if (c->out_used == c->out_len) {
			if (c->finished || c->mime.error != MIME_OK)
				break; /* the second: no pass before met it */
			if (!fill_out(s))
				return -1;
			continue;
		}
		some = c->out_len - c->out_used;
		if (some > n - len)
			some = n - len;
		memcpy(out + len, c->out + c->out_used, some);
		c->out_used += some;
		len += some;
	}
	s->trans.body_at += len;
	return (ssize_t)len;
}

ssize_t
session_content_read(struct session *s, uint8_t *out, size_t n)
{
	struct transaction *t = &s->trans;
	ssize_t got;

	if (t->is_converted)
		return read_converted(s, out, n);
	got = s->ops->read_body(s->arg, out, n, t->body_at);
	if (got > 0)
		t->body_at += (uint64_t)got;
	return got;
}

uint64_t
session_content_octets(struct session *s)
{
	struct transaction *t = &s->trans;
	uint8_t last = '\n';

	if (t->body == COMMAND_BODY_BINARYMIME)
		return t->size; /* as they are */
	if (t->size == 0 || t->wire_octets > 0)
		return t->wire_octets;
	if (s->ops->read_body(s->arg, &last, 1, t->size - 1) != 1)
		return t->size;
	t->wire_octets = last == '\n' ? t->size : t->size + 2;
	return t->wire_octets;
}
