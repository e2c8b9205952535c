/* SPDX-License-Identifier: ISC */
/* The options of a subcommand, read by its table. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "master/control/control.h"

#define OPTIONS_MAX 48
/* Behind every letter: the values by which getopt_long() names a row. */
#define FIRST_ROW 256

/* What getopt_long() wants to know of the rows. */
static void
describe(const struct control_option *rows, size_t n, struct option *longs,
    char *shorts)
{
	size_t i;

	*shorts = '\0';
	for (i = 0; i < n; i++) {
		longs[i].name = rows[i].name;
		longs[i].has_arg =
		    rows[i].value != NULL ? required_argument : no_argument;
		longs[i].val = FIRST_ROW + (int)i;
		if (rows[i].letter == '\0')
			continue;
		*shorts++ = rows[i].letter;
		if (rows[i].value != NULL)
			*shorts++ = ':';
		*shorts = '\0';
	}
}

static const struct control_option *
find(const struct control_option *rows, size_t n, int c)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (c == FIRST_ROW + (int)i || c == rows[i].letter)
			return &rows[i];
	}
	return NULL;
}

static int
read_all(int argc, char **argv, const struct control_option *rows, size_t n,
    const char *shorts, const struct option *longs)
{
	const struct control_option *row;
	int c;

	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		row = c == '?' ? NULL : find(rows, n, c);
		if (row == NULL)
			return -1;
		if (row->value != NULL)
			*row->value = optarg;
		else
			*row->flag = true;
	}
	return optind;
}

int
control_options(int argc, char **argv, const struct control_option *rows,
    size_t n)
{
	struct option longs[OPTIONS_MAX + 1] = { 0 };
	char shorts[2 * OPTIONS_MAX + 1];
	char *subcommand = argv[0];
	char name[40];
	int first;

	if (n > OPTIONS_MAX)
		return -1;
	describe(rows, n, longs, shorts);
	(void)snprintf(name, sizeof(name), "postern %s", subcommand);
	argv[0] = name; /* getopt() complains in it */
	first = read_all(argc, argv, rows, n, shorts, longs);
	argv[0] = subcommand;
	return first;
}
