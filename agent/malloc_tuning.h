/* SPDX-License-Identifier: ISC */
/*
 * The heap that workers inherit.  They may neither map nor extend memory, so
 * what they will need is there before they are forked; and their pages stay
 * shared as long as they do not allocate from the holes of the agent's.
 */
#ifndef POSTERN_AGENT_MALLOC_TUNING_H
#define POSTERN_AGENT_MALLOC_TUNING_H

/* At the agent's start, before anything else allocates. */
void malloc_tuning_set(void);

/*
 * After everything that lives as long as the agent is allocated: use up the
 * holes, and leave MALLOC_TUNING_SPARE octets in one piece for whoever is forked.
 */
void malloc_tuning_settle(void);

#define MALLOC_TUNING_SPARE (4 * 1024 * 1024)

#endif
