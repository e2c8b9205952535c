/* SPDX-License-Identifier: ISC */
/* Mail that comes in by LMTP and SMTP, as the intake sees it. */
#ifndef POSTERN_MASTER_INTAKE_SMTPD_SMTPD_H
#define POSTERN_MASTER_INTAKE_SMTPD_SMTPD_H

#include <sys/socket.h>

#include <stddef.h>

struct intake;

/* Before any session.  0, or -1 without memory. */
int smtpd_init(struct intake *in);

/* A connection that came to a listener of the configuration; fd is ours from
 * here on. */
void smtpd_open(struct intake *in, int fd, size_t listener,
    const struct sockaddr_storage *from);

/* Listener i of each session is to[i] from here on; those of LISTENER_GONE end
 * once they have no message in hand. */
void smtpd_move(struct intake *in, const size_t *to);

/* Sessions without a message are told that we stop; the others finish it. */
void smtpd_drain(struct intake *in);

/* All are told, wherever they are (RFC 5321, 3.8), and end once they read it. */
void smtpd_dismiss(struct intake *in);

#endif
