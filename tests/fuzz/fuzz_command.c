/* SPDX-License-Identifier: ISC */
#include "agent/smtp/smtp_command.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct command_mail mail = { n % 2 != 0, n % 5 != 0, n % 7 != 0,
		(enum command_body)(n % 3), n, NULL, 0 };
	uint8_t octets[2400];
	struct command_out out = { octets, sizeof(octets), 0 };
	char text[1024];
	size_t lines = 0;

	if (n >= sizeof(text))
		return 0;
	memcpy(text, data, n);
	text[n] = '\0';
	lines +=
	    smtp_command_write_hello(&out, COMMAND_EHLO, text) == COMMAND_OK;
	lines += smtp_command_write_mail(&out, text, &mail) == COMMAND_OK;
	lines += smtp_command_write_rcpt(&out, text, "", 0) == COMMAND_OK;
	lines +=
	    smtp_command_write_rcpt(&out, "a", text, UINT32_MAX) == COMMAND_OK;
	assert(out.len <= sizeof(octets));
	/* As many line ends as commands, whatever the argument was. */
	for (size_t i = 0; i < out.len; i++) {
		assert(octets[i] != '\0');
		if (octets[i] == '\r')
			assert(i + 1 < out.len && octets[i + 1] == '\n');
		if (octets[i] == '\n')
			lines--;
	}
	assert(lines == 0);
	return 0;
}
