/* SPDX-License-Identifier: ISC */
/*
 * The addresses of this machine, as they are now: they come and go while the
 * resolver lives, and mail must fail for none that is gone.
 */
#ifndef POSTERN_MASTER_RESOLVER_OWN_H
#define POSTERN_MASTER_RESOLVER_OWN_H

#include <stdbool.h>
#include <stddef.h>

#include "master/resolver/plan.h"

struct own;

/* Opens what own_read() needs: before the filter.  NULL: no memory. */
struct own *own_new(const char *hostname);

/*
 * own_read - ask the kernel for the addresses.
 *
 * False: it did not tell, and *self holds those of the last time.  *self borrows
 * from own, until the next call.
 */
bool own_read(struct own *own, struct plan_self *self);

#endif
