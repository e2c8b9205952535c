/* SPDX-License-Identifier: ISC */
/* The postern command: one function a subcommand, argv[0] its own name. */
#ifndef POSTERN_MASTER_CONTROL_CONTROL_H
#define POSTERN_MASTER_CONTROL_CONTROL_H

#include <jansson.h>
#include <stdbool.h>

int control_send(int argc, char **argv);
int control_queue(int argc, char **argv);
int control_status(int argc, char **argv);
int control_deliver(int argc, char **argv);

/* Says on stderr how subcommand `name` is called; returns EXIT_USAGE. */
int control_usage(const char *name);

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
