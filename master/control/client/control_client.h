/* SPDX-License-Identifier: ISC */
/*
 * What the subcommands of the control socket have in common; postern-control(5).
 *
 *   control_client.c     questions and their answers
 *   queue/selection.c    which recipients are meant: options to JSON, one for all verbs
 *   queue/queue_print.c  rows of the queue, as words
 *   queue/cmd_summary.c  postern queue summary
 *   queue/cmd_queue.c    postern queue: list, show, cat, and every change
 */
#ifndef POSTERN_MASTER_CONTROL_CLIENT_CONTROL_CLIENT_H
#define POSTERN_MASTER_CONTROL_CLIENT_CONTROL_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As they were given; NULL: not at all. */
struct selection {
	const char *sender;
	const char *recipient;
	const char *destination;
	const char *domain;
	const char *reason;
	const char *state;
	const char *older;
	const char *younger;
	char *const *ids;
	size_t nids;
};

struct manage_options {
	const char *config_name;
	const char *socket;
	const char *to;
	const char *by;
	const char *limit;
	struct selection selection;
	bool json;
	bool dry_run;
	bool yes;
	bool progress;
	bool flush; /* which is what the user called it */
};

#define MANAGE_IDS_A_PACKET 500

/* -1 after a word on stderr; fallback where none was given. */
long long control_client_limit(const struct manage_options *o, long long most,
    long long fallback);

/* What an answer says that nothing is called so: that on stderr, and true. */
bool control_client_is_unknown(const json_t *end,
    const struct manage_options *o);

/* cmd_summary.c: postern queue summary; an exit status. */
int cmd_summary(int fd, const struct manage_options *o);
/* Whether --by can be so; false after a word on stderr. */
bool cmd_summary_check(const struct manage_options *o);

/*
 * selection_add - add what is selected to a command.
 *
 * ids from first on, at most MANAGE_IDS_A_PACKET.  -1 after a word on stderr.
 */
int selection_add(json_t *command, const struct selection *s, size_t first);

/* Whether nothing at all restricts it. */
bool selection_is_empty(const struct selection *s);

void queue_print(const json_t *row);
void queue_print_whole(const json_t *row);
void queue_print_counts(const json_t *end);
void queue_print_pause(const json_t *row);

/* cmd_pause.c: all pauses; -1 after a word on stderr.  timeout_ms: -1 for ever. */
int cmd_pause_print(int fd, bool json, int timeout_ms);

void control_client_print_json(const json_t *object);
long long control_client_number(const json_t *object, const char *name);
bool control_client_is_refusal(const json_t *row);

/* The next answer; NULL after a word on stderr: the daemon is gone. */
json_t *control_client_receive(int fd);

/*
 * control_client_page - one page of rows of the command cursor, which moves behind it.
 *
 * 1: there is more, 0: that was all, -1: it failed and has been said.  *end is the
 * page's last answer, the caller's to json_decref(); where it failed the refusal, or
 * NULL.
 */
int control_client_page(int fd, json_t *cursor,
    void (*each)(void *arg, const json_t *row), void *arg, json_t **end);

/* A command that gets one object as its answer, the caller's; NULL: refused,
 * and that was said; *status is the exit status that it means. */
json_t *control_client_ask(int fd, json_t *command, int *status);

#endif
