/* SPDX-License-Identifier: ISC */
/* The states of a session, and the timer that runs in each. */
#include "agent/session/session_internal.h"

static const struct state_desc {
	uint8_t step;
	uint8_t timer; /* TIMER_COUNT: none */
	const char *waiting;
} states[] = {
#define STATE(name, step, timer, waiting)                                      \
	[STATE_##name] = { step, timer, waiting },
#include "agent/session/session_states.def"
#undef STATE
};

unsigned
session_state_timer(const struct session *s)
{
	return states[s->state].timer;
}

uint8_t
session_state_step(const struct session *s)
{
	return states[s->state].step;
}

const char *
session_state_waiting(const struct session *s)
{
	return states[s->state].waiting;
}

void
session_state_enter(struct session *s, enum session_state state)
{
	uint8_t timer = states[state].timer;

	/* After 421 there is little to wait for. */
	if (s->goodbye && timer != TIMER_COUNT)
		timer = TIMER_QUIT;
	s->state = state;
	s->ops->set_timer(s->arg,
	    timer == TIMER_COUNT ? 0 : s->conf.timer_ms[timer]);
}
