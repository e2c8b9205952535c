/* SPDX-License-Identifier: ISC */
/* A session takes what it is given, says no more than it has room for, and a
 * message is answered as often as it has to be. */
#include "master/intake/smtpd/smtpd_session.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct smtpd_reply no = { 450, "4.0.0", "no" };

static void
decide(struct smtpd_session *s, bool yes)
{
	if (yes)
		smtpd_session_accept(s);
	else
		smtpd_session_refuse(s, &no);
}

static void
drop_output(struct smtpd_session *s)
{
	const char *out;
	size_t n;

	out = smtpd_session_out(s, &n);
	assert(n <= SMTPD_OUT_SIZE);
	assert(n == 0 || out[n - 1] == '\n');
	smtpd_session_written(s, n);
}

/* False: it is over. */
static bool
handle(struct smtpd_session *s, enum smtpd_event event, uint8_t choice)
{
	size_t n;

	switch (event) {
	case SMTPD_MAIL:
	case SMTPD_RCPT:
	case SMTPD_BEGIN:
		decide(s, (choice & 7) != 7);
		break;
	case SMTPD_CONTENT:
		assert(smtpd_session_content(s, &n) != NULL && n > 0);
		break;
	case SMTPD_MESSAGE:
		assert(smtpd_session_owed(s) > 0);
		while (smtpd_session_owed(s) > 0)
			if (!smtpd_session_answer(s, &no))
				drop_output(s);
		break;
	case SMTPD_REFUSED:
		assert(smtpd_session_refusal(s)->code >= 400);
		break;
	case SMTPD_STARTTLS:
		smtpd_session_tls_is_up(s);
		break;
	case SMTPD_CLOSE:
		return false;
	case SMTPD_RESET:
	case SMTPD_MORE:
		break;
	}
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t *scratch = malloc(1024); /* its end is watched */
	struct smtpd_policy p = { .size_limit = 4096,
		.rcpt_limit = 5,
		.error_limit = 20,
		.junk_limit = 10,
		.line_limit = 1024,
		.hostname = "mx.test" };
	struct smtpd_session *s;
	enum smtpd_event event;
	size_t used, most, piece;

	if (n < 3) {
		free(scratch);
		return 0;
	}
	p.lmtp = data[0] & 1;
	p.normalize = data[0] & 2;
	p.trusted = data[0] & 4;
	p.one_recipient = data[0] & 8;
	p.offers = data[0] & 16 ? UINT32_MAX : UINT32_MAX >> 26;
	piece = 1 + 4 * (size_t)data[1];
	s = malloc(smtpd_session_size(&p));
	assert(s != NULL && scratch != NULL);
	smtpd_session_init(s, &p, scratch, 1024);
	data += 2;
	n -= 2;
	while (n > 0) {
		most = n < piece ? n : piece;
		event = smtpd_session_feed(s, data, most, &used);
		assert(used <= most);
		if (!handle(s, event, data[0]))
			break;
		data += used;
		n -= used;
		if (event == SMTPD_MORE && used == 0)
			drop_output(s);
	}
	free(s);
	free(scratch);
	return 0;
}
