/* SPDX-License-Identifier: ISC */
/*
 * Conversion, twice: of any octets, where what is written must be what was asked for
 * however the input is cut; and of a message whose parts are known, where each part
 * is found again, its encoding undone, as it was.
 */
#include "agent/message/mime.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define IN_MAX 16384

static struct mime m;

static size_t
pass(const uint8_t *in, size_t n, size_t piece, uint8_t *out)
{
	static uint8_t room[MIME_ROOM_MIN];
	size_t len = 0, used, wrote;

	while (n > 0 && m.error == MIME_OK) {
		wrote = mime_convert(&m, in, n < piece ? n : piece, &used, room,
		    sizeof(room));
		assert(used > 0 || m.error != MIME_OK);
		assert(wrote <= sizeof(room));
		memcpy(out + len, room, wrote);
		len += wrote;
		in += used;
		n -= used;
	}
	wrote = mime_end(&m, room);
	assert(wrote <= sizeof(room));
	memcpy(out + len, room, wrote);
	return len + wrote;
}

/* A message that is known. */

enum {
	PARTS_MAX = 64,
	DEPTH_MAX = 4,
	CONTENT_MAX = 2048,
};

enum kind {
	KIND_LEAF,
	KIND_MULTIPART,
	KIND_MESSAGE,
};

/* In the order of their headers. */
static struct part {
	enum kind kind;
	bool is_message;
	unsigned int children;
	size_t begins; /* its content, in written */
	size_t len;
} parts[PARTS_MAX];

static size_t nparts, written_len;
static uint8_t written[8 * IN_MAX];
static const uint8_t *seed;
static size_t seeds;

static uint8_t
draw(void)
{
	if (seeds == 0)
		return 0;
	seeds--;
	return *seed++;
}

static void
write_text(const char *text)
{
	memcpy(written + written_len, text, strlen(text));
	written_len += strlen(text);
}

/* Any octets but "-", so that no line of it is a boundary. */
static void
write_content(struct part *part)
{
	size_t n = (size_t)draw() * (draw() % 8);

	part->begins = written_len;
	for (; n > 0 && seeds > 0 && part->len < CONTENT_MAX; n--) {
		uint8_t c = draw();

		if (c == '\n' && draw() % 8 > 0)
			written[written_len++] = '\r';
		written[written_len++] = c == '-' ? '=' : c;
		part->len = written_len - part->begins;
	}
}

static void write_part(bool is_message, unsigned int depth);

static void
write_children(struct part *part, size_t number, unsigned int depth)
{
	char line[32];

	part->children = 1 + draw() % 3;
	for (unsigned int i = 0; i < part->children; i++) {
		(void)snprintf(line, sizeof(line), "%s--b%02zu\r\n",
		    i > 0 ? "\r\n" : "", number);
		write_text(line);
		write_part(false, depth + 1);
	}
	(void)snprintf(line, sizeof(line), "\r\n--b%02zu--\r\n", number);
	write_text(line);
}

static void
write_part(bool is_message, unsigned int depth)
{
	size_t number = nparts++;
	struct part *part = &parts[number];
	bool may_nest = depth < DEPTH_MAX && nparts + 4 * DEPTH_MAX < PARTS_MAX;
	char line[64];

	memset(part, 0, sizeof(*part));
	part->is_message = is_message;
	part->kind = may_nest ? (enum kind)(draw() % 3) : KIND_LEAF;
	if (is_message && draw() % 2 > 0)
		write_text("MIME-Version: 1.0\r\n");
	switch (part->kind) {
	case KIND_LEAF:
		write_text(draw() % 2 > 0 ? "Content-Type: text/plain\r\n\r\n"
					  : "Content-Type: a/b\r\n\r\n");
		write_content(part);
		break;
	case KIND_MULTIPART:
		(void)snprintf(line, sizeof(line),
		    "Content-Type: multipart/mixed; boundary=b%02zu\r\n\r\n",
		    number);
		write_text(line);
		write_children(part, number, depth);
		break;
	case KIND_MESSAGE:
		write_text("Content-Type: message/rfc822\r\n\r\n");
		part->children = 1;
		write_part(true, depth + 1);
		break;
	}
}

/* What came of it. */

static size_t
undo_quoted_printable(const char *in, size_t n, uint8_t *out)
{
	unsigned int octet;
	size_t len = 0, line = 0;

	for (size_t i = 0; i < n; i++) {
		line = in[i] == '\n' ? 0 : line + 1;
		assert(line <= 77); /* RFC 2045, 6.7, and a CR */
		if (in[i] != '=') {
			out[len++] = (uint8_t)in[i];
			continue;
		}
		assert(i + 2 < n);
		if (memcmp(in + i + 1, "\r\n", 2) != 0) {
			assert(sscanf(in + i + 1, "%2X", &octet) == 1);
			out[len++] = (uint8_t)octet;
		}
		line = in[i + 2] == '\n' ? 0 : line + 2;
		i += 2;
	}
	return len;
}

static size_t
undo_base64(const char *in, size_t n, uint8_t *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmn"
				     "opqrstuvwxyz0123456789+/";
	unsigned int bits = 0, held = 0;
	size_t len = 0;

	for (; n > 0 && *in != '='; n--, in++) {
		const char *digit = strchr(digits, *in);

		if (*in == '\r' || *in == '\n')
			continue;
		assert(*in != '\0' && digit != NULL);
		bits = (bits << 6 | (unsigned int)(digit - digits)) & 0xffff;
		held += 6;
		if (held >= 8) {
			held -= 8;
			out[len++] = (uint8_t)(bits >> held);
		}
	}
	return len;
}

static void
check_content(const struct part *part, const char *head, const char *body,
    size_t n)
{
	static uint8_t octets[8 * IN_MAX];
	size_t len = n;

	if (memmem(head, (size_t)(body - head), "Encoding: base64", 16) != NULL)
		len = undo_base64(body, n, octets);
	else if (memmem(head, (size_t)(body - head), "Encoding: quoted", 16) !=
	    NULL)
		len = undo_quoted_printable(body, n, octets);
	else
		memcpy(octets, body, n);
	assert(len == part->len);
	assert(memcmp(octets, written + part->begins, len) == 0);
}

static void check_part(size_t *number, const char *in, size_t n);

static void
check_children(const struct part *part, size_t mine, size_t *number,
    const char *in, size_t n)
{
	char line[32];
	size_t line_len =
	    (size_t)snprintf(line, sizeof(line), "\r\n--b%02zu", mine);
	const char *at = in + line_len; /* the first has no line end before */
	const char *next;

	assert(n > line_len && memcmp(in, line + 2, line_len - 2) == 0);
	for (unsigned int i = 0; i < part->children; i++) {
		next = memmem(at, (size_t)(in + n - at), line, line_len);
		assert(next != NULL);
		check_part(number, at, (size_t)(next - at));
		at = next + line_len + 2;
	}
	assert(memcmp(at - 2, "--", 2) == 0);
}

static void
check_part(size_t *number, const char *in, size_t n)
{
	size_t mine = (*number)++;
	const struct part *part = &parts[mine];
	const char *body = memmem(in, n, "\r\n\r\n", 4);

	assert(body != NULL);
	body += 4;
	/* RFC 2045, 4 */
	if (part->is_message &&
	    memmem(in, (size_t)(body - in), "\r\nContent-Transfer", 18) != NULL)
		assert(memmem(in, (size_t)(body - in), "MIME-Version:", 13) !=
		    NULL);
	n -= (size_t)(body - in);
	if (part->kind == KIND_LEAF)
		check_content(part, in, body, n);
	else if (part->kind == KIND_MULTIPART)
		check_children(part, mine, number, body, n);
	else
		check_part(number, body, n);
}

/* The octets make a message, which is converted and taken apart again. */
static void
convert_known(const uint8_t *data, size_t n, enum mime_target target,
    size_t piece)
{
	static uint8_t out[32 * IN_MAX];
	size_t len, number = 0;

	seed = data;
	seeds = n;
	nparts = written_len = 0;
	write_part(true, 0);
	mime_plan(&m, target);
	assert(pass(written, written_len, written_len, out) == 0);
	assert(m.error == MIME_OK);
	mime_write(&m);
	len = pass(written, written_len, piece, out);
	assert(m.error == MIME_OK);
	check_part(&number, (const char *)out, len);
	assert(number == nparts);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static uint8_t out[8 * IN_MAX + 4096], again[8 * IN_MAX + 4096];
	enum mime_target target;
	size_t len, piece;

	if (n < 2 || n > IN_MAX)
		return 0;
	target = data[0] & 1 ? MIME_TO_8BIT : MIME_TO_7BIT;
	piece = 1 + data[0] / 2;
	data++;
	n--;
	convert_known(data, n, target, piece);
	mime_plan(&m, target);
	assert(pass(data, n, n, out) == 0);
	if (m.error != MIME_OK)
		return 0;
	mime_write(&m);
	len = pass(data, n, n, out);
	assert(m.error == MIME_OK);
	mime_write(&m);
	assert(pass(data, n, piece, again) == len);
	assert(memcmp(out, again, len) == 0);
	for (size_t i = 0; i < len; i++) {
		assert(out[i] != '\0');
		assert(out[i] < 0x80 || target == MIME_TO_8BIT);
		if (out[i] == '\n')
			assert(i > 0 && out[i - 1] == '\r');
		else if (i > 0)
			assert(out[i - 1] != '\r');
	}
	return 0;
}
