/* SPDX-License-Identifier: ISC */
/*
 * The n-th call fails: of memory, descriptors, sendmsg() and the store, once or
 * from then on.  Which calls these are is in wrapped.def.
 *
 * A scenario is run in a process of its own for each n, with both sanitizers;
 * what it calls between faults_arm() and faults_disarm() is counted, and fails.
 * At its end no memory may be lost and no descriptor be left over.
 */
#ifndef TESTS_FAULTS_FAULTS_H
#define TESTS_FAULTS_FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct scenario {
	const char *name;
	void (*run)(void);
};

extern const struct scenario config_scenario, job_scenario, schedule_scenario,
    store_scenario, worker_scenario, queue_scenarios[], front_scenarios[];

/* From here on calls count; in a child too, which counts on from here. */
void faults_arm(void);
void faults_disarm(void);

/* Whether a call was made to fail. */
bool faults_fired(void);

/* Whether no further call will fail: all is to work as ever. */
bool faults_are_over(void);

/* A role that ends by _exit() has no client any more: its descriptors count. */
void faults_role_may_end(void);

/* Ends this run as a failed one. */
void faults_fail(const char *format, ...)
    __attribute__((format(printf, 1, 2), noreturn));

/* Open descriptors, the standard ones left out. */
unsigned faults_descriptors(void);

/* A fresh folder, in memory where there is such a place; gone at the end. */
const char *faults_folder(void);

#endif
