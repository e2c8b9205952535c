/* SPDX-License-Identifier: ISC */
/*
 * One JSON object (RFC 8259), written member by member into the caller's buffer:
 * for roles that tell and are told nothing in JSON.  Pure.
 *
 * What does not fit is left out whole, and json_out_end() says so.
 */
#ifndef POSTERN_COMMON_JSON_OUT_H
#define POSTERN_COMMON_JSON_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_OUT_DEPTH 8

struct json_out {
	char *text;
	size_t size;
	size_t len;
	unsigned depth;
	bool cut;                   /* something did not fit */
	bool has[JSON_OUT_DEPTH];   /* a member stands before */
	char close[JSON_OUT_DEPTH]; /* '}' or ']' */
};

/* An object begins in text, of size octets (at least 32). */
void json_out_begin(struct json_out *out, char *text, size_t size);

/* Members; name is NULL inside a list.  UTF-8 stays as it is, octets that are
 * none leave as \u00HH. */
void json_out_string(struct json_out *out, const char *name, const char *value);
void json_out_number(struct json_out *out, const char *name, int64_t value);
void json_out_bool(struct json_out *out, const char *name, bool value);

/* An object or a list inside, until json_out_close(). */
void json_out_object(struct json_out *out, const char *name);
void json_out_list(struct json_out *out, const char *name);
void json_out_close(struct json_out *out);

/* Closes all that is open; text ends with a NUL.  False where it was cut. */
bool json_out_end(struct json_out *out);

#endif
