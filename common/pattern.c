/* SPDX-License-Identifier: ISC */
/* See pattern.h. */
#include "common/pattern.h"

#include <stddef.h>
#include <string.h>

static int
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

/*
 * Goes back to the last "*" alone: what an earlier one took need not change.  A
 * part of a text is found as if there were one before the pattern.
 */
static bool
matches(const char *pattern, const char *text, bool whole)
{
	const char *star = whole ? NULL : pattern, *from = text;

	for (;;) {
		if (*pattern == '*') {
			star = ++pattern;
			from = text;
			continue;
		}
		if (*pattern == '\0' && (!whole || *text == '\0'))
			return true;
		if (*text == '\0')
			return false;
		if (*pattern != '\0' && lower(*pattern) == lower(*text)) {
			pattern++;
			text++;
		} else if (star != NULL) {
			pattern = star;
			text = ++from;
		} else {
			return false;
		}
	}
}

bool
pattern_matches(const char *pattern, const char *text)
{
	return matches(pattern, text, true);
}

bool
pattern_found(const char *pattern, const char *text)
{
	return matches(pattern, text, false);
}

bool
pattern_is_code(const char *pattern)
{
	return pattern[0] != '\0' &&
	    pattern[strspn(pattern, "0123456789.*")] == '\0' &&
	    strchr(pattern, '.') != NULL;
}
