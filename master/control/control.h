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

/* Says on stderr how subcommand `name` is called; returns EXIT_USAGE. */
int control_usage(const char *name);

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
