/* SPDX-License-Identifier: ISC */
/*
 * Where a line of a configuration is from, if its text was put together from several
 * files (config_include.h).  Pure.
 */
#ifndef MASTER_CONFIG_PLACES_H
#define MASTER_CONFIG_PLACES_H

#include <stdbool.h>
#include <stddef.h>

/* Lines that no file has: behind the first comes "LINE PATH", what the next line is;
 * behind the other what is wrong with the line before. */
#define CONFIG_PLACE_MARK "#\001"
#define CONFIG_WRONG_MARK "#\002"

enum {
	CONFIG_PLACE_SIZE = 320,
};

/* From a line of the text on. */
struct config_place {
	int line;     /* of the text */
	int own_line; /* of the file */
	char *file;   /* NULL: the one that was named */
};

struct config_places {
	struct config_place *list;
	size_t count;
	const char *name; /* of the named file, while it is read; borrowed */
};

/* All of a text; -1 for want of memory. */
int config_places_read(struct config_places *places, const char *text,
    size_t len);
void config_places_clear(struct config_places *places);

/* The line in its file, which is *file, or name where that is the one. */
int config_places_find(const struct config_places *places, const char *name,
    int line, const char **file);

/* "line 7", or "line 7 of FILE" where the configuration has several: the reader of a
 * complaint about one of them must not look in another. */
const char *config_places_line(const struct config_places *places, int line,
    char out[static CONFIG_PLACE_SIZE]);

/* The files besides the one that was named, each once: from *placep on. */
const char *config_places_next(const struct config_places *places,
    size_t *placep);

#endif
