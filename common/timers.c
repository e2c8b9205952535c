/* SPDX-License-Identifier: ISC */
#include "common/timers.h"

#include "common/message.h"

static const char *const names[TIMER_COUNT] = {
	[TIMER_CONNECT] = "connect_timeout",
	[TIMER_GREETING] = "greeting_timeout",
	[TIMER_EHLO] = "helo_timeout",
	[TIMER_STARTTLS] = "starttls_timeout",
	[TIMER_MAIL] = "mail_timeout",
	[TIMER_RCPT] = "rcpt_timeout",
	[TIMER_DATA_INIT] = "data_init_timeout",
	[TIMER_DATA_BLOCK] = "data_xfer_timeout",
	[TIMER_DATA_FINAL] = "data_done_timeout",
	[TIMER_QUIT] = "quit_timeout",
	[TIMER_AUTH] = "auth_timeout",
	[TIMER_SESSION] = "session_timeout",
};

_Static_assert(TIMER_COUNT == 12, "a timer without a name");

const char *
timer_name(unsigned timer)
{
	const char *name = timer < TIMER_COUNT ? names[timer] : NULL;

	return name != NULL ? name : "timer?";
}
