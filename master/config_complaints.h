/* SPDX-License-Identifier: ISC */
/*
 * The errors of a configuration, gathered in any order and reported in that of
 * their lines.
 */
#ifndef MASTER_CONFIG_COMPLAINTS_H
#define MASTER_CONFIG_COMPLAINTS_H

#include <stdbool.h>
#include <stddef.h>

#include "master/config.h"

struct complaint {
	int line; /* 0: of no line */
	char what[CONFIG_ERROR_SIZE];
};

struct complaints {
	struct complaint list[CONFIG_ERRORS_MAX]; /* by line */
	size_t used;
	size_t count; /* also those that found no room */
	bool no_memory; /* what was read is not whole: nothing is checked */
};

/*
 * Keeps the first complaint of each line: what follows it there is most often
 * its echo.  Of too many, those of the first lines stay.
 */
void complain(struct complaints *complaints, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void complain_memory(struct complaints *complaints);

/* Writes them out, each with its file and the line there. */
void complaints_report(const struct complaints *complaints, const char *name,
    const struct config_places *places, struct config_errors *errors);

#endif
