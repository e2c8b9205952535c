/* SPDX-License-Identifier: ISC */
/* What the files of the master share, and nobody else sees. */
#ifndef POSTERN_MASTER_MASTER_INTERNAL_H
#define POSTERN_MASTER_MASTER_INTERNAL_H

#include <sys/queue.h>
#include <sys/types.h>

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/role.h"
#include "master/inherit.h"
#include "master/load.h"
#include "master/master.h"
#include "master/spawn.h"

/* A role that the master executes, and the namespaces it makes for it. */
struct servant_desc {
	unsigned role;
	uint32_t namespaces;
};

/* One process of a role.  A reload leaves the former agent beside the new one
 * until its workers have finished. */
struct servant {
	TAILQ_ENTRY(servant) entry;
	struct master *master;
	const struct servant_desc *desc;
	struct channel *channel; /* NULL: not running */
	struct event *restart;   /* pending while it waits to be executed */
	struct event *overdue;   /* pending while its end is waited for */
	pid_t pid;               /* -1: not running */
	uint32_t namespaces;     /* granted */
	uint32_t landlock_abi;
	int landlock_error; /* errno: why there is none */
	bool landlock_shown;
	bool ready;
	bool was_ready; /* once, since the master's start */
	bool retired;
	bool coming; /* it takes the place of another one once it is ready */
	uint32_t restarts;
	int64_t backoff_ms;
	int64_t started_ms; /* CLOCK_MONOTONIC */
	int64_t started_real_ms;
	int64_t log_sent_ms; /* CLOCK_MONOTONIC; as it asked last */
	uint64_t pinged;     /* serial of the last PING */
	uint64_t ponged;     /* of the last one that was answered */
	uint64_t asked;      /* of the one that followed a reload */
	int64_t silent_ms;   /* of our own time, since that PING */
	bool hung;           /* and killed for it */
	bool killed;         /* by us: its end is waited for */
	bool may_end;        /* it was sent what it ends for */
	bool is_meant;       /* it ended by itself, to begin anew */
};

/* watch.c */
struct watch {
	struct event *timer;
	int64_t watchdog_ms; /* how often WATCHDOG=1 is due; 0: never */
	int64_t started_ms;
	int64_t turned_ms;
	bool is_up;            /* every role was ready once */
	struct msg_pong queue; /* as it answered last */
	uint32_t clients;      /* of the intake */
	uint32_t askers;       /* of the control role */
	char said[256]; /* the last STATUS */
};

enum upgrade_state {
	UPGRADE_NONE,
	UPGRADE_SHARING,  /* the queue makes its store open to another */
	UPGRADE_STARTING, /* the new generation is not up yet */
	UPGRADE_LEAVING,  /* it is; our queue and intake let go */
	UPGRADE_LEFT,     /* it has all; we finish what we have in hand */
};

/* A process of the generation before ours, which ends. */
struct former {
	unsigned role;
	pid_t pid;
	uint32_t restarts;
	uint64_t since_s;
};

#define FORMER_MAX 16

/* Another generation beside ours: upgrade.c, where we are the old one, and
 * heir.c, where we are the new one. */
struct kin {
	int fd; /* to the other one; -1: there is none */
	struct event *readable;
	enum upgrade_state state;
	struct event *timer; /* until the new one must be up, or we be gone */
	pid_t pid;           /* of the new one */
	bool is_heir;        /* we are the new one */
	bool has_all;        /* and everything is ours */
	char pid_file[256];  /* where the old one has it */
	struct former former[FORMER_MAX];
	size_t nformer;
};

enum socket_kind {
	SOCKET_JOB,
	SOCKET_CONTROL,
	SOCKET_METRICS,
	SOCKET_METRICS_TCP,
	SOCKET_LISTENER,
};

/* A socket that listens. */
struct listening {
	enum socket_kind kind;
	size_t listener; /* LISTENER: which of the configuration's; else 0 */
	char name[64];   /* under which it is handed on */
	char what[192];  /* as errors name it */
	int type;
	struct sockaddr_storage at;
	socklen_t at_len;
	mode_t mode; /* of a Unix socket */
	gid_t gid;   /* (gid_t)-1: our own */
	int fd;
	bool lent;      /* somebody else removes it from the file system */
	bool is_given;  /* mode and group are to be changed */
	bool was_there; /* before this configuration */
	bool stays;     /* in the next one */
	bool is_parked; /* it does not listen, for another is to */
};

struct socket_list {
	struct listening rows[INHERIT_MAX];
	size_t count;
};
_Static_assert(CONFIG_LISTENERS_MAX + 4 <= INHERIT_MAX, "a row for each");

/* reload.c: what is said of a reload to who asked for it. */
struct reload {
	int64_t begun_ns; /* CLOCK_MONOTONIC */
	struct event *timer; /* pending while the roles take it over */
	char reasons[8192];
	size_t len;
};

struct master {
	struct role role;
	uint32_t era; /* which generation of posternd this is */
	struct kin kin;
	const struct master_options *options;
	struct load *load;
	struct secrets *secrets; /* of that load */
	struct counts *counts;   /* counts.c */
	struct outlet_run *outlet;
	struct status *status; /* status.c */
	struct autopsy *autopsy;
	TAILQ_HEAD(, servant) servants;
	struct event *signals[5];
	struct event *stop_timer;
	struct watch watch;
	struct event *log_timer; /* while syslog is looked for */
	uint32_t generation;
	uint32_t granted; /* namespaces that this host grants */
	struct spawn_refusal refusal; /* why not all */
	bool landlock_said;           /* that there is none */
	struct socket_list sockets; /* all that we listen at */
	struct reload reload;
	int receipts_fd; /* memory for the queue, and for the next one */
	int pid_file_fd;
	int stderr_fd; /* as we were started; descriptor 2 is the log */
	bool stopping;
	bool failed; /* the exit status is not 0 */
};

/* servant.c: the process of a role. */

/* One that is not yet executed; desc outlives it.  NULL without memory. */
struct servant *servant_new(struct master *m, const struct servant_desc *desc);
void servant_free(struct servant *s);

/* Execute it, and tell it all that it is to know; on failure, later again. */
void servant_start(struct servant *s);

/* Execute it again after its back-off. */
void servant_wait(struct servant *s, int64_t lived_ms);

/* Kill it.  And: it is ending, and if it has not gone in some seconds it is left
 * behind, and another one takes its place. */
void servant_kill(struct servant *s);
void servant_expect_end(struct servant *s);

/* The one of a role that is in place; NULL: none. */
struct servant *servant_find(struct master *m, unsigned role);

/* It is ready: its channels to the other roles are made. */
void servant_link(struct servant *s);

/* The process of a role, retired or not; pid 0: as above. */
struct servant *servant_process(struct master *m, unsigned role, uint32_t pid);

/* Messages that are sent more than once in a servant's life. */
void servant_send(struct servant *s, enum msg_type type);
void servant_send_log_sink(struct servant *s);
void servant_send_config(struct servant *s);
void servant_send_submitters(struct servant *s);
void servant_send_reach(struct servant *s);
void servant_send_listeners(struct servant *s);

/* What log lines of a configuration look like, and where they go; *fdp is the
 * caller's to close, -1 with errno where nothing can be opened.  Where there is
 * no syslog, they go to our standard error until there is. */
void servant_log_sink(struct master *m, struct msg_log_sink *sink, int *fdp);

/* sink.c: where log lines go. */
void sink_open_ours(struct master *m);
/* A sink for all: another configuration, or syslog is there again. */
void sink_renew(struct master *m);
/* Our own sink went away: look for it, once a second at most. */
void sink_watch(struct master *m);
void sink_timer(evutil_socket_t fd, short what, void *arg);

/* autopsy.c: which system call a filter ended a role for, in the log. */
void autopsy_open(struct master *m);
void autopsy_begin(struct master *m, unsigned role, pid_t pid);
void autopsy_close(struct master *m);

/* files.c: what we hold in the file system; what cannot be had is fatal. */
void files_open(struct master *m);
void files_close(struct master *m);
/* Whether the names in the file system are ours to remove, and not another
 * generation's. */
bool files_are_ours(const struct master *m);
/* The folder that another configuration wants, where its sockets may be; then, with
 * these open, its pid file.  -1, with the reason said: it cannot be had. */
int files_prepare(struct master *m, const struct load *load);
int files_change(struct master *m, const struct load *load);

/* sockets.c: what we listen at. */

/* All of the configuration's; ends the process where one cannot be. */
void sockets_open(struct master *m);
void sockets_close(struct master *m);
/* The descriptor, which stays ours; -1: there is none. */
int sockets_fd(const struct master *m, enum socket_kind kind, size_t listener);
/* Those of another configuration, which nobody accepts from yet.  NULL: they
 * cannot be had, the reasons were said, and nothing changed. */
struct socket_list *sockets_prepare(struct master *m, const struct load *load);
/* They are ours now, and the others closed; which kinds changed, in bits. */
unsigned sockets_take(struct master *m, struct socket_list *new);
void sockets_abandon(struct master *m, struct socket_list *new);

/* check.c: load_read, with the errors on stderr; NULL where there are any. */
struct load *check_load(const char *name);

/* reload.c */
void reload_open(struct master *m);
void reload_close(struct master *m);
void reload_now(struct master *m);
/* Why a configuration is refused: for the log, and for who asked. */
void reload_complain(struct master *m, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* A role is ready, or answered: perhaps all have taken the configuration over. */
void reload_look(struct master *m);

/* renew.c: another agent in the place of one whose memory is known too well. */

/* RENEW of the queue. */
void renew_begin(void *ctx, struct channel *from, const struct message *msg);
/* The new one is ready. */
void renew_ready(struct servant *s);

/* MSG_DISMISSED: nothing keeps that agent. */
void renew_dismissed(void *ctx, struct channel *from,
    const struct message *msg);

/* The queue is gone, and all sessions with it. */
void renew_queue_gone(struct master *m);
/* Reload, or stop: it is not needed any more. */
void renew_cancel(struct master *m);

/* watch.c: do all roles live, and what does the service manager hear? */
void watch_open(struct master *m);
void watch_close(struct master *m);
void watch_ready(struct master *m); /* one more role is */
/* A PING now, whose answer says that all before it was taken. */
void watch_ask(struct servant *s);
void watch_reloading(const struct master *m);
void watch_reloaded(struct master *m, bool good);
void watch_upgrade_failed(struct master *m);
void watch_has_all(struct master *m); /* of the former generation */
void watch_stopping(const struct master *m);
void watch_pong(void *ctx, struct channel *from, const struct message *msg);
/* A message of any kind. */
void servant_send_message(struct servant *s, enum msg_type type,
    const void *payload, const void *tail, size_t tail_len, int fd);

/* listeners.c: where mail comes in, for the intake. */

/* The sockets; and who may come to them. */
void listeners_send(struct servant *s);
void listeners_send_users(struct servant *s);
/* outlet.c: who is to have outcome reports, for the queue. */

/* OUTLET_ASK of the queue. */
void outlet_answer(void *ctx, struct channel *from, const struct message *msg);
/* Whether the child that ended was its command. */
bool outlet_child_ended(struct master *m, pid_t pid, int status);
void outlet_clear_run(struct master *m);

/* keys.c: certificates and keys of listeners. */

/* The pairs, for the signer; and, for the intake, what the signer found good. */
void keys_send_pairs(struct servant *s);
void keys_send_certificates(struct servant *s);
/* KEY_READY of the signer. */
void keys_ready(void *ctx, struct channel *from, const struct message *msg);

/* counts.c: what is counted, and by whom the metrics role is asked. */

/* Makes the tables; ends the process where that fails. */
void counts_open(struct master *m);
void counts_clear(struct master *m);
/* Whether there is to be a metrics role. */
bool counts_are_told(const struct master *m);
/* What a role is to have of them. */
void counts_send(struct servant *s);
/* A role is ready, or ended. */
void counts_roles(struct master *m);
void counts_role_ended(struct master *m, unsigned role, int status);
void counts_reload(struct master *m, bool accepted);

/* upgrade.c: a new generation takes over from this one. */
void upgrade_open(struct master *m);
/* The queue, where there is one, hears which of two generations it is. */
void upgrade_send_era(struct master *m, enum era era);
void upgrade_begin(struct master *m);
/* ERA_DONE of the queue. */
void upgrade_era_done(void *ctx, struct channel *from,
    const struct message *msg);
/* CLIENT_LEFT of intake and control. */
void upgrade_client_left(void *ctx, struct channel *from,
    const struct message *msg);
/* A role has ended; whether that belongs to our end. */
bool upgrade_servant_ended(struct master *m, struct servant *s);
void upgrade_close(struct master *m);

/* heir.c: this generation takes over from another. */

/* What the old one hands over; false: it went away. */
bool heir_receive(struct master *m);
/* Says why we do not come up, besides the log. */
void heir_fail(struct master *m, const char *why);
/* Every role is ready; true: READY=1 waits until all is ours. */
bool heir_is_up(struct master *m);
/* The queue is there, or there again. */
void heir_queue_ready(struct master *m);
void heir_queue_alone(struct master *m);
void heir_stopping(struct master *m);

/* master.c */
void master_stop(struct master *m);
/* The metrics role, as the configuration has it now: it comes or goes, or comes
 * again where its sockets are others. */
void master_renew_metrics(struct master *m, bool has_other_sockets);
/* The kernel does not let its process go. */
void master_leave_behind(struct servant *s);

/* status.c: what `postern status` and the start-up log tell. */

/* "key=value" words of a process; s may be NULL. */
void status_describe(const struct servant *s, pid_t pid, char *out,
    size_t size);

void status_open(struct master *m);
void status_close(struct master *m);

/* STATUS_ASK of the control role; answered by turns of the loop. */
void status_answer(void *ctx, struct channel *from, const struct message *msg);

/* This channel is closed: who asked by it has no answer any more. */
void status_forget(struct master *m, const struct channel *to);

/* secrets.c: passwords and tokens, for the queue to hand on. */

/* Those of m->load; what was there before ends.  NULL load: none. */
void secrets_renew(struct master *m);

/* SECRET_ASK of the queue. */
void secrets_answer(void *ctx, struct channel *from, const struct message *msg);

/* Whether the child that ended was a command of ours. */
bool secrets_child_ended(struct master *m, pid_t pid, int status);

/* A message with a tail or a descriptor for one role. */
void servant_send_answer(struct servant *s, enum msg_type type,
    const void *payload, const char *tail, int fd);

#endif
