/* SPDX-License-Identifier: ISC */
/*
 * Cuts a configuration into statements.
 *
 * libconfuse stops at its first error, remembers the string it was in when it
 * is called again, reads the environment, and writes behind its buffer when a
 * comment has an unlucky length.  So it is given single statements, and never
 * sees what it could trip over.
 */
#include "master/config_text.h"

#include <stdbool.h>
#include <string.h>

enum token_kind {
	TOKEN_END,
	TOKEN_WORD,
	TOKEN_STRING,
	TOKEN_EQUALS,
	TOKEN_COMMA,
	TOKEN_OPEN,
	TOKEN_CLOSE,
	TOKEN_BAD,
};

struct token {
	enum token_kind kind;
	const char *at;
	size_t len;
	int line;
	const char *wrong;
};

/* What ends a word, as libconfuse sees it. */
static bool
ends_word(char c)
{
	return (unsigned char)c <= ' ' || c == 0x7f ||
	    strchr("#\"'={}()+,*", c) != NULL;
}

static void
skip_line(struct config_text *text)
{
	while (text->at < text->len && text->in[text->at] != '\n')
		text->at++;
}

static void
skip_blanks(struct config_text *text)
{
	for (; text->at < text->len; text->at++) {
		switch (text->in[text->at]) {
		case ' ':
		case '\t':
		case '\r':
			break;
		case '\n':
			text->line++;
			break;
		case '#':
			skip_line(text);
			text->at--; /* the line end is for the next turn */
			break;
		default:
			return;
		}
	}
}

/* A string that begins at text->at; NULL, or what is wrong with it. */
static const char *
scan_string(struct config_text *text)
{
	const char quote = text->in[text->at++];
	char c;

	for (; text->at < text->len; text->at++) {
		c = text->in[text->at];
		if (c == quote) {
			text->at++;
			return NULL;
		}
		if (c == '\n')
			break;
		if (((unsigned char)c < ' ' && c != '\t') || c == 0x7f)
			return "a control character stands in a string";
		if (c == '$' && text->at + 1 < text->len &&
		    text->in[text->at + 1] == '{')
			return "${ is not replaced here; write the value out";
		if (c != '\\')
			continue;
		if (++text->at == text->len)
			break;
		c = text->in[text->at];
		if (c != quote && c != '\\')
			return "a backslash may stand only before a quotation "
			       "mark or a backslash";
	}
	return "the string does not end on its line; close its quotation mark";
}

static const char *
scan_word(struct config_text *text)
{
	size_t start = text->at;

	while (text->at < text->len && !ends_word(text->in[text->at]))
		text->at++;
	if (text->at == start)
		return "a character that means nothing here; words with "
		       "* + ( or ) stand in quotation marks";
	if (text->at - start >= 2 && memcmp(text->in + start, "//", 2) == 0)
		return "a comment begins with #";
	if (text->in[text->at - 1] == '$' && text->at < text->len &&
	    text->in[text->at] == '{')
		return "${ is not replaced here; write the value out";
	return NULL;
}

static struct token
next_token(struct config_text *text)
{
	static const char marks[] = "={},";
	static const enum token_kind kinds[] = { TOKEN_EQUALS, TOKEN_OPEN,
		TOKEN_CLOSE, TOKEN_COMMA };
	struct token token = { .kind = TOKEN_END };
	const char *mark;
	char c;

	skip_blanks(text);
	token.at = text->in + text->at;
	token.line = text->line;
	if (text->at == text->len)
		return token;
	c = *token.at;
	mark = c == '\0' ? NULL : strchr(marks, c);
	if (mark != NULL) {
		token.kind = kinds[mark - marks];
		text->at++;
	} else if (c == '"' || c == '\'') {
		token.kind = TOKEN_STRING;
		token.wrong = scan_string(text);
	} else {
		token.kind = TOKEN_WORD;
		token.wrong = scan_word(text);
	}
	if (token.wrong != NULL)
		token.kind = TOKEN_BAD;
	token.len = (size_t)(text->in + text->at - token.at);
	return token;
}

static struct token
peek_token(const struct config_text *text)
{
	struct config_text copy = *text;

	return next_token(&copy);
}

/*
 * Goes to the end of the line, over every block that is opened on it, but not
 * over a brace that closes what is open already.  depth counts the braces of
 * this statement that are open.
 */
static void
skip_statement(struct config_text *text, int depth)
{
	struct token token;
	int line = text->line;

	for (;;) {
		token = peek_token(text);
		if (token.kind == TOKEN_END)
			break;
		if (depth == 0 && token.line != line)
			break;
		if (depth == 0 && token.kind == TOKEN_CLOSE)
			break;
		if (token.kind == TOKEN_OPEN)
			depth++;
		if (token.kind == TOKEN_CLOSE)
			depth--;
		token = next_token(text);
		if (token.kind == TOKEN_BAD)
			skip_line(text);
		if (depth == 0)
			line = text->line;
	}
}

static enum config_text_event
bad(struct config_text *text, struct config_statement *statement, int line,
    const char *wrong)
{
	skip_statement(text, 0);
	statement->line = line;
	statement->wrong = wrong;
	return CONFIG_TEXT_BAD;
}

/* The token that has just been read is what is wrong. */
static enum config_text_event
bad_token(struct config_text *text, struct config_statement *statement,
    const struct token *token, const char *wrong, int depth)
{
	statement->line = token->line;
	statement->wrong = token->wrong != NULL ? token->wrong : wrong;
	/* The rest of a line behind a broken string is anybody's guess. */
	if (token->kind == TOKEN_BAD)
		skip_line(text);
	/* A brace that opens is skipped with its block; one that closes may
	   be the end of the block we are in. */
	if (token->kind == TOKEN_OPEN || token->kind == TOKEN_CLOSE)
		text->at--;
	skip_statement(text, depth);
	return CONFIG_TEXT_BAD;
}

static bool
is_value(const struct token *token)
{
	return token->kind == TOKEN_WORD || token->kind == TOKEN_STRING;
}

/* { value, value } from its opening brace on. */
static enum config_text_event
list(struct config_text *text, struct config_statement *statement)
{
	struct token token;
	bool want_value = true;

	for (;;) {
		token = peek_token(text);
		if (token.kind == TOKEN_END)
			return bad(text, statement, statement->line,
			    "the list does not end; close it with }");
		(void)next_token(text); /* the one we have seen */
		if (token.kind == TOKEN_CLOSE)
			break;
		if (want_value ? !is_value(&token) : token.kind != TOKEN_COMMA)
			return bad_token(text, statement, &token,
			    "a list is written { VALUE, VALUE }", 1);
		want_value = !want_value;
	}
	statement->value_len =
	    (size_t)(token.at + token.len - statement->value);
	return CONFIG_TEXT_SET;
}

static enum config_text_event
set(struct config_text *text, struct config_statement *statement)
{
	struct token token = peek_token(text);

	if (token.kind == TOKEN_END || token.line != statement->line)
		return bad(text, statement, statement->line,
		    "there is no value after =; write \"\" for none");
	(void)next_token(text); /* the one we have seen */
	statement->value = token.at;
	statement->value_len = token.len;
	if (token.kind == TOKEN_OPEN)
		return list(text, statement);
	if (!is_value(&token))
		return bad_token(text, statement, &token,
		    "the value is missing; write NAME = VALUE", 0);
	return CONFIG_TEXT_SET;
}

static enum config_text_event
open_block(struct config_text *text, struct config_statement *statement,
    const struct token *title)
{
	struct token token = *title;

	statement->value = title->at;
	if (is_value(title)) {
		statement->value_len = title->len;
		token = peek_token(text);
		if (token.kind == TOKEN_OPEN)
			(void)next_token(text); /* the one we have seen */
	}
	if (token.kind != TOKEN_OPEN)
		return bad_token(text, statement, title,
		    "write NAME = VALUE, transport NAME { ... }, "
		    "route DOMAIN { ... } or server HOST { ... }",
		    0);
	return CONFIG_TEXT_OPEN;
}

void
config_text_init(struct config_text *text, const char *in, size_t len)
{
	*text = (struct config_text){ .in = in, .len = len, .line = 1 };
}

enum config_text_event
config_text_next(struct config_text *text, struct config_statement *statement)
{
	struct token token = next_token(text);

	memset(statement, 0, sizeof(*statement));
	statement->name = token.at;
	statement->name_len = token.len;
	statement->line = token.line;
	if (token.kind == TOKEN_END)
		return CONFIG_TEXT_END;
	if (token.kind == TOKEN_CLOSE)
		return CONFIG_TEXT_CLOSE;
	if (token.kind != TOKEN_WORD)
		return bad_token(text, statement, &token,
		    "a statement begins with a name", 0);
	token = peek_token(text);
	if (token.kind == TOKEN_END || token.kind == TOKEN_CLOSE ||
	    token.line != statement->line)
		return bad(text, statement, statement->line,
		    "the name stands alone; write NAME = VALUE");
	(void)next_token(text); /* the one we have seen */
	if (token.kind == TOKEN_EQUALS)
		return set(text, statement);
	return open_block(text, statement, &token);
}

void
config_text_copy(char *out, const char *value, size_t len)
{
	char quote = '\0';
	bool comment = false, escaped = false;
	char c;

	for (size_t i = 0; i < len; i++) {
		c = value[i];
		if (c == '\n')
			comment = false;
		else if (quote == '\0' && c == '#')
			comment = true;
		if (comment || (unsigned char)c < ' ')
			c = ' ';
		else if (quote == '\0' && (c == '"' || c == '\''))
			quote = c;
		else if (quote != '\0' && c == quote && !escaped)
			quote = '\0';
		escaped = quote != '\0' && c == '\\' && !escaped;
		out[i] = c;
	}
	out[len] = '\0';
}
