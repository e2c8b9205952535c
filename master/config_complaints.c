/* SPDX-License-Identifier: ISC */
/*
 * Gathers the errors of a configuration.
 */
#include "master/config_complaints.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void
complain(struct complaints *c, int line, const char *format, ...)
{
	struct complaint *end = c->list + CONFIG_ERRORS_MAX;
	struct complaint *at = c->list;
	va_list ap;

	while (at < c->list + c->used && at->line < line)
		at++;
	if (at < c->list + c->used && at->line == line)
		return;
	c->count++;
	if (at == end)
		return;
	if (c->used < CONFIG_ERRORS_MAX)
		c->used++;
	end = c->list + c->used;
	memmove(at + 1, at, (size_t)(end - at - 1) * sizeof(*at));
	at->line = line;
	va_start(ap, format);
	(void)vsnprintf(at->what, sizeof(at->what), format, ap); /* or cut */
	va_end(ap);
}

void
complain_memory(struct complaints *c)
{
	c->no_memory = true;
	complain(c, 0, "out of memory");
}

void
complaints_report(const struct complaints *c, const char *name,
    const struct config_places *places, struct config_errors *errors)
{
	const char *file;
	int line;

	errors->count = c->count;
	errors->nlines = c->used;
	for (size_t i = 0; i < c->used; i++) {
		line = config_places_find(places, name, c->list[i].line, &file);
		(void)snprintf(errors->lines[i], /* cut at worst */
		    sizeof(errors->lines[i]), "%.100s:%d: %s", file, line,
		    c->list[i].what);
	}
}
