/* SPDX-License-Identifier: ISC */
/*
 * Cuts a configuration into statements, so that one which is wrong hides
 * no other.  What a statement's values are is libconfuse's to say.
 */
#ifndef MASTER_CONFIG_TEXT_H
#define MASTER_CONFIG_TEXT_H

#include <stddef.h>

enum config_text_event {
	CONFIG_TEXT_END,
	CONFIG_TEXT_SET,   /* name = value */
	CONFIG_TEXT_OPEN,  /* name [title] { */
	CONFIG_TEXT_CLOSE, /* } */
	CONFIG_TEXT_BAD,   /* wrong says why; it has been skipped */
};

struct config_text {
	const char *in;
	size_t len;
	size_t at;
	int line;
};

/* All of it borrowed from the text. */
struct config_statement {
	const char *name;
	size_t name_len;
	const char *value; /* SET: all behind '='; OPEN: the title, or empty */
	size_t value_len;
	int line;
	const char *wrong;
};

/* len octets with no NUL among them, which outlive every statement. */
void config_text_init(struct config_text *text, const char *in, size_t len);

/*
 * config_text_next - the next statement of the text.
 *
 * Goes on behind a BAD one where its line ends, or its block.  A value holds
 * complete strings without other escapes than \\ and a quoted quote, no ${,
 * and for libconfuse to read nothing but words, strings, commas and one pair
 * of braces, and comments from # to the end of a line.
 */
enum config_text_event config_text_next(struct config_text *text,
    struct config_statement *statement);

/*
 * Copies a value, comments and line ends as blanks, into out, which has room
 * for len + 1 octets.
 */
void config_text_copy(char *out, const char *value, size_t len);

#endif
