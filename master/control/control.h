/* SPDX-License-Identifier: ISC */
/* The postern command: one function a subcommand, argv[0] its own name. */
#ifndef POSTERN_MASTER_CONTROL_CONTROL_H
#define POSTERN_MASTER_CONTROL_CONTROL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

int cmd_send(int argc, char **argv);
/* Also under the names mailq and newaliases. */
int cmd_sendmail(int argc, char **argv);
int cmd_queue(int argc, char **argv);
int cmd_flush(int argc, char **argv);
int cmd_pause(int argc, char **argv);
int cmd_resume(int argc, char **argv);
int cmd_tail(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_explain(int argc, char **argv);
/* check, export and import; the word is still in argv. */
int cmd_archive(int argc, char **argv);
int cmd_reload(int argc, char **argv);
int cmd_upgrade(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_deliver(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_transcript(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_doctor(int argc, char **argv);

/*
 * usage_print - say how a subcommand is called.
 *
 * On stderr, and EXIT_USAGE; or on stdout, and EXIT_ALL_WELL, where options_read()
 * was asked for help.
 */
int usage_print(const char *name);

/* The function of a subcommand, or NULL. */
int (*commands_find(const char *name))(int argc, char **argv);

/* Help for a subcommand, or the list of all where name is NULL; and what is said
 * where there is no such subcommand, or none is named. */
int usage_help(const char *name);
int usage_unknown(const char *name);

/*
 * commands_complete - print what a shell may put in the place of the last word, one a
 * line: subcommands, options from their tables, values and verbs from their usage.
 */
int commands_complete(int argc, char **argv);

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

/* How many recipients came to which end. */
struct job_result_tally {
	unsigned deferred;
	unsigned failed;
};

/* One result as a line of words, or as it came; counts it. */
void job_result_print(const json_t *result, bool json,
    struct job_result_tally *tally);

int job_result_exit_status(const struct job_result_tally *tally);

#endif
