/* SPDX-License-Identifier: ISC */
/*
 * The confined process: one destination, for its whole life.  It reads the
 * queue on descriptor 3, the remote on 4, the message on 5, and from 0 the sockets
 * that the dialer has for it.  What comes from there can be an answer of the
 * dialer alone, never a word of the queue.
 */
#ifndef POSTERN_AGENT_WORKER_H
#define POSTERN_AGENT_WORKER_H

#include "agent/tls.h"

#define WORKER_DIALER_FD  0 /* only to receive from */
#define WORKER_CONTROL_FD 3
#define WORKER_REMOTE_FD  4
#define WORKER_BODY_FD    5

/*
 * worker_run - serve the queue at the other end of descriptor 3, with the sockets
 * that come on descriptor 0.
 *
 * To be called in a fresh child of a warm agent, confined by
 * worker_filter.def, with SIGPIPE ignored, 0 to 2 open so that what is received
 * becomes 4 and 5, and nothing else open.  Sockets that come are non-blocking.
 */
_Noreturn void worker_run(const struct tls_trusts *trusts);

#endif
