/* SPDX-License-Identifier: ISC */
/* Whose words a reason is made of. */
#include "master/queue/reason.h"

#include <string.h>

#include <criterion/criterion.h>

#include "common/util.h"

#define MX "mx.example.org[192.0.2.1]:25"

static const struct {
	struct outcome outcome;
	const char *relay, *reply;
	const char *told; /* to people */
	const char *kept; /* by the store */
} cases[] = {
	{ { .status = OUTCOME_FAILED, .step = STEP_RCPT, .code = 550 }, MX,
	    "550 5.1.1 no such user",
	    "host " MX " said: 550 5.1.1 no such user (in reply to RCPT TO "
	    "command)",
	    "550 5.1.1 no such user (in reply to RCPT TO command)" },
	/* Our words are before theirs, and not in their mouth. */
	{ { .status = OUTCOME_FAILED, .step = STEP_GREETING, .code = 421 }, MX,
	    "delivery time expired: delivery temporarily suspended: 421 busy",
	    "delivery time expired: delivery temporarily suspended: host " MX
	    " said: 421 busy (in its greeting)",
	    "delivery time expired: delivery temporarily suspended: 421 busy "
	    "(in its greeting)" },
	{ { .status = OUTCOME_DEFERRED, .step = STEP_FINAL, .code = 452 }, MX,
	    "452-4.2.2 full", /* "-": it had more lines */
	    "host " MX " said: 452-4.2.2 full (in reply to end of DATA "
	    "command)",
	    "452-4.2.2 full (in reply to end of DATA command)" },
	/* No BDAT was sent to a server that says 550 right after its 354. */
	{ { .status = OUTCOME_FAILED, .step = STEP_BODY, .code = 550 }, MX,
	    "550 5.7.1 no",
	    "host " MX " said: 550 5.7.1 no (while the message was sent)",
	    "550 5.7.1 no (while the message was sent)" },
	/* What another host says of a third is still what it says. */
	{ { .status = OUTCOME_FAILED, .step = STEP_FINAL, .code = 550 }, MX,
	    "550 no (in reply to RCPT TO command)",
	    "host " MX " said: 550 no (in reply to RCPT TO command) (in reply "
	    "to end of DATA command)",
	    "550 no (in reply to RCPT TO command) (in reply to end of DATA "
	    "command)" },
	{ { .status = OUTCOME_DELIVERED, .step = STEP_FINAL, .code = 250 }, MX,
	    "250 2.0.0 ok", "250 2.0.0 ok", "250 2.0.0 ok" },
	/* Ours alone: there was no reply, or it is not one. */
	{ { .status = OUTCOME_DEFERRED, .step = STEP_CONNECT }, MX,
	    "cannot connect: Connection refused",
	    "cannot connect: Connection refused",
	    "cannot connect: Connection refused" },
	{ { .status = OUTCOME_DEFERRED, .step = STEP_MAIL, .code = 250 }, MX,
	    "protocol error: unexpected reply 250",
	    "protocol error: unexpected reply 250",
	    "protocol error: unexpected reply 250" },
	{ { .status = OUTCOME_FAILED, .step = STEP_RESOLVE, .code = 556 }, "",
	    "example.org accepts no mail", "example.org accepts no mail",
	    "example.org accepts no mail" },
	{ { .status = OUTCOME_FAILED, .step = STEP_RCPT, .code = 550 }, MX, "",
	    "", "" },
};

Test(reason, a_remote_is_quoted_and_nobody_else)
{
	char text[REASON_SIZE];

	for (size_t i = 0; i < NELEM(cases); i++) {
		reason_tell(text, sizeof(text), &cases[i].outcome,
		    cases[i].relay, cases[i].reply);
		cr_expect_str_eq(text, cases[i].told);
		reason_keep(text, sizeof(text), &cases[i].outcome,
		    cases[i].reply);
		cr_expect_str_eq(text, cases[i].kept);
	}
}

Test(reason, what_the_store_keeps_comes_back)
{
	char text[REASON_SIZE];
	unsigned step;

	for (size_t i = 0; i < NELEM(cases); i++) {
		step = reason_take(text, sizeof(text), cases[i].outcome.code,
		    cases[i].kept);
		cr_expect_str_eq(text, cases[i].reply);
		cr_expect_eq(step,
		    strcmp(cases[i].reply, cases[i].kept) == 0
			? STEP_QUEUE
			: cases[i].outcome.step);
	}
}

/* As rows of an older posternd are. */
Test(reason, a_reply_without_its_command_is_taken_as_it_is)
{
	char text[REASON_SIZE];

	cr_expect_eq(reason_take(text, sizeof(text), 421, "421 busy"),
	    STEP_QUEUE);
	cr_expect_str_eq(text, "421 busy");
}
