/* SPDX-License-Identifier: ISC */
/* The timers of a session by the names that postern.conf has for them. */
#ifndef POSTERN_COMMON_TIMERS_H
#define POSTERN_COMMON_TIMERS_H

/* "helo_timeout" for TIMER_EHLO; "timer?" for what is none. */
const char *timer_name(unsigned timer);

#endif
