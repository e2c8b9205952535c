/* SPDX-License-Identifier: ISC */
/* The client's part of a replay: the same messages, and what becomes of them. */
#ifndef POSTERN_MASTER_CONTROL_REPLAY_REPLAY_CLIENT_H
#define POSTERN_MASTER_CONTROL_REPLAY_REPLAY_CLIENT_H

#include "master/control/replay/replay_plan.h"

enum rerun_end {
	RERUN_SAME,
	RERUN_DIFFERS,
	RERUN_FAILED, /* said on stderr */
};

/*
 * rerun_prepare - find out which messages the session had, from what the queue
 * wrote and from the commands that were sent.  0, or -1 after a word on stderr.
 */
int rerun_prepare(struct script *s, const struct play *p);

struct rerun_show {
	bool verbose; /* the dialogue, on stderr */
	bool json;    /* what is printed is objects */
};

/* Deliver them to the server that plays at that port of 127.0.0.1. */
enum rerun_end rerun(const struct script *s, const struct play *p,
    uint16_t port, const struct play_timer *hurry,
    const struct rerun_show *show);

#endif
