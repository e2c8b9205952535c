/* SPDX-License-Identifier: ISC */
/* The postern command: one function a subcommand, argv[0] its own name. */
#ifndef POSTERN_MASTER_CONTROL_CONTROL_H
#define POSTERN_MASTER_CONTROL_CONTROL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

int control_send(int argc, char **argv);
/* Also under the names mailq and newaliases. */
int control_sendmail(int argc, char **argv);
int control_queue(int argc, char **argv);
int control_flush(int argc, char **argv);
int control_pause(int argc, char **argv);
int control_resume(int argc, char **argv);
int control_tail(int argc, char **argv);
int control_top(int argc, char **argv);
int control_explain(int argc, char **argv);
/* check, export and import; the word is still in argv. */
int control_archive(int argc, char **argv);
int control_reload(int argc, char **argv);
int control_upgrade(int argc, char **argv);
int control_status(int argc, char **argv);
int control_deliver(int argc, char **argv);
int control_verify(int argc, char **argv);
int control_transcript(int argc, char **argv);
int control_replay(int argc, char **argv);
int control_doctor(int argc, char **argv);

/*
 * control_usage - say how a subcommand is called.
 *
 * On stderr, and EXIT_USAGE; or on stdout, and EXIT_ALL_WELL, where control_options()
 * was asked for help.
 */
int control_usage(const char *name);

/* The function of a subcommand, or NULL. */
int (*control_find(const char *name))(int argc, char **argv);

/* Help for a subcommand, or the list of all where name is NULL; and what is said
 * where there is no such subcommand, or none is named. */
int control_help(const char *name);
int control_unknown(const char *name);

/*
 * control_complete - print what a shell may put in the place of the last word, one a
 * line: subcommands, options from their tables, values and verbs from their usage.
 */
int control_complete(int argc, char **argv);

/* One option of a subcommand: with an argument, or a flag. */
struct control_option {
	const char *name;   /* "from" for --from */
	char letter;        /* 'f' for -f too; 0: none */
	const char **value; /* where its argument goes; NULL: it has none */
	bool *flag;         /* else set where it is given */
};

/*
 * control_options - read the options of a subcommand.
 *
 * Returns the index in argv of the first word that is none, or -1 after a word
 * on stderr.
 */
int control_options(int argc, char **argv, const struct control_option *rows,
    size_t n);

/*
 * control_words - whether at least and at most so many words follow the options.
 *
 * first is what control_options() returned.  False after a word on stderr (unless it
 * was said already): what is missing, or which word is one too many.
 */
bool control_words(int argc, char **argv, int first, int least, int most,
    const char *what);

/* The same of an option that has to be there, or not. */
bool control_has(const char *subcommand, const char *value, const char *option);

/* Whether an option's value can be a name or a pattern at all: some UTF-8.  False after
 * a word on stderr; NULL, for not given, is fine. */
bool control_is_name(const char *option, const char *value);

/* From now on control_options() passes its rows to a function, and does nothing else;
 * NULL ends that.  Whether that is so, and whether help was asked for. */
void control_describe(void (*each)(void *arg, const struct control_option *row),
    void *arg);
bool control_is_described(void);
bool control_wants_help(void);

/* How many recipients came to which end. */
struct control_tally {
	unsigned deferred;
	unsigned failed;
};

/* One result as a line of words, or as it came; counts it. */
void control_print_result(const json_t *result, bool json,
    struct control_tally *tally);

int control_exit_status(const struct control_tally *tally);

#endif
