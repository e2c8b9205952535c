/* SPDX-License-Identifier: ISC */
/*
 * A server that says whatever it likes to a login.  The first octet chooses the
 * mechanism; each line behind it is a challenge, as AUTH has it.
 */
#include "agent/session/sasl.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnop"
			     "qrstuvwxyz0123456789+/=";

/* The name of a mechanism, so that it does all that it can. */
static enum auth_mechanism
begin(uint8_t octet)
{
	static const struct sasl_binding binding = { true, 32, { 1, 2, 3 } };
	static const struct sasl_login login = { "user", "boss", "pencil",
		"mx.example.org", &binding };
	enum auth_mechanism mechanism = octet % AUTH_MECHANISM_COUNT;

	assert(sasl_client_start(mechanism, &login) == 0);
	return mechanism;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static char response[SASL_RESPONSE_SIZE];
	enum auth_mechanism mechanism;
	const uint8_t *lf;
	size_t len;

	if (n == 0)
		return 0;
	assert(sasl_warm_up() == 0);
	mechanism = begin(data[0]);
	data++;
	n--;
	(void)sasl_text_iterations((const char *)data, n);
	if (auth_mechanism_is_client_first(mechanism))
		assert(sasl_client_step(NULL, 0, response) == 0);
	for (; n > 0; data += len, n -= len) {
		lf = memchr(data, '\n', n);
		len = lf == NULL ? n : (size_t)(lf - data) + 1;
		memset(response, '!', sizeof(response));
		if (sasl_client_step(data, len - (lf != NULL), response) ==
		    -1) {
			assert(sasl_client_error()[0] != '\0');
			break;
		}
		assert(memchr(response, '\0', sizeof(response)) != NULL);
		assert(response[strspn(response, base64)] == '\0');
		/* It does not know the password, and cannot seem to. */
		assert(!sasl_keeps_secret(mechanism) ||
		    mechanism == AUTH_MECHANISM_CRAM_MD5 ||
		    !sasl_client_is_done());
	}
	sasl_client_stop();
	return 0;
}
