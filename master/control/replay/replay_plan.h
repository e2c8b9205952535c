/* SPDX-License-Identifier: ISC */
/*
 * A server that says again what one did in a transcript: the octets it said, cut
 * as they came and as late, each once the client has sent what they answered.
 */
#ifndef POSTERN_MASTER_CONTROL_REPLAY_REPLAY_PLAN_H
#define POSTERN_MASTER_CONTROL_REPLAY_REPLAY_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "master/control/replay/replay_script.h"

/* One connection of a script, made ready to be played. */
struct replay_plan {
	const struct replay_script *script;
	struct replay_script_event *events; /* owned */
	size_t n;
	bool in_clear;     /* what was said inside TLS is said without */
	bool without_auth; /* a login that went well is left out */
	const char *why;   /* it cannot be played: a sentence; else NULL */
	bool refuses;      /* nobody listens */
	bool is_mute;      /* nobody takes the connection */
	bool stalls;       /* it does not read what it is sent */
	bool is_paced;     /* it takes a message no faster than then */
	bool races;        /* who is first decides what comes of it */
};

/*
 * replay_plan_choose - the connection whose failure became the session's, or the last.
 *
 * 0 with what is to be played (its `why` says where it cannot be), or -1 with
 * no memory.  with_auth: the client will log in as it did then.
 */
int replay_plan_choose(struct replay_plan *p, const struct replay_script *s,
    bool with_auth);

/* Cut short what waiting no outcome hangs on; scaled holds the timer that
 * fired, where one did, and how long it is now. */
struct replay_plan_timer {
	unsigned timer; /* enum session_timer; TIMER_COUNT: none fired */
	uint32_t ms;
};
void replay_plan_hurry(struct replay_plan *p, struct replay_plan_timer *scaled);

void replay_plan_clear(struct replay_plan *p);

/*
 * replay_server_listen - a socket for it, bound to address ("127.0.0.1") and port (0:
 * any), with the port in *portp.  Listens but where the script refuses.
 *
 * -1 with errno.
 */
int replay_server_listen(const struct replay_plan *p, const char *address,
    uint16_t port, uint16_t *portp);

/* Play it to everybody who connects; once: to the first one alone. */
void replay_server_run(const struct replay_plan *p, int listen_fd, bool once);

#endif
