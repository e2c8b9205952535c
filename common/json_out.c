/* SPDX-License-Identifier: ISC */
/* See json_out.h. */
#include "common/json_out.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/utf8.h"

/* Room that every append leaves: for what is open, and the NUL. */
#define RESERVE (JSON_OUT_DEPTH + 1)

static void
put(struct json_out *out, const char *text, size_t n)
{
	if (out->cut || n + RESERVE > out->size - out->len) {
		out->cut = true;
		return;
	}
	memcpy(out->text + out->len, text, n);
	out->len += n;
}

static void
put_word(struct json_out *out, const char *word)
{
	put(out, word, strlen(word));
}

static void
put_octet(struct json_out *out, unsigned char octet)
{
	char word[8];

	if (octet == '"' || octet == '\\')
		(void)snprintf(word, sizeof(word), "\\%c", octet);
	else if (octet >= ' ' && octet < 0x7f)
		(void)snprintf(word, sizeof(word), "%c", octet);
	else
		(void)snprintf(word, sizeof(word), "\\u%04x", octet);
	put_word(out, word);
}

static void
put_string(struct json_out *out, const char *value)
{
	size_t left = strlen(value), n;

	put(out, "\"", 1);
	for (; left > 0; value += n, left -= n) {
		n = utf8_span(value, left);
		if (n > 1) {
			put(out, value, n);
			continue;
		}
		n = 1;
		put_octet(out, (unsigned char)*value);
	}
	put(out, "\"", 1);
}

/* What stands before a value. */
static void
put_name(struct json_out *out, const char *name)
{
	if (out->has[out->depth])
		put(out, ",", 1);
	out->has[out->depth] = true;
	if (name == NULL)
		return;
	put_string(out, name);
	put(out, ":", 1);
}

/* A member that does not fit goes without leaving its half. */
static void
take_back(struct json_out *out, size_t len, bool had)
{
	if (!out->cut)
		return;
	out->len = len;
	out->has[out->depth] = had;
}

static void
put_member(struct json_out *out, const char *name, const char *value,
    bool is_string)
{
	size_t len = out->len;
	bool had = out->has[out->depth], was_cut = out->cut;

	if (out->close[out->depth] == '\0')
		return;
	out->cut = false;
	put_name(out, name);
	if (is_string)
		put_string(out, value);
	else
		put_word(out, value);
	take_back(out, len, had);
	out->cut = out->cut || was_cut;
}

/* What does not fit is not opened, and all in it is left out. */
static void
open_inside(struct json_out *out, const char *name, char opens, char closes)
{
	bool is_lost = out->close[out->depth] == '\0', was_cut = out->cut;
	bool had = out->has[out->depth];
	size_t len = out->len;

	assert(out->depth + 1 < JSON_OUT_DEPTH);
	out->cut = is_lost;
	put_name(out, name);
	put(out, &opens, 1);
	take_back(out, len, had);
	is_lost = out->cut;
	out->cut = is_lost || was_cut;
	out->depth++;
	out->has[out->depth] = false;
	out->close[out->depth] = is_lost ? '\0' : closes;
}

void
json_out_begin(struct json_out *out, char *text, size_t size)
{
	memset(out, 0, sizeof(*out));
	out->text = text;
	out->size = size;
	out->close[0] = '}';
	put(out, "{", 1);
}

void
json_out_string(struct json_out *out, const char *name, const char *value)
{
	put_member(out, name, value, true);
}

void
json_out_number(struct json_out *out, const char *name, int64_t value)
{
	char word[24];

	(void)snprintf(word, sizeof(word), "%" PRId64, value);
	put_member(out, name, word, false);
}

void
json_out_bool(struct json_out *out, const char *name, bool value)
{
	put_member(out, name, value ? "true" : "false", false);
}

void
json_out_object(struct json_out *out, const char *name)
{
	open_inside(out, name, '{', '}');
}

void
json_out_list(struct json_out *out, const char *name)
{
	open_inside(out, name, '[', ']');
}

/* The room for it was kept. */
void
json_out_close(struct json_out *out)
{
	assert(out->depth > 0);
	if (out->close[out->depth] != '\0')
		out->text[out->len++] = out->close[out->depth];
	out->depth--;
}

bool
json_out_end(struct json_out *out)
{
	while (out->depth > 0)
		json_out_close(out);
	out->text[out->len++] = '}';
	out->text[out->len] = '\0';
	return !out->cut;
}
