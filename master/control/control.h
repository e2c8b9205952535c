/* SPDX-License-Identifier: ISC */
/* The postern command: one function a subcommand, argv[0] its own name. */
#ifndef POSTERN_MASTER_CONTROL_CONTROL_H
#define POSTERN_MASTER_CONTROL_CONTROL_H

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

/* The function of a subcommand, or NULL. */
int (*commands_find(const char *name))(int argc, char **argv);

/*
 * commands_complete - print what a shell may put in the place of the last word, one a
 * line: subcommands, options from their tables, values and verbs from their usage.
 */
int commands_complete(int argc, char **argv);

#endif
