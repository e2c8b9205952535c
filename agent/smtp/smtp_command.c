/* SPDX-License-Identifier: ISC */
/*
 * The command writer.  A line is put together behind what the buffer holds,
 * and counts only when it is whole and within its limit.
 */
#include "agent/smtp/smtp_command.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct line {
	struct command_out *out;
	size_t len;
	size_t max;
	enum command_error error;
};

static void
put(struct line *line, const char *text, size_t n)
{
	size_t room = line->out->size - line->out->len - line->len;

	if (line->error != COMMAND_OK)
		return;
	if (n > line->max - line->len) {
		line->error = COMMAND_TOO_LONG;
	} else if (n > room) {
		line->error = COMMAND_NO_ROOM;
	} else {
		memcpy(line->out->octets + line->out->len + line->len, text, n);
		line->len += n;
	}
}

static void
put_text(struct line *line, const char *text)
{
	put(line, text, strlen(text));
}

static void
put_number(struct line *line, uint64_t number)
{
	char digits[21];
	int len;

	len = snprintf(digits, sizeof(digits), "%" PRIu64, number);
	put(line, digits, (size_t)len);
}

/* A word of the caller's: no octet of it may end the word or the line. */
static void
put_argument(struct line *line, const char *text, const char *syntax)
{
	for (const char *c = text; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f ||
		    strchr(syntax, *c) != NULL)
			line->error = COMMAND_BAD_OCTET;
	put_text(line, text);
}

/* Between its brackets; ">" is a part of it within a quoted string alone. */
static void
put_path(struct line *line, const char *path)
{
	bool quoted = false;

	for (const char *c = path; *c != '\0'; c++) {
		if (*c == '"')
			quoted = !quoted;
		else if (*c == '\\' && quoted && c[1] != '\0')
			c++;
		else if (*c == '>' && !quoted)
			line->error = COMMAND_BAD_OCTET;
	}
	put_text(line, "<");
	put_argument(line, path, "");
	put_text(line, ">");
}

/* RFC 5321, 4.5.3.1: a server must take 512 octets with a path of 256, and may take
 * more; a longer path is not refused before it was asked. */
static size_t
path_extra(const char *path)
{
	size_t n = strlen(path);

	return n > COMMAND_PATH_USUAL ? n - COMMAND_PATH_USUAL : 0;
}

/* The next of those that the server offers. */
static bool
next_offered(const char **text, uint32_t offered, struct parameter_word *word)
{
	while (parameters_next(text, word))
		if (word->parameter != PARAMETER_COUNT &&
		    (offered >> word->parameter & 1) != 0)
			return true;
	return false;
}

/* By so much they lengthen the line that may be. */
static size_t
granted(const char *text, uint32_t offered)
{
	struct parameter_word word;
	size_t octets = 0;

	while (next_offered(&text, offered, &word))
		octets += parameter_descs[word.parameter].octets;
	return octets;
}

static void
put_parameters(struct line *line, const char *text, uint32_t offered)
{
	struct parameter_word word;

	while (next_offered(&text, offered, &word)) {
		for (size_t i = 0; i < word.len; i++)
			if (word.text[i] <= ' ' || word.text[i] > '~')
				line->error = COMMAND_BAD_OCTET;
		put_text(line, " ");
		put(line, word.text, word.len);
	}
}

static void
begin(struct line *line, struct command_out *out, size_t extra)
{
	line->out = out;
	line->len = 0;
	line->max = COMMAND_LINE_MAX + extra;
	line->error = COMMAND_OK;
}

static enum command_error
end(struct line *line)
{
	put_text(line, "\r\n");
	if (line->error == COMMAND_OK)
		line->out->len += line->len;
	return line->error;
}

enum command_error
smtp_command_write_hello(struct command_out *out, enum command_hello verb,
    const char *name)
{
	static const char *const verbs[] = {
		[COMMAND_EHLO] = "EHLO ",
		[COMMAND_LHLO] = "LHLO ",
		[COMMAND_HELO] = "HELO ",
	};
	struct line line;

	begin(&line, out, 0);
	put_text(&line, verbs[verb]);
	put_argument(&line, name, " ");
	return end(&line);
}

enum command_error
smtp_command_write_word(struct command_out *out, enum command_word word)
{
	static const char *const words[] = {
		[COMMAND_STARTTLS] = "STARTTLS",
		[COMMAND_DATA] = "DATA",
		[COMMAND_RSET] = "RSET",
		[COMMAND_NOOP] = "NOOP",
		[COMMAND_QUIT] = "QUIT",
	};
	struct line line;

	begin(&line, out, 0);
	put_text(&line, words[word]);
	return end(&line);
}

enum command_error
smtp_command_write_mail(struct command_out *out, const char *reverse_path,
    const struct command_mail *mail)
{
	static const char *const bodies[] = {
		[COMMAND_BODY_NONE] = "",
		[COMMAND_BODY_8BITMIME] = " BODY=8BITMIME",
		[COMMAND_BODY_BINARYMIME] = " BODY=BINARYMIME",
	};
	const char *parameters =
	    mail->parameters != NULL ? mail->parameters : "";
	struct line line;

	begin(&line, out,
	    (mail->has_size ? COMMAND_SIZE_EXTRA : 0u) +
		(mail->body == COMMAND_BODY_BINARYMIME ? COMMAND_BINARY_EXTRA
						       : 0u) +
		(mail->smtputf8 ? COMMAND_UTF8_EXTRA : 0u) +
		(mail->require_tls ? COMMAND_REQUIRETLS_EXTRA : 0u) +
		path_extra(reverse_path) + granted(parameters, mail->offered));
	put_text(&line, "MAIL FROM:");
	put_path(&line, reverse_path);
	if (mail->has_size) {
		put_text(&line, " SIZE=");
		put_number(&line, mail->size);
	}
	put_text(&line, bodies[mail->body]);
	if (mail->smtputf8)
		put_text(&line, " SMTPUTF8");
	if (mail->require_tls)
		put_text(&line, " REQUIRETLS");
	put_parameters(&line, parameters, mail->offered);
	return end(&line);
}

enum command_error
smtp_command_write_rcpt(struct command_out *out, const char *forward_path,
    const char *parameters, uint32_t offered)
{
	struct line line;

	begin(&line, out,
	    path_extra(forward_path) + granted(parameters, offered));
	put_text(&line, "RCPT TO:");
	put_path(&line, forward_path);
	put_parameters(&line, parameters, offered);
	return end(&line);
}

enum command_error
smtp_command_write_auth(struct command_out *out, const char *mechanism,
    const char *initial)
{
	struct line line;

	begin(&line, out, 0);
	put_text(&line, "AUTH ");
	put_argument(&line, mechanism, " ");
	if (initial != NULL) {
		put_text(&line, " ");
		put_argument(&line, initial, " ");
	}
	return end(&line);
}

enum command_error
smtp_command_write_response(struct command_out *out, const char *response)
{
	struct line line;

	begin(&line, out, COMMAND_AUTH_MAX - COMMAND_LINE_MAX);
	put_argument(&line, response, " ");
	return end(&line);
}

bool
smtp_command_write_client(struct command_out *out, enum command_client verb,
    const char **at, uint32_t offered)
{
	struct parameter_word word;
	struct line line;
	const char *next = *at;
	size_t words = 0;

	begin(&line, out, 0);
	put_text(&line, verb == COMMAND_XCLIENT ? "XCLIENT" : "XFORWARD");
	while (next_offered(&next, offered, &word) &&
	    line.len + 1 + word.len + 2 <= COMMAND_LINE_MAX) {
		put_text(&line, " ");
		put(&line, word.text, word.len);
		words++;
		*at = next;
	}
	return words > 0 && end(&line) == COMMAND_OK;
}

enum command_error
smtp_command_write_vrfy(struct command_out *out, const char *path,
    bool smtputf8)
{
	struct line line;

	begin(&line, out, 0);
	put_text(&line, "VRFY ");
	put_argument(&line, path, ">");
	if (smtputf8)
		put_text(&line, " SMTPUTF8");
	return end(&line);
}

enum command_error
smtp_command_write_bdat(struct command_out *out, uint64_t octets, bool last)
{
	struct line line;

	begin(&line, out, 0);
	put_text(&line, "BDAT ");
	put_number(&line, octets);
	if (last)
		put_text(&line, " LAST");
	return end(&line);
}
