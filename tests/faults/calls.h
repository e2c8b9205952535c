/* SPDX-License-Identifier: ISC */
/*
 * What calls.c asks, for each call in wrapped.def that a process makes, of the
 * program that it is linked into: faults.c, or program.c.
 */
#ifndef TESTS_FAULTS_CALLS_H
#define TESTS_FAULTS_CALLS_H

#include <stdbool.h>
#include <stddef.h>

enum fault_kind {
	NONE,
	MEMORY,
	FD,
	SEND,
	STORE,
	IO,
};

/* Whether this call of name, from where, is to fail. */
bool faults_fails(enum fault_kind kind, const char *name, void *where);

/* Whether what failed once fails from then on. */
bool faults_go_on(void);

/* jansson takes its memory from here: then that can fail, too. */
void *calls_json_malloc(size_t n);

#endif
