/* SPDX-License-Identifier: ISC */
/* The options of a subcommand, read by its table. */
#ifndef POSTERN_MASTER_CONTROL_CLIENT_OPTIONS_H
#define POSTERN_MASTER_CONTROL_CLIENT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

/* One option of a subcommand: with an argument, or a flag. */
struct control_option {
	const char *name;   /* "from" for --from */
	char letter;        /* 'f' for -f too; 0: none */
	const char **value; /* where its argument goes; NULL: it has none */
	bool *flag;         /* else set where it is given */
};

/*
 * options_read - read the options of a subcommand.
 *
 * Returns the index in argv of the first word that is none, or -1 after a word
 * on stderr.
 */
int options_read(int argc, char **argv, const struct control_option *rows,
    size_t n);

/*
 * options_words - whether at least and at most so many words follow the options.
 *
 * first is what options_read() returned.  False after a word on stderr (unless it
 * was said already): what is missing, or which word is one too many.
 */
bool options_words(int argc, char **argv, int first, int least, int most,
    const char *what);

/* The same of an option that has to be there, or not. */
bool options_has(const char *subcommand, const char *value, const char *option);

/* Whether an option's value can be a name or a pattern at all: some UTF-8.  False after
 * a word on stderr; NULL, for not given, is fine. */
bool options_is_name(const char *option, const char *value);

/* From now on options_read() passes its rows to a function, and does nothing else;
 * NULL ends that.  Whether that is so, and whether help was asked for. */
void options_describe(void (*each)(void *arg, const struct control_option *row),
    void *arg);
bool options_is_described(void);
bool options_wants_help(void);

#endif
