/* SPDX-License-Identifier: ISC */
/* See idn.h. */
#include "common/idn.h"

#include <idn2.h>
#include <string.h>

#include "common/log.h"

bool
idn_to_ascii(const char *in, size_t n, char out[IDN_NAME_SIZE])
{
	char name[4 * IDN_NAME_SIZE];
	char *ascii = NULL;
	int error;
	bool ok;

	if (n >= sizeof(name) || memchr(in, '\0', n) != NULL)
		return false;
	memcpy(name, in, n);
	name[n] = '\0';
	error = idn2_to_ascii_8z(name, &ascii,
	    IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (error == IDN2_MALLOC)
		fatal("no memory"); /* that makes no address a wrong one */
	ok = error == IDN2_OK &&
	    strlcpy(out, ascii, IDN_NAME_SIZE) < IDN_NAME_SIZE;
	idn2_free(ascii);
	return ok;
}
