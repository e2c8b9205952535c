/* SPDX-License-Identifier: ISC */
/* See utf8.h. */
#include "common/utf8.h"

bool
utf8_take(struct utf8 *u, uint8_t octet)
{
	if (u->left > 0) {
		if (octet < u->least || octet > u->most)
			return false;
		u->left--;
		u->least = 0x80;
		u->most = 0xbf;
		return true;
	}
	u->least = 0x80;
	u->most = 0xbf;
	if (octet < 0x80)
		return true;
	if (octet < 0xc2 || octet > 0xf4)
		return false;
	u->left = octet < 0xe0 ? 1 : octet < 0xf0 ? 2 : 3;
	/* Longer forms than needed, surrogates, beyond U+10FFFF. */
	if (octet == 0xe0)
		u->least = 0xa0;
	else if (octet == 0xed)
		u->most = 0x9f;
	else if (octet == 0xf0)
		u->least = 0x90;
	else if (octet == 0xf4)
		u->most = 0x8f;
	return true;
}

size_t
utf8_span(const char *in, size_t n)
{
	struct utf8 u = { 0 };
	size_t i;

	for (i = 0; i < n; i++) {
		if (!utf8_take(&u, (uint8_t)in[i]))
			return 0;
		if (u.left == 0)
			return i + 1;
	}
	return 0;
}

bool
utf8_is_valid(const char *in, size_t n)
{
	struct utf8 u = { 0 };

	for (size_t i = 0; i < n; i++)
		if (!utf8_take(&u, (uint8_t)in[i]))
			return false;
	return u.left == 0;
}
