/* SPDX-License-Identifier: ISC */
/* What the files that load a configuration share, and nobody else sees. */
#ifndef POSTERN_MASTER_LOAD_INTERNAL_H
#define POSTERN_MASTER_LOAD_INTERNAL_H

#include <sys/types.h>

#include <stdint.h>

#include "master/load.h"

struct loading {
	const char *name;
	struct load *load;
	struct config_errors *errors;
};

/* One error more; line 0: of no line. */
void load_wrong(struct loading *l, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The group of that name; empty: (gid_t)-1, our own. */
gid_t load_group(struct loading *l, const char *param, const char *name);

/* A user's id, or a number as it stands; false: there is none of that name. */
bool load_uid(const char *name, uint32_t *uid);

/* load_listener.c: the users and groups of all listeners. */
void load_listeners(struct loading *l);

#endif
