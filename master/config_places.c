/* SPDX-License-Identifier: ISC */
/* See config_places.h. */
#include "master/config_places.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One of "7 /etc/postern/conf.d/a.conf"; without a path it is the named file. */
static int
places_add(struct config_places *places, int line, const char *mark, size_t len)
{
	struct config_place *list, *place;
	size_t digits = 0;
	int own = 0;

	list = realloc(places->list, (places->count + 1) * sizeof(*list));
	if (list == NULL)
		return -1;
	places->list = list;
	for (; digits < len && mark[digits] >= '0' && mark[digits] <= '9' &&
	     digits < 9;
	     digits++)
		own = own * 10 + (mark[digits] - '0');
	place = &list[places->count];
	place->line = line;
	place->own_line = own;
	place->file = NULL;
	if (len > digits + 1) {
		place->file = strndup(mark + digits + 1, len - digits - 1);
		if (place->file == NULL)
			return -1;
	}
	places->count++;
	return 0;
}

int
config_places_read(struct config_places *places, const char *text, size_t len)
{
	const size_t mark_len = sizeof(CONFIG_PLACE_MARK) - 1;
	const char *end = text + len, *at = text, *eol;
	int line = 1;

	for (; at < end; at = eol + 1, line++) {
		eol = memchr(at, '\n', (size_t)(end - at));
		if (eol == NULL)
			eol = end;
		if ((size_t)(eol - at) <= mark_len ||
		    memcmp(at, CONFIG_PLACE_MARK, mark_len) != 0)
			continue;
		if (places_add(places, line + 1, at + mark_len,
			(size_t)(eol - at) - mark_len) == -1)
			return -1;
	}
	return 0;
}

void
config_places_clear(struct config_places *places)
{
	for (size_t i = 0; i < places->count; i++)
		free(places->list[i].file);
	free(places->list);
	memset(places, 0, sizeof(*places));
}

int
config_places_find(const struct config_places *places, const char *name,
    int line, const char **file)
{
	const struct config_place *place = NULL;

	for (size_t i = 0; i < places->count; i++)
		if (places->list[i].line <= line)
			place = &places->list[i];
	*file = place != NULL && place->file != NULL ? place->file : name;
	return place != NULL ? place->own_line + (line - place->line) : line;
}

const char *
config_places_line(const struct config_places *places, int line,
    char out[static CONFIG_PLACE_SIZE])
{
	const char *file;
	int own = config_places_find(places,
	    places->count > 0 && places->name != NULL ? places->name : "", line,
	    &file);

	if (file[0] == '\0')
		(void)snprintf(out, CONFIG_PLACE_SIZE, "line %d", own);
	else
		(void)snprintf(out, CONFIG_PLACE_SIZE, "line %d of %s", own,
		    file);
	return out;
}

const char *
config_places_next(const struct config_places *places, size_t *placep)
{
	const char *file;
	size_t i;

	while (*placep < places->count) {
		file = places->list[(*placep)++].file;
		for (i = 0; file != NULL && i + 1 < *placep; i++)
			if (places->list[i].file != NULL &&
			    strcmp(places->list[i].file, file) == 0)
				break;
		if (file != NULL && i + 1 == *placep)
			return file;
	}
	return NULL;
}
