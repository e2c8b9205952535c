/* SPDX-License-Identifier: ISC */
/*
 * The roles of posternd: one bit each, so that a row of
 * messages.def can name several senders or receivers.  The entry of each role
 * is declared here and not in its own header, because the main program must
 * reach them all while master/ and agent/ never include each other.
 */
#ifndef POSTERN_COMMON_ROLES_H
#define POSTERN_COMMON_ROLES_H

enum role_id {
	ROLE_MASTER = 1 << 0,
	ROLE_INTAKE = 1 << 1,
	ROLE_QUEUE = 1 << 2,
	ROLE_RESOLVER = 1 << 3,
	ROLE_DIALER = 1 << 4,
	ROLE_AGENT = 1 << 5,
	ROLE_WORKER = 1 << 6,
	ROLE_METRICS = 1 << 7,
	ROLE_SIGNER = 1 << 8,
	ROLE_CONTROL = 1 << 9,
};

/* Those whom the master executes. */
#define ROLE_SERVANTS                                                          \
	(ROLE_INTAKE | ROLE_QUEUE | ROLE_RESOLVER | ROLE_DIALER | ROLE_AGENT | \
	    ROLE_METRICS | ROLE_SIGNER | ROLE_CONTROL)

/* Those of them that have clients of this machine, or of the network. */
#define ROLE_FRONTS (ROLE_INTAKE | ROLE_CONTROL)

/* Those of them that read the configuration. */
#define ROLE_READERS (ROLE_INTAKE | ROLE_CONTROL | ROLE_QUEUE | ROLE_RESOLVER)

/* The channel to the parent (master, or the queue for a worker) is this one. */
#define ROLE_PARENT_FD 3

/* How a worker ends by itself; the agent tells the queue. */
enum worker_status {
	WORKER_DONE = 0,
	WORKER_ALONE = 1,  /* the queue is gone */
	WORKER_MISLED = 2, /* the queue broke the rules */
};

/* "queue" for ROLE_QUEUE; "role?" for what is no single role. */
const char *role_name(unsigned role);

/* Entry of each role; parent_fd is ours.  Returns the exit status. */
int intake_run(int parent_fd);
int control_run(int parent_fd);
int queue_run(int parent_fd);
int resolver_run(int parent_fd);
int dialer_run(int parent_fd);
int agent_run(int parent_fd);
int metrics_run(int parent_fd);
int signer_run(int parent_fd);

#endif
