/* SPDX-License-Identifier: ISC */
/*
 * What came of a reload, in a file beside the pid file that only the user who may
 * ask for one can read.  Who asks notes the time (CLOCK_MONOTONIC), sends SIGHUP,
 * and waits for a verdict of a reload that began later.
 */
#ifndef POSTERN_MASTER_VERDICT_H
#define POSTERN_MASTER_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VERDICT_SIZE 16384

struct verdict {
	int64_t begun_ns;    /* CLOCK_MONOTONIC */
	uint32_t generation; /* of the configuration that is in force now */
	bool taken;          /* the new one, and all roles have it */
	const char *reasons; /* else: lines */
};

/* Write it for the daemon of that pid file; 0, or -1 with errno. */
int verdict_write(const char *pid_file, const struct verdict *v);

void verdict_remove(const char *pid_file);

/*
 * verdict_read - the one that is there, its text in `text` of VERDICT_SIZE octets.
 *
 * 0, or -1: there is none, or it is not whole.
 */
int verdict_read(const char *pid_file, char *text, struct verdict *v);

#endif
