/* SPDX-License-Identifier: ISC */
/* See duration.h. */
#include "common/duration.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/util.h"

static const struct unit {
	char letter;
	int64_t seconds;
} units[] = {
	{ 'w', 7 * 86400 },
	{ 'd', 86400 },
	{ 'h', 3600 },
	{ 'm', 60 },
	{ 's', 1 },
};

int64_t
duration_unit(char letter)
{
	size_t i;

	for (i = 0; i < NELEM(units); i++)
		if (units[i].letter == letter)
			return units[i].seconds;
	return -1;
}

/* One number and its unit, which the last one may lack. */
static int64_t
parse_part(const char **at)
{
	int64_t n = 0, seconds = 1;
	const char *from = *at;

	for (; **at >= '0' && **at <= '9'; (*at)++) {
		n = n * 10 + (**at - '0');
		if (n > DURATION_MAX_S)
			return -1;
	}
	if (*at == from)
		return -1;
	if (**at != '\0')
		seconds = duration_unit(*(*at)++);
	return seconds == -1 || n > DURATION_MAX_S / seconds ? -1 : n * seconds;
}

int64_t
duration_parse(const char *text)
{
	int64_t sum = 0, part;

	do {
		part = parse_part(&text);
		if (part == -1 || part > DURATION_MAX_S - sum)
			return -1;
		sum += part;
	} while (*text != '\0');
	return sum;
}

char *
duration_format(int64_t seconds, char out[static DURATION_SIZE])
{
	size_t i;

	if (seconds < 0)
		seconds = 0;
	for (i = 1; i + 2 < NELEM(units) && seconds < units[i].seconds; i++)
		;
	if (seconds < 60)
		(void)snprintf(out, DURATION_SIZE, "%" PRId64 "s", seconds);
	else
		(void)snprintf(out, DURATION_SIZE, "%" PRId64 "%c%" PRId64 "%c",
		    seconds / units[i].seconds, units[i].letter,
		    seconds % units[i].seconds / units[i + 1].seconds,
		    units[i + 1].letter);
	return out;
}
