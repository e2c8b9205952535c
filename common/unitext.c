/* SPDX-License-Identifier: ISC */
/* See unitext.h. */
#include "common/unitext.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/utf8.h"

/* EmbeddedUnicodeChar, without its leading zeros.  Its octets, or 0. */
static size_t
embedded_span(const char *text)
{
	size_t n;

	if (strncmp(text, "\\x{", 3) != 0)
		return 0;
	n = strspn(text + 3, "0123456789ABCDEF");
	return n >= 2 && n <= 6 && text[3 + n] == '}' ? n + 4 : 0;
}

/* Of a character that utf8_span() found to be one. */
static uint32_t
code_point(const char *text, size_t n)
{
	uint32_t code = (uint8_t)text[0];

	if (n > 1)
		code &= 0x7fu >> n;
	for (size_t i = 1; i < n; i++)
		code = code << 6 | ((uint8_t)text[i] & 0x3f);
	return code;
}

/* QCHAR */
static bool
stands_for_itself(char c)
{
	return c > ' ' && c <= '~' && c != '\\' && c != '+' && c != '=';
}

bool
unitext_encode(const char *text, char *out, size_t size)
{
	size_t len = 0, n;

	for (; *text != '\0'; text += n) {
		n = embedded_span(text);
		if (n == 0 && stands_for_itself(*text))
			n = 1;
		if (n > 0) {
			if (size - len <= n)
				return false;
			memcpy(out + len, text, n);
			len += n;
			continue;
		}
		n = utf8_span(text, strnlen(text, 4));
		if (n == 0 || (n == 1 && (*text < ' ' || *text == 0x7f)))
			return false;
		len += (size_t)snprintf(out + len, size - len, "\\x{%02X}",
		    code_point(text, n));
		if (len >= size)
			return false;
	}
	if (len >= size)
		return false;
	out[len] = '\0';
	return true;
}
