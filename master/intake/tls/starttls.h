/* SPDX-License-Identifier: ISC */
/* The certificates of listeners, and who signs for them. */
#ifndef POSTERN_MASTER_INTAKE_TLS_STARTTLS_H
#define POSTERN_MASTER_INTAKE_TLS_STARTTLS_H

#include "common/role.h"

struct intake;

/* Before the intake is confined; 0 or -1. */
int starttls_init(struct intake *in);

/* CERTIFICATE: a listener's from now on.  Handler of the intake's table. */
void starttls_certificate(void *ctx, struct channel *from,
    const struct message *m);

/* The channel to a signer, ours from here on; the former one is void. */
void starttls_take_signer(struct intake *in, int fd);

#endif
