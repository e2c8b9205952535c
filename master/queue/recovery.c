/* SPDX-License-Identifier: ISC */
/*
 * The start of a queue whose last process may have died: what was being sent
 * then is perhaps delivered, and each such recipient is named in the log before
 * it is tried again.
 */
#include "master/queue/recovery.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/log.h"
#include "common/util.h"
#include "master/queue/queue_internal.h"

enum {
	RECOVERY_LINES_MAX = 1000, /* behind them there is only the number */
};

static int
recovery_row(const struct store_envelope *envelope,
    const struct store_recipient *recipient, void *arg)
{
	char to[LOG_LINE_MAX];

	(void)arg;
	(void)log_escape(to, sizeof(to), recipient->address,
	    strlen(recipient->address));
	log_line(LOG_WARN,
	    "%" PRIX64 ": to=<%s> was being sent when the queue ended: perhaps "
	    "delivered; it is sent again",
	    envelope->id, to);
	return 0;
}

void
recovery_run(struct queue *q)
{
	struct store_recovered recovered;

	if (store_load_active(q->store, RECOVERY_LINES_MAX, recovery_row,
		NULL) == -1 ||
	    store_recover(q->store, time_real_ms(), &recovered) == -1)
		fatal("the queue cannot be recovered: %s (%s)", strerror(errno),
		    store_error(q->store));
	log_line(LOG_INFO,
	    "queue open: %" PRIu64 " messages, %" PRIu64
	    " recipients perhaps delivered, %" PRIu64 " bodies swept",
	    recovered.messages, recovered.in_doubt, recovered.swept_bodies);
	if (recovered.lost_bodies > 0)
		log_line(LOG_ERROR,
		    "%" PRIu64 " messages have lost their body file: \"postern "
		    "queue check\" names them",
		    recovered.lost_bodies);
}
