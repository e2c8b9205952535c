/* SPDX-License-Identifier: ISC */
/* The options of a subcommand, read by its table. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "common/utf8.h"
#include "master/control/client/options.h"

#define OPTIONS_MAX 48
/* Above every letter: the values by which getopt_long() names a row. */
#define FIRST_ROW 256

static bool wants_help;
static void (*describe_each)(void *arg, const struct control_option *row);
static void *describe_arg;

void
options_describe(void (*each)(void *arg, const struct control_option *row),
    void *arg)
{
	describe_each = each;
	describe_arg = arg;
}

bool
options_is_described(void)
{
	return describe_each != NULL;
}

bool
options_wants_help(void)
{
	return wants_help;
}

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
	longs[n] = (struct option){ "help", no_argument, NULL, 'h' };
	(void)strlcpy(shorts, "h", 2);
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

/* Nothing is there under an empty name; a script has left it unset. */
static bool
is_of_path(const struct control_option *row)
{
	return strcmp(row->name, "config") == 0 ||
	    strcmp(row->name, "socket") == 0 || strcmp(row->name, "spool") == 0;
}

static int
read_all(int argc, char **argv, const struct control_option *rows, size_t n,
    const char *shorts, const struct option *longs)
{
	const struct control_option *row;
	int c;

	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		wants_help = wants_help || c == 'h';
		row = c == '?' ? NULL : find(rows, n, c);
		if (row == NULL)
			return -1;
		if (row->value != NULL && optarg[0] == '\0' &&
		    is_of_path(row)) {
			fprintf(stderr, "%s: --%s is empty\n", argv[0],
			    row->name);
			return -1;
		}
		if (row->value != NULL)
			*row->value = optarg;
		else
			*row->flag = true;
	}
	return optind;
}

int
options_read(int argc, char **argv, const struct control_option *rows, size_t n)
{
	struct option longs[OPTIONS_MAX + 2] = { 0 };
	char shorts[2 * OPTIONS_MAX + 2];
	char *subcommand = argv[0];
	char name[40];
	int first;

	for (size_t i = 0; i < n && describe_each != NULL; i++)
		describe_each(describe_arg, &rows[i]);
	if (n > OPTIONS_MAX || describe_each != NULL)
		return -1;
	describe(rows, n, longs, shorts);
	(void)snprintf(name, sizeof(name), "postern %s", subcommand);
	argv[0] = name; /* getopt() complains in it */
	first = read_all(argc, argv, rows, n, shorts, longs);
	argv[0] = subcommand;
	return first;
}

bool
options_words(int argc, char **argv, int first, int least, int most,
    const char *what)
{
	if (first == -1 || describe_each != NULL)
		return false;
	if (argc - first < least)
		fprintf(stderr, "postern %s: %s is missing\n", argv[0], what);
	else if (argc - first > most)
		fprintf(stderr, "postern %s: %s: one word too many\n", argv[0],
		    argv[first + most]);
	return argc - first >= least && argc - first <= most;
}

bool
options_has(const char *subcommand, const char *value, const char *option)
{
	if (value == NULL)
		fprintf(stderr, "postern %s: %s is missing\n", subcommand,
		    option);
	return value != NULL;
}

bool
options_is_name(const char *option, const char *value)
{
	const char *why = NULL;

	if (value != NULL && value[0] == '\0')
		why = "is empty; leave it out where nothing is meant";
	else if (value != NULL && !utf8_is_valid(value, strlen(value)))
		why = "is no UTF-8";
	if (why != NULL)
		fprintf(stderr, "postern: %s %s\n", option, why);
	return why == NULL;
}
