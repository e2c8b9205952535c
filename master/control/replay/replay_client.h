/* SPDX-License-Identifier: ISC */
/* The client's part of a replay: the same messages, and what becomes of them. */
#ifndef POSTERN_MASTER_CONTROL_REPLAY_REPLAY_CLIENT_H
#define POSTERN_MASTER_CONTROL_REPLAY_REPLAY_CLIENT_H

#include "master/control/replay/replay_plan.h"

enum replay_client_end {
	REPLAY_CLIENT_SAME,
	REPLAY_CLIENT_DIFFERS,
	REPLAY_CLIENT_FAILED, /* said on stderr */
};

/*
 * replay_client_prepare - find out which messages the session had, from what the queue
 * wrote and from the commands that were sent.  0, or -1 after a word on stderr.
 */
int replay_client_prepare(struct replay_script *s, const struct replay_plan *p);

struct rerun_show {
	bool verbose; /* the dialogue, on stderr */
	bool json;    /* what is printed is objects */
};

/* Deliver them to the server that plays at that port of 127.0.0.1. */
enum replay_client_end replay_client_run(const struct replay_script *s,
    const struct replay_plan *p, uint16_t port,
    const struct replay_plan_timer *hurry, const struct rerun_show *show);

#endif
