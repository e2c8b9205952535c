/* SPDX-License-Identifier: ISC */
/*
 * One RESOLVE on its way to a RESOLVED: which questions it has open at the name
 * servers, and what the answers make of its plan.  libunbound's doorway.
 */
#ifndef POSTERN_MASTER_RESOLVER_LOOKUP_H
#define POSTERN_MASTER_RESOLVER_LOOKUP_H

#include <event2/event.h>

#include "common/message.h"
#include "master/config.h"
#include "master/resolver/plan.h"

struct lookups;

/* What a lookup came to; addresses has answer->count of them, why is "" then. */
typedef void lookup_done(void *ctx, const struct msg_resolved *answer,
    const struct plan_address *addresses, const char *why);

/*
 * lookups_new - read name servers, hosts and trust anchor, and start
 * libunbound's thread.
 *
 * config is borrowed.  Ends the process where a file is wrong: this is start-up.
 */
struct lookups *lookups_new(struct event_base *base,
    const struct config *config, lookup_done *done, void *ctx);

/* The thread must exist before the filter: it cannot be made behind it. */
void lookups_start_thread(struct lookups *all);

/* Begin one; name is ask's tail.  done is called later, or from inside. */
void lookup_begin(struct lookups *all, const struct msg_resolve *ask,
    const char *name);

#endif
