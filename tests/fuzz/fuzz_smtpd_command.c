/* SPDX-License-Identifier: ISC */
#include "master/intake/smtpd/smtpd_command.h"
#include "master/intake/smtpd/smtpd_xforward.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check_good(const struct smtpd_command *c)
{
	enum parameter_command command =
	    c->verb == SMTPD_VERB_MAIL ? PARAMETER_OF_MAIL : PARAMETER_OF_RCPT;
	struct smtpd_reply wrong;
	struct smtpd_xforward x;
	char parameters[PARAMETERS_MAIL_SIZE] = "";

	if (c->verb == SMTPD_VERB_MAIL || c->verb == SMTPD_VERB_RCPT) {
		assert(parameters_check(c->parameters, command) == NULL);
		assert(strpbrk(c->path.path, "\r\n") == NULL);
		assert(c->verb == SMTPD_VERB_MAIL || c->path.path[0] != '\0');
		assert(c->uses >> SMTPD_CAN_COUNT == 0);
	}
	if (c->verb != SMTPD_VERB_XFORWARD)
		return;
	memset(&x, 0, sizeof(x));
	if (!smtpd_xforward_read(&x, c->rest, c->rest_len, &wrong))
		assert(wrong.code == 501);
	smtpd_xforward_add(&x, parameters);
	assert(parameters_check(parameters, PARAMETER_OF_MAIL) == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct smtpd_command c;
	struct smtpd_reply wrong = { 0 };

	const char *origin = n > 0 && data[0] % 2 == 0 ? "here.test" : "";

	if (smtpd_command_parse(&c, (const char *)data, n, origin, &wrong)) {
		assert(memchr(c.name, '\0', sizeof(c.name)) != NULL);
		check_good(&c);
	} else {
		assert(wrong.code >= 500 && wrong.code < 560);
		assert(wrong.dsn != NULL && wrong.text != NULL);
	}
	assert(c.verb < SMTPD_VERB_COUNT);
	return 0;
}
