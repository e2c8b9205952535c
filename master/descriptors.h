/* SPDX-License-Identifier: ISC */
/*
 * How the queue shares out the descriptors that a process may have
 * (RLIMIT_NOFILE): to messages in memory, to jobs that are not whole yet, and the
 * rest to sessions.  Pure.
 */
#ifndef POSTERN_MASTER_DESCRIPTORS_H
#define POSTERN_MASTER_DESCRIPTORS_H

#include <stdint.h>

/* Bodies of stored messages; as many again of those that are not stored. */
uint32_t descriptors_bodies(uint64_t limit);

/* Jobs that are not whole yet. */
uint32_t descriptors_half_jobs(uint64_t limit);

/* Sessions, at least one. */
uint32_t descriptors_sessions(uint64_t limit);

/* The least limit with which there can be so many sessions. */
uint64_t descriptors_wanted(uint32_t sessions);

#endif
