/* SPDX-License-Identifier: ISC */
/* See idn.h. */
#include "common/idn.h"

#include <idn2.h>
#include <string.h>

bool
idn_to_ascii(const char *in, size_t n, char out[IDN_NAME_SIZE])
{
	char name[4 * IDN_NAME_SIZE];
	char *ascii = NULL;
	bool ok;

	if (n >= sizeof(name) || memchr(in, '\0', n) != NULL)
		return false;
	memcpy(name, in, n);
	name[n] = '\0';
	ok = idn2_to_ascii_8z(name, &ascii,
		 IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK &&
	    strlcpy(out, ascii, IDN_NAME_SIZE) < IDN_NAME_SIZE;
	idn2_free(ascii);
	return ok;
}
