/* SPDX-License-Identifier: ISC */
/*
 * What the configuration alone says of a recipient's mail: its route, its
 * transport, and what limits that.  The queue adds what goes on; without a
 * daemon this is all there is.
 */
#ifndef MASTER_EXPLAIN_H
#define MASTER_EXPLAIN_H

#include "common/json_out.h"
#include "master/config.h"

/* Why nothing goes: without a route, and by a transport that is not there. */
#define EXPLAIN_NO_ROUTE                                                       \
	"4.3.5: it has no way to go, and waits until a route is added"
#define EXPLAIN_NO_TRANSPORT                                                   \
	"5.5.4: a job that names it is refused; what is queued for it waits"

/*
 * explain_route - members "route" and "transport" of an explanation.
 *
 * via may be empty.  NULL: it goes nowhere, which the members say.
 */
const struct transport *explain_route(struct json_out *out,
    const struct config *config, const char *via, const char *domain);

/* Words of a level as postern.conf has them. */
const char *explain_tls_level(unsigned level);

#endif
